from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    prepay_clearing_account_id = fields.Many2one(
        related="company_id.prepay_clearing_account_id", readonly=False
    )
