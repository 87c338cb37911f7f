"""The cashier's daily report as an Excel workbook."""

import io

import xlsxwriter
from odoo import fields

from odoo.addons.prepay_meter.workbook.writer import OPTIONS


def shift_workbook(shifts):
    """Sheets with the totals of shifts by method and with each sale, refund and reversal.

    Words in the language of the reader, times in the reader's zone, amounts as numbers in CNY.

    :return: bytes of the file
    """
    env = shifts.env
    output = io.BytesIO()
    book = xlsxwriter.Workbook(output, OPTIONS)
    head = book.add_format({"bold": True, "bg_color": "#DDEBF7", "border": 1})
    formats = {
        "monetary": book.add_format({"num_format": "#,##0.00"}),
        "datetime": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
    }
    _sheet(book, env._("Shifts"), head, formats, shifts, (
        "number", "user_id", "state", "opened_at", "closed_at", "opening_float", "sales", "reversals",
        "refunds", "net", "expected_cash", "counted_cash", "difference", "difference_reason",
        "handed_in", "left_in_drawer", "confirmed_by_id",
    ))  # fmt: skip
    _sheet(book, env._("By Method"), head, formats, shifts.total_ids, (
        "shift_id", "method", "count", "sales", "reversals", "refunds", "net",
    ))  # fmt: skip
    _sheet(book, env._("Vouchers"), head, formats, shifts.flow_ids, (
        "shift_id", "at", "kind", "number", "account_id", "location_id", "partner_id", "method",
        "amount", "note",
    ))  # fmt: skip
    book.close()
    return output.getvalue()


def _sheet(book, title, head, formats, records, names):
    """One line for each record, with the labels of the fields on top."""
    sheet = book.add_worksheet(title)
    labels = records.fields_get(names, ["string", "selection"])
    for column, name in enumerate(names):
        sheet.write_string(0, column, labels[name]["string"], head)
        sheet.set_column(column, column, 18)
    sheet.freeze_panes(1, 0)
    for row, record in enumerate(records, 1):
        for column, name in enumerate(names):
            field = records._fields[name]
            value = record[name]
            if field.type in ("monetary", "integer"):
                sheet.write_number(row, column, value, formats.get(field.type))
            elif field.type == "datetime":
                if value:
                    local = fields.Datetime.context_timestamp(record, value).replace(tzinfo=None)
                    sheet.write_datetime(row, column, local, formats["datetime"])
            elif field.type == "selection":
                sheet.write_string(row, column, dict(labels[name]["selection"]).get(value, ""))
            else:
                text = value.display_name if field.relational else value
                sheet.write_string(row, column, text or "")
