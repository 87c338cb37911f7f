"""Line faults, register faults, scripts, loads and the shorthand for fleets."""
# ruff: noqa: F401, F811 - fixtures are imported

import time
from datetime import date, datetime, timedelta

import pytest

from odoo.addons.prepay_meter.simulator import fleet
from odoo.addons.prepay_meter.simulator.load import make_load
from odoo.addons.prepay_meter.simulator.meter import Meter
from odoo.addons.prepay_meter.simulator.settings import change, new_meter, state
from odoo.addons.prepay_meter.simulator.simulation import Simulation, in_thread

from .common_simulator import (
    SILENCE,
    Raw,
    crc16,
    fault,
    http,
    read_registers,
    rtu,
    simulation,
    until,
)
from .test_simulator_meter import clock, meter

READ = rtu("02 03 0000 0002")
ANSWER = rtu("02 03 04 0001 1170")


@pytest.fixture
def raw(simulation):
    made = Raw(simulation.port("GW-RTU"))
    yield made
    made.close()


# ---- the line


def test_echo_half_frames_and_repeats(simulation, raw):
    fault(simulation, "2", echo=True)
    assert raw.ask(READ) == READ + ANSWER
    fault(simulation, "2", echo=False, half_frame=True)
    assert raw.ask(READ) == ANSWER[: len(ANSWER) // 2]
    fault(simulation, "2", half_frame=False, repeats=2)
    assert raw.ask(READ) == 3 * ANSWER


def test_a_flipped_bit_breaks_the_checksum(simulation, raw):
    fault(simulation, "2", flip_permille=1000)
    for _ in range(5):
        answer = raw.ask(READ)
        wrong = [bin(a ^ b).count("1") for a, b in zip(answer, ANSWER, strict=True)]
        assert sum(wrong) == 1, "one bit"
        assert crc16(answer[:-2]) != answer[-2:]


def test_bad_data_under_a_right_checksum(simulation, raw):
    fault(simulation, "2", bad_data_permille=1000)
    for _ in range(5):
        answer = raw.ask(READ)
        assert answer[-2:] == crc16(answer[:-2])
        assert answer[:3] == ANSWER[:3]
        assert answer != ANSWER


def test_two_devices_with_one_address(simulation, raw):
    fault(simulation, "2", clash=True)
    answer = raw.ask(READ)
    assert len(answer) == len(ANSWER)
    assert answer != ANSWER
    assert all(byte & ~true == 0 for byte, true in zip(answer, ANSWER, strict=True))


def test_chance_is_seeded(simulation, raw):
    def run():
        http(simulation, "PATCH", "/meters/2", {"fault_seed": "42"})
        return [raw.ask(READ, SILENCE) for _ in range(12)]

    fault(simulation, "2", loss_permille=300, flip_permille=300)
    first = run()
    assert len(set(first)) > 2
    assert b"" in first
    assert run() == first


def test_a_slow_meter_keeps_the_line_busy(simulation, raw):
    fault(simulation, "2", slow_ms=200)
    other = Raw(simulation.port("GW-RTU"))
    began = time.monotonic()
    raw.socket.sendall(READ)
    time.sleep(0.02)
    assert other.ask(rtu("01 03 0000 0001"), 1)
    assert time.monotonic() - began >= 0.2, "the neighbour had to wait"
    assert raw.hear() == ANSWER
    other.close()


# ---- registers and relay


def test_reset_wrap_and_wrong_unit(meter, clock):
    change(meter, {"faults": {"unit_factor": 1000}})
    assert meter.registers_mwh()[0] == 100_000_000_000
    change(meter, {"faults": {"unit_factor": 0, "wrap_wh": 30_000}})
    assert meter.registers_mwh()[0] == 10_000_000
    change(meter, {"faults": {"wrap_wh": 0, "reset": True}})
    assert meter.registers_mwh() == (0, 0, 0, 0, 0)
    clock.pass_by(3600)
    meter.advance()
    assert meter.registers_mwh()[0] == 1_000_000
    change(meter, {"faults": {"reset": False}})
    assert meter.registers_mwh()[0] == meter.energy_mwh == 101_000_000


def test_registers_roll_over_by_themselves(simulation, raw):
    """0.01 kWh in 32 bits end at 42,949,672.95 kWh."""
    http(simulation, "PATCH", "/meters/2", {"energy_wh": 2**32 * 10 + 30})
    assert read_registers(raw, 2, 0, 2) == [0, 3]


def test_bypass_counts_with_an_open_relay(meter, clock):
    change(meter, {"relay": "open", "faults": {"bypass": True}})
    clock.pass_by(3600)
    found = state(meter)
    assert (found["relay"], found["power_w"], found["energy_wh"]) == ("open", 1000, 101_000)


def test_bounce_and_local_close(meter, clock):
    change(meter, {"faults": {"bounce_ms": 500}})
    assert meter.switch(close=False) == "done"
    assert not meter.relay_closed
    clock.pass_by(1)
    found = state(meter)
    assert (found["relay"], found["commanded"]) == ("closed", "open")
    assert [entry["action"] for entry in found["movements"]] == ["relay", "bounce"]
    change(meter, {"faults": {"bounce_ms": 0}})
    meter.switch(close=False)
    change(meter, {"close_locally": True})
    found = state(meter)
    assert (found["relay"], found["commanded"]) == ("closed", "open")
    assert found["movements"][-1]["action"] == "customer"


def test_power_failure_keeps_what_counts(meter, clock):
    change(meter, {"powered": False})
    clock.pass_by(3600)
    assert state(meter)["energy_wh"] == 100_000
    change(meter, {"powered": True})
    clock.pass_by(3600)
    assert state(meter)["energy_wh"] == 101_000


def test_clock_drifts_and_is_put_right(meter, clock):
    change(meter, {"clock_drift_ppm": 1000, "clock_offset_s": 60})
    clock.pass_by(100_000)
    assert meter.clock() - clock.now().replace(tzinfo=None) == timedelta(hours=8, seconds=160)
    meter.set_clock(datetime(2038, 1, 19, 3, 14, 7))
    clock.pass_by(1000)
    assert meter.clock() == datetime(2038, 1, 19, 3, 30, 48)


# ---- scripts


def test_script_of_a_meter(meter, clock):
    script = [
        {"at_s": 1800, "power_w": 3000},
        {"at_s": 3600, "faults": {"silent": True}},
        {"at_s": 3600, "relay": "open"},
        {"at_s": 7200, "relay": "closed", "power_w": 0},
    ]
    change(meter, {"script": script})
    clock.pass_by(3600 * 5)
    found = state(meter)
    assert found["energy_wh"] == 100_000 + 500 + 1500, "each step at its own time"
    assert found["faults"] == {"silent": True}
    assert (found["relay"], found["power_w"]) == ("closed", 0)
    change(meter, {"script": [{"at_s": 10, "power_w": 7}]})
    change(meter, {"script": []})
    clock.pass_by(20)
    assert state(meter)["power_w"] == 0, "an empty script ends it"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({}, "is not a list"),
        ([{"power_w": 1}], "with at_s"),
        ([{"at_s": -1}], "at_s -1 is not a number"),
        ([{"at_s": 1, "powr_w": 1}], "setting 'powr_w' is none of"),
        ([{"at_s": 1, "faults": {"smoke": True}}], "fault 'smoke'"),
        ([{"at_s": 1, "script": []}], "with at_s"),
    ],
)
def test_a_bad_script_says_why(meter, script, reason):
    with pytest.raises(ValueError, match=reason):
        change(meter, {"script": script})


def test_script_of_a_gateway():
    script = [{"at_s": 0.1, "power": False}, {"at_s": 2, "power": True, "delay_ms": 7},
              {"at_s": 2.05, "online": False}]  # fmt: skip
    meters = [{"protocol": "modbus_ddsy1352", "address": 1, "script": [
        {"at_s": 0.05, "faults": {"exception": 4}},
    ]}]  # fmt: skip
    with in_thread({"gateways": [{"name": "A", "script": script, "meters": meters}]}) as running:
        until(lambda: not http(running, "GET", "/meters/1")[1]["powered"])
        assert http(running, "GET", "/meters/1")[1]["faults"] == {"exception": 4}
        until(lambda: not http(running, "GET", "/gateways/A")[1]["online"])
        gateway = http(running, "GET", "/gateways/A")[1]
        assert (gateway["power"], gateway["delay_ms"], gateway["online"]) == (True, 7, False)
        assert http(running, "POST", "/gateways/A", {"script": [{"at": 1}]})[0] == 400


# ---- loads


def test_seasons_vacancy_and_a_heater():
    spec = {
        "kind": "dormitory", "peak_w": 1000, "base_w": 50, "summer_percent": 200,
        "winter_percent": 150, "vacant": [["2026-12-20", "2026-12-31"]], "heater_w": 2000,
        "heater_minutes": 5,
    }  # fmt: skip
    load = make_load(spec, "A-101")

    def mean(day):
        noon = datetime.combine(day, datetime.min.time())
        return sum(load.power_at(noon + timedelta(hours=hour)) for hour in (6, 12, 18)) / 3

    spring, summer, winter = (
        mean(date(2026, 4, 20)),
        mean(date(2026, 7, 20)),
        mean(date(2026, 12, 14)),
    )
    assert summer > 1.6 * spring
    assert winter > 1.2 * spring
    assert mean(date(2026, 12, 25)) == 50
    evening = datetime(2026, 4, 20, 20, 4)
    assert load.power_at(evening) > 2000
    assert load.resistive_w(evening) == 2000
    assert load.resistive_w(evening + timedelta(minutes=1)) == 0
    assert make_load(load.describe(), "") == load


@pytest.mark.parametrize("litres", [60, 120, 600])
def test_water_of_a_household(litres):
    load = make_load({"kind": "water", "day_l": litres}, "A-101")
    start = datetime(2026, 4, 20)
    flows = [load.power_at(start + timedelta(minutes=minute)) for minute in range(5 * 1440)]
    assert sum(flows) / 60 / 5 == pytest.approx(litres, rel=0.35)
    assert set(flows) == {0, 480}
    leaking = make_load({"kind": "water", "day_l": 0, "leak_lh": 3}, "A-101")
    assert {leaking.power_at(start + timedelta(minutes=minute)) for minute in range(60)} == {3}


def test_a_heater_is_seen_in_the_power_factor(meter, clock):
    assert meter.power_factor_milli == 950
    change(meter, {"heater": {"power_w": 2000, "minutes": 6}})
    assert (meter.power_w, meter.resistive_w) == (3000, 2000)
    assert 990 <= meter.power_factor_milli < 1000
    clock.pass_by(3600)
    assert state(meter)["energy_wh"] == 100_000 + 1000 + 200
    assert meter.power_w == 1000


def test_a_resistive_step_trips_and_recovers(meter, clock):
    change(meter, {
        "load_control": True, "power_step_w": 800, "pf_limit_milli": 970, "recovery_s": 60,
        "trips_allowed": 1,
    })  # fmt: skip
    clock.pass_by(60)
    meter.advance()
    change(meter, {"power_w": 2500})
    clock.pass_by(1)
    assert state(meter)["relay"] == "closed", "a step of an ordinary load is no heater"
    change(meter, {"heater": {"power_w": 1500, "minutes": 1000}})
    clock.pass_by(1)
    assert state(meter)["own_trip"] == "malicious load"
    clock.pass_by(61)
    found = state(meter)
    assert [entry["result"] for entry in found["movements"]] == ["open", "closed", "open"]
    clock.pass_by(3600)
    assert state(meter)["relay"] == "open", "only so many trips are allowed"


def test_credit_runs_down_with_the_load(meter, clock):
    change(meter, {"prepaid": True, "prices_e4": 10_000, "balance_fen": 150})
    clock.pass_by(3600)
    meter.advance()
    assert (meter.credit.balance, meter.relay_closed) == (50, True)
    clock.pass_by(3600)
    found = state(meter)
    assert (found["relay"], found["own_trip"]) == ("open", "credit")
    assert -2 <= found["credit"]["balance_fen"] <= 0, "cut within a minute of use"
    change(meter, {"keep_power": True})
    assert meter.take_credit(1000, 1) == "done"
    assert meter.relay_closed


# ---- fleets


def test_shorthand_for_many_gateways_and_meters():
    made = fleet.gateways([
        {"name": "GW", "count": 2, "port": 7000, "meters": [
            {"protocol": "dlt645", "count": 2, "address_from": "202611000009", "label": "R{n:3}"},
        ]},
        {"name": "M{n:2}", "count": 2, "meters": [
            {"protocol": "modbus_adf400l", "count": 3, "address_from": 1, "address_step": 3},
        ]},
        {"name": "plain", "port": 5, "meters": [{"protocol": "dlt645", "address": "1"}]},
    ])  # fmt: skip
    assert [gateway["name"] for gateway in made] == ["GW-1", "GW-2", "M01", "M02", "plain"]
    assert [gateway.get("port") for gateway in made] == [7000, 7001, None, None, 5]
    addresses = [[meter["address"] for meter in gateway["meters"]] for gateway in made]
    assert addresses == [
        ["202611000009", "202611000010"], ["202611000011", "202611000012"],
        ["1", "4", "7"], ["1", "4", "7"], ["1"],
    ]  # fmt: skip
    assert [meter["label"] for meter in made[1]["meters"]] == ["R003", "R004"]


@pytest.mark.parametrize(
    ("gateway", "reason"),
    [
        ({"name": "A", "count": 0}, "count 0 is not"),
        ({"name": "A", "kind": "lora"}, "kind 'lora' is none of"),
        ({"name": "A", "meters": {"a": 1}}, "meters is not a list"),
        ({"name": "A", "kind": "dtu"}, "connect is missing"),
        ({"name": "A", "kind": "dtu", "connect": "here"}, "is not host:port"),
        ({"name": "A", "kind": "mqtt", "connect": "h:1", "serial": "a/b"}, "part of a topic"),
        ({"name": "A", "colour": 1}, "unknown settings: colour"),
        (
            {"name": "A", "meters": [{"protocol": "dlt645", "count": 2, "address_from": "x"}]},
            "is not a number to count from",
        ),
    ],
)
def test_a_bad_fleet_says_where(gateway, reason):
    with pytest.raises(ValueError, match=reason):
        Simulation({"gateways": [gateway]})


def test_many_meters_cost_little_while_nobody_asks(tmp_path):
    """500 rooms at 240 times the clock: processor time of a second without requests."""
    meters = [{"protocol": "modbus_ddsy1352", "count": 50, "address_from": 1, "speed": 240,
               "load": {"kind": "dormitory", "peak_w": 1200}}]  # fmt: skip
    config = {"gateways": [{"name": "G", "count": 10, "meters": meters}]}
    with in_thread(config, state_path=tmp_path / "state.json") as running:
        time.sleep(0.5)
        before = time.process_time()
        time.sleep(2)
        used = time.process_time() - before
        assert len(http(running, "GET", "/meters")[1]) == 500
    assert used < 0.6, f"{used / 2:.2f} of a core"
