from decimal import Decimal

from markupsafe import Markup
from odoo import api, fields, models
from odoo.exceptions import UserError

from ..engine.ledger import GRANTED, PRINCIPAL
from .prepay_topup import METHODS

ZERO = Decimal(0)


class PrepayTenancySettlement(models.AbstractModel):
    """A document that settles an account and closes it.

    The settlement that is shown before is the settlement itself, carried out and taken back again, so
    that nothing else can come out when it is confirmed. A document has ``line_ids`` with the model
    ``_line_model`` and a field ``way`` ("refund" or "move").
    """

    _name = "prepay.tenancy.settlement"
    _description = "Settlement of an Account"
    _inherit = ["prepay.tenancy.document", "prepay.receipt.document"]

    _line_model = ""

    account_id = fields.Many2one(
        "prepay.account",
        required=True,
        index=True,
        ondelete="restrict",
        check_company=True,
        domain="[('state', '=', 'open')]",
    )
    partner_id = fields.Many2one(related="account_id.partner_id", store=True, index=True)
    phone = fields.Char(related="partner_id.phone")
    location_id = fields.Many2one(
        "prepay.location", string="Room", compute="_compute_location_id", store=True, index=True
    )
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    refund_method = fields.Selection(
        [("cash", "Cash"), ("card", "Bank Card"), ("transfer", "Bank Transfer")],
        string="Pay Out By",
        required=True,
        default="cash",
    )
    collect_method = fields.Selection(METHODS, string="Collect By", required=True, default="cash")
    settlement = fields.Json(readonly=True, copy=False)
    settlement_html = fields.Html(
        string="Settlement Shown", compute="_compute_settlement", sanitize=False
    )
    settlement_problem = fields.Char(string="Open Point", compute="_compute_settlement")
    result = fields.Selection(
        [("refund", "Pay Out"), ("collect", "Collect"), ("none", "Nothing Open")],
        compute="_compute_settlement",
    )
    expected = fields.Monetary(string="Amount", compute="_compute_settlement")
    amount = fields.Monetary(
        string="Settled By",
        readonly=True,
        copy=False,
        help="Positive is paid out, negative collected.",
    )
    lapsed = fields.Monetary(
        string="Granted Money Lapsed", readonly=True, copy=False, help="Never paid out."
    )
    remainder = fields.Float(
        digits=False,
        readonly=True,
        copy=False,
        help="Fraction of a fen by which exact own money exceeds what was settled by.",
    )
    refund_id = fields.Many2one("prepay.refund", readonly=True, copy=False)
    topup_id = fields.Many2one("prepay.topup", string="Collected", readonly=True, copy=False)
    transfer_id = fields.Many2one("prepay.transfer", readonly=True, copy=False)

    @api.model
    def _button_fields(self):
        return super()._button_fields() | {
            "settlement",
            "amount",
            "lapsed",
            "remainder",
            "refund_id",
            "topup_id",
            "transfer_id",
        }

    @api.depends("account_id")
    def _compute_location_id(self):
        for document in self:
            document.location_id = document.account_id.location_id

    @api.depends("account_id")
    def _compute_line_ids(self):
        lines = self.env[self._line_model]
        for document in self.filtered(lambda item: item.state == "draft"):
            present = document.account_id._present_supplies()
            if document.line_ids.supply_id._origin == present:
                continue
            document.line_ids = [fields.Command.clear()] + [
                fields.Command.create(vals) for vals in lines._of(present)
            ]

    @api.depends(
        "state",
        "account_id",
        "line_ids.register",
        "line_ids.read_at",
        "line_ids.source",
        "line_ids.reading_reason",
        "line_ids.photo",
        "settlement",
    )
    @api.depends_context("lang")
    def _compute_settlement(self):
        for document in self:
            found, problem = document.settlement, False
            if document.state in ("draft", "waiting"):
                found, problem = document._rehearse()
            document.settlement_problem = problem
            document.settlement_html = document._settlement_html(found) if found else False
            amount = Decimal(found["own"]) if found else ZERO
            document.expected = float(abs(amount))
            document.result = found and (
                "refund" if amount > 0 else "collect" if amount < 0 else "none"
            )

    # settlement

    def _rehearse(self):
        """(settlement, None) or (None, what hinders it)."""
        self.ensure_one()
        lines = self.line_ids
        account = self.account_id._origin
        if not account or account.state != "open":
            return None, False
        if not all(line.read_at for line in lines):
            return None, self.env._("Final readings are missing.")
        if not self.has_access("write"):
            return None, False
        settle = self.env["prepay.account.meter"].sudo()
        try:
            lines._check_register()
            with settle._rehearsal():
                return account.sudo()._settle(lines)[0], False
        except UserError as error:
            return None, str(error)

    def _settlement_html(self, found):
        """The settlement as a table."""
        env = self.env
        money = "{:,.2f}".format

        def row(label, amount, style=""):
            return Markup(
                '<tr class="{}"><td colspan="4">{}</td><td class="text-end">{}</td></tr>'
            ).format(style, label, money(Decimal(amount)))

        rows = [
            Markup("<tr><td>{}</td><td>{}</td><td>{}</td><td>{} {}</td>"
                   '<td class="text-end">{}</td></tr>').format(
                line["meter"], line["from"], line["to"], line["used"], line["unit"],
                money(-Decimal(line["amount"])),
            )
            for line in found["lines"]
        ]  # fmt: skip
        head = Markup("<tr><th>{}</th><th>{}</th><th>{}</th><th>{}</th>"
                      '<th class="text-end">{}</th></tr>').format(
            env._("Meter"), env._("Charged Until"), env._("Final Reading"), env._("Used"), env._("CNY")
        )  # fmt: skip
        own, granted = Decimal(found["own_before"]), Decimal(found["granted_before"])
        rows.insert(0, row(env._("Own money before"), own))
        if granted:
            rows.insert(1, row(env._("Granted money before"), granted))
        if Decimal(found["lapse"]):
            rows.append(row(env._("Unused granted money lapses"), -Decimal(found["lapse"])))
        result = Decimal(found["own"])
        label = (
            env._("To pay out")
            if result > 0
            else env._("To collect")
            if result < 0
            else env._("Nothing to pay out or collect")
        )
        rows.append(row(label, abs(result), "fw-bold table-active"))
        return Markup(
            '<table class="table table-sm"><thead>{}</thead><tbody>{}</tbody></table>'
        ).format(head, Markup("").join(rows))

    def _paid_out(self):
        found, problem = self._rehearse()
        if problem:
            raise UserError(problem)
        return max(Decimal(found["own"]), ZERO) if self.way == "refund" else ZERO

    # doing and undoing

    def _take_newer(self):
        return self.line_ids._take_newer()

    def _check_ready(self):
        account = self.account_id.sudo()
        self._check_account(account)
        self._check_credit(account._present_supplies().meter_id)
        self._check_lines(self.line_ids.sudo(), account._present_supplies())

    def _target(self):
        """The account that the rest of the money moves to."""
        raise NotImplementedError

    def _settle_and_close(self):
        """Charge what was used, bring the wallet to zero, close the account.

        :return: what :meth:`_open_again` needs
        """
        account = self.account_id
        settlement, kept = account._settle(self.line_ids)
        self.write(
            {
                "settlement": settlement,
                "amount": float(settlement["own"]),
                "lapsed": float(settlement["lapse"]),
                "remainder": float(settlement["remainder"]),
            }
        )
        self._clear_granted(account)
        self._move_money(account, Decimal(settlement["own"]))
        left = account._money()[account.id]
        if any(left):
            raise UserError(
                self.env._(
                    "Account %(account)s still has %(left)s CNY after the settlement. Reload the page "
                    "and confirm again.",
                    account=account.display_name,
                    left=f"{left[0] + left[1]:.2f}",
                )
            )
        account._close()
        self._issue_receipt()
        return {"supplies": kept, "last_entry": self._last_entry(account)}

    def _clear_granted(self, account):
        """Granted money is never paid out: what is left lapses, what is missing is own money's."""
        granted = account._money()[account.id][1]
        if not granted:
            return
        reason = self._reason()
        posting = {"account": account, "document": self, "reason": reason}
        if granted > 0:
            postings = [
                {
                    "kind": "expiry",
                    "bucket": GRANTED,
                    "amount": -granted,
                    "key": f"{self._table}:{self.id}:lapse",
                    **posting,
                }
            ]
        else:
            postings = [
                {
                    "kind": "adjustment",
                    "bucket": bucket,
                    "amount": amount,
                    "key": f"{self._table}:{self.id}:{bucket}",
                    **posting,
                }
                for bucket, amount in ((GRANTED, -granted), (PRINCIPAL, granted))
            ]
        self.env["prepay.ledger.entry"]._post(postings)

    def _move_money(self, account, own):
        """Bring the own money of the account to zero, through the document that counts it."""
        reason = self._reason()
        if not own:
            return
        if self.way == "move":
            self.transfer_id = self._transfer(account, self._target(), own, reason)
        elif own > 0:
            self.refund_id = self._refund(account, own, self.refund_method, reason)
        else:
            self.topup_id = self._collect(account, -own, self.collect_method, reason)

    def _reason(self):
        """What wallet entries and documents say, such as “Closing XH000001”."""
        words = self.company_id._prepay_env()
        return words._("Closing %s", self.number)

    def _open_again(self, reason):
        """Undo :meth:`_settle_and_close`."""
        account, kept = self.account_id, self.kept
        if account.state != "closed":
            raise UserError(self.env._("Account %s is open again.", account.display_name))
        self._check_nothing_followed(account, kept["last_entry"])
        supplies = self.line_ids.supply_id
        supplies._check_free(supplies.meter_id)
        account._reopen()
        # What was collected stays on the account: it is money that the tenant has paid.
        for document in (self.refund_id, self.transfer_id):
            if document:
                document._reverse(reason)
        own = self._entries()
        own._check_reversal()
        own._post_reversal(reason, self)
        supplies._resume(kept["supplies"])
        account._evaluate_supply()

    # receipt

    def _receipt_kind(self):
        return "closing"

    def _receipt_values(self):
        values = super()._receipt_values()
        found = self.settlement or {}
        by_meter = {line["meter"]: line for line in found.get("lines", ())}
        meters = []
        for line in self.line_ids:
            meter = self._receipt_meter(line.supply_id, line.read_at)
            known = by_meter.get(line.meter_id.number, {})
            meters.append(
                {
                    **meter,
                    "last_register": known.get("from"),
                    "register": known.get("to"),
                    "quantity": known.get("used"),
                }
            )
        way = self.transfer_id or self.refund_id or self.topup_id
        field = "collect_method" if self.topup_id else "refund_method"
        methods = dict(self._fields[field]._description_selection(self.env))
        items = [
            {"name": self.env._("Consumption %s", line["meter"]),
             "amount": self._receipt_money(-Decimal(line["amount"]))}
            for line in found.get("lines", ())
        ]  # fmt: skip
        if self.lapsed:
            items.append(
                {
                    "name": self.env._("Unused granted money lapses"),
                    "amount": self._receipt_money(-self.lapsed),
                }
            )
        return {
            **values,
            "order_number": self.number,
            "date": fields.Datetime.to_string(self.done_at or fields.Datetime.now()),
            "meters": meters,
            "items": items,
            "amount": self._receipt_money(-self.amount),
            "balance_before": self._receipt_money(found.get("own_before")),
            "balance_after": "0.00",
            "method": self.env._("Moved to account %s", self.transfer_id.target_id.number)
            if self.transfer_id
            else way and methods[self[field]],
            "operator": self.requested_id.name,
            "authorizer": self.approved_id.name or None,
            "remark": self.note or None,
        }
