from odoo import fields, models


class ResCompany(models.Model):
    _inherit = "res.company"

    prepay_clearing_account_id = fields.Many2one(
        "account.account",
        string="Channel Clearing Account",
        domain="[('account_type', 'in', ('asset_cash', 'asset_current'))]",
        check_company=True,
        help="Paid online, not settled to the bank yet (其他货币资金).",
    )

    def _prepay_create_accounting(self):
        return super()._prepay_create_accounting() + self._prepay_create_clearing_account()

    def _prepay_create_clearing_account(self):
        """Create the missing clearing accounts, beside 1012 其他货币资金 of Chinese charts.

        :return: names of what was created, for the user
        """
        done = []
        for company in self.filtered(lambda company: not company.prepay_clearing_account_id):
            accounts = company.with_company(company).env["account.account"]
            company.prepay_clearing_account_id = accounts.create(
                {
                    "name": self.env._("Payment channels, not settled"),
                    "code": accounts._search_new_account_code("101210"),
                    "account_type": "asset_current",
                    "reconcile": True,
                    "company_ids": [(4, company.id)],
                }
            )
            done.append(company.prepay_clearing_account_id.display_name)
        return done
