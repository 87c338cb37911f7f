"""What the simulator tests share: a small fleet, a line to a gateway, the control interface."""

import json
import socket
import time
import urllib.error
import urllib.request

import pytest

from odoo.addons.prepay_meter.protocols import dlt645, exchange, values
from odoo.addons.prepay_meter.simulator.simulation import in_thread

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
            return answer.status, text if "html" in answer.headers["Content-Type"] else json.loads(
                text
            )
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


READS = {
    "645": ("GW-645", METER, lambda: exchange.dlt645_read(METER, "00010000")),
    "modbus": ("GW-RTU", "1", lambda: exchange.modbus_read(1, 0, 2)),
}
TRIPS = {
    "645": ("GW-645", METER, lambda: relay_645(dlt645.TRIP)),
    "modbus": ("GW-RTU", "1", lambda: exchange.modbus_write(1, 0x57, [1, 1])),
}


# ---- without the codec of the collector

SILENCE = 0.3
"""Seconds after which nothing comes any more."""


def until(condition, seconds=10):
    """The first true value of `condition`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)
    return value


class Raw:
    """A connection to a gateway that speaks hand-built bytes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 2)

    def ask(self, request, wait=5):
        """All bytes that come within `wait` seconds after the last one."""
        self.socket.sendall(request if isinstance(request, bytes) else bytes.fromhex(request))
        return self.hear(wait)

    def hear(self, wait=5):
        heard = b""
        self.socket.settimeout(wait)
        while True:
            try:
                data = self.socket.recv(1024)
            except TimeoutError:
                return heard
            if not data:
                raise ConnectionError("closed")
            heard += data
            self.socket.settimeout(0.05)

    def close(self):
        self.socket.close()


def crc16(data):
    """CRC of Modbus, low byte first; bit by bit as in the standard's text."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def rtu(text):
    """RTU frame from the hex digits of unit and PDU."""
    body = bytes.fromhex(text)
    return body + crc16(body)


def summed(text):
    """Frame of DL/T 645 or CJ/T 188 from its hex digits up to the data: checksum and end added."""
    body = bytes.fromhex(text)
    return body + bytes([sum(body) % 256, 0x16])


def registers_of(answer):
    """Registers of an FC 03 answer whose CRC is right."""
    assert answer[-2:] == crc16(answer[:-2]), answer.hex(" ")
    assert answer[1] == 3
    assert len(answer) == 5 + answer[2]
    return [answer[i] << 8 | answer[i + 1] for i in range(3, len(answer) - 2, 2)]


def read_registers(raw, unit, start, count):
    return registers_of(raw.ask(rtu(f"{unit:02x} 03 {start:04x} {count:04x}")))


def write_registers(raw, unit, start, *values):
    """Exception code of an FC 16 request, 0 when it was echoed."""
    body = "".join(f"{value:04x}" for value in values)
    head = f"{unit:02x}10{start:04x}{len(values):04x}"
    answer = raw.ask(rtu(f"{head}{2 * len(values):02x}{body}"))
    if answer == rtu(head):
        return 0
    assert answer[:2] == bytes([unit, 0x90]), answer.hex(" ")
    return answer[2]
