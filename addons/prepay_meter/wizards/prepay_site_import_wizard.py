import base64

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..workbook import plan, reader, sheets, store, writer

#: Problems shown on the screen; the report has all of them.
SHOWN = 200
XLSX = ".xlsx"


class PrepaySiteImportWizard(models.TransientModel):
    """Sites, gateways, meters and opening registers from an Excel workbook, all or nothing."""

    _name = "prepay.site.import.wizard"
    _description = "Import From Excel"

    language = fields.Selection(
        [("zh", "中文"), ("en", "English")],
        string="Language of the File",
        required=True,
        default=lambda self: "zh" if (self.env.lang or "").startswith("zh") else "en",
        help="Of templates, exports and reports. Files in both languages can be imported.",
    )
    data = fields.Binary(string="File", attachment=False)
    filename = fields.Char()
    company_id = fields.Many2one(
        "res.company", default=lambda self: self.env.company, readonly=True, required=True
    )
    state = fields.Selection(
        [("upload", "Upload"), ("wrong", "Problems"), ("ready", "Ready"), ("done", "Done")],
        default="upload",
    )
    outcome = fields.Json(readonly=True)
    summary = fields.Html(compute="_compute_summary", sanitize=False)
    problem_count = fields.Integer(string="Problems", readonly=True)

    @api.depends("outcome")
    @api.depends_context("lang")
    def _compute_summary(self):
        for wizard in self:
            wizard.summary = wizard.outcome and self.env["ir.qweb"]._render(
                "prepay_meter.site_import_summary",
                {**wizard.outcome, "state": wizard.state, "shown": SHOWN},
            )

    def action_template(self):
        self.ensure_one()
        return self._download("prepay-template", writer.template(self.env, self.language == "zh"))

    def action_export(self):
        """Everything of the present company as a workbook that can be imported again."""
        self.ensure_one()
        content = writer.export(self._here().env, self.language == "zh")
        return self._download("prepay-export", content)

    def action_check(self):
        """Read the whole file, list every problem, or say what the import would do."""
        self.ensure_one()
        found, ignored = self._plan()
        store.try_out(found)
        problems = found.problems
        zh = self.language == "zh"
        self.write(
            {
                "state": "wrong" if problems else "ready",
                "problem_count": len(problems),
                "outcome": {
                    "counts": [
                        {"sheet": sheets.BY_KEY[name].label(zh), **counts}
                        for name, counts in found.counts().items()
                    ],
                    "ignored": ignored,
                    "problems": [
                        {
                            "sheet": item.sheet,
                            "row": item.row,
                            "column": " ".join(filter(None, (item.letter, item.column))),
                            "value": str(item.value),
                            "message": item.message,
                        }
                        for item in problems[:SHOWN]
                    ],
                },
            }
        )
        return self._reopen()

    def action_report(self):
        """The file with its problems marked, to be corrected and uploaded again."""
        self.ensure_one()
        tables, problems, _ignored = self._read()
        found = plan.Plan(self._here().env, tables, problems)
        store.try_out(found)
        content = writer.report(tables, found.problems, self.language == "zh")
        name = (self.filename or "import").removesuffix(XLSX)
        return self._download(f"{name}-problems", content)

    def action_import(self):
        """Write everything in one transaction; when something is wrong by now, nothing."""
        self.ensure_one()
        found, _ignored = self._plan()
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
        store.write(found)
        self.state = "done"
        return self._reopen()

    def action_back(self):
        self.ensure_one()
        self.write({"state": "upload", "outcome": False, "data": False, "problem_count": 0})
        return self._reopen()

    def _here(self):
        """The wizard in the company it was opened for."""
        return self.with_company(self.company_id)

    def _read(self):
        if not self.data:
            raise UserError(self.env._("Choose a file first."))
        return reader.read(self.env, base64.b64decode(self.data))

    def _plan(self):
        tables, problems, ignored = self._read()
        return plan.Plan(self._here().env, tables, problems), ignored

    def _download(self, name, content):
        return self.env["prepay.download"]._offer(name + XLSX, content)

    def _reopen(self):
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Import From Excel"),
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
            "target": "new",
        }
