from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    prepay_poll_minutes = fields.Float(related="company_id.prepay_poll_minutes", readonly=False)
    prepay_meter_lost_hours = fields.Integer(
        related="company_id.prepay_meter_lost_hours", readonly=False
    )
    prepay_gateway_lost_minutes = fields.Integer(
        related="company_id.prepay_gateway_lost_minutes", readonly=False
    )
