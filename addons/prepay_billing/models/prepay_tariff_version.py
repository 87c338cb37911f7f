from datetime import timedelta, timezone
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError

from .. import tariff_picture
from ..engine.errors import RatingError
from ..engine.tariff import (
    FLAT,
    RATES,
    DayPlan,
    Fee,
    Period,
    Season,
    TariffVersion,
    Tier,
    check_version,
    one_price,
)
from .prepay_tariff_part import WHOLE
from .prepay_tariff_period import DAYS

_PARTS = {"price_ids", "season_ids", "fee_ids"}
#: What is agreed with the approval. ``remark`` and the names of who decided are not.
_CONTENT = _PARTS | {
    "tariff_id",
    "valid_from",
    "price",
    "tier_period",
    "tier_per_head",
    "service_price",
    "service_percent",
    "purchase_price",
    "ceiling",
}
_DECISION = {"state", "submitted_by_id", "submitted_at", "decided_by_id", "decided_at"}
UNITS = {"electricity": "kWh", "water": "m³"}


class PrepayTariffVersion(models.Model):
    """Prices and the moment from which they hold. Once used they are history and cannot change.

    While nothing of its tariff is charged yet, a price is set up: it holds at once and may change.
    From the first charge on a new price starts in the future and, unless the company does without,
    a second person approves it (R-07). Only approved prices are ever charged.
    """

    _name = "prepay.tariff.version"
    _description = "Tariff Price"
    _order = "tariff_id, valid_from desc"
    _rec_name = "valid_from"

    tariff_id = fields.Many2one("prepay.tariff", required=True, ondelete="cascade", index=True)
    company_id = fields.Many2one(related="tariff_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    medium = fields.Selection(related="tariff_id.medium")
    valid_from = fields.Datetime(
        required=True, default=fields.Datetime.now, help="Usage from this moment on has this price."
    )
    valid_until = fields.Datetime(compute="_compute_valid_until")
    state = fields.Selection(
        [
            ("draft", "Draft"),
            ("waiting", "Waiting for Approval"),
            ("approved", "Approved"),
            ("refused", "Refused"),
        ],
        required=True,
        default="draft",
        readonly=True,
        copy=False,
        index=True,
    )
    submitted_by_id = fields.Many2one("res.users", readonly=True, copy=False)
    submitted_at = fields.Datetime(readonly=True, copy=False)
    decided_by_id = fields.Many2one("res.users", readonly=True, copy=False)
    decided_at = fields.Datetime(readonly=True, copy=False)
    remark = fields.Char(copy=False, help="Why the price changes, or why it is refused.")
    price = fields.Float(
        compute="_compute_price",
        store=True,
        readonly=False,
        precompute=True,
        digits="Prepaid Price",
        help="CNY per kWh or m³. With tiers: the first price of the first tier.",
    )
    price_ids = fields.One2many("prepay.tariff.price", "version_id", string="Tiers", copy=True)
    tier_period = fields.Selection(
        [("month", "Each month"), ("year", "Each year")],
        string="Tiers Begin Anew",
        required=True,
        default="month",
    )
    tier_per_head = fields.Boolean(
        string="Limits per Head", help="Limits are multiplied by the number of occupants."
    )
    season_ids = fields.One2many("prepay.tariff.season", "version_id", string="Seasons", copy=True)
    fee_ids = fields.One2many("prepay.tariff.fee", "version_id", string="Fixed Fees", copy=True)
    service_price = fields.Float(
        string="Service Fee per Unit",
        digits="Prepaid Price",
        help="CNY per kWh or m³, always a line of its own.",
    )
    service_percent = fields.Float(
        string="Service Fee (%)",
        digits=(16, 4),
        help="Percent of the usage amount, always a line of its own.",
    )
    purchase_price = fields.Float(
        digits="Prepaid Price", help="What the supplier charges, CNY per kWh or m³."
    )
    mark_up = fields.Float(string="Mark-up (%)", compute="_compute_highest", digits=(16, 2))
    highest_price = fields.Float(
        compute="_compute_highest",
        digits="Prepaid Price",
        help="The highest price of a unit, as it is compared with the ceiling.",
    )
    ceiling = fields.Float(
        digits="Prepaid Price",
        help="Highest price allowed, CNY per kWh or m³. 0: the company's.",
    )
    needs_approval = fields.Boolean(compute="_compute_locked")
    is_locked = fields.Boolean(compute="_compute_locked")
    day_picture = fields.Html(compute="_compute_day_picture", sanitize=False)
    changes = fields.Html(compute="_compute_changes", sanitize=False)

    _valid_from_unique = models.Constraint(
        "UNIQUE (tariff_id, valid_from)", "This tariff already has a price from this moment on."
    )
    _price_range = models.Constraint(
        "CHECK (price >= 0 AND price <= 100)", "A price lies between 0 and 100 CNY per kWh or m³."
    )
    _service_range = models.Constraint(
        "CHECK (service_price >= 0 AND service_price <= 100 "
        "AND service_percent >= 0 AND service_percent <= 100)",
        "A service fee lies between 0 and 100 CNY, or between 0 and 100 %.",
    )
    _purchase_range = models.Constraint(
        "CHECK (purchase_price >= 0 AND ceiling >= 0)",
        "Purchase price and ceiling are not below 0.",
    )

    @api.depends("valid_from", "state")
    @api.depends_context("lang", "tz")
    def _compute_display_name(self):
        states = dict(self._fields["state"]._description_selection(self.env))
        for version in self:
            start = version._local(version.valid_from) if version.valid_from else ""
            version.display_name = f"{start} ({states[version.state]})"

    @api.depends("price_ids.sequence", *(f"price_ids.{rate}" for rate in RATES))
    def _compute_price(self):
        for version in self:
            first = version.price_ids.sorted("sequence")[:1]
            if first:
                prices = [first[rate] for rate in (FLAT, *RATES)]
                version.price = next((price for price in prices if price), 0)
            else:
                version.price = version.price or 0

    @api.depends("tariff_id.version_ids.valid_from", "tariff_id.version_ids.state")
    def _compute_valid_until(self):
        for version in self:
            later = version.tariff_id.version_ids.filtered(
                lambda other, version=version: (
                    other.state == "approved"
                    and other.valid_from
                    and version.valid_from
                    and other.valid_from > version.valid_from
                )
            )
            version.valid_until = min(later.mapped("valid_from"), default=False)

    @api.depends(
        "price",
        "purchase_price",
        "service_price",
        "service_percent",
        "company_id.prepay_ceiling_with_service",
        *(f"price_ids.{rate}" for rate in RATES),
    )
    def _compute_highest(self):
        for version in self:
            prices = [line[rate] for line in version.price_ids for rate in RATES]
            highest = max(prices, default=version.price)
            if version.company_id.prepay_ceiling_with_service:
                highest += highest * version.service_percent / 100 + version.service_price
            version.highest_price = highest
            bought = version.purchase_price
            version.mark_up = (version.price - bought) / bought * 100 if bought else 0

    @api.depends("state", "tariff_id", "company_id.prepay_four_eyes")
    def _compute_locked(self):
        charged = self.tariff_id._origin._charged()
        for version in self:
            in_use = version.tariff_id._origin in charged
            version.needs_approval = in_use and version.company_id.prepay_four_eyes
            version.is_locked = version.state in ("waiting", "refused") or (
                version.state == "approved" and in_use
            )

    @api.depends(
        "season_ids.name",
        "season_ids.month",
        "season_ids.day",
        "season_ids.period_ids.days",
        "season_ids.period_ids.start",
        "season_ids.period_ids.rate",
    )
    @api.depends_context("lang")
    def _compute_day_picture(self):
        for version in self:
            version.day_picture = tariff_picture.days(version)

    @api.depends("state", "valid_from", "price", *_PARTS)
    @api.depends_context("lang")
    def _compute_changes(self):
        for version in self:
            before = version.tariff_id.version_ids.filtered(
                lambda other, version=version: (
                    other._origin != version._origin
                    and other.state == "approved"
                    and other.valid_from
                    and version.valid_from
                    and other.valid_from < version.valid_from
                )
            ).sorted("valid_from")[-1:]
            version.changes = tariff_picture.changes(before, version) if before else False

    @api.model_create_multi
    def create(self, vals_list):
        given = [vals.get("state") for vals in vals_list]
        vals_list = [
            {name: value for name, value in vals.items() if name not in _DECISION}
            for vals in vals_list
        ]
        versions = super(PrepayTariffVersion, self.with_context(prepay_tariff=WHOLE)).create(
            vals_list
        )
        versions = versions.with_context(prepay_tariff=None)
        charged = versions.tariff_id._charged()
        for version, state in zip(versions, given):
            if version.tariff_id in charged:
                version._check_future()
                if state == "approved" and self.env.su and not version.needs_approval:
                    version._approve()
            elif state != "draft" and (version.price or version.price_ids):
                version._approve()
        return versions

    def write(self, vals):
        if not _DECISION.isdisjoint(vals) and not self.env.su:
            raise AccessError(
                self.env._("Prices are submitted, approved and refused by the buttons of the form.")
            )
        if "tariff_id" in vals and self.tariff_id.ids not in ([], [vals["tariff_id"]]):
            raise UserError(
                self.env._("A price stays with its tariff. Add a new price to the other one.")
            )
        content = not _CONTENT.isdisjoint(vals)
        if content:
            self._refuse_locked()
        whole = self.with_context(prepay_tariff=WHOLE)
        result = super(PrepayTariffVersion, whole).write(vals)
        if "valid_from" in vals or "tariff_id" in vals:
            charged = self.tariff_id._charged()
            self.filtered(lambda version: version.tariff_id in charged)._check_future()
        if content:
            self._check_if_approved()
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_used(self):
        self._refuse_locked()

    def action_submit(self):
        """Hand the price in: for approval, or where no second person is needed, into force."""
        for version in self:
            if version.state != "draft":
                raise UserError(
                    self.env._("%s is not a draft. Take it back to draft first.", version._label())
                )
            version.check_access("write")
            version._check_complete()
            if not version.needs_approval:
                version._approve()
                version._log(self.env._("%s was put into force."))
                continue
            version.sudo().write(
                {
                    "state": "waiting",
                    "submitted_by_id": self.env.uid,
                    "submitted_at": fields.Datetime.now(),
                }
            )
            version._log(self.env._("%s waits for the approval of a second person."))
        return True

    def action_approve(self):
        """Approve what another person submitted."""
        for version in self:
            version.check_access("write")
            version._refuse_unless_waiting()
            if version.needs_approval and version.submitted_by_id == self.env.user:
                raise UserError(
                    self.env._(
                        "%s was submitted by yourself. A second person must approve it; companies "
                        "with one person switch “Second Person for Prices” off in the settings.",
                        version._label(),
                    )
                )
            version._check_complete()
            version._approve()
            version._log(self.env._("%s was approved."))
        return True

    def action_refuse(self):
        """Send it back with the reason in the remark."""
        for version in self:
            version.check_access("write")
            version._refuse_unless_waiting()
            if not version.remark:
                raise UserError(
                    self.env._("%s: write the reason into the remark first.", version._label())
                )
            version.sudo().write(
                {
                    "state": "refused",
                    "decided_by_id": self.env.uid,
                    "decided_at": fields.Datetime.now(),
                }
            )
            version._log(self.env._("%s was refused."), version.remark)
        return True

    def action_draft(self):
        """Take a price back that is not in force yet, to change it."""
        for version in self:
            version.check_access("write")
            if version.state == "approved" and version.is_locked:
                version._refuse_used()
                if version.valid_from <= fields.Datetime.now():
                    raise UserError(
                        self.env._(
                            "%s is in force. Add a new price with a later start.", version._label()
                        )
                    )
            version.sudo().write(
                {
                    "state": "draft",
                    "submitted_by_id": False,
                    "submitted_at": False,
                    "decided_by_id": False,
                    "decided_at": False,
                }
            )
            version._log(self.env._("%s was taken back to draft."))
        return True

    def action_simulate(self):
        """Open the simulator with this price beside the one in force."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_tariff_simulation_action"
        )
        action["context"] = {
            "default_tariff_id": self.tariff_id.id,
            "default_other_tariff_id": self.tariff_id.id,
            "default_other_version_id": self.id,
        }
        return action

    def action_open(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
        }

    def _label(self):
        """How a message names the price, such as: Tariff Dormitory, price from 2026-12-01 00:00."""
        self.ensure_one()
        return self.env._(
            "Tariff %(tariff)s, price from %(start)s",
            tariff=self.tariff_id.name,
            start=self._local(self.valid_from),
        )

    def _lowest_and_highest(self):
        """The lowest and the highest price of a unit of usage, without free tiers; CNY."""
        self.ensure_one()
        prices = [line[rate] for line in self.price_ids for rate in RATES if line[rate]]
        prices = prices or [self.price]
        return min(prices), max(prices)

    def _local(self, moment):
        return fields.Datetime.context_timestamp(self, moment).strftime("%Y-%m-%d %H:%M")

    def _log(self, text, remark=""):
        self.tariff_id.message_post(body=f"{text % self._label()} {remark}".strip())

    def _approve(self):
        self._check_complete()
        self.sudo().write(
            {
                "state": "approved",
                "decided_by_id": self.env.uid,
                "decided_at": fields.Datetime.now(),
            }
        )

    def _refuse_unless_waiting(self):
        if self.state != "waiting":
            raise UserError(
                self.env._("%s does not wait for approval. Submit it first.", self._label())
            )

    def _refuse_locked(self):
        """Nothing changes behind an approval, and history never."""
        self._refuse_used()
        locked = self.filtered("is_locked")[:1]
        if locked.state == "approved":
            raise UserError(
                self.env._(
                    "%s is approved and cannot change. Take it back to draft if it has not begun, "
                    "or add a new price with a later start.",
                    locked._label(),
                )
            )
        if locked:
            raise UserError(
                self.env._(
                    "%s was handed in and cannot change. Take it back to draft first.",
                    locked._label(),
                )
            )

    def _refuse_used(self):
        used = (
            self.env["prepay.charge"]
            .sudo()
            .search([("version_id", "in", self.ids)], limit=1)
            .version_id
        )
        if used:
            raise UserError(
                self.env._(
                    "The price of tariff %s has already been charged and cannot change. "
                    "Add a new price with a later start.",
                    used.tariff_id.name,
                )
            )

    def _check_future(self):
        """A new price of a tariff in use starts later: it never reaches back over usage."""
        now = fields.Datetime.now()
        for version in self:
            if version.valid_from <= now:
                raise ValidationError(
                    self.env._(
                        "%(price)s: the start is in the past, and usage of this tariff is already "
                        "charged. Let the new price start later than %(now)s.",
                        price=version._label(),
                        now=version._local(now),
                    )
                )

    def _check_if_approved(self):
        self.filtered(lambda version: version.state == "approved")._check_complete()

    def _check_complete(self):
        """The price can be rated, starts in time and keeps to the ceiling; or say what to do."""
        charged = self.tariff_id._charged()
        engine = self._engine_data()
        for version in self:
            if version.tariff_id in charged:
                version._check_future()
            try:
                check_version(engine[version.id])
            except RatingError as error:
                raise ValidationError(
                    self.env._(
                        "%(price)s: %(reason)s",
                        price=version._label(),
                        reason=version._explain(error),
                    )
                ) from None
            version._check_ceiling(engine[version.id])

    def _check_ceiling(self, engine):
        """The law limits what re-sold power may cost (R-07); which limit, differs by province."""
        self.ensure_one()
        limit = engine.ceiling
        if limit is None:
            return
        with_service = self.company_id.prepay_ceiling_with_service
        for number, tier in enumerate(engine.tiers, 1):
            for rate, price in tier.prices.items():
                if with_service:
                    price += price * engine.service_percent / 100 + engine.service_price
                if price > limit:
                    raise ValidationError(
                        self.env._(
                            "%(version)s: tier %(tier)s, %(rate)s costs %(price)s per %(unit)s%(service)s, "
                            "above the ceiling of %(limit)s. Lower the price, or correct the ceiling.",
                            version=self._label(),
                            tier=number,
                            rate=self._rate_label(rate),
                            price=tariff_picture.number(price),
                            unit=UNITS[self.medium],
                            service=" " + self.env._("with its service fee")
                            if with_service and (engine.service_percent or engine.service_price)
                            else "",
                            limit=tariff_picture.number(limit),
                        )
                    )

    def _rate_label(self, rate):
        labels = self.env["prepay.tariff.period"]._fields["rate"]._description_selection(self.env)
        return dict(labels)[rate]

    def _explain(self, error):
        """What is wrong and how to mend it, in a sentence."""
        self.ensure_one()
        values = error.values
        unit = UNITS[self.medium]
        season = self.season_ids.filtered(
            lambda item: (item.month_number, item.day) == (values.get("month"), values.get("day"))
        )[:1]
        day_types = dict(
            self.env["prepay.calendar.day"]._fields["day_type"]._description_selection(self.env)
        )
        facts = {
            "tier": values.get("tier", ""),
            "unit": unit,
            "rate": self._rate_label(values["rate"]) if values.get("rate") in RATES else "",
            "price": values.get("price", ""),
            "upto": _quantity(values.get("upto")),
            "previous": _quantity(values.get("previous")),
            "season": season.name or "",
            "from": f"{values.get('month', '')}-{values.get('day', '')}",
            "days": day_types.get(values.get("day_type"), ""),
            "time": _clock(values.get("start")),
            "fee": values.get("fee", ""),
        }
        texts = {
            "price_invalid": self.env._(
                "tier %(tier)s, %(rate)s: %(price)s is no sensible price. Enter CNY per %(unit)s."
            ),
            "price_negative": self.env._(
                "tier %(tier)s, %(rate)s: %(price)s is below zero. Enter a price of 0 or more."
            ),
            "service_invalid": self.env._(
                "the service fee is no sensible price. Enter CNY per %(unit)s, 0 or more."
            ),
            "percent_invalid": self.env._(
                "the service fee is no sensible share. Enter 0 to 100 percent."
            ),
            "fee_invalid": self.env._("fee %(fee)s: enter an amount of 0 or more."),
            "fee_period": self.env._("fee %(fee)s: choose per day or per month."),
            "fee_duplicate": self.env._("fee %(fee)s is there twice. Remove or rename one."),
            "tiers_missing": self.env._("there is no price. Enter one."),
            "tier_limit": self.env._(
                "tier %(tier)s has no limit, but another tier follows. Enter the %(unit)s up to which "
                "it reaches, or move it to the end."
            ),
            "tiers_reversed": self.env._(
                "tier %(tier)s ends at %(upto)s %(unit)s, not above the %(previous)s %(unit)s of the tier "
                "before. Put the tiers into ascending order."
            ),
            "tier_last": self.env._(
                "the last tier ends at %(upto)s %(unit)s, and nothing is priced above. Set its limit to 0, "
                "or add a tier without limit."
            ),
            "tier_period": self.env._("choose whether tiers begin anew each month or each year."),
            "rate_missing": self.env._(
                "tier %(tier)s has no price for the rate %(rate)s. Enter it in the table of tiers, or "
                "take the rate out of all tiers and hours."
            ),
            "season_date": self.env._(
                "season %(season)s: there is no such day. Correct the start."
            ),
            "season_duplicate": self.env._(
                "two seasons begin on %(from)s. Move or remove one of them."
            ),
            "day_type_missing": self.env._(
                "season %(season)s has no hours for: %(days)s. Add lines for these days, or "
                "choose “Every day”."
            ),
            "day_type_duplicate": self.env._(
                "season %(season)s has two sets of hours for: %(days)s. Keep these days in one set only."
            ),
            "periods_missing": self.env._(
                "season %(season)s has no hours. Add the first from 0:00."
            ),
            "period_invalid": self.env._("season %(season)s: hours lie between 0:00 and 23:59."),
            "period_gap": self.env._(
                "season %(season)s: a day begins at 0:00, but the first hours begin at %(time)s. "
                "Add a line from 0:00."
            ),
            "period_order": self.env._(
                "season %(season)s: two lines begin at %(time)s on the same days. Remove one of them."
            ),
            "time_range": self.env._("the start is no sensible date. Correct it."),
        }
        text = texts.get(error.code)
        return text % facts if text else error.detail

    def _engine_data(self):
        """These versions as the rating engine takes them, by id; prices read as exact decimals."""
        self.env.flush_all()
        rates = ", ".join(f"{rate}::text" for rate in RATES)
        tiers, fees = self._fetch("prepay_tariff_price", f"upto::text, {rates}", "sequence, id"), {}
        for version_id, rows in self._fetch(
            "prepay_tariff_fee", "code, amount::text, period", "sequence, id"
        ).items():
            fees[version_id] = tuple(Fee(code, Decimal(amount), per) for code, amount, per in rows)
        seasons = self._engine_seasons()
        self.env.cr.execute(
            """
            SELECT v.id, v.valid_from, COALESCE(v.price, 0)::text, v.tier_period, v.tier_per_head,
                   COALESCE(v.service_price, 0)::text, COALESCE(v.service_percent, 0)::text,
                   COALESCE(NULLIF(v.ceiling, 0), NULLIF(CASE t.medium
                       WHEN 'water' THEN o.prepay_ceiling_water
                       ELSE o.prepay_ceiling_electricity END, 0))::text
              FROM prepay_tariff_version v
              JOIN prepay_tariff t ON t.id = v.tariff_id
              JOIN res_company o ON o.id = t.company_id
             WHERE v.id = ANY(%s)
            """,
            [self.ids],
        )
        return {
            row[0]: TariffVersion(
                id=row[0],
                valid_from=row[1].replace(tzinfo=timezone.utc),
                tiers=_tiers(tiers[row[0]], seasons.get(row[0], ()))
                if row[0] in tiers
                else one_price(Decimal(row[2])),
                seasons=seasons.get(row[0], ()),
                tier_period=row[3],
                tier_per_head=bool(row[4]),
                service_price=Decimal(row[5]),
                service_percent=Decimal(row[6]),
                fees=fees.get(row[0], ()),
                ceiling=Decimal(row[7]) if row[7] else None,
            )
            for row in self.env.cr.fetchall()
        }

    def _fetch(self, table, columns, order):
        """Rows of a table of parts by version id. The names are our own, never input."""
        self.env.cr.execute(
            f"SELECT version_id, {columns} FROM {table} WHERE version_id = ANY(%s) ORDER BY {order}",  # noqa: S608
            [self.ids],
        )
        rows = {}
        for version_id, *row in self.env.cr.fetchall():
            rows.setdefault(version_id, []).append(row)
        return rows

    def _engine_seasons(self):
        periods = {}
        self.env.cr.execute(
            """
            SELECT season_id, days, round(start * 60)::int, rate FROM prepay_tariff_period
             WHERE version_id = ANY(%s) ORDER BY season_id, start, id
            """,
            [self.ids],
        )
        for season_id, days, start, rate in self.env.cr.fetchall():
            plan = periods.setdefault(season_id, {}).setdefault(days, [])
            plan.append(Period(start, rate))
        return {
            version_id: tuple(
                Season(
                    month,
                    day,
                    tuple(
                        DayPlan(DAYS[days], tuple(lines))
                        for days, lines in sorted(periods.get(season_id, {}).items())
                    ),
                )
                for season_id, month, day in rows
            )
            for version_id, rows in self._fetch(
                "prepay_tariff_season", "id, month_number, day", "month_number, day, id"
            ).items()
        }

    def _next_midnight(self, days=1):
        """A local midnight in the future, naive UTC: where a new price usually begins."""
        local = fields.Datetime.context_timestamp(self, fields.Datetime.now())
        day = (local + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        return day.astimezone(timezone.utc).replace(tzinfo=None)


def _tiers(rows, seasons):
    """Tiers of rows (upto, price of each rate), as text. Units: kWh or m³ -> Wh or L.

    A rate counts where it has a price or hours. In a tier without any price all of them are free;
    else one without price stays out, so that the check names it.
    """
    used = {period.rate for season in seasons for plan in season.plans for period in plan.periods}
    used = used or {FLAT}
    lines = []
    for upto, *prices in rows:
        priced = {rate: Decimal(text) for rate, text in zip(RATES, prices) if Decimal(text or 0)}
        limit = int(Decimal(upto or 0) * 1000)
        lines.append((limit or None, priced))
        used |= priced.keys()
    return tuple(
        Tier(limit, priced or dict.fromkeys(sorted(used), Decimal(0))) for limit, priced in lines
    )


def _quantity(base):
    return tariff_picture.number(Decimal(base) / 1000) if isinstance(base, int) else ""


def _clock(minute):
    return f"{minute // 60}:{minute % 60:02}" if isinstance(minute, int) else ""
