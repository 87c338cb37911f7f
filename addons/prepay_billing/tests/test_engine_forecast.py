"""Forecast: examples, and the error on held-back days of simulated dormitory rooms."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_billing.engine.forecast import (
    HORIZON,
    UNKNOWN,
    days_of,
    expected,
    forecast,
)
from odoo.addons.prepay_meter.simulator.load import DormitoryLoad

PROPERTY = settings(max_examples=200, deadline=None, database=None)
MONDAY = date(2025, 6, 2)
PRICE = Decimal("0.68")


def history(amounts, until=MONDAY):
    """Whole days before `until`, the newest last."""
    first = until - timedelta(days=len(amounts))
    return [(first + timedelta(days=n), Decimal(str(a))) for n, a in enumerate(amounts)]


def test_steady_use():
    result = forecast(Decimal(20), history([2] * 28), MONDAY)
    assert result.days == Decimal(10)
    assert result.daily == Decimal(2)
    assert result.suggested == Decimal(40), "sixty for a month, twenty are there"


def test_weekends_weigh_more_the_nearer_they_are():
    use = history([1, 1, 1, 1, 1, 6, 6] * 8)
    on_monday = forecast(Decimal(5), use, MONDAY).days
    on_saturday = forecast(
        Decimal(5), [*use, *history([1] * 5, date(2025, 6, 7))], date(2025, 6, 7)
    )
    assert on_monday > 3
    assert on_saturday.days < Decimal("1.2")


def test_the_last_weeks_count_more():
    risen = forecast(Decimal(100), history([1] * 28 + [4] * 14), MONDAY)
    assert risen.daily > Decimal("3")


@pytest.mark.parametrize("days", [0, 1, 2])
def test_too_little_history_is_not_known(days):
    assert forecast(Decimal(50), history([2] * days), MONDAY) == UNKNOWN


def test_days_that_are_missing_are_not_days_without_use():
    use = history([2] * 28)
    assert forecast(Decimal(20), use[::2], MONDAY).days == Decimal(10)


def test_old_days_and_today_do_not_count():
    use = [(MONDAY - timedelta(days=400), Decimal(900)), (MONDAY, Decimal(900))]
    assert forecast(Decimal(20), [*use, *history([2] * 28)], MONDAY).days == Decimal(10)


def test_no_use_lasts_as_far_as_one_looks():
    result = forecast(Decimal(1), history([0] * 20), MONDAY)
    assert (result.days, result.daily, result.suggested) == (HORIZON, 0, 0)


def test_much_money_lasts_as_far_as_one_looks():
    assert forecast(Decimal(10**9), history([1] * 20), MONDAY).days == HORIZON


@pytest.mark.parametrize("available", ["0", "-5"])
def test_no_money_no_days(available):
    result = forecast(Decimal(available), history([2] * 28), MONDAY)
    assert result.days == 0
    assert result.suggested >= 60


amounts = st.lists(st.decimals(min_value=0, max_value=50, places=2), min_size=3, max_size=60)


@given(amounts, st.decimals(min_value=-50, max_value=500, places=2), st.integers(1, 100))
@PROPERTY
def test_more_money_lasts_longer(use, available, more):
    use = history(use)
    one, two = forecast(available, use, MONDAY), forecast(available + more, use, MONDAY)
    assert 0 <= one.days <= two.days <= HORIZON
    assert one.suggested >= two.suggested >= 0
    assert one.suggested % 10 == 0


@given(amounts, st.integers(0, 400))
@PROPERTY
def test_days_are_those_of_the_expected_use(use, money):
    rates = expected(history(use), MONDAY)
    days = days_of(Decimal(money), rates, MONDAY) if sum(rates) else Decimal(HORIZON)
    whole = sum(
        (rates[(MONDAY + timedelta(days=n)).weekday()] for n in range(int(days))), Decimal(0)
    )
    assert whole <= money or days == 0


def daily_use(load, first, days):
    """CNY of each day: the load every quarter of an hour."""
    result = []
    for number in range(days):
        start = datetime.combine(first + timedelta(days=number), datetime.min.time())
        watts = sum(load.power_at(start + timedelta(minutes=15 * part)) for part in range(96))
        result.append((start.date(), Decimal(watts) / 4 / 1000 * PRICE))
    return result


def test_median_error_on_held_back_days_of_dormitories():
    """Rooms of all kinds, eight weeks known, the money lasts one to fifteen days of those held back."""
    chance = Random(20250602)
    errors, relative = [], []
    for room in range(40):
        load = DormitoryLoad(
            peak_w=chance.randrange(300, 2500),
            base_w=chance.randrange(20, 90),
            seed=f"room {room}",
            summer_percent=chance.randrange(100, 180),
            winter_percent=chance.randrange(100, 160),
        )
        first = date(2025, 1, 1) + timedelta(days=chance.randrange(280))
        use = daily_use(load, first, 56 + 16)
        known, later = use[:56], use[56:]
        true = Decimal(chance.randrange(10, 150)) / 10
        whole = int(true)
        money = sum((a for _day, a in later[:whole]), Decimal(0)) + later[whole][1] * (true % 1)
        found = forecast(money, known, first + timedelta(days=56)).days
        errors.append(abs(found - true))
        relative.append(abs(found - true) / true * 100)
    print(
        f"forecast of {len(errors)} rooms: median error {median(errors):.2f} days "
        f"({median(relative):.1f} %), worst {max(errors):.1f} days"
    )
    assert median(errors) <= Decimal("0.3")
    assert median(relative) <= 8


def test_weekdays_make_it_better():
    """The same rooms, forecast as if every day were the same: the error over short times is larger."""
    chance = Random(7)
    aware, plain = [], []
    for room in range(20):
        load = DormitoryLoad(peak_w=1200, base_w=40, seed=f"w{room}")
        first = date(2025, 3, 3) + timedelta(days=chance.randrange(20))
        use = daily_use(load, first, 56 + 4)
        known, later = use[:56], use[56:]
        true = sum((amount for _day, amount in later[:3]), Decimal(0))
        rates = expected(known, first + timedelta(days=56))
        guess = sum(rates[day.weekday()] for day, _amount in later[:3])
        mean = sum(amount for _day, amount in known) / 56 * 3
        aware.append(abs(guess - true) / true)
        plain.append(abs(mean - true) / true)
    print(f"three days: error {median(aware):.2%} with weekdays, {median(plain):.2%} without")
    assert median(aware) < median(plain)
