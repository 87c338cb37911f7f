"""Gateways that dial in: the test is the server and speaks hand-built bytes."""

import socket
import time

import pytest

from odoo.addons.prepay_meter.simulator.simulation import in_thread

from .common_protocol import VECTORS
from .common_simulator import SILENCE, crc16, fault, http, rtu, until

IMEI = "866123456789012"
SERIAL = "12307210720085"
PADDED = SERIAL.encode() + bytes(6)


class Server:
    """Accepts the links of a gateway."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"
        self.links = []

    def accept(self, wait=3.0):
        self.listening.settimeout(wait)
        link, _ = self.listening.accept()
        self.links.append(link)
        return link

    def close(self):
        for link in self.links:
            link.close()
        self.listening.close()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def hear(link, wait=5, pause=0.06):
    """Bytes of one burst."""
    heard = b""
    link.settimeout(wait)
    while True:
        try:
            data = link.recv(1024)
        except TimeoutError:
            return heard
        if not data:
            raise ConnectionError("closed")
        heard += data
        link.settimeout(pause)


def pieces(link, wait=1):
    """The same, one item for each packet."""
    found = []
    link.settimeout(wait)
    while True:
        try:
            found.append(link.recv(1024))
        except TimeoutError:
            return found


def dtu(server, **options):
    meter = {"protocol": "modbus_ddsy1352", "address": 1, "energy_wh": 700_000, "power_w": 0}
    gateway = {
        "name": "DTU", "kind": "dtu", "connect": server.address, "delay_ms": 1,
        "registration": IMEI, "heartbeat_s": 0, "reconnect_ms": 50, "reconnect_max_ms": 100,
        "meters": [meter], **options,
    }  # fmt: skip
    return in_thread({"gateways": [gateway]})


READ = rtu("01 03 0000 0002")
ANSWER = rtu("01 03 04 0001 1170")


# ---- DTU


def test_dtu_registers_and_answers(server):
    with dtu(server) as running:
        link = server.accept()
        assert hear(link) == IMEI.encode()
        link.sendall(READ)
        assert hear(link) == ANSWER
        found = http(running, "GET", "/gateways/DTU")[1]
        assert (found["connected"], found["connect"]) == (True, server.address)
        assert found["port"] is None
        link.close()
        again = server.accept()
        assert hear(again) == IMEI.encode(), "it dials again"
        assert http(running, "GET", "/gateways/DTU")[1]["connections"] == 2


def test_dtu_registration_before_each_packet(server):
    options = {"registration_when": "packet", "registration_hex": "AA55", "registration": ""}
    with dtu(server, **options):
        link = server.accept()
        link.sendall(READ)
        assert hear(link) == b"\xaa\x55" + ANSWER
    with dtu(server, registration_when="both"):
        link = server.accept()
        assert hear(link) == IMEI.encode()
        link.sendall(READ)
        assert hear(link) == IMEI.encode() + ANSWER
    with dtu(server, registration_when="never"):
        link = server.accept()
        link.sendall(READ)
        assert hear(link) == ANSWER


def test_dtu_heartbeats(server):
    with dtu(server, heartbeat_s=0.05):
        link = server.accept()
        link.settimeout(5)
        heard = b""
        while len(heard) < len(IMEI) + 8:
            heard += link.recv(100)
        assert heard.startswith(IMEI.encode() + b"pingping")
    with dtu(server, heartbeat_s="0.05", heartbeat_hex="FE", registration=""):
        assert server.accept().recv(10).strip(b"\xfe") == b""
    with dtu(server, heartbeat_s=0.1, heartbeat_read=[1, 0, 2]):
        link = server.accept()
        assert link.recv(100) == IMEI.encode()
        link.settimeout(1)
        assert link.recv(100) == ANSWER, "unsolicited"


def test_dtu_splits_and_packs(server):
    with dtu(server, split_bytes=4, split_gap_ms=30, registration="") as running:
        link = server.accept()
        link.sendall(READ)
        assert [len(piece) for piece in pieces(link)] == [4, 4, 1]
        http(running, "POST", "/gateways/DTU", {"split_bytes": 0, "pack_ms": 100})
        link.sendall(READ)
        time.sleep(0.02)
        link.sendall(READ)
        assert pieces(link) == [2 * ANSWER], "two answers in one packet"


def test_dtu_can_be_sent_elsewhere_and_stopped(server):
    other = Server()
    with dtu(server) as running:
        first = server.accept()
        hear(first)
        http(running, "POST", "/gateways/DTU", {"connect": other.address})
        assert hear(other.accept()) == IMEI.encode()
        with pytest.raises(ConnectionError):
            hear(first)
        http(running, "POST", "/gateways/DTU", {"online": False})
        found = http(running, "GET", "/gateways/DTU")[1]
        assert (found["connected"], found["online"], found["since"]) == (False, False, None)
        assert http(running, "POST", "/gateways/DTU", {"connect": "nowhere"})[0] == 400
        http(running, "POST", "/gateways/DTU", {"online": True})
        assert hear(other.accept()) == IMEI.encode()
    other.close()


def test_dtu_waits_longer_and_longer_for_a_server_that_is_away(server):
    address, server_socket = server.address, server.listening
    server_socket.close()
    gateway = {"name": "D", "kind": "dtu", "connect": address, "reconnect_ms": 10}
    with in_thread({"gateways": [gateway]}) as running:
        until(lambda: http(running, "GET", "/gateways/D")[1]["last_error"])
        found = http(running, "GET", "/gateways/D")[1]
        assert found["connected"] is False
        assert (
            "refused" in found["last_error"].lower()
            or "Connect call failed" in (found["last_error"])
        )


def test_half_open_link(server):
    """The old link stays open and mute while the same DTU is there again."""
    with dtu(server) as running:
        old = server.accept()
        hear(old)
        http(running, "POST", "/gateways/DTU", {"abandon": True})
        new = server.accept()
        assert hear(new) == IMEI.encode()
        old.sendall(READ)
        assert hear(old, SILENCE) == b"", "no answer, no close"
        new.sendall(READ)
        assert hear(new) == ANSWER


def test_power_failure_of_a_building(server):
    meter = {"protocol": "modbus_ddsy1352", "address": 1, "energy_wh": 100_000, "power_w": 3600,
             "speed": 1000}  # fmt: skip
    with dtu(server, meters=[meter]) as running:
        link = server.accept()
        hear(link)
        assert http(running, "POST", "/gateways/DTU", {"power": False})[1]["power"] is False
        link.sendall(READ)
        assert hear(link, SILENCE) == b"", "mute, not closed"
        kept = http(running, "GET", "/meters/1")[1]
        assert (kept["powered"], kept["power_w"], kept["voltage_mv"]) == (False, 0, 0)
        time.sleep(0.05)
        assert http(running, "GET", "/meters/1")[1]["energy_wh"] == kept["energy_wh"]
        http(running, "POST", "/gateways/D*", {"power": True})
        assert hear(server.accept()) == IMEI.encode()
        until(lambda: http(running, "GET", "/meters/1")[1]["energy_wh"] > kept["energy_wh"])
        assert http(running, "GET", "/meters/1")[1]["relay"] == "closed"


# ---- Acrel 4G


def envelope(command, body=b""):
    content = bytes([command]) + body
    return b"\x7b\x7b" + content + crc16(content) + b"\x7d\x7d"


def published(meaning):
    return next(
        bytes.fromhex(vector["hex"])
        for vector in VECTORS
        if vector["protocol"] == "acrel-7b7b" and vector["meaning"].startswith(meaning)
    )


TIME_REPLY = published("time reply")


def meter_4g(server, **options):
    meter = {
        "protocol": "modbus_ddsy1352", "address": 1, "energy_wh": 700_000, "power_w": 0,
        **options.pop("meter", {}),
    }  # fmt: skip
    gateway = {
        "name": "4G", "kind": "acrel_4g", "connect": server.address, "delay_ms": 1,
        "serial": SERIAL, "iccid": "898604282219C0423610", "interval_s": 1800, "heartbeat_s": 0,
        "reconnect_ms": 50, "answer_s": 5, "meters": [meter], **options,
    }  # fmt: skip
    return in_thread({"gateways": [gateway]})


def log_in(server):
    """A link that is logged in; the first push is answered."""
    link = server.accept()
    hear(link)
    link.sendall(envelope(0x84))
    hear(link)
    link.sendall(TIME_REPLY)
    push = hear(link)
    link.sendall(envelope(0x91))
    return link, push


def pushed(raw):
    """Registers of a push: serial, address, Modbus answer with a right CRC."""
    assert raw[:3] == b"\x7b\x7b\x91"
    assert raw[-4:-2] == crc16(raw[2:-4])
    body = raw[3:-4]
    start = body.index(b"[[")
    address, _, rest = body[start + 2 :].partition(b"((")
    size = rest[2]
    answer = rest[: size + 5]
    assert answer[-2:] == crc16(answer[:-2])
    assert rest[size + 5 :] == b"))]]"
    return body[:start], address, answer[3:-2]


def test_4g_login_and_time_as_published(server):
    with meter_4g(server) as running:
        link = server.accept()
        assert hear(link) == published("login"), "byte by byte"
        assert http(running, "GET", "/gateways/4G")[1]["logged_in"] is False
        link.sendall(envelope(0x84))
        assert hear(link) == published("time request")
        link.sendall(TIME_REPLY)
        assert hear(link)[:3] == b"\x7b\x7b\x91"
        found = http(running, "GET", "/gateways/4G")[1]
        assert (found["logged_in"], found["connected"], found["serial"]) == (True, True, SERIAL)
        assert http(running, "GET", "/meters/1")[1]["clock"].startswith("2021-10-21T19:36:4")


def test_4g_gives_up_without_a_login_answer(server):
    with meter_4g(server, answer_s=0.5):
        link = server.accept()
        assert hear(link) == published("login")
        with pytest.raises(ConnectionError):
            hear(link)
        assert hear(server.accept()) == published("login"), "and tries again"


@pytest.mark.parametrize(("push", "size", "clock"), [("0x60", 0x60, 7), ("0x90", 0x90, 6)])
def test_4g_pushes_blocks(server, push, size, clock):
    with meter_4g(server, push=push, interval_s=0.2, meter={"power_w": 800}) as running:
        link, first = log_in(server)
        serial, address, block = pushed(first)
        assert (serial, address, len(block)) == (PADDED, b"1-1", size)
        assert int.from_bytes(block[42:46], "big") == 70_000
        assert sum(int.from_bytes(block[i : i + 4], "big") for i in (46, 50, 54, 58)) == 70_000
        assert int.from_bytes(block[20:22], "big") == 800
        at = block[80 : 80 + clock]
        assert (at[:3], at[-3:-1]) == (bytes([21, 10, 21]), bytes([19, 36]))
        assert not any(block[80 + clock :])
        second = hear(link)
        assert pushed(second)[2][42:46] == block[42:46]
        link.sendall(envelope(0x91))
        assert http(running, "GET", "/gateways/4G")[1]["pushes"] >= 1
        fault(running, "1", spike_wh=10_000)
        link.sendall(envelope(0x91))
        third = hear(link)
        assert int.from_bytes(pushed(third)[2][42:46], "big") == 71_000


def test_4g_heartbeat_and_no_serial_in_data(server):
    with meter_4g(server, heartbeat_s=0.1, serial_in_data=False):
        link, push = log_in(server)
        assert pushed(push)[0] == b""
        assert hear(link, pause=0.02).startswith(published("heartbeat"))


def test_4g_drops_the_link_when_data_is_not_answered(server):
    with meter_4g(server, answer_s=1):
        link = server.accept()
        hear(link)
        link.sendall(envelope(0x84))
        hear(link)
        link.sendall(TIME_REPLY)
        hear(link)
        with pytest.raises(ConnectionError):
            hear(link)


def test_4g_tunnel(server):
    with meter_4g(server) as running:
        link, _ = log_in(server)
        link.sendall(envelope(0x90, READ))
        assert hear(link) == envelope(0x90, PADDED + ANSWER)
        trip = rtu("01 10 0057 0002 04 0001 0001")
        link.sendall(envelope(0x90, trip))
        assert hear(link) == envelope(0x90, PADDED), "serial only after a write"
        assert http(running, "GET", "/meters/1")[1]["relay"] == "open"
        http(running, "POST", "/gateways/4G", {"serial_only_after_write": False})
        link.sendall(envelope(0x90, trip))
        assert hear(link) == envelope(0x90, PADDED + rtu("01 10 0057 0002"))
        http(running, "POST", "/gateways/4G", {"serial_in_answers": False})
        link.sendall(b"\x7b\x7b" + envelope(0x90, READ))
        assert hear(link) == envelope(0x90, ANSWER), "a false start before it"
        fault(running, "1", silent=True)
        link.sendall(envelope(0x90, READ))
        assert hear(link, SILENCE) == b""


def test_4g_refuses_other_meters(server):
    with (
        pytest.raises(ValueError, match="no meter of dlt645"),
        meter_4g(server, meter={"protocol": "dlt645", "address": "202611000001"}),
    ):
        pass


def test_two_hundred_meters_dial_in(server):
    fleet = {
        "name": "4G-{n:3}", "kind": "acrel_4g", "count": 200, "connect": server.address,
        "serial_from": "20260000000001", "heartbeat_s": 0, "answer_s": 10,
        "meters": [{"protocol": "modbus_ddsy1352", "address": 1, "label": "A-{n:3}"}],
    }  # fmt: skip
    server.listening.listen(256)
    with in_thread({"gateways": [fleet]}) as running:
        seen = set()
        for _ in range(200):
            link = server.accept()
            link.settimeout(3)
            seen.add(link.recv(100)[3:17])
        assert seen == {f"{20260000000001 + i}".encode() for i in range(200)}
        meters = http(running, "GET", "/meters")[1]
        assert [meter["label"] for meter in meters[:2]] == ["A-001", "A-002"]
        gateways = http(running, "POST", "/gateways/4G-*", {"online": False})[1]
        assert len(gateways) == 200
