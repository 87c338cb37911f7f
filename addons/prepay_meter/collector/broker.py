"""A connection to the MQTT broker: paho in its thread, messages into the loop in batches.

The broker keeps a session under the name of the connection. A message is acknowledged by `Line.done`;
what was not acknowledged comes again with the next connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

import orjson
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from .options import Broker, OptionError

_logger = logging.getLogger(__name__)

#: Seconds for which the broker keeps what comes while nobody is connected.
SESSION_SECONDS = 3 * 86_400
#: Messages that the broker hands over before the first of them is stored; two batches of the sink.
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
#: Connected, but no message for so long although some are expected: connect anew.
SILENCE_SECONDS = 900.0
#: A session that nobody subscribes with any more is empty when nothing has come for so long.
DRAINED_SECONDS = 5.0
#: Acknowledgements in one write. All subscriptions are of QoS 1.
ACKS = 1000
_PUBACK = bytes((PacketTypes.PUBACK << 4, 2))
NO_SUBSCRIBER, TAKEN_OVER = 16, 142


class BrokerAway(ConnectionError):
    """There is no connection to the broker."""


class Line:
    """A connection under one name, made again when it breaks.

    :param topics: what to subscribe to
    :param take: called in the loop with each message, this line and the number of the connection;
        message and number are to be given to `done`
    :param expected: whether a long silence is suspicious
    :param leaving: topics that the session is subscribed to, when it is to be emptied
    :raises OptionError: the settings of the encryption cannot be used
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        topics: list[str],
        take: Callable[[MQTTMessage, Line, int], None],
        expected: Callable[[], bool] = lambda: False,
        leaving: list[str] | None = None,
    ) -> None:
        self.broker, self.name, self.topics = broker, name, topics
        self.leaving = leaving or []
        self.connected = False
        self.trouble = "the MQTT broker does not answer"
        self._take, self._expected = take, expected
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[MQTTMessage] = deque()
        self._signalled = False
        self._acks: list[int] = []
        self._open = 0  # messages of this connection that are not acknowledged
        self._connection = 0  # numbers of another connection mean other messages
        self._published: dict[int, asyncio.Future] = {}
        self._ended = asyncio.Event()
        self._short = 0  # connections in a row that did not last
        self._connected_at = 0.0
        self._message_at = self._loop.time()
        self._stopping = False
        self._client: Client | None = None
        self._make_client()

    # life

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        while True:
            self._open_client()
            await self._watch()
            await self._hang_up()
            await asyncio.sleep(min(MAX_PAUSE, RECONNECT_SECONDS * 2 ** min(self._short, 6)))

    async def drain(self) -> bool:
        """Take what the broker keeps under this name, then end the session there.

        :return: False when somebody else has taken the session over, or the broker is away
        """
        self._open_client()
        try:
            while not self._ended.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), 1)
                if self.connected and not self._open and self.silence > DRAINED_SECONDS:
                    properties = Properties(PacketTypes.DISCONNECT)
                    properties.SessionExpiryInterval = 0
                    self._client.disconnect(properties=properties)
                    return True
            return False
        finally:
            await self._hang_up()

    async def close(self) -> None:
        """Acknowledge what is stored and hang up; the broker keeps the session."""
        self._stopping = True
        self._send_acks()
        await self._hang_up()

    async def _hang_up(self) -> None:
        client, self._client = self._client, None
        self._lost()
        if client is not None:
            await self._loop.run_in_executor(None, _stop, client)

    def _make_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.name,
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

    def _open_client(self) -> None:
        self._ended.clear()
        self._inbox.clear()
        self._acks.clear()
        self._open = 0
        self._connection += 1
        self._client = client = self._make_client()
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_SECONDS
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        client.connect_async(*self.broker.at, KEEPALIVE, clean_start=False, properties=properties)
        client.loop_start()
        self._message_at = self._loop.time()

    async def _watch(self) -> None:
        """Return when the connection has ended; look after its thread, a dead one says nothing."""
        while not self._ended.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), 2)
            if self._client._thread is None:  # paho has no public way to ask
                return
            if self.connected and self.silence > SILENCE_SECONDS and self._expected():
                _logger.warning("MQTT: no message for %s s, connecting anew", SILENCE_SECONDS)
                return

    @property
    def silence(self) -> float:
        """Seconds since the last message, or since the connection was begun."""
        return self._loop.time() - self._message_at

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
        if not reason.is_failure and self.topics:
            client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self.topics])
        elif not reason.is_failure:
            client.unsubscribe(self.leaving)
        self._post(self._is_connected, client, flags.session_present, reason)

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

    def _is_connected(self, client: Client, session_present: bool, reason) -> None:
        if client is not self._client:
            return
        if reason.is_failure:
            self.trouble = f"the MQTT broker refuses: {reason}"
            _logger.error("MQTT: %s", self.trouble)
            self._short += 1
            self._ended.set()
            return
        self._connected_at = self._message_at = self._loop.time()
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
            self.trouble = f"another MQTT client uses the name {self.name}"
            _logger.error("MQTT: %s; give each collector its own --name", self.trouble)
        elif self.connected:
            self.trouble = f"the MQTT broker has hung up: {reason}"
            _logger.warning("MQTT: %s", self.trouble)
        self._lost()
        self._ended.set()

    def _lost(self) -> None:
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

    # messages

    def _drain(self) -> None:
        """Hand on what has come, in slices: other work of the loop waits too."""
        self._signalled = False
        if self._stopping:
            return
        inbox, connection = self._inbox, self._connection
        self._message_at = self._loop.time()
        for _ in range(min(SLICE, len(inbox))):
            message = inbox.popleft()
            self._open += message.qos > 0
            self._take(message, self, connection)
        if inbox and not self._signalled:
            self._signalled = True
            self._loop.call_soon(self._drain)

    def done(self, message: MQTTMessage, connection: int) -> None:
        """What the message says is stored. After a new connection the broker sends it again."""
        if message.qos and connection == self._connection:
            self._open -= 1
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
            chunk = [_PUBACK + mid.to_bytes(2, "big") for mid in acks[start : start + ACKS]]
            client._packet_queue(PacketTypes.PUBACK << 4, b"".join(chunk), 0, 1)

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


def _stop(client: Client) -> None:
    """Say goodbye; the session stays. Its thread may be ending by itself."""
    if client.is_connected():
        with contextlib.suppress(Exception):
            client.disconnect()
    with contextlib.suppress(Exception):
        client.loop_stop()
