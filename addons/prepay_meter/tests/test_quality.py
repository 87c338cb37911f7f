from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.prepay_meter.quality import judge

NOW = datetime(2026, 3, 1, 12)
HOUR = timedelta(hours=1)


def rule(previous, value, *, hours=1.0, max_rate=10_000, modulus=0, ahead=timedelta(0)):
    at = NOW + ahead
    doubt = judge(previous, at - hours * HOUR, value, at, NOW, max_rate=max_rate, modulus=modulus)
    return doubt and doubt.rule


@pytest.mark.parametrize(
    ("previous", "value", "expected"),
    [
        (1_000, 1_000, None),
        (1_000, 13_100, None),  # 1.2 × 10 kW × 1 h and the floor
        (1_000, 13_101, "spike"),
        (1_000, 999, "decrease"),
        (1_000, 0, "decrease"),
    ],
)
def test_limits(previous, value, expected):
    assert rule(previous, value) == expected


@pytest.mark.parametrize(
    ("previous", "value", "expected"),
    [
        (950_000, 50_000, None),
        (900_000, 50_000, "decrease"),  # not above 90 %
        (950_000, 100_000, "decrease"),  # not below 10 %
        (999_990, 20_000, "spike"),  # a roll-over too, yet more than the meter can carry
    ],
)
def test_roll_over(previous, value, expected):
    limit = 100_000 if expected != "spike" else 10_000
    assert rule(previous, value, max_rate=limit, modulus=1_000_000) == expected


def test_future_and_first_reading():
    assert rule(1_000, 1_100, ahead=timedelta(minutes=6)) == "clock"
    assert rule(1_000, 1_100, ahead=timedelta(minutes=5)) is None
    assert judge(None, None, 5, NOW, NOW, max_rate=1) is None


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 50_000), st.floats(0.001, 1000))
def test_what_passes_rose_plausibly(previous, value, max_rate, hours):
    if rule(previous, value, hours=hours, max_rate=max_rate) is None:
        assert value >= previous
        if max_rate:
            assert value - previous <= 1.2 * max_rate * hours * 1.001 + 101
