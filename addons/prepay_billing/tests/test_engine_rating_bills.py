"""Bills computed by hand: five rates, tiers, water, service fees, fixed fees, corrections."""

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

import pytest

from odoo.addons.prepay_billing.engine.calendar import HOLIDAY, WORKDAY, Calendar
from odoo.addons.prepay_billing.engine.errors import RatingError
from odoo.addons.prepay_billing.engine.rating import (
    Interval,
    TierState,
    fees,
    rate,
    rate_registers,
    settle_difference,
)
from odoo.addons.prepay_billing.engine.tariff import Fee, Season, TariffVersion, Tier, one_price

from .engine_tariffs import (
    BOTH,
    FIVE_RATES,
    LONG_AGO,
    SHANGHAI,
    UTC,
    WATER,
    YEARLY,
    local,
    plan,
    prices,
)

DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")


def whole_day(*parts, quantity=24_000, tz=SHANGHAI):
    start = local(*parts, tz=tz)
    return Interval(start, start + DAY, quantity)


def by_rate(lines, kind="usage"):
    quantities = Counter()
    for line in lines:
        if line.kind == kind:
            quantities[line.rate] += line.quantity
    return dict(quantities)


def by_tier(lines):
    quantities = Counter()
    for line in lines:
        quantities[line.tier] += line.quantity
    return dict(quantities)


def total(lines, kind=None):
    return sum((line.amount for line in lines if kind in (None, line.kind)), Decimal(0))


# Five rates --------------------------------------------------------------------------------------


def test_a_summer_workday_at_five_rates():
    """1 kWh each hour: 8 x 0.228 + 9 x 0.6 + 4 x 1.02 + 3 x 1.275."""
    lines, _tiers = rate(whole_day(2026, 8, 5), [FIVE_RATES], SHANGHAI)
    assert by_rate(lines) == {"valley": 8000, "flat": 9000, "peak": 4000, "sharp": 3000}
    assert total(lines) == Decimal("15.129")
    assert [(line.start.astimezone(SHANGHAI).hour, line.rate) for line in lines] == [
        (0, "valley"),
        (8, "flat"),
        (10, "peak"),
        (11, "sharp"),
        (12, "flat"),
        (14, "peak"),
        (15, "sharp"),
        (17, "peak"),
        (19, "flat"),
    ]
    assert {line.day for line in lines} == {date(2026, 8, 5)}
    assert {line.tier for line in lines} == {1}


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ((2026, 9, 30), {"valley": 8, "flat": 9, "peak": 4, "sharp": 3}),
        ((2026, 6, 30), {"valley": 8, "flat": 9, "peak": 7}),  # the winter holds until 1 July
        ((2026, 1, 2), {"valley": 8, "flat": 9, "peak": 7}),
        ((2026, 10, 5), {"valley": 8, "flat": 9, "peak": 7}),
        ((2026, 10, 3), {"valley": 8, "flat": 16}),  # a Saturday
        ((2026, 10, 10), {"valley": 8, "flat": 9, "peak": 7}),  # a Saturday that is worked
        ((2026, 10, 1), {"valley": 8, "flat": 16}),  # National Day
        ((2026, 9, 25), {"deep": 14, "flat": 10}),  # Mid-Autumn, in the summer season
    ],
)
def test_seasons_and_special_days(day, expected):
    calendar = Calendar(
        {
            date(2026, 9, 25): HOLIDAY,
            date(2026, 10, 1): HOLIDAY,
            date(2026, 10, 10): WORKDAY,
        }
    )
    lines, _tiers = rate(whole_day(*day), [FIVE_RATES], SHANGHAI, calendar=calendar)
    assert by_rate(lines) == {name: hours * 1000 for name, hours in expected.items()}


def test_order_of_seasons_plays_no_part():
    version = replace(FIVE_RATES, seasons=FIVE_RATES.seasons[::-1])
    interval = whole_day(2026, 8, 5)
    assert rate(interval, [version], SHANGHAI) == rate(interval, [FIVE_RATES], SHANGHAI)


def test_half_hour_inside_one_rate_is_one_line():
    interval = Interval(local(2026, 8, 5, 11), local(2026, 8, 5, 11, 30), 777)
    (line,), _tiers = rate(interval, [FIVE_RATES], SHANGHAI)
    assert (line.rate, line.quantity, line.amount) == ("sharp", 777, Decimal("0.990675"))


def test_equal_neighbours_make_no_cut():
    version = replace(
        FIVE_RATES, seasons=(Season(1, 1, (plan("0 flat, 8 flat, 9 peak, 9:01 peak"),)),)
    )
    lines, _tiers = rate(whole_day(2026, 8, 5), [version], SHANGHAI)
    assert [(line.rate, line.quantity) for line in lines] == [("flat", 9000), ("peak", 15000)]


def test_rates_across_midnight_keep_their_days():
    interval = Interval(local(2026, 8, 5, 18), local(2026, 8, 6, 9), 15_000)
    lines, _tiers = rate(interval, [FIVE_RATES], SHANGHAI)
    assert [(line.day.day, line.rate, line.quantity) for line in lines] == [
        (5, "peak", 1000),
        (5, "flat", 5000),
        (6, "valley", 8000),
        (6, "flat", 1000),
    ]


def test_a_version_that_begins_within_a_rate():
    change = local(2026, 8, 5, 11, 30)
    dearer = replace(FIVE_RATES, id=5, valid_from=change, seasons=(), tiers=one_price(Decimal(2)))
    interval = Interval(local(2026, 8, 5, 10, 30), local(2026, 8, 5, 12, 30), 2000)
    lines, _tiers = rate(interval, [dearer, FIVE_RATES], SHANGHAI)
    assert [(line.version_id, line.rate, line.quantity) for line in lines] == [
        (1, "peak", 500),
        (1, "sharp", 500),
        (5, "flat", 1000),
    ]


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        # Berlin skips 02:00 to 03:00: the period of 02:30 begins with the change.
        ((2025, 3, 30), {"valley": 2, "flat": 21}),
        # From 02:30 the flat rate holds, though the clock shows 02:00 again half an hour later.
        ((2025, 10, 26), {"valley": 2.5, "flat": 22.5}),
        ((2025, 6, 4), {"valley": 2.5, "flat": 21.5}),
    ],
)
def test_periods_where_summer_time_begins_and_ends(day, hours):
    version = replace(FIVE_RATES, seasons=(Season(1, 1, (plan("0 valley, 2:30 flat"),)),))
    start = local(*day, tz=BERLIN).astimezone(UTC)
    end = (datetime(*day) + DAY).replace(tzinfo=BERLIN).astimezone(UTC)
    interval = Interval(start, end, (end - start) // timedelta(hours=1) * 1000)
    lines, _tiers = rate(interval, [version], BERLIN)
    assert by_rate(lines) == {name: hours * 1000 for name, hours in hours.items()}
    assert len(lines) == 2


def test_a_period_that_the_clock_skips_whole():
    version = replace(FIVE_RATES, seasons=(Season(1, 1, (plan("0 flat, 2 peak, 3 valley"),)),))
    lines, _tiers = rate(whole_day(2025, 3, 30, tz=BERLIN), [version], BERLIN)
    assert [line.rate for line in lines] == ["flat", "valley"]


# Tiers -------------------------------------------------------------------------------------------


def months_of(year):
    for month in range(1, 13):
        yield local(year, month, 1), local(year + month // 12, month % 12 + 1, 1)


def test_a_household_year_in_three_tiers():
    """5,000 kWh: 2,520 x 0.5283 + 2,280 x 0.5783 + 200 x 0.8283, however it is read."""
    readings = [400, 420, 300, 380, 450, 500, 600, 610, 480, 300, 280, 280]
    tiers, lines = TierState(), []
    for (start, end), quantity in zip(months_of(2026), readings):
        rated = rate(Interval(start, end, quantity * 1000), [YEARLY], SHANGHAI, tiers=tiers)
        lines += rated.lines
        tiers = rated.tiers
    assert tiers == TierState("2026", 5_000_000)
    assert by_tier(lines) == {1: 2_520_000, 2: 2_280_000, 3: 200_000}
    assert total(lines) == Decimal("2815.5")
    rated = rate(whole_day(2027, 1, 1), [YEARLY], SHANGHAI, tiers=tiers)
    assert by_tier(rated.lines) == {1: 24_000}
    assert rated.tiers == TierState("2027", 24_000)


def test_the_year_turns_at_local_midnight_within_an_interval():
    interval = Interval(local(2026, 12, 31, 12), local(2027, 1, 1, 12), 20_000)
    lines, tiers = rate(interval, [YEARLY], SHANGHAI, tiers=TierState("2026", 4_795_000))
    assert [(line.day.year, line.tier, line.quantity) for line in lines] == [
        (2026, 2, 5000),
        (2026, 3, 5000),
        (2027, 1, 10_000),
    ]
    assert tiers == TierState("2027", 10_000)


def test_a_limit_cuts_the_time_in_proportion():
    interval = Interval(local(2026, 3, 1), local(2026, 3, 1, 10), 10_000)
    lines, tiers = rate(interval, [YEARLY], SHANGHAI, tiers=TierState("2026", 2_517_500))
    assert [(line.tier, line.start, line.end, line.quantity) for line in lines] == [
        (1, local(2026, 3, 1), local(2026, 3, 1, 2, 30), 2500),
        (2, local(2026, 3, 1, 2, 30), local(2026, 3, 1, 10), 7500),
    ]
    assert tiers.used == 2_527_500


@pytest.mark.parametrize(
    ("used", "quantity", "expected"),
    [
        (2_519_999, 1, [(1, 1)]),
        (2_519_999, 2, [(1, 1), (2, 1)]),
        (2_520_000, 1, [(2, 1)]),
        (2_520_000, 0, [(2, 0)]),
        (2_519_999, 2_280_002, [(1, 1), (2, 2_280_000), (3, 1)]),
        (4_800_000, 5, [(3, 5)]),
    ],
)
def test_limits_to_the_unit(used, quantity, expected):
    lines, tiers = rate(
        whole_day(2026, 3, 1, quantity=quantity), [YEARLY], SHANGHAI, tiers=TierState("2026", used)
    )
    assert [(line.tier, line.quantity) for line in lines] == expected
    assert tiers.used == used + quantity


def test_water_for_four_people():
    """30 m3: 20 x 2.67 + 8 x 4.01 + 2 x 8.01."""
    interval = Interval(local(2026, 4, 1), local(2026, 4, 15), 30_000)
    lines, tiers = rate(interval, [WATER], SHANGHAI, heads=4)
    assert by_tier(lines) == {1: 20_000, 2: 8_000, 3: 2_000}
    assert total(lines) == Decimal("101.5")
    assert tiers == TierState("2026-04", 30_000)
    alone = rate(interval, [WATER], SHANGHAI).lines
    assert by_tier(alone) == {1: 5_000, 2: 2_000, 3: 23_000}


def test_heads_count_only_where_the_tariff_says_so():
    interval = whole_day(2026, 3, 1, quantity=3_000_000)
    assert rate(interval, [YEARLY], SHANGHAI, heads=9) == rate(interval, [YEARLY], SHANGHAI)


def test_monthly_tiers_begin_anew_each_month():
    lines, tiers = rate(
        whole_day(2026, 5, 1, quantity=1000), [WATER], SHANGHAI, tiers=TierState("2026-04", 30_000)
    )
    assert by_tier(lines) == {1: 1000}
    assert tiers == TierState("2026-05", 1000)


def test_a_new_version_goes_on_counting():
    change = local(2026, 7, 1)
    second = replace(YEARLY, id=8, valid_from=change)
    interval = Interval(change - DAY, change + DAY, 20_000)
    lines, tiers = rate(interval, [YEARLY, second], SHANGHAI, tiers=TierState("2026", 2_515_000))
    assert [(line.version_id, line.tier, line.quantity) for line in lines] == [
        (2, 1, 5000),
        (2, 2, 5000),
        (8, 2, 10_000),
    ]
    assert tiers == TierState("2026", 2_535_000)


@pytest.mark.parametrize(("before", "after"), [("year", "month"), ("month", "year")])
def test_another_tier_period_counts_anew(before, after):
    change = local(2026, 7, 1)
    first = replace(YEARLY, tier_period=before)
    second = replace(YEARLY, id=8, valid_from=change, tier_period=after)
    interval = Interval(change - DAY, change + DAY, 20_000)
    rated = rate(interval, [first, second], SHANGHAI)
    assert rated.tiers == TierState({"year": "2026", "month": "2026-07"}[after], 10_000)


def test_usage_counts_without_tiers_too():
    first = replace(YEARLY, tiers=one_price(Decimal(1)))
    assert rate(whole_day(2026, 3, 1), [first], SHANGHAI).tiers == TierState("2026", 24_000)


def test_tier_and_rate_and_service():
    """From 98 kWh on, 24 kWh over the day: 2 valley at the first tier, then 6 valley, 14 peak,
    2 flat at the second; service 0.05 CNY per kWh and 8 %."""
    lines, tiers = rate(whole_day(2026, 3, 1), [BOTH], SHANGHAI, tiers=TierState("2026-03", 98_000))
    usage = [line for line in lines if line.kind == "usage"]
    service = [line for line in lines if line.kind == "service"]
    assert [(line.rate, line.tier, line.quantity, line.amount) for line in usage] == [
        ("valley", 1, 2000, Decimal("0.6")),
        ("valley", 2, 6000, Decimal("2.4")),
        ("peak", 2, 14_000, Decimal("14")),
        ("flat", 2, 2000, Decimal("1.4")),
    ]
    assert [(line.rate, line.tier, line.quantity, line.price) for line in service] == [
        ("valley", 1, 2000, Decimal("0.074")),
        ("valley", 2, 6000, Decimal("0.082")),
        ("peak", 2, 14_000, Decimal("0.13")),
        ("flat", 2, 2000, Decimal("0.106")),
    ]
    # 24 x 0.05 + 8 % of 18.4
    assert total(lines, "service") == Decimal("2.672")
    assert tiers == TierState("2026-03", 122_000)
    assert [line.kind for line in lines] == ["usage", "service"] * 4
    assert all((a.start, a.end) == (b.start, b.end) for a, b in zip(usage, service))


@pytest.mark.parametrize(
    ("change", "price"),
    [
        ({"service_price": Decimal("0.05")}, "0.05"),
        ({"service_percent": Decimal("8.45")}, "0.0507"),
    ],
)
def test_service_by_unit_or_by_percent(change, price):
    version = TariffVersion(1, LONG_AGO, one_price(Decimal("0.6")), **change)
    with localcontext() as context:
        context.prec = 2
        usage, service = rate(whole_day(2026, 3, 1), [version], SHANGHAI).lines
    assert (usage.kind, usage.amount) == ("usage", Decimal("14.4"))
    assert (service.kind, service.price) == ("service", Decimal(price))
    assert service.amount == service.price * 24


def test_extreme_service_stays_exact():
    version = TariffVersion(
        1,
        LONG_AGO,
        one_price(Decimal("999999.999999999999")),
        unit=2**12,
        service_price=Decimal("999999.999999999999"),
        service_percent=Decimal("99.999999"),
    )
    _usage, service = rate(whole_day(2026, 3, 1, quantity=10**18 - 1), [version], SHANGHAI).lines
    with localcontext() as context:
        context.prec = 100
        assert service.price == Decimal("999999.999999999999") * Decimal("1.99999999")
        assert service.amount * 2**12 == service.price * (10**18 - 1)


# Registers of the meter ---------------------------------------------------------------------------


def test_the_register_says_the_rate_and_days_still_split():
    interval = Interval(local(2026, 8, 5, 12), local(2026, 8, 6, 12), 1001, "peak")
    lines, _tiers = rate(interval, [FIVE_RATES], SHANGHAI)
    assert [(line.day.day, line.rate, line.quantity) for line in lines] == [
        (5, "peak", 500),
        (6, "peak", 501),
    ]


def test_one_price_for_all_registers():
    version = TariffVersion(1, LONG_AGO, one_price(Decimal("0.6")))
    interval = Interval(local(2026, 8, 5), local(2026, 8, 5, 12), 1000, "peak")
    ((line,), _tiers) = rate(interval, [version], SHANGHAI)
    assert (line.rate, line.amount) == ("flat", Decimal("0.6"))


def test_registers_fill_the_tiers_together():
    """Two registers over two days, 10 kWh a day each, 25 kWh left in the first tier: the second
    day has 5 of it, and the register that comes first takes them."""
    start = local(2026, 8, 5)
    intervals = [Interval(start, start + 2 * DAY, 20_000, name) for name in ("peak", "valley")]
    lines, tiers = rate_registers(intervals, [BOTH], SHANGHAI, tiers=TierState("2026-08", 75_000))
    assert [
        (line.day.day, line.rate, line.tier, line.quantity)
        for line in lines
        if line.kind == "usage"
    ] == [
        (5, "peak", 1, 10_000),
        (5, "valley", 1, 10_000),
        (6, "peak", 1, 5_000),
        (6, "peak", 2, 5_000),
        (6, "valley", 2, 10_000),
    ]
    assert tiers == TierState("2026-08", 115_000)


def test_registers_across_the_turn_of_a_month():
    start = local(2026, 8, 31)
    intervals = [Interval(start, start + 2 * DAY, 2_000, name) for name in ("peak", "valley")]
    _lines, tiers = rate_registers(
        iter(intervals), [BOTH], SHANGHAI, tiers=TierState("2026-08", 75_000)
    )
    assert tiers == TierState("2026-09", 2_000)


# Fixed fees --------------------------------------------------------------------------------------

FEES = replace(YEARLY, fees=(Fee("base", Decimal("0.3"), "day"), Fee("room", Decimal(10), "month")))


def test_fees_of_a_month():
    lines = fees([FEES], SHANGHAI, local(2026, 4, 1), local(2026, 5, 1))
    daily = [line for line in lines if line.tier == 1]
    monthly = [line for line in lines if line.tier == 2]
    assert len(daily) == len(monthly) == 30
    assert total(daily) == Decimal("9")
    assert total(monthly) == Decimal("10")
    assert {line.amount for line in monthly} == {Decimal("0.333333"), Decimal("0.333334")}
    first = monthly[0]
    assert (first.day, first.version_id, first.kind, first.rate) == (
        date(2026, 4, 1),
        2,
        "fee",
        "flat",
    )
    assert (first.start, first.end) == (local(2026, 4, 1), local(2026, 4, 2))
    assert (first.quantity, first.price) == (0, Decimal(10))


def test_fees_belong_to_the_days_that_begin():
    noon = local(2026, 4, 1, 12)
    assert fees([FEES], SHANGHAI, noon, noon + timedelta(hours=12)) == ()
    assert {line.day for line in fees([FEES], SHANGHAI, noon, noon + DAY)} == {date(2026, 4, 2)}
    assert fees([FEES], SHANGHAI, noon, noon) == ()
    midnight = local(2026, 4, 2)
    assert fees([FEES], SHANGHAI, midnight, midnight) == ()
    assert len(fees([FEES], SHANGHAI, midnight, midnight + timedelta(microseconds=1))) == 2


def test_the_version_at_the_beginning_of_the_day_says_the_fee():
    change = local(2026, 4, 2, 12)
    second = replace(FEES, id=8, valid_from=change, fees=(Fee("base", Decimal(1), "day"),))
    lines = fees([second, FEES], SHANGHAI, local(2026, 4, 2), local(2026, 4, 4))
    assert [(line.day.day, line.version_id, line.tier) for line in lines] == [
        (2, 2, 1),
        (2, 2, 2),
        (3, 8, 1),
    ]


def test_fees_do_not_depend_on_the_context():
    with localcontext() as context:
        context.prec = 2
        lines = fees([FEES], SHANGHAI, local(2026, 2, 1), local(2026, 3, 1))
    assert total(line for line in lines if line.tier == 2) == Decimal(10)


def test_a_day_that_never_was_has_no_daily_fee():
    """Samoa skipped 30 December 2011; the fee of the month stays whole."""
    zone = ZoneInfo("Pacific/Apia")
    lines = fees([FEES], zone, local(2011, 12, 1, tz=zone), local(2012, 1, 1, tz=zone))
    assert sum(line.tier == 1 for line in lines) == 30
    assert total(line for line in lines if line.tier == 2) == Decimal(10)


# Corrections -------------------------------------------------------------------------------------


def test_provisional_usage_is_settled_by_one_difference():
    """Two days assumed at 24 kWh each; the reading says 60 kWh over two and a half."""
    before = TierState("2026", 2_500_000)
    start = local(2026, 3, 1)
    assumed = rate(Interval(start, start + 2 * DAY, 48_000), [YEARLY], SHANGHAI, tiers=before)
    true = Interval(start, start + timedelta(hours=60), 60_000)
    final = rate(true, [YEARLY], SHANGHAI, tiers=before)
    difference = settle_difference(assumed.lines, final.lines)
    # 12 kWh more, all of the second tier.
    assert (difference.quantity, difference.amount) == (12_000, Decimal("6.9396"))
    assert [(line.day.day, line.tier, line.quantity) for line in difference.lines] == [
        (3, 2, 12_000)
    ]
    back = settle_difference(final.lines, assumed.lines)
    assert (back.quantity, back.amount) == (-12_000, Decimal("-6.9396"))


def test_a_difference_can_move_usage_between_tiers():
    version = replace(YEARLY, service_price=Decimal("0.1"))
    day = whole_day(2026, 3, 1, quantity=10_000)
    first = rate(day, [version], SHANGHAI, tiers=TierState("2026", 2_500_000)).lines
    last = rate(day, [version], SHANGHAI, tiers=TierState("2026", 2_515_000)).lines
    difference = settle_difference(first, last)
    assert [
        (line.kind, line.tier, line.quantity, line.price, line.amount) for line in difference.lines
    ] == [
        ("service", 1, -5000, Decimal("0.1"), Decimal("-0.5")),
        ("service", 2, 5000, Decimal("0.1"), Decimal("0.5")),
        ("usage", 1, -5000, Decimal("0.5283"), Decimal("-2.6415")),
        ("usage", 2, 5000, Decimal("0.5783"), Decimal("2.8915")),
    ]
    assert (difference.quantity, difference.amount) == (0, Decimal("0.25"))
    usage = difference.lines[-1]
    assert (usage.start, usage.end) == (day.start + timedelta(hours=12), day.end)


def test_equal_sides_differ_by_nothing():
    lines = rate(whole_day(2026, 3, 1), [BOTH], SHANGHAI).lines
    assert settle_difference(lines, lines) == (0, Decimal(0), ())
    assert settle_difference((), ()) == (0, Decimal(0), ())


# Refusals ----------------------------------------------------------------------------------------

GOOD = whole_day(2026, 8, 5)


@pytest.mark.parametrize(
    ("code", "call", "facts"),
    [
        *(
            (
                "heads_invalid",
                lambda heads=heads: rate(GOOD, [WATER], SHANGHAI, heads=heads),
                {"heads": heads},
            )
            for heads in (0, -1, 1.0, True)
        ),
        *(
            (
                "tier_state",
                lambda used=used: rate(GOOD, [WATER], SHANGHAI, tiers=TierState("", used)),
                {"used": used},
            )
            for used in (-1, 1.0, None)
        ),
        (
            "tier_period_past",
            lambda: rate(GOOD, [WATER], SHANGHAI, tiers=TierState("2026-09", 5)),
            {"day": date(2026, 8, 5), "period": "2026-09"},
        ),
        (
            "tier_period_past",
            lambda: rate(GOOD, [YEARLY], SHANGHAI, tiers=TierState("2027-01", 5)),
            {"day": date(2026, 8, 5), "period": "2027-01"},
        ),
        (
            "rate_missing",
            lambda: rate(replace(GOOD, rate="deep"), [BOTH], SHANGHAI),
            {"version": 4, "tier": 1, "rate": "deep"},
        ),
        (
            "day_type_unknown",
            lambda: rate(
                GOOD, [FIVE_RATES], SHANGHAI, calendar=Calendar({date(2026, 8, 5): "party"})
            ),
            {"day": date(2026, 8, 5), "day_type": "party"},
        ),
        (
            "no_version",
            lambda: fees([], SHANGHAI, local(2026, 4, 1), local(2026, 4, 2)),
            {"at": local(2026, 4, 1), "first": None},
        ),
        (
            "interval_reversed",
            lambda: fees([FEES], SHANGHAI, local(2026, 4, 2), local(2026, 4, 1)),
            {"start": local(2026, 4, 2), "end": local(2026, 4, 1)},
        ),
        (
            "tiers_missing",
            lambda: fees([replace(FEES, tiers=())], SHANGHAI, GOOD.start, GOOD.end),
            {"version": 2},
        ),
    ],
)
def test_refused(code, call, facts):
    with pytest.raises(RatingError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.values == facts


def test_tuples_of_versions_are_kept_apart():
    """More tuples than are remembered: each interval has its own price."""
    books = [
        (TariffVersion(number, LONG_AGO, (Tier(None, prices(flat=str(number))),)),)
        for number in range(1, 1100)
    ]
    for number, versions in enumerate(books, 1):
        for _again in range(2):
            (line,) = rate(whole_day(2026, 3, 1, quantity=1000), versions, SHANGHAI).lines
            assert line.amount == number
