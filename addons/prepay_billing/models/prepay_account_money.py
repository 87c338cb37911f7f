from odoo import models

from ..engine import ledger


class PrepayAccount(models.Model):
    _inherit = "prepay.account"  # pylint: disable=consider-merging-classes-inherited

    def _free_money(self):
        """Own money that may be paid out, by account id, CNY as Decimal."""
        return {
            account_id: ledger.free_money(ledger.Balance(own, granted), accrued)
            for account_id, (own, granted, accrued) in self._money().items()
        }

    def _last_topup(self):
        """The newest sale that is valid, of one account or none."""
        return self.env["prepay.topup"].search(
            [("account_id", "in", self.ids), ("state", "=", "done")],
            order="paid_at DESC, id DESC",
            limit=1,
        )

    def action_refund(self):
        """Pay out money of this account."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Refund"),
            "res_model": "prepay.refund",
            "view_mode": "form",
            "context": {"default_account_id": self.id},
        }
