from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    prepay_poll_minutes = fields.Float(related="company_id.prepay_poll_minutes", readonly=False)
