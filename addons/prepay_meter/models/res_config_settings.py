from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    prepay_poll_minutes = fields.Float(related="company_id.prepay_poll_minutes", readonly=False)
    prepay_load_guard = fields.Selection(related="company_id.prepay_load_guard", readonly=False)
    prepay_recovery_minutes = fields.Integer(
        related="company_id.prepay_recovery_minutes", readonly=False
    )
    prepay_recoveries_per_hour = fields.Integer(
        related="company_id.prepay_recoveries_per_hour", readonly=False
    )
    prepay_meter_lost_hours = fields.Integer(
        related="company_id.prepay_meter_lost_hours", readonly=False
    )
    prepay_gateway_lost_minutes = fields.Integer(
        related="company_id.prepay_gateway_lost_minutes", readonly=False
    )
    prepay_compact_days = fields.Integer(
        string="Compact Readings After (days)",
        config_parameter="prepay_meter.compact_days",
        default=35,
    )
    prepay_electrical_days = fields.Integer(
        string="Keep Electrical Parameters (days)",
        config_parameter="prepay_meter.electrical_days",
        default=60,
    )
    prepay_archive_months = fields.Integer(
        string="Archive Readings After (months)",
        config_parameter="prepay_meter.archive_months",
        default=0,
    )
