from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

#: Entries that have a document of their own are undone there; charges follow the readings.
REVERSIBLE = ("opening", "grant", "adjustment", "correction")


class PrepayWalletAdjustment(models.Model):
    """Puts a wallet right by hand: an amount with its reason, or the reversal of one entry."""

    _name = "prepay.wallet.adjustment"
    _description = "Wallet Adjustment"
    _inherit = "prepay.wallet.document"
    _check_company_auto = True
    _number_prefix = "TZ"

    account_id = fields.Many2one(
        "prepay.account", required=True, index=True, ondelete="restrict", check_company=True
    )
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    entry_id = fields.Many2one(
        "prepay.ledger.entry",
        string="Entry to Reverse",
        domain=f"[('account_id', '=', account_id), ('kind', 'in', {REVERSIBLE})]",
        index="btree_not_null",
        copy=False,
    )
    bucket = fields.Selection(
        [("principal", "Own Money"), ("granted", "Granted")], required=True, default="principal"
    )
    amount = fields.Monetary(
        required=True, help="Positive: the tenant gets money. Negative: money is taken."
    )

    _amount_nonzero = models.Constraint(
        "CHECK (amount <> 0)", "An adjustment of zero says nothing."
    )

    @api.onchange("entry_id")
    def _onchange_entry_id(self):
        if self.entry_id:
            self.account_id = self.entry_id.account_id
            self.bucket = self.entry_id.bucket
            self.amount = -self.entry_id.amount

    @api.constrains("entry_id", "account_id", "bucket", "amount")
    def _check_entry(self):
        for item in self.filtered("entry_id"):
            entry = item.entry_id.sudo()
            if (entry.account_id, entry.bucket) != (item.account_id, item.bucket) or (
                item.currency_id.compare_amounts(entry.amount, -item.amount)
            ):
                raise ValidationError(
                    self.env._("%s: a reversal is exactly the opposite of its entry.", item.number)
                )

    def _terms(self):
        return super()._terms() | {"account_id", "entry_id", "bucket", "amount"}

    def _exact_amount(self):
        return Decimal(f"{self.amount:.2f}")

    def _moved(self):
        return abs(self._exact_amount())

    def _check_ready(self):
        if self.entry_id:
            self.entry_id.sudo()._check_reversal(REVERSIBLE)

    def _post_entries(self):
        ledger = self.env["prepay.ledger.entry"]
        if self.entry_id:
            return self.entry_id.sudo()._post_reversal(self.reason, self)
        return ledger._post(
            [
                {
                    "account": self.account_id,
                    "kind": "adjustment",
                    "bucket": self.bucket,
                    "amount": self._exact_amount(),
                    "key": f"adjustment:{self.id}",
                    "reason": self.reason,
                    "document": self,
                }
            ]
        )

    def _touched_accounts(self):
        return self.account_id

    def _check_reversible(self):
        if self.entry_id:
            raise UserError(self.env._("%s is a reversal itself and final.", self.number))
