"""Tariffs for the tests of rating, with prices as they are usual in China."""

from datetime import datetime, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from odoo.addons.prepay_billing.engine.calendar import DAY_TYPES, HOLIDAY, WEEKEND, WORKDAY
from odoo.addons.prepay_billing.engine.tariff import DayPlan, Period, Season, TariffVersion, Tier

UTC = timezone.utc
SHANGHAI = ZoneInfo("Asia/Shanghai")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def local(*parts, tz=SHANGHAI):
    return datetime(*parts, tzinfo=tz)


def prices(**by_rate):
    return {name: Decimal(price) for name, price in by_rate.items()}


def periods(text):
    """Periods of "0 valley, 8:30 flat"."""
    parts = []
    for item in text.split(","):
        clock, name = item.split()
        hour, _colon, minute = clock.partition(":")
        parts.append(Period(int(hour) * 60 + int(minute or 0), name))
    return tuple(parts)


def plan(text, *day_types):
    return DayPlan(frozenset(day_types or DAY_TYPES), periods(text))


SUMMER = "0 valley, 8 flat, 10 peak, 11 sharp, 12 flat, 14 peak, 15 sharp, 17 peak, 19 flat"
OTHER = "0 valley, 8 flat, 10 peak, 12 flat, 14 peak, 19 flat"
HOLIDAYS = "0 deep, 14 flat"

# Shares of Guangdong: peak 1.7 of flat, valley 0.38, sharp 1.25 of peak, in July to September.
FIVE_RATES = TariffVersion(
    1,
    LONG_AGO,
    (Tier(None, prices(sharp="1.275", peak="1.02", flat="0.6", valley="0.228", deep="0.15")),),
    seasons=(
        Season(7, 1, (plan(SUMMER, WORKDAY, WEEKEND), plan(HOLIDAYS, HOLIDAY))),
        Season(10, 1, (plan(OTHER, WORKDAY), plan("0 valley, 8 flat", WEEKEND, HOLIDAY))),
    ),
)

# A household: tiers of the year.
YEARLY = TariffVersion(
    2,
    LONG_AGO,
    (
        Tier(2_520_000, prices(flat="0.5283")),
        Tier(4_800_000, prices(flat="0.5783")),
        Tier(None, prices(flat="0.8283")),
    ),
    tier_period="year",
)

# Water: tiers of the month for each person.
WATER = TariffVersion(
    3,
    LONG_AGO,
    (
        Tier(5_000, prices(flat="2.67")),
        Tier(7_000, prices(flat="4.01")),
        Tier(None, prices(flat="8.01")),
    ),
    tier_per_head=True,
)

# Tier x rate, with a service fee.
BOTH = TariffVersion(
    4,
    LONG_AGO,
    (
        Tier(100_000, prices(peak="0.8", flat="0.6", valley="0.3")),
        Tier(None, prices(peak="1", flat="0.7", valley="0.4")),
    ),
    seasons=(Season(1, 1, (plan("0 valley, 8 peak, 22 flat"),)),),
    service_price=Decimal("0.05"),
    service_percent=Decimal(8),
)
