"""Kinds of local days: weekdays, public holidays, make-up workdays."""

from datetime import date

import pytest

from odoo.addons.prepay_billing.engine.calendar import (
    DAY_TYPES,
    HOLIDAY,
    WEEKEND,
    WORKDAY,
    Calendar,
)

CALENDAR = Calendar({date(2026, 10, 1): HOLIDAY, date(2026, 10, 10): WORKDAY})


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 9, 30), WORKDAY),
        (date(2026, 10, 1), HOLIDAY),  # a Thursday
        (date(2026, 10, 2), WORKDAY),
        (date(2026, 10, 3), WEEKEND),
        (date(2026, 10, 4), WEEKEND),
        (date(2026, 10, 5), WORKDAY),
        (date(2026, 10, 10), WORKDAY),  # a Saturday that is worked
        (date(2026, 10, 11), WEEKEND),
    ],
)
def test_day_type(day, expected):
    assert CALENDAR.day_type(day) == expected
    assert expected in DAY_TYPES


def test_without_special_days_the_weekday_decides():
    assert Calendar().day_type(date(2026, 10, 1)) == WORKDAY
    assert Calendar().day_type(date(2026, 10, 10)) == WEEKEND
