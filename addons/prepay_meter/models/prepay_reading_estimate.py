from odoo import api, fields, models
from odoo.tools import SQL

from .. import storage
from ..big_integer import BigInteger
from ..channels import REGISTER_SELECTION


class PrepayReadingEstimate(models.Model):
    """What a register probably showed while the meter could not be read.

    An estimate is for people. It never becomes a reading, and nobody is cut for it; billing charges it
    only where the company wants that, provisionally, and settles it with the true reading.
    The first true reading at or after its end supersedes it. Values are in Wh or litres, times UTC.
    """

    _name = "prepay.reading.estimate"
    _description = "Estimated Reading"
    _order = "end_at desc, id desc"
    _rec_name = "meter_id"

    meter_id = fields.Many2one(
        "prepay.meter", required=True, ondelete="restrict", readonly=True, index=True
    )
    location_id = fields.Many2one(related="meter_id.location_id", string="Place")
    company_id = fields.Many2one(related="meter_id.company_id")
    channel = fields.Selection(REGISTER_SELECTION, required=True, readonly=True)
    start_at = fields.Datetime(string="From", required=True, readonly=True)
    end_at = fields.Datetime(string="Until", required=True, readonly=True)
    start_value = BigInteger(string="Last Good Value (Wh or L)", required=True, readonly=True)
    value = BigInteger(string="Estimated Value (Wh or L)", required=True, readonly=True)
    quantity = fields.Float(
        string="Estimated Use (kWh or m³)",
        compute="_compute_quantity",
        store=True,
        digits=(16, 3),
    )
    method = fields.Selection(
        [("average", "Average of the last days"), ("person", "Estimated by a person")],
        required=True,
        readonly=True,
    )
    reason = fields.Char(required=True, readonly=True)
    user_id = fields.Many2one(
        "res.users", string="By", required=True, readonly=True, default=lambda self: self.env.user
    )
    hold_id = fields.Many2one(
        "prepay.reading.hold", string="Held Reading", readonly=True, ondelete="restrict"
    )
    state = fields.Selection(
        [("current", "Estimated"), ("superseded", "Superseded by a reading")],
        default="current",
        required=True,
        readonly=True,
        index=True,
    )
    true_at = fields.Datetime(string="Read On", readonly=True)
    true_value = BigInteger(string="Read Value (Wh or L)", readonly=True)

    _period = models.Constraint(
        "CHECK (end_at > start_at)", "An estimate must end after the last good reading."
    )
    _rising = models.Constraint(
        "CHECK (value >= start_value)", "An estimate must not lie below the last good value."
    )

    @api.depends("start_value", "value")
    def _compute_quantity(self):
        for estimate in self:
            estimate.quantity = (estimate.value - estimate.start_value) / 1000

    @api.model
    def _supersede(self):
        """Close the estimates for which a true reading has arrived meanwhile."""
        self.flush_model()
        self.env.cr.execute(
            SQL(
                """
                UPDATE prepay_reading_estimate e
                   SET state = 'superseded', true_at = r.read_at, true_value = r.value
                  FROM prepay_reading_estimate o
                 CROSS JOIN LATERAL (
                       SELECT read_at, value
                         FROM prepay_readings(o.meter_id, %s, o.end_at - interval '1 second', 'infinity')
                        ORDER BY read_at LIMIT 1
                       ) r
                 WHERE o.state = 'current' AND e.id = o.id
                """,
                storage.channel_number(SQL("o.channel")),
            )
        )
        count = self.env.cr.rowcount
        self.invalidate_model()
        return count
