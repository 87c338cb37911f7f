"""MQTT gateways: whose message it is, what it says, and what becomes of it.

All collectors of a database share the subscriptions, so any of them may receive any message: each
keeps all MQTT gateways with their meters in memory. A message is acknowledged when what it says is
in the database; until then the broker keeps it, also over a restart. What cannot be used is stored
to look at, and acknowledged: it must not block the messages behind it.

The broker gives the share of a collector that has died to its kept session. When one does not come
back, another takes what waits there and ends the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import orjson
from paho.mqtt.client import MQTTMessage

from ..protocols import mqtt_forms
from .broker import BrokerAway, Line
from .config import Gateway
from .mqtt_worker import MqttWorker
from .options import Broker
from .results import Event
from .store import DatabaseAway
from .strangers import Strangers

if TYPE_CHECKING:
    from .service import Collector

_logger = logging.getLogger(__name__)

MAX_MESSAGE = 256 * 1024
RELOAD_EVERY = 300.0
TELL_EVERY = 5.0
#: A collector that has not told of itself for so long does not come back soon.
ORPHAN_SECONDS = 120
#: Journal kinds that a gateway may report by their own name.
REPORTED = frozenset({"overload", "malicious_load", "low_battery", "valve_fault"})

Key = tuple[str, str, str]
Done = Callable[[], None]


def key_of(gateway: Gateway) -> Key:
    """What the topics of a gateway's messages say of it: form, product, identity."""
    return gateway.form, "" if gateway.form == "json" else gateway.product, gateway.identity


class Mqtt:
    """The broker's side of a collector.

    :raises OptionError: the settings of the encryption cannot be used
    """

    def __init__(self, collector: Collector, broker: Broker, name: str) -> None:
        self.collector, self.broker = collector, broker
        self.workers: dict[int, MqttWorker] = {}
        self.messages = self.unusable = 0
        group = f"prepay-{collector.store.conninfo.get('dbname', '')}"
        topics = [topic for form in mqtt_forms.SUBSCRIPTIONS.values() for topic in form]
        shared = [f"$share/{group}/{topic}" for topic in topics]
        self.line = Line(broker, f"{group}-{name}", shared, self._take, self._somebody_online)
        self._places: dict[Key, MqttWorker] = {}
        self._loop = asyncio.get_running_loop()
        self._journal = Strangers()
        self._stale = asyncio.Event()
        self._changed: set[int] | None = None
        self._tasks: set[asyncio.Task] = set()
        self.send, self.publish = self.line.send, self.line.publish

    @property
    def connected(self) -> bool:
        return self.line.connected

    @property
    def trouble(self) -> str:
        return self.line.trouble

    @property
    def silence(self) -> float:
        """Seconds since the last message."""
        return self.line.silence

    # life

    async def run(self) -> None:
        """Follow the gateways and keep the connection until cancelled."""
        await self._refresh()
        loops = (self._follow, self.line.run, self._tell, self._adopt)
        tasks = [asyncio.create_task(loop()) for loop in loops]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Acknowledge what is stored and hang up; the broker keeps the session."""
        await self.line.close()

    def _somebody_online(self) -> bool:
        return any(worker.online for worker in self.workers.values())

    async def _adopt(self) -> None:
        """Say that this session is in use; take what waits for collectors that are gone."""
        store, name = self.collector.store, self.line.name
        while True:
            with contextlib.suppress(DatabaseAway):
                orphan = await store.broker_sessions(name, ORPHAN_SECONDS)
                if orphan and self.line.connected:
                    await self._empty(orphan)
            await asyncio.sleep(ORPHAN_SECONDS / 8)

    async def _empty(self, name: str) -> None:
        _logger.warning("MQTT: taking the messages that wait for %s", name)
        line = Line(self.broker, name, [], self._take, leaving=self.line.topics)
        emptying = asyncio.create_task(line.drain())
        try:
            while not emptying.done():
                await asyncio.wait({emptying}, timeout=ORPHAN_SECONDS / 8)
                await self.collector.store.broker_sessions(name, ORPHAN_SECONDS)
            if emptying.result():
                await self.collector.store.forget_session(name)
                _logger.info("MQTT: the session of %s is ended", name)
        finally:
            emptying.cancel()
            await asyncio.gather(emptying, return_exceptions=True)

    # what workers use

    def note_refusal(self, command: int, error: str) -> None:
        """A device refused a relay command, whoever sent it."""
        task = asyncio.create_task(self._note_refusal(command, f"refused by the device: {error}"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _note_refusal(self, command: int, detail: str) -> None:
        with contextlib.suppress(DatabaseAway):
            await self.collector.store.remark(command, detail)

    def worker(self, gateway: Gateway) -> MqttWorker:
        """The worker of a gateway, leased or not."""
        found = self.workers.get(gateway.id)
        if found is None:
            found = self.workers[gateway.id] = MqttWorker(gateway, self.collector, self)
            self._places[key_of(gateway)] = found
        return found

    # gateways

    def changed(self, ids: set[int]) -> None:
        """These gateways may have changed; empty: any."""
        if not ids:
            self._changed = None
        elif self._changed is not None:
            self._changed |= ids
        self._stale.set()

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stale.wait(), RELOAD_EVERY)
            if not self._stale.is_set():
                self._changed = None
            await self._refresh()

    async def _refresh(self) -> None:
        """Take the gateways over as the database has them now."""
        self._stale.clear()
        wanted, self._changed = self._changed, set()
        while True:
            try:
                fresh = await self.collector.store.load_kind("mqtt", wanted)
                break
            except DatabaseAway:
                await asyncio.sleep(1)
        for key in set(self.workers) if wanted is None else wanted & self.workers.keys():
            if key not in fresh:
                self._forget(self.workers.pop(key))
        for gateway in fresh.values():
            known = self.workers.get(gateway.id)
            if known is None:
                self.worker(gateway)
                continue
            self._forget(known)
            known.configure(gateway)
            self._places[key_of(gateway)] = known

    def _forget(self, worker: MqttWorker) -> None:
        key = key_of(worker.gateway)
        if self._places.get(key) is worker:
            del self._places[key]

    async def _tell(self) -> None:
        """When gateways were last heard of, by whoever heard them."""
        told: dict[int, datetime] = {}
        while True:
            await asyncio.sleep(TELL_EVERY)
            heard = {key: worker.last_seen for key, worker in self.workers.items()}
            news = {
                self.workers[key].gateway.state_id: at
                for key, at in heard.items()
                if at is not None and told.get(key) != at
            }
            with contextlib.suppress(DatabaseAway):
                await self.collector.store.seen(news)
                told = heard

    # messages

    def _take(self, message: MQTTMessage, line: Line, connection: int) -> None:
        done = partial(line.done, message, connection)
        try:
            self._handle(message, done)
        except Exception:
            # One message must not hold up those behind it.
            _logger.exception("MQTT: message left out")
            self._poison(message, "it could not be handled", done)

    def _handle(self, message: MQTTMessage, done: Done) -> None:
        self.messages += 1
        payload = message.payload
        try:
            topic = message.topic
            document = orjson.loads(payload) if len(payload) <= MAX_MESSAGE else None
        except ValueError as error:  # also a topic that is no text
            self._poison(message, f"no JSON: {error}", done)
            return
        parsed = mqtt_forms.parse(topic, document)
        kind = type(parsed)
        if kind is mqtt_forms.Unknown:
            large = document is None and len(payload) > MAX_MESSAGE
            self._poison(message, f"{len(payload)} bytes" if large else parsed.reason, done)
            return
        worker = self._places.get((parsed.form, parsed.product, parsed.gateway))
        if worker is None:
            self._unknown(message, parsed.gateway, done)
            return
        worker.heard()
        if kind is mqtt_forms.Update or kind is mqtt_forms.CommandResult:
            self._bring(message, parsed, worker, done)
            return
        if kind is mqtt_forms.Login:
            self._login(message, parsed, worker)
        with contextlib.suppress(BrokerAway):
            answer = mqtt_forms.answer(parsed, datetime.now(worker.zone))
            if answer is not None:
                self.send(*answer)
        done()

    def _bring(self, message: MQTTMessage, update, worker: MqttWorker, done: Done) -> None:
        if update.ignored:
            self._unusable(message, worker.gateway, "; ".join(update.ignored))
        if type(update) is mqtt_forms.CommandResult:
            worker.result(update)
        elif update.events:
            self._events(update.events, worker)
        readings = update.readings
        if len(readings) == 1:
            meter = worker.meter(readings[0].meter)
            if meter is not None:
                worker.bring(meter, readings[0], done)
                return
        known = []
        for reading in readings:
            meter = worker.meter(reading.meter)
            if meter is None:
                self._unusable(message, worker.gateway, f"no meter {reading.meter} on the gateway")
            else:
                known.append((meter, reading))
        if not known:
            done()
            return
        if len(known) > 1:
            done = _last_of(len(known), done)
        for meter, reading in known:
            worker.bring(meter, reading, done)

    def _events(self, events: tuple[mqtt_forms.Event, ...], worker: MqttWorker) -> None:
        for event in events:
            meter = worker.meter(event.meter) if event.meter else None
            kind = event.code if event.code in REPORTED else "message"
            detail = " ".join(filter(None, (event.code, event.meter, event.text)))
            worker.tell(meter, Event(kind, detail, severity="warning"))

    def _login(self, message: MQTTMessage, login: mqtt_forms.Login, worker: MqttWorker) -> None:
        self.collector.sink.put_device(worker.gateway, login.signal, login.iccid)
        if login.encrypted or login.compressed:
            what = "encrypts" if login.encrypted else "compresses"
            reason = f"the device {what} its messages: switch it off"
            self._unusable(message, worker.gateway, reason)

    def _unknown(self, message: MQTTMessage, identity: str, done: Done) -> None:
        self.unusable += 1
        if not self._journal.new(("unknown", message.topic), self._loop.time()):
            done()
            return
        self.collector.sink.put_message(
            "mqtt", message.topic, "no MQTT gateway has this identity, form and product",
            message.payload, unknown_device=True, done=done,
        )  # fmt: skip
        _logger.warning("MQTT: unknown device %s", identity)

    def _unusable(
        self, message: MQTTMessage, gateway: Gateway | None, reason: str, done: Done | None = None
    ) -> bool:
        """Show a message, or a part of it, that cannot be used. False: it was shown before."""
        self.unusable += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "unreadable topic"
        if not self._journal.new((topic, reason), self._loop.time()):
            return False
        self.collector.sink.put_message(
            "mqtt", topic, reason, message.payload, "", gateway, done=done
        )
        return True

    def _poison(self, message: MQTTMessage, reason: str, done: Done) -> None:
        """Keep a message that nobody can use, then let the broker forget it."""
        if not self._unusable(message, self._sender(message), reason, done):
            done()

    def _sender(self, message: MQTTMessage) -> Gateway | None:
        """Gateway of a topic whose message says nothing."""
        with contextlib.suppress(UnicodeDecodeError):
            parts = message.topic.split("/")
            for key, worker in self._places.items():
                if key[2] in parts[2:] and (not key[1] or key[1] in parts):
                    return worker.gateway
        return None


def _last_of(count: int, done: Done) -> Done:
    """A function that calls ``done`` when it was called ``count`` times."""
    left = count

    def one() -> None:
        nonlocal left
        left -= 1
        if not left:
            done()

    return one
