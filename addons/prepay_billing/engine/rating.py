"""Rating: register values -> usage, usage x tariff versions -> exact lines.

Quantities are integers in base units (Wh or litres), never negative; prices and amounts
are CNY as `Decimal`, positive when the tenant pays. Moments are aware; results are in UTC.
A line belongs to the day of the site's zone, and to the tariff version that was valid
when its time began: history is never priced anew.

A day begins, and a period of a day plan, when the local clock first shows that time or a
later one. So nothing is twice or missing where summer time begins or ends.
"""

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from .calendar import Calendar
from .errors import RatingError
from .moments import UTC, problem_of
from .rounding import exact_amount, exact_product, exact_sum
from .tariff import (
    DAY,
    FEE_DECIMALS,
    FLAT,
    MONTH,
    QUANTITY_LIMIT,
    Fee,
    TariffVersion,
    check_versions,
)

USAGE, SERVICE, FEE = "usage", "service", "fee"

_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_NO_DAYS = Calendar()
_FEE_STEP = 10**FEE_DECIMALS
_PERIOD_LENGTH = {MONTH: len("2026-11"), "year": len("2026")}


@dataclass(frozen=True, slots=True)
class Interval:
    """Usage between two readings: aware moments, quantity in base units, >= 0.

    rate: from the register of the meter that counts this rate; None: the clock says the rate.
    """

    start: datetime
    end: datetime
    quantity: int
    rate: str | None = None


@dataclass(frozen=True, slots=True)
class TierState:
    """Base units used so far in a tier period ("2026-11" or "2026"); "" when there was none."""

    period: str = ""
    used: int = 0


@dataclass(frozen=True, slots=True)
class RatedLine:
    """One piece of an interval, or a fee of a day. `amount` is exact, unrounded CNY.

    One local day, version, kind ("usage", "service", "fee"), rate and tier: what has these in
    common may be summed, it has one price. A service line has the quantity of the usage line
    before it. A fee has the quantity 0, the rate `flat`, and as tier its place in the version's
    fees, from 1.
    """

    day: date
    version_id: int
    kind: str
    rate: str
    tier: int
    start: datetime
    end: datetime
    quantity: int
    price: Decimal
    amount: Decimal


class Rated(NamedTuple):
    """Lines in order of time, and the tier state after them: the next interval's `tiers`."""

    lines: tuple[RatedLine, ...]
    tiers: TierState


class Difference(NamedTuple):
    """What is still due: signed quantity (base units), exact signed CNY, and by key in lines."""

    quantity: int
    amount: Decimal
    lines: tuple[RatedLine, ...]


_NEW = TierState()


def rate(
    interval: Interval,
    versions: Iterable[TariffVersion],
    tz: ZoneInfo,
    *,
    calendar: Calendar = _NO_DAYS,
    tiers: TierState = _NEW,
    heads: int = 1,
) -> Rated:
    """Price an interval; its usage lines tile it in time, their quantities add up exactly.

    The interval is split at the midnights of `tz`, where a version begins and, unless a
    register says its rate, where the rate of the day plan changes. A piece gets the share of
    the quantity that it has of the time, by cumulative difference in integers: no base unit is
    lost or invented. Then what was used since the month or year began (`tiers`, times
    `heads` for the limits) says how much of a piece falls into which tier, in order of time. A
    stretch without usage still gives lines (quantity 0), so that time stays tiled (R-02); an
    interval without time and quantity gives none.

    A service fee comes as a line behind each usage line: its price is the service price plus
    the percentage of the usage price.

    A version with the price `flat` alone prices every register with it, as `flat`. Where the
    length of the tier period differs between two versions, counting begins anew with the second.

    Versions given as the same tuple are prepared once: keep the tuple for many calls.

    Raises RatingError: those of `check_versions`, and
    "naive_time", "time_range", "interval_reversed", "interval_empty" (usage in no time),
    "quantity_invalid" (no integer, or absurd), "quantity_negative", "no_version",
    "rate_missing" (a register whose rate has no price), "day_type_unknown" (from the calendar),
    "heads_invalid" (no integer above 0), "tier_state" (negative or no integer),
    "tier_period_past" (`tiers` is of a later month or year than the interval).
    """
    return rate_registers((interval,), versions, tz, calendar=calendar, tiers=tiers, heads=heads)


def rate_registers(
    intervals: Iterable[Interval],
    versions: Iterable[TariffVersion],
    tz: ZoneInfo,
    *,
    calendar: Calendar = _NO_DAYS,
    tiers: TierState = _NEW,
    heads: int = 1,
) -> Rated:
    """`rate` for the rate registers of one meter between two readings, together.

    They run at the same time, so tiers are filled by all of them day by day: one after the other
    would give the first register all the cheap tier, and lead twice over the turn of a month.
    """
    if type(heads) is not int or heads < 1:
        raise RatingError("heads_invalid", f"heads {heads!r} is no integer above 0", heads=heads)
    if type(tiers.used) is not int or tiers.used < 0:
        raise RatingError(
            "tier_state", f"usage of the tier period is {tiers.used!r}", used=tiers.used
        )
    pieces: list[tuple] = []
    several = False
    for interval in intervals:
        start, end = _interval_bounds(interval)
        if start < end:
            several = bool(pieces)
            pieces.extend(
                _pieces(start, end, interval.quantity, interval.rate, _book(versions), tz, calendar)
            )
    if several:
        pieces.sort(key=itemgetter(3))
    lines, tiers = _priced(pieces, tiers, heads)
    return Rated(tuple(lines), tiers)


def fees(
    versions: Iterable[TariffVersion], tz: ZoneInfo, start: datetime, end: datetime
) -> tuple[RatedLine, ...]:
    """Fixed fees of the time from `start` until before `end` (aware): those of each local day
    that begins in it, by the version valid when it begins. Times that tile give fees that do.

    A monthly fee is spread over the days of its month in amounts with 6 decimals, by cumulative
    difference: over a whole month they add up to the fee. A day that the zone skips has no
    daily fee.

    Raises RatingError: those of `check_versions`, "naive_time", "time_range",
    "interval_reversed", "no_version" (a day begins before all versions).
    """
    start, end = _bounds(start, end)
    begins, plans = _book(versions)
    day = start.astimezone(tz).date()
    begin = _moment(day, 0, tz)
    lines = []
    while begin < end:
        until = _moment(day + _DAY, 0, tz)
        if begin >= start:
            index = bisect_right(begins, begin)
            if not index:
                raise _no_version(begin, begins)
            plan = plans[index - 1]
            for place, fee in enumerate(plan.fees, 1):
                if fee.period == DAY and begin == until:
                    continue
                amount = fee.amount if fee.period == DAY else _share_of_month(fee, day)
                lines.append(
                    RatedLine(day, plan.id, FEE, FLAT, place, begin, until, 0, fee.amount, amount)
                )
        day, begin = day + _DAY, until
    return tuple(lines)


def settle_difference(provisional: Iterable[RatedLine], final: Iterable[RatedLine]) -> Difference:
    """What is still due when readings replace provisional lines (R-05: the bill as if on time).

    Missing readings may be bridged by provisional lines: an assumed usage, rated as always, with the
    tier state before them kept. When a reading comes, the interval from the last true reading is
    rated anew from that tier state and calendar, and the difference is posted once, on the day it
    is known; the provisional entries stay. Provisional lines plus this difference are the final
    lines, for each key (day, version, kind, rate, tier) and in total. Versions are those of the time
    of use: nothing is priced anew.

    A line for each key that differs has the signed quantity and amount, from the earliest start
    to the latest end of both sides. Two equal sides give no lines and the amount 0.
    """
    sums: dict[tuple, tuple] = {}
    for sign, side in ((-1, provisional), (1, final)):
        for line in side:
            key = line.day, line.version_id, line.kind, line.rate, line.tier
            start, end, quantity, _price, amounts = sums.get(
                key, (line.start, line.end, 0, line.price, ())
            )
            amount = line.amount if sign > 0 else line.amount.copy_negate()
            sums[key] = (
                min(start, line.start),
                max(end, line.end),
                quantity + sign * line.quantity,
                line.price,
                (*amounts, amount),
            )
    lines = []
    for key, (start, end, quantity, price, amounts) in sorted(sums.items()):
        amount = exact_sum(amounts)
        if quantity or amount:
            lines.append(RatedLine(*key, start, end, quantity, price, amount))
    return Difference(
        sum(line.quantity for line in lines if line.kind == USAGE),
        exact_sum(line.amount for line in lines),
        tuple(lines),
    )


def usage(previous_value: int, value: int, modulus: int | None = None) -> int:
    """Base units used between two values of one register, >= 0.

    `modulus` is the count at which the register starts again (a display of 999,999.99 kWh:
    1,000,000,000 Wh). A smaller value is a roll-over only when the old one lies above 90 % and
    the new one below 10 % of the modulus (R-04). Whether the result is plausible for the
    meter's current and voltage (R-03) is for the caller: this function knows no meter.

    Raises RatingError: "register_range" (negative, or not below the modulus), "decrease" (a
    smaller value that is no roll-over: reset, swap or bad reading; never billed).
    """
    if min(previous_value, value) < 0 or (
        modulus is not None and max(previous_value, value) >= modulus
    ):
        raise RatingError(
            "register_range",
            f"register values {previous_value} and {value} do not fit the range 0..{modulus}",
            previous_value=previous_value,
            value=value,
            modulus=modulus,
        )
    if value >= previous_value:
        return value - previous_value
    # Products instead of quotients: the limits stay exact integers.
    if modulus is not None and previous_value * 10 > modulus * 9 and value * 10 < modulus:
        return value + modulus - previous_value
    raise RatingError(
        "decrease",
        f"register went back from {previous_value} to {value}, and this is no roll-over",
        previous_value=previous_value,
        value=value,
        modulus=modulus,
    )


def _interval_bounds(interval: Interval) -> tuple[datetime, datetime]:
    """Start and end in UTC of an interval that can be rated."""
    start, end = _bounds(interval.start, interval.end)
    quantity = interval.quantity
    if not isinstance(quantity, int) or quantity >= QUANTITY_LIMIT:
        raise RatingError(
            "quantity_invalid",
            f"quantity is no integer below {QUANTITY_LIMIT}: {quantity!r}",
            quantity=quantity,
        )
    if quantity < 0:
        raise RatingError("quantity_negative", f"quantity {quantity} < 0", quantity=quantity)
    if start == end and quantity:
        raise RatingError(
            "interval_empty",
            f"quantity {quantity} in no time at {start}",
            start=start,
            quantity=quantity,
        )
    return start, end


class _Clock:
    """The changes of a day plan: (minute, rate), without equal neighbours."""

    __slots__ = ("changes",)

    def __init__(self, changes: tuple[tuple[int, str], ...]) -> None:
        self.changes = changes


class _Plan:
    """A checked version, prepared: what does not depend on an interval."""

    __slots__ = (
        "begin",
        "dates",
        "fees",
        "id",
        "limits",
        "per_head",
        "period_length",
        "prices",
        "seasons",
        "single",
        "unit",
    )

    def __init__(self, version: TariffVersion) -> None:
        self.id = version.id
        self.begin = version.valid_from.astimezone(UTC)
        self.unit = version.unit
        self.fees = version.fees
        self.limits = tuple(tier.upto for tier in version.tiers[:-1])
        self.per_head = version.tier_per_head
        self.period_length = _PERIOD_LENGTH[version.tier_period]
        # By tier, by rate: price and service price (None: no service fee).
        self.prices = tuple(
            {name: (price, _service_price(version, price)) for name, price in tier.prices.items()}
            for tier in version.tiers
        )
        self.single = set(self.prices[0]) == {FLAT}
        seasons = sorted(version.seasons, key=attrgetter("month", "day"))
        self.dates = [(season.month, season.day) for season in seasons]
        self.seasons = [
            {day_type: clock for types, clock in map(_clock, season.plans) for day_type in types}
            for season in seasons
        ]

    def clock(self, day: date, calendar: Calendar) -> _Clock:
        """The day plan of a local day; before the first season of a year the last one holds."""
        season = self.seasons[bisect_right(self.dates, (day.month, day.day)) - 1]
        day_type = calendar.day_type(day)
        try:
            return season[day_type]
        except KeyError:
            raise RatingError(
                "day_type_unknown",
                f"the calendar calls {day} {day_type!r}",
                day=day,
                day_type=day_type,
            ) from None

    def register_rate(self, register: str) -> str:
        """The rate that a register is priced with."""
        if self.single:
            return FLAT
        if register not in self.prices[0]:
            raise RatingError(
                "rate_missing",
                f"tariff version {self.id}: no price for the register {register!r}",
                version=self.id,
                tier=1,
                rate=register,
            )
        return register


def _clock(plan) -> tuple[frozenset[str], _Clock]:
    changes = [
        (period.start, period.rate)
        for index, period in enumerate(plan.periods)
        if not index or period.rate != plan.periods[index - 1].rate
    ]
    return plan.day_types, _Clock(tuple(changes))


def _service_price(version: TariffVersion, price: Decimal) -> Decimal | None:
    if not version.service_price and not version.service_percent:
        return None
    share = exact_product(price, exact_amount(version.service_percent, 1, 100))
    return exact_sum((version.service_price, share))


# Prepared versions by identity of their tuple, which is held so that no other gets its id.
_BOOKS: dict[int, tuple[tuple[TariffVersion, ...], tuple[list[datetime], list[_Plan]]]] = {}
_BOOKS_LIMIT = 1024


def _book(versions: Iterable[TariffVersion]) -> tuple[list[datetime], list[_Plan]]:
    """Beginnings (UTC) and prepared versions, in order of time."""
    known = _BOOKS.get(id(versions))
    if known is not None:
        return known[1]
    given = tuple(versions)
    check_versions(given)
    plans = sorted(map(_Plan, given), key=attrgetter("begin"))
    book = [plan.begin for plan in plans], plans
    if given is versions:
        if len(_BOOKS) >= _BOOKS_LIMIT:
            _BOOKS.clear()
        _BOOKS[id(versions)] = given, book
    return book


def _no_version(moment: datetime, begins: list[datetime]) -> RatingError:
    first = begins[0] if begins else None
    return RatingError(
        "no_version",
        f"no tariff version is valid at {moment}, the first begins at {first}",
        at=moment,
        first=first,
    )


def _pieces(
    start: datetime,
    end: datetime,
    quantity: int,
    register: str | None,
    book: tuple[list[datetime], list[_Plan]],
    tz: ZoneInfo,
    calendar: Calendar,
) -> list[tuple[date, _Plan, str, datetime, datetime, int]]:
    """(local day, plan, rate, start, end, quantity), in order of time, in UTC."""
    first, billed, pieces = start, 0, []
    span = (end - start) // _TICK
    begins, plans = book
    day = start.astimezone(tz).date()
    midnight = _moment(day + _DAY, 0, tz)
    while start < end:
        # More than one step only where a zone skips a day or sets its clock back over midnight.
        while midnight <= start:
            day += _DAY
            midnight = _moment(day + _DAY, 0, tz)
        stop = min(end, midnight)
        index = bisect_right(begins, start)
        if not index:
            raise _no_version(start, begins)
        if index < len(begins):
            stop = min(stop, begins[index])
        plan = plans[index - 1]
        if register is not None:
            cuts = ((plan.register_rate(register), stop),)
        elif plan.seasons:
            cuts = _segments(plan.clock(day, calendar), day, tz)
        else:
            cuts = ((FLAT, stop),)
        for name, cut in cuts:
            if cut > start:
                cut = min(cut, stop)
                until = quantity * ((cut - first) // _TICK) // span
                pieces.append((day, plan, name, start, cut, until - billed))
                start, billed = cut, until
                if cut == stop:
                    break
    return pieces


@lru_cache(maxsize=4096)
def _segments(clock: _Clock, day: date, tz: ZoneInfo) -> tuple[tuple[str, datetime], ...]:
    """Rates of a local day with their ends in UTC, in order; the last ends with the day."""
    starts = [_moment(day, minute, tz) for minute, _name in clock.changes]
    ends = [*starts[1:], _moment(day + _DAY, 0, tz)]
    return tuple((name, end) for (_minute, name), end in zip(clock.changes, ends, strict=True))


@lru_cache(maxsize=4096)
def _moment(day: date, minute: int, tz: ZoneInfo) -> datetime:
    """When the local clock first shows this minute of the day, or a later one, in UTC."""
    wall = datetime.combine(day, time(minute // 60, minute % 60))
    moment = wall.replace(tzinfo=tz).astimezone(UTC)
    if moment.astimezone(tz).replace(tzinfo=None) == wall:
        return moment
    # The clock skips this time: find the change, between what its old and new offset would say.
    low = wall.replace(tzinfo=tz, fold=1).astimezone(UTC)
    seconds = (moment - low) // timedelta(seconds=1)
    skipped = bisect_right(
        range(seconds),
        False,
        key=lambda second: (
            (low + timedelta(seconds=second)).astimezone(tz).replace(tzinfo=None) >= wall
        ),
    )
    return low + timedelta(seconds=skipped)


def _priced(
    pieces: Sequence[tuple], tiers: TierState, heads: int
) -> tuple[list[RatedLine], TierState]:
    """Lines of pieces in order of time, and the tier state behind them."""
    period, used = tiers.period, tiers.used
    lines: list[RatedLine] = []
    for day, plan, name, start, end, quantity in pieces:
        this = day.isoformat()[: plan.period_length]
        if this != period:
            if this < period[: len(this)]:
                raise RatingError(
                    "tier_period_past",
                    f"usage of {day} behind the tiers of {period}",
                    day=day,
                    period=period,
                )
            period, used = this, 0
        if not plan.limits:
            _append(lines, day, plan, name, 0, start, end, quantity)
        else:
            _append_tiers(lines, day, plan, name, start, end, quantity, used, heads)
        used += quantity
    return lines, TierState(period, used)


def _append_tiers(lines, day, plan, name, start, end, quantity, used, heads) -> None:
    """Lines of one piece, cut where the usage reaches a limit; linear use says when that is."""
    limits = plan.limits
    if plan.per_head:
        limits = [limit * heads for limit in limits]
    tier = bisect_right(limits, used)
    done, at = 0, start
    while tier < len(limits) and used + quantity > limits[tier]:
        upto = limits[tier] - used
        cut = start + (end - start) // _TICK * upto // quantity * _TICK
        _append(lines, day, plan, name, tier, at, cut, upto - done)
        done, at = upto, cut
        tier += 1
    _append(lines, day, plan, name, tier, at, end, quantity - done)


def _append(lines, day, plan, name, tier, start, end, quantity) -> None:
    """The usage line and its service line."""
    price, service = plan.prices[tier][name]
    amount = exact_amount(price, quantity, plan.unit)
    lines.append(
        RatedLine(day, plan.id, USAGE, name, tier + 1, start, end, quantity, price, amount)
    )
    if service is not None:
        amount = exact_amount(service, quantity, plan.unit)
        lines.append(
            RatedLine(day, plan.id, SERVICE, name, tier + 1, start, end, quantity, service, amount)
        )


def _share_of_month(fee: Fee, day: date) -> Decimal:
    """What a monthly fee costs on one day of its month."""
    days = monthrange(day.year, day.month)[1]
    whole = int(exact_product(fee.amount, Decimal(_FEE_STEP)))
    share = whole * day.day // days - whole * (day.day - 1) // days
    return exact_amount(Decimal(share), 1, _FEE_STEP)


def _bounds(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Start and end in UTC, in this order."""
    start, end = _utc(start), _utc(end)
    if start > end:
        raise RatingError(
            "interval_reversed",
            f"interval ends before it begins: {start} .. {end}",
            start=start,
            end=end,
        )
    return start, end


def _utc(moment: datetime) -> datetime:
    """The moment in UTC: differences of datetimes in one local zone would ignore summer time."""
    problem = problem_of(moment)
    if problem:
        raise RatingError(problem, f"no usable moment ({problem}): {moment}", moment=moment)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
