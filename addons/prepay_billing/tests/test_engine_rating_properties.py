"""Rating of intervals: what must hold for every interval, tariff and zone (R-02, R-05, M-11)."""

from collections import Counter
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_billing.engine.calendar import DAY_TYPES, Calendar
from odoo.addons.prepay_billing.engine.rating import (
    Interval,
    TierState,
    fees,
    rate,
    rate_registers,
    settle_difference,
)
from odoo.addons.prepay_billing.engine.rounding import HALF_FEN, settle, to_fen
from odoo.addons.prepay_billing.engine.tariff import (
    RATES,
    DayPlan,
    Fee,
    Period,
    Season,
    TariffVersion,
    Tier,
)

PROPERTY = settings(max_examples=80, deadline=None, database=None)
UTC = timezone.utc
TICK = timedelta(microseconds=1)
# Summer time, half hours, a skipped day, a day that begins at 01:00 or twice.
ZONES = [
    "UTC",
    "Asia/Shanghai",
    "Asia/Kathmandu",
    "Europe/Berlin",
    "Africa/Cairo",
    "America/Sao_Paulo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]

zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.timedeltas(timedelta(0), timedelta(days=8000)).map(
    lambda span: datetime(2005, 1, 1, tzinfo=UTC) + span
)
prices = st.decimals(min_value=0, max_value=10, places=4)
day_plans = st.lists(
    st.tuples(st.integers(1, 1439), st.sampled_from(RATES)), max_size=6, unique_by=lambda it: it[0]
).flatmap(
    lambda items: st.sampled_from(RATES).map(
        lambda first: tuple(Period(*item) for item in [(0, first), *sorted(items)])
    )
)


@st.composite
def seasons(draw):
    """None, or up to three seasons whose plans share out the kinds of days."""
    result = []
    for month, day in draw(
        st.lists(st.tuples(st.integers(1, 12), st.integers(1, 28)), max_size=3, unique=True)
    ):
        groups = {}
        for day_type in DAY_TYPES:
            groups.setdefault(draw(st.integers(0, 2)), set()).add(day_type)
        plans = tuple(DayPlan(frozenset(types), draw(day_plans)) for types in groups.values())
        result.append(Season(month, day, plans))
    return tuple(result)


@st.composite
def tariffs(draw, number=1, valid_from=datetime(2000, 1, 1, tzinfo=UTC), tier_period=None):
    limits = sorted(draw(st.sets(st.integers(1, 10**6), max_size=3)))
    return TariffVersion(
        number,
        valid_from,
        tuple(Tier(upto, {name: draw(prices) for name in RATES}) for upto in [*limits, None]),
        seasons=draw(seasons()),
        tier_period=tier_period or draw(st.sampled_from(["month", "year"])),
        tier_per_head=draw(st.booleans()),
        service_price=draw(st.sampled_from([Decimal(0), Decimal("0.05")])),
        service_percent=draw(st.sampled_from([Decimal(0), Decimal("8.45")])),
    )


calendars = st.dictionaries(
    st.dates(date(2005, 1, 1), date(2027, 12, 31)), st.sampled_from(DAY_TYPES), max_size=5
).map(Calendar)


@st.composite
def cases(draw, versions=4, days=21):
    """An interval and versions that cover it, in a zone, with what else is asked for."""
    zone = draw(zones)
    start = draw(moments)
    length = draw(st.timedeltas(TICK, timedelta(days=days)))
    offsets = draw(
        st.lists(
            st.timedeltas(timedelta(days=-5), timedelta(days=25)),
            max_size=versions - 1,
            unique=True,
        )
    )
    begins = {start - timedelta(days=30), *(start + offset for offset in offsets)}
    period = draw(st.sampled_from(["month", "year"]))
    timeline = [
        draw(tariffs(number, begin, period))
        for number, begin in enumerate(draw(st.permutations(sorted(begins))))
    ]
    register = draw(st.sampled_from([None, None, *RATES]))
    interval = Interval(start, start + length, draw(st.integers(0, 3 * 10**6)), register)
    heads = draw(st.integers(1, 4))
    return interval, timeline, zone, {"calendar": draw(calendars), "heads": heads}


def of_kind(lines, kind="usage"):
    return [line for line in lines if line.kind == kind]


def sums(lines):
    """Quantity and amount by key."""
    result = {}
    for line in lines:
        key = line.day, line.version_id, line.kind, line.rate, line.tier
        quantity, amount = result.get(key, (0, Decimal(0)))
        result[key] = quantity + line.quantity, amount + line.amount
    return result


def total(lines):
    return sum((line.amount for line in lines), Decimal(0))


@given(cases())
@PROPERTY
def test_lines_tile_time_and_quantity(case):
    interval, versions, zone, others = case
    rated = rate(interval, versions, zone, **others)
    lines = of_kind(rated.lines)
    assert lines[0].start == interval.start
    assert lines[-1].end == interval.end
    assert all(a.end == b.start for a, b in pairwise(lines))
    # A line without time only where one microsecond has more than one tier.
    assert all(line.start < line.end or line.quantity for line in lines)
    assert sum(line.quantity for line in lines) == interval.quantity
    assert all(line.quantity >= 0 for line in lines)
    assert rated.tiers.used >= 0


@given(cases())
@PROPERTY
def test_each_line_has_one_day_one_version_one_price(case):
    interval, versions, zone, others = case
    for line in rate(interval, versions, zone, **others).lines:
        last = max(line.end - TICK, line.start)
        assert line.start.astimezone(zone).date() == line.day == last.astimezone(zone).date()
        valid = [version for version in versions if version.valid_from <= line.start]
        version = max(valid, key=lambda each: each.valid_from)
        assert line.version_id == version.id
        assert not any(line.start < each.valid_from < line.end for each in versions)
        price = version.tiers[line.tier - 1].prices[line.rate]
        if line.kind == "service":
            price = version.service_price + price * version.service_percent / 100
        assert line.price == price
        assert line.amount * 1000 == price * line.quantity


@given(cases())
@PROPERTY
def test_a_service_line_stands_beside_each_usage_line(case):
    interval, versions, zone, others = case
    by_id = {version.id: version for version in versions}
    lines = rate(interval, versions, zone, **others).lines
    beside = [
        line
        for line in of_kind(lines)
        if by_id[line.version_id].service_price or by_id[line.version_id].service_percent
    ]
    service = of_kind(lines, "service")
    assert [
        (line.day, line.rate, line.tier, line.start, line.end, line.quantity) for line in beside
    ] == [(line.day, line.rate, line.tier, line.start, line.end, line.quantity) for line in service]


@given(cases())
@PROPERTY
def test_the_rate_is_what_the_clock_or_the_register_says(case):
    interval, versions, zone, others = case
    by_id = {version.id: version for version in versions}
    for line in of_kind(rate(interval, versions, zone, **others).lines):
        version = by_id[line.version_id]
        if interval.rate:
            assert line.rate == interval.rate
            continue
        if not version.seasons:
            assert line.rate == "flat"
            continue
        noon = [
            datetime(line.day.year, line.day.month, line.day.day, h, tzinfo=zone) for h in (0, 23)
        ]
        if noon[0].utcoffset() != noon[1].utcoffset():
            continue  # the clock is set on this day: examples say what holds then
        passed = [s for s in version.seasons if (s.month, s.day) <= (line.day.month, line.day.day)]
        season = max(passed or version.seasons, key=lambda s: (s.month, s.day))
        kind = others["calendar"].day_type(line.day)
        (plan,) = (plan for plan in season.plans if kind in plan.day_types)
        for moment in (line.start, max(line.end - TICK, line.start)):
            clock = moment.astimezone(zone)
            minute = clock.hour * 60 + clock.minute
            (*_before, period) = (item for item in plan.periods if item.start <= minute)
            assert line.rate == period.rate


@given(cases())
@PROPERTY
def test_tiers_follow_the_cumulative_usage(case):
    interval, versions, zone, others = case
    by_id = {version.id: version for version in versions}
    used, period = 0, None
    rated = rate(interval, versions, zone, **others)
    for line in of_kind(rated.lines):
        version = by_id[line.version_id]
        now = line.day.strftime("%Y-%m" if version.tier_period == "month" else "%Y")
        if now != period:
            used, period = 0, now
        heads = others["heads"] if version.tier_per_head else 1
        limits = [tier.upto * heads for tier in version.tiers[:-1]]
        below, above = [0, *limits][line.tier - 1], [*limits, None][line.tier - 1]
        assert below <= used
        used += line.quantity
        assert above is None or used <= above
    assert rated.tiers == TierState(period, used)


@given(cases(), st.randoms(use_true_random=False))
@PROPERTY
def test_order_of_versions_plays_no_part(case, random):
    interval, versions, zone, others = case
    shuffled = tuple(random.sample(versions, len(versions)))
    assert rate(interval, shuffled, zone, **others) == rate(interval, versions, zone, **others)


@given(cases())
@PROPERTY
def test_no_reason_to_split_no_split(case):
    interval, versions, zone, others = case
    for before, after in pairwise(of_kind(rate(interval, versions, zone, **others).lines)):
        assert (before.day, before.version_id, before.rate, before.tier) != (
            after.day,
            after.version_id,
            after.rate,
            after.tier,
        )


@given(cases(), st.floats(0, 1))
@PROPERTY
def test_a_reading_in_between_changes_only_what_rounding_allows(case, where):
    """Linear use, read once more: every key has the same quantity within one unit a cut."""
    interval, versions, zone, others = case
    span = (interval.end - interval.start) // TICK
    assume(span > 1)
    middle = min(max(int(span * where), 1), span - 1)
    cut, used = interval.start + middle * TICK, interval.quantity * middle // span
    whole = rate(interval, versions, zone, **others)
    first = rate(Interval(interval.start, cut, used, interval.rate), versions, zone, **others)
    second = rate(
        Interval(cut, interval.end, interval.quantity - used, interval.rate),
        versions,
        zone,
        tiers=first.tiers,
        **others,
    )
    assert second.tiers.period == whole.tiers.period
    assert abs(second.tiers.used - whole.tiers.used) <= 1
    parts = first.lines + second.lines
    assert sum(line.quantity for line in of_kind(parts)) == interval.quantity
    # Each beginning and end of a line is off by one unit at most.
    cuts = 2 * Counter((line.day, line.version_id) for line in parts).most_common(1)[0][1]
    once, twice = sums(whole.lines), sums(parts)
    for key in once.keys() | twice.keys():
        quantity, amount = once.get(key, (0, Decimal(0)))
        others_quantity, others_amount = twice.get(key, (0, Decimal(0)))
        assert abs(quantity - others_quantity) <= cuts
        # At most 10 CNY, and service, for 1000 units.
        assert abs(amount - others_amount) <= cuts * Decimal("0.0109")


@given(cases(versions=1, days=25), st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
@PROPERTY
def test_tiers_end_alike_however_often_the_register_is_read(case, steps):
    """Within one tier period any readings give the same tiers and, at one price, the same sum."""
    interval, versions, zone, others = case
    step = (interval.end - interval.start) // len(steps)
    assume(step)
    tiers, lines = TierState(), []
    for number, quantity in enumerate(steps):
        start = interval.start + number * step
        rated = rate(
            Interval(start, start + step, quantity, "peak"), versions, zone, tiers=tiers, **others
        )
        tiers = rated.tiers
        lines += rated.lines
    days = {line.day for line in lines}
    assume(len({day.strftime("%Y-%m") for day in days}) == 1)
    end = interval.start + len(steps) * step
    whole = rate(Interval(interval.start, end, sum(steps), "peak"), versions, zone, **others)
    assert whole.tiers == tiers == TierState(tiers.period, sum(steps))
    by_tier = [Counter(), Counter()]
    for counter, side in zip(by_tier, (lines, whole.lines), strict=True):
        for line in of_kind(side):
            counter[line.tier] += line.quantity
    assert +by_tier[0] == +by_tier[1]
    assert total(lines) == total(whole.lines)


@given(cases(), st.lists(st.tuples(st.sampled_from(RATES), st.integers(0, 10**6)), max_size=5))
@PROPERTY
def test_registers_together_lose_nothing(case, registers):
    interval, versions, zone, others = case
    intervals = [
        Interval(interval.start, interval.end, quantity, name) for name, quantity in registers
    ]
    rated = rate_registers(intervals, versions, zone, **others)
    lines = of_kind(rated.lines)
    counted, read = Counter(), Counter()
    for line in lines:
        counted[line.rate] += line.quantity
    for name, quantity in registers:
        read[name] += quantity
    assert +counted == +read
    assert all(a.start <= b.start or a.day == b.day for a, b in pairwise(lines))
    together = rate(
        Interval(interval.start, interval.end, sum(read.values())), versions, zone, **others
    )
    assert abs(together.tiers.used - rated.tiers.used) <= len(registers)


@given(cases())
@PROPERTY
def test_posted_fen_add_up_to_the_rounded_exact_total(case):
    interval, versions, zone, others = case
    lines = rate(interval, versions, zone, **others).lines
    residue, posted = Decimal(0), Decimal(0)
    for line in lines:
        amount, residue = settle(line.amount, residue)
        posted += amount
    assert posted + residue == total(lines)
    assert abs(residue) <= HALF_FEN
    # Half a fen itself may stand on either side.
    assert posted == to_fen(total(lines)) or abs(residue) == HALF_FEN


@given(cases(), st.integers(0, 10**6))
@PROPERTY
def test_provisional_and_difference_give_the_final_bill(case, assumed):
    interval, versions, zone, others = case
    guess = Interval(interval.start, interval.end, assumed, interval.rate)
    provisional = rate(guess, versions, zone, **others).lines
    final = rate(interval, versions, zone, **others).lines
    difference = settle_difference(provisional, final)
    assert difference.quantity == interval.quantity - assumed
    assert difference.amount == total(final) - total(provisional)
    settled = sums(provisional + difference.lines)
    empty = (0, Decimal(0))
    assert {key: value for key, value in settled.items() if value != empty} == {
        key: value for key, value in sums(final).items() if value != empty
    }


@given(
    zones,
    st.integers(2005, 2026),
    st.integers(1, 12),
    st.decimals(min_value=0, max_value=1000, places=6),
)
@PROPERTY
def test_a_monthly_fee_adds_up_in_every_month(zone, year, month, amount):
    version = TariffVersion(
        1,
        datetime(2000, 1, 1, tzinfo=UTC),
        (Tier(None, {"flat": Decimal(1)}),),
        fees=(Fee("room", amount, "month"),),
    )
    start = datetime(year, month, 1, tzinfo=zone)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    lines = fees([version], zone, start, end)
    assert total(lines) == amount
    assert all(line.amount >= 0 for line in lines)
    if lines:
        shares = [line.amount for line in lines]
        assert max(shares) - min(shares) <= Decimal("0.000001")


@given(zones, moments, st.lists(st.timedeltas(timedelta(0), timedelta(days=20)), max_size=4))
@PROPERTY
def test_fees_of_times_that_tile_do_so_too(zone, start, steps):
    version = TariffVersion(
        1,
        datetime(2000, 1, 1, tzinfo=UTC),
        (Tier(None, {"flat": Decimal(1)}),),
        fees=(Fee("base", Decimal("0.3"), "day"), Fee("room", Decimal(10), "month")),
    )
    parts, at = [], start
    for step in steps:
        parts += fees([version], zone, at, at + step)
        at += step
    assert tuple(parts) == fees([version], zone, start, at)
    daily = [line for line in parts if line.tier == 1]
    assert all(a.end == b.start for a, b in pairwise(daily))
