from calendar import monthrange

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..engine.tariff import MINUTES
from .prepay_tariff_period import DAYS

MONTHS = [
    ("1", "January"),
    ("2", "February"),
    ("3", "March"),
    ("4", "April"),
    ("5", "May"),
    ("6", "June"),
    ("7", "July"),
    ("8", "August"),
    ("9", "September"),
    ("10", "October"),
    ("11", "November"),
    ("12", "December"),
]


class PrepayTariffSeason(models.Model):
    """A part of the year with its own clock, from a day until the next season begins."""

    _name = "prepay.tariff.season"
    _description = "Tariff Season"
    _inherit = ["prepay.tariff.part"]
    _order = "version_id, month_number, day, id"

    name = fields.Char(required=True, default=lambda self: self.env._("All year"))
    month = fields.Selection(MONTHS, string="From Month", required=True, default="1")
    month_number = fields.Integer(compute="_compute_month_number", store=True)
    day = fields.Integer(string="From Day", required=True, default=1)
    period_ids = fields.One2many("prepay.tariff.period", "season_id", string="Hours", copy=True)

    @api.depends("month")
    def _compute_month_number(self):
        for season in self:
            season.month_number = int(season.month or 0)

    @api.constrains("month", "day")
    def _check_day(self):
        for season in self:
            last = monthrange(2025, int(season.month))[1]  # 29 February is no day of every year
            if not 1 <= season.day <= last:
                raise ValidationError(
                    self.env._(
                        "Season %(season)s: a day from 1 to %(last)s is needed, not %(day)s.",
                        season=season.name,
                        last=last,
                        day=season.day,
                    )
                )

    def _segments(self, day_type):
        """(start, end, rate) of the days of a type, in minutes; a stretch without hours stays out."""
        self.ensure_one()
        periods = sorted(
            (round(period.start * 60), period.rate)
            for period in self.period_ids
            if period.rate and day_type in DAYS.get(period.days, ())
        )
        ends = [start for start, _rate in periods[1:]] + [MINUTES]
        return [(start, end, rate) for (start, rate), end in zip(periods, ends) if end > start]
