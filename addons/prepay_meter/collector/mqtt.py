"""MQTT gateways: one connection to the broker, messages into the loop in batches.

All collectors of a database share the subscriptions, so any of them may receive any message: each
keeps all MQTT gateways with their meters in memory. A message is acknowledged when what it says is
in the database; until then the broker keeps it, also over a restart. What cannot be used is stored
to look at, and acknowledged: it must not block the messages behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import orjson
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ..protocols import mqtt_forms
from .config import Gateway
from .mqtt_worker import MqttWorker
from .options import Broker, OptionError
from .results import Event
from .store import DatabaseAway
from .strangers import Strangers

if TYPE_CHECKING:
    from .service import Collector

_logger = logging.getLogger(__name__)

#: Seconds for which the broker keeps what comes while this collector is away.
SESSION_SECONDS = 3 * 86_400
#: Messages that the broker hands over before the first of them is stored; more than two batches.
RECEIVE_MAXIMUM = 20_000
#: Messages without acknowledgement that may wait here.
MAX_INBOX = 50_000
#: Messages handled before other work of the loop gets its turn.
SLICE = 500
KEEPALIVE = 30
#: Pause after a lost connection; longer and longer when they do not last.
RECONNECT_SECONDS, MAX_PAUSE = 1.0, 30.0
#: A connection that lasted so long was a good one. Of two clients with one name each ends the
#: other's; not every broker says so.
LASTING_SECONDS = 30.0
SHORT_CONNECTIONS = 3
#: Connected, but no message for so long although devices are online: connect anew.
SILENCE_SECONDS = 900.0
MAX_MESSAGE = 256 * 1024
#: Acknowledgements in one write. All subscriptions are of QoS 1.
ACKS = 1000
_PUBACK = bytes((PacketTypes.PUBACK << 4, 2))
NO_SUBSCRIBER, TAKEN_OVER = 16, 142
RELOAD_EVERY = 300.0
#: Journal kinds that a gateway may report by their own name.
REPORTED = frozenset({"overload", "malicious_load", "low_battery", "valve_fault"})

Key = tuple[str, str, str]


class BrokerAway(ConnectionError):
    """There is no connection to the broker."""


def key_of(gateway: Gateway) -> Key:
    """What the topics of a gateway's messages say of it: form, product, identity."""
    return gateway.form, "" if gateway.form == "json" else gateway.product, gateway.identity


class Mqtt:
    """The broker's side of a collector.

    :raises OptionError: the settings of the encryption cannot be used
    """

    def __init__(self, collector: Collector, broker: Broker, name: str) -> None:
        self.collector, self.broker = collector, broker
        self.client_id = name
        self.workers: dict[int, MqttWorker] = {}
        self.messages = self.unusable = 0
        self.connected = False
        self.trouble = "the MQTT broker does not answer"
        self._places: dict[Key, MqttWorker] = {}
        self._group = f"prepay-{collector.store.conninfo.get('dbname', '')}"
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[MQTTMessage] = deque()
        self._signalled = False
        self._acks: list[int] = []
        self._connection = 0  # acknowledgements of another connection mean other messages
        self._published: dict[int, asyncio.Future] = {}
        self._ended = asyncio.Event()
        self._short = 0  # connections in a row that did not last
        self._connected_at = 0.0
        self._message_at = self._loop.time()
        self._journal = Strangers()
        self._stale = asyncio.Event()
        self._changed: set[int] | None = None
        self._stopping = False
        self._tasks: set[asyncio.Task] = set()
        self._client: Client | None = None
        self._make_client()

    # life

    async def run(self) -> None:
        """Follow the gateways and keep the connection until cancelled."""
        await self._refresh()
        tasks = [asyncio.create_task(loop()) for loop in (self._follow, self._watch, self._tell)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Acknowledge what is stored and hang up; the broker keeps the session."""
        self._stopping = True
        self._send_acks()
        await self._hang_up()

    async def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await self._loop.run_in_executor(None, _stop, client)

    def _make_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            # A new client for each connection: this one would send again what was not answered
            # before, and a relay command must never run late.
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.reconnect_delay_set(1, 10)
        if self.broker.user:
            client.username_pw_set(self.broker.user, self.broker.password)
        if self.broker.tls:
            try:
                client.tls_set(self.broker.ca or None)
            except (OSError, ValueError) as error:
                raise OptionError(f"mqtt-ca: {self.broker.ca or 'authorities'}: {error}") from error
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    async def _watch(self) -> None:
        """Keep a connection, and look after its thread: a dead one says nothing."""
        while True:
            self._ended.clear()
            self._inbox.clear()
            self._acks.clear()
            self._connection += 1
            self._client = client = self._make_client()
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_SECONDS
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            client.connect_async(
                *self.broker.at, KEEPALIVE, clean_start=False, properties=properties
            )
            client.loop_start()
            self._message_at = self._loop.time()
            while not self._ended.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), 2)
                if client._thread is None:  # paho has no public way to ask
                    self._ended.set()
                elif self._silent():
                    _logger.warning("MQTT: no message for %s s, connecting anew", SILENCE_SECONDS)
                    self._ended.set()
            self._lost(client)
            await self._hang_up()
            await asyncio.sleep(min(MAX_PAUSE, RECONNECT_SECONDS * 2 ** min(self._short, 6)))

    @property
    def silence(self) -> float:
        """Seconds since the last message."""
        return self._loop.time() - self._message_at

    def _silent(self) -> bool:
        return (
            self.connected
            and self.silence > SILENCE_SECONDS
            and any(worker.online for worker in self.workers.values())
        )

    # the thread of the client: only hand over

    def _post(self, function: Callable, *arguments) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function, *arguments)

    def _on_message(self, _client, _userdata, message: MQTTMessage) -> None:
        if message.qos == 0 and len(self._inbox) > MAX_INBOX:
            return
        self._inbox.append(message)
        if not self._signalled:
            # One wake-up for all that come until the loop has looked.
            self._signalled = True
            self._post(self._drain)

    def _on_connect(self, client, _userdata, flags, reason, _properties) -> None:
        if not reason.is_failure:
            wanted = [topic for topics in mqtt_forms.SUBSCRIPTIONS.values() for topic in topics]
            client.subscribe(
                [(f"$share/{self._group}/{topic}", SubscribeOptions(qos=1)) for topic in wanted]
            )
        self._post(self._connected, client, flags.session_present, reason)

    def _on_connect_fail(self, _client, _userdata) -> None:
        self._post(self._unreachable)

    def _on_disconnect(self, client, _userdata, _flags, reason, _properties) -> None:
        self._post(self._disconnected, client, reason)

    def _on_subscribe(self, _client, _userdata, _mid, reasons, _properties) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._post(self._refused, refused)

    def _on_publish(self, _client, _userdata, mid, reason, _properties) -> None:
        self._post(self._answered, mid, reason.value)

    # the same in the loop

    def _connected(self, client: Client, session_present: bool, reason) -> None:
        if client is not self._client:
            return
        if reason.is_failure:
            self.trouble = f"the MQTT broker refuses: {reason}"
            _logger.error("MQTT: %s", self.trouble)
            self._short += 1
            self._ended.set()
            return
        self._connected_at = self._loop.time()
        self.connected, self.trouble = True, ""
        kept = "kept" if session_present else "new"
        _logger.info("MQTT broker %s:%s connected, %s session", *self.broker.at, kept)

    def _unreachable(self) -> None:
        trouble = "the MQTT broker {}:{} cannot be reached".format(*self.broker.at)
        if trouble != self.trouble:
            self.trouble = trouble
            _logger.warning("MQTT: %s; trying again", trouble)

    def _disconnected(self, client: Client, reason) -> None:
        if client is not self._client:
            return
        lasted = self.connected and self._loop.time() - self._connected_at >= LASTING_SECONDS
        self._short = 0 if lasted else self._short + 1
        if reason.value == TAKEN_OVER or self._short >= SHORT_CONNECTIONS:
            self.trouble = f"another MQTT client uses the name {self.client_id}"
            _logger.error("MQTT: %s; give each collector its own --name", self.trouble)
        elif self.connected:
            self.trouble = f"the MQTT broker has hung up: {reason}"
            _logger.warning("MQTT: %s", self.trouble)
        self._lost(client)
        self._ended.set()

    def _lost(self, client: Client) -> None:
        if client is self._client:
            self.connected = False
            # Not stored yet or not, they come again.
            self._inbox.clear()
            published, self._published = self._published, {}
            for future in published.values():
                if not future.done():
                    future.set_exception(BrokerAway("the connection to the MQTT broker broke"))

    def _refused(self, reasons: list[str]) -> None:
        self.trouble = f"the MQTT broker refuses subscriptions: {', '.join(sorted(set(reasons)))}"
        _logger.error("MQTT: %s; look at its access list", self.trouble)

    def _answered(self, mid: int, reason: int) -> None:
        future = self._published.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(reason)

    # what workers use

    def send(self, topic: str, document: dict, seconds: int = 60) -> int:
        """Publish ``document``; the broker forgets it when nobody took it for ``seconds``.

        :return: number of the packet
        :raises BrokerAway: there is no connection; nothing will be sent later
        """
        client = self._client
        if client is None or not self.connected or not client.is_connected():
            raise BrokerAway(self.trouble or "the MQTT broker is not connected")
        properties = Properties(PacketTypes.PUBLISH)
        properties.MessageExpiryInterval = max(1, seconds)
        info = client.publish(topic, orjson.dumps(document), qos=1, properties=properties)
        if info.rc != 0:
            raise BrokerAway("the MQTT broker is not connected")
        return info.mid

    async def publish(self, topic: str, document: dict, seconds: int = 60) -> bool:
        """Publish, and wait for the broker. False: no device listens there.

        :raises BrokerAway: there is no connection, or it broke: whether it was sent is not known
        """
        mid = self.send(topic, document, seconds)
        future = self._published[mid] = self._loop.create_future()
        try:
            return await asyncio.wait_for(future, 10) != NO_SUBSCRIBER
        except asyncio.TimeoutError:
            raise BrokerAway("the MQTT broker does not answer") from None
        finally:
            self._published.pop(mid, None)

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
            await asyncio.sleep(5)
            news = {
                worker.gateway.state_id: worker.last_seen
                for key, worker in self.workers.items()
                if worker.last_seen and told.get(key) != worker.last_seen
            }
            with contextlib.suppress(DatabaseAway):
                await self.collector.store.seen(news)
                told = {key: worker.last_seen for key, worker in self.workers.items()}

    # messages

    def _drain(self) -> None:
        """Handle what has come, in slices: other gateways wait for the loop too."""
        self._signalled = False
        if self._stopping:
            return
        inbox = self._inbox
        self._message_at = self._loop.time()
        for _ in range(min(SLICE, len(inbox))):
            message = inbox.popleft()
            try:
                self._handle(message)
            except Exception:
                # One message must not hold up those behind it.
                _logger.exception("MQTT: message left out")
                self._poison(message, "it could not be handled")
        if inbox and not self._signalled:
            self._signalled = True
            self._loop.call_soon(self._drain)

    def _handle(self, message: MQTTMessage) -> None:
        self.messages += 1
        payload = message.payload
        try:
            topic = message.topic
            document = orjson.loads(payload) if len(payload) <= MAX_MESSAGE else None
        except ValueError as error:  # also a topic that is no text
            self._poison(message, f"no JSON: {error}")
            return
        parsed = mqtt_forms.parse(topic, document)
        kind = type(parsed)
        if kind is mqtt_forms.Unknown:
            large = document is None and len(payload) > MAX_MESSAGE
            self._poison(message, f"{len(payload)} bytes" if large else parsed.reason)
            return
        worker = self._places.get((parsed.form, parsed.product, parsed.gateway))
        if worker is None:
            self._unknown(message, parsed.gateway)
            return
        worker.heard()
        if kind is mqtt_forms.Update or kind is mqtt_forms.CommandResult:
            self._take(message, parsed, worker)
            return
        if kind is mqtt_forms.Login:
            self._login(message, parsed, worker)
        with contextlib.suppress(BrokerAway):
            answer = mqtt_forms.answer(parsed, datetime.now(worker.zone))
            if answer is not None:
                self.send(*answer)
        self._done(message, self._connection)

    def _take(self, message: MQTTMessage, update, worker: MqttWorker) -> None:
        if update.ignored:
            self._unusable(message, worker.gateway, "; ".join(update.ignored))
        if type(update) is mqtt_forms.CommandResult:
            worker.result(update)
        elif update.events:
            self._events(update.events, worker)
        done = partial(self._done, message, self._connection)
        known = []
        for reading in update.readings:
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
            self._unusable(
                message, worker.gateway, f"the device {what} its messages: switch it off"
            )

    def _unknown(self, message: MQTTMessage, identity: str) -> None:
        self.unusable += 1
        if not self._journal.new(("unknown", message.topic), self._loop.time()):
            self._done(message, self._connection)
            return
        self.collector.sink.put_message(
            "mqtt", message.topic, "no MQTT gateway has this identity, form and product",
            message.payload, unknown_device=True,
            done=partial(self._done, message, self._connection),
        )  # fmt: skip
        _logger.warning("MQTT: unknown device %s", identity)

    def _unusable(
        self, message: MQTTMessage, gateway: Gateway | None, reason: str, done=None
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

    def _poison(self, message: MQTTMessage, reason: str) -> None:
        """Keep a message that nobody can use, then let the broker forget it."""
        done = partial(self._done, message, self._connection)
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

    # acknowledgements

    def _done(self, message: MQTTMessage, connection: int) -> None:
        """What the message says is stored. After a new connection the broker sends it again."""
        if message.qos and connection == self._connection:
            if not self._acks:
                self._loop.call_soon(self._send_acks)
            self._acks.append(message.mid)

    def _send_acks(self) -> None:
        acks, self._acks = self._acks, []
        client = self._client
        if client is None or not self.connected:
            return  # the broker sends them again
        # `client.ack` wakes its thread and writes to the socket for each one; many fit into one.
        for start in range(0, len(acks), ACKS):
            packets = b"".join(
                [_PUBACK + mid.to_bytes(2, "big") for mid in acks[start : start + ACKS]]
            )
            client._packet_queue(PacketTypes.PUBACK << 4, packets, 0, 1)


def _stop(client: Client) -> None:
    """Say goodbye; the session stays. Its thread may be ending by itself."""
    with contextlib.suppress(Exception):
        client.disconnect()
    with contextlib.suppress(Exception):
        client.loop_stop()


def _last_of(count: int, done: Callable[[], None]) -> Callable[[], None]:
    """A function that calls ``done`` when it was called ``count`` times."""
    left = count

    def one() -> None:
        nonlocal left
        left -= 1
        if not left:
            done()

    return one
