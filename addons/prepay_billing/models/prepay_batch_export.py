import io
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import xlsxwriter
from odoo import models


class PrepayBatch(models.Model):
    """The result of an operation as a workbook."""

    _inherit = "prepay.batch"  # pylint: disable=consider-merging-classes-inherited

    def action_export(self):
        """The result as a workbook."""
        self.ensure_one()
        return self.env["prepay.download"]._offer(f"{self.number}.xlsx", self._workbook())

    def _workbook(self):
        """Bytes of the workbook with one row for each meter."""
        stream = io.BytesIO()
        book = xlsxwriter.Workbook(stream, {"in_memory": True, "strings_to_formulas": False})
        bold = book.add_format({"bold": True})
        sheet = book.add_worksheet(self.number)
        lines = self.env["prepay.batch.line"]
        names = ["location_id", "account_id", "partner_id", "meter_id", "before_text", "target_text",
                 "state", "skip", "result", "detail", "tries", "sent_at", "finished_at"]  # fmt: skip
        labels = lines.fields_get(names, ["string", "selection"])
        kinds = dict(self._fields["kind"]._description_selection(self.env))
        title = [self.number, kinds[self.kind], self.reason, self.requested_id.name]
        sheet.write_row(0, 0, [text or "" for text in title], bold)
        sheet.write_row(2, 0, [labels[name]["string"] for name in names], bold)
        zone = ZoneInfo(self._zone_name())
        for row, line in enumerate(lines.search([("batch_id", "=", self.id)], order="id"), 3):
            sheet.write_row(row, 0, [_cell(line[name], labels[name], zone) for name in names])
        sheet.autofilter(2, 0, max(2, 2 + len(self.line_ids)), len(names) - 1)
        sheet.freeze_panes(3, 0)
        sheet.set_column(0, len(names) - 1, 18)
        book.close()
        return stream.getvalue()


def _cell(value, label, zone):
    """What stands in a cell: names, labels and local times."""
    if isinstance(value, models.BaseModel):
        return value.display_name or ""
    if isinstance(value, datetime):
        return value.replace(tzinfo=timezone.utc).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    if label.get("selection"):
        return dict(label["selection"]).get(value, "")
    return "" if value is False or value is None else value
