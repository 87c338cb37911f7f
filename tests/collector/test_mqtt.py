"""MQTT gateways: a real broker, the running collector, devices written by hand."""

import itertools
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests

from tests.support import processes
from tests.support.mqtt import Broker, Device, JsonMeter, password_line
from tests.support.site import Site
from tests.support.stack import free_port, wait_for

_numbers = itertools.count(1)


class Place(Site):
    """A site whose gateways speak MQTT."""

    def __init__(self, folder, broker):
        super().__init__(folder, "mqtt")
        self.broker = broker
        self.health = ""

    def meter(self, form="json", product="", profile="MQTT", address="", minutes=5):
        """A gateway with one meter: its identity, and the ids of both."""
        identity = f"GW{next(_numbers):04d}"
        (gateway,) = self.gateways(
            [("", 0)], "mqtt", dial_in_id=identity, mqtt_form=form, product_key=product
        )
        self.rows_changed("UPDATE prepay_gateway SET name = dial_in_id WHERE id = %s", gateway)
        (meter,) = self.meters(
            [gateway], 1, self.profile_id(profile), minutes,
            address=f"'{address or 'M-' + identity}'", number=f"'N-{identity}'",
        )  # fmt: skip
        self.announce()
        time.sleep(0.5)
        return identity, gateway, meter

    def rows_changed(self, query, *arguments):
        self.connection.execute(query, arguments)

    def serve(self, name="one", env=None, **options):
        port = free_port()
        self.health = f"http://127.0.0.1:{port}/health"
        process = self.start_collector(
            env, mqtt=self.broker.at, name=name, health=f"127.0.0.1:{port}", **options
        )
        wait_for(lambda: self.healthy(process), 30, "the collector is connected")
        return process

    def healthy(self, process):
        assert process.poll() is None, self.log_of(process)[-3000:]
        try:
            return requests.get(self.health, timeout=5).json()["mqtt_connected"]
        except (requests.ConnectionError, KeyError):
            return False

    def messages(self, topic):
        return self.rows(
            "SELECT reason, payload, gateway_id FROM prepay_meter_message WHERE topic = %s", topic
        )

    def wait_reading(self, meter, value, seconds=20):
        wait_for(
            lambda: self.state(meter)["last_value"] == value, seconds, f"{value} of {meter}", 0.1
        )

    def confirmed(self, command, seconds=30):
        wait_for(
            lambda: self.command(command)["state"] == "confirmed", seconds,
            f"confirmed: {self.command(command)}", 0.1,
        )  # fmt: skip
        return self.command(command)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    made = Broker(tmp_path_factory.mktemp("broker"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory, broker):
    made = Place(tmp_path_factory.mktemp("place"), broker)
    try:
        made.process = made.serve()
        yield made
        for process in made.collectors:
            log = made.log_of(process)
            assert "Traceback" not in log, log[-5000:]
    finally:
        made.close()


def known(place, energy=1000):
    """A meter that has been read: a first value counts when a second one agrees."""
    identity, gateway, meter = place.meter()
    device = JsonMeter(place.broker, identity, f"M-{identity}")
    device.energy = energy
    device.report(age=20)
    device.report(age=10)
    place.wait_reading(meter, energy)
    return device, gateway, meter


def test_report_is_stored(place):
    device, gateway, meter = known(place)
    device.energy += 10
    device.report(voltage=230_100, current=2_200, remaining=4_550)
    place.wait_reading(meter, 1010)
    state = place.state(meter)
    assert (state["online"], state["power_w"], state["relay_reported"]) == (True, 500, "closed")
    assert (state["voltage_mv"], state["remaining_fen"]) == (230_100, 4_550)
    assert place.one("SELECT s.online FROM prepay_gateway g JOIN prepay_gateway_state s"
                     " ON s.id = g.state_id WHERE g.id = %s", gateway)  # fmt: skip
    assert place.rows("SELECT voltage FROM prepay_reading_electrical_data WHERE meter_id = %s"
                      " AND voltage = 230100", meter)  # fmt: skip
    device.close()


def test_meter_is_meant_by_its_number_too(place):
    device, _gateway, meter = known(place)
    device.meter = f"N-{device.gateway}"
    device.energy += 10
    device.report()
    place.wait_reading(meter, 1010)
    device.close()


def test_disorder_and_duplicates(place):
    """Each reading once, at its own time; the newest report says how the relay stands."""
    device, _gateway, meter = known(place)
    before = len(place.readings(meter))
    now = int(time.time())
    ages = [3, 1, 2, 1, 3, 2]
    for age in ages:
        at = datetime.fromtimestamp(now - age, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        values = {"energy": 1100 - 10 * age, "relay": "closed" if age == 1 else "open", "power": 0}
        reading = {"meter": device.meter, "time": at, "values": values}
        for _again in range(2):
            device.send(f"prepay/v1/{device.gateway}/up", reading)
    place.wait_reading(meter, 1090)
    wait_for(lambda: len(place.readings(meter)) == before + 3, 10, "late ones stored")
    time.sleep(1)
    assert [row["value"] for row in place.readings(meter)][before:] == [1070, 1080, 1090]
    assert place.state(meter)["relay_reported"] == "closed"
    device.close()


def test_days_of_the_past(place):
    """A device that was cut off sends what it kept, newest first."""
    device, _gateway, meter = known(place, energy=100_000)
    day = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=2)
    readings = [
        {
            "meter": device.meter,
            "time": (day + timedelta(minutes=15 * step)).isoformat(),
            "values": {"energy": 50_000 + 100 * step, "relay": "open"},
        }
        for step in reversed(range(100))
    ]
    device.send(f"prepay/v1/{device.gateway}/up", {"readings": readings})
    wait_for(lambda: len(place.readings(meter)) >= 101, 20, "all stored")
    stored = [row for row in place.readings(meter) if row["value"] < 100_000]
    assert [row["value"] for row in stored] == [50_000 + 100 * step for step in range(100)]
    assert place.state(meter)["relay_reported"] == "closed"
    assert place.state(meter)["last_value"] == 100_000
    device.close()


def test_meter_of_another_gateway_is_never_credited(place):
    """Credit goes to the meter whose serial a message carries under the gateway of its topic (R-10)."""
    device, _gateway, meter = known(place)
    other, _other_gateway, other_meter = known(place)
    device.meter, device.energy = other.meter, 77_000
    device.report()
    topic = f"prepay/v1/{device.gateway}/up"
    (row,) = wait_for(lambda: place.messages(topic), 10, "named")
    assert other.meter in row["reason"]
    for key in (meter, other_meter):
        assert {row["value"] for row in place.readings(key)} == {1000}
    device.close()
    other.close()


POISON = [
    b"\xff\xfe\x00",
    b"",
    b"{",
    b'{"readings": NaN}',
    b'{"readings": [{"meter": "M", "values": {"energy": 1e400}}]}',
    b"[" * 100_000,
    b"[1, 2]",
    b'"text"',
    b"x" * 300_000,
    b'{"readings": 5}',
    b'{"readings": [{"meter": "M\\u0000", "values": {"energy": 5}}]}',
]


def test_poison_does_not_hold_up_what_is_behind_it(place):
    device, gateway, meter = known(place)
    topic = f"prepay/v1/{device.gateway}/up"
    for payload in POISON:
        device.send(topic, payload)
    device.energy += 10
    device.report()
    place.wait_reading(meter, 1010)
    rows = wait_for(lambda: len(place.messages(topic)) >= 7 and place.messages(topic), 10, "kept")
    assert {row["gateway_id"] for row in rows} == {gateway}
    assert max(len(row["payload"]) for row in rows) <= 3 * 4096
    assert "FF FE 00" in {row["payload"] for row in rows}
    assert "message" in place.events(gateway_id=gateway)
    # Acknowledged: they do not come again when the collector does.
    processes.stop(place.process)
    place.rows_changed("DELETE FROM prepay_meter_message")
    place.process = place.serve()
    device.energy += 10
    device.report()
    place.wait_reading(meter, 1020)
    assert place.messages(topic) == []
    device.close()


def test_unknown_device_is_shown(place):
    device = Device(place.broker, "stranger")
    for _ in range(3):
        device.send("prepay/v1/NOBODY/up", {"meter": "1", "values": {"energy": 5}})
    (row,) = wait_for(lambda: place.messages("prepay/v1/NOBODY/up"), 10, "shown once")
    assert row["gateway_id"] is None
    wait_for(
        lambda: place.rows("SELECT 1 FROM prepay_meter_event WHERE kind = 'unknown_device'"
                           " AND cleared_at IS NULL"), 10, "event",
    )  # fmt: skip
    device.close()


def test_kill_between_receipt_and_commit(place):
    """What was received and not stored comes again; stored once."""
    device, _gateway, meter = known(place)
    before = len(place.readings(meter))
    with place.database.connect() as blocker:
        blocker.execute("LOCK TABLE prepay_reading_data IN ACCESS EXCLUSIVE MODE")
        for step in range(1, 6):
            device.energy += 10
            device.report(age=6 - step)
        time.sleep(1.5)
        place.process.kill()
        place.process.wait()
        blocker.rollback()
    assert len(place.readings(meter)) == before
    place.process = place.serve()
    place.wait_reading(meter, 1050)
    time.sleep(1)
    rows = place.readings(meter)[before:]
    assert [row["value"] for row in rows] == [1010, 1020, 1030, 1040, 1050], rows
    device.close()


def test_messages_wait_while_no_collector_runs(place):
    device, _gateway, meter = known(place)
    processes.stop(place.process)
    device.energy += 10
    device.report()
    time.sleep(1)
    assert place.state(meter)["last_value"] == 1000
    place.process = place.serve()
    place.wait_reading(meter, 1010)
    device.close()


def test_broker_restart(place):
    """The collector comes back by itself, to its kept session."""
    device, _gateway, meter = known(place)
    for stop in (place.broker.stop, place.broker.kill):
        stop()
        wait_for(lambda: not place.healthy(place.process), 10, "noticed")
        trouble = requests.get(place.health, timeout=5).json()["troubles"]
        assert any("MQTT" in text for text in trouble)
        place.broker.start()
        wait_for(lambda: place.healthy(place.process), 20, "connected again")
        wait_for(lambda: device.client.is_connected(), 10, "device connected again")
        device.energy += 10
        device.report()
        place.wait_reading(meter, device.energy)
    assert "kept session" in place.log_of(place.process)
    device.close()


def test_another_client_takes_the_name(place):
    """No fight over the name: the collector says so, waits, and comes back."""
    device, _gateway, meter = known(place)
    intruder = Device(place.broker, f"prepay-{place.database.name}-one", version=5)
    wait_for(lambda: not place.healthy(place.process), 10, "dropped")
    wait_for(
        lambda: "another MQTT client uses the name"
        in str(requests.get(place.health, timeout=5).json()["troubles"]), 30, "named",
    )  # fmt: skip
    intruder.close()
    wait_for(lambda: place.healthy(place.process), 40, "back")
    time.sleep(1)
    device.energy += 10
    device.report()
    place.wait_reading(meter, 1010)
    device.close()


# --- commands ---


@pytest.mark.parametrize("reports", [True, False])
def test_relay(place, reports):
    """Confirmed by a report; a device that does not report by itself is asked."""
    device, _gateway, meter = known(place)
    device.reports = reports
    for target in ("open", "closed"):
        command = place.confirmed(place.wish(meter, target))
        assert device.relay == target
        assert command["proof"] == "status_load"
        assert command["attempts"] == 1
        assert place.state(meter)["relay_reported"] == target
    assert [row["target"] for row in device.commands] == ["open", "closed"]
    assert len({row["id"] for row in device.commands}) == 2
    expires = datetime.fromisoformat(device.commands[0]["expires"].replace("Z", "+00:00"))
    assert timedelta(0) < expires - datetime.now(timezone.utc) <= timedelta(seconds=30)
    device.close()


def test_acknowledged_and_not_moved_is_never_confirmed(place):
    device, _gateway, meter = known(place)
    device.stuck = device.reports = True
    command = place.wish(meter, "open")
    wait_for(lambda: "relay_mismatch" in place.events(meter_id=meter), 40, "alarm")
    assert place.command(command)["state"] == "sent"
    device.stuck = False
    place.confirmed(command, 60)
    device.close()


def test_old_report_is_no_proof(place):
    """A report from before the command, that arrives after it."""
    device, _gateway, meter = known(place)
    device.stuck = True
    command = place.wish(meter, "open")
    wait_for(lambda: device.commands, 10, "command published")
    device.relay = "open"
    device.report(age=60)
    device.relay = "closed"
    time.sleep(6)
    assert place.command(command)["state"] == "sent"
    device.stuck = False
    place.wish(meter, "closed")
    device.close()


def test_refusal_of_the_device(place):
    device, _gateway, meter = known(place)
    device.refuses = "503"
    command = place.wish(meter, "open")
    wait_for(lambda: "503" in (place.command(command)["detail"] or ""), 10, "refusal noted")
    device.refuses = ""
    place.confirmed(command, 60)
    device.close()


def test_device_that_is_not_connected(place):
    """The broker tells that nobody listens; the command waits and runs when the device is back."""
    device, gateway, meter = known(place)
    device.close()
    command = place.wish(meter, "closed")
    detail = wait_for(lambda: place.command(command)["detail"], 20, "postponed")
    assert "no device of this identity" in detail
    wait_for(lambda: "gateway_offline" in place.events(gateway_id=gateway), 10, "offline")
    assert not place.state(meter)["online"]
    device = JsonMeter(place.broker, device.gateway, device.meter, reports=True)
    place.confirmed(command, 60)
    wait_for(lambda: "gateway_offline" not in place.events(gateway_id=gateway), 10, "back")
    device.close()


def test_cut_that_expired_is_not_sent(place):
    device, _gateway, meter = known(place)
    device.close()
    command = place.wish(meter, "open", expires_s=2)
    wait_for(lambda: place.command(command)["state"] == "expired", 20, "expired")
    device = JsonMeter(place.broker, device.gateway, device.meter)
    time.sleep(2)
    assert device.commands == []
    device.close()


def test_read_now(place):
    device, _gateway, meter = known(place)
    device.energy += 10
    place.read_now(meter)
    place.wait_reading(meter, 1010)
    assert [document["command"] for _topic, document in device.heard] == ["read"]
    device.close()


def test_silent_meter_is_asked_and_then_offline(place):
    identity, _gateway, meter = place.meter(minutes=0.03)
    device = JsonMeter(place.broker, identity, f"M-{identity}")
    wait_for(lambda: device.heard, 20, "asked by itself")
    place.wait_reading(meter, 1000)
    device.close()


# --- Acrel ---


class AcrelGateway(Device):
    """Sends no data before login, time and topology are answered."""

    def __init__(self, broker, product, serial, key="msgid"):
        self.product, self.serial, self.key = product, serial, key
        self.epi, self.on, self.number = 12.34, 1, itertools.count(1)
        super().__init__(
            broker, serial, f"sys/server/{product}/{serial}", f"indicate/server/{product}/{serial}",
            obey=AcrelGateway._obey,
        )  # fmt: skip

    def say(self, topic, method, **more):
        document = {self.key: next(self.number), "method": method, "sn": self.serial,
                    "timestamp": int(time.time()), **more}  # fmt: skip
        self.send(f"{topic}/{self.product}/{self.serial}", document)

    def answers(self, method):
        return [
            doc for topic, doc in self.heard if "sys/server" in topic and doc["method"] == method
        ]

    def update(self):
        reported = {"EPI": self.epi, "P": 0.5 * self.on, "Ua": 220.1, "SwitchSta": self.on}
        self.say("data/up", "update", reported=reported)

    def _obey(self, topic, document):
        if "indicate" not in topic:
            return
        payload = document["payload"]
        if payload["method"] == "FORCESWITCH":
            assert payload["do1"] == payload["ForceSwitch"]
            self.on = payload["ForceSwitch"]
        self.send(
            f"indicate/dev/{self.product}/{self.serial}",
            {self.key: document["msgid"], "res": 1, "sn": self.serial, "method": "operate"},
        )
        if payload["method"] == "REFRESH":
            self.update()


@pytest.mark.parametrize("key", ["msgid", "msgId", "MsgID"])
def test_acrel_domestic(place, key):
    identity, gateway, meter = place.meter("acrel", "pk1", "DDSY1352-IOT")
    place.rows_changed("UPDATE prepay_meter SET address = %s WHERE id = %s", identity, meter)
    place.announce()
    time.sleep(0.5)
    device = AcrelGateway(place.broker, "pk1", identity, key)
    device.say("sys/dev", "login", payload={"rssi": 26, "ccid": "898604282219C0423610",
                                            "compress": "0", "encrypt": "0"})  # fmt: skip
    (login,) = wait_for(lambda: device.answers("login"), 10, "login answered")
    assert login["res"] == 1 and login["msgid"] == 1
    device.say("sys/dev", "time", devicesend=5)
    (answer,) = wait_for(lambda: device.answers("time"), 10, "time answered")
    assert answer["devicesend"] == 5 and answer["timezone"] == "8"
    assert abs(answer["serversend"] - time.time()) < 5
    device.say("sys/dev", "topology", payload={})
    wait_for(lambda: device.answers("topology"), 10, "topology answered")
    for _ in range(2):
        device.update()
        time.sleep(1.1)
    place.wait_reading(meter, 12_340)
    command = place.confirmed(place.wish(meter, "open"))
    assert device.on == 0 and command["proof"] == "status_load"
    place.confirmed(place.wish(meter, "closed"))
    assert device.on == 1
    (state,) = place.rows("SELECT s.signal, s.iccid FROM prepay_gateway g JOIN prepay_gateway_state s"
                          " ON s.id = g.state_id WHERE g.id = %s", gateway)  # fmt: skip
    assert (state["signal"], state["iccid"]) == (26, "898604282219C0423610")
    device.close()


def test_acrel_overseas(place):
    identity, _gateway, meter = place.meter("acrel_overseas", "null")
    device = Device(place.broker, identity, f"/server/acrelHW/null/+/{identity}")
    up = "/gw/acrelHW/null/{}/" + identity
    device.send(up.format("login"), {"type": "login", "gwSN": identity, "ccid": "8986", "rssi": 48})
    wait_for(lambda: (f"/server/acrelHW/null/login/{identity}", {"type": "login", "res": 1})
             in device.heard, 10, "login answered")  # fmt: skip
    device.send(up.format("time"), {"type": "time", "gwSN": identity})
    answer = wait_for(lambda: next((doc for _t, doc in device.heard if doc["type"] == "time"), None),
                      10, "time answered")  # fmt: skip
    local = datetime.now(timezone.utc) + timedelta(hours=8)
    assert answer["time"].startswith(local.strftime("%Y%m%d"))
    for age in (10, 0):
        at = (local - timedelta(seconds=age)).strftime("%Y%m%d%H%M%S")
        device.send(up.format("data"), {"type": "data", "meterSN": f"M-{identity}", "time": at,
                                        "data": {"EPI": 5.5}})  # fmt: skip
    place.wait_reading(meter, 5_500)
    device.close()


# --- several collectors ---


def test_two_collectors_share_the_messages(place):
    """Whoever receives the report, the command is confirmed by the one that has the lease."""
    devices = [known(place) for _ in range(6)]
    other = place.serve("two")
    wait_for(
        lambda: len(place.rows("SELECT DISTINCT lease_owner FROM prepay_gateway_state"
                               " WHERE lease_until > LOCALTIMESTAMP")) == 2, 30, "shared leases",
    )  # fmt: skip
    for device, _gateway, _meter in devices:
        device.reports = True
    commands = [place.wish(meter, "open") for _device, _gateway, meter in devices]
    for command in commands:
        place.confirmed(command)
    for _ in range(3):
        time.sleep(1.1)
        for device, _gateway, _meter in devices:
            device.energy += 10
            device.report()
    for _device, _gateway, meter in devices:
        place.wait_reading(meter, 1030)
    taken = requests.get(place.health, timeout=5).json()["mqtt_messages_total"]
    assert taken > 5, "the second collector took its part"
    # One dies and does not come back: the other takes its gateways over, and the messages that
    # the broker keeps for it.
    other.kill()
    other.wait()
    time.sleep(1.1)
    for device, _gateway, _meter in devices:
        device.energy += 10
        device.report()
    time.sleep(1)
    waiting = [meter for *_device, meter in devices if place.state(meter)["last_value"] != 1040]
    assert waiting, "the broker keeps a part for the one that died"
    place.rows_changed(
        "UPDATE prepay_collector_session SET seen_at = seen_at - interval '1 hour'"
        " WHERE name LIKE '%%-two'"
    )
    for *_device, meter in devices:
        place.wait_reading(meter, 1040, 40)
    wait_for(
        lambda: not place.rows("SELECT 1 FROM prepay_collector_session WHERE name LIKE '%%-two'"),
        30, "session ended",
    )  # fmt: skip
    for device, _gateway, meter in devices:
        place.confirmed(place.wish(meter, "closed"), 60)
        time.sleep(1.1)
        device.energy += 10
        device.report()
        place.wait_reading(meter, 1050)
        device.close()


def test_broker_that_is_not_there(tmp_path):
    """The collector serves its other gateways and says what is wrong."""
    broker = type("Nothing", (), {"at": f"127.0.0.1:{free_port()}"})()
    site = Place(tmp_path, broker)
    try:
        port = free_port()
        process = site.start_collector(mqtt=broker.at, health=f"127.0.0.1:{port}")

        def troubles():
            assert process.poll() is None, site.log_of(process)
            try:
                return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).json()["troubles"]
            except requests.ConnectionError:
                return None

        found = wait_for(troubles, 30, "troubles")
        wait_for(lambda: any("cannot be reached" in text for text in troubles()), 10, str(found))
    finally:
        site.close()


def test_access_list_of_the_example(tmp_path):
    """Every device speaks below its own topics only; the collector reads them all."""
    users = ("collector", "GW-A", "GW-B")
    (tmp_path / "passwd").write_text(
        "".join(password_line(user, f"secret of {user}") + "\n" for user in users)
    )
    example = Path(__file__).resolve().parents[2] / "config" / "mosquitto.acl"
    (tmp_path / "acl").write_text(example.read_text())
    for path in (tmp_path / "passwd", tmp_path / "acl"):
        path.chmod(0o600)
    broker = Broker(
        tmp_path, "allow_anonymous false", f"password_file {tmp_path}/passwd",
        f"acl_file {tmp_path}/acl",
    )  # fmt: skip
    place = Place(tmp_path, broker)

    def device(user, *topics):
        return Device(broker, user, *topics, user=user, password=f"secret of {user}")

    try:
        gateways = [
            place.gateways([("", 0)], "mqtt", mqtt_form="json", dial_in_id=identity)[0]
            for identity in ("GW-A", "GW-B")
        ]
        meters = place.meters(gateways, 1, place.profile_id("MQTT"), 5)
        password = {"PREPAY_MQTT_PASSWORD": "secret of collector"}
        place.process = place.serve(mqtt_user="collector", env=password)
        ours = device("GW-A", "prepay/v1/GW-A/down")
        spy = Device(
            broker, "spy", "#", "prepay/v1/GW-B/down", user="GW-A", password="secret of GW-A"
        )  # fmt: skip
        theirs = device("GW-B", "prepay/v1/GW-B/down")
        for age, sender, gateway, energy in (
            (30, ours, "GW-A", 1000), (20, ours, "GW-A", 1000),
            (15, spy, "GW-B", 666), (14, spy, "GW-B", 666),
            (10, theirs, "GW-B", 2000), (5, theirs, "GW-B", 2000),
        ):  # fmt: skip
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))
            reading = {"meter": "1", "time": at, "values": {"energy": energy}}
            # The broker hangs up on the spy.
            sender.send(f"prepay/v1/{gateway}/up", reading, wait=sender is not spy)
        place.wait_reading(meters[0], 1000)
        place.wait_reading(meters[1], 2000)
        assert {row["value"] for row in place.readings(meters[1])} == {2000}
        place.wish(meters[1], "open")
        wait_for(lambda: theirs.heard, 10, "command heard by the device it is for")
        assert ours.heard == [] and spy.heard == []
        # A wrong password is named, and does not end the collector.
        processes.stop(place.process)
        process = place.start_collector(
            env={"PREPAY_MQTT_PASSWORD": "wrong"}, mqtt=broker.at, mqtt_user="collector",
            name="one",
        )  # fmt: skip
        wait_for(lambda: "refuses" in place.log_of(process), 20, "named")
        assert process.poll() is None
        for each in (ours, theirs, spy):
            each.close()
    finally:
        place.close()
        broker.stop()
