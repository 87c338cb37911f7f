from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    prepay_journal_id = fields.Many2one(related="company_id.prepay_journal_id", readonly=False)
    prepay_cash_account_id = fields.Many2one(
        related="company_id.prepay_cash_account_id", readonly=False
    )
    prepay_liability_account_id = fields.Many2one(
        related="company_id.prepay_liability_account_id", readonly=False
    )
    prepay_card_account_id = fields.Many2one(
        related="company_id.prepay_card_account_id", readonly=False
    )
    prepay_transfer_account_id = fields.Many2one(
        related="company_id.prepay_transfer_account_id", readonly=False
    )
    prepay_code_account_id = fields.Many2one(
        related="company_id.prepay_code_account_id", readonly=False
    )
    prepay_all_to_cash = fields.Boolean(related="company_id.prepay_all_to_cash", readonly=False)
    prepay_require_shift = fields.Boolean(related="company_id.prepay_require_shift", readonly=False)
    prepay_auto_shift = fields.Boolean(related="company_id.prepay_auto_shift", readonly=False)
    prepay_ledger_problem = fields.Char(related="company_id.prepay_ledger_problem")
    prepay_policy_id = fields.Many2one(related="company_id.prepay_policy_id", readonly=False)
    prepay_calendar_id = fields.Many2one(related="company_id.prepay_calendar_id", readonly=False)
    prepay_four_eyes = fields.Boolean(related="company_id.prepay_four_eyes", readonly=False)
    prepay_ceiling_electricity = fields.Float(
        related="company_id.prepay_ceiling_electricity", readonly=False
    )
    prepay_ceiling_water = fields.Float(related="company_id.prepay_ceiling_water", readonly=False)
    prepay_ceiling_with_service = fields.Boolean(
        related="company_id.prepay_ceiling_with_service", readonly=False
    )
    prepay_blast_percent = fields.Integer(related="company_id.prepay_blast_percent", readonly=False)
    prepay_blast_count = fields.Integer(related="company_id.prepay_blast_count", readonly=False)
    prepay_blast_user_id = fields.Many2one(
        related="company_id.prepay_blast_user_id", readonly=False
    )
    prepay_posting = fields.Selection(
        related="company_id.prepay_posting", readonly=False, required=True
    )
    prepay_charge_estimates = fields.Boolean(
        related="company_id.prepay_charge_estimates", readonly=False
    )
    prepay_max_topup = fields.Monetary(
        related="company_id.prepay_max_topup", readonly=False, currency_field="company_currency_id"
    )
    prepay_hoarding_limit = fields.Monetary(
        related="company_id.prepay_hoarding_limit",
        readonly=False,
        currency_field="company_currency_id",
    )
    prepay_quick_amounts = fields.Char(related="company_id.prepay_quick_amounts", readonly=False)
    prepay_codes_elsewhere = fields.Boolean(
        related="company_id.prepay_codes_elsewhere", readonly=False
    )
    prepay_four_eyes_limit = fields.Monetary(
        related="company_id.prepay_four_eyes_limit",
        readonly=False,
        currency_field="company_currency_id",
    )
    company_currency_id = fields.Many2one(
        related="company_id.currency_id", string="Prepaid Currency"
    )

    def action_prepay_create_accounting(self):
        """Set up the missing journal and accounts and show what was made."""
        done = self.company_id._prepay_create_accounting()
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._("Set up: %s", ", ".join(done))
                if done
                else self.env._("Everything was set already."),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }
