from odoo import api, fields, models

from ..big_integer import BigInteger

RELAY_STATES = [("closed", "On"), ("open", "Off")]


class PrepayMeterState(models.Model):
    """What the collector knows of a meter: last values, reported relay state, communication.

    The collector writes these rows by SQL, one row for each meter. They stand apart from the meter so
    that polling never collides with users, and so that lists need no scan of the readings.
    """

    _name = "prepay.meter.state"
    _description = "Meter State"
    _log_access = False
    _rec_name = "id"

    online = fields.Boolean(
        readonly=True, help="Answered at the last poll (offline after three missed polls)."
    )
    last_seen = fields.Datetime(readonly=True)
    missed_polls = fields.Integer(readonly=True, aggregator=None)
    last_read_at = fields.Datetime(string="Last Reading", readonly=True)
    last_value = BigInteger(
        string="Register (Wh or L)",
        readonly=True,
        aggregator=None,
        help="Newest accepted total register, in Wh or litres.",
    )
    power_w = fields.Integer(string="Power (W)", readonly=True)
    voltage_mv = fields.Integer(string="Voltage (mV)", readonly=True, aggregator="avg")
    current_ma = fields.Integer(string="Current (mA)", readonly=True)
    relay_reported = fields.Selection(RELAY_STATES, string="Reported Relay", readonly=True)
    relay_reported_at = fields.Datetime(readonly=True)
    remaining_fen = BigInteger(string="Credit in the Meter (fen)", readonly=True, aggregator=None)
    overdraft_fen = BigInteger(
        string="Overdraft in the Meter (fen)", readonly=True, aggregator=None
    )
    purchase_count = fields.Integer(readonly=True, aggregator=None)
    battery_low = fields.Boolean(readonly=True)
    clock_drift_s = fields.Integer(
        string="Clock Drift (s)",
        readonly=True,
        aggregator=None,
        help="Clock of the meter minus true time; positive when it is fast.",
    )
    last_error = fields.Char(readonly=True)

    register = fields.Float(
        string="Register (kWh or m³)",
        compute="_compute_register",
        digits=(16, 2),
        help="Newest accepted total register.",
    )

    @api.depends("last_value")
    def _compute_register(self):
        for state in self:
            state.register = state.last_value / 1000
