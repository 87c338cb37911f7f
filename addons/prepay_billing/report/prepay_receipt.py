import re
from datetime import timezone
from decimal import Decimal

from odoo import api, fields, models
from odoo.tools import formatLang
from odoo.tools.image import image_data_uri

from ..capitals import rmb_capitals
from .receipt_page import PAPERS, plan

_MONEY = (
    "amount",
    "settlement",
    "make_up",
    "cut_amount",
    "last_remaining",
    "balance_before",
    "balance_after",
    "received",
    "change",
)
#: Values of meters that a single cell lists, each once.
_OF_METERS = ("ratio", "capacity", "price", "price_type", "last_register", "register")
#: Columns of the table of meters, and their widths in percent.
_COLUMNS = {
    "number": 20,
    "ratio": 8,
    "last_register": 13,
    "register": 13,
    "quantity": 12,
    "price": 34,
}


class PrepayReceiptReport(models.AbstractModel):
    """Receipts on paper. Each rendering is a print, and is counted."""

    _name = "report.prepay_billing.report_receipt"
    _description = "Receipts on Paper"

    @api.model
    def _get_report_values(self, docids, data=None):
        data = data or {}
        docids = docids or data.get("receipt_ids") or []
        receipts = self.env["prepay.receipt"].browse(docids)
        receipts.check_access("read")
        receipts = receipts.sudo()
        receipts._ensure_numbers()
        receipts._count_print(self.env.uid)
        layouts = self.env["prepay.receipt.layout"].sudo()
        chosen = layouts.browse(data.get("layout_id")).exists()
        papers = []
        for receipt in receipts:
            layout = chosen or layouts._for(receipt.kind, receipt.company_id, self.env.user)
            papers.append(
                self._paper(
                    layout,
                    receipt.kind,
                    receipt.snapshot,
                    lang=receipt.lang,
                    number=receipt.number,
                    reversed_number=receipt.reversed_id.number,
                    reprints=receipt.print_count - 1,
                    company=receipt.company_id,
                    zone=receipt.location_id._zone(),
                    receipt_id=receipt.id,
                )
            )
        return {
            "doc_ids": docids,
            "doc_model": receipts._name,
            "docs": receipts,
            "papers": papers,
        }

    @api.model
    def _paper(
        self,
        layout,
        kind,
        values,
        lang,
        number,
        company,
        zone,
        reversed_number=None,
        reprints=0,
        receipt_id=0,
        preview=False,
    ):
        """Everything that the templates need to draw one receipt.

        :param dict values: see ``prepay.receipt.document._receipt_values``
        :param zone: time zone of the place; times on paper are local
        """
        self = self.with_context(lang=lang or self.env.lang or "en_US")
        layout = layout.with_context(lang=self.env.lang)
        texts = self._texts(layout, kind, values, company, zone, reversed_number)
        geometry = PAPERS[layout.paper]
        copies = [copy._title() for copy in layout.copy_ids.filtered("printed")] or [""]
        cells = []
        for line in layout.field_ids.filtered("shown"):
            if line.key == "meter_table":
                if values["meters"] or not layout.hide_empty:
                    cells.append({"table": self._meter_rows(values["meters"])})
            elif texts.get(line.key) or not layout.hide_empty:
                cells.append(line._cell(texts.get(line.key) or ""))
        carbon = layout.carbon and geometry.carbon
        boxes = [copies] if carbon else [[name] for name in copies]
        slots = int(geometry.page[1] // geometry.box) if geometry.box else 1
        return {
            "id": receipt_id,
            "lang": self.env.lang,
            "layout": layout,
            "paper": layout.paper,
            "geometry": geometry,
            "kind": kind,
            "media": {meter["medium"] for meter in values["meters"]},
            "number": number,
            "date": texts["date"],
            "texts": texts,
            "company": self._company(layout, values["company"]),
            "logo": layout.show_logo
            and not company.uses_default_logo
            and image_data_uri(company.logo),
            "reprints": reprints,
            "preview": preview,
            "cells": cells,
            "columns": _COLUMNS,
            "plan": geometry.box and plan(layout.paper, layout.font_size, cells),
            "sheets": [boxes[start : start + slots] for start in range(0, len(boxes), slots)],
            "sale_address": texts["sale_address"],
            "service_phone": texts["service_phone"],
        }

    @api.model
    def _company(self, layout, company):
        return {
            "name": layout.company_name or company["name"],
            "address": layout.company_address or company["address"],
            "phone": layout.company_phone or company["phone"],
            "vat": layout.company_vat or company["vat"],
        }

    @api.model
    def _texts(self, layout, kind, values, company, zone, reversed_number):
        """Texts of the fields, by key of the layout."""
        currency = company.currency_id
        if values.get("currency") and values["currency"] != currency.name:
            currency = self.env["res.currency"].search([("name", "=", values["currency"])], limit=1)

        def money(amount):
            return (
                None
                if amount in (None, "")
                else formatLang(self.env, float(amount), currency_obj=currency)
            )

        own = self._company(layout, values["company"])
        texts = {
            key: value for key, value in values.items() if isinstance(value, str) and value.strip()
        }
        texts.update({key: money(values.get(key)) for key in _MONEY})
        amount = values.get("amount")
        if not values.get("capitals") and amount and currency.name == "CNY":
            words = rmb_capitals(abs(Decimal(amount)))
            texts["capitals"] = f"（负）{words}" if Decimal(amount) < 0 else words
        for key in _OF_METERS:
            texts[key] = ", ".join(
                dict.fromkeys(str(meter[key]) for meter in values["meters"] if meter.get(key))
            )
        texts["meters"] = ", ".join(meter["number"] for meter in values["meters"])
        texts["items"] = "; ".join(
            f"{item['name']} {money(item['amount'])}" for item in values.get("items") or []
        )
        kinds = dict(self.env["prepay.receipt"]._fields["kind"]._description_selection(self.env))
        texts.update(
            {
                "operation": values.get("operation") or kinds[kind],
                "date": local_time(values["date"], zone),
                "location": values["location"],
                "phone": mask_phone(values.get("phone")),
                "reversed_number": reversed_number or values.get("reversed_number"),
                "company_vat": own["vat"],
                "company_address": own["address"],
                "sale_address": layout.sale_address or values.get("sale_address"),
                "service_phone": layout.service_phone or values.get("service_phone"),
            }
        )
        return texts

    @api.model
    def _meter_rows(self, meters):
        rows = []
        for meter in meters:
            row = {key: str(meter.get(key) or "") for key in _COLUMNS}
            for key in ("last_register", "register", "quantity"):
                if row[key]:
                    row[key] = f"{row[key]} {meter['unit']}"
            if meter.get("note"):
                row["number"] = f"{row['number']} ({meter['note']})"
            rows.append(row)
        return rows or [dict.fromkeys(_COLUMNS, "")]


def local_time(text, zone):
    """A stored time (naive UTC text) as it was at the place."""
    moment = fields.Datetime.to_datetime(text).replace(tzinfo=timezone.utc)
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def mask_phone(phone):
    """Hide the middle of a phone number: a slip may lie about.

    A mobile number keeps its first three and last four digits, as is usual in China; a shorter one
    keeps the last two.

    :param str phone: with or without a country code, or empty
    """
    digits = re.sub(r"\D", "", phone or "")
    if len(digits) >= 11:
        return f"{digits[-11:-8]}****{digits[-4:]}"
    return f"****{digits[-2:]}" if digits else ""
