from datetime import timezone
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError


class PrepayRefund(models.Model):
    """Own money of a tenant paid out at the counter or by bank.

    A cashier pays out up to the limit of the company, above it an accountant approves. Granted money,
    the overdraft and what is used already are never paid out.
    """

    _name = "prepay.refund"
    _description = "Refund"
    _inherit = ["prepay.wallet.document", "prepay.receipt.document"]
    _check_company_auto = True
    _number_prefix = "TF"

    account_id = fields.Many2one(
        "prepay.account", required=True, index=True, ondelete="restrict", check_company=True
    )
    partner_id = fields.Many2one(related="account_id.partner_id", store=True, index=True)
    location_id = fields.Many2one(related="account_id.location_id", store=True, index=True)
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    amount = fields.Monetary(required=True)
    method = fields.Selection(
        [("cash", "Cash"), ("card", "Bank Card"), ("transfer", "Bank Transfer")],
        required=True,
        default="cash",
    )
    source_id = fields.Reference(
        selection="_source_models", string="Because Of", readonly=True, copy=False
    )
    shift_id = fields.Many2one(
        "prepay.shift", readonly=True, copy=False, index="btree_not_null", ondelete="restrict"
    )
    available = fields.Monetary(related="account_id.available", string="Balance Now")
    balance_before = fields.Monetary(readonly=True, copy=False)
    balance_after = fields.Monetary(readonly=True, copy=False)

    _posted_idx = models.Index("(company_id, posted_at)")
    _amount_positive = models.Constraint("CHECK (amount > 0)", "A refund is more than zero.")

    @api.model
    def _source_models(self):
        """Documents a refund may come from."""
        names = ("prepay.closing", "prepay.handover", "prepay.opening", "prepay.topup")
        return [(name, self.env[name]._description) for name in names if name in self.env]

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_amount(vals)
        return super().create(vals_list)

    def write(self, vals):
        self._check_amount(vals)
        return super().write(vals)

    @api.model
    def _check_amount(self, vals):
        """Refuse what rounding would change: 0.125 is a typing mistake, not 0.13."""
        amount = Decimal(str(vals.get("amount") or 0))
        if amount != round(amount, 2):
            raise ValidationError(
                self.env._("A refund of %s: amounts have at most two decimals.", amount)
            )

    def _terms(self):
        return super()._terms() | {"account_id", "amount", "method", "source_id"}

    def _posting_fields(self):
        return super()._posting_fields() | {
            "shift_id", "balance_before", "balance_after",
        }  # fmt: skip

    def _exact_amount(self):
        return Decimal(f"{self.amount:.2f}")

    def _moved(self):
        return self._exact_amount()

    def _check_submitter(self):
        if not (self.env.su or self.env.user.has_group("prepay_billing.group_cashier")):
            return super()._check_submitter()
        self.check_access("write")
        return None

    def _check_ready(self):
        account = self.account_id.sudo()
        if account._payment_in_flight():
            raise UserError(
                self.env._(
                    "Account %s: a payment is on its way. Refund when it is credited.",
                    account.display_name,
                )
            )
        self.env["prepay.wallet.guard"].sudo()._check_covered({account: self._exact_amount()})

    def _post_entries(self):
        # A bank transfer is no money of the drawer.
        self.sudo().shift_id = self.env["prepay.shift"]._take(
            self.company_id, self.requested_id, required=self.method != "transfer"
        )
        account, amount = self.account_id, self._exact_amount()
        self.env["prepay.wallet.guard"].sudo()._check_debits({account: amount})
        before = account._available()[account.id]
        entries = self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": account,
                    "kind": "refund",
                    "amount": -amount,
                    "key": f"refund:{self.id}",
                    "reason": f"{self.number}: {self.reason}",
                    "document": self,
                }
            ]
        )
        self.sudo().write(
            {"balance_before": float(before), "balance_after": float(before - amount)}
        )
        self._issue_receipt()
        self.env.ref("prepay_billing.ir_cron_general_ledger").sudo()._trigger()
        return entries

    def _check_reversible(self):
        """Money that went out comes back on the same day only, into the drawer it was taken from."""
        zone = self.location_id._zone()
        days = {
            moment.replace(tzinfo=timezone.utc).astimezone(zone).date()
            for moment in (self.posted_at, fields.Datetime.now())
        }
        if len(days) > 1:
            raise UserError(
                self.env._(
                    "Refund %s is of another day. Sell the amount at the counter instead.",
                    self.number,
                )
            )
        if self.shift_id:
            self.shift_id.sudo()._hold_open()

    def _touched_accounts(self):
        return self.account_id

    # receipt

    def _receipt_kind(self):
        return "refund"

    def _receipt_values(self):
        methods = dict(self._fields["method"]._description_selection(self.env))
        at = self.posted_at or fields.Datetime.now()
        return {
            **super()._receipt_values(),
            "order_number": self.number,
            "date": fields.Datetime.to_string(at),
            "meters": self._receipt_meters(at),
            "amount": self._receipt_money(-self.amount),
            "balance_before": self._receipt_money(self.balance_before),
            "balance_after": self._receipt_money(self.balance_after),
            "method": methods[self.method],
            "operator": self.requested_id.name,
            "authorizer": self.approved_id.name or None,
            "remark": self.reason,
        }

    def action_print_receipt(self):
        for refund in self:
            if refund.state not in ("done", "reversed"):
                raise UserError(
                    self.env._("%s is not posted yet; it prints after that.", refund.number)
                )
        return super().action_print_receipt()
