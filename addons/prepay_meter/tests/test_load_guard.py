"""Overload and malicious load, judged from two readings."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.prepay_meter.load_guard import LoadSample, judge_load

AT = datetime(2026, 11, 23, 8, 0)


def sample(power, factor=None, minutes=0, **values):
    return LoadSample(AT + timedelta(minutes=minutes), power, factor, **values)


def kinds(*samples, overload=0, step=0):
    return [finding.kind for finding in judge_load(*samples, overload, step)]


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        (3001, 3001, ["overload"]),
        (3001, 3000, []),  # at the limit is allowed
        (3000, 3001, []),  # one reading is none
        (-3500, -3500, ["overload"]),  # a meter wired the other way round
        (None, 9000, []),
        (9000, None, []),
    ],
)
def test_overload_needs_two_readings_above_the_limit(before, now, found):
    assert kinds(sample(before), sample(now, minutes=30), overload=3000) == found


@pytest.mark.parametrize(
    ("before", "now", "factor", "found"),
    [
        (100, 1100, 1000, ["malicious_load"]),
        (100, 1100, 970, ["malicious_load"]),
        (100, 1100, 969, []),  # a motor
        (100, 1099, 1000, []),
        (1100, 100, 1000, []),  # switched off
        (100, 1100, None, []),  # not known: nobody is accused
        (100, 1100, -1000, ["malicious_load"]),
    ],
)
def test_malicious_load_is_a_resistive_step(before, now, factor, found):
    assert kinds(sample(before), sample(now, factor, 15), step=1000) == found


def test_power_factor_from_voltage_and_current():
    heater = sample(2200, minutes=1, voltage_mv=220_000, current_ma=10_000)
    motor = sample(2200, minutes=1, voltage_mv=220_000, current_ma=12_500)
    assert (heater.factor, motor.factor) == (1000, 800)
    assert kinds(sample(0), heater, step=1000) == ["malicious_load"]
    assert kinds(sample(0), motor, step=1000) == []


def test_first_reading_and_disorder_judge_nothing():
    assert kinds(None, sample(9000, 1000), overload=1, step=1) == []
    assert kinds(sample(9000, minutes=5), sample(9000, 1000), overload=1, step=1) == []


def test_no_step_is_seen_over_hours():
    assert kinds(sample(0), sample(5000, 1000, 121), step=1000) == []
    assert kinds(sample(5000), sample(5000, 1000, 121), overload=3000) == ["overload"]


powers = st.none() | st.integers(-100_000, 100_000)


@given(
    powers,
    powers,
    st.none() | st.integers(-2000, 2000),
    st.integers(0, 50_000),
    st.integers(0, 50_000),
)
def test_zero_is_no_limit_and_missing_values_accuse_nobody(before, now, factor, overload, step):
    found = kinds(sample(before), sample(now, factor, 1), overload=overload, step=step)
    if not overload:
        assert "overload" not in found
    if not step or factor is None:
        assert "malicious_load" not in found
    if before is None or now is None:
        assert not found
