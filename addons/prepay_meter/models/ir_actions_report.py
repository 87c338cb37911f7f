from io import BytesIO

import lxml.html
from odoo import api, fields, models

WEASYPRINT = "weasyprint"
_ARTICLES = "//div[contains(concat(' ', normalize-space(@class), ' '), ' article ')]"


class IrActionsReport(models.Model):
    """A second PDF engine, chosen for each report.

    WeasyPrint prints slips of an exact size, which wkhtmltopdf cannot (its paper has whole
    millimetres). The hooks are those of wkhtmltopdf, so that the download, attachments of e-mails
    and the portal work alike; reports of other addons stay with wkhtmltopdf.
    """

    _inherit = "ir.actions.report"

    prepay_engine = fields.Selection(
        [("wkhtmltopdf", "wkhtmltopdf"), (WEASYPRINT, "WeasyPrint")],
        string="PDF Engine",
        default="wkhtmltopdf",
        required=True,
        help="WeasyPrint: the stylesheet sets the page size in parts of a millimetre.",
    )

    def _get_readable_fields(self):
        return super()._get_readable_fields() | {"prepay_engine"}

    def report_action(self, docids, data=None, config=True):
        """With WeasyPrint, tell the web client; Odoo's document layout is not used then."""
        if self.prepay_engine != WEASYPRINT:
            return super().report_action(docids, data=data, config=config)
        action = super().report_action(docids, data=data, config=False)
        return {**action, "prepay_engine": self.prepay_engine}

    @api.model
    def get_wkhtmltopdf_state(self):
        """Not asked for while WeasyPrint prints."""
        if self.env.context.get("prepay_engine") == WEASYPRINT:
            return "ok"
        return super().get_wkhtmltopdf_state()

    def _render_qweb_pdf_prepare_streams(self, report_ref, data, res_ids=None):
        """With WeasyPrint several records stay one file, unless each is to be an attachment.

        Odoo cuts the file by record and joins it again: each page would carry its own fonts, 300 kB.
        """
        report = self._get_report(report_ref)
        if report.prepay_engine != WEASYPRINT:
            return super()._render_qweb_pdf_prepare_streams(report_ref, data, res_ids=res_ids)
        self = self.with_context(prepay_engine=WEASYPRINT)
        if report.attachment or len(res_ids or ()) < 2:
            return super()._render_qweb_pdf_prepare_streams(report_ref, data, res_ids=res_ids)
        html = self._render_qweb_html(report_ref, res_ids, data=data)[0]
        stream = BytesIO(self._run_weasyprint(html.decode()))
        return {False: {"stream": stream, "attachment": None}}

    def _prepare_html(self, html, report_model=False):
        """With WeasyPrint the document stays whole: one rendering loads the fonts once.

        Fonts of Chinese take 100 MB for each rendering, however short the text.
        """
        if self.prepay_engine != WEASYPRINT:
            return super()._prepare_html(html, report_model=report_model)
        root = lxml.html.fromstring(html, parser=lxml.html.HTMLParser(encoding="utf-8"))
        res_ids = [
            int(node.get("data-oe-id", 0)) if node.get("data-oe-model") == report_model else None
            for node in root.xpath(_ARTICLES)
        ]
        return [html.decode()], res_ids, None, None, {}

    @api.model
    def _run_wkhtmltopdf(
        self,
        bodies,
        report_ref=False,
        header=None,
        footer=None,
        landscape=False,
        specific_paperformat_args=None,
        set_viewport_size=False,
    ):
        if report_ref and self._get_report(report_ref).prepay_engine == WEASYPRINT:
            (document,) = bodies
            return self._run_weasyprint(document)
        return super()._run_wkhtmltopdf(
            bodies,
            report_ref=report_ref,
            header=header,
            footer=footer,
            landscape=landscape,
            specific_paperformat_args=specific_paperformat_args,
            set_viewport_size=set_viewport_size,
        )

    @api.model
    def _run_weasyprint(self, html):
        """Print one HTML document; the only place that knows the engine.

        :param str html: all pages
        :rtype: bytes
        """
        # A machine without Pango can do all but print, so the library is not loaded at start.
        from ..pdf import html_to_pdf

        return html_to_pdf(self.env, html)
