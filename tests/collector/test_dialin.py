"""Devices that dial in to the running collector: DTUs and Acrel 4G meters, hand-written."""

import socket
import subprocess
import threading
import time
from datetime import timezone
from types import SimpleNamespace

import pytest

from tests.support.devices import Caller, Dtu, Meter4g, Registers, frame, pieces
from tests.support.stack import Stack, free_port, wait_for

HEARTBEAT_S = 2
IDENTITIES = {
    "imei": "860000000000001",
    "own": "DORM-A-FLOOR-3",
    "hex": "0A0B0C0D0E0F",
    "each": "860000000000002",
    "clone": "860000000000003",
    "quiet": "860000000000004",
    "beat": "860000000000005",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Odoo, a collector with two open ports, and a gateway with one meter for each identity."""
    stack = Stack(tmp_path_factory.mktemp("dialin"), [])
    try:
        ports = SimpleNamespace(dtu=free_port(), acrel=free_port())
        admin = stack.user("admin")
        place = admin.one("prepay.location", [["kind", "=", "room"]], ["id"])["id"]
        profile = admin.one("prepay.meter.profile", [["code", "=", "DDSY1352"]], ["id"])["id"]

        def gateway(name, link, identity, **values):
            key = admin.call(
                "prepay.gateway",
                "create",
                {
                    "name": name, "link": link, "dial_in_id": identity, "location_id": place,
                    "timeout_ms": 800, "heartbeat_s": HEARTBEAT_S, **values,
                },
            )  # fmt: skip
            admin.call(
                "prepay.meter",
                "create",
                {
                    "number": f"M-{name}", "gateway_id": key, "address": "1", "poll_minutes": 0.02,
                    "profile_id": profile, "location_id": place,
                },
            )  # fmt: skip

        for name, identity in IDENTITIES.items():
            extra = {"hex": {"registration_hex": True}, "each": {"registration": "each"}}
            beat = {"heartbeat": "ping"} if name != "beat" else {"heartbeat": "hex:FEFE0102"}
            gateway(name, "dtu", identity, **extra.get(name, {}), **beat)
        for number in range(1, 9):
            gateway(f"4g-{number}", "acrel_4g", f"2211010000000{number}")
        stack.start_collector(
            "--dtu-listen", f"127.0.0.1:{ports.dtu}", "--acrel-listen", f"127.0.0.1:{ports.acrel}",
            "--registration-seconds", 2, "--health", f"127.0.0.1:{free_port()}",
        )  # fmt: skip
        for port in vars(ports).values():
            wait_for(lambda port=port: reachable(port), 30, f"port {port} open", 0.2)
        yield SimpleNamespace(stack=stack, ports=ports, gateway=gateway)
    finally:
        stack.close()
        log = (stack.folder / "collector.log").read_text()
        assert "Traceback" not in log and " ERROR " not in log, log[-6000:]


def reachable(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def gateway(site, name):
    return site.stack.user("admin").one(
        "prepay.gateway",
        [["name", "=", name]],
        ["online", "signal", "iccid", "peer", "last_error", "connected_at"],
    )


def events(site, name):
    rows = site.stack.user("admin").find(
        "prepay.meter.event",
        [["gateway_id.name", "=", name], ["cleared_at", "=", False]],
        ["kind", "detail", "severity"],
    )
    return {row["kind"]: row for row in rows}


def messages(site, topic):
    return site.stack.user("operator").find(
        "prepay.meter.message", [["topic", "=", topic]], ["reason", "payload", "peer", "source"]
    )


def read(site, name, value, seconds=20):
    """Wait until the collector has read this total of the gateway's meter."""
    wait_for(
        lambda: site.stack.meter(f"M-{name}", "admin")["last_value"] == value,
        seconds,
        f"{value} Wh of {name}",
        0.2,
    )


def switch(site, name, action):
    operator = site.stack.user("admin")
    meter = site.stack.meter(f"M-{name}", "admin")
    wizard = operator.call(
        "prepay.meter.relay.wizard",
        "create",
        {"meter_ids": [[6, 0, [meter["id"]]]], "action": action, "reason": "test of the relay"},
    )
    operator.call("prepay.meter.relay.wizard", "action_confirm", [wizard])
    wait_for(
        lambda: site.stack.commands(f"M-{name}")[-1]["state"] == "confirmed",
        30,
        f"{name} {action} confirmed",
    )
    return site.stack.commands(f"M-{name}")[-1]


# --- DTU ---


def with_prefix(prefix):
    return lambda dtu, answer: dtu.send(prefix + answer)


def heartbeat_inside(dtu, answer):
    dtu.send(answer[:4])
    time.sleep(0.05)
    dtu.send(b"ping")
    time.sleep(0.05)
    dtu.send(answer[4:])


@pytest.mark.parametrize(
    ("name", "registration", "send_answer"),
    [
        ("imei", b"860000000000001", None),
        ("imei", b"+IMEI:860000000000001\r\n", pieces),
        ("imei", b"860000000000001", with_prefix(b"ping")),
        ("imei", b"860000000000001", heartbeat_inside),
        ("own", b"DORM-A-FLOOR-3", pieces),
        ("hex", bytes.fromhex("0A0B0C0D0E0F"), None),
        ("each", b"860000000000002", with_prefix(b"860000000000002")),
        ("beat", b"860000000000005", with_prefix(bytes.fromhex("FEFE0102"))),
        # The heartbeat of some DTUs is a Modbus request of which the answer of a meter arrives.
        (
            "imei",
            b"860000000000001",
            with_prefix(bytes.fromhex("010302000079 84".replace(" ", ""))),
        ),
    ],
)
def test_dtu_is_read(site, name, registration, send_answer):
    """However the DTU says who it is, and whatever it puts between the answers."""
    dtu = dial(site, name, registration, send_answer)
    assert gateway(site, name)["online"]
    dtu.hang_up()


def dial(site, name, registration, send_answer=None, source="127.0.0.1"):
    """A DTU whose meter has counted on since the test before, and was read."""
    energy = (site.stack.meter(f"M-{name}", "admin")["last_value"] or 0) + 10
    dtu = Dtu(site.ports.dtu, registration, [Registers(1, energy)], send_answer, source)
    read(site, name, energy)
    return dtu


def test_registration_in_pieces(site):
    energy = (site.stack.meter("M-imei", "admin")["last_value"] or 0) + 10
    dtu = Dtu(site.ports.dtu, b"8600000", [Registers(1, energy)])
    time.sleep(0.3)
    dtu.send(b"00000001")
    read(site, "imei", energy)
    dtu.hang_up()


def test_relay_over_dtu(site):
    dtu = dial(site, "own", b"DORM-A-FLOOR-3", pieces)
    (registers,) = dtu.meters
    assert switch(site, "own", "open")["proof"] == "control_load"
    assert not registers.closed
    switch(site, "own", "closed")
    assert registers.closed
    dtu.hang_up()


def test_unknown_device_is_shown_and_dropped(site):
    for _ in range(3):
        call = Caller(site.ports.dtu)
        call.send(b"869999999999999")
        assert call.closed.wait(5)
    (shown,) = wait_for(lambda: messages(site, "869999999999999"), 10, "message")
    assert shown["payload"] == "869999999999999"
    assert shown["peer"].startswith("127.0.0.1:")
    event = site.stack.user("operator").one(
        "prepay.meter.event",
        [["kind", "=", "unknown_device"], ["cleared_at", "=", False]],
        ["detail", "gateway_id", "count"],
    )
    assert "869999999999999" in event["detail"] and not event["gateway_id"]


def test_a_device_that_is_listed_later_is_let_in(site):
    site.gateway("new", "dtu", "NEW-DTU-0001", heartbeat="ping")

    def connected():
        dtu = Dtu(site.ports.dtu, b"NEW-DTU-0001", [Registers(1, 77_000)])
        return None if dtu.closed.wait(0.5) else dtu

    dtu = wait_for(connected, 10, "let in")
    read(site, "new", 77_000)
    dtu.hang_up()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03" + bytes(400),
    ],
)
def test_strangers_are_dropped(site, said):
    """Silent after connecting, a web scanner, more bytes than any registration has."""
    call = Caller(site.ports.dtu)
    call.send(said)
    began = time.monotonic()
    assert call.closed.wait(4)
    assert time.monotonic() - began < 3.5
    assert bytes(call.received) == b""


def test_slow_stranger_is_dropped(site):
    """A byte now and then does not hold a link open."""
    call = Caller(site.ports.dtu)
    for _ in range(20):
        call.send(b"x")
        if call.closed.wait(0.2):
            break
    assert call.closed.is_set()


def test_newest_link_wins(site):
    """Behind NAT the old link may be half open: nobody has hung up."""
    old = dial(site, "clone", b"860000000000003")
    new = dial(site, "clone", b"860000000000003")
    assert old.closed.wait(5)
    assert "takeover" not in events(site, "clone")
    new.hang_up()


def test_two_devices_with_one_identity_are_an_alarm(site):
    calls = []
    for turn in range(6):
        source = f"127.0.0.{2 + turn % 2}"
        calls.append(Dtu(site.ports.dtu, b"860000000000003", [Registers(1, 0)], source=source))
        time.sleep(0.3)
    event = wait_for(lambda: events(site, "clone").get("takeover"), 10, "alarm")
    assert event["severity"] == "alarm"
    assert "127.0.0.2" in event["detail"] and "127.0.0.3" in event["detail"]
    assert all(call.closed.wait(5) for call in calls[:-1])
    calls[-1].hang_up()


def test_a_link_that_falls_silent_is_closed(site):
    """No heartbeat and no answer for three heartbeats: closed, and the gateway is offline."""
    dtu = dial(site, "quiet", b"860000000000004")
    dtu.meters = []
    assert dtu.closed.wait(3 * HEARTBEAT_S + 3)
    wait_for(lambda: not gateway(site, "quiet")["online"], 10, "offline")
    assert "gateway_offline" in events(site, "quiet")

    dtu = Dtu(site.ports.dtu, b"860000000000004", [Registers(1, 0)])
    wait_for(lambda: gateway(site, "quiet")["online"], 10, "online")
    wait_for(lambda: "gateway_offline" not in events(site, "quiet"), 10, "alarm over")
    dtu.hang_up()


def test_a_device_that_is_back_soon_was_never_away(site):
    dtu = dial(site, "quiet", b"860000000000004")
    dtu.hang_up()
    time.sleep(HEARTBEAT_S)
    dtu = dial(site, "quiet", b"860000000000004")
    assert "gateway_offline" not in events(site, "quiet")
    dtu.hang_up()
    wait_for(lambda: not gateway(site, "quiet")["online"], 3 * HEARTBEAT_S + 5, "offline")


def test_command_waits_for_the_device(site):
    """A relay command for a device that is not on the line is carried out when it dials in."""
    operator = site.stack.user("admin")
    meter = site.stack.meter("M-hex", "admin")
    wizard = operator.call(
        "prepay.meter.relay.wizard",
        "create",
        {"meter_ids": [[6, 0, [meter["id"]]]], "action": "open", "reason": "test of the relay"},
    )
    operator.call("prepay.meter.relay.wizard", "action_confirm", [wizard])
    time.sleep(1)
    assert site.stack.commands("M-hex")[-1]["state"] in ("queued", "sent")
    registers = Registers(1, 0)
    dtu = Dtu(site.ports.dtu, bytes.fromhex("0A0B0C0D0E0F"), [registers])
    wait_for(lambda: site.stack.commands("M-hex")[-1]["state"] == "confirmed", 20, "confirmed")
    assert not registers.closed
    dtu.hang_up()


# --- Acrel 4G ---


def test_4g_login_time_and_reading(site):
    meter = Meter4g(site.ports.acrel, "22110100000001", Registers(1, 123_450))
    wait_for(lambda: meter.got(0x84) == 1, 5, "login answered")
    meter.send(b"{{" + b"\x93" + meter.serial + bytes.fromhex("0000") + b"}}")  # wrong CRC
    meter.send(frame(0x93, meter.serial))
    wait_for(lambda: meter.got(0x93), 5, "time answered")
    body = next(body for kind, body in meter.frames if kind == 0x93)
    local = time.gmtime(time.time() + 8 * 3600)
    assert len(body) == 7 and body[:3] == bytes((local.tm_year - 2000, local.tm_mon, local.tm_mday))
    assert abs((body[4] * 60 + body[5]) - (local.tm_hour * 60 + local.tm_min)) <= 1
    meter.send(bytes.fromhex("7B7B94BEEF7D7D"))  # heartbeat
    read(site, "4g-1", 123_450)
    shown = wait_for(lambda: gateway(site, "4g-1")["iccid"] and gateway(site, "4g-1"), 10, "SIM")
    assert (shown["signal"], shown["iccid"]) == (21, "89860400000000000001")
    assert shown["peer"].startswith("127.0.0.1:")
    assert not meter.closed.is_set()
    meter.hang_up()


def test_4g_relay_answered_with_the_serial_only(site):
    """The bare acknowledgement is no proof: the registers are read back."""
    registers = Registers(1, 55_000)
    meter = Meter4g(site.ports.acrel, "22110100000002", registers)
    read(site, "4g-2", 55_000)
    assert switch(site, "4g-2", "open")["proof"] == "control_load"
    assert registers.written == [(0x57, bytes.fromhex("00010001"))]
    assert not registers.closed
    meter.hang_up()


def stored(site, name):
    """Readings of the total by time."""
    with site.stack.database.connect() as connection:
        return connection.execute(
            "SELECT d.read_at, d.value FROM prepay_reading_data d JOIN prepay_meter m ON m.id = d.meter_id "
            "WHERE m.number = %s AND d.channel = 1 ORDER BY d.read_at",
            [f"M-{name}"],
        ).fetchall()


def test_4g_push_is_stored_at_the_device_time_and_then_answered(site):
    """Kept since yesterday by a meter that has the right time; sent again when nobody answered."""
    meter = Meter4g(site.ports.acrel, "22110100000003", Registers(1, 42_000))
    read(site, "4g-3", 42_000)
    meter.send(frame(0x93, meter.serial))
    taken = int(time.time()) - 86_400
    for answered in (1, 2):
        meter.push(data=meter.block(time.gmtime(taken + 8 * 3600)))
        wait_for(lambda answered=answered: meter.got(0x91) == answered, 10, "push answered")
        old = [row for row in stored(site, "4g-3") if row[0].timestamp() < time.time() - 3600]
        ((at, value),) = old
        assert at.replace(tzinfo=timezone.utc).timestamp() == taken
        assert value == 42_000
    meter.hang_up()


def test_4g_push_without_serial_and_with_tail_bytes_inside(site):
    """`7D 7D` in the data; no serial number on a link that is identified."""
    meter = Meter4g(site.ports.acrel, "22110100000004", Registers(1, 0x7D7D * 10))
    wait_for(lambda: meter.got(0x84), 5, "login answered")
    meter.push(serial=b"")
    wait_for(lambda: meter.got(0x91) == 1, 10, "push answered")
    wait_for(lambda: stored(site, "4g-4"), 10, "stored when a second value agrees")
    assert {value for _at, value in stored(site, "4g-4")} == {0x7D7D * 10}
    meter.hang_up()


def test_4g_push_for_another_serial_is_not_believed(site):
    meter = Meter4g(site.ports.acrel, "22110100000005", Registers(1, 99_000))
    meter.silent = True
    wait_for(lambda: meter.got(0x84), 5, "login answered")
    meter.push(serial=b"22110100000006".ljust(20, b"\0"))
    meter.push(unit=9)
    wait_for(lambda: len(messages(site, "22110100000005")) == 2, 10, "both named")
    assert stored(site, "4g-5") == [] and stored(site, "4g-6") == []
    meter.hang_up()


def test_4g_without_identity_is_not_heard(site):
    """A push or a heartbeat on a link that has not logged in."""
    meter = Meter4g(site.ports.acrel, "22110100000005", Registers(1, 1), log_in=False)
    meter.push(serial=b"")
    meter.send(bytes.fromhex("7B7B94BEEF7D7D"))
    assert meter.closed.wait(5)
    assert meter.frames == []


def test_4g_another_sim_card(site):
    first = Meter4g(site.ports.acrel, "22110100000006", Registers(1, 1))
    wait_for(lambda: gateway(site, "4g-6")["iccid"], 10, "first card")
    first.hang_up()
    second = Meter4g(
        site.ports.acrel, "22110100000006", Registers(1, 1), iccid="89860400000000000099"
    )
    event = wait_for(lambda: events(site, "4g-6").get("sim_changed"), 10, "event")
    assert "89860400000000000001" in event["detail"]
    assert "89860400000000000099" in event["detail"]
    second.hang_up()


def test_4g_channel_is_closed_after_a_time_out(site):
    """A late answer could be taken for that to the next request; the meter dials in anew."""
    meter = Meter4g(site.ports.acrel, "22110100000007", Registers(1, 5_000))
    meter.silent = True
    assert meter.closed.wait(10)
    again = Meter4g(site.ports.acrel, "22110100000007", Registers(1, 5_000))
    read(site, "4g-7", 5_000)
    again.hang_up()


# --- many ---


def test_500_links_at_once(site):
    """A power cut ends: all devices dial in within the same second."""
    admin = site.stack.user("admin")
    like = admin.one("prepay.gateway", [["name", "=", "imei"]], ["location_id"])
    admin.call(
        "prepay.gateway",
        "create",
        [
            {
                "name": f"many-{n}", "link": "acrel_4g", "dial_in_id": f"3300{n:010d}",
                "location_id": like["location_id"][0], "heartbeat_s": 60,
            }
            for n in range(500)
        ],
    )  # fmt: skip
    time.sleep(1)
    began = time.monotonic()
    meters = []
    lock = threading.Lock()

    def dial(numbers):
        for n in numbers:
            meter = Meter4g(site.ports.acrel, f"3300{n:010d}", Registers(1, 1))
            with lock:
                meters.append(meter)

    threads = [threading.Thread(target=dial, args=(range(k, 500, 10),)) for k in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: sum(m.got(0x84) for m in meters) == 500, 30, "500 logins answered", 0.1)
    print(f"\n500 devices served {time.monotonic() - began:.1f} s after the first dialled in")
    with site.stack.database.connect() as connection:
        (online,) = wait_for(
            lambda: connection.execute(
                "SELECT count(*) FROM prepay_gateway g JOIN prepay_gateway_state s ON s.id = g.state_id "
                "WHERE g.name LIKE 'many-%' AND s.online AND s.signal = 21 HAVING count(*) = 500"
            ).fetchone(),
            20,
            "500 online",
        )
    assert online == 500
    assert not any(meter.closed.is_set() for meter in meters)
    for meter in meters:
        meter.hang_up()


# --- options ---


def start(site, *options, section=""):
    """Output of a collector that cannot start."""
    config = site.stack.folder / "bad.conf"
    config.write_text(site.stack.config.read_text() + section)
    command = site.stack.database.odoo(config, "prepay_collector", *options)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1, ended.stderr
    return ended.stderr.strip().splitlines()[-1]


def test_option_that_is_no_address(site):
    assert "dtu-listen: “nonsense” is not HOST:PORT" in start(site, "--dtu-listen", "nonsense")


def test_port_that_is_taken(site):
    said = start(site, "--name", "other", "--acrel-listen", f"127.0.0.1:{site.ports.acrel}")
    assert f"cannot listen on 127.0.0.1:{site.ports.acrel}" in said


def test_section_of_the_configuration_file(site):
    taken = f"127.0.0.1:{site.ports.dtu}"
    said = start(site, section=f"[prepay_collector]\nname = other\ndtu_listen = {taken}\n")
    assert f"cannot listen on {taken}" in said


def test_unknown_option_in_the_configuration_file(site):
    said = start(site, section="[prepay_collector]\nlisten = 1\n")
    assert "unknown option “listen”" in said and "dtu-listen" in said


def test_secret_that_cannot_be_read(site):
    said = start(site, "--mqtt", "127.0.0.1:1", "--mqtt-password-file", "/nonexistent")
    assert "mqtt-password-file" in said


def test_authorities_that_cannot_be_read(site):
    said = start(site, "--name", "x", "--mqtt", "127.0.0.1:1", "--mqtt-tls", "--mqtt-ca", "/none")
    assert "mqtt-ca" in said
