from odoo import fields, models


class ResCompany(models.Model):
    _inherit = "res.company"

    prepay_poll_minutes = fields.Float(
        string="Reading Interval (min)", default=30, digits=(8, 2), help="Proposed for new meters."
    )
    prepay_meter_lost_hours = fields.Integer(
        string="Meter Lost After (h)",
        default=24,
        help="A meter that has not answered for so long is listed as lost.",
    )
    prepay_gateway_lost_minutes = fields.Integer(
        string="Gateway Lost After (min)",
        default=15,
        help="A gateway that has been silent for so long is listed as lost.",
    )

    _prepay_lost_range = models.Constraint(
        "CHECK (prepay_meter_lost_hours > 0 AND prepay_gateway_lost_minutes > 0)",
        "The times after which meters and gateways are lost must be longer than zero.",
    )
