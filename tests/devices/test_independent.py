"""Simulated devices and independent programs understand each other.

mbpoll (libmodbus) and pymodbus's client for Modbus, paho behind a real mosquitto for MQTT. None of
them shares code with the collector's codecs.
"""

import json
import queue
import shutil
import subprocess
import time
from datetime import datetime, timedelta, timezone

import paho.mqtt.client as paho
import pytest
import requests
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import ModbusTcpClient
from pymodbus.framer import FramerType

from tests.support.stack import wait_for

METERS = [
    {"protocol": "modbus_ddsy1352", "address": 1, "energy_wh": 700_000, "power_w": 800},
    {"protocol": "modbus_water", "address": 40, "volume_l": 70_123, "flow_lh": 0,
     "valve_travel_ms": 50},
]  # fmt: skip


@pytest.fixture
def modbus(simulate):
    return simulate([
        {"name": "TCP", "kind": "modbus_tcp", "delay_ms": 1, "meters": METERS},
        {"name": "RTU", "delay_ms": 1, "meters": METERS},
    ])  # fmt: skip


# ---- mbpoll


def mbpoll(port, *arguments):
    program = shutil.which("mbpoll")
    assert program, "mbpoll is missing; ./prepay setup installs it"
    command = [program, "-m", "tcp", "-p", str(port), "-0", "-1", "-q", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    values = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("]:")
        if name.startswith("[") and value:
            values[int(name[1:])] = int(value.split()[0])
    return done.returncode, values, done.stdout + done.stderr


def test_mbpoll_reads_and_switches(modbus):
    port = modbus.ports["TCP"]
    code, values, said = mbpoll(port, "-a", 1, "-t", "4", "-r", 0, "-c", 17, "127.0.0.1")
    assert code == 0, said
    assert (values[0] << 16) + values[1] == 70_000
    assert values[13] == 800
    assert 2200 <= values[11] <= 2400
    code, values, said = mbpoll(port, "-a", 1, "-t", "4:int", "-B", "-r", 0, "127.0.0.1")
    assert values == {0: 70_000}, said
    code, _, said = mbpoll(port, "-a", 1, "-t", "4", "-r", 0x57, "127.0.0.1", 1, 1)
    assert code == 0, said
    assert modbus.meter("TCP:1")["relay"] == "open"
    code, values, said = mbpoll(port, "-a", 1, "-t", "4", "-r", 0x57, "-c", 2, "127.0.0.1")
    assert values == {0x57: 1, 0x58: 1}, said
    code, _, said = mbpoll(port, "-a", 1, "-t", "4", "-r", 0x57, "127.0.0.1", 1, 0)
    assert code == 0, said
    assert modbus.meter("TCP:1")["relay"] == "closed"
    code, _, said = mbpoll(port, "-a", 1, "-t", "4", "-r", 0x11, "127.0.0.1")
    assert "Illegal data address" in said


def test_mbpoll_reads_water(modbus):
    port = modbus.ports["TCP"]
    for kind in ("4:int", "3:int"):  # holding and input registers
        code, values, said = mbpoll(port, "-a", 40, "-t", kind, "-B", "-r", 0, "127.0.0.1")
        assert (code, values) == (0, {0: 70_123}), said


# ---- pymodbus


def test_pymodbus_client_over_rtu(modbus):
    client = ModbusTcpClient(
        "127.0.0.1", port=modbus.ports["RTU"], framer=FramerType.RTU, timeout=2, retries=0
    )
    assert client.connect()
    try:
        answer = client.read_holding_registers(0, count=2, device_id=1)
        assert client.convert_from_registers(answer.registers, client.DATATYPE.UINT32) == 70_000
        assert not client.write_registers(0x11, [0x99], device_id=40).isError()
        wait_for(lambda: modbus.meter("RTU:40")["valve"] == "closed", 3, "valve closed")
        assert client.read_holding_registers(0x10, count=1, device_id=40).registers == [1]
        assert client.read_holding_registers(0x0F, count=1, device_id=40).exception_code == 2
    finally:
        client.close()


# ---- MQTT


class Server:
    """An independent MQTT client in the place of the collector."""

    def __init__(self, port, *topics):
        self.heard = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        ready = queue.Queue()
        self.client.on_message = lambda _c, _u, message: self.heard.put(
            (message.topic, json.loads(message.payload))
        )
        self.client.on_subscribe = lambda *arguments: ready.put(arguments)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe([(topic, 1) for topic in topics])
        ready.get(timeout=5)

    def next(self, wait=5.0):
        """The next message, None after `wait` seconds."""
        try:
            return self.heard.get(timeout=wait)
        except queue.Empty:
            return None

    def until(self, condition, wait=5.0):
        """The next message for which `condition(topic, document)` holds."""
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0:
            message = self.next(left)
            if message and condition(*message):
                return message
        raise AssertionError(f"not heard within {wait} s")

    def say(self, topic, document):
        self.client.publish(topic, json.dumps(document), 1).wait_for_publish(5)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def server(broker):
    made = []

    def make(*topics):
        made.append(Server(broker, *topics))
        return made[-1]

    yield make
    for each in made:
        each.close()


def mqtt(broker, form, serial, **options):
    meters = options.pop("meters", None) or [
        {"protocol": "modbus_ddsy1352", "address": 1, "number": serial, "energy_wh": 97_810,
         "power_w": 820, **options.pop("meter", {})},
    ]  # fmt: skip
    return {
        "name": serial, "kind": "mqtt", "connect": f"127.0.0.1:{broker}", "form": form,
        "serial": serial, "product": "pk", "delay_ms": 1, "interval_s": 0.5, "retry_s": 0.3,
        "time_after_s": 0.1, "reconnect_ms": 50, "meters": meters, **options,
    }  # fmt: skip


def answer_login(server, serial):
    """Play the platform of the domestic form up to the topology's answer."""
    up, down = f"sys/dev/pk/{serial}", f"sys/server/pk/{serial}"
    for method in ("login", "time", "topology"):
        topic, asked = server.until(lambda _, document, m=method: document.get("method") == m)
        assert topic == up
        assert asked["sn"] == serial
        answer = {"msgid": asked["msgid"], "method": method, "sn": serial, "timestamp": 1}
        if method == "time":
            now = int(time.time()) - 86_400
            answer |= {"devicesend": asked["devicesend"], "serverreceive": now, "serversend": now,
                       "timezone": "8", "timezoneMin": "00"}  # fmt: skip
        else:
            answer["res"] = 1
        server.say(down, answer)


def test_acrel_form(simulate, broker, server):
    serial = "20260000000001"
    listener = server(f"sys/dev/pk/{serial}", f"data/up/pk/{serial}", f"indicate/dev/pk/{serial}")
    simulator = simulate([mqtt(broker, "acrel", serial)])
    topic, login = listener.next()
    assert (topic, login["method"]) == (f"sys/dev/pk/{serial}", "login")
    assert {"compress", "encrypt", "upInterval", "imei", "ccid"} <= login["payload"].keys()
    again = listener.next()
    assert again[1]["method"] == "login", "nothing but the login before its answer"
    answer_login(listener, serial)
    topic, update = listener.until(lambda _, document: document["method"] == "update")
    assert topic == f"data/up/pk/{serial}"
    assert (update["sn"], update["reported"]["EPI"]) == (serial, 97.81)
    assert update["reported"]["P"] == 0.82
    assert (update["reported"]["SwitchSta"], update["reported"]["AdfState1"]) == (1, 57583)
    assert update["timestamp"] == pytest.approx(time.time() - 86_400, abs=30), "the clock was set"
    for on, state, adf in [(0, "open", 488), (1, "closed", 57583)]:
        payload = {"addr": serial, "do1": on, "ForceSwitch": on, "meterName": "DDSY1352-IOT",
                   "method": "FORCESWITCH"}  # fmt: skip
        command = {"msgid": 70 + on, "method": "operate", "sn": serial, "timestamp": 1}
        listener.say(f"indicate/server/pk/{serial}", {**command, "payload": payload})
        topic, answer = listener.until(lambda topic, _: topic.startswith("indicate/dev"))
        assert (answer["msgid"], answer["res"]) == (70 + on, 1)
        assert simulator.meter(serial)["relay"] == state
        payload = {"addr": serial, "method": "REFRESH"}
        listener.say(f"indicate/server/pk/{serial}", {**command, "payload": payload})
        topic, update = listener.until(
            lambda _, document, on=on: document.get("reported", {}).get("SwitchSta") == on
        )
        assert update["reported"]["AdfState1"] == adf
    bad = {"msgid": 9, "method": "operate", "sn": serial, "payload": {"addr": "x"}}
    listener.say(f"indicate/server/pk/{serial}", bad)
    topic, answer = listener.until(lambda _, document: document.get("msgid") == 9)
    assert (answer["res"], answer["errcode"]) == (0, "503")


def test_acrel_gateway_with_many_meters(simulate, broker, server):
    serial = "20260000000002"
    listener = server(f"sys/dev/pk/{serial}", f"data/up/pk/{serial}", f"indicate/dev/pk/{serial}")
    meters = [
        {"protocol": "modbus_ddsy1352", "address": unit, "number": f"1_{unit}"} for unit in (1, 2)
    ]
    simulator = simulate([mqtt(broker, "acrel", serial, meters=meters, msgid_key="msgId")])
    up = listener.next()[1]
    assert "msgId" in up and "msgid" not in up
    down = f"sys/server/pk/{serial}"
    for method in ("login", "time", "topology"):
        listener.say(down, {"method": method, "res": 1, "sn": serial})
        time.sleep(0.1)
    seen = set()
    for _ in range(2):
        _, update = listener.until(lambda _, document: document["method"] == "update")
        seen |= update["reported"].keys()
    assert seen == {"1_1", "1_2"}
    payload = {"addr": "1_2", "do1": 0, "ForceSwitch": 0, "method": "FORCESWITCH"}
    command = {"msgId": 5, "method": "operate", "sn": serial, "payload": payload}
    listener.say(f"indicate/server/pk/{serial}", command)
    wait_for(lambda: simulator.meter("2")["relay"] == "open", 3, "the second meter's relay")
    assert simulator.meter("1")["relay"] == "closed"


def test_overseas_form(simulate, broker, server):
    serial = "22100800000001"
    base = f"/server/acrelHW/null/%s/{serial}"
    listener = server(f"/gw/acrelHW/null/+/{serial}")
    simulator = simulate([mqtt(broker, "acrel_overseas", serial, product="null", heartbeat_s=0.2)])
    topic, login = listener.next()
    assert topic == f"/gw/acrelHW/null/login/{serial}"
    assert (login["type"], login["gwSN"]) == ("login", serial)
    listener.say(base % "login", {"type": "login", "res": 1})
    listener.until(lambda topic, _: "/time/" in topic)
    listener.say(base % "time", {"type": "time", "res": 1, "time": "20261231235900"})
    _, para = listener.until(lambda topic, _: "/para/" in topic)
    assert para["meterSN"] == serial
    _, data = listener.until(lambda topic, _: "/data/" in topic)
    assert data["data"]["EPI"] == 97.81
    assert data["time"].startswith("2026123123")
    listener.until(lambda topic, _: "/heart/" in topic)
    listener.say(base % "control", {"type": "control", "meterSN": serial, "ForceSwitch": 0})
    _, answer = listener.until(lambda topic, _: "/control/" in topic)
    assert answer["res"] == 1
    assert simulator.meter(serial)["relay"] == "open"


def moment(**delta):
    return (datetime.now(timezone.utc) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_json_form(simulate, broker, server):
    serial = "GW-JSON"
    listener = server(f"prepay/v1/{serial}/up", f"prepay/v1/{serial}/result")
    meters = [
        {"protocol": "dlt645", "address": "202611000001", "energy_wh": 186_420, "power_w": 0,
         "prepaid": True, "balance_fen": 1234},
        {"protocol": "cjt188", "address": "78330011223344", "number": "W-1", "volume_l": 5_000,
         "flow_lh": 0, "valve_travel_ms": 100},
    ]  # fmt: skip
    simulator = simulate([mqtt(broker, "json", serial, meters=meters, interval_s=30)])
    _, up = listener.until(lambda topic, _: topic.endswith("/up"))
    readings = {reading["meter"]: reading["values"] for reading in up["readings"]}
    assert readings["202611000001"]["energy"] == 186_420
    assert (readings["202611000001"]["relay"], readings["202611000001"]["remaining"]) == (
        "closed", 1234
    )  # fmt: skip
    assert readings["W-1"] == {"volume": 5_000, "relay": "closed", "battery_low": False}

    def command(number, **body):
        listener.say(f"prepay/v1/{serial}/down", {"id": number, **body})
        _, result = listener.until(lambda _, document: document.get("id") == number)
        return result

    close = {"command": "relay", "meter": "W-1", "target": "open", "expires": moment(minutes=1)}
    assert command(1, **close) == {"id": 1, "result": "taken"}
    _, up = listener.until(
        lambda _, document: any(
            reading["values"].get("relay") == "open" for reading in document.get("readings", [])
        )
    )
    assert simulator.meter("78330011223344")["valve"] == "closed"
    assert command(1, **close)["result"] == "taken", "a repeat is answered"
    assert len(simulator.meter("78330011223344")["commands"]) == 1, "and not obeyed again"
    late = {**close, "target": "closed", "expires": moment(minutes=-1)}
    assert command(2, **late) == {"id": 2, "result": "refused", "error": "expired"}
    assert command(3, command="relay", meter="W-9", target="open")["error"] == "unknown meter"
    assert command(4, command="relay", meter="W-1", target="ajar")["error"] == "unknown command"
    assert command(5, command="read", meter="202611000001")["result"] == "taken"
    _, up = listener.until(lambda topic, _: topic.endswith("/up"))
    assert [reading["meter"] for reading in up["readings"]] == ["202611000001"]
    simulator.change("202611000001", faults={"no_ack": True})
    listener.say(
        f"prepay/v1/{serial}/down",
        {"id": 6, "command": "relay", "meter": "202611000001", "target": "open"},
    )
    wait_for(lambda: simulator.meter("202611000001")["relay"] == "open", 3, "obeyed")
    while message := listener.next(0.5):
        assert message[1].get("id") != 6, "not acknowledged"


def test_readings_of_an_outage_come_later(simulate, broker, server):
    """Off line for a while, and after a power failure without a goodbye."""
    serial = "GW-LATE"
    listener = server(f"prepay/v1/{serial}/up")
    gateway = mqtt(broker, "json", serial, interval_s=0.1, newest_first=True, meter={"speed": 1000})
    simulator = simulate([{**gateway, "connect": "127.0.0.1:1"}])
    wait_for(lambda: state(simulator, serial)["backlog"] >= 5, 5, "readings are kept")
    assert not state(simulator, serial)["connected"]
    simulator.gateway(serial, connect=f"127.0.0.1:{broker}", duplicates=1)
    _, kept = listener.next()
    assert listener.next()[1] == kept, "each message twice"
    times = [reading["time"] for reading in kept["readings"]]
    assert len(times) >= 5
    assert times == sorted(times, reverse=True)
    energies = [reading["values"]["energy"] for reading in kept["readings"]]
    assert energies == sorted(energies, reverse=True)
    found = state(simulator, serial)
    assert (found["connected"], found["ready"], found["backlog"]) == (True, True, 0)
    simulator.gateway(serial, power=False)
    assert not state(simulator, serial)["connected"]
    while listener.next(0.5):
        pass
    simulator.gateway(serial, power=True)
    assert listener.next()
    assert state(simulator, serial)["connections"] == 2


def state(simulator, name):
    return requests.get(f"{simulator.control}/gateways/{name}", timeout=5).json()
