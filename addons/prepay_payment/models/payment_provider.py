from odoo import fields, models


class PaymentProvider(models.Model):
    _inherit = "payment.provider"

    prepay_clearing_account_id = fields.Many2one(
        "account.account",
        string="Top-up Clearing Account",
        domain="[('account_type', 'in', ('asset_cash', 'asset_current'))]",
        check_company=True,
        copy=False,
        help="Where paid top-ups stand until this channel settles. Empty: the company's.",
    )

    def _prepay_merchant(self):
        """The merchant account as messages of this channel name it.

        A channel with merchant numbers returns its own, so that a message for another merchant is
        told apart.
        """
        self.ensure_one()
        return str(self.id)
