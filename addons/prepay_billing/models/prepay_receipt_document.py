from decimal import Decimal

from odoo import api, fields, models

from ..tariff_picture import number as price_text

_UNITS = {"electricity": "kWh", "water": "m³"}


_KEYS = (
    "order_number",
    "operation",
    "date",
    "account_number",
    "tenant",
    "phone",
    "location",
    "station",
    "line",
    "company",
    "currency",
    "sale_address",
    "service_phone",
    "meters",
    "amount",
    "capitals",
    "settlement",
    "make_up",
    "quantity",
    "cut_register_before",
    "cut_register",
    "cut_amount",
    "last_remaining",
    "balance_before",
    "balance_after",
    "items",
    "method",
    "received",
    "change",
    "payer",
    "operator",
    "authorizer",
    "external_number",
    "reversed_number",
    "remark",
)


class PrepayReceiptDocument(models.AbstractModel):
    """A document that is printed as a receipt.

    It calls :meth:`_issue_receipt` in the transaction that makes it valid.
    """

    _name = "prepay.receipt.document"
    _description = "Document with a Receipt"

    receipt_number = fields.Char(
        compute="_compute_receipt_number", search="_search_receipt_number", compute_sudo=True
    )
    receipt_print_count = fields.Integer(
        string="Receipt Prints", compute="_compute_receipt_number", compute_sudo=True
    )

    def _compute_receipt_number(self):
        receipts = self.env["prepay.receipt"].search(
            [("res_model", "=", self._name), ("res_id", "in", self.ids)]
        )
        newest = {receipt.res_id: receipt for receipt in receipts.sorted("id")}
        for document in self:
            receipt = newest.get(document._origin.id, self.env["prepay.receipt"])
            document.receipt_number = receipt.number
            document.receipt_print_count = receipt.print_count

    @api.model
    def _search_receipt_number(self, operator, value):
        receipts = self.env["prepay.receipt"].sudo()
        domain = [("res_model", "=", self._name), ("number", operator, value)]
        return [("id", "in", receipts.search(domain).mapped("res_id"))]

    # what a document defines

    def _receipt_kind(self):
        """ "topup", "opening", "refund", "reversal" or "closing"."""
        raise NotImplementedError

    def _receipt_account(self):
        return self.account_id

    def _receipt_reversed(self):
        """The receipt that a reversal undoes; its number is printed, also when it comes later."""
        return self.env["prepay.receipt"]

    def _receipt_values(self):
        """What the paper says, in the language of the context; kept with the receipt.

        Texts, or None for what does not apply; amounts are CNY as text with two decimals, positive for
        money paid in; times are naive UTC as text. Called with the language of the tenant. A document
        overrides with what it knows: ``{**super()._receipt_values(), "amount": …}``.

        ==================== ===========================================================
        order_number         number of the document (购电单号)
        operation            what was done, such as "Sale" (操作类型); default from the kind
        date                 when (UTC, "2026-03-01 16:30:05")
        account_number       customer number (客户编号)
        tenant, phone        name and phone; the phone prints with its middle hidden
        location             path of the room; ``station`` is the site or building (台区),
                             ``line`` the feeder (线路)
        company              {"name", "address", "phone", "vat"} of the company
        sale_address         where was sold; ``service_phone`` for questions
        meters               list of dicts, one for each meter: number, medium, unit, ratio,
                             price (text), price_type, last_register, register, quantity,
                             remaining, capacity; ``note`` such as "replaced"
        amount               signed; ``capitals`` the same in words (default from the amount)
        settlement           part of the money that paid arrears (结算金额)
        make_up              difference made up (补差金额)
        quantity             kWh or m³ bought, as text with unit (购电量)
        cut_register_before, register at the cut before and at this one (上次/本次断电表底)
        cut_register
        cut_amount           total at the cut (断电总金额); ``last_remaining`` left before (上次剩余)
        balance_before,      balance of the account before and after
        balance_after
        items                list of {"name", "amount"}: what the amount is made of
        method               how was paid (text); ``received`` and ``change`` of cash
        payer                who paid (购电人); default the tenant
        operator             who took the money (售电人); ``authorizer`` who approved (授权人)
        external_number      number of the payment channel (外部流水号)
        reversed_number      number of the reversed document (被冲正流水号)
        remark               note
        ==================== ===========================================================
        """
        self.ensure_one()
        account = self._receipt_account()
        company, location = account.company_id, account.location_id
        now = fields.Datetime.now()
        return {
            **dict.fromkeys(self._receipt_keys()),
            "order_number": self.display_name,
            "date": fields.Datetime.to_string(now),
            "account_number": account.number,
            "tenant": account.partner_id.name,
            "payer": account.partner_id.name,
            "phone": account.partner_id.phone or None,
            "location": location.complete_name,
            "station": location.building_id.name or None,
            "company": self._receipt_company(company),
            "currency": company.currency_id.name,
            "meters": self._receipt_meters(now),
            "items": [],
            "operator": self.env.user.name,
        }

    def _receipt_keys(self):
        """All keys of :meth:`_receipt_values`."""
        return _KEYS

    def _receipt_company(self, company):
        address = company.partner_id._display_address(without_company=True)
        return {
            "name": company.name,
            "address": ", ".join(line for line in address.splitlines() if line.strip()),
            "phone": company.phone or None,
            "vat": company.vat or None,
        }

    def _receipt_meters(self, at):
        """The meters of the account at a moment (UTC): prices, newest registers, and those of last time."""
        supplies = self._receipt_account().supply_ids.filtered(
            lambda item: item.start_at <= at and (not item.end_at or item.end_at > at)
        )
        last = self._receipt_last_registers()
        meters = []
        for supply in supplies:
            meter = supply.meter_id.sudo()
            opening = f"{supply.opening_register:.2f}" if supply.opening_register else None
            meters.append(
                {
                    **self._receipt_meter(supply, at),
                    "last_register": last.get(meter.number, opening),
                    "register": f"{meter.last_value / 1000:.2f}" if meter.last_read_at else None,
                }
            )
        return meters

    def _receipt_last_registers(self):
        """{meter number: register} as the receipt of the account before this one says."""
        before = self.env["prepay.receipt"].sudo().search(
            [("account_id", "=", self._receipt_account().id)], order="id desc", limit=1
        )  # fmt: skip
        meters = (before.snapshot or {}).get("meters") or []
        return {meter["number"]: meter.get("register") for meter in meters}

    def _receipt_meter(self, supply, at):
        price, price_type = self._receipt_price(supply, at)
        return {
            "number": supply.meter_id.number,
            "medium": supply.medium,
            "unit": _UNITS[supply.medium],
            "ratio": str(supply.meter_id.ratio or 1) if supply.medium == "electricity" else None,
            "price": price,
            "price_type": price_type,
            "last_register": None,
            "register": None,
            "quantity": None,
            "remaining": None,
            "capacity": None,
            "note": None,
        }

    def _receipt_price(self, supply, at):
        """(price at a moment such as ¥0.68/kWh, name of the tariff)."""
        versions = supply.tariff_id.version_ids.filtered(
            lambda version: version.state == "approved" and version.valid_from <= at
        )
        for version in versions.sorted("valid_from")[-1:]:
            price = "–".join(dict.fromkeys(map(price_text, version._lowest_and_highest())))
            return (
                f"{supply.company_id.currency_id.symbol}{price}/{_UNITS[supply.medium]}",
                supply.tariff_id.name,
            )
        return None, supply.tariff_id.name

    @staticmethod
    def _receipt_money(amount):
        """CNY as text with two decimals, None stays None."""
        return None if amount is None or amount is False else f"{Decimal(str(amount)):.2f}"

    # what a document uses

    def _issue_receipt(self):
        """Make the receipts of these documents, without numbers: those come right after the commit.

        Safe to repeat: a document has one receipt of each kind.

        :return: the receipts (sudo), in the order of the documents
        """
        return self.env["prepay.receipt"].sudo()._issue(self.sudo())

    def action_print_receipt(self):
        """Show the PDF of the newest receipt of each; the print is counted."""
        self.check_access("read")
        return self._issue_receipt().sudo(False).action_print()
