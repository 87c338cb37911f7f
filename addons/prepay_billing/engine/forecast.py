"""How many days the money lasts: from the daily use of the last weeks, by weekday.

A dormitory uses more at weekends, and more in a hot week than in the month before. So each
weekday has a factor from up to eight weeks, drawn towards one while it has been seen seldom,
and the level is a mean of the days without that factor in which a week ago counts half.

Amounts are CNY as `Decimal`, days are local dates of the site. Pure: `today` is an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal

#: Days of history that count.
HISTORY_DAYS = 56
#: Fewer days with known use give no forecast.
LEAST_DAYS = 3
#: The farthest a forecast looks.
HORIZON = 365
#: Days that a suggested top-up should last, and the steps it is rounded up to.
SUGGESTED_DAYS, SUGGESTED_STEP = 30, Decimal(10)

_WEIGHTS = [Decimal("0.5") ** (Decimal(age) / 7) for age in range(HISTORY_DAYS + 1)]
_SEEN = 2  # so many days at the mean are added to what a weekday has shown
_TENTH = Decimal("0.1")
_MICRO = Decimal("0.000001")  # so that steady use divides without a rest


@dataclass(frozen=True, slots=True)
class Forecast:
    """days       money lasts so long, in tenths, at most `HORIZON`; None when not known
    daily      expected use of a day, mean of the coming week, CNY
    suggested  top-up after which the money lasts a month, CNY
    """

    days: Decimal | None
    daily: Decimal | None
    suggested: Decimal


UNKNOWN = Forecast(None, None, Decimal(0))


def expected(history: Sequence[tuple[date, Decimal]], today: date) -> tuple[Decimal, ...] | None:
    """Expected use by weekday, Monday first; None with too little history.

    :param history: (day, amount) of whole days before `today`; a day that is missing is not
        known, which is not the same as no use
    """
    first = today - timedelta(days=HISTORY_DAYS)
    days = [(day, amount) for day, amount in history if first <= day < today]
    if len(days) < LEAST_DAYS:
        return None
    factors = _factors(days)
    total = weight = Decimal(0)
    for day, amount in days:
        share = _WEIGHTS[(today - day).days]
        total += share * amount
        weight += share * factors[day.weekday()]
    level = max(total / weight, Decimal(0)) if weight else Decimal(0)
    return tuple((level * factor).quantize(_MICRO) for factor in factors)


def forecast(available: Decimal, history: Sequence[tuple[date, Decimal]], today: date) -> Forecast:
    """How long `available` CNY last from the beginning of `today`, and what to top up."""
    use = expected(history, today)
    if use is None:
        return UNKNOWN
    week = sum(use)
    if week <= 0:
        return Forecast(Decimal(HORIZON), Decimal(0), Decimal(0))
    month = sum(use[(today + timedelta(days=ahead)).weekday()] for ahead in range(SUGGESTED_DAYS))
    missing = max(month - available, Decimal(0)) / SUGGESTED_STEP
    suggested = missing.to_integral_value(ROUND_CEILING) * SUGGESTED_STEP
    return Forecast(days_of(available, use, today), week / 7, suggested)


def days_of(available: Decimal, use: Sequence[Decimal], today: date) -> Decimal:
    """Days, in tenths rounded down, until `available` CNY are used at `use` by weekday."""
    if available <= 0:
        return Decimal(0)
    # `use` has a day above zero, so a horizon of whole weeks is always reached by walking.
    for ahead in range(HORIZON):
        need = use[(today + timedelta(days=ahead)).weekday()]
        if need >= available:
            return ahead + (available / need // _TENTH) * _TENTH
        available -= need
    return Decimal(HORIZON)


def _factors(days: Sequence[tuple[date, Decimal]]) -> list[Decimal]:
    """How much each weekday uses, against the mean of all days."""
    mean = sum(amount for _day, amount in days) / len(days)
    if mean <= 0:
        return [Decimal(1)] * 7
    totals, seen = [Decimal(0)] * 7, [0] * 7
    for day, amount in days:
        totals[day.weekday()] += amount
        seen[day.weekday()] += 1
    return [
        max((total + _SEEN * mean) / (count + _SEEN) / mean, Decimal(0))
        for total, count in zip(totals, seen)
    ]
