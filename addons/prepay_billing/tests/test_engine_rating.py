"""Rating of intervals by one price with versions: days, zones, refusals."""

from dataclasses import FrozenInstanceError
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

import pytest

from odoo.addons.prepay_billing.engine.errors import EngineError, RatingError
from odoo.addons.prepay_billing.engine.rating import Interval, RatedLine, TierState, rate
from odoo.addons.prepay_billing.engine.tariff import TariffVersion, one_price

UTC = timezone.utc
SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def flat(number, valid_from, price, unit=1000):
    return TariffVersion(number, valid_from, one_price(price), unit)


SINCE_2000 = flat(1, utc(2000, 1, 1), Decimal("0.5583"))


def facts_of(line):
    return (line.day.isoformat(), line.version_id, line.quantity, line.amount)


def test_one_piece():
    interval = Interval(utc(2025, 6, 4, 3), utc(2025, 6, 4, 3, 30), 1234)
    assert rate(interval, [SINCE_2000], SHANGHAI).lines == (
        RatedLine(
            day=date(2025, 6, 4),
            version_id=1,
            kind="usage",
            rate="flat",
            tier=1,
            start=utc(2025, 6, 4, 3),
            end=utc(2025, 6, 4, 3, 30),
            quantity=1234,
            price=Decimal("0.5583"),
            amount=Decimal("0.6889422"),
        ),
    )


def test_split_counts_microseconds():
    tick = timedelta(microseconds=1)
    midnight = utc(2025, 6, 4, 16)
    lines, _tiers = rate(
        Interval(midnight - tick, midnight + 2 * tick, 300), [SINCE_2000], SHANGHAI
    )
    assert [line.quantity for line in lines] == [100, 200]


def test_first_year_that_is_accepted():
    version = flat(1, utc(1900, 1, 1), Decimal(1))
    (line,), _tiers = rate(
        Interval(utc(1900, 1, 1), utc(1900, 1, 1, 1), 5), [version], timezone.utc
    )
    assert line.quantity == 5


def test_water_may_be_priced_by_another_unit():
    version = flat(1, utc(2000, 1, 1), Decimal("3.45"), unit=1)
    (line,), _tiers = rate(Interval(utc(2025, 6, 4), utc(2025, 6, 4, 1), 7), [version], SHANGHAI)
    assert line.amount == Decimal("24.15")


def test_no_time_and_no_quantity_gives_no_lines():
    moment = utc(2025, 6, 4)
    tiers = TierState("2025-05", 7)
    assert rate(Interval(moment, moment, 0), [SINCE_2000], SHANGHAI, tiers=tiers) == ((), tiers)
    assert rate(Interval(moment, moment, 0), [], SHANGHAI) == ((), TierState())


def test_records_never_change():
    line = RatedLine(date(2025, 6, 4), 1, "usage", "flat", 1, START, END, 0, Decimal(1), Decimal(0))
    for record, name in ((GOOD, "quantity"), (SINCE_2000, "tiers"), (line, "amount")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, 1)
        assert not hasattr(record, "__dict__")


def test_no_usage_still_tiles_the_time():
    lines, _tiers = rate(
        Interval(utc(2025, 6, 4, 15), utc(2025, 6, 4, 17), 0), [SINCE_2000], SHANGHAI
    )
    assert [facts_of(line) for line in lines] == [("2025-06-04", 1, 0, 0), ("2025-06-05", 1, 0, 0)]


def test_split_at_local_midnight():
    lines, _tiers = rate(
        Interval(utc(2025, 6, 4, 15, 30), utc(2025, 6, 4, 16, 30), 1001), [SINCE_2000], SHANGHAI
    )
    assert [facts_of(line) for line in lines] == [
        ("2025-06-04", 1, 500, Decimal("0.27915")),
        ("2025-06-05", 1, 501, Decimal("0.2797083")),
    ]
    assert lines[0].end == lines[1].start == utc(2025, 6, 4, 16)


def test_split_where_a_version_begins_in_any_order_given():
    dearer = flat(2, utc(2025, 6, 4, 4), Decimal("1"))
    later = flat(3, utc(2026, 1, 1), Decimal("9"))
    interval = Interval(utc(2025, 6, 4, 3), utc(2025, 6, 4, 7), 400)
    for versions in ([SINCE_2000, dearer, later], (later, dearer, SINCE_2000)):
        lines, _tiers = rate(interval, iter(versions), SHANGHAI)
        assert [facts_of(line) for line in lines] == [
            ("2025-06-04", 1, 100, Decimal("0.05583")),
            ("2025-06-04", 2, 300, Decimal("0.3")),
        ]
        assert lines[0].end == utc(2025, 6, 4, 4)


def test_version_that_begins_at_the_edges():
    interval = Interval(utc(2025, 6, 4, 3), utc(2025, 6, 4, 4), 10)
    at_start = flat(2, interval.start, Decimal(1))
    at_end = flat(3, interval.end, Decimal(2))
    (line,), _tiers = rate(interval, [SINCE_2000, at_start, at_end], SHANGHAI)
    assert (line.version_id, line.quantity) == (2, 10)


def test_version_that_begins_at_midnight_makes_one_cut():
    next_day = flat(2, datetime(2025, 6, 5, tzinfo=SHANGHAI), Decimal(1))
    lines, _tiers = rate(
        Interval(utc(2025, 6, 4, 15), utc(2025, 6, 4, 17), 10), [SINCE_2000, next_day], SHANGHAI
    )
    assert [facts_of(line) for line in lines] == [
        ("2025-06-04", 1, 5, Decimal("0.0027915")),
        ("2025-06-05", 2, 5, Decimal("0.005")),
    ]


@pytest.mark.parametrize(
    ("zone", "start", "hours", "days"),
    [
        # Summer time begins: the day has 23 hours; it ends: 25 hours.
        ("Europe/Berlin", utc(2025, 3, 29, 23), 46, {"2025-03-30": 23, "2025-03-31": 23}),
        ("Europe/Berlin", utc(2025, 10, 25, 22), 50, {"2025-10-26": 25, "2025-10-27": 24,
                                                     "2025-10-28": 1}),
        # Midnight does not exist: 2018-11-04 begins at 01:00.
        ("America/Sao_Paulo", utc(2018, 11, 4, 2), 3, {"2018-11-03": 1, "2018-11-04": 2}),
        # At midnight the clock goes back to 23:00: the old day gets an hour more.
        ("America/Sao_Paulo", utc(2019, 2, 17, 1), 3, {"2019-02-16": 2, "2019-02-17": 1}),
        # Between 00:00 and 01:00 twice, same day.
        ("America/Havana", utc(2024, 11, 3, 3), 4, {"2024-11-02": 1, "2024-11-03": 3}),
        # The clock skips from 23:30 to 00:30: the day begins in between.
        ("America/Toronto", utc(1919, 3, 31, 3), 3, {"1919-03-30": 1.5, "1919-03-31": 1.5}),
        # The zone crossed the date line: 2011-12-30 never was.
        ("Pacific/Apia", utc(2011, 12, 30, 9), 3, {"2011-12-29": 1, "2011-12-31": 2}),
        # At 00:01 back to 23:01: the new day keeps what it has begun.
        ("America/St_Johns", utc(2010, 11, 7, 2), 3, {"2010-11-06": 0.5, "2010-11-07": 2.5}),
    ],
)  # fmt: skip
def test_days_with_summer_time(zone, start, hours, days):
    interval = Interval(start, start + timedelta(hours=hours), hours * 1000)
    version = flat(1, utc(1900, 1, 1), Decimal(1))
    lines, _tiers = rate(interval, [version], ZoneInfo(zone))
    assert {line.day.isoformat(): line.quantity / 1000 for line in lines} == days
    assert len(lines) == len(days)


def test_start_within_the_hour_that_comes_twice_over_midnight():
    start = utc(2010, 11, 7, 3)  # 23:30 of the 6th by the clock, for the second time
    lines, _tiers = rate(
        Interval(start, start + timedelta(hours=1), 60), [SINCE_2000], ZoneInfo("America/St_Johns")
    )
    assert [line.day for line in lines] == [date(2010, 11, 7)]


def test_moments_in_a_local_zone_count_real_time():
    """From 01:00 to 04:00 by the clock there are two hours when summer time begins."""
    interval = Interval(
        datetime(2025, 3, 30, 1, tzinfo=BERLIN), datetime(2025, 3, 30, 4, tzinfo=BERLIN), 200
    )
    switch = flat(2, datetime(2025, 3, 30, 3, tzinfo=BERLIN), Decimal(1))
    lines, _tiers = rate(interval, [SINCE_2000, switch], BERLIN)
    assert [line.quantity for line in lines] == [100, 100]
    assert [line.start.tzinfo for line in lines] == [UTC, UTC]


def test_the_decimal_context_of_the_caller_plays_no_part():
    with localcontext() as context:
        context.prec = 2
        (line,), _tiers = rate(
            Interval(utc(2025, 6, 4), utc(2025, 6, 4, 1), 1234), [SINCE_2000], UTC
        )
    assert line.amount == Decimal("0.6889422")


NAIVE = utc(2025, 6, 4).replace(tzinfo=None)
START, END = utc(2025, 6, 4, 3), utc(2025, 6, 4, 4)
GOOD = Interval(START, END, 10)


@pytest.mark.parametrize(
    ("code", "interval", "versions"),
    [
        ("naive_time", Interval(NAIVE, END, 1), [SINCE_2000]),
        ("naive_time", Interval(START, NAIVE, 1), [SINCE_2000]),
        ("naive_time", GOOD, [flat(1, NAIVE, Decimal(1))]),
        ("time_range", Interval(utc(1899, 12, 31), END, 1), [SINCE_2000]),
        ("time_range", Interval(START, utc(3000, 1, 1), 1), [SINCE_2000]),
        ("time_range", GOOD, [flat(1, datetime.min.replace(tzinfo=UTC), Decimal(1))]),
        ("interval_reversed", Interval(END, START, 1), [SINCE_2000]),
        ("interval_reversed", Interval(END, START, 0), [SINCE_2000]),
        ("interval_empty", Interval(START, START, 1), [SINCE_2000]),
        ("quantity_negative", Interval(START, END, -1), [SINCE_2000]),
        ("quantity_negative", Interval(START, START, -1), [SINCE_2000]),
        ("quantity_invalid", Interval(START, END, 1.0), [SINCE_2000]),
        ("quantity_invalid", Interval(START, END, 10**18), [SINCE_2000]),
        ("price_negative", GOOD, [flat(1, START, Decimal("-0.01"))]),
        ("price_invalid", GOOD, [flat(1, START, 0.5)]),
        ("price_invalid", GOOD, [flat(1, START, Decimal("NaN"))]),
        ("price_invalid", GOOD, [flat(1, START, Decimal("Infinity"))]),
        ("price_invalid", GOOD, [flat(1, START, Decimal("1000000.01"))]),
        ("price_invalid", GOOD, [flat(1, START, Decimal("1E-13"))]),
        ("unit_invalid", GOOD, [flat(1, START, Decimal(1), unit=3)]),
        ("unit_invalid", GOOD, [flat(1, START, Decimal(1), unit=10**13)]),
        ("unit_invalid", GOOD, [flat(1, START, Decimal(1), unit=0)]),
        ("unit_invalid", GOOD, [flat(1, START, Decimal(1), unit=-10)]),
        ("unit_invalid", GOOD, [flat(1, START, Decimal(1), unit=1000.0)]),
        ("no_version", GOOD, []),
        ("no_version", GOOD, [flat(1, START + timedelta(seconds=1), Decimal(1))]),
        ("version_duplicate", GOOD, [SINCE_2000, flat(2, utc(2000, 1, 1), Decimal(1))]),
    ],
)
def test_refused(code, interval, versions):
    with pytest.raises(RatingError) as caught:
        rate(interval, versions, SHANGHAI)
    assert isinstance(caught.value, EngineError)
    assert caught.value.code == code
    assert str(caught.value) == caught.value.detail
    assert caught.value.values


def test_refusal_names_the_facts():
    first = flat(7, END, Decimal(1))
    with pytest.raises(RatingError) as caught:
        rate(GOOD, [first], SHANGHAI)
    assert caught.value.values == {"at": START, "first": END}
    with pytest.raises(RatingError) as caught:
        rate(GOOD, [flat(7, START, Decimal(-1))], SHANGHAI)
    assert caught.value.values == {
        "version": 7,
        "price": Decimal(-1),
        "tier": 1,
        "rate": "flat",
    }
    with pytest.raises(RatingError) as caught:
        rate(GOOD, [first, flat(8, END, Decimal(1))], SHANGHAI)
    assert caught.value.values == {"versions": (7, 8), "valid_from": END}


@pytest.mark.parametrize(
    ("price", "unit", "quantity"),
    [
        (Decimal(0), 1000, 5),
        (Decimal(1_000_000), 1, 10**18 - 1),
        (Decimal("0.000000000001"), 10**12, 10**18 - 1),
        (Decimal("1E+3"), 1, 1),
    ],
)
def test_extreme_values_stay_exact(price, unit, quantity):
    version = flat(1, START, price, unit)
    (line,), _tiers = rate(Interval(START, END, quantity), [version], SHANGHAI)
    with localcontext() as context:
        context.prec = 100
        assert line.amount * unit == price * quantity
