"""Simulated water meters, spoken to with published and hand-built frames."""

import time
from datetime import datetime

import pytest

from odoo.addons.prepay_meter.simulator.simulation import in_thread

from .common_protocol import vectors
from .common_simulator import (
    SILENCE,
    Raw,
    fault,
    http,
    read_registers,
    rtu,
    summed,
    until,
    write_registers,
)

WATER = "78330011223344"
OTHER = "00002020120218"
HEAD = "68 10 44 33 22 11 00 33 78"
CONFIG = {
    "gateways": [
        {"name": "W", "delay_ms": 1, "meters": [
            {"protocol": "cjt188", "address": WATER, "volume_l": 1_000_100, "flow_lh": 0,
             "di_order": "both", "preamble": 0, "valve_travel_ms": 1000},
            {"protocol": "cjt188", "address": OTHER, "volume_l": 70, "flow_lh": 3600,
             "preamble": 2},
        ]},
        {"name": "M", "delay_ms": 1, "meters": [
            {"protocol": "modbus_water", "address": 9, "volume_l": 70_123, "flow_lh": 0,
             "valve_travel_ms": 100},
        ]},
    ]
}  # fmt: skip


@pytest.fixture
def running():
    with in_thread(CONFIG) as simulation:
        yield simulation


@pytest.fixture
def line(running):
    raw = Raw(running.port("W"))
    yield raw
    raw.close()


def status(line):
    """Status word of the first meter."""
    answer = line.ask(summed(f"{HEAD} 01 03 90 1F 05"))
    return int.from_bytes(answer[-4:-2], "little")


def test_reading(line):
    answer = line.ask(summed(f"{HEAD} 01 03 90 1F 07"))
    assert answer[:14] == bytes.fromhex(f"{HEAD} 81 16 90 1F 07")
    assert answer[14:24] == bytes.fromhex("10 00 10 00 2C 00 00 00 00 2C"), "1000.10 m3 shown"
    shown = datetime.strptime(answer[24:29].hex() + answer[30:28:-1].hex(), "%S%M%H%d%m%Y")
    assert abs((shown - datetime.now()).total_seconds()) < 24 * 3600
    assert answer[31:33] == b"\x00\x00", "open"
    assert answer[-2:] == bytes([sum(answer[:-2]) % 256, 0x16])


@pytest.mark.parametrize("vector", **vectors("cjt188"))
def test_published_frames(line, vector):
    """Requests of other makers' documents are understood; published answers are not requests."""
    frame = bytes.fromhex(vector["hex"])
    control = vector["expect"]["control"]
    expected = not control.startswith("8") and vector["expect"]["address"] in (WATER, OTHER)
    answer = line.ask(frame, 5 if expected else SILENCE)
    if expected:
        assert answer.lstrip(b"\xfe")[9] == int(control, 16) | 0x80
    else:
        assert answer == b""


def test_both_orders_and_the_wrong_one(running, line):
    other = "68 10 18 02 12 20 20 00 00"
    assert line.ask(summed(f"{HEAD} 01 03 1F 90 00"))[9] == 0x81
    answer = line.ask(summed(f"{other} 01 03 90 1F 00"))
    assert answer[:2] == b"\xfe\xfe"
    assert answer[11] == 0x81
    refused = line.ask(summed(f"{other} 01 03 1F 90 04"))
    assert refused[11:15] == bytes.fromhex("C1 03 04 00"), "error reply: serial number and status"
    http(running, "PATCH", f"/meters/{OTHER}", {"di_order": "1F90"})
    assert line.ask(summed(f"{other} 01 03 1F 90 04"))[11] == 0x81


def test_valve_travels(running, line):
    answer = line.ask(summed(f"{HEAD} 04 04 A0 17 01 99"))
    assert answer == summed(f"{HEAD} 84 05 A0 17 01 00 00"), "accepted, still open"
    assert http(running, "GET", f"/meters/{WATER}")[1]["valve"] == "closing"
    until(lambda: status(line) == 1)
    found = http(running, "GET", f"/meters/{WATER}")[1]
    assert (found["valve"], found["relay"], found["flow_lh"]) == ("closed", "open", 0)
    line.ask(summed(f"{HEAD} 04 04 17 A0 01 55"))
    until(lambda: status(line) == 0)
    assert line.ask(summed(f"{HEAD} 04 04 A0 17 01 42"))[9] == 0xC4
    names = [each["action"] for each in http(running, "GET", f"/meters/{WATER}")[1]["commands"]]
    assert names == ["close valve", "open valve", "valve 42"]


def test_the_standard_travel_time_is_five_seconds():
    config = {"gateways": [{"name": "W", "meters": [{"protocol": "cjt188", "address": WATER}]}]}
    with in_thread(config) as running:
        raw = Raw(running.port("W"))
        raw.ask(summed(f"{HEAD} 04 04 A0 17 01 99"))
        commands = http(running, "GET", f"/meters/{WATER}")[1]["commands"]
        assert commands[-1]["result"] == "moves in 5000 ms"
        raw.close()


def test_stuck_valve_and_battery_by_mask(running, line):
    fault(running, WATER, welded=True, low_battery=True)
    line.ask(summed(f"{HEAD} 04 04 A0 17 01 99"))
    until(lambda: status(line) == 0x0007)  # valve 11, battery bit
    http(running, "PATCH", f"/meters/{WATER}", {"valve_mask": 0xC0, "battery_mask": 0x20})
    assert status(line) == 0x00E0
    fault(running, WATER, welded=False, low_battery=False)
    line.ask(summed(f"{HEAD} 04 04 A0 17 01 99"))
    until(lambda: status(line) == 0x0040)


def test_clock_address_and_history(running, line):
    assert line.ask(summed("68 10 44 33 22 11 00 33 78 03 03 81 0A 02")) == summed(
        f"{HEAD} 83 03 81 0A 02"
    )
    line.ask(summed(f"{HEAD} 04 0A A0 15 01 05 30 23 31 12 27 20"))
    shown = http(running, "GET", f"/meters/{WATER}")[1]["clock"]
    assert shown.startswith("2027-12-31T23:30:0")
    assert line.ask(summed(f"{HEAD} 01 03 D1 20 01"))[9:14] == bytes.fromhex("81 08 D1 20 01")
    everybody = line.ask(summed("68 AA AA AA AA AA AA AA AA 03 03 81 0A 02"))
    assert summed(f"{HEAD} 83 03 81 0A 02") != everybody, "two meters talk at once"


def test_ultrasonic_layout_has_the_same_length(running, line):
    usual = line.ask(summed(f"{HEAD} 01 03 90 1F 07"))
    http(running, "PATCH", f"/meters/{WATER}", {"layout": "ultrasonic"})
    other = line.ask(summed(f"{HEAD} 01 03 90 1F 07"))
    assert len(other) == len(usual)
    assert other[14:18] == bytes.fromhex("00 10 00 00"), "1000 m3"
    assert other[18:21] == bytes.fromhex("00 01 00"), "100 thousandths"


def test_water_faults(running, line):
    http(running, "PATCH", f"/meters/{WATER}", {"fault_seed": "x"})
    fault(running, WATER, bad_data_permille=1000)
    answers = {line.ask(summed(f"{HEAD} 01 03 90 1F 07")) for _ in range(3)}
    assert len(answers) == 3, "another bit each time"
    assert all(each[-2] == sum(each[:-2]) % 256 for each in answers), "valid checksums"
    fault(running, WATER, bad_data_permille=0, exception=1)
    assert line.ask(summed(f"{HEAD} 01 03 90 1F 07"))[9] == 0xC1
    fault(running, WATER, exception=0, silent=True)
    assert line.ask(summed(f"{HEAD} 01 03 90 1F 07"), SILENCE) == b""


def test_water_flows_and_stops_with_the_valve(running, line):
    http(running, "PATCH", f"/meters/{OTHER}", {"speed": 3600})
    time.sleep(0.15)
    found = http(running, "PATCH", f"/meters/{OTHER}", {"relay": "open"})[1]
    assert found["volume_l"] > 70 + 3600 * 0.1
    time.sleep(0.05)
    assert http(running, "GET", f"/meters/{OTHER}")[1]["volume_l"] == found["volume_l"]


def test_modbus_water(running):
    raw = Raw(running.port("M"))
    assert read_registers(raw, 9, 0, 3) == [1, 70_123 - 65_536, 0]
    assert read_registers(raw, 9, 0x10, 3) == [0, 0x55, 0]
    assert write_registers(raw, 9, 0x11, 0x99) == 0
    assert read_registers(raw, 9, 0x10, 2)[0] in (1, 2)
    until(lambda: read_registers(raw, 9, 0x10, 2) == [1, 0x99])
    fault(running, "M:9", welded=True, low_battery=True)
    assert write_registers(raw, 9, 0x11, 0x55) == 0
    until(lambda: read_registers(raw, 9, 0x10, 3) == [3, 0x55, 1])
    assert write_registers(raw, 9, 0x11, 1) == 3
    assert write_registers(raw, 9, 0x10, 1) == 2
    assert raw.ask(rtu("09 03 0003 0001")) == rtu("09 83 02"), "a gap"
    raw.close()
