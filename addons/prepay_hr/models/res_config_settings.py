from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    prepay_hr_electricity_tariff_id = fields.Many2one(
        related="company_id.prepay_hr_electricity_tariff_id", readonly=False
    )
    prepay_hr_water_tariff_id = fields.Many2one(
        related="company_id.prepay_hr_water_tariff_id", readonly=False
    )
    prepay_hr_settlement_user_id = fields.Many2one(
        related="company_id.prepay_hr_settlement_user_id", readonly=False
    )
