from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"  # pylint: disable=consider-merging-classes-inherited

    prepay_batch_power_limit = fields.Integer(
        related="company_id.prepay_batch_power_limit", readonly=False
    )
    prepay_batch_price_limit = fields.Integer(
        related="company_id.prepay_batch_price_limit", readonly=False
    )
