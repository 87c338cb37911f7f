"""The codec of the collector against simulated meters through real sockets, pymodbus's client as
a second opinion, and every fault."""

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerType

from odoo.addons.prepay_meter.protocols import dlt645, exchange, values
from odoo.addons.prepay_meter.protocols.errors import DeviceError, Outcome
from odoo.addons.prepay_meter.simulator.simulation import Simulation, in_thread

ADDON = Path(__file__).parents[1]
METER, NEIGHBOUR = "202611000001", "202611000002"
RIGHTS = (bytes.fromhex("02000000"), bytes(4))
CONFIG = {
    "gateways": [
        {
            "name": "GW-645",
            "delay_ms": 1,
            "meters": [
                {"protocol": "dlt645", "address": METER, "power_w": 1000, "energy_wh": 186_420},
                {"protocol": "dlt645", "address": NEIGHBOUR, "power_w": 0, "energy_wh": 10},
            ],
        },
        {
            "name": "GW-RTU",
            "delay_ms": 1,
            "meters": [
                {"protocol": "modbus_ddsy1352", "address": 1, "power_w": 800, "energy_wh": 97_810},
                {"protocol": "modbus_ddsy1352", "address": 2, "power_w": 0, "energy_wh": 700_000},
            ],
        },
    ]
}


@pytest.fixture
def simulation():
    with in_thread(CONFIG) as running:
        yield running


class Line:
    """A blocking connection to a gateway that asks one thing at a time."""

    def __init__(self, simulation, gateway):
        self.socket = socket.create_connection(("127.0.0.1", simulation.port(gateway)), 2)

    def ask(self, waiting, patience=2.0):
        """The reply, or None after `patience` seconds."""
        self.socket.sendall(waiting.request)
        return self.listen(waiting, patience)

    def listen(self, waiting, patience=2.0):
        end = time.monotonic() + patience
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(512)
            except TimeoutError:
                return None
            if not data:
                raise ConnectionError("the gateway closed the line")
            if reply := waiting.feed(data):
                return reply
        return None


@pytest.fixture
def line(simulation):
    made = []

    def connect(gateway):
        made.append(Line(simulation, gateway))
        return made[-1]

    yield connect
    for each in made:
        each.socket.close()


def http(simulation, method, path, body=None, kind="application/json", headers=None):
    """Status and JSON (or text) of the control interface."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(simulation.url + path, data, method=method)
    request.add_header("Content-Type", kind)
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read().decode()
            return answer.status, text if "html" in answer.headers["Content-Type"] else json.loads(text)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else text


def fault(simulation, address, **faults):
    status, found = http(simulation, "PATCH", f"/meters/{address}", {"faults": faults})
    assert status == 200, found
    return found


def status_word(line):
    reply = line.ask(exchange.dlt645_read(METER, "04000503"))
    return values.decode(reply.data, "u16le")


def relay_645(n1, password=RIGHTS[0], until=None):
    return exchange.dlt645_relay(METER, n1, password, RIGHTS[1], until)


# ---- DL/T 645


def test_dlt645_block(simulation, line):
    gateway = line("GW-645")
    reply = gateway.ask(exchange.dlt645_read(METER, "0001FF00"))
    block = [values.decode(reply.data, "bcd", Decimal(10), 4 * i, 4) for i in range(5)]
    assert 186_420 <= block[0] < 186_430
    assert sum(block[1:]) == pytest.approx(block[0], abs=40)
    for index, di in enumerate(["00010000", "00010100", "00010200", "00010300", "00010400"]):
        reply = gateway.ask(exchange.dlt645_read(METER, di))
        assert values.decode(reply.data, "bcd", Decimal(10)) == block[index]


@pytest.mark.parametrize(
    ("di", "encoding", "scale", "low", "high"),
    [
        ("00000000", "bcd", "10", 186_420, 186_430),
        ("00020000", "bcd", "10", 0, 0),
        ("02010100", "bcd", "100", 220_000, 240_000),
        ("02020100", "bcd_signed", "1", 4_000, 5_000),
        ("02030000", "bcd_signed", "0.1", 1000, 1000),
        ("02030100", "bcd_signed", "0.1", 1000, 1000),
        ("02060000", "bcd", "1", 950, 950),
        ("02800002", "bcd", "1", 5000, 5000),
        ("04000401", "bcd", "1", int(METER), int(METER)),
        ("04000503", "u16le", "1", 0, 0),
    ],
)
def test_dlt645_values(simulation, line, di, encoding, scale, low, high):
    reply = line("GW-645").ask(exchange.dlt645_read(METER, di))
    assert reply.error is None
    assert low <= values.decode(reply.data, encoding, Decimal(scale)) <= high


def test_dlt645_clock(simulation, line):
    gateway = line("GW-645")
    date = gateway.ask(exchange.dlt645_read(METER, "04000101")).data[::-1].hex()
    clock = gateway.ask(exchange.dlt645_read(METER, "04000102")).data[::-1].hex()
    shown = datetime.strptime(date[:6] + clock, "%y%m%d%H%M%S")
    expected = datetime.fromisoformat(http(simulation, "GET", f"/meters/{METER}")[1]["clock"])
    assert abs(shown - expected) < timedelta(seconds=5)
    assert int(date[6:]) == shown.isoweekday() % 7


def test_dlt645_relay_moves_and_shows_it(simulation, line):
    gateway = line("GW-645")
    assert gateway.ask(relay_645(dlt645.TRIP)).error is None
    assert status_word(gateway) == 1 << 4 | 1 << 6
    reply = gateway.ask(exchange.dlt645_read(METER, "02030000"))
    assert values.decode(reply.data, "bcd_signed", Decimal("0.1")) == 0
    assert gateway.ask(relay_645(dlt645.CLOSE_ALLOWED)).error is None
    assert status_word(gateway) == 0
    gateway.ask(relay_645(dlt645.KEEP_POWER))
    assert gateway.ask(relay_645(dlt645.TRIP)).error is None
    assert status_word(gateway) == 1 << 12 | 1 << 6, "told to open and did not: keep-power"
    gateway.ask(relay_645(dlt645.KEEP_POWER_OFF))
    assert status_word(gateway) == 1 << 4 | 1 << 6
    gateway.ask(relay_645(dlt645.CLOSE))
    gateway.ask(relay_645(dlt645.ALARM))
    assert status_word(gateway) == 1 << 7
    found = http(simulation, "GET", f"/meters/{METER}")[1]
    assert [entry["action"] for entry in found["commands"]] == [
        "trip", "close allowed", "keep power", "trip", "keep power off", "close", "alarm"
    ]  # fmt: skip
    assert [entry["result"] for entry in found["movements"]] == ["open", "closed", "open", "closed"]
    assert found["writes"] == 7


def test_dlt645_refusals(simulation, line):
    gateway = line("GW-645")
    reply = gateway.ask(exchange.dlt645_read(METER, "00900200"))
    assert reply.error == DeviceError(2, "no such data")
    reply = gateway.ask(relay_645(dlt645.TRIP, bytes.fromhex("02123456")))
    assert reply.error == DeviceError(4, "wrong password or not authorised")
    clock = datetime.fromisoformat(http(simulation, "GET", f"/meters/{METER}")[1]["clock"])
    late = gateway.ask(relay_645(dlt645.TRIP, until=clock - timedelta(minutes=1)))
    assert late.error == DeviceError(1, "other error")
    assert gateway.ask(relay_645(0x99)).error is not None
    assert status_word(gateway) == 0
    assert gateway.ask(relay_645(dlt645.TRIP, until=clock + timedelta(minutes=1))).error is None
    http(simulation, "PATCH", f"/meters/{METER}", {"clock_offset_s": 600})
    drifted = gateway.ask(relay_645(dlt645.CLOSE, until=clock + timedelta(minutes=1)))
    assert drifted.error is not None, "the clock of the meter decides"


def test_dlt645_wildcards_and_other_addresses(simulation, line):
    gateway = line("GW-645")
    waiting = exchange.dlt645_read("AAAAAA000001", "00010000")
    assert gateway.ask(waiting).address == METER
    waiting = exchange.dlt645_read("999999999998", "00010000")
    assert gateway.ask(waiting, 0.2) is None
    assert waiting.failure() == (Outcome.TIMEOUT, "no answer")
    two = exchange.dlt645_read_address()
    assert gateway.ask(two, 0.2) is None, "two meters talk at once"
    assert two.count > 0
    assert gateway.ask(exchange.dlt645_read(METER, "00010000")) is not None


def test_dlt645_read_address_of_the_only_meter():
    alone = {"gateways": [{"name": "A", "meters": [{"protocol": "dlt645", "address": METER}]}]}
    with in_thread(alone) as running:
        gateway = Line(running, "A")
        assert gateway.ask(exchange.dlt645_read_address()).address == METER
        gateway.socket.close()


@pytest.mark.parametrize("preamble", [0, 4])
def test_preamble_is_switchable(simulation, line, preamble):
    http(simulation, "PATCH", f"/meters/{METER}", {"preamble": preamble})
    waiting = exchange.dlt645_read(METER, "00010000")
    assert line("GW-645").ask(waiting) is not None
    assert waiting.received.startswith(b"\xfe" * preamble + b"\x68")


def test_requests_in_pieces_and_behind_garbage(simulation, line):
    gateway = line("GW-645")
    waiting = exchange.dlt645_read(METER, "00010000")
    for byte in b"\x68ping\x68" + waiting.request:
        gateway.socket.sendall(bytes([byte]))
    assert gateway.listen(waiting) is not None


@pytest.mark.parametrize("name", ["GW-645", "GW-RTU"])
def test_random_bytes_do_no_harm(simulation, line, name):
    noise = random.Random(name)
    for _ in range(20):
        connection = line(name)
        connection.socket.sendall(noise.randbytes(400))
        connection.socket.close()
    gateway, _, read = READS["645" if name == "GW-645" else "modbus"]
    assert line(gateway).ask(read()) is not None
    assert all(not meter["commands"] for meter in http(simulation, "GET", "/meters")[1])


# ---- Modbus


def test_modbus_values(simulation, line):
    reply = line("GW-RTU").ask(exchange.modbus_read(1, 0, 17))
    energy = [values.decode(reply.data, "u32", Decimal(10), offset) for offset in range(0, 20, 4)]
    assert 97_810 <= energy[0] < 97_830
    assert sum(energy[1:]) == pytest.approx(energy[0], abs=40)
    voltage = values.decode(reply.data, "u16", Decimal(100), 22)
    current = values.decode(reply.data, "i16", Decimal(10), 24)
    assert values.decode(reply.data, "i16", Decimal(1), 26) == 800
    assert values.decode(reply.data, "i16", Decimal(1), 32) == 950
    assert voltage * current * 95 == pytest.approx(800 * 10**8, rel=0.01)


def test_modbus_relay_and_its_control_register(simulation, line):
    gateway = line("GW-RTU")
    assert gateway.ask(exchange.modbus_write(1, 0x57, [1, 1])).error is None
    assert gateway.ask(exchange.modbus_read(1, 0x57, 2)).registers == (1, 1)
    assert gateway.ask(exchange.modbus_read(1, 0x0D, 1)).registers == (0,)
    assert gateway.ask(exchange.modbus_write(1, 0x57, [1, 0])).error is None
    assert gateway.ask(exchange.modbus_read(1, 0x0D, 1)).registers == (800,)
    http(simulation, "PATCH", "/meters/1", {"control_readable": False})
    reply = gateway.ask(exchange.modbus_read(1, 0x57, 2))
    assert reply.error == DeviceError(2, "illegal data address")
    found = http(simulation, "GET", "/meters/1")[1]
    assert [entry["action"] for entry in found["commands"]] == ["trip", "close"]
    assert (found["reads"], found["writes"]) == (4, 2)


def test_modbus_forced_control_can_end(simulation, line):
    gateway = line("GW-RTU")
    gateway.ask(exchange.modbus_write(1, 0x57, [1, 1]))
    gateway.ask(exchange.modbus_write(1, 0x57, [0]))
    assert http(simulation, "GET", "/meters/1")[1]["relay"] == "closed"


def test_modbus_refusals_and_silence(simulation, line):
    gateway = line("GW-RTU")
    for address, count in [(0x11, 1), (0x00, 18), (0x5032, 1)]:
        reply = gateway.ask(exchange.modbus_read(1, address, count))
        assert reply.error == DeviceError(2, "illegal data address")
    assert gateway.ask(exchange.modbus_write(1, 0x0A, [1])).error.code == 2
    assert gateway.ask(exchange.modbus_write(1, 0x57, [7, 7])).error.code == 3
    waiting = exchange.modbus_read(9, 0, 2)
    assert gateway.ask(waiting, 0.2) is None
    assert waiting.failure() == (Outcome.TIMEOUT, "no answer")
    assert gateway.ask(exchange.modbus_read(2, 0, 2)).registers == (1, 70_000 - 65_536)


def test_pymodbus_client_agrees(simulation):
    """An independent client reads the same energy, switches the relay and gets the refusals."""

    async def run():
        client = AsyncModbusTcpClient(
            "127.0.0.1", port=simulation.port("GW-RTU"), framer=FramerType.RTU, timeout=2, retries=0
        )
        assert await client.connect()
        try:
            answer = await client.read_holding_registers(0, count=2, device_id=2)
            kind = client.DATATYPE.UINT32
            assert client.convert_from_registers(answer.registers, kind) == 70_000
            answer = await client.write_registers(0x57, [1, 1], device_id=1)
            assert not answer.isError()
            answer = await client.read_holding_registers(0x0D, count=1, device_id=1)
            assert answer.registers == [0]
            answer = await client.write_registers(0x57, [1, 0], device_id=1)
            assert not answer.isError()
            answer = await client.read_holding_registers(0x0D, count=1, device_id=1)
            assert answer.registers == [800]
            answer = await client.read_holding_registers(0x11, count=1, device_id=1)
            assert answer.isError()
            assert answer.exception_code == 2
            answer = await client.write_register(0x58, 1, device_id=1)
            assert answer.exception_code == 1, "function 06 is not in the manual"
        finally:
            client.close()

    asyncio.run(run())


# ---- faults, each on both protocols

READS = {
    "645": ("GW-645", METER, lambda: exchange.dlt645_read(METER, "00010000")),
    "modbus": ("GW-RTU", "1", lambda: exchange.modbus_read(1, 0, 2)),
}
TRIPS = {
    "645": ("GW-645", METER, lambda: relay_645(dlt645.TRIP)),
    "modbus": ("GW-RTU", "1", lambda: exchange.modbus_write(1, 0x57, [1, 1])),
}
each_read = pytest.mark.parametrize(("gateway", "address", "read"), READS.values(), ids=READS)
each_trip = pytest.mark.parametrize(("gateway", "address", "trip"), TRIPS.values(), ids=TRIPS)


def energy_of(gateway, reply):
    encoding = "bcd" if gateway == "GW-645" else "u32"
    return values.decode(reply.data, encoding, Decimal(10))


@each_read
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("silent", True, Outcome.TIMEOUT),
        ("bad_checksum", True, Outcome.CRC),
        ("other_address", True, Outcome.WRONG_UNIT),
    ],
)
def test_no_answer_has_its_reason(simulation, line, gateway, address, read, name, value, reason):
    fault(simulation, address, **{name: value})
    connection, waiting = line(gateway), read()
    assert connection.ask(waiting, 0.2) is None
    assert waiting.failure()[0] is reason
    fault(simulation, address, **{name: False})
    assert connection.ask(read()) is not None


@each_read
def test_exception(simulation, line, gateway, address, read):
    fault(simulation, address, exception=4)
    assert line(gateway).ask(read()).error.code == 4


@each_read
def test_noise(simulation, line, gateway, address, read):
    fault(simulation, address, noise=True)
    waiting = read()
    assert line(gateway).ask(waiting).error is None
    assert waiting.received.startswith(b"\x00\xffping")


@each_read
def test_spike_decrease_and_stuck(simulation, line, gateway, address, read):
    connection = line(gateway)
    first = energy_of(gateway, connection.ask(read()))
    fault(simulation, address, spike_wh=500_000)
    assert energy_of(gateway, connection.ask(read())) >= first + 500_000
    fault(simulation, address, spike_wh=-50_000)
    assert energy_of(gateway, connection.ask(read())) < first
    fault(simulation, address, spike_wh=0, stuck=True)
    stuck = energy_of(gateway, connection.ask(read()))
    http(simulation, "PATCH", f"/meters/{address}", {"speed": 100_000})
    time.sleep(0.05)
    assert energy_of(gateway, connection.ask(read())) == stuck
    fault(simulation, address, stuck=False)
    assert energy_of(gateway, connection.ask(read())) > stuck
    http(simulation, "PATCH", f"/meters/{address}", {"energy_wh": 0, "power_w": 0})
    assert energy_of(gateway, connection.ask(read())) == 0


@each_read
def test_a_late_answer_meets_the_next_request(simulation, line, gateway, address, read):
    fault(simulation, address, late_ms=150)
    connection, waiting = line(gateway), read()
    assert connection.ask(waiting, 0.05) is None
    fault(simulation, address, late_ms=0)
    other = (
        exchange.dlt645_read(METER, "04000503")
        if gateway == "GW-645"
        else exchange.modbus_read(2, 0, 2)
    )
    http(simulation, "POST", f"/gateways/{gateway}", {"delay_ms": 300})
    assert connection.ask(other).error is None
    assert [stray.reason for stray in other.strays] == [
        Outcome.MALFORMED if gateway == "GW-645" else Outcome.WRONG_UNIT
    ]


@each_trip
def test_welded_relay_acknowledges(simulation, line, gateway, address, trip):
    fault(simulation, address, welded=True)
    connection = line(gateway)
    assert connection.ask(trip()).error is None
    found = http(simulation, "GET", f"/meters/{address}")[1]
    assert (found["relay"], found["commanded"]) == ("closed", "open")
    assert found["power_w"] > 0
    assert found["movements"] == []
    assert found["commands"][-1]["result"] == "acknowledged, relay stuck"
    if gateway == "GW-645":
        assert status_word(connection) == 1 << 6
    else:
        assert connection.ask(exchange.modbus_read(1, 0x57, 2)).registers == (1, 1)


@each_trip
def test_obeyed_without_acknowledgement(simulation, line, gateway, address, trip):
    fault(simulation, address, no_ack=True)
    connection, waiting = line(gateway), trip()
    assert connection.ask(waiting, 0.2) is None
    assert waiting.failure()[0] is Outcome.TIMEOUT
    assert http(simulation, "GET", f"/meters/{address}")[1]["relay"] == "open"
    read = READS["645" if gateway == "GW-645" else "modbus"][2]
    assert connection.ask(read()) is not None, "reads are answered"


@each_trip
def test_reads_are_held_after_a_write(simulation, line, gateway, address, trip):
    fault(simulation, address, hold_reads_after_write=True)
    connection = line(gateway)
    read = READS["645" if gateway == "GW-645" else "modbus"][2]
    assert connection.ask(read()) is not None
    assert connection.ask(trip()).error is None
    assert connection.ask(read(), 0.2) is None
    found = http(simulation, "GET", f"/meters/{address}")[1]
    assert (found["relay"], found["held"]) == ("open", True)
    assert fault(simulation, address, hold_reads_after_write=False)["held"] is False
    assert connection.ask(read()) is not None


def test_relay_delay_is_seen_as_command_before_position(simulation, line):
    http(simulation, "PATCH", f"/meters/{METER}", {"relay_delay_ms": 200})
    gateway = line("GW-645")
    gateway.ask(relay_645(dlt645.TRIP))
    assert status_word(gateway) == 1 << 6
    time.sleep(0.25)
    assert status_word(gateway) == 1 << 4 | 1 << 6


# ---- gateway and control


def test_one_line_answers_one_request_at_a_time(simulation, line):
    http(simulation, "POST", "/gateways/GW-RTU", {"delay_ms": 100})
    first, second = line("GW-RTU"), line("GW-RTU")
    started = time.monotonic()
    one, two = exchange.modbus_read(1, 0, 2), exchange.modbus_read(2, 0, 2)
    first.socket.sendall(one.request)
    second.socket.sendall(two.request)
    assert first.listen(one)
    assert second.listen(two)
    assert time.monotonic() - started >= 0.2


def test_an_offline_gateway_drops_and_refuses(simulation, line):
    connection = line("GW-645")
    status, found = http(simulation, "POST", "/gateways/GW-645", {"online": False})
    assert (status, found["online"]) == (200, False)
    with pytest.raises(ConnectionError):
        connection.ask(exchange.dlt645_read(METER, "00010000"))
    with pytest.raises(ConnectionError):
        line("GW-645")
    assert line("GW-RTU").ask(exchange.modbus_read(1, 0, 2)), "the other gateway goes on"
    http(simulation, "POST", "/gateways/GW-645", {"online": True})
    assert line("GW-645").ask(exchange.dlt645_read(METER, "00010000"))


def test_meters_can_be_added(simulation, line):
    spec = {"gateway": "GW-RTU", "protocol": "modbus_ddsy1352", "address": 7, "energy_wh": 50}
    assert http(simulation, "POST", "/meters", spec)[0] == 201
    assert line("GW-RTU").ask(exchange.modbus_read(7, 0, 2)).registers == (0, 5)
    status, found = http(simulation, "POST", "/meters", spec)
    assert (status, found["error"]) == (400, "gateway GW-RTU has a meter 7 already")
    mixed = {"gateway": "GW-RTU", "protocol": "dlt645", "address": METER}
    assert http(simulation, "POST", "/meters", mixed)[0] == 400
    assert http(simulation, "POST", "/meters", {"gateway": "none"})[0] == 404


def test_control_answers_bad_requests_with_the_reason(simulation):
    assert http(simulation, "GET", "/meters/42") == (404, {"error": "no meter 42"})
    assert http(simulation, "PATCH", "/meters/1", {"powr_w": 1})[0] == 400
    assert http(simulation, "PATCH", "/meters/1", [1])[0] == 400
    assert http(simulation, "PATCH", "/meters/1", {}, kind="text/plain")[0] == 415
    assert http(simulation, "POST", "/gateways/none", {})[0] == 404
    assert http(simulation, "POST", "/gateways/GW-RTU", {"delay_ms": "x"})[0] == 400
    assert http(simulation, "POST", "/gateways/GW-RTU", {"onlin": True})[0] == 400
    meters = http(simulation, "GET", "/meters")[1]
    assert [meter["key"] for meter in meters] == [
        f"GW-645:{METER}", f"GW-645:{NEIGHBOUR}", "GW-RTU:1", "GW-RTU:2"
    ]  # fmt: skip
    gateways = http(simulation, "GET", "/gateways")[1]
    assert gateways[1]["meters"] == ["1", "2"]


def test_the_same_unit_on_two_gateways_needs_its_gateway():
    meter = {"protocol": "modbus_ddsy1352", "address": 1}
    config = {"gateways": [{"name": name, "meters": [meter]} for name in ("A", "B")]}
    with in_thread(config) as running:
        assert http(running, "GET", "/meters/1")[0] == 404
        assert http(running, "GET", "/meters/B:1")[1]["gateway"] == "B"


def test_page_in_both_languages(simulation):
    status, text = http(simulation, "GET", "/", headers={"Accept-Language": "zh-CN,en;q=0.5"})
    assert status == 200
    assert '<html lang="zh-CN">' in text
    assert "模拟电表" in text
    text = http(simulation, "GET", "/")[1]
    assert "Simulated meters" in text
    assert METER in text
    assert "http://" not in text and "https://" not in text, "no foreign resources"


def test_state_survives_a_restart(tmp_path):
    kept = tmp_path / "state.json"
    with in_thread(CONFIG, state_path=kept) as running:
        http(running, "PATCH", "/meters/1", {"energy_wh": 123_000, "relay": "open"})
        http(running, "PATCH", f"/meters/{METER}", {"speed": 1000})
        energy = http(running, "GET", f"/meters/{METER}")[1]["energy_wh"]
    assert json.loads(kept.read_text())["clean"] is True
    with in_thread(CONFIG, state_path=kept) as running:
        found = http(running, "GET", "/meters/1")[1]
        assert (found["energy_wh"], found["relay"]) == (123_000, "open")
        assert http(running, "GET", f"/meters/{METER}")[1]["energy_wh"] >= energy


def test_a_register_never_goes_back_after_a_crash(tmp_path):
    kept = tmp_path / "state.json"
    config = {"gateways": [{"name": "A", "meters": [
        {"protocol": "modbus_ddsy1352", "address": 1, "power_w": 1500, "speed": 3600}
    ]}]}  # fmt: skip
    with in_thread(config, state_path=kept) as running:
        time.sleep(0.3)
        saved = kept.read_text()
        time.sleep(0.5)
        energy = http(running, "GET", "/meters/1")[1]["energy_wh"]
    kept.write_text(saved)
    with in_thread(config, state_path=kept) as running:
        assert http(running, "GET", "/meters/1")[1]["energy_wh"] >= energy


def test_a_taken_port_leaves_nothing_open():
    async def run():
        first = Simulation({"gateways": [{"name": "A"}]}, control_port=None)
        await first.start()
        taken = first.gateways["A"].port
        second = Simulation({"gateways": [{"name": "B"}, {"name": "C", "port": taken}]})
        with pytest.raises(OSError, match="address already in use"):
            await second.start()
        assert not second.gateways["B"].online
        await first.stop()

    asyncio.run(run())


def run_command(*arguments):
    command = [sys.executable, "-m", "odoo", f"--addons-path={ADDON.parent}", "prepay_simulator"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_command_says_where_it_listens_and_stops_on_request(tmp_path):
    config = json.loads((ADDON / "demo" / "simulator.json").read_text())
    for gateway in config["gateways"]:
        gateway["port"] = 0
    (tmp_path / "config.json").write_text(json.dumps(config))
    process = run_command("--config", tmp_path / "config.json", "--state", tmp_path / "state.json")
    try:
        word, _, ready = process.stdout.readline().partition(" ")
        assert word == "READY", process.stderr.read()
        ready = json.loads(ready)
        assert list(ready["gateways"]) == ["GW-645", "GW-RTU"]
        with urllib.request.urlopen(ready["control"] + "/meters", timeout=5) as answer:
            meters = json.load(answer)
        assert [meter["address"] for meter in meters] == [
            "202611000001", "202611000002", "202611000003", "1", "2", "3"
        ]  # fmt: skip
        assert all(meter["power_w"] >= 300 for meter in meters)
        process.terminate()
        assert process.wait(10) == 0
        assert json.loads((tmp_path / "state.json").read_text())["clean"] is True
    finally:
        process.kill()
        process.communicate()


def test_command_says_what_is_wrong(tmp_path):
    process = run_command("--config", tmp_path / "none.json")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "prepay_simulator: configuration" in errors
    assert "Traceback" not in errors
