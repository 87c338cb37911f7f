from zoneinfo import ZoneInfo

from odoo import api, fields, models

_SAMPLE_METER = {
    "number": "220714003217",
    "medium": "electricity",
    "unit": "kWh",
    "ratio": "1",
    "price": "¥0.5469–0.8469/kWh",
    "price_type": "阶梯电价",
    "last_register": "1024.50",
    "register": "1187.32",
    "quantity": "162.82",
    "remaining": None,
    "capacity": None,
    "note": None,
}


class PrepayReceiptPreview(models.AbstractModel):
    """A layout with the newest receipt of the company, or a sample; nothing is counted."""

    _name = "report.prepay_billing.report_receipt_preview"
    _description = "Preview of a Receipt Layout"

    @api.model
    def _get_report_values(self, docids, data=None):
        layouts = self.env["prepay.receipt.layout"].browse(docids)
        layouts.check_access("read")
        report = self.env["report.prepay_billing.report_receipt"].sudo()
        papers = []
        for layout in layouts.sudo():
            company = layout.company_id or self.env.company
            kinds = [
                kind
                for kind, _label in self.env["prepay.receipt"]._fields["kind"].selection
                if layout[f"for_{kind}"]
            ]
            receipt = (
                self.env["prepay.receipt"]
                .sudo()
                .search([("company_id", "=", company.id), ("kind", "in", kinds)], limit=1)
            )
            zone = receipt.location_id._zone() if receipt else ZoneInfo("Asia/Shanghai")
            papers.append(
                report._paper(
                    layout,
                    receipt.kind or (kinds or ["topup"])[0],
                    receipt.snapshot or self._sample(company),
                    lang=self.env.lang,
                    number=receipt.number or "S2026-000000",
                    company=company,
                    zone=zone,
                    receipt_id=layout.id,
                    preview=True,
                )
            )
        return {"doc_ids": docids, "doc_model": layouts._name, "docs": layouts, "papers": papers}

    @api.model
    def _sample(self, company):
        document = self.env["prepay.receipt.document"]
        return {
            **dict.fromkeys(document._receipt_keys()),
            "order_number": "SD202601000001",
            "date": fields.Datetime.to_string(fields.Datetime.now()),
            "account_number": "000123",
            "tenant": "李秀英",
            "payer": "李秀英",
            "phone": "13800002207",
            "location": "东厂区 / 3 号宿舍楼 / 2 层 / B-207",
            "station": "3 号宿舍楼",
            "company": document._receipt_company(company),
            "currency": company.currency_id.name,
            "meters": [_SAMPLE_METER],
            "items": [],
            "amount": "100.50",
            "quantity": "162.82 kWh",
            "balance_before": "20.00",
            "balance_after": "120.50",
            "method": "现金",
            "operator": self.env.user.name,
        }
