"""Links to devices: one request in flight, late answers discarded, whoever opened the connection.

A link is an asyncio protocol without streams: at thousands of polls a second the stream layer costs
more than the work. `ask` and `start` are the only ways to a device.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from ..protocols.errors import Outcome
from ..protocols.exchange import Exchange, Reply

CONNECT_TIMEOUT = 5.0
#: Takes the reply to a request, or why there is none.
Done = Callable[["Reply | None", "Exception | None"], None]


class GatewayOffline(Exception):
    """The gateway refused, closed or lost the connection, or has not dialled in."""


class NoReply(Exception):
    """The device gave no usable answer. ``outcome`` says why, ``detail`` shows the bytes."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(f"{outcome}: {detail}")
        self.outcome = outcome
        self.detail = detail


class Stale(Exception):
    """The request became too old before it could be sent; nothing was sent."""


class Link(asyncio.Protocol):
    """A serial bus behind a connection that somebody else has opened.

    Serial protocols carry no transaction number, so an answer that comes too late looks like the
    answer to the next equal request. After each failure the link is therefore kept quiet for one
    more time-out, longer while bytes keep coming, and whatever arrives is thrown away (R-10).
    """

    #: Whether what arrives after a time-out could be taken for the answer to the next request.
    ambiguous = True

    def __init__(self, timeout: float, gap: float) -> None:
        self.timeout, self.gap = timeout, gap
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self._exchange: Exchange | None = None
        self._done: Done | None = None
        self._answer_due = 0.0
        self._answer_timer: asyncio.TimerHandle | None = None
        self._free_at = 0.0  # loop time before which nothing may be sent
        self._quiet = False

    @property
    def connected(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if peer else ""

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._fail(GatewayOffline(f"{self._name()}: {exc or 'closed by the gateway'}"))

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            if self._quiet:
                self._free_at = max(self._free_at, self._loop.time() + self.gap + 0.05)
            return
        reply = self._exchange.feed(data)
        if reply is not None:
            self._finish(reply, None)

    # use

    async def ask(self, exchange: Exchange, until: float | None = None) -> Reply:
        """Send the request of ``exchange`` and return the reply that belongs to it.

        :param until: loop time after which the request may not be sent any more
        :raises NoReply: nothing usable came in time
        :raises GatewayOffline: there is no connection, or it broke
        :raises Stale: it was too late to send
        """
        if self.transport is None or self.transport.is_closing():
            await self.connect()
        loop = self._loop
        exchange = self._framed(exchange)
        while (now := loop.time()) < self._free_at:
            await asyncio.sleep(self._free_at - now)
            if self._quiet:
                # A busy process may have slept longer than the line was quiet: what has arrived
                # meanwhile is read, and thrown away, before anything is sent.
                await asyncio.sleep(0.001)
            if not self.connected:
                raise GatewayOffline(f"{self._name()}: not connected")
        if until is not None and now > until:
            raise Stale("too old to be sent")
        waiter = loop.create_future()

        def done(reply: Reply | None, error: Exception | None) -> None:
            if waiter.done():
                return
            if error is None:
                waiter.set_result(reply)
            else:
                waiter.set_exception(error)

        self._send(exchange, done, now)
        try:
            return await waiter
        finally:
            self.abandon(done)

    def idle_at(self, now: float) -> bool:
        """Whether `start` may be called at this loop time."""
        transport = self.transport
        return (
            transport is not None
            and self._done is None
            and now >= self._free_at
            and not transport.is_closing()
        )

    def start(self, exchange: Exchange, done: Done, now: float) -> None:
        """Send the request of ``exchange`` at once and have ``done`` called with what comes of it.

        `ask` without a task that waits: for a link that answers thousands of times a second.

        :param now: loop time; the link has to be connected, and free by then
        """
        self._send(self._framed(exchange), done, now)

    def abandon(self, done: Done) -> None:
        """Nobody waits for the answer to ``done`` any more."""
        if self._done is done:
            self._over()

    def _send(self, exchange: Exchange, done: Done, now: float) -> None:
        self._quiet = False
        self._exchange, self._done = exchange, done
        self.transport.write(exchange.request)
        due = self._answer_due = now + self.timeout
        timer = self._answer_timer
        if timer is None or timer.when() > due:
            self._answer_by(due)

    def _finish(self, reply: Reply | None, error: Exception | None) -> None:
        done = self._done
        if done is not None:
            self._over()
            done(reply, error)

    def _over(self) -> None:
        self._exchange = self._done = None
        if not self._quiet:
            self._free_at = self._loop.time() + self.gap

    def served(self, worker) -> None:
        """``worker`` uses the link from here on."""

    async def connect(self) -> None:
        """Be connected, or say why not."""
        if not self.connected:
            raise GatewayOffline(f"{self._name()}: not connected")

    async def send(self, data: bytes) -> None:
        """Send something that nobody answers, such as a broadcast of the time."""
        await self.connect()
        self.transport.write(data)
        self._free_at = self._loop.time() + max(self.gap, 0.5)

    def close(self) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
        self._fail(GatewayOffline(f"{self._name()}: closed"))

    def _framed(self, exchange: Exchange) -> Exchange:
        """The exchange in the framing of this link."""
        return exchange

    def _name(self) -> str:
        return self.peer or "the gateway"

    def _answer_by(self, deadline: float) -> None:
        """Give up the request in flight at ``deadline``.

        One timer serves many requests: when it rings too early, it is set anew. A timer for each
        would cost a tenth of a poll.
        """
        if self._answer_timer is not None:
            self._answer_timer.cancel()
        self._answer_timer = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._answer_timer = None
        if self._done is None:
            return
        if self._loop.time() < self._answer_due:
            self._answer_timer = self._loop.call_at(self._answer_due, self._ring)
        else:
            self._expire()

    def _expire(self) -> None:
        outcome, detail = self._exchange.failure()
        if self.ambiguous:
            self._quiet = True
            self._free_at = self._loop.time() + self.timeout
        self._fail(NoReply(outcome, detail))

    def _fail(self, error: Exception) -> None:
        self._finish(None, error)


class SerialLink(Link):
    """A transparent serial server that we connect to."""

    def __init__(self, host: str, port: int, timeout: float, gap: float) -> None:
        super().__init__(timeout, gap)
        self.host, self.port = host, port

    async def connect(self) -> None:
        if self.connected:
            return
        try:
            await asyncio.wait_for(
                self._loop.create_connection(lambda: self, self.host, self.port), CONNECT_TIMEOUT
            )
        except (OSError, asyncio.TimeoutError) as error:
            raise GatewayOffline(f"{self._name()}: {error or 'no connection in time'}") from error

    def _name(self) -> str:
        return f"{self.host}:{self.port}"


class ModbusTcpLink(SerialLink):
    """Modbus TCP: the transaction number tells a late answer from the right one."""

    ambiguous = False

    def __init__(self, host: str, port: int, timeout: float, gap: float) -> None:
        super().__init__(host, port, timeout, gap)
        self._transaction = random.randrange(0x10000)

    def _framed(self, exchange: Exchange) -> Exchange:
        self._transaction = (self._transaction + 1) & 0xFFFF
        return exchange.over_tcp(self._transaction)
