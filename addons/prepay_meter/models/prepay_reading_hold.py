from datetime import timedelta

from odoo import fields, models
from odoo.exceptions import UserError

from .. import quality
from ..big_integer import BigInteger
from ..channels import REGISTER_SELECTION
from .prepay_reading_mixin import EPOCH

RULES = [
    ("decrease", "Register went down"),
    ("reset", "Register was reset or replaced"),
    ("spike", "Jump larger than the meter can carry"),
    ("unit", "Unit changed (×1000)"),
    ("clock", "In the future"),
    ("rates", "Rates do not add up to the total"),
    ("conflict", "Two values of one moment"),
]
#: Days of use from which an average is taken.
AVERAGE_DAYS = 30


class PrepayReadingHold(models.Model):
    """A reading that the quality rules doubt. It is never billed and never used to cut.

    A person resolves it with a reason: the value is right (it becomes a reading) or wrong; was read on
    site instead; is estimated for people until a true one arrives; or the register began anew. All is
    kept. While a doubt lasts there is one row with a counter; each held answer is kept as well.
    """

    _name = "prepay.reading.hold"
    _description = "Held Reading"
    _inherit = ["mail.thread"]
    _order = "last_at desc, id desc"
    _rec_name = "meter_id"

    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="restrict", readonly=True
    )
    location_id = fields.Many2one(related="meter_id.location_id", store=True, index=True)
    building_id = fields.Many2one(related="location_id.building_id", string="Building")
    company_id = fields.Many2one(related="meter_id.company_id", store=True, index=True)
    channel = fields.Selection(REGISTER_SELECTION, required=True, readonly=True)
    rule = fields.Selection(RULES, string="Reason", required=True, readonly=True)
    first_at = fields.Datetime(string="First Held", required=True, readonly=True)
    last_at = fields.Datetime(string="Last Held", required=True, readonly=True)
    count = fields.Integer(string="Times", default=1, readonly=True)
    previous_at = fields.Datetime(string="Last Good Reading", readonly=True)
    previous_value = BigInteger(string="Last Good Value (Wh or L)", readonly=True)
    value = BigInteger(string="Held Value (Wh or L)", required=True, readonly=True)
    previous_quantity = fields.Float(
        string="Last Good Register (kWh or m³)", compute="_compute_quantities", digits=(16, 3)
    )
    quantity = fields.Float(
        string="Held Register (kWh or m³)", compute="_compute_quantities", digits=(16, 3)
    )
    detail = fields.Char(readonly=True)
    value_ids = fields.One2many("prepay.reading.hold.value", "hold_id", string="Held Values")
    state = fields.Selection(
        [
            ("held", "Held"),
            ("accepted", "Accepted"),
            ("corrected", "Corrected"),
            ("estimated", "Estimated"),
            ("rebased", "New Baseline"),
            ("rejected", "Rejected"),
        ],
        default="held",
        required=True,
        readonly=True,
        tracking=True,
        index=True,
    )
    resolution = fields.Char(help="Why the value was accepted or rejected.", tracking=True)
    resolved_by_id = fields.Many2one("res.users", readonly=True)
    resolved_at = fields.Datetime(readonly=True)

    _open_unique = models.UniqueIndex(
        "(meter_id, channel, rule) WHERE state = 'held'", "This doubt is already open."
    )

    def _compute_quantities(self):
        for hold in self:
            hold.previous_quantity = hold.previous_value / 1000
            hold.quantity = hold.value / 1000

    # actions

    def action_accept(self):
        """The newest held value is right: it becomes a reading, with those before it that lead to it."""
        for hold in self._resolvable():
            hold._accept()
            hold._resolve("accepted")

    def action_reject(self):
        """The held value is wrong and is left out of everything."""
        for hold in self._resolvable():
            hold._resolve("rejected")

    def action_resolve(self):
        """Open the dialogue that resolves these."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_reading_hold_wizard_action"
        )
        kind = self.env.context.get("hold_action")
        action["context"] = {
            "default_hold_ids": self.ids,
            **({"default_action": kind} if kind else {}),
        }
        return action

    def action_open_meter(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "prepay.meter",
            "res_id": self.meter_id.id,
            "view_mode": "form",
        }

    # resolving

    def _resolvable(self):
        self.check_access("write")
        for hold in self:
            if hold.state != "held":
                raise UserError(
                    self.env._(
                        "The held reading of meter %s is already resolved.", hold.meter_id.number
                    )
                )
            if not hold.resolution:
                raise UserError(
                    self.env._(
                        "Meter %s: enter why the value is accepted or rejected.",
                        hold.meter_id.number,
                    )
                )
        return self

    def _resolve(self, state, note=None, attachments=None):
        """Close it in the journal of the record and tell the collector."""
        self.ensure_one()
        self.write(
            {"state": state, "resolved_by_id": self.env.uid, "resolved_at": fields.Datetime.now()}
        )
        if note:
            self.message_post(body=note, attachments=attachments)
        if state not in ("rejected", "estimated"):
            doubts = [quality.Doubt(rule, "").kind for rule, _label in RULES]
            self.env["prepay.meter.event"].sudo().search(
                [
                    ("meter_id", "=", self.meter_id.id),
                    ("kind", "in", doubts),
                    ("cleared_at", "=", False),
                ]
            ).cleared_at = fields.Datetime.now()
        self.env["prepay.gateway"]._notify_collector()

    def _limits(self):
        """What the quality rules know of the meter (:class:`quality.Limits`)."""
        profile = self.meter_id.profile_id
        rate = profile.max_power_w if profile.medium == "electricity" else 0
        return quality.Limits(rate, profile.modulus, confirm_first=False)

    def _points(self):
        """Held values of these records: dict of channel → points in order of time."""
        found = {}
        for hold in self:
            rows = [(item.channel, item.value, item.read_at) for item in hold.value_ids]
            for channel, value, at in rows or [(hold.channel, hold.value, hold.last_at)]:
                found.setdefault(channel, {})[at] = value
        return {
            channel: [quality.Point(values[at], at) for at in sorted(values)]
            for channel, values in found.items()
        }

    def _check_fits(self, channel, value, at):
        """Raise UserError unless a value may stand between the readings that are stored."""
        self.ensure_one()
        if not EPOCH < at <= fields.Datetime.now() + quality.CLOCK_TOLERANCE:
            raise UserError(
                self.env._(
                    "Meter %(meter)s: the time %(at)s cannot be right. "
                    "Enter the value with its true time as a correction.",
                    meter=self.meter_id.number,
                    at=self._local(at),
                )
            )
        reading = self.env["prepay.reading"]
        before = reading._neighbour(self.meter_id, channel, at, before=True)
        after = reading._neighbour(self.meter_id, channel, at, before=False)
        if before is None and channel == self.channel and self.previous_value:
            before = self.previous_at or self.first_at, self.previous_value
        if after and after[0] == at:
            raise UserError(
                self.env._(
                    "Meter %(meter)s has a reading of %(at)s already. A reading is never changed.",
                    meter=self.meter_id.number,
                    at=self._local(at),
                )
            )
        modulus = self.meter_id.profile_id.modulus
        for old, new in ((before and before[1], value), (value, after and after[1])):
            if old is None or new is None or new >= old or quality.rolled_over(old, new, modulus):
                continue
            if new == value:
                raise UserError(
                    self.env._(
                        "Meter %(meter)s: the register went from %(old)s to %(new)s. "
                        "A lower value cannot become a reading. Reject it, or record a new baseline "
                        "when the register was reset or the meter replaced.",
                        meter=self.meter_id.number,
                        old=old / 1000,
                        new=new / 1000,
                    )
                )
            raise UserError(
                self.env._(
                    "Meter %(meter)s: the next reading is %(next)s, lower than %(new)s. "
                    "The held value cannot be right. Reject it.",
                    meter=self.meter_id.number,
                    next=new / 1000,
                    new=old / 1000,
                )
            )
        return before

    def _local(self, at):
        return fields.Datetime.to_string(fields.Datetime.context_timestamp(self, at))

    def _accept(self):
        """Store the newest held value of each register, and the earlier ones that lead to it."""
        limits = self._limits()
        points = self._points()
        rows = []
        for channel, held in sorted(points.items(), key=lambda item: item[0] != self.channel):
            newest = held[-1]
            if channel == self.channel:
                newest = quality.Point(self.value, self.last_at)
                before = self._check_fits(channel, *newest)
            else:
                try:
                    before = self._check_fits(channel, *newest)
                except UserError:
                    continue  # another register of the answer may still be wrong
            rows.append((self.meter_id.id, channel, newest.at, newest.value))
            follows = newest
            for point in reversed(held):
                fits = point.at < follows.at and (before is None or point.value >= before[1])
                if before is not None and point.at <= before[0]:
                    break
                if fits and quality.agrees(point, follows, limits.max_rate):
                    rows.append((self.meter_id.id, channel, point.at, point.value))
                    follows = point
        self.env["prepay.reading"]._ingest(rows)

    def _correct(self, value, at, photo=None):
        """Store what a person read on site.

        :param value: register in Wh or L
        :param at: naive UTC
        :param photo: (file name, content) or None
        """
        self._check_fits(self.channel, value, at)
        self.env["prepay.reading"]._ingest([(self.meter_id.id, self.channel, at, value)])
        note = self.env._(
            "Read on site: %(value)s on %(at)s.", value=value / 1000, at=self._local(at)
        )
        self._resolve("corrected", note, [photo] if photo else None)

    def _estimate(self, end_at, value=None):
        """Estimate what the register shows at a moment, in an own record.

        :param value: register in Wh or L; None takes the average use of the last days
        """
        start_at, start = self.previous_at, self.previous_value
        if not start_at:
            raise UserError(
                self.env._(
                    "Meter %s has no good reading to estimate from. Enter the value read on site.",
                    self.meter_id.number,
                )
            )
        method = "person" if value is not None else "average"
        if value is None:
            value = start + self._average_use(start_at, end_at)
        if end_at <= start_at or value < start:
            raise UserError(
                self.env._(
                    "Meter %(meter)s: an estimate lies after %(at)s and not below %(value)s.",
                    meter=self.meter_id.number,
                    at=self._local(start_at),
                    value=start / 1000,
                )
            )
        estimate = (
            self.env["prepay.reading.estimate"]
            .sudo()
            .create(
                {
                    "meter_id": self.meter_id.id,
                    "channel": self.channel,
                    "start_at": start_at,
                    "end_at": end_at,
                    "start_value": start,
                    "value": value,
                    "method": method,
                    "reason": self.resolution,
                    "user_id": self.env.uid,
                    "hold_id": self.id,
                }
            )
        )
        note = self.env._(
            "Estimated: %(value)s on %(at)s.", value=value / 1000, at=self._local(end_at)
        )
        self._resolve("estimated", note)
        return estimate

    def _average_use(self, start_at, end_at):
        """Use in Wh or L between two moments, as much a day as in the days before."""
        first = start_at.date() - timedelta(days=AVERAGE_DAYS)
        days = self.env["prepay.reading.daily"].search(
            [
                ("meter_id", "=", self.meter_id.id),
                ("channel", "=", self.channel),
                ("day", ">=", first),
            ]
        )
        if not days:
            raise UserError(
                self.env._(
                    "Meter %s has no use of the last days to take an average from. Enter the estimate.",
                    self.meter_id.number,
                )
            )
        span = (max(days.mapped("day")) - min(days.mapped("day"))).days + 1
        seconds = int((end_at - start_at).total_seconds())
        return sum(days.mapped("consumption")) * seconds // (span * 86_400)

    def _rebase(self, at, old_end, new_start):
        """The register began anew at a moment: record it, and go on with the new one.

        Other registers of the meter that fell at the same time begin anew with it. What was held after
        the moment and fits becomes readings; all open doubts about these registers are closed.

        :param at: naive UTC, after the last good reading
        :param old_end: last value of the old register, in Wh or L
        :param new_start: first value of the new register
        """
        reading = self.env["prepay.reading"]
        meter = self.meter_id
        holds = self.search([("meter_id", "=", meter.id), ("state", "=", "held")]) | self
        points = holds._points()
        begins = {self.channel: (old_end, new_start)}
        for channel, held in points.items():
            before = reading._neighbour(meter, channel, at, before=True)
            first = next((point for point in held if point.at >= at), None)
            if channel not in begins and before and first and first.value < before[1]:
                begins[channel] = before[1], first.value
        self.env["prepay.reading.baseline"].sudo().create(
            [
                {
                    "meter_id": meter.id,
                    "channel": channel,
                    "at": at,
                    "old_end": end,
                    "new_start": start,
                    "reason": self.resolution,
                    "user_id": self.env.uid,
                    "hold_id": self.id,
                }
                for channel, (end, start) in begins.items()
            ]
        )
        self._replay(points, at, begins)
        note = self.env._(
            "The register ended at %(old)s and began anew at %(new)s on %(at)s.",
            old=old_end / 1000,
            new=new_start / 1000,
            at=self._local(at),
        )
        for hold in holds.filtered(lambda item: item.channel in begins):
            hold.resolution = hold.resolution or self.resolution
            hold._resolve("rebased", note)

    def _replay(self, points, at, begins):
        """Store held values after a moment that are plausible now."""
        reading = self.env["prepay.reading"]
        rows = []
        for channel, held in points.items():
            before = (
                (at, begins[channel][1])
                if channel in begins
                else reading._neighbour(self.meter_id, channel, at, before=True)
            )
            results = quality.assess_series(
                [point for point in held if point.at > at],
                fields.Datetime.now(),
                self._limits(),
                before and quality.Point(before[1], before[0]),
            )
            rows += [
                (self.meter_id.id, channel, result.at, result.value)
                for result in results
                if result.accept
            ]
        reading._ingest(rows, "late")
