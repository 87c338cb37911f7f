"""Tariffs by chance, and a judge of rated lines that works with fractions and wall clocks."""

from calendar import monthrange
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

from . import parts
from .store import need

UTC = timezone.utc
TICK = timedelta(microseconds=1)
CENT = Fraction(1, 100)


def versions_of(chance, begin: datetime, days: int) -> tuple:
    """Versions of one tariff, the first valid before `begin`."""
    starts = [begin - timedelta(days=400)]
    for _ in range(chance.choice((0, 1, 2))):
        starts.append(begin + timedelta(minutes=chance.randrange(days * 1440)))
    versions = tuple(
        _version(chance, number, start) for number, start in enumerate(sorted(set(starts)), 1)
    )
    parts.tariff.check_versions(versions)
    return versions


def _version(chance, number: int, start: datetime):
    tariff = parts.tariff
    timed = chance.random() < 0.6
    rates = tariff.RATES if timed else (tariff.FLAT,)
    count = chance.choice((1, 1, 2, 3))
    limits = [*sorted(chance.sample(range(500, 300_000), count - 1)), None]
    tiers = tuple(
        tariff.Tier(upto, {rate: _price(chance, tier) for rate in rates})
        for tier, upto in enumerate(limits)
    )
    fees = []
    if chance.random() < 0.3:
        fees.append(tariff.Fee("day", Decimal(chance.randint(1, 300)).scaleb(-2), "day"))
    if chance.random() < 0.3:
        fees.append(tariff.Fee("month", Decimal(chance.randint(1, 3000)).scaleb(-2), "month"))
    return tariff.TariffVersion(
        id=number,
        valid_from=start,
        tiers=tiers,
        seasons=_seasons(chance) if timed else (),
        tier_period=chance.choice(("month", "month", "year")),
        tier_per_head=chance.random() < 0.3,
        service_price=chance.choice((Decimal(0), Decimal(0), Decimal("0.0512"))),
        service_percent=chance.choice((Decimal(0), Decimal(0), Decimal("2.5"))),
        fees=tuple(fees),
    )


def _price(chance, tier: int) -> Decimal:
    return Decimal(chance.randint(1000, 9999) + 5000 * tier).scaleb(-4)


def _seasons(chance) -> tuple:
    tariff = parts.tariff
    dates = sorted({(chance.randint(1, 12), chance.randint(1, 28)) for _ in range(2)})
    everyday = frozenset(parts.calendar.DAY_TYPES)
    resting = frozenset((parts.calendar.HOLIDAY, parts.calendar.WEEKEND))
    seasons = []
    for month, day in dates:
        if chance.random() < 0.5:
            plans = (tariff.DayPlan(everyday, _periods(chance)),)
        else:
            plans = (
                tariff.DayPlan(everyday - resting, _periods(chance)),
                tariff.DayPlan(resting, _periods(chance)),
            )
        seasons.append(tariff.Season(month, day, plans))
    return tuple(seasons)


def _periods(chance) -> tuple:
    starts = [0, *sorted(chance.sample(range(1, 1440), chance.randrange(5)))]
    return tuple(parts.tariff.Period(start, chance.choice(parts.tariff.RATES)) for start in starts)


def calendar_of(chance, begin: datetime, days: int):
    """Holidays in the week, and worked days at weekends."""
    special: dict[date, str] = {}
    for _ in range(days // 10):
        day = begin.date() + timedelta(days=chance.randrange(days))
        special[day] = chance.choice(parts.calendar.DAY_TYPES)
    return parts.calendar.Calendar(special)


def check_rated(interval, rated, versions, tz, calendar, before, heads) -> None:
    """The lines of one interval: they tile it, each at the one price of its time and tier."""
    by_id = {version.id: version for version in versions}
    span = (interval.end - interval.start) // TICK
    at, billed, used, period = interval.start, 0, before.used, before.period
    usage_line = None
    for line in rated.lines:
        version = by_id[line.version_id]
        need(
            Fraction(line.amount) == Fraction(line.price) * line.quantity / version.unit,
            "M-11",
            "amount of %s is not price times quantity",
            line,
        )
        if line.kind == "service":
            _check_service(version, usage_line, line)
            continue
        usage_line = line
        need(line.start == at, "R-02", "gap or overlap at %s: %s", at, line)
        at, billed = line.end, billed + line.quantity
        need(line.quantity >= 0, "R-02", "negative quantity: %s", line)
        # A base unit at most lies on the other side of a cut.
        ideal = Fraction(interval.quantity * ((at - interval.start) // TICK), span)
        step = Fraction(interval.quantity, span)
        need(
            abs(ideal - billed) <= 1 + step,
            "R-02",
            "%s units until %s, in proportion %s",
            billed,
            at,
            ideal,
        )
        _check_time(line, version, versions, tz, calendar)
        this = line.day.strftime("%Y-%m" if version.tier_period == "month" else "%Y")
        if this != period:
            period, used = this, 0
        _check_tier(line, version, used, heads)
        used += line.quantity
    need(at == interval.end, "R-02", "lines end at %s, the interval at %s", at, interval.end)
    need(
        billed == interval.quantity,
        "R-02",
        "%s units of %s were billed",
        billed,
        interval.quantity,
    )
    need(
        (rated.tiers.period, rated.tiers.used) == (period, used),
        "R-02",
        "tier state %s, should be %s %s",
        rated.tiers,
        period,
        used,
    )


def _check_time(line, version, versions, tz, calendar) -> None:
    last = line.end - TICK if line.end > line.start else line.start
    valid = max(
        (each for each in versions if each.valid_from <= line.start),
        key=lambda each: each.valid_from,
    )
    need(valid.id == version.id, "R-07", "version %s instead of %s", version.id, valid.id)
    need(
        not any(line.start < each.valid_from < line.end for each in versions),
        "R-07",
        "a version begins within %s",
        line,
    )
    for moment in (line.start, last):
        local = moment.astimezone(tz)
        need(
            local.date() == line.day, "R-06", "%s is not of %s in %s: %s", local, line.day, tz, line
        )
        need(
            _rate_at(version, local, calendar) == line.rate,
            "R-06",
            "rate at %s is %s: %s",
            local,
            _rate_at(version, local, calendar),
            line,
        )


def _rate_at(version, local: datetime, calendar) -> str:
    if not version.seasons:
        return "flat"
    today = local.month, local.day
    ordered = sorted(version.seasons, key=lambda season: (season.month, season.day))
    season = ordered[-1]
    for each in ordered:
        if (each.month, each.day) <= today:
            season = each
    kind = calendar.special.get(local.date())
    if kind is None:
        kind = "weekend" if local.isoweekday() > 5 else "workday"
    (plan,) = (plan for plan in season.plans if kind in plan.day_types)
    # A clock set back shows an hour twice: what began in it goes on.
    minute = local.hour * 60 + (59 if local.fold else local.minute)
    return [period.rate for period in plan.periods if period.start <= minute][-1]


def _check_tier(line, version, used: int, heads: int) -> None:
    factor = heads if version.tier_per_head else 1
    tier = version.tiers[line.tier - 1]
    floor = version.tiers[line.tier - 2].upto * factor if line.tier > 1 else 0
    need(used >= floor, "R-07", "tier %s before its limit: used %s", line.tier, used)
    need(
        tier.upto is None or used + line.quantity <= tier.upto * factor,
        "R-07",
        "tier %s beyond its limit %s: used %s and %s",
        line.tier,
        tier.upto,
        used,
        line.quantity,
    )
    need(line.price == tier.prices[line.rate], "R-07", "price of %s", line)


def _check_service(version, usage_line, line) -> None:
    price = Fraction(version.service_price)
    price += Fraction(usage_line.price) * Fraction(version.service_percent) / 100
    need(
        Fraction(line.price) == price and line.quantity == usage_line.quantity,
        "R-07",
        "service fee %s for %s",
        line,
        usage_line,
    )


def check_fees(lines, versions, tz, start: datetime, end: datetime) -> None:
    """One line for each fee and local day that begins in the time; a month adds up."""
    days = [line.day for line in lines]
    need(days == sorted(days), "R-02", "fees out of order")
    expected = Fraction(0)
    day = start.astimezone(tz).date()
    while True:
        begin = datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC)
        if begin >= end:
            break
        if begin >= start:
            version = max(
                (each for each in versions if each.valid_from <= begin),
                key=lambda each: each.valid_from,
            )
            for fee in version.fees:
                days = monthrange(day.year, day.month)[1]
                expected += Fraction(fee.amount) / (1 if fee.period == "day" else days)
        day += timedelta(days=1)
    total = sum((Fraction(line.amount) for line in lines), Fraction(0))
    # A monthly fee is spread in amounts of six decimals.
    need(
        abs(total - expected) <= Fraction(len(lines), 10**6),
        "M-11",
        "fees of %s..%s are %s, should be %s",
        start,
        end,
        total,
        expected,
    )
