from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..engine.calendar import DAY_TYPES, HOLIDAY, WEEKEND, WORKDAY
from ..engine.tariff import RATES

_LABELS = {
    "sharp": "Sharp",
    "peak": "Peak",
    "flat": "Flat",
    "valley": "Valley",
    "deep": "Deep Valley",
}
RATE_SELECTION = [(rate, _LABELS[rate]) for rate in RATES]

#: The days that hours may be set for, and the day types behind them.
DAYS = {
    "all": frozenset(DAY_TYPES),
    "workday": frozenset({WORKDAY}),
    "weekend": frozenset({WEEKEND}),
    "holiday": frozenset({HOLIDAY}),
    "off": frozenset({WEEKEND, HOLIDAY}),
    "ordinary": frozenset({WORKDAY, WEEKEND}),
}


class PrepayTariffPeriod(models.Model):
    """From an hour of the day on a rate holds, until the next line or midnight. Local time of the site."""

    _name = "prepay.tariff.period"
    _description = "Tariff Hours"
    _inherit = ["prepay.tariff.part"]
    _order = "season_id, days, start, id"

    season_id = fields.Many2one(
        "prepay.tariff.season", required=True, ondelete="cascade", index=True
    )
    version_id = fields.Many2one(
        related="season_id.version_id", store=True, precompute=True, required=False
    )
    days = fields.Selection(
        [
            ("all", "Every day"),
            ("workday", "Workdays"),
            ("weekend", "Weekends"),
            ("holiday", "Holidays"),
            ("off", "Weekends and holidays"),
            ("ordinary", "Workdays and weekends"),
        ],
        required=True,
        default="all",
    )
    start = fields.Float(string="From", required=True, help="The first line of a day is 0:00.")
    rate = fields.Selection(RATE_SELECTION, required=True, default="flat")

    @api.constrains("start")
    def _check_start(self):
        for period in self:
            if not 0 <= round(period.start * 60) < 1440:
                raise ValidationError(
                    self.env._(
                        "Season %(season)s: hours lie between 0:00 and 23:59.",
                        season=period.season_id.name,
                    )
                )
