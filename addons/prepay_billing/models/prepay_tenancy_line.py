from datetime import timedelta
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError

from odoo.addons.prepay_meter import quality
from odoo.addons.prepay_meter.channels import BILLED

#: A reading of the meter that is older is no opening or final reading.
FRESH = timedelta(hours=1)


class PrepayTenancyLine(models.AbstractModel):
    """One meter and its register at the moment in which a tenant takes it over or leaves it.

    The register comes from the meter (its newest accepted reading) or is typed by a person who stands
    in front of it. A typed one becomes a reading like any other, so that use is rated up to it.
    ``register`` counts kWh or m³ as the meter shows them, exact to the Wh or litre.
    """

    _name = "prepay.tenancy.line"
    _description = "Register of a Meter at a Change"
    _rec_name = "meter_id"

    meter_id = fields.Many2one("prepay.meter", required=True, ondelete="restrict", index=True)
    medium = fields.Selection(related="meter_id.medium")
    online = fields.Boolean(related="meter_id.online")
    supply = fields.Selection(related="meter_id.supply")
    last_register = fields.Float(
        related="meter_id.register", string="Last Register (kWh or m³)", digits=(16, 3)
    )
    last_read_at = fields.Datetime(related="meter_id.last_read_at")
    register = fields.Float(string="Register (kWh or m³)", digits=(16, 3), copy=False)
    read_at = fields.Datetime(string="Read On", copy=False)
    source = fields.Selection(
        [("meter", "From the meter"), ("manual", "Read by a person")],
        default="meter",
        required=True,
        copy=False,
    )
    photo = fields.Image(max_width=1920, max_height=1920, copy=False)
    reading_reason = fields.Char(
        string="Why by Hand",
        copy=False,
        help="A meter that is offline needs a photo or a reason.",
    )
    asked_at = fields.Datetime(readonly=True, copy=False)
    reading_state = fields.Selection(
        [
            ("fresh", "Read just now"),
            ("typed", "Typed"),
            ("waiting", "Waiting for the meter"),
            ("old", "Too old"),
            ("none", "No reading"),
        ],
        string="Reading",
        compute="_compute_reading_state",
    )

    @api.depends("source", "read_at", "asked_at", "last_read_at")
    def _compute_reading_state(self):
        now = fields.Datetime.now()
        for line in self:
            if line.source == "manual" and line.read_at:
                line.reading_state = "typed"
            elif line.asked_at and (not line.read_at or line.read_at < line.asked_at):
                line.reading_state = "waiting"
            elif not line.read_at:
                line.reading_state = "none"
            else:
                line.reading_state = "fresh" if now - line.read_at <= FRESH else "old"

    @api.onchange("meter_id")
    def _onchange_meter_id(self):
        if self.meter_id and self.source == "meter":
            self._take_reading()

    @api.onchange("register")
    def _onchange_register(self):
        """Who types a register has read it now; the value of the meter stays one of the meter."""
        known = self.meter_id.last_value / 1000
        if self.meter_id and (not self.meter_id.last_read_at or self.register != known):
            self.source = "manual"
            if not self._origin.read_at or self.register != self._origin.register:
                self.read_at = fields.Datetime.now()

    # buttons

    def action_read_now(self):
        """Ask the meters for a reading; it is taken over when it has arrived.

        :raises UserError: no collector serves the gateway of a meter, or the user is no operator
        """
        result = self.meter_id.action_read_now()
        self.write({"asked_at": fields.Datetime.now(), "source": "meter"})
        return result

    def action_take_reading(self):
        """Take over the newest readings of the meters; what was typed is replaced."""
        for line in self:
            line._take_reading()

    # registers

    def _take_reading(self):
        """The newest accepted reading of the meter, when there is one."""
        self.ensure_one()
        newest = self._newest(self.meter_id)
        if newest:
            self.update(newest)

    @api.model
    def _newest(self, meter):
        """Values of a line with the newest accepted reading of a meter; empty when it has none."""
        # The collector writes the state by SQL, behind the cache.
        meter.state_id.invalidate_recordset()
        meter.invalidate_recordset(["last_read_at", "last_value"])
        if not meter.last_read_at:
            return {}
        return {
            "source": "meter",
            "register": meter.last_value / 1000,
            "read_at": meter.last_read_at,
        }

    def _register_base(self):
        """The register in Wh or litres."""
        self.ensure_one()
        return int(Decimal(f"{self.register:.3f}") * 1000)

    def _check_register(self):
        """Refuse a register that cannot be: it went back, rose faster than the meter can carry, lies in
        the future; or one that is not proven: too old, or typed for an offline meter without a photo or
        a reason. Works without access to readings.

        :raises UserError: names the meter, the value and the remedy
        """
        for line in self.sudo():
            line._check_proof()
            line._check_plausible()

    def _check_proof(self):
        now = fields.Datetime.now()
        meter = self.meter_id
        if not self.read_at:
            raise UserError(
                self.env._(
                    "Meter %s has no reading yet. Press “Read Now”, or enter the register by hand.",
                    meter.number,
                )
            )
        if self.read_at > now + quality.CLOCK_TOLERANCE:
            raise UserError(
                self.env._(
                    "Meter %(meter)s: the time %(at)s lies in the future. Enter when the register was read.",
                    meter=meter.number,
                    at=self._local(self.read_at),
                )
            )
        if self.source == "manual":
            if not meter.online and not self.photo and not (self.reading_reason or "").strip():
                raise UserError(
                    self.env._(
                        "Meter %s is offline: a register read by hand needs a photo or a reason.",
                        meter.number,
                    )
                )
        elif now - self.read_at > FRESH:
            raise UserError(
                self.env._(
                    "Meter %(meter)s: the reading of %(at)s is too old. Press “Read Now”, or enter the "
                    "register by hand with a photo or a reason.",
                    meter=meter.number,
                    at=self._local(self.read_at),
                )
            )

    def _check_plausible(self):
        meter, value, at = self.meter_id, self._register_base(), self.read_at
        channel = BILLED[meter.medium]
        before, same = self._neighbours()
        values = {"meter": meter.number, "new": f"{value / 1000:.3f}", "at": self._local(at)}
        if same is not None:
            if same != value:
                raise UserError(
                    self.env._(
                        "Meter %(meter)s has a reading of %(at)s already: %(old)s, not %(new)s. "
                        "Take over the reading.",
                        old=f"{same / 1000:.3f}",
                        **values,
                    )
                )
            return
        if self.source == "meter":
            raise UserError(
                self.env._(
                    "Meter %(meter)s has no reading of %(at)s. Take over its newest reading.",
                    **values,
                )
            )
        profile = meter.profile_id
        rate = profile.max_power_w if meter.medium == "electricity" else 0
        after = self.env["prepay.reading"]._neighbour(meter, channel, at, before=False)
        result = quality.assess_series(
            [quality.Point(value, at)],
            fields.Datetime.now(),
            quality.Limits(rate, profile.modulus, confirm_first=False),
            before and quality.Point(before[1], before[0]),
            after and quality.Point(after[1], after[0]),
        )[0]
        if result.accept:
            return
        rule = result.doubts[0].rule if result.doubts else "conflict"
        if rule in ("decrease", "reset") and before and value < before[1]:
            raise UserError(
                self.env._(
                    "Meter %(meter)s: %(new)s is below its last reading of %(old)s. Correct the value; a "
                    "register that began anew needs a meter replacement first.",
                    old=f"{before[1] / 1000:.3f}",
                    **values,
                )
            )
        if before and rule in ("spike", "unit"):
            raise UserError(
                self.env._(
                    "Meter %(meter)s: from %(old)s to %(new)s is more than the meter can carry in that "
                    "time. Check the digits and the decimal point.",
                    old=f"{before[1] / 1000:.3f}",
                    **values,
                )
            )
        raise UserError(
            self.env._(
                "Meter %(meter)s: %(new)s at %(at)s does not fit its other readings. Correct the value "
                "or its time.",
                **values,
            )
        )

    def _neighbours(self):
        """(last reading before, value of a reading at the very moment), None where there is none."""
        reading = self.env["prepay.reading"]
        channel = BILLED[self.meter_id.medium]
        before = reading._neighbour(self.meter_id, channel, self.read_at, before=True)
        after = reading._neighbour(self.meter_id, channel, self.read_at, before=False)
        return before, after[1] if after and after[0] == self.read_at else None

    def _store_readings(self):
        """Make readings of what was typed; those of the meter are stored already (R-01)."""
        self.env["prepay.reading"]._ingest(
            [
                (
                    line.meter_id.id,
                    BILLED[line.meter_id.medium],
                    line.read_at,
                    line._register_base(),
                )
                for line in self
                if line.source == "manual"
            ]
        )

    def _local(self, moment):
        """A naive UTC moment in the time zone of the meter's site, for people."""
        zone = self.meter_id.location_id.tz or "Asia/Shanghai"
        return fields.Datetime.to_string(
            fields.Datetime.context_timestamp(self.with_context(tz=zone), moment)
        )
