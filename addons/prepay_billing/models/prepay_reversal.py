from decimal import Decimal

from odoo import fields, models
from odoo.exceptions import AccessError, UserError


class PrepayReversal(models.Model):
    """Takes back one wrong sale of the same day (冲正), as if it had not been.

    The rules stand with the sale: :meth:`prepay.topup._check_reversible`. Money that is to be returned
    for another reason, or later, is a refund.
    """

    _name = "prepay.reversal"
    _description = "Reversal of a Sale"
    _inherit = ["prepay.wallet.document", "prepay.receipt.document"]
    _check_company_auto = True
    _number_prefix = "CZ"

    topup_id = fields.Many2one(
        "prepay.topup",
        string="Sale",
        required=True,
        readonly=True,
        ondelete="restrict",
        index=True,
    )
    account_id = fields.Many2one(related="topup_id.account_id", store=True, index=True)
    partner_id = fields.Many2one(related="topup_id.partner_id", store=True)
    location_id = fields.Many2one(related="topup_id.location_id", store=True, index=True)
    company_id = fields.Many2one(related="topup_id.company_id", store=True, index=True)
    amount = fields.Monetary(related="topup_id.amount", store=True)
    method = fields.Selection(related="topup_id.method", store=True)
    seller_id = fields.Many2one(
        "res.users", string="Sold By", related="topup_id.cashier_id", store=True
    )
    last_topup_id = fields.Many2one(
        "prepay.topup",
        string="Last Sale",
        readonly=True,
        help="The newest sale of the account when the reversal was asked for.",
    )
    last_amount = fields.Monetary(string="Last Amount", related="last_topup_id.amount")
    shift_id = fields.Many2one(
        "prepay.shift", readonly=True, copy=False, index="btree_not_null", ondelete="restrict"
    )
    balance_before = fields.Monetary(readonly=True, copy=False)
    balance_after = fields.Monetary(readonly=True, copy=False)

    _topup_unique = models.UniqueIndex(
        "(topup_id) WHERE state IN ('draft', 'waiting', 'done')",
        "A reversal of this sale exists already.",
    )

    def _terms(self):
        return super()._terms() | {"topup_id"}

    def _posting_fields(self):
        return super()._posting_fields() | {
            "shift_id", "last_topup_id", "balance_before", "balance_after",
        }  # fmt: skip

    def _exact_amount(self):
        return Decimal(f"{self.amount:.2f}")

    def _moved(self):
        return self._exact_amount()

    def _needs_approval(self):
        return self.topup_id._reversal_needs_approval(self.requested_id or self.env.user)

    def _check_submitter(self):
        user = self.env.user
        if not (
            self.env.su
            or user.has_group("prepay_billing.group_cashier")
            or user.has_group("prepay_billing.group_accountant")
        ):
            raise AccessError(self.env._("Only cashiers and accountants may reverse sales."))

    def _check_ready(self):
        self.topup_id._check_reversible(self)

    def _post_entries(self):
        topup, account = self.topup_id.sudo(), self.account_id
        if topup.shift_id:
            topup.shift_id._hold_open()
            self.sudo().shift_id = topup.shift_id
        else:
            self.sudo().shift_id = self.env["prepay.shift"]._take(
                self.company_id, self.requested_id, required=False
            )
        entry = topup.entry_id
        entry._check_reversal()
        before = account._available()[account.id]
        entries = (
            entry.with_user(self.env.user)
            .sudo()
            ._post_reversal(f"{self.number}: {self.reason}", self)
        )
        self.sudo().write(
            {
                "balance_before": float(before),
                "balance_after": float(before - self._exact_amount()),
            }
        )
        topup.write({"state": "reversed", "reversal_id": self.id})
        topup.message_post(body=self.env._("Reversed: %s", self.reason))
        self._issue_receipt()
        self.env.ref("prepay_billing.ir_cron_general_ledger").sudo()._trigger()
        return entries

    def _touched_accounts(self):
        return self.account_id

    def _check_reversible(self):
        raise UserError(self.env._("%s is a reversal itself and final.", self.number))

    # screens

    def _after_reversal(self):
        """Print what was taken back, or say that somebody has to approve it first."""
        self.ensure_one()
        if self.state == "done":
            return {**self.action_print_receipt(), "close_on_report_download": True}
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning",
                "message": self.env._(
                    "%s waits for the approval of an accountant. Do not pay the money back yet.",
                    self.number,
                ),
                "next": {"type": "ir.actions.act_window_close"},
            },
        }

    # receipt

    def _receipt_kind(self):
        return "reversal"

    def _receipt_reversed(self):
        return self.topup_id._issue_receipt()

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
            "reversed_number": self.topup_id.receipt_number or self.topup_id.number,
            "remark": self.reason,
        }
