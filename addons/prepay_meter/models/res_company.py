from odoo import fields, models


class ResCompany(models.Model):
    _inherit = "res.company"

    prepay_poll_minutes = fields.Float(
        string="Reading Interval (min)", default=30, digits=(8, 2), help="Proposed for new meters."
    )
    prepay_load_guard = fields.Selection(
        [
            ("journal", "Write it into the journal"),
            ("cut", "Cut, and switch on again after a pause"),
        ],
        string="On Overload or Malicious Load",
        required=True,
        default="journal",
        help="For meters that have no such limit themselves.",
    )
    prepay_recovery_minutes = fields.Integer(
        string="Pause After an Overload (min)", required=True, default=10
    )
    prepay_recoveries_per_hour = fields.Integer(
        string="Recoveries per Hour",
        required=True,
        default=3,
        help="After so many the supply stays off until a person decides.",
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

    _prepay_recovery_range = models.Constraint(
        "CHECK (prepay_recovery_minutes BETWEEN 1 AND 1440 AND prepay_recoveries_per_hour BETWEEN 0 AND 6)",
        "The pause after an overload must lie between 1 minute and one day, the recoveries between 0 and 6.",
    )
    _prepay_lost_range = models.Constraint(
        "CHECK (prepay_meter_lost_hours > 0 AND prepay_gateway_lost_minutes > 0)",
        "The times after which meters and gateways are lost must be longer than zero.",
    )
