from decimal import Decimal

from odoo import fields, models
from odoo.exceptions import UserError


class PrepayTransfer(models.Model):
    """Own money moved from one account to another: both entries in one statement."""

    _name = "prepay.transfer"
    _description = "Balance Transfer"
    _inherit = "prepay.wallet.document"
    _check_company_auto = True
    _number_prefix = "ZY"

    account_id = fields.Many2one(
        "prepay.account",
        string="From Account",
        required=True,
        index=True,
        ondelete="restrict",
        check_company=True,
    )
    target_id = fields.Many2one(
        "prepay.account",
        string="To Account",
        required=True,
        index=True,
        ondelete="restrict",
        check_company=True,
        domain="[('id', '!=', account_id), ('state', '=', 'open')]",
    )
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    amount = fields.Monetary(required=True)

    _amount_positive = models.Constraint("CHECK (amount > 0)", "A transfer is more than zero.")
    _two_accounts = models.Constraint(
        "CHECK (account_id <> target_id)", "Choose two different accounts."
    )

    def _terms(self):
        return super()._terms() | {"account_id", "target_id", "amount"}

    def _exact_amount(self):
        return Decimal(f"{self.amount:.2f}")

    def _moved(self):
        return self._exact_amount()

    def _check_ready(self):
        for account in self.account_id | self.target_id:
            if account.is_frozen:
                raise UserError(
                    self.env._(
                        "Account %s is frozen: no money leaves it. Unfreeze it first.",
                        account.display_name,
                    )
                )
        if self.target_id.state != "open":
            raise UserError(
                self.env._("Account %s is closed and takes no money.", self.target_id.display_name)
            )

    def _post_entries(self):
        amount = self._exact_amount()
        self.env["prepay.wallet.guard"].sudo()._check_debits({self.account_id: amount})
        return self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": account,
                    "kind": "transfer",
                    "amount": signed,
                    "key": f"transfer:{self.id}:{side}",
                    "reason": f"{self.number}: {self.reason}",
                    "document": self,
                }
                for account, signed, side in (
                    (self.account_id, -amount, "out"),
                    (self.target_id, amount, "in"),
                )
            ]
        )

    def _touched_accounts(self):
        return self.account_id | self.target_id
