from decimal import Decimal

from odoo import models

from .. import tariff_picture
from ..engine.tariff import RATES
from .prepay_tariff_version import UNITS


class PrepayTariffVersion(models.Model):
    """Why a price cannot be rated, in a sentence that says how to mend it."""

    _inherit = "prepay.tariff.version"  # pylint: disable=consider-merging-classes-inherited

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


def _quantity(base):
    return tariff_picture.number(Decimal(base) / 1000) if isinstance(base, int) else ""


def _clock(minute):
    return f"{minute // 60}:{minute % 60:02}" if isinstance(minute, int) else ""
