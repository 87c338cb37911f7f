"""A real broker for tests, and devices that speak to it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from . import processes
from .stack import free_port, wait_for


class Broker:
    """A mosquitto of its own on a free port, which keeps sessions over a restart."""

    def __init__(self, folder: Path, *lines: str, inflight: int = 20_000) -> None:
        self.port = free_port()
        self.folder = folder
        self.log = folder / "mosquitto.log"
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        config = [
            f"listener {self.port} 127.0.0.1",
            *(
                ()
                if any("allow_anonymous" in line for line in lines)
                else ("allow_anonymous true",)
            ),
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            f"max_inflight_messages {inflight}",
            "max_queued_messages 0",
            "log_dest stderr",
            *(["user root"] if os.geteuid() == 0 else []),
            *lines,
        ]
        path = folder / "mosquitto.conf"
        path.write_text("\n".join(config) + "\n", encoding="utf-8")
        self._command = [program, "-c", path]
        self.start()

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = processes.start(self._command, self.log)
        wait_for(self._running, 10, "the broker is up")

    def _running(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        probe = paho.Client(CallbackAPIVersion.VERSION2)
        try:
            probe.connect("127.0.0.1", self.port)
        except OSError:
            return False
        probe.disconnect()
        return True

    def stop(self) -> None:
        processes.stop(self.process)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def password_line(user: str, password: str) -> str:
    """A line of mosquitto's password file, as `mosquitto_passwd` makes it."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${b64encode(salt).decode()}${b64encode(digest).decode()}"


class Device:
    """A client of the broker that publishes as one device and keeps what it hears.

    :param obey: called with the device, topic and document of each message
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        *topics: str,
        obey: Callable[[Device, str, dict], None] | None = None,
        **connection: Any,
    ) -> None:
        self.heard: list[tuple[str, dict]] = []
        self.obey = obey
        self._ready = threading.Event()
        version = MQTTProtocolVersion(connection.get("version", 4))
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=version, reconnect_on_failure=True
        )
        if "user" in connection:
            self.client.username_pw_set(connection["user"], connection.get("password"))
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_arguments: self._ready.set()
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        if topics:
            self.client.subscribe([(topic, 1) for topic in topics])
            assert self._ready.wait(10), f"{name} cannot subscribe"

    def _on_message(self, _client, _userdata, message) -> None:
        document = json.loads(message.payload)
        self.heard.append((message.topic, document))
        if self.obey is not None:
            self.obey(self, message.topic, document)

    def send(self, topic: str, document: object, wait: bool = True) -> None:
        """Publish JSON, or bytes as they are; ``wait`` until the broker has it."""
        payload = document if isinstance(document, bytes) else json.dumps(document)
        info = self.client.publish(topic, payload, 1)
        if wait and threading.current_thread() is not self.client._thread:
            info.wait_for_publish(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class JsonMeter(Device):
    """A gateway that speaks our own form, with one meter that obeys relay commands.

    :param reports: it sends its state by itself after a command
    """

    def __init__(self, broker: Broker, gateway: str, meter: str, reports: bool = False) -> None:
        self.gateway, self.meter = gateway, meter
        self.energy, self.relay, self.stuck, self.refuses = 1000, "closed", False, ""
        self.reports = reports
        super().__init__(broker, gateway, f"prepay/v1/{gateway}/down", obey=JsonMeter._obey)

    def _obey(self, _topic: str, command: dict) -> None:
        result = {"id": command["id"], "result": "refused" if self.refuses else "taken"}
        if self.refuses:
            result["error"] = self.refuses
        elif command["command"] == "relay" and not self.stuck:
            self.relay = command["target"]
        self.send(f"prepay/v1/{self.gateway}/result", result)
        if command["command"] == "read" or self.reports:
            self.report()

    def report(self, age: float = 0.0, **values: Any) -> None:
        """Send values that are so many seconds old."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))
        power = 500 if self.relay == "closed" else 0
        told = {"energy": self.energy, "relay": self.relay, "power": power, **values}
        reading = {"meter": self.meter, "time": at, "values": told}
        self.send(f"prepay/v1/{self.gateway}/up", {"readings": [reading]})

    @property
    def commands(self) -> list[dict]:
        return [document for _topic, document in self.heard if document["command"] == "relay"]
