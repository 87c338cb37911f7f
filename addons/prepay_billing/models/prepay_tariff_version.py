from datetime import timedelta, timezone

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError

from .. import tariff_picture
from ..engine.errors import RatingError
from ..engine.tariff import FLAT, RATES, check_version
from .prepay_tariff_part import WHOLE

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

    def _next_midnight(self, days=1):
        """A local midnight in the future, naive UTC: where a new price usually begins."""
        local = fields.Datetime.context_timestamp(self, fields.Datetime.now())
        day = (local + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        return day.astimezone(timezone.utc).replace(tzinfo=None)
