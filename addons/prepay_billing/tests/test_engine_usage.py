"""Usage between two values of one register, with roll-over (R-04)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_billing.engine.errors import RatingError
from odoo.addons.prepay_billing.engine.rating import usage

PROPERTY = settings(max_examples=200, deadline=None, database=None)


@pytest.mark.parametrize(
    ("previous", "value", "modulus", "expected"),
    [
        (0, 0, None, 0),
        (100, 100, None, 0),
        (100, 101, None, 1),
        (0, 999, 1000, 999),
        (901, 99, 1000, 198),
        (999, 0, 1000, 1),
        (950, 960, 1000, 10),
        (999_999_990, 20, 1_000_000_000, 30),
    ],
)
def test_usage(previous, value, modulus, expected):
    assert usage(previous, value, modulus) == expected


@pytest.mark.parametrize(
    ("code", "previous", "value", "modulus"),
    [
        ("decrease", 101, 100, None),
        ("decrease", 900, 99, 1000),  # not above 90 %
        ("decrease", 901, 100, 1000),  # not below 10 %
        ("decrease", 500, 0, 1000),
        ("register_range", -1, 5, None),
        ("register_range", 5, -1, 1000),
        ("register_range", 1000, 5, 1000),
        ("register_range", 5, 1000, 1000),
    ],
)
def test_usage_refused(code, previous, value, modulus):
    with pytest.raises(RatingError) as caught:
        usage(previous, value, modulus)
    assert caught.value.code == code
    assert caught.value.values == {
        "previous_value": previous,
        "value": value,
        "modulus": modulus,
    }


@given(st.integers(20, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
@PROPERTY
def test_usage_is_never_negative_and_leads_from_value_to_value(modulus, previous, value):
    previous, value = previous % modulus, value % modulus
    rolled_over = previous * 10 > modulus * 9 and value * 10 < modulus
    if value < previous and not rolled_over:
        with pytest.raises(RatingError):
            usage(previous, value, modulus)
        return
    used = usage(previous, value, modulus)
    assert 0 <= used < modulus
    assert (previous + used) % modulus == value
    if value < previous:
        assert used * 5 < modulus
