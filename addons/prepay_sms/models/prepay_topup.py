from odoo import models


class PrepayTopup(models.Model):
    _inherit = "prepay.topup"

    def _credit(self):
        todo = self.filtered(lambda topup: topup.state == "draft")
        entries = super()._credit()
        todo.flush_recordset()
        for topup in todo.filtered(lambda topup: topup.state == "done"):
            self.env["prepay.notice"]._queue(
                topup.account_id.sudo(),
                "topup",
                f"topup:{topup.id}",
                topup.balance_after,
                topup.amount,
            )
        return entries
