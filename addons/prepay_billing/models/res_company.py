from odoo import fields, models


class ResCompany(models.Model):
    _inherit = "res.company"

    prepay_journal_id = fields.Many2one(
        "account.journal",
        string="Prepayment Journal",
        domain="[('type', '=', 'general')]",
        check_company=True,
    )
    prepay_cash_account_id = fields.Many2one(
        "account.account",
        string="Cash Account",
        domain="[('account_type', '=', 'asset_cash')]",
        check_company=True,
        help="Money taken at the counter (库存现金).",
    )
    prepay_card_account_id = fields.Many2one(
        "account.account",
        string="Bank Card Account",
        domain="[('account_type', 'in', ('asset_cash', 'asset_current'))]",
        check_company=True,
        help="Money taken by bank card (银行存款).",
    )
    prepay_transfer_account_id = fields.Many2one(
        "account.account",
        string="Bank Transfer Account",
        domain="[('account_type', 'in', ('asset_cash', 'asset_current'))]",
        check_company=True,
        help="Money transferred to the bank (银行存款).",
    )
    prepay_code_account_id = fields.Many2one(
        "account.account",
        string="Payer Code Account",
        domain="[('account_type', 'in', ('asset_cash', 'asset_current'))]",
        check_company=True,
        help="WeChat and Alipay codes scanned at the counter (其他货币资金).",
    )
    prepay_all_to_cash = fields.Boolean(
        string="Everything to the Cash Account",
        help="Counter methods without an account of their own are posted to the cash account.",
    )
    prepay_liability_account_id = fields.Many2one(
        "account.account",
        string="Prepayment Liability",
        domain="[('account_type', '=', 'liability_current')]",
        check_company=True,
        help="合同负债 (2204) or, for small enterprises, 预收账款 (2203).",
    )
    prepay_ledger_problem = fields.Char(
        string="General Ledger Waits", readonly=True, help="Why wallet entries cannot be posted."
    )
    prepay_policy_id = fields.Many2one(
        "prepay.supply.policy", string="Supply Policy", check_company=True
    )
    prepay_calendar_id = fields.Many2one(
        "prepay.calendar",
        string="Holiday Calendar",
        check_company=True,
        help="For places without a calendar of their own. Empty: China's public holidays.",
    )
    prepay_four_eyes = fields.Boolean(
        string="Second Person for Prices",
        default=True,
        help="A new price of a tariff in use is approved by another person than the one who submits it.",
    )
    prepay_ceiling_electricity = fields.Float(
        string="Electricity Price Ceiling",
        digits="Prepaid Price",
        help="Highest price allowed where power is sold on (转供电), CNY per kWh. 0: none.",
    )
    prepay_ceiling_water = fields.Float(
        string="Water Price Ceiling",
        digits="Prepaid Price",
        help="Highest price allowed, CNY per m³. 0: none.",
    )
    prepay_ceiling_with_service = fields.Boolean(
        string="Ceiling Covers the Service Fee",
        default=True,
        help="Whether the law limits the price with the service fee on top differs by province.",
    )
    prepay_posting = fields.Selection(
        [("daily", "After each local day"), ("run", "With each rating run")],
        string="Charges Are Posted",
        default="daily",
        required=True,
        help="Until a charge is posted it is accrued: the available amount is right in both cases.",
    )
    prepay_charge_estimates = fields.Boolean(
        string="Charge Estimates",
        help="An estimated reading is charged provisionally. The first true reading settles it by one "
        "difference.",
    )
    prepay_max_topup = fields.Monetary(
        string="Largest Top-up",
        default=5000,
        help="A single sale above this amount is refused.",
        currency_field="currency_id",
    )

    def _prepay_calendar(self):
        """The company's calendar, or China's public holidays."""
        self.ensure_one()
        shipped = self.env.ref("prepay_billing.calendar_china", raise_if_not_found=False)
        return self.sudo().prepay_calendar_id or shipped or self.env["prepay.calendar"]

    prepay_four_eyes_limit = fields.Monetary(
        string="Four-eyes Limit",
        default=500,
        help="Above it a second person approves refunds, reversals, adjustments and transfers.",
        currency_field="currency_id",
    )

    prepay_require_shift = fields.Boolean(
        string="Counter Money Needs a Shift",
        help="Without an open shift nothing is sold and no cash is paid out.",
    )
    prepay_auto_shift = fields.Boolean(
        string="Open Shifts by Themselves",
        help="The first sale of a cashier opens a shift, with the float left in the drawer.",
    )

    def _prepay_money_account(self, method):
        """The account where money of a counter method stands; empty where it is not set."""
        self.ensure_one()
        account = {
            "cash": self.prepay_cash_account_id,
            "card": self.prepay_card_account_id,
            "transfer": self.prepay_transfer_account_id,
            "wechat_code": self.prepay_code_account_id,
            "alipay_code": self.prepay_code_account_id,
        }.get(method, self.prepay_cash_account_id)
        if not account and self.prepay_all_to_cash:
            return self.prepay_cash_account_id
        return account

    def _prepay_env(self):
        """The environment in this company's language, for texts that are stored."""
        self.ensure_one()
        return self.with_context(lang=self.partner_id.lang or self.env.lang).env

    def _prepay_create_accounting(self):
        """Fill in the missing journal and accounts from the company's chart.

        Chinese charts know 220400 合同负债 (enterprises) or only 220300 预收账款 (small enterprises); for
        other charts a liability account is created. Nothing that is already set is changed.

        :return: names of what was set or created, for the user
        """
        done = []
        for company in self:
            env = self.with_company(company).env
            accounts = env["account.account"]
            domain = accounts._check_company_domain(company)
            if not company.prepay_liability_account_id:
                liability = accounts
                for code in ("2204", "2203"):
                    liability = liability or accounts.search(
                        [
                            *domain,
                            ("code", "=like", f"{code}%"),
                            ("account_type", "=", "liability_current"),
                        ],
                        limit=1,
                    )
                company.prepay_liability_account_id = liability or accounts.create(
                    {
                        "name": company._prepay_env()._("Prepaid utilities of tenants"),
                        "code": accounts._search_new_account_code("220400"),
                        "account_type": "liability_current",
                        "company_ids": [(4, company.id)],
                    }
                )
                done.append(company.prepay_liability_account_id.display_name)
            if not company.prepay_cash_account_id:
                cash_journal = env["account.journal"].search(
                    [*env["account.journal"]._check_company_domain(company), ("type", "=", "cash")],
                    limit=1,
                )
                company.prepay_cash_account_id = cash_journal.default_account_id or accounts.search(
                    [*domain, ("account_type", "=", "asset_cash")], limit=1
                )
                done.append(company.prepay_cash_account_id.display_name)
            bank = (
                env["account.journal"]
                .search(
                    [*env["account.journal"]._check_company_domain(company), ("type", "=", "bank")],
                    limit=1,
                )
                .default_account_id
            )
            for field in ("prepay_card_account_id", "prepay_transfer_account_id"):
                if not company[field] and bank:
                    company[field] = bank
                    done.append(bank.display_name)
            if not company.prepay_code_account_id:
                company.prepay_code_account_id = accounts.create(
                    {
                        "name": company._prepay_env()._("Payer codes, not settled"),
                        "code": accounts._search_new_account_code("101220"),
                        "account_type": "asset_current",
                        "reconcile": True,
                        "company_ids": [(4, company.id)],
                    }
                )
                done.append(company.prepay_code_account_id.display_name)
            if not company.prepay_journal_id:
                company.prepay_journal_id = env["account.journal"].create(
                    {
                        "name": company._prepay_env()._("Prepaid utilities"),
                        "code": "PREP",
                        "type": "general",
                        "company_id": company.id,
                    }
                )
                done.append(company.prepay_journal_id.display_name)
        return done
