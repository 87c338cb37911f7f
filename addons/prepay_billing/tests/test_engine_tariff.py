"""What a tariff version must fulfil: every refusal with its code and the facts."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from odoo.addons.prepay_billing.engine.errors import RatingError
from odoo.addons.prepay_billing.engine.tariff import (
    DayPlan,
    Fee,
    Period,
    Season,
    TariffVersion,
    Tier,
    check_version,
    check_versions,
    one_price,
)

from .engine_tariffs import BOTH, FIVE_RATES, LONG_AGO, UTC, WATER, YEARLY, plan, prices

FLAT_1 = prices(flat="1")
SIMPLE = TariffVersion(9, LONG_AGO, one_price(Decimal("0.6")))
WHOLE_DAY = plan("0 flat")


@pytest.mark.parametrize(
    "version",
    [
        SIMPLE,
        FIVE_RATES,
        YEARLY,
        WATER,
        BOTH,
        replace(SIMPLE, tiers=one_price(Decimal(0))),
        replace(SIMPLE, tiers=one_price(Decimal(1_000_000))),
        replace(SIMPLE, tiers=one_price(Decimal("0.000000000001"))),
        replace(SIMPLE, tiers=one_price(Decimal("1E+3"))),
        replace(SIMPLE, unit=1),
        replace(SIMPLE, unit=10**12),
        replace(SIMPLE, service_price=Decimal(1_000_000), service_percent=Decimal(100)),
        replace(SIMPLE, service_percent=Decimal("0.000001")),
        replace(
            SIMPLE,
            fees=(Fee("rent", Decimal(0), "day"), Fee("lift", Decimal("0.000001"), "month")),
        ),
        replace(SIMPLE, tiers=(Tier(1, FLAT_1), Tier(2, FLAT_1), Tier(None, FLAT_1))),
        replace(SIMPLE, tiers=(Tier(10**18 - 1, FLAT_1), Tier(None, FLAT_1))),
        # Registers of the meter may have rates that no clock says.
        replace(SIMPLE, tiers=(Tier(None, prices(flat="1", peak="2")),)),
        replace(SIMPLE, seasons=(Season(2, 29, (plan("0 flat, 23:59 flat"),)),)),
        replace(SIMPLE, seasons=(Season(12, 31, (WHOLE_DAY,)), Season(1, 1, (WHOLE_DAY,)))),
    ],
)
def test_accepted(version):
    assert check_version(version) is None


def tiers(*items):
    return {"tiers": tuple(Tier(upto, FLAT_1) for upto in items)}


def season(*plans, month=3, day=1):
    return {"seasons": (Season(month, day, plans),)}


def day_plan(*starts):
    return season(DayPlan(WHOLE_DAY.day_types, tuple(Period(start, "flat") for start in starts)))


def price(value):
    return {"tiers": one_price(value)}


def fee(code="rent", amount=Decimal(1), period="day"):
    return {"fees": (Fee(code, amount, period),)}


MARCH = {"month": 3, "day": 1}
OF_TIER_1 = {"tier": 1, "rate": "flat"}
NAIVE = LONG_AGO.replace(tzinfo=None)
ANCIENT = datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "change", "facts"),
    [
        ("naive_time", {"valid_from": NAIVE}, {"at": NAIVE}),
        ("time_range", {"valid_from": ANCIENT}, {"at": ANCIENT}),
        *(
            ("unit_invalid", {"unit": unit}, {"unit": unit})
            for unit in (3, 10**13, 0, -10, 1e3, True)
        ),
        *(
            ("price_invalid", price(value), {"price": value, **OF_TIER_1})
            for value in (
                0.5,
                1,
                None,
                Decimal("Infinity"),
                Decimal("1000000.01"),
                Decimal("1E-13"),
            )
        ),
        ("price_negative", price(Decimal("-0.01")), {"price": Decimal("-0.01"), **OF_TIER_1}),
        *(
            ("service_invalid", {"service_price": value}, {"price": value})
            for value in (Decimal("-0.01"), Decimal("1000000.01"), Decimal("1E-13"), 1.0)
        ),
        *(
            ("percent_invalid", {"service_percent": value}, {"percent": value})
            for value in (Decimal(-1), Decimal("100.01"), Decimal("0.0000001"), 8)
        ),
        *(
            ("fee_invalid", fee(amount=value), {"fee": "rent", "amount": value})
            for value in (Decimal(-1), Decimal("0.0000001"), Decimal(1_000_001), 1)
        ),
        ("fee_period", fee(period="year"), {"fee": "rent", "period": "year"}),
        ("fee_duplicate", {"fees": fee()["fees"] * 2}, {"fee": "rent"}),
        ("tiers_missing", tiers(), {}),
        ("tier_period", {"tier_period": "day"}, {"period": "day"}),
        *(
            ("tier_limit", tiers(upto, None), {"tier": 1, "upto": upto})
            for upto in (0, -1, 1.5, None, True, 10**18)
        ),
        ("tiers_reversed", tiers(9, 8, None), {"tier": 2, "upto": 8, "previous": 9}),
        ("tiers_reversed", tiers(9, 9, None), {"tier": 2, "upto": 9, "previous": 9}),
        ("tier_last", tiers(9), {"tier": 1, "upto": 9}),
        ("tier_last", tiers(9, 10), {"tier": 2, "upto": 10}),
        ("rate_unknown", {"tiers": (Tier(None, prices(flat="1", night="1")),)}, {"rate": "night"}),
        ("rate_unknown", season(plan("0 flat, 8 night")), {"rate": "night"}),
        ("rate_missing", season(plan("0 flat, 8 peak")), {"tier": 1, "rate": "peak"}),
        ("rate_missing", {"tiers": (Tier(None, prices(peak="1")),)}, OF_TIER_1),
        (
            "rate_missing",
            {"tiers": (Tier(5, prices(flat="1", peak="1")), Tier(None, FLAT_1))},
            {"tier": 2, "rate": "peak"},
        ),
        ("season_date", season(WHOLE_DAY, month=2, day=30), {"month": 2, "day": 30}),
        ("season_date", season(WHOLE_DAY, month=13), {"month": 13, "day": 1}),
        ("season_date", season(WHOLE_DAY, day=None), {"month": 3, "day": None}),
        ("season_duplicate", {"seasons": season(WHOLE_DAY)["seasons"] * 2}, MARCH),
        ("day_type_unknown", season(plan("0 flat", "friday")), {"day_type": "friday", **MARCH}),
        ("day_type_missing", season(), {"day_type": "workday", **MARCH}),
        (
            "day_type_missing",
            season(plan("0 flat", "workday", "weekend")),
            {"day_type": "holiday", **MARCH},
        ),
        (
            "day_type_duplicate",
            season(WHOLE_DAY, plan("0 flat", "weekend")),
            {"day_type": "weekend", **MARCH},
        ),
        ("periods_missing", day_plan(), MARCH),
        *(
            ("period_invalid", day_plan(0, start), {"start": start, **MARCH})
            for start in (-1, 1440, 1.5, None, True)
        ),
        ("period_gap", day_plan(1), {"start": 1, **MARCH}),
        ("period_order", day_plan(0, 60, 60), {"start": 60, **MARCH}),
        ("period_order", day_plan(0, 60, 59), {"start": 59, **MARCH}),
        ("period_order", day_plan(0, 0), {"start": 0, **MARCH}),
    ],
)
def test_refused(code, change, facts):
    with pytest.raises(RatingError) as caught:
        check_version(replace(SIMPLE, **change))
    assert caught.value.code == code
    assert caught.value.values == {"version": 9, **facts}
    assert str(caught.value).startswith("tariff version 9: ")


def test_a_price_that_is_no_number():
    with pytest.raises(RatingError) as caught:
        check_version(replace(SIMPLE, **price(Decimal("NaN"))))
    assert caught.value.code == "price_invalid"


def test_versions_that_begin_together():
    elsewhere = replace(SIMPLE, id=10, valid_from=LONG_AGO.astimezone(timezone(timedelta(hours=8))))
    with pytest.raises(RatingError) as caught:
        check_versions([SIMPLE, elsewhere])
    assert caught.value.code == "version_duplicate"
    assert caught.value.values == {"versions": (9, 10), "valid_from": LONG_AGO}
    later = replace(SIMPLE, id=10, valid_from=LONG_AGO + timedelta(seconds=1))
    assert check_versions([SIMPLE, later]) is None


def test_each_of_several_versions_is_checked():
    later = replace(SIMPLE, id=10, valid_from=LONG_AGO + timedelta(seconds=1), unit=3)
    with pytest.raises(RatingError) as caught:
        check_versions([SIMPLE, later])
    assert caught.value.values == {"version": 10, "unit": 3}
