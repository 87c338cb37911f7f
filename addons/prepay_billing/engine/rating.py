"""Rating: register values -> usage, usage x tariff version -> exact lines.

Quantities are integers in base units (Wh or litres), never negative; prices and amounts
are CNY as `Decimal`, positive when the tenant pays. Moments are aware; results are in UTC.
A line belongs to the day of the site's zone, and to the tariff version that was valid
when its time began: history is never priced anew.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from operator import itemgetter
from zoneinfo import ZoneInfo

from .errors import RatingError
from .moments import UTC, problem_of
from .rounding import exact_amount

FLAT = "flat"

PRICE_LIMIT = Decimal(1_000_000)
PRICE_DECIMALS = 12
QUANTITY_LIMIT = 10**18

_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """Usage between two readings: aware moments (UTC), quantity in base units, >= 0."""

    start: datetime
    end: datetime
    quantity: int


@dataclass(frozen=True, slots=True)
class TariffVersion:
    """Price in CNY per `unit` base units (1000: per kWh or m3), valid from an aware moment
    until the next version begins."""

    id: int
    valid_from: datetime
    price: Decimal
    unit: int = 1000


@dataclass(frozen=True, slots=True)
class RatedLine:
    """One piece of an interval: one local day, one version. `amount` is exact, unrounded CNY."""

    day: date
    version_id: int
    rate: str
    tier: int
    start: datetime
    end: datetime
    quantity: int
    price: Decimal
    amount: Decimal


def rate(
    interval: Interval, versions: Iterable[TariffVersion], tz: ZoneInfo
) -> tuple[RatedLine, ...]:
    """Price an interval; the lines tile it in time, and their quantities add up exactly.

    The interval is split at the midnights of `tz` and where a version begins. A piece gets
    the share of the quantity that it has of the time, by cumulative difference in integers:
    no base unit is lost or invented. A stretch without usage still gives lines (quantity 0),
    so that time stays tiled (R-02); an interval without time and quantity gives none.

    Raises RatingError with one of these codes:
    "naive_time", "time_range", "interval_reversed", "interval_empty" (usage in no time),
    "quantity_invalid" (no integer, or absurd), "quantity_negative", "price_invalid",
    "price_negative", "unit_invalid", "version_duplicate", "no_version".
    """
    start, end = _interval_bounds(interval)
    if start == end:
        return ()
    begins, timeline = _timeline(versions)
    span = (end - start) // _TICK
    lines = []
    billed = 0
    for day, piece_start, piece_end in _pieces(start, end, begins, tz):
        version = _version_at(piece_start, timeline, begins)
        until = interval.quantity * ((piece_end - start) // _TICK) // span
        quantity = until - billed
        billed = until
        amount = exact_amount(version.price, quantity, version.unit)
        lines.append(
            RatedLine(
                day, version.id, FLAT, 1, piece_start, piece_end, quantity, version.price, amount
            )
        )
    return tuple(lines)


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
    start, end = _utc(interval.start), _utc(interval.end)
    quantity = interval.quantity
    if not isinstance(quantity, int) or quantity >= QUANTITY_LIMIT:
        raise RatingError(
            "quantity_invalid",
            f"quantity is no integer below {QUANTITY_LIMIT}: {quantity!r}",
            quantity=quantity,
        )
    if quantity < 0:
        raise RatingError("quantity_negative", f"quantity {quantity} < 0", quantity=quantity)
    if start > end:
        raise RatingError(
            "interval_reversed",
            f"interval ends before it begins: {start} .. {end}",
            start=start,
            end=end,
        )
    if start == end and quantity:
        raise RatingError(
            "interval_empty",
            f"quantity {quantity} in no time at {start}",
            start=start,
            quantity=quantity,
        )
    return start, end


def _timeline(versions: Iterable[TariffVersion]) -> tuple[list[datetime], list[TariffVersion]]:
    """Beginnings (UTC) and versions, in order of time, no two at the same moment."""
    pairs = sorted(((_utc(each.valid_from), each) for each in versions), key=itemgetter(0))
    begins = [begin for begin, _version in pairs]
    timeline = [version for _begin, version in pairs]
    for version in timeline:
        _check_price(version)
    for index in range(1, len(begins)):
        if begins[index] == begins[index - 1]:
            pair = timeline[index - 1].id, timeline[index].id
            raise RatingError(
                "version_duplicate",
                f"tariff versions {pair} begin at the same moment {begins[index]}",
                versions=pair,
                valid_from=begins[index],
            )
    return begins, timeline


def _check_price(version: TariffVersion) -> None:
    """Refuse a price or a unit that cannot give exact amounts."""
    price, unit = version.price, version.unit
    if not isinstance(price, Decimal) or not price.is_finite():
        code, detail = "price_invalid", f"price is no finite Decimal: {price!r}"
    elif price < 0:
        code, detail = "price_negative", f"price {price} < 0"
    elif price > PRICE_LIMIT:
        code, detail = "price_invalid", f"price {price} is above {PRICE_LIMIT}"
    elif -price.as_tuple().exponent > PRICE_DECIMALS:
        code, detail = "price_invalid", f"price {price} has more than {PRICE_DECIMALS} decimals"
    elif not isinstance(unit, int) or unit < 1 or 10**12 % unit:
        # With other factors than 2 and 5 most quantities would give an endless decimal.
        code, detail = "unit_invalid", f"unit {unit!r} does not divide a power of ten"
    else:
        return
    raise RatingError(
        code, f"tariff version {version.id}: {detail}", version=version.id, price=price, unit=unit
    )


def _version_at(
    moment: datetime, timeline: list[TariffVersion], begins: list[datetime]
) -> TariffVersion:
    """The version with the latest beginning that is not after `moment`."""
    index = bisect_right(begins, moment) - 1
    if index < 0:
        first = begins[0] if begins else None
        raise RatingError(
            "no_version",
            f"no tariff version is valid at {moment}, the first begins at {first}",
            at=moment,
            first=first,
        )
    return timeline[index]


def _pieces(start: datetime, end: datetime, begins: list[datetime], tz: ZoneInfo):
    """Yield (local day, piece start, piece end), in order, in UTC."""
    day = start.astimezone(tz).date()
    midnight = _midnight(day + _DAY, tz)
    while start < end:
        # More than one step only where a zone skips a day or sets its clock back over midnight.
        while midnight <= start:
            day += _DAY
            midnight = _midnight(day + _DAY, tz)
        stop = min(end, midnight)
        index = bisect_right(begins, start)
        if index < len(begins):
            stop = min(stop, begins[index])
        yield day, start, stop
        start = stop


def _midnight(day: date, tz: ZoneInfo) -> datetime:
    """The moment at which a local day begins, in UTC.

    Where summer time skips midnight the day begins at the change, and where midnight comes
    twice it begins at the first: so days follow each other without gap or overlap.
    """
    return datetime.combine(day, time.min, tz).astimezone(UTC)


def _utc(moment: datetime) -> datetime:
    """The moment in UTC: differences of datetimes in one local zone would ignore summer time."""
    problem = problem_of(moment)
    if problem:
        raise RatingError(problem, f"no usable moment ({problem}): {moment}", moment=moment)
    return moment.astimezone(UTC)
