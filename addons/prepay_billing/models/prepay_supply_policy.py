from datetime import time, timedelta
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..engine.errors import PolicyError
from ..engine.supply_types import Policy


class PrepaySupplyPolicy(models.Model):
    """When to warn, when to cut and when to restore. The defaults are the safe ones.

    Times are local to the room's site.
    """

    _name = "prepay.supply.policy"
    _description = "Supply Policy"
    _inherit = ["mail.thread"]
    _order = "sequence, id"

    name = fields.Char(required=True, translate=True, tracking=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company, index=True
    )
    currency_id = fields.Many2one(related="company_id.currency_id")
    alarm1 = fields.Monetary(string="Alarm 1", default=20, tracking=True)
    alarm2 = fields.Monetary(string="Alarm 2", default=5, tracking=True)
    cut_at = fields.Monetary(
        default=0, tracking=True, help="A cut is due at this available amount."
    )
    restore_above = fields.Monetary(
        default=0, tracking=True, help="Power returns as soon as more than this is available."
    )
    alarm1_days = fields.Float(
        string="Alarm 1, Days Left", default=3, digits=(5, 1), tracking=True, help="0: not used."
    )
    alarm2_days = fields.Float(
        string="Alarm 2, Days Left", default=1, digits=(5, 1), tracking=True, help="0: not used."
    )
    alarm1_percent = fields.Float(
        string="Alarm 1, % of Last Top-up", digits=(5, 1), tracking=True, help="0: not used."
    )
    alarm2_percent = fields.Float(
        string="Alarm 2, % of Last Top-up", digits=(5, 1), tracking=True, help="0: not used."
    )
    grace_minutes = fields.Integer(string="Grace (min)", default=30, tracking=True)
    evidence_minutes = fields.Integer(
        string="Newest Reading at Most (min) Old",
        default=60,
        tracking=True,
        help="An older reading never leads to a cut.",
    )
    any_time = fields.Boolean(
        string="Cut at Any Hour",
        tracking=True,
        help="Off: only inside the window, when staff can reconnect.",
    )
    window_start = fields.Float(string="Cut From", default=10.0, tracking=True)
    window_end = fields.Float(string="Cut Until", default=16.0, tracking=True)
    working_days_only = fields.Boolean(default=True, tracking=True)
    night_protection = fields.Boolean(
        default=True, tracking=True, help="No cut in these hours, whatever the window says."
    )
    night_start = fields.Float(string="Night From", default=20.0, tracking=True)
    night_end = fields.Float(string="Night Until", default=8.0, tracking=True)
    before_holidays = fields.Boolean(
        string="Not Before a Holiday",
        default=True,
        tracking=True,
        help="No cut when a holiday lies before the next working day.",
    )
    weather_protection = fields.Boolean(
        string="Not in Heat, Cold or Storm",
        default=True,
        tracking=True,
        help="The flag stands on the site or building.",
    )
    notice_required = fields.Boolean(
        string="Only After a Delivered Notice",
        default=True,
        tracking=True,
        help="No delivered message, no cut.",
    )
    notice_minutes = fields.Integer(string="Notice Ahead (min)", default=1440, tracking=True)
    max_operations = fields.Integer(string="Relay Operations per Day", default=6, tracking=True)
    essential_w = fields.Integer(
        string="Essential Power (W)",
        tracking=True,
        aggregator=None,
        help="Meters that can are limited to this power instead of cut. 0: they are cut.",
    )

    @api.constrains(
        "alarm1",
        "alarm2",
        "cut_at",
        "restore_above",
        "grace_minutes",
        "evidence_minutes",
        "any_time",
        "window_start",
        "window_end",
        "notice_minutes",
        "max_operations",
        "alarm1_days",
        "alarm2_days",
        "alarm1_percent",
        "alarm2_percent",
        "night_protection",
        "night_start",
        "night_end",
        "essential_w",
    )
    def _check_policy(self):
        remedies = {
            "alarm_order": self.env._("Alarm 2 must not be above alarm 1."),
            "restore_order": self.env._(
                "Power must not return below the amount at which it is cut."
            ),
            "window_empty": self.env._(
                "The cut window is empty: choose different hours or “Cut at Any Hour”."
            ),
            "window_night": self.env._(
                "The whole cut window lies in the night, so nobody could ever be cut: "
                "move the window or change the night."
            ),
            "night_empty": self.env._(
                "The night begins and ends at the same hour: choose different hours or switch "
                "the night protection off."
            ),
            "threshold_negative": self.env._(
                "Days, percentages and essential power must not be negative; 0 means not used."
            ),
            "duration_negative": self.env._("Durations must not be negative."),
            "operations_negative": self.env._("The number of operations must not be negative."),
        }
        for policy in self:
            for hour in (
                policy.window_start,
                policy.window_end,
                policy.night_start,
                policy.night_end,
            ):
                if not 0 <= hour < 24:
                    raise ValidationError(
                        self.env._("Policy %s: hours lie between 0:00 and 23:59.", policy.name)
                    )
            try:
                policy._engine_policy()
            except PolicyError as error:
                raise ValidationError(
                    self.env._(
                        "Policy %(policy)s: %(reason)s",
                        policy=policy.name,
                        reason=remedies.get(error.code, error.detail),
                    )
                ) from None

    def _engine_policy(self):
        """The policy as the supply decision takes it."""
        self.ensure_one()

        def money(amount):
            return Decimal(f"{amount:.2f}")

        def number(value):
            return Decimal(f"{value:.1f}") if value else None

        def clock(hour):
            minutes = round(hour * 60)
            return time(minutes // 60 % 24, minutes % 60)

        night = self.night_protection and not self.any_time
        return Policy(
            alarm1_days=number(self.alarm1_days),
            alarm2_days=number(self.alarm2_days),
            alarm1_percent=number(self.alarm1_percent),
            alarm2_percent=number(self.alarm2_percent),
            night_start=clock(self.night_start) if night else None,
            night_end=clock(self.night_end) if night else None,
            holiday_eve=self.working_days_only and self.before_holidays,
            weather=self.weather_protection,
            essential_w=self.essential_w,
            alarm1=money(self.alarm1),
            alarm2=money(self.alarm2),
            cut_at=money(self.cut_at),
            restore_above=money(self.restore_above),
            grace=timedelta(minutes=self.grace_minutes),
            evidence_max_age=timedelta(minutes=self.evidence_minutes),
            window_start=None if self.any_time else clock(self.window_start),
            window_end=None if self.any_time else clock(self.window_end),
            working_days_only=self.working_days_only,
            notice_required=self.notice_required,
            notice_lead=timedelta(minutes=self.notice_minutes),
            max_operations_per_day=self.max_operations,
        )

    @api.model
    def _clock_text(self, hour):
        minutes = round(hour * 60)
        return f"{minutes // 60 % 24:02}:{minutes % 60:02}"
