"""Devices that dial in: transparent 4G DTUs and Acrel 4G meters.

Anybody can connect and claim an identity, so only listed ones are served; the others are shown in
the journal and dropped. The newest link of an identity is the one that lives: behind NAT the old
one is usually half open. Two devices that take the link from one another are an alarm.
"""

# The rules are for models: protocols of asyncio return nothing.
# pylint: disable=missing-return,super-method-mismatch
from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ..protocols import acrel4g, dtu
from ..protocols.errors import Outcome
from ..protocols.exchange import Exchange, ModbusExchange
from .config import Gateway, Meter
from .link import Link, NoReply
from .results import Event, utcnow
from .store import DatabaseAway
from .strangers import Budget, Strangers

if TYPE_CHECKING:
    from .service import Collector
    from .worker import GatewayWorker

_logger = logging.getLogger(__name__)

#: A registration is complete when nothing more has come for so long.
QUIET_SECONDS = 1.0
#: Links that have not said who they are, at one time.
MAX_STRANGERS = 5000
#: Failed tries of one address: so many at once, then one in so many seconds. Devices behind one
#: NAT share an address; what succeeds costs nothing.
FAILURES, FAILURE_SECONDS = 60, 1.0
#: More take-overs than this in so many seconds, from different addresses, are two devices.
TAKEOVERS, TAKEOVER_SECONDS = 3, 300.0
#: Bytes that may follow an identity before the device is served.
MAX_EARLY = 8192
#: 4G can hold an answer back for so long and deliver it then.
STALL_SECONDS = 5.0
#: A device clock within this of ours is right (R-06).
CLOCK_TOLERANCE = timedelta(minutes=5)
#: What a device with a right clock has kept may be so old.
OLDEST = timedelta(days=31)
RELOAD_EVERY = 60.0
#: Devices that wait to be accepted: after a power cut all dial in at once.
BACKLOG = 4096
_DEFAULT_ZONE = ZoneInfo("Asia/Shanghai")


def bind(address: tuple[str, int]) -> socket.socket:
    """A socket that listens; accepted links inherit its keepalive.

    :raises OSError: the port is taken, or the address is not of this machine
    """
    host, port = address
    family, kind, protocol, _name, target = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        listening.bind(target)
        # Now, so that a port that is taken is told at the start; who comes early waits.
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


class DialInLink(Link):
    """A link that a device has opened: first it says who it is, then its worker uses it."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(timeout=5.0, gap=0.0)  # the worker sets what its gateway says
        self.listener = listener
        self.identity = ""
        self.worker: GatewayWorker | None = None
        self.head = bytearray()
        """The first bytes, to show when they are no identity."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def host(self) -> str:
        return self.peer.rpartition(":")[0]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.listener.accepted(self):
            patience = self.listener.registration_seconds
            self._timer = self._loop.call_later(patience, self._too_late)
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()
        self.listener.lost(self)
        if self.worker is not None:
            self.worker.wake.set()

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        if self.worker is not None:
            self.heard_at = self._loop.time()
            self.worker.last_seen = utcnow()
            self._received(data)
            return
        self.head += data[: max(0, dtu.MAX_REGISTRATION - len(self.head))]
        self._before_service(data)

    def served(self, worker: GatewayWorker) -> None:
        """The device is listed and ``worker`` uses the link from here on."""
        self.worker = worker
        self._timer.cancel()
        self.heard_at = self._loop.time()
        self._watch()

    def _watch(self) -> None:
        """Drop the link when nothing has come for too long."""
        limit = self.worker.gateway.idle_limit
        rest = self.heard_at + limit - self._loop.time()
        if rest > 0:
            self._timer = self._loop.call_later(rest, self._watch)
        else:
            _logger.info("%s %s: silent for %s s, closed", self.listener.kind, self.identity, limit)
            self.close()

    def _too_late(self) -> None:
        if not self.identity:
            self._nobody(f"no identity within {self.listener.registration_seconds:g} s")

    def _nobody(self, reason: str) -> None:
        """Whoever this is does not say so."""
        self.listener.nobody(self, reason)
        self.close()

    def _before_service(self, data: bytes) -> None:
        raise NotImplementedError

    def _received(self, data: bytes) -> None:
        super().data_received(data)

    def _name(self) -> str:
        return f"{self.identity} ({self.peer})" if self.identity else super()._name()


class DtuLink(DialInLink):
    """A transparent DTU: its own registrations and heartbeats lie between the answers."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._registration = dtu.Registration(listener.listed)
        self._quiet_timer: asyncio.TimerHandle | None = None
        self._foreign: tuple[Gateway | None, tuple[bytes, ...]] = (None, ())

    def _before_service(self, data: bytes) -> None:
        if self.identity:
            return  # nothing was asked yet
        self._found(self._registration.feed(data))
        if self._registration.failed:
            self._nobody(f"no identity in the first {dtu.MAX_REGISTRATION} bytes")
        elif not self.identity and self.connected:
            if self._quiet_timer is not None:
                self._quiet_timer.cancel()
            self._quiet_timer = self._loop.call_later(QUIET_SECONDS, self._line_quiet)

    def _line_quiet(self) -> None:
        if self.connected and not self.identity:
            self._found(self._registration.flush())

    def _found(self, found: dtu.Identity | None) -> None:
        if found is None:
            return
        self.identity = found.identity
        if found.known:
            self.listener.identified(self)
        else:
            self.listener.unknown(self)

    def _framed(self, exchange: Exchange) -> Exchange:
        gateway = self.worker.gateway if self.worker else None
        if gateway is not None and self._foreign[0] is not gateway:
            self._foreign = gateway, foreign(gateway)
        return exchange.ignoring(*self._foreign[1]) if self._foreign[1] else exchange

    def _expire(self) -> None:
        super()._expire()
        self._free_at = max(self._free_at, self._loop.time() + STALL_SECONDS)


def identity_wire(identity: str, in_hex: bool) -> bytes:
    """What a DTU of this identity sends.

    :raises ValueError: no such identity is possible
    """
    return dtu.identity_to_wire("hex" if in_hex else "ascii", identity)


def foreign(gateway: Gateway) -> tuple[bytes, ...]:
    """What a DTU puts into the stream by itself: its registration and its heartbeat."""
    found = []
    with contextlib.suppress(ValueError):
        found.append(identity_wire(gateway.identity, gateway.registration_hex))
    text = gateway.heartbeat
    if text.lower().startswith("hex:"):
        with contextlib.suppress(ValueError):
            found.append(bytes.fromhex(text[4:]))
    elif text:
        found.append(text.encode())
    return tuple(item for item in found if len(item) >= dtu.MIN_FOREIGN)


class Acrel4gLink(DialInLink):
    """An Acrel 4G meter: logs in, asks for the time, pushes readings, and is asked by a tunnel."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._parser = acrel4g.Parser()
        self._early: list[acrel4g.Frame] = []
        self._early_bytes = 0
        self._clock_given = False

    def _before_service(self, data: bytes) -> None:
        self._early_bytes += len(data)
        if self._early_bytes > MAX_EARLY:
            self._nobody(f"more than {MAX_EARLY} bytes before it was served")
            return
        for frame in self._parser.feed(data):
            self._early.append(frame)
            serial = getattr(acrel4g.parse(frame), "serial", None)
            if serial and not self.identity:
                self.identity = serial
                if serial in self.listener.listed:
                    self.listener.identified(self)
                else:
                    self.listener.unknown(self)
                    return

    def served(self, worker: GatewayWorker) -> None:
        super().served(worker)
        early, self._early = self._early, []
        for frame in early:
            self._handle(frame)

    def _received(self, data: bytes) -> None:
        super()._received(data)
        for frame in self._parser.feed(data):
            self._handle(frame)

    def _handle(self, frame: acrel4g.Frame) -> None:
        if not self.connected:
            return
        message = acrel4g.parse(frame)
        serial = getattr(message, "serial", None)
        if serial and serial != self.identity:
            # Never believed on this link, and not answered.
            self.listener.unusable(self, f"names meter {serial}", frame.raw)
        elif isinstance(message, acrel4g.Login):
            self.transport.write(acrel4g.login_reply())
            self.listener.device(self, message.rssi, message.iccid)
        elif isinstance(message, acrel4g.TimeRequest):
            self._clock_given = True
            now = datetime.now(zone(self.worker.gateway)).replace(tzinfo=None)
            self.transport.write(acrel4g.time_reply(now))
        elif isinstance(message, acrel4g.Data):
            self._take(message, frame)
        elif isinstance(message, acrel4g.Unknown):
            self.listener.unusable(self, message.reason, frame.raw)

    def _take(self, data: acrel4g.Data, frame: acrel4g.Frame) -> None:
        """Hand pushed readings over; the meter hears of it when they are in the database."""
        usable: list[tuple[Meter, acrel4g.Block]] = []
        troubles = list(data.ignored)
        for entry in data.entries:
            meter = self._meter(entry.answer.unit)
            try:
                if meter is None:
                    raise ValueError(f"no meter has unit {entry.answer.unit} ({entry.address})")
                usable.append((meter, acrel4g.decode_block(entry.answer.data)))
            except ValueError as error:
                troubles.append(str(error))
        if troubles:
            self.listener.unusable(self, "; ".join(troubles), frame.raw)
        if not usable:
            self._stored()  # else it would be sent again and again
            return
        left = len(usable)

        def stored() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._stored()

        for meter, block in usable:
            self._take_block(meter, block, stored)

    def _stored(self) -> None:
        if self.connected:
            self.transport.write(acrel4g.data_reply())

    def _meter(self, unit: int) -> Meter | None:
        for meter in self.worker.gateway.meters.values():
            if meter.profile.protocol == "modbus" and meter.address == str(unit):
                return meter
        return None

    def _take_block(self, meter: Meter, block: acrel4g.Block, stored) -> None:
        wanted = {point.channel for point in meter.profile.points} | {"energy"}
        found = {code: value for code, value in block.registers.items() if code in wanted}
        shown = {code: value for code, value in block.uncertain.items() if code in wanted}
        at, drift = device_time(block.time, meter.tz, self._clock_given)
        if drift is not None:
            found["drift"] = drift
        covered = {point.channel for point in meter.profile.points if point.frequent}
        all_there = covered <= found.keys() | shown.keys()
        self.worker.take(meter, found, at, stored, uncertain=shown)
        self.worker.pushed(meter, all_there)

    def _framed(self, exchange: Exchange) -> Exchange:
        if not isinstance(exchange, ModbusExchange):
            raise NoReply(Outcome.MALFORMED, "a 4G meter that dials in speaks Modbus only")
        return exchange.tunnelled(self.identity)

    async def send(self, data: bytes) -> None:
        await super().send(acrel4g.tunnel_request(data))

    def _expire(self) -> None:
        super()._expire()
        if not self.listener.keep_channel:
            self.close()


def zone(gateway: Gateway) -> ZoneInfo:
    """Time zone of the place of a gateway's meters."""
    for meter in gateway.meters.values():
        return meter.tz
    return _DEFAULT_ZONE


def device_time(
    local: datetime | None, tz: ZoneInfo, clock_given: bool
) -> tuple[datetime | None, int | None]:
    """When a device had the values (naive UTC), and by how many seconds its clock is wrong.

    :param local: as the device tells it: aware, or naive in the time of its place

    A device time far from now is believed only of a device that got the time from us: then the
    values are old. Else the clock is wrong, and the time of arrival counts (None).
    """
    if local is None:
        return None, None
    now = utcnow()
    at = naive_utc(local, tz)
    if now - CLOCK_TOLERANCE <= at <= now + CLOCK_TOLERANCE:
        return min(at, now), (at - now).seconds if at > now else -(now - at).seconds
    if clock_given and now - OLDEST < at < now:
        return at, None
    return None, round((at - now).total_seconds())


@lru_cache(maxsize=4096)
def naive_utc(local: datetime, tz: ZoneInfo) -> datetime:
    """An aware moment, or a naive one of that zone, as Odoo stores it."""
    aware = local if local.tzinfo is not None else local.replace(tzinfo=tz)
    return aware.astimezone(timezone.utc).replace(tzinfo=None)


LINKS: dict[str, type[DialInLink]] = {"dtu": DtuLink, "acrel_4g": Acrel4gLink}


class Listener:
    """The open port of one kind of devices.

    :param kind: "dtu" or "acrel_4g"
    :raises OSError: the port cannot be opened
    """

    def __init__(
        self,
        collector: Collector,
        kind: str,
        address: tuple[str, int],
        registration_seconds: float = 10.0,
        keep_channel: bool = False,
    ) -> None:
        self.collector, self.kind = collector, kind
        self.registration_seconds = registration_seconds
        self.keep_channel = keep_channel
        self.listed: dtu.KnownIdentities | frozenset[str] = frozenset()
        self.links: dict[str, DialInLink] = {}  # the live one of each identity
        self.refused = 0
        self._all: set[DialInLink] = set()
        self._strangers: set[DialInLink] = set()
        self._failures = Budget(FAILURES, FAILURE_SECONDS)
        self._journal = Strangers()
        self._takeovers: dict[str, deque[float]] = {}
        self._stale = asyncio.Event()
        self._tasks: set[asyncio.Task] = set()
        self._socket = bind(address)
        self._loop = asyncio.get_running_loop()

    @property
    def address(self) -> tuple[str, int]:
        return self._socket.getsockname()[:2]

    def changed(self) -> None:
        """The list of gateways may have changed."""
        self._stale.set()

    async def run(self) -> None:
        """Serve until cancelled. The port opens when the list of identities is known."""
        await self._refresh()
        server = await self._loop.create_server(
            lambda: LINKS[self.kind](self), sock=self._socket.dup(), backlog=BACKLOG
        )
        _logger.info("Listening for %s on %s port %s", self.kind, *self.address)
        try:
            while True:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stale.wait(), RELOAD_EVERY)
                await self._refresh()
        finally:
            server.close()
            for link in list(self._all):
                link.close()

    def close(self) -> None:
        self._socket.close()

    async def _refresh(self) -> None:
        """Follow the list of gateways, and say which of them have not come back to anybody."""
        self._stale.clear()
        while True:
            try:
                self._take_over(await self.collector.store.identities(self.kind))
                missing = await self.collector.store.missing(self.kind)
                break
            except DatabaseAway:
                await asyncio.sleep(1)
        for gateway in missing.values():
            if gateway.id not in self.collector.workers:
                detail = "the device has not dialled in again"
                event = Event("gateway_offline", detail, gateway_id=gateway.id, severity="alarm")
                gateway.told_offline = True
                self.collector.sink.put_gateway(gateway, False, detail, [event])

    def _take_over(self, rows: list[tuple[str, bool]]) -> None:
        if self.kind != "dtu":
            self.listed = frozenset(identity for identity, _in_hex in rows)
            return
        names = {}
        for identity, in_hex in rows:
            try:
                names[identity_wire(identity, in_hex)] = identity
            except ValueError as error:
                _logger.warning("Gateway identity: %s", error)
        self.listed = dtu.KnownIdentities(names)

    # what links say

    def accepted(self, link: DialInLink) -> bool:
        """Whether whoever connects may say who it is."""
        now = self._loop.time()
        if len(self._strangers) >= MAX_STRANGERS or not self._failures.allows(link.host, now):
            self.refused += 1
            return False
        self._all.add(link)
        self._strangers.add(link)
        return True

    def lost(self, link: DialInLink) -> None:
        self._all.discard(link)
        self._strangers.discard(link)
        if self.links.get(link.identity) is link:
            del self.links[link.identity]

    def identified(self, link: DialInLink) -> None:
        """A listed identity: let its gateway's worker have the link."""
        task = asyncio.create_task(self._admit(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _admit(self, link: DialInLink) -> None:
        before = self.links.get(link.identity)
        self.links[link.identity] = link
        try:
            worker = await self.collector.dialled_in(self.kind, link.identity, link)
        except DatabaseAway:
            link.close()  # it will dial again
            return
        if worker is None:
            if link.connected:
                self.unknown(link)
            return
        self._strangers.discard(link)
        if before is not None and before.host != link.host:
            self._taken_over(worker, before, link)

    def _taken_over(self, worker: GatewayWorker, old: DialInLink, new: DialInLink) -> None:
        now = self._loop.time()
        times = self._takeovers.setdefault(new.identity, deque(maxlen=TAKEOVERS + 1))
        times.append(now)
        if len(times) > TAKEOVERS and now - times[0] < TAKEOVER_SECONDS:
            detail = (
                f"identity {new.identity} is used from {old.host} and {new.host} in turn: "
                "two devices have it, or somebody claims it"
            )
            self._event(worker.gateway, "takeover", detail, "alarm")

    def unknown(self, link: DialInLink) -> None:
        """Somebody who is not listed: show it once an hour, drop it."""
        now = self._loop.time()
        self._failures.spend(link.host, now)
        if self._journal.new(link.identity, now):
            _logger.warning("Unknown %s %s from %s", self.kind, link.identity, link.peer)
            self.collector.sink.put_message(
                self.kind, link.identity, "no gateway has this identity", link.head, link.peer,
                unknown_device=True,
            )  # fmt: skip
        link.close()

    def nobody(self, link: DialInLink, reason: str) -> None:
        """Somebody who did not say who it is; what it said may help to set a device up."""
        now = self._loop.time()
        self._failures.spend(link.host, now)
        if link.head and self._journal.new((link.host,), now):
            self.collector.sink.put_message(self.kind, "", reason, link.head, link.peer)

    def unusable(self, link: DialInLink, reason: str, payload: bytes) -> None:
        """Something of a listed device that cannot be used."""
        if self._journal.new((link.identity, reason), self._loop.time()):
            self.collector.sink.put_message(
                self.kind, link.identity, reason, payload, link.peer, link.worker.gateway
            )

    def device(self, link: DialInLink, signal: int, iccid: str) -> None:
        """What a device says of itself. The database notes when the SIM card is another one."""
        self.collector.sink.put_device(link.worker.gateway, signal, iccid, link.peer)

    def _event(self, gateway: Gateway, kind: str, detail: str, severity: str) -> None:
        event = Event(kind, detail, gateway_id=gateway.id, severity=severity)
        self.collector.sink.put_gateway(gateway, events=[event])
