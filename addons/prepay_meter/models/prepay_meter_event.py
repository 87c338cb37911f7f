from odoo import api, fields, models


class PrepayMeterEvent(models.Model):
    """Journal of what went wrong, or was noteworthy, on a meter or gateway.

    While a trouble lasts there is one open row with a counter, not a row for each poll; the collector
    clears it when the meter answers well again.
    """

    _name = "prepay.meter.event"
    _description = "Meter Event"
    _order = "last_at desc, id desc"
    _rec_name = "kind"

    meter_id = fields.Many2one("prepay.meter", index=True, ondelete="cascade", readonly=True)
    gateway_id = fields.Many2one("prepay.gateway", index=True, ondelete="cascade", readonly=True)
    location_id = fields.Many2one(
        "prepay.location", compute="_compute_place", store=True, index=True
    )
    company_id = fields.Many2one("res.company", compute="_compute_place", store=True, index=True)
    kind = fields.Selection(
        [
            ("timeout", "No answer"),
            ("crc", "Wrong checksum"),
            ("wrong_unit", "Answer of another meter"),
            ("unknown_address", "Unknown meter address"),
            ("exception", "Refused by the meter"),
            ("malformed", "Unreadable value"),
            ("decrease", "Register went down"),
            ("spike", "Register jumped"),
            ("clock", "Reading from the future"),
            ("stuck", "Register does not move while power flows"),
            ("reset", "Register was reset"),
            ("unit", "Unit changed (×1000)"),
            ("clock_drift", "Clock of the meter is wrong"),
            ("unverified", "Verification of the meter is out of date"),
            ("offline", "Meter offline"),
            ("overload", "Overload"),
            ("malicious_load", "Malicious load"),
            ("low_battery", "Battery low"),
            ("valve_fault", "Valve or relay fault"),
            ("setting_refused", "Setting refused by the meter"),
            ("credit_stopped", "Credit in the meter needs a person"),
            ("gateway_offline", "Gateway offline"),
            ("unknown_device", "Unknown device dialled in"),
            ("takeover", "Two devices claim one identity"),
            ("sim_changed", "SIM card changed"),
            ("message", "Unreadable message"),
            ("relay_mismatch", "Relay is not as commanded"),
            ("load_when_open", "Still counts after the cut"),
        ],
        required=True,
        readonly=True,
    )
    severity = fields.Selection(
        [("info", "Information"), ("warning", "Warning"), ("alarm", "Alarm")],
        required=True,
        default="warning",
        readonly=True,
    )
    detail = fields.Char(readonly=True)
    first_at = fields.Datetime(required=True, default=fields.Datetime.now, readonly=True)
    last_at = fields.Datetime(required=True, default=fields.Datetime.now, readonly=True)
    count = fields.Integer(string="Times", default=1, readonly=True)
    cleared_at = fields.Datetime(readonly=True)

    _open_unique = models.UniqueIndex(
        "(COALESCE(meter_id, 0), COALESCE(gateway_id, 0), kind) WHERE cleared_at IS NULL",
        "This trouble is already open.",
    )

    @api.depends("meter_id.location_id", "gateway_id.location_id")
    def _compute_place(self):
        for event in self:
            place = event.meter_id.location_id or event.gateway_id.location_id
            event.location_id = place
            event.company_id = place.company_id

    def action_clear(self):
        """Mark the trouble as dealt with; it opens again when it happens again."""
        self.check_access("read")
        self.env["prepay.meter.event"].check_access("write")
        self.filtered(lambda event: not event.cleared_at).cleared_at = fields.Datetime.now()
