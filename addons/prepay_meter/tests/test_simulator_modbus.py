"""Simulated Modbus meters of all kinds, over RTU and Modbus TCP, with hand-built frames."""

import struct
import time

import pytest

from odoo.addons.prepay_meter.simulator.simulation import in_thread

from .common_simulator import SILENCE, Raw, fault, http, read_registers, rtu, until, write_registers

ADF = {"prepaid": True, "balance_fen": 100_00, "alarm2_fen": 10_00, "power_w": 1000}
METERS = [
    {"protocol": "modbus_dtsy1352", "address": 1, "energy_wh": 700_000, "power_w": 0},
    {"protocol": "modbus_adf400l", "address": 13, "phases": 3, "energy_wh": 97_810, **ADF},
    {"protocol": "modbus_adf300l", "address": 25, "energy_wh": 97_810, **ADF},
    {"protocol": "modbus_water", "address": 40, "volume_l": 5, "flow_lh": 0},
]
CONFIG = {
    "gateways": [
        {"name": "RTU", "delay_ms": 1, "meters": METERS},
        {"name": "TCP", "kind": "modbus_tcp", "delay_ms": 1, "meters": METERS},
    ]
}


@pytest.fixture
def running():
    with in_thread(CONFIG) as simulation:
        yield simulation


@pytest.fixture
def line(running):
    raw = Raw(running.port("RTU"))
    yield raw
    raw.close()


def test_dtsy(running, line):
    assert read_registers(line, 1, 0, 4) == [1, 70_000 - 65_536, 0, 17_500]
    assert line.ask(rtu("01 03 000B 0001")) == rtu("01 83 02"), "not published"
    assert line.ask("01 10 00 57 00 02 04 00 01 00 01 27 75") == rtu("01 10 0057 0002")
    assert http(running, "GET", "/meters/RTU:1")[1]["relay"] == "open"
    line.ask("01 10 00 57 00 02 04 00 01 00 00 E6 B5")
    assert http(running, "GET", "/meters/RTU:1")[1]["relay"] == "closed"
    assert write_registers(line, 1, 0x0028, 0x0A0F, 0x0100) == 0
    assert read_registers(line, 1, 0x0028, 2) == [0x0A0F, 0x0100]
    assert line.ask(rtu("01 03 2006 0001")) == rtu("01 03 02 0000")
    assert line.ask(rtu("01 03 202A 0001")) == rtu("01 83 02"), "behind the tables"


@pytest.mark.parametrize(
    ("unit", "live", "switch", "limits", "strong"),
    [(25, 0x0300, 0x0500, 0x0700, 0x0801), (13, 0x033F, 0x0536, 0x0718, 0x0804)],
    ids=["single", "three"],
)
class TestAdf:
    def test_live(self, line, unit, live, switch, limits, strong):
        found = read_registers(line, unit, live, 29 if unit == 25 else 84)
        if unit == 25:
            voltage, current, power, _var, factor, hertz = found[:6]
            energy = found[6] << 16 | found[7]
            assert 2200 <= voltage <= 2400
            assert voltage * current * factor == pytest.approx(1000 * 1_000_000, rel=0.01)
        else:
            power, factor, hertz = found[6], found[14], found[18]
            energy = found[0x1F] << 16 | found[0x20]
            assert all(2200 <= voltage <= 2400 for voltage in found[:3])
            assert sum(found[7:10]) == power
        assert (power, factor, hertz) == (1000, 950, 5000)
        assert energy == 9781

    def test_credit_once(self, running, line, unit, live, switch, limits, strong):
        money = live + (0x0A if unit == 25 else 0x23)
        found = read_registers(line, unit, money, 5)
        assert found == [0, 10_000, 0, 0, 0]
        top_up = (0, 5000, 1)
        assert write_registers(line, unit, switch + 13, *top_up) == 0
        assert write_registers(line, unit, switch + 13, *top_up) == 0, "a repeat is harmless"
        assert read_registers(line, unit, money, 5) == [0, 15_000, 0, 5000, 1]
        assert write_registers(line, unit, switch + 13, 0, 5000, 3) == 3, "a number left out"
        assert write_registers(line, unit, switch + 13, 0, 6000, 1) == 3, "other money, old number"
        assert write_registers(line, unit, switch + 13, 0, 6000) == 3, "no number"
        taken = http(running, "GET", f"/meters/RTU:{unit}")[1]["credit"]["taken"]
        assert [entry["amount_fen"] for entry in taken] == [5000]

    def test_it_cuts_itself_at_the_second_alarm(self, running, line, unit, live, switch, limits,
                                                strong):  # fmt: skip
        key = f"/meters/RTU:{unit}"
        energy = http(running, "GET", key)[1]["energy_wh"]
        found = http(running, "PATCH", key, {"energy_wh": energy + 140_000})[1]
        assert (found["relay"], found["own_trip"]) == ("open", "credit")
        assert write_registers(line, unit, switch + 13, 0, 5000, 1) == 0
        assert http(running, "GET", key)[1]["relay"] == "closed"

    def test_strong_control_overrules_the_meter(self, running, line, unit, live, switch, limits,
                                                strong):  # fmt: skip
        key = f"/meters/RTU:{unit}"
        assert write_registers(line, unit, strong, 0x0100) == 0
        assert http(running, "GET", key)[1]["relay"] == "open"
        assert write_registers(line, unit, strong, 0x0001) == 0
        assert read_registers(line, unit, strong, 1) == [1]
        found = http(running, "PATCH", key, {"balance_fen": -500})[1]
        assert found["relay"] == "closed", "its own cut-off is off"
        assert write_registers(line, unit, strong, 0) == 0
        assert http(running, "GET", key)[1]["own_trip"] == "credit"
        assert write_registers(line, unit, strong, 7) == 3

    def test_overload(self, running, line, unit, live, switch, limits, strong):
        key = f"/meters/RTU:{unit}"
        assert write_registers(line, unit, limits, 1, 1500) == 0
        http(running, "PATCH", key, {"power_w": 2000})
        until(lambda: http(running, "GET", key)[1]["own_trip"] == "overload")
        assert http(running, "GET", key)[1]["relay"] == "open"
        assert read_registers(line, unit, limits + 4, 1) == [1], "trips so far"

    def test_parameters(self, running, line, unit, live, switch, limits, strong):
        assert write_registers(line, unit, switch + 1, 0, 72) == 0
        assert write_registers(line, unit, switch + 9, 0, 3000, 0, 1500) == 0
        assert read_registers(line, unit, switch + 9, 4) == [0, 3000, 0, 1500]
        credit = http(running, "GET", f"/meters/RTU:{unit}")[1]["credit"]
        assert (credit["prices_e4"][0], credit["alarm1_fen"], credit["alarm2_fen"]) == (
            7200, 3000, 1500
        )  # fmt: skip
        assert write_registers(line, unit, 0x0914, 0x0107, 0x0002) == 0
        assert read_registers(line, unit, 0x0914, 2) == [0x0107, 0x0002]
        assert write_registers(line, unit, 0x090B, 0x0A1E, 0x1704, 0x1F0C, 27) == 0
        shown = http(running, "GET", f"/meters/RTU:{unit}")[1]["clock"]
        assert shown.startswith("2027-12-31T23:30:1")
        assert write_registers(line, unit, 0x090B, 0x0A1E) == 3, "a part of the clock"
        assert write_registers(line, unit, live, 1) == 2

    def test_time_control(self, running, line, unit, live, switch, limits, strong):
        times = 0x0600 if unit == 25 else 0x064E
        # on from 06:00, off from 23:00: (1, 6, 0), (0, 23, 0)
        slots = [0x0106, 0x0000, 0x1700] + [0] * 9
        assert write_registers(line, unit, 0x090B, 0, 0x1601, 0x1F0C, 27) == 0
        assert write_registers(line, unit, times, 1, *slots, *slots) == 0
        assert read_registers(line, unit, times, 4) == [1, 0x0106, 0x0000, 0x1700]
        assert http(running, "GET", f"/meters/RTU:{unit}")[1]["relay"] == "closed"
        assert write_registers(line, unit, 0x090B, 0, 0x1701, 0x1F0C, 27) == 0
        assert http(running, "GET", f"/meters/RTU:{unit}")[1]["own_trip"] == "time"
        assert write_registers(line, unit, 0x090B, 0, 0x0601, 0x1F0C, 27) == 0
        assert http(running, "GET", f"/meters/RTU:{unit}")[1]["relay"] == "closed"


def test_lost_credit_commands(running, line):
    fault(running, "RTU:25", lose_credit="before")
    request = rtu("19 10 050D 0003 06 0000 1388 0001")
    assert line.ask(request, SILENCE) == b""
    assert read_registers(line, 25, 0x030E, 1) == [0]
    fault(running, "RTU:25", lose_credit="after")
    assert line.ask(request, SILENCE) == b""
    assert read_registers(line, 25, 0x030E, 1) == [1]
    fault(running, "RTU:25", lose_credit="")
    assert line.ask(request) == rtu("19 10 050D 0003"), "sent again: taken once"
    assert read_registers(line, 25, 0x030E, 1) == [1]


# ---- Modbus TCP


def mbap(number, unit, pdu):
    pdu = bytes.fromhex(pdu)
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu


def test_modbus_tcp(running):
    raw = Raw(running.port("TCP"))
    assert raw.ask(mbap(0xBEEF, 1, "03 0000 0002")) == mbap(0xBEEF, 1, "03 04 0001 1170")
    both = mbap(1, 40, "03 0000 0002") + mbap(2, 1, "10 0057 0002 04 0001 0001")
    assert raw.ask(both) == mbap(1, 40, "03 04 0000 0005") + mbap(2, 1, "10 0057 0002")
    assert http(running, "GET", "/meters/TCP:1")[1]["relay"] == "open"
    assert raw.ask(mbap(3, 1, "03 0100 0001")) == mbap(3, 1, "83 02")
    for piece in (both[:5], both[5:9]):
        raw.socket.sendall(piece)
        time.sleep(0.02)
    assert raw.ask(both[9:12]) == mbap(1, 40, "03 04 0000 0005")
    assert raw.ask(mbap(4, 99, "03 0000 0001"), SILENCE) == b"", "no such unit"
    http(running, "POST", "/gateways/TCP", {"no_answer": "exception"})
    assert raw.ask(mbap(5, 99, "03 0000 0001")) == mbap(5, 99, "83 0B")
    fault(running, "TCP:40", bad_checksum=True)
    assert raw.ask(mbap(6, 40, "03 0000 0001"))[2:4] != b"\x00\x00"
    assert raw.ask(b"GET / HTTP/1.1\r\n\r\n", SILENCE) == b""
    raw.close()
    meter = {"gateway": "TCP", "protocol": "dlt645", "address": "202611000001"}
    assert http(running, "POST", "/meters", meter)[0] == 400


def test_gateways_tell_who_is_connected(running):
    assert http(running, "GET", "/gateways/TCP")[1]["connected"] is False
    raw = Raw(running.port("TCP"))
    raw.ask(mbap(1, 1, "03 0000 0001"))
    found = http(running, "GET", "/gateways/TCP")[1]
    assert (found["connected"], found["connections"], found["kind"]) == (True, 1, "modbus_tcp")
    assert found["since"]
    raw.close()
