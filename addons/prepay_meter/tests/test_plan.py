"""Decoding of answers by the points of a profile."""

from datetime import date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.prepay_meter.collector import plan

from .test_driver import meter, point


def decoded(points, data, **options):
    profile = meter(**options).profile
    (block,) = plan.plan(profile, points)
    found = {}
    plan.decode(profile, block, data, found)
    return found


@given(data=st.binary(min_size=24, max_size=24))
def test_packed_values_equal_those_decoded_one_by_one(data):
    points = [
        point("energy", "0x0000", scale=Decimal(10)),
        point("power", "0x0003", 1, "i16"),
        point("voltage", "0x0004", 1, "u16", scale=Decimal(100)),
        point("remaining", "0x0006", 2, "i32"),
        point("volume", "0x0008", 4, "u64"),
    ]
    profile = meter(gap=3).profile
    (block,) = plan.plan(profile, points)
    assert len(block.fields) == len(points) - 1, "only numbers that always fit are packed"
    try:
        one_by_one = {p.channel: plan.decode_point(profile, block, p, data) for p in points}
    except ValueError:
        with pytest.raises(ValueError, match="volume"):
            plan.decode(profile, block, data, {})
        return
    found = {}
    plan.decode(profile, block, data, found)
    assert found == one_by_one


def test_scale_below_one_word_order_and_floats_are_decoded_one_by_one():
    points = [
        point("power", "0x0000", 1, "u16", scale=Decimal("0.1")),
        point("energy", "0x0001", 2, "u32", scale=Decimal(10), word_order="low"),
        point("volume", "0x0003", 2, "f32", scale=Decimal(1000)),
    ]
    data = bytes.fromhex("007B 0002 0001 3FC0 0000")
    assert decoded(points, data) == {"power": 12, "energy": 655380, "volume": 1500}


@pytest.mark.parametrize(
    ("status", "relay"), [("00", "closed"), ("01", "open"), ("05", "open"), ("03", "fault")]
)
def test_states_by_mask(status, relay):
    states = {0: "closed", 1: "open", 3: "fault"}
    valve = point("relay", "901F", 1, "state", mask=0x03, states=states)
    assert decoded([valve], bytes.fromhex(status), protocol="cjt188") == {"relay": relay}


def test_unknown_state_is_no_state():
    valve = point("relay", "901F", 1, "state", mask=0x03, states={0: "closed", 1: "open"})
    with pytest.raises(ValueError, match="relay at 901F.*0x2"):
        decoded([valve], b"\x02", protocol="cjt188")


def test_short_answer_is_an_error_not_a_value():
    with pytest.raises(ValueError, match="3 data bytes"):
        decoded([point("energy", "0x0000")], b"\0\0\1")
    with pytest.raises(ValueError, match="energy at 00010000"):
        decoded([point("energy", "00010000", 4, "bcd")], b"\0\0\1", protocol="dlt645")


@pytest.mark.parametrize(
    ("channel", "data", "value"),
    [
        ("clock_date", "07 22 11 26", date(2026, 11, 22)),
        ("clock_time", "59 30 08", time(8, 30, 59)),
        ("clock", "59 30 08 22 11 26 20", datetime(2026, 11, 22, 8, 30, 59)),
    ],
)
def test_clocks(channel, data, value):
    raw = bytes.fromhex(data)
    clock = point(channel, "04000101", len(raw), "clock_bcd")
    assert decoded([clock], raw, protocol="dlt645") == {channel: value}
    with pytest.raises(ValueError, match=channel):
        decoded([clock], b"\x99" * len(raw), protocol="dlt645")


def test_binary_clock():
    clock = point("clock", "0x090B", 4, "clock_binary")
    data = bytes.fromhex("3B1E 0806 160B 001A")
    assert decoded([clock], data) == {"clock": datetime(2026, 11, 22, 8, 30, 59)}
