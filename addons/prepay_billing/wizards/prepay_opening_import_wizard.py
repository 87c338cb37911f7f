import base64

from odoo import api, fields, models
from odoo.exceptions import UserError

from odoo.addons.prepay_meter.workbook import reader, writer

from .. import opening_file

#: Problems shown on the screen; the report has all of them.
SHOWN = 200
XLSX = ".xlsx"


class PrepayOpeningImportWizard(models.TransientModel):
    """Openings of a building from an Excel workbook: checked as a whole, then preset or opened."""

    _name = "prepay.opening.import.wizard"
    _description = "Open Accounts From Excel"

    language = fields.Selection(
        [("zh", "中文"), ("en", "English")],
        string="Language of the File",
        required=True,
        default=lambda self: "zh" if (self.env.lang or "").startswith("zh") else "en",
        help="Of the template and the report. Files in both languages can be read.",
    )
    location_id = fields.Many2one(
        "prepay.location",
        string="Place",
        check_company=True,
        help="Its free meters are filled into the template.",
    )
    company_id = fields.Many2one(
        "res.company", default=lambda self: self.env.company, readonly=True, required=True
    )
    data = fields.Binary(string="File", attachment=False)
    filename = fields.Char()
    state = fields.Selection(
        [("upload", "Upload"), ("wrong", "Problems"), ("ready", "Ready")], default="upload"
    )
    outcome = fields.Json(readonly=True)
    summary = fields.Html(compute="_compute_summary", sanitize=False)
    problem_count = fields.Integer(string="Problems", readonly=True)

    @api.depends("outcome")
    @api.depends_context("lang")
    def _compute_summary(self):
        for wizard in self:
            wizard.summary = wizard.outcome and self.env["ir.qweb"]._render(
                "prepay_meter.site_import_summary", {**wizard.outcome, "state": wizard.state}
            )

    def action_template(self):
        """The workbook to fill in."""
        self.ensure_one()
        here = self._here()
        content = opening_file.template(here.env, self.language == "zh", here.location_id)
        name = self.env._("openings")
        if self.location_id:
            name = f"{name}-{self.location_id.name}"
        return self.env["prepay.download"]._offer(name + XLSX, content)

    def action_check(self):
        """Read the whole file; list every problem, or say what it would do."""
        self.ensure_one()
        found, ignored = self._plan()
        found.try_out()
        zh = self.language == "zh"
        self.write(
            {
                "state": "wrong" if found.problems else "ready",
                "problem_count": len(found.problems),
                "outcome": {
                    "counts": [{"sheet": opening_file.SHEET.label(zh), **found.counts()}],
                    "ignored": ignored,
                    "problems": [
                        {
                            "sheet": item.sheet,
                            "row": item.row,
                            "column": " ".join(filter(None, (item.letter, item.column))),
                            "value": str(item.value),
                            "message": item.message,
                        }
                        for item in found.problems[:SHOWN]
                    ],
                },
            }
        )
        return self._reopen()

    def action_report(self):
        """The file with its problems marked, to be corrected and uploaded again."""
        self.ensure_one()
        tables, problems, _ignored = self._read()
        found = opening_file.Openings(self._here().env, tables, problems, self._source())
        found.try_out()
        content = writer.report(tables, found.problems, self.language == "zh")
        name = (self.filename or "openings").removesuffix(XLSX)
        return self.env["prepay.download"]._offer(f"{name}-problems{XLSX}", content)

    def action_preset(self):
        """Write presets, to be opened later."""
        openings = self._write()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_opening_action"
        )
        action["domain"] = [("id", "in", openings.ids)]
        action["context"] = {}
        return action

    def action_open(self):
        """Write presets and open them at once."""
        return self._write().action_open_many()

    def action_back(self):
        self.ensure_one()
        self.write({"state": "upload", "outcome": False, "data": False, "problem_count": 0})
        return self._reopen()

    def _write(self):
        """Write all in one transaction; when something is wrong by now, nothing."""
        self.ensure_one()
        found, _ignored = self._plan()
        found.try_out()
        if found.problems:
            first = found.problems[0]
            raise UserError(
                self.env._(
                    "Something has changed since the check. Sheet %(sheet)s, row %(row)s: %(reason)s "
                    "Check the file again.",
                    sheet=first.sheet,
                    row=first.row,
                    reason=first.message,
                )
            )
        openings = found.store()
        if not openings:
            raise UserError(
                self.env._("All rooms of this file are opened already. Nothing is left to do.")
            )
        return openings

    def _here(self):
        """The wizard in the company it was opened for."""
        return self.with_company(self.company_id)

    def _source(self):
        return self.env._("Excel file %s", self.filename or "")

    def _read(self):
        if not self.data:
            raise UserError(self.env._("Choose a file first."))
        return reader.read(self.env, base64.b64decode(self.data), opening_file.SHEETS)

    def _plan(self):
        tables, problems, ignored = self._read()
        plan = opening_file.Openings(self._here().env, tables, problems, self._source())
        return plan, ignored

    def _reopen(self):
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Open Accounts From Excel"),
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
            "target": "new",
        }
