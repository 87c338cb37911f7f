"""Gateways and meters that speak MQTT: one paho client for each, driven by the event loop."""

import asyncio
import contextlib
import json
import logging
import socket
from collections import OrderedDict, deque
from datetime import datetime, timezone
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from .bus import Bus
from .checks import flag, number, one_of, text, whole
from .dial import DialingGateway
from .meter import Meter
from .mqtt_forms import FORMS, Publication

_logger = logging.getLogger(__name__)

KEPT_READINGS = 10_000


class MqttGateway(DialingGateway):
    """A client at the broker `connect` with any meters behind it.

    `form`: `json` (our own, docs/mqtt.md), `acrel` (domestic) or `acrel_overseas`. `serial` is the
    gateway in topics and the client id. A reading each `interval_s`; what falls due off line is
    kept when `buffer` is on, and sent later, `newest_first` or oldest first, `batch` readings in a
    message. `duplicates`: how often each message comes again. `msgid_key`: how the message number
    is spelled. `retry_s`: after what time an unanswered login is sent again. `time_after_s`: how
    long the overseas form waits before it asks for the time. `switch_sta` false leaves the relay to
    AdfState1.
    """

    kind = "mqtt"
    OPTIONS = {
        "form": (one_of(*FORMS), "json"),
        "product": (text, "prepay"),
        "serial": (text, ""),
        "username": (text, ""),
        "password": (text, ""),
        "clean_session": (flag, True),
        "qos": (whole(0, 1), 1),
        "keepalive_s": (whole(5, 65_535), 60),
        "interval_s": (number(0.05, 86_400), 300),
        "heartbeat_s": (number(0, 86_400), 0),
        "buffer": (flag, True),
        "newest_first": (flag, False),
        "batch": (whole(1, 1000), 100),
        "duplicates": (whole(0, 100), 0),
        "msgid_key": (one_of("msgid", "msgId", "MsgID"), "msgid"),
        "retry_s": (number(0.05, 3600), 10),
        "time_after_s": (number(0, 600), 5),
        "switch_sta": (flag, True),
        "model": (text, "DDSY1352-IOT"),
    }

    def __init__(self, name: str, options: dict) -> None:
        super().__init__(name, options)
        if not self.serial or set(self.serial) & set("/+#"):
            raise ValueError(f"serial {self.serial!r} cannot be part of a topic")
        self.bus = Bus()
        self.ready = False
        """Whether the server has answered what it must before readings may be sent."""
        self.published = 0
        self.done: OrderedDict[str, dict] = OrderedDict()
        """Results of the last commands by their id; kept over links."""
        self.backlog: deque[tuple[datetime, Meter, dict]] = deque(maxlen=KEPT_READINGS)
        self.inbox: asyncio.Queue = asyncio.Queue()
        self.form_now = FORMS[self.form](self)
        self._sampling: asyncio.Task | None = None
        self._client: paho.Client | None = None

    def bus_of(self, protocol: str) -> type[Bus]:
        return Bus

    def find(self, name: Any) -> Meter | None:
        """Meter by its number or address; None when it is not here or has no power."""
        for meter in self.meters.values():
            if str(name) in (meter.number or meter.address, meter.address):
                return meter if meter.powered else None
        return None

    def state(self) -> dict:
        return super().state() | {
            "form": self.form,
            "serial": self.serial,
            "ready": self.ready,
            "published": self.published,
            "backlog": len(self.backlog),
        }

    # ---- life

    async def start(self) -> None:
        await super().start()
        if self._sampling is None:
            self._sampling = asyncio.create_task(self._sample_for_ever())

    async def stop(self) -> None:
        sampling, self._sampling = self._sampling, None
        if sampling:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
        await super().stop()

    async def _session(self) -> None:
        loop = asyncio.get_running_loop()
        self.inbox = asyncio.Queue()
        self.form_now = FORMS[self.form](self)
        client = self._client = self._make_client(loop)
        topics = [(topic, self.qos) for topic in self.form_now.topics()]
        host, port = self.connect
        try:
            await loop.run_in_executor(None, client.connect, host, port, self.keepalive_s)
            await self._until_connected(client)
            self._is_connected()
            client.subscribe(topics)
            await self._live(client)
        finally:
            self.ready = False
            self._client = None
            if self._abandon:
                _release(loop, client)
                self._ghosts.append(client)
            else:
                self._bury(client)

    def _make_client(self, loop: asyncio.AbstractEventLoop) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.serial,
            protocol=paho.MQTTv311,
            clean_session=self.clean_session,
        )
        if self.username:
            client.username_pw_set(self.username, self.password)
        inbox = self.inbox

        def on_connect(_client, _userdata, _flags, code, _properties) -> None:
            inbox.put_nowait(("connected", code))

        def on_disconnect(_client, _userdata, _flags, code, _properties) -> None:
            inbox.put_nowait(("closed", code))

        def on_message(_client, _userdata, message) -> None:
            inbox.put_nowait(("message", (message.topic, message.payload)))

        client.on_connect, client.on_disconnect = on_connect, on_disconnect
        client.on_message = on_message

        # The client is connected in a thread: what it says of its socket goes to the loop.
        def watch(add: Any, sock: socket.socket, work: Any) -> None:
            if sock.fileno() >= 0:
                add(sock, work)

        def forget(remove: Any, sock: socket.socket) -> None:
            with contextlib.suppress(ValueError):
                remove(sock)

        def later(work: Any, *arguments: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(work, *arguments)

        client.on_socket_open = lambda _c, _u, sock: later(
            watch, loop.add_reader, sock, client.loop_read
        )
        client.on_socket_close = lambda _c, _u, sock: _forget_both(loop, sock)
        client.on_socket_register_write = lambda _c, _u, sock: later(
            watch, loop.add_writer, sock, client.loop_write
        )
        client.on_socket_unregister_write = lambda _c, _u, sock: later(
            forget, loop.remove_writer, sock
        )
        return client

    async def _until_connected(self, client: paho.Client) -> None:
        what, code = await asyncio.wait_for(self.inbox.get(), 10)
        if what != "connected" or code.is_failure:
            raise ConnectionError(f"broker: {code}")

    async def _live(self, client: paho.Client) -> None:
        """Serve one link until it closes."""
        tasks = [
            asyncio.create_task(self._tick(client)),
            asyncio.create_task(self._introduce()),
        ]
        try:
            while True:
                what, value = await self.inbox.get()
                if what == "closed":
                    raise ConnectionError(f"broker: {value}")
                topic, payload = value
                with contextlib.suppress(ValueError, RecursionError):
                    document = json.loads(payload)
                    if isinstance(document, dict):
                        self.form_now.heard(topic, document)
        finally:
            for task in tasks:
                task.cancel()

    async def _tick(self, client: paho.Client) -> None:
        while True:
            client.loop_misc()
            await asyncio.sleep(1)

    async def _introduce(self) -> None:
        try:
            await self._speak()
        except Exception as error:
            _logger.exception("gateway %s: link ends", self.name)
            self.inbox.put_nowait(("closed", repr(error)))

    async def _speak(self) -> None:
        await self.form_now.introduce()
        self.ready = True
        self.send_kept()
        self.report()
        while self.heartbeat_s:
            await asyncio.sleep(float(self.heartbeat_s))
            for publication in self.form_now.heartbeat():
                self.publish(publication)

    def _bury(self, ghost: paho.Client) -> None:
        ghost.disconnect()
        with contextlib.suppress(OSError):
            ghost.loop_write()
        sock = ghost.socket()
        if sock is not None:
            _forget_both(asyncio.get_running_loop(), sock)
            sock.close()

    # ---- readings

    async def _sample_for_ever(self) -> None:
        while True:
            await asyncio.sleep(float(self.interval_s))
            if self.ready:
                self.report()
            elif self.buffer:
                now = datetime.now(timezone.utc)
                for meter in self.speaking():
                    self.backlog.append((now, meter, self.form_now.values(meter)))

    def speaking(self) -> list[Meter]:
        """Meters that give readings now."""
        found = []
        for meter in self.meters.values():
            meter.advance()
            if meter.powered and not meter.faults.silent and not meter.held:
                meter.reads += 1
                found.append(meter)
        return found

    def report(self) -> None:
        """Send the readings of all meters."""
        if not self.ready:
            return
        meters = self.speaking()
        for start in range(0, len(meters), self.batch):
            now = datetime.now(timezone.utc)
            rows = [
                (now, each, self.form_now.values(each)) for each in meters[start:][: self.batch]
            ]
            for publication in self.form_now.readings(rows):
                self.publish(publication)

    def report_meter(self, meter: Meter) -> None:
        """Send the readings of one meter."""
        meter.advance()
        if not self.ready or not meter.powered or meter.faults.silent or meter.held:
            return
        meter.reads += 1
        row = (datetime.now(timezone.utc), meter, self.form_now.values(meter))
        for publication in self.form_now.readings([row]):
            self.publish(publication)

    def send_kept(self) -> None:
        """Send what fell due off line."""
        rows = list(self.backlog)
        self.backlog.clear()
        if self.newest_first:
            rows.reverse()
        for start in range(0, len(rows), self.batch):
            for publication in self.form_now.readings(rows[start : start + self.batch], late=True):
                self.publish(publication)

    def publish(self, publication: Publication, late_ms: int = 0) -> None:
        """Publish on the present link, `duplicates` times more; later on the link of that time."""
        if late_ms:
            self._spawn(self._publish_late(publication, late_ms))
            return
        if self._client is None:
            return
        topic, document = publication
        payload = json.dumps(document, ensure_ascii=False)
        for _ in range(1 + self.duplicates):
            self._client.publish(topic, payload, self.qos)
            self.published += 1

    async def _publish_late(self, publication: Publication, late_ms: int) -> None:
        await asyncio.sleep(late_ms / 1000)
        self.publish(publication)


def _forget_both(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    if sock.fileno() < 0:
        return
    with contextlib.suppress(ValueError, RuntimeError):
        loop.remove_reader(sock)
        loop.remove_writer(sock)


def _release(loop: asyncio.AbstractEventLoop, client: paho.Client) -> None:
    """Leave the socket open and unattended."""
    sock = client.socket()
    if sock is not None:
        _forget_both(loop, sock)
