from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta
from markupsafe import Markup
from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from odoo.addons.prepay_meter.channels import BILLED, BY_CODE

from ..engine.errors import RatingError
from ..engine.rating import Interval, TierState, fees, rate, usage
from ..engine.tariff import YEAR
from .prepay_tariff_simulation_line import SIDES

_BEFORE_ALL = datetime(1900, 1, 2, tzinfo=timezone.utc)
_DAY = timedelta(days=1)


class PrepayTariffSimulation(models.TransientModel):
    """What a month of a meter costs by one tariff and by another. Nothing is charged.

    The readings are rated by the same engine as the charges. Amounts are not carried on to other
    months: each total is rounded once.
    """

    _name = "prepay.tariff.simulation"
    _description = "Tariff Simulator"
    _rec_name = "meter_id"

    meter_id = fields.Many2one("prepay.meter", required=True)
    medium = fields.Selection(related="meter_id.medium")
    company_id = fields.Many2one(related="meter_id.company_id")
    currency_id = fields.Many2one(related="company_id.currency_id")
    month = fields.Selection(
        selection="_month_selection",
        required=True,
        default=lambda self: f"{fields.Date.context_today(self):%Y-%m}",
    )
    heads = fields.Integer(default=1, help="Occupants, for tiers with limits per head.")
    tariff_id = fields.Many2one(
        "prepay.tariff",
        string="Tariff A",
        required=True,
        compute="_compute_tariff_id",
        store=True,
        readonly=False,
        precompute=True,
        domain="[('medium', '=', medium)]",
    )
    version_id = fields.Many2one(
        "prepay.tariff.version",
        string="Only Price A",
        domain="[('tariff_id', '=', tariff_id)]",
        help="This price for the whole month, drafts too. Empty: the prices that were in force.",
    )
    other_tariff_id = fields.Many2one(
        "prepay.tariff", string="Tariff B", required=True, domain="[('medium', '=', medium)]"
    )
    other_version_id = fields.Many2one(
        "prepay.tariff.version",
        string="Only Price B",
        domain="[('tariff_id', '=', other_tariff_id)]",
        help="This price for the whole month, drafts too. Empty: the prices that were in force.",
    )
    is_done = fields.Boolean()
    quantity = fields.Float(string="Usage (kWh or m³)", digits=(16, 3), readonly=True)
    total = fields.Monetary(string="Total A", readonly=True)
    other_total = fields.Monetary(string="Total B", readonly=True)
    difference = fields.Monetary(string="B Less A", readonly=True)
    summary = fields.Html(readonly=True, sanitize=False)
    note = fields.Char(readonly=True)
    line_ids = fields.One2many("prepay.tariff.simulation.line", "simulation_id", readonly=True)

    @api.model
    def _month_selection(self):
        first = fields.Date.context_today(self).replace(day=1)
        months = [first - relativedelta(months=back) for back in range(24)]
        return [(f"{month:%Y-%m}", f"{month:%Y-%m}") for month in months]

    @api.depends("meter_id")
    def _compute_tariff_id(self):
        for simulation in self:
            supplies = simulation.meter_id.supply_ids.sorted("start_at")
            simulation.tariff_id = supplies[-1:].tariff_id or simulation.tariff_id

    @api.onchange("version_id", "tariff_id", "other_tariff_id", "other_version_id", "month")
    def _onchange_choice(self):
        """A price belongs to its tariff, and old figures to the old choice."""
        if self.version_id.tariff_id != self.tariff_id:
            self.version_id = False
        if self.other_version_id.tariff_id != self.other_tariff_id:
            self.other_version_id = False
        self.is_done = False

    def action_simulate(self):
        """Rate the month by both and show it."""
        self.ensure_one()
        for record in (self.meter_id, self.tariff_id, self.other_tariff_id):
            record.check_access("read")
        if {self.tariff_id.medium, self.other_tariff_id.medium} != {self.medium}:
            raise UserError(
                self.env._(
                    "Meter %s and the tariffs are not of the same kind. Choose tariffs for its medium.",
                    self.meter_id.number,
                )
            )
        location = self.meter_id.location_id
        zone = location._zone() if location else ZoneInfo("Asia/Shanghai")
        first = date.fromisoformat(f"{self.month}-01")
        start, end = _midnight(first, zone), _midnight(first + relativedelta(months=1), zone)
        rows = self._fetch_readings(start, end, first, zone)
        if len(rows) < 2:
            raise UserError(
                self.env._(
                    "Meter %(meter)s has no usage in %(month)s. Choose another month or meter.",
                    meter=self.meter_id.number,
                    month=self.month,
                )
            )
        calendar = location._prepay_calendar() if location else self.env["prepay.calendar"]
        results = {}
        for side, tariff, version in (
            ("first", self.tariff_id, self.version_id),
            ("second", self.other_tariff_id, self.other_version_id),
        ):
            results[side] = self._rate(
                tariff, version, rows, (start, end), zone, calendar._engine_calendar()
            )
        self._show(results, rows, start, end)
        return True

    def action_intervals(self):
        """The stretches of the month, each with its rate, tier and price."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_tariff_simulation_line_action"
        )
        action["domain"] = [("simulation_id", "=", self.id)]
        return action

    def _fetch_readings(self, start, end, first, zone):
        """(moment, value, next value) from the last reading before the month to the first after it.

        Where tiers run by the year, they are filled from its first reading on.
        """
        self.env.flush_all()
        begin = start
        if self._by_year():
            begin = _midnight(first.replace(month=1), zone)
        code = BILLED["water" if self.medium == "water" else "electricity"]
        self.env.cr.execute(
            SQL(
                """
                SELECT read_at, value, next_value
                  FROM prepay_reading_stream(%(meter)s, %(channel)s, %(from)s, %(until)s)
                 WHERE read_at >= COALESCE((SELECT max(read_at) FROM prepay_reading_stream(
                                %(meter)s, %(channel)s, %(from)s, %(begin)s)), %(begin)s)
                   AND read_at <= COALESCE((SELECT min(read_at) FROM prepay_reading_stream(
                                %(meter)s, %(channel)s, %(last)s, %(until)s)), %(end)s)
                 ORDER BY read_at
                """,
                **{
                    "meter": self.meter_id.id,
                    "channel": BY_CODE[code].number,
                    "from": _naive(begin - 40 * _DAY),
                    "begin": _naive(begin),
                    "last": _naive(end - timedelta(seconds=1)),
                    "end": _naive(end),
                    "until": _naive(end + 40 * _DAY),
                },
            )
        )
        return [
            (at.replace(tzinfo=timezone.utc), value, next_value)
            for at, value, next_value in self.env.cr.fetchall()
        ]

    def _by_year(self):
        versions = (
            self.version_id
            | self.other_version_id
            | (self.tariff_id | self.other_tariff_id).version_ids
        )
        return "year" in versions.mapped("tier_period")

    def _rate(self, tariff, version, rows, bounds, zone, calendar):
        """Engine lines of the month by one tariff."""
        start, end = bounds
        if version:
            version.check_access("read")
            data = version._engine_data()[version.id]
            versions = (_valid_from(data, _BEFORE_ALL),)
        else:
            versions = tariff._engine_versions()[tariff.id]
        modulus = self.meter_id.profile_id.modulus or None
        state, lines = TierState(), []
        try:
            for (at, _value, value), (until, next_value, _next) in zip(rows, rows[1:]):
                if until <= start and not _by_year_at(versions):
                    continue
                quantity = usage(value, next_value, modulus)
                rated = rate(
                    Interval(at, until, quantity),
                    versions,
                    zone,
                    calendar=calendar,
                    tiers=state,
                    heads=max(1, self.heads),
                )
                state = rated.tiers
                lines.extend(line for line in rated.lines if start <= line.start < end)
            lines.extend(fees(versions, zone, start, min(end, rows[-1][0])))
        except RatingError as error:
            if error.code == "no_version":
                raise UserError(
                    self.env._(
                        "Tariff %(tariff)s has no approved price at the beginning of %(month)s. Choose "
                        "one of its prices, to see the month as if it had held.",
                        tariff=tariff.name,
                        month=self.month,
                    )
                ) from None
            raise UserError(
                self.env._(
                    "Meter %(meter)s: its readings of %(month)s cannot be priced by tariff %(tariff)s "
                    "(%(reason)s). Settle the readings first or choose another month.",
                    meter=self.meter_id.number,
                    month=self.month,
                    tariff=tariff.name,
                    reason=error.detail,
                )
            ) from None
        return _stretches(lines)

    def _show(self, results, rows, start, end):
        totals = {
            side: sum((line.amount for line in lines), Decimal(0)).quantize(Decimal("0.01"))
            for side, lines in results.items()
        }
        used = sum(line.quantity for line in results["first"] if line.kind == "usage")
        note = False
        if rows[0][0] > start or rows[-1][0] < end:
            note = self.env._(
                "Readings from %(start)s to %(end)s; the rest of the month is not in the figures.",
                start=self._local(max(rows[0][0], start)),
                end=self._local(min(rows[-1][0], end)),
            )
        self.line_ids.unlink()
        self.write(
            {
                "is_done": True,
                "quantity": used / 1000,
                "total": totals["first"],
                "other_total": totals["second"],
                "difference": totals["second"] - totals["first"],
                "summary": self._summary(results),
                "note": note,
                "line_ids": [
                    (
                        0,
                        0,
                        {
                            "side": side,
                            "kind": line.kind,
                            "day": line.day,
                            "rate": line.rate,
                            "tier": line.tier,
                            "start_at": _naive(line.start),
                            "end_at": _naive(line.end),
                            "quantity": line.quantity / 1000,
                            "price": line.price,
                            "amount": line.amount,
                        },
                    )
                    for side, lines in results.items()
                    for line in lines
                ],
            }
        )

    def _local(self, moment):
        return fields.Datetime.context_timestamp(self, _naive(moment)).strftime("%Y-%m-%d %H:%M")

    def _summary(self, results):
        """A table by kind, rate and tier: usage and money of A beside those of B."""
        lines = self.env["prepay.tariff.simulation.line"]
        kinds = dict(lines._fields["kind"]._description_selection(self.env))
        rates = dict(lines._fields["rate"]._description_selection(self.env))
        sums = {}
        for side, items in results.items():
            for line in items:
                key = (line.kind, line.tier, line.rate)
                quantity, amount = sums.setdefault(key, {}).get(side, (0, Decimal(0)))
                sums[key][side] = (quantity + line.quantity, amount + line.amount)
        order = {"usage": 0, "service": 1, "fee": 2}
        ranks = {code: rank for rank, code in enumerate(rates)}
        rows = []
        for key in sorted(sums, key=lambda item: (order[item[0]], item[1], ranks[item[2]])):
            kind, tier, rate_code = key
            name = (
                kinds[kind]
                if kind == "fee"
                else self.env._(
                    "%(kind)s, tier %(tier)s, %(rate)s",
                    kind=kinds[kind],
                    tier=tier,
                    rate=rates[rate_code],
                )
            )
            cells = []
            for side, _label in SIDES:
                quantity, amount = sums[key].get(side, (0, Decimal(0)))
                cells += [
                    "" if kind == "fee" or side not in sums[key] else f"{quantity / 1000:.3f}",
                    f"{amount:.2f}" if side in sums[key] else "",
                ]
            rows.append((name, *cells))
        unit = "m³" if self.medium == "water" else "kWh"
        head = Markup(
            '<tr><th></th><th class="text-end">A %s</th><th class="text-end">A %s</th>'
            '<th class="text-end">B %s</th><th class="text-end">B %s</th></tr>'
        ) % (unit, self.currency_id.symbol, unit, self.currency_id.symbol)
        body = Markup("").join(
            Markup("<tr><td>%s</td>" + '<td class="text-end">%s</td>' * 4 + "</tr>") % row
            for row in rows
        )
        return Markup('<table class="table table-sm">%s%s</table>') % (head, body)


def _midnight(day, zone):
    return datetime.combine(day, time.min, zone).astimezone(timezone.utc)


def _naive(moment):
    return moment.astimezone(timezone.utc).replace(tzinfo=None)


def _valid_from(version, moment):
    values = {name: getattr(version, name) for name in version.__dataclass_fields__}
    return type(version)(**{**values, "valid_from": moment})


def _by_year_at(versions):
    return any(version.tier_period == YEAR for version in versions)


def _stretches(lines):
    """Neighbouring lines of one key as one line: an accountant reads hours, not readings."""
    merged, last = [], {}
    for line in lines:
        key = (line.kind, line.day, line.version_id, line.rate, line.tier)
        place = last.get(key)
        before = merged[place] if place is not None else None
        if before is not None and before.end == line.start:
            merged[place] = type(line)(
                line.day,
                line.version_id,
                line.kind,
                line.rate,
                line.tier,
                before.start,
                line.end,
                before.quantity + line.quantity,
                line.price,
                before.amount + line.amount,
            )
        else:
            last[key] = len(merged)
            merged.append(line)
    return merged
