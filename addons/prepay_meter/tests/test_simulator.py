"""The codec of the collector against simulated meters through real sockets, and pymodbus's client
as a second opinion."""
# ruff: noqa: F401, F811 - meters have no time zone; fixtures are imported

import asyncio
import random
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerType

from odoo.addons.prepay_meter.protocols import dlt645, exchange, values
from odoo.addons.prepay_meter.protocols.errors import DeviceError, Outcome
from odoo.addons.prepay_meter.simulator.simulation import in_thread

from .common_simulator import (
    METER,
    READS,
    RIGHTS,
    Line,
    http,
    line,
    relay_645,
    simulation,
    status_word,
)

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


def test_dlt645_what_the_meter_does_not_know(simulation, line):
    gateway = line("GW-645")

    def ask(address, control, data=b"", patience=2.0):
        parser = dlt645.Parser()
        gateway.socket.sendall(dlt645.build(address, control, data))
        gateway.socket.settimeout(patience)
        try:
            return parser.feed(gateway.socket.recv(512))
        except TimeoutError:
            return []

    for control, data in [(0x14, bytes(12)), (0x12, bytes(5)), (0x1C, bytes(3))]:
        (frame,) = ask(METER, control, data)
        assert (frame.control, frame.error_code) == (control | 0xC0, 1)
    (frame,) = ask(METER, 0x11, b"\x00\x00")
    assert frame.error_code == 2
    trip = RIGHTS[0] + RIGHTS[1] + bytes((0x1A, 0)) + bytes(6)
    for address in ("9" * 12, dlt645.WILDCARD):
        assert ask(address, 0x1C, trip, 0.1) == [], "no relay command without a meter's name"
    assert ask(METER, 0x9C, b"", 0.1) == [], "an answer is no request"
    assert http(simulation, "GET", f"/meters/{METER}")[1]["relay"] == "closed"


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
            answer = await client.read_input_registers(0, count=1, device_id=1)
            assert answer.exception_code == 1
        finally:
            client.close()

    asyncio.run(run())
