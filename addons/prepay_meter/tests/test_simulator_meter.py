"""The simulated meter itself, on a clock that the test moves."""

from dataclasses import fields
from datetime import datetime, timedelta, timezone

import pytest

from odoo.addons.prepay_meter.simulator import page
from odoo.addons.prepay_meter.simulator.faults import Faults
from odoo.addons.prepay_meter.simulator.load import make_load
from odoo.addons.prepay_meter.simulator.meter import Meter
from odoo.addons.prepay_meter.simulator.settings import change, new_meter, state
from odoo.addons.prepay_meter.simulator.simulation import KINDS, Simulation, load_config


class Clock:
    """Real time of a test; starts at 10:00 in China."""

    def __init__(self):
        self.ns = 5_000_000_000

    def pass_by(self, seconds):
        self.ns += int(seconds * 1_000_000_000)

    def now(self):
        start = datetime(2026, 11, 23, 2, tzinfo=timezone.utc)
        return start + timedelta(microseconds=self.ns // 1000 - 5_000_000)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def meter(clock):
    made = Meter("dlt645", "202611000001", "GW", lambda: clock.ns, clock.now)
    change(made, {"power_w": 1000, "energy_wh": 100_000})
    return made


def test_energy_is_exact(meter, clock):
    clock.pass_by(3600)
    meter.advance()
    assert meter.energy_mwh == 101_000_000
    change(meter, {"speed": 60})
    for _ in range(1000):  # many small steps lose nothing
        clock.pass_by(0.000012345)
        meter.advance()
    clock.pass_by(60 - 0.012345)
    meter.advance()
    assert meter.energy_mwh == 102_000_000
    assert sum(meter.registers_mwh()[1:]) == pytest.approx(102_000_000, abs=4)


def test_an_open_relay_uses_nothing(meter, clock):
    assert meter.switch(close=False) == "done"
    assert (meter.power_w, meter.current_ma) == (0, 0)
    clock.pass_by(3600)
    meter.advance()
    assert meter.energy_mwh == 100_000_000
    assert meter.switch(close=True) == "done"
    assert meter.switch(close=True) == "no change"
    assert [entry.result for entry in meter.movements] == ["open", "closed"]


def test_electrical_values_fit_together(meter):
    product = meter.voltage_mv * meter.current_ma * meter.power_factor_milli
    assert product == pytest.approx(meter.power_w * 10**9, rel=0.001)
    assert 220_000 < meter.voltage_mv < 240_000


def test_relay_delay(meter, clock):
    change(meter, {"relay_delay_ms": 360_000})
    assert meter.switch(close=False) == "moves in 360000 ms"
    assert (meter.relay_closed, meter.commanded_closed) == (True, False)
    clock.pass_by(3600)
    meter.advance()
    assert not meter.relay_closed
    assert meter.energy_mwh == 100_100_000, "used until the relay moved"


def test_keep_power_blocks_a_trip_until_it_is_lifted(meter):
    meter.set_keep_power(True)
    assert meter.switch(close=False) == "waiting: keep-power"
    assert meter.relay_closed
    meter.set_keep_power(False)
    assert not meter.relay_closed


def test_close_allowed_waits_for_the_button(meter):
    change(meter, {"button_needed": True})
    meter.switch(close=False)
    assert meter.allow_close() == "waiting for the button"
    assert (meter.relay_closed, meter.commanded_closed) == (False, True)
    change(meter, {"press_button": True})
    assert meter.relay_closed
    assert meter.allow_close() == "no change"


def test_stuck_and_spike_are_seen_in_the_register_only(meter, clock):
    change(meter, {"faults": {"stuck": True}})
    before = meter.registers_mwh()
    clock.pass_by(3600)
    meter.advance()
    assert meter.registers_mwh() == before
    change(meter, {"faults": {"stuck": False, "spike_wh": 5000}})
    assert meter.registers_mwh()[0] == 106_000_000
    change(meter, {"faults": {"spike_wh": -200_000}})
    assert meter.registers_mwh()[0] == 0
    assert meter.energy_mwh == 101_000_000


def test_dormitory_curve():
    load = make_load({"kind": "dormitory", "peak_w": 1500, "base_w": 350}, "A-101")
    monday = datetime(2026, 11, 23)
    day = [load.power_at(monday + timedelta(minutes=10 * i)) for i in range(144)]
    assert day == [load.power_at(monday + timedelta(minutes=10 * i)) for i in range(144)]
    assert 350 <= min(day) < max(day) <= 1700
    night, evening = sum(day[12:30]) / 18, sum(day[114:132]) / 18
    assert evening > 2 * night
    other = make_load({"kind": "dormitory", "peak_w": 1500}, "A-102")
    assert other.power_at(monday) != load.power_at(monday)


def test_the_load_lives_faster_than_the_clock(meter, clock):
    change(meter, {"load": {"kind": "dormitory", "peak_w": 1000}, "speed": 3600})
    clock.pass_by(24)
    meter.advance()
    assert meter.clock() == datetime(2026, 11, 23, 10, 0, 24)
    assert 4_000_000 < meter.energy_mwh - 100_000_000 < 16_000_000, "a day of a room"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"powr_w": 1}, "setting 'powr_w' is none of"),
        ({"power_w": -1}, "power_w -1 is not a whole number"),
        ({"power_w": True}, "power_w True is not a whole number"),
        ({"speed": "fast"}, "speed 'fast' is not a number"),
        ({"speed": -1}, "speed -1 is not a number"),
        ({"energy_wh": 1.5}, "energy_wh 1.5 is not a whole number"),
        ({"relay": "ajar"}, "neither closed nor open"),
        ({"load": {"kind": "sine"}}, "neither constant nor dormitory"),
        ({"load": {"watts": 1}}, "is not an object of"),
        ({"faults": {"smoke": True}}, "fault 'smoke' is none of"),
        ({"faults": {"silent": 1}}, "fault silent is 1, expected bool"),
        ({"faults": []}, "is not an object"),
        ({"password": "02"}, "eight hex digits"),
        ({"preamble": 99}, "preamble 99"),
        ({"label": 101}, "label 101 is no text"),
        ({"button_needed": "yes"}, "neither true nor false"),
        ([], "are not an object"),
    ],
)
def test_a_bad_change_says_why_and_changes_nothing(meter, changes, reason):
    if isinstance(changes, dict):
        changes = {"energy_wh": 5, **changes}
    before = state(meter)
    with pytest.raises(ValueError, match=reason):
        change(meter, changes)
    assert state(meter) == before


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ([], "configuration: gateways is not a list"),
        ({"gateways": [{"port": 1}]}, "has no name"),
        ({"gateways": [{"name": "A"}, {"name": "A"}]}, "two gateways are named A"),
        ({"gateways": [{"name": "A", "port": 70000}]}, "port 70000"),
        ({"gateways": [{"name": "A", "delay_ms": -1}]}, "delay_ms -1"),
        ({"gateways": [{"name": "A", "meters": [{"protocol": "iec"}]}]}, "A: protocol 'iec'"),
        (
            {"gateways": [{"name": "A", "meters": [{"protocol": "dlt645", "address": "1"}]}]},
            "has not 12 digits",
        ),
        (
            {
                "gateways": [
                    {"name": "A", "meters": [{"protocol": "modbus_ddsy1352", "address": 0}]}
                ]
            },
            "not a number of 1..247",
        ),
        (
            {
                "gateways": [
                    {"name": "A", "meters": [{"protocol": "modbus_ddsy1352", "address": 1}] * 2}
                ]
            },
            "a meter 1 already",
        ),
    ],
)
def test_a_bad_configuration_says_where(config, reason):
    with pytest.raises(ValueError, match=reason):
        Simulation(config)


def test_unreadable_configurations(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        load_config(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        load_config(tmp_path / "bad.json")
    (tmp_path / "state.json").write_text('{"clean": true, "meters": {"A:1": {}}}')
    meter = {"protocol": "modbus_ddsy1352", "address": 1}
    config = {"gateways": [{"name": "A", "meters": [meter]}]}
    with pytest.raises(ValueError, match="is unusable"):
        Simulation(config, state_path=tmp_path / "state.json")


def test_settings_of_a_new_meter():
    spec = {"protocol": "dlt645", "address": "202611000001", "relay": "open", "energy_wh": 7}
    meter = new_meter(spec, "GW")
    shown = state(meter)
    assert (shown["key"], shown["relay"], shown["energy_wh"]) == ("GW:202611000001", "open", 7)
    assert shown["movements"] == shown["commands"] == []


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en;q=0.8,zh", "zh"),
        ("de,en;q=0.8,zh;q=0.2", "en"),
        ("zh;q=0, en", "en"),
        ("zh;q=x", "en"),
    ],
)
def test_language_of_the_page(accept, expected):
    assert page.language(accept) == expected


def test_labels_are_complete():
    offered = page.FAULTS.keys() | page.OTHER_FAULTS.keys()
    assert offered == {field.name for field in fields(Faults)}
    assert page.KINDS.keys() == KINDS.keys()
    assert page.LABELS["en"].keys() == page.LABELS["zh"].keys()
    for accept in page.LABELS:
        assert "[[" not in page.render([], [], accept)
