from odoo import api, fields, models
from odoo.exceptions import ValidationError

from .. import storage
from ..big_integer import BigInteger
from ..channels import BY_CODE, REGISTER_SELECTION


class PrepayReadingBaseline(models.Model):
    """A register began anew: it was reset, or the meter was replaced (换表).

    Consumption is the sum of differences across the break: up to ``old_end`` on the old register, from
    ``new_start`` on the new one. A row is never changed; values are in Wh or litres, ``at`` is UTC.
    """

    _name = "prepay.reading.baseline"
    _description = "New Baseline of a Register"
    _order = "at desc, id desc"
    _rec_name = "meter_id"

    meter_id = fields.Many2one(
        "prepay.meter", required=True, ondelete="restrict", readonly=True, index=True
    )
    location_id = fields.Many2one(related="meter_id.location_id", string="Place")
    company_id = fields.Many2one(related="meter_id.company_id")
    channel = fields.Selection(REGISTER_SELECTION, required=True, readonly=True)
    channel_number = fields.Integer(compute="_compute_channel_number", store=True)
    at = fields.Datetime(string="Since", required=True, readonly=True)
    old_end = BigInteger(string="End of the Old Register (Wh or L)", required=True, readonly=True)
    new_start = BigInteger(
        string="Start of the New Register (Wh or L)", required=True, readonly=True
    )
    old_quantity = fields.Float(
        string="Old End (kWh or m³)", compute="_compute_quantities", digits=(16, 3)
    )
    new_quantity = fields.Float(
        string="New Start (kWh or m³)", compute="_compute_quantities", digits=(16, 3)
    )
    reason = fields.Char(required=True, readonly=True)
    user_id = fields.Many2one(
        "res.users", string="By", required=True, readonly=True, default=lambda self: self.env.user
    )
    hold_id = fields.Many2one(
        "prepay.reading.hold", string="Held Reading", readonly=True, ondelete="restrict"
    )

    _moment_unique = models.UniqueIndex(
        "(meter_id, channel_number, at)", "The register has a new baseline of that moment already."
    )
    _not_negative = models.Constraint(
        "CHECK (old_end >= 0 AND new_start >= 0)", "A register is never below zero."
    )

    def init(self):
        self.env.cr.execute(storage.STREAM)

    @api.depends("channel")
    def _compute_channel_number(self):
        for baseline in self:
            baseline.channel_number = BY_CODE[baseline.channel].number

    @api.depends("old_end", "new_start")
    def _compute_quantities(self):
        for baseline in self:
            baseline.old_quantity = baseline.old_end / 1000
            baseline.new_quantity = baseline.new_start / 1000

    @api.constrains("meter_id", "channel", "at")
    def _check_newest(self):
        """Readings after the break must be of the new register."""
        for baseline in self:
            after = self.env["prepay.reading"].search(
                [
                    ("meter_id", "=", baseline.meter_id.id),
                    ("channel", "=", baseline.channel),
                    ("read_at", ">=", baseline.at),
                ],
                limit=1,
            )
            if after:
                raise ValidationError(
                    self.env._(
                        "Meter %(meter)s has a reading of %(at)s. The new baseline must lie after it.",
                        meter=baseline.meter_id.number,
                        at=fields.Datetime.context_timestamp(self, after.read_at),
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        """The collector goes on from the new start, and the consumption of the day is counted anew."""
        baselines = super().create(vals_list)
        self.env.flush_all()
        newest = {}
        for baseline in baselines.filtered(lambda item: item.channel in ("energy", "volume")):
            newest[baseline.meter_id.id] = baseline.at, baseline.new_start
        self.env["prepay.reading"]._advance_state(newest)
        self.env["prepay.reading.daily"]._mark(baselines)
        self.env["prepay.gateway"]._notify_collector()
        return baselines
