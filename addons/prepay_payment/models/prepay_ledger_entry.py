from odoo import api, models


class PrepayLedgerEntry(models.Model):
    _inherit = "prepay.ledger.entry"

    @api.model
    def _debit_account(self, company, topup):
        """Online money stands with the channel until it is settled to the bank."""
        if topup.method != "online":
            return super()._debit_account(company, topup)
        provider = topup.sudo().transaction_id.provider_id
        return provider.prepay_clearing_account_id or company.prepay_clearing_account_id
