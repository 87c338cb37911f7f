"""The collector process: leases gateways, follows the database, runs one worker for each gateway."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
import uvloop

from . import config, metrics
from .late import LateData
from .link import Link
from .listener import Listener
from .mqtt import Mqtt
from .options import Options
from .sink import Sink
from .spool import Spool
from .store import DatabaseAway, Store
from .worker import GatewayWorker, Probe

_logger = logging.getLogger(__name__)

LEASE_SECONDS = 30
RENEW_EVERY = 5.0
#: Commands are fetched on notification; this is the safety net for a lost one.
FETCH_EVERY = 2.0
#: The configuration is read anew now and then, in case a notification was lost.
RELOAD_EVERY = 300.0
#: Kinds of gateways that a collector connects to, with a broker also “mqtt”; the others connect to
#: a collector.
REACHABLE = ["tcp_serial", "tcp_modbus"]
CHANNELS = ("prepay_config", "prepay_command", "prepay_read", "prepay_setting", "prepay_probe")


class PortError(Exception):
    """A port that cannot be opened; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A device that has dialled in and waits for its worker."""

    kind: str
    identity: str
    link: Link
    worker: asyncio.Future


class Collector:
    """One collector of possibly several that share a fleet by leases."""

    def __init__(
        self, conninfo: dict, options: Options | None = None, owner: str | None = None
    ) -> None:
        self.options = options = options or Options()
        self.name = options.name or socket.gethostname()
        self.owner = owner or f"{self.name}:{os.getpid()}"
        self.store = Store(conninfo)
        spool = options.spool / "readings.spool" if options.spool else None
        self.sink = Sink(Store(conninfo, staging=True), Spool(spool, options.spool_limit))
        self.late = LateData(self.sink)
        self.workers: dict[int, GatewayWorker] = {}
        self.health_address = ""
        self.kinds = [*REACHABLE, "mqtt"] if options.mqtt else REACHABLE
        self.mqtt: Mqtt | None = None
        self.listeners: list[Listener] = []
        self._arrivals: list[Arrival] = []
        self._arrived = asyncio.Event()
        self._tasks: dict[int, asyncio.Task] = {}
        self._changed: set[int] | None = None  # gateways to load anew; None: all
        self._reload = asyncio.Event()
        self._fetch = asyncio.Event()
        self._work = asyncio.Event()
        self._assigning = asyncio.Lock()
        self._lease_until = 0.0
        self._database_away = False
        self._loop = asyncio.get_running_loop()

    # life

    async def run(self) -> None:
        """Serve until cancelled; then give the leases back so that another one takes over at once."""
        runner = None
        self._open_ports()
        if self.options.health:
            try:
                runner = await metrics.serve(self, *self.options.health)
            except OSError as error:
                raise PortError(f"cannot open the health pages: {error}") from error
            self.health_address = "{}:{}".format(*runner.addresses[0][:2])
        writing = [
            asyncio.create_task(self._supervised(loop), name=loop.__qualname__)
            for loop in (self.late.run, self.sink.run)
        ]
        loops = [
            asyncio.create_task(self._supervised(loop), name=loop.__name__)
            for loop in (
                self._listen,
                self._keep_leases,
                self._follow_changes,
                self._fetch_commands,
                self._fetch_work,
                self._admit_arrivals,
                *(listener.run for listener in self.listeners),
                *([self.mqtt.run] if self.mqtt else []),
            )
        ]
        try:
            await asyncio.gather(*loops)
        finally:
            await _cancel([*loops, *self._tasks.values()])
            await _cancel(writing)
            for listener in self.listeners:
                listener.close()
            if self.mqtt is not None:
                await self.mqtt.close()
            if runner is not None:
                await runner.cleanup()
            try:
                await self.store.release(self.owner)
                await self.store.close()
                await self.sink.store.close()
            except psycopg.Error:
                _logger.warning("The database is away; the leases run out in %s s", LEASE_SECONDS)

    def _open_ports(self) -> None:
        """Take the ports for devices that dial in.

        :raises PortError: a port is taken, or not of this machine
        """
        options = self.options
        if options.mqtt:
            self.mqtt = Mqtt(self, options.mqtt, self.name)
        for kind, address in (("dtu", options.dtu), ("acrel_4g", options.acrel_4g)):
            if not address:
                continue
            try:
                listener = Listener(
                    self, kind, address, options.registration_seconds, options.keep_channel
                )
            except OSError as error:
                for opened in self.listeners:
                    opened.close()
                raise PortError("cannot listen on {}:{}: {}".format(*address, error)) from error
            self.listeners.append(listener)

    async def _supervised(self, loop) -> None:
        """Run a loop for ever: a database that is away is waited for, other failures are logged."""
        while True:
            try:
                await loop()
            except asyncio.CancelledError:
                raise
            except DatabaseAway as error:
                if not self._database_away:
                    _logger.warning("Database: %s; trying again", str(error).strip())
                self._database_away = True
            except Exception:
                _logger.exception("Collector: %s failed, starting it again", loop.__name__)
            await asyncio.sleep(1)

    # notifications

    async def _listen(self) -> None:
        """Follow notifications: changed configuration, new commands, read-now requests."""
        connection = await psycopg.AsyncConnection.connect(**self.store.conninfo, autocommit=True)
        async with connection:
            for channel in CHANNELS:
                await connection.execute(f"LISTEN {channel}")
            # What was notified before is not known: look at everything.
            self._changed = None
            for event in (self._reload, self._fetch, self._work):
                event.set()
            for listener in self.listeners:
                listener.changed()
            if self.mqtt is not None:
                self.mqtt.changed(set())
            async for notification in connection.notifies():
                self._notified(notification.channel, notification.payload)

    def _notified(self, channel: str, payload: str) -> None:
        ids = {int(part) for part in payload.split(",") if part.isdecimal()}
        if channel == "prepay_config":
            if not ids:
                self._changed = None
            elif self._changed is not None:
                self._changed |= ids
            self._reload.set()
            for listener in self.listeners:
                listener.changed()
            if self.mqtt is not None:
                self.mqtt.changed(ids)
        elif channel == "prepay_command":
            self._fetch.set()
        elif channel == "prepay_read":
            for worker in self.workers.values():
                worker.read_now(ids)
        else:
            self._work.set()

    # leases and configuration

    def may_serve(self) -> bool:
        """Whether the gateways are surely still ours.

        While the database is away nobody can take them over by it; then reading goes on, and no
        command runs because each one asks the database first.
        """
        return self._loop.time() < self._lease_until or self._database_away

    async def _keep_leases(self) -> None:
        """Renew the leases, take over orphaned gateways, leave others their share."""
        while True:
            asked_at = self._loop.time()
            mine = {worker.gateway.state_id: key for key, worker in self.workers.items()}
            peers = await self.store.heartbeat(
                self.owner, self.health_address, len(mine), LEASE_SECONDS
            )
            still = await self.store.renew(list(mine), self.owner, LEASE_SECONDS)
            self._lease_until = asked_at + LEASE_SECONDS - 1
            self._database_away = False
            for state_id, key in mine.items():
                if state_id not in still:
                    _logger.warning(
                        "Gateway %s is served by another collector",
                        self.workers[key].gateway.name,
                    )
                    await self._stop(key)
            await self._share(peers)
            await self.store.seen(
                {
                    worker.gateway.state_id: worker.last_seen
                    for worker in self.workers.values()
                    if worker.last_seen
                }
            )
            await asyncio.sleep(RENEW_EVERY)

    async def _share(self, peers: int) -> None:
        """Take free gateways up to a fair share; give back what is clearly more than that."""
        async with self._assigning:
            await self._share_alone(peers)

    async def _share_alone(self, peers: int) -> None:
        total = await self.store.reachable(self.kinds)
        fair = -(-total // max(peers, 1))
        held = [k for k, worker in self.workers.items() if worker.gateway.kind in self.kinds]
        if len(held) > fair + fair // 20:
            for key in held[fair:]:
                state_id = self.workers[key].gateway.state_id
                await self._stop(key)
                await self.store.release(self.owner, [state_id])
        elif len(held) < fair:
            taken = await self.store.take(self.owner, LEASE_SECONDS, self.kinds, fair - len(held))
            if taken:
                await self._load_states(taken)

    async def dialled_in(self, kind: str, identity: str, link: Link) -> GatewayWorker | None:
        """A device is on the line: serve its gateway from here on, or None when it is not listed.

        The newest connection wins, also over another collector: an old one is half open.

        :raises DatabaseAway: nobody can say now whether it is listed
        """
        arrival = Arrival(kind, identity, link, self._loop.create_future())
        self._arrivals.append(arrival)
        self._arrived.set()
        return await arrival.worker

    async def _admit_arrivals(self) -> None:
        """After a power cut all devices dial in at once: many are admitted together."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            arrivals, self._arrivals = self._arrivals, []
            try:
                await self._admit(arrivals)
            except Exception as error:
                for arrival in arrivals:
                    if not arrival.worker.done():
                        arrival.worker.set_exception(error)
                if not isinstance(error, DatabaseAway):
                    raise

    async def _admit(self, arrivals: list[Arrival]) -> None:
        try:
            await self._claim(arrivals)
        except DatabaseAway:
            # Nobody else can take the gateways over now: go on with those we had.
            known = {(w.gateway.kind, w.gateway.identity): w for w in self.workers.values()}
            for arrival in arrivals:
                if worker := known.get((arrival.kind, arrival.identity)):
                    self._attach(arrival, worker)
            raise

    async def _claim(self, arrivals: list[Arrival]) -> None:
        ids = await self.store.gateways_by_identity(
            [(arrival.kind, arrival.identity) for arrival in arrivals]
        )
        async with self._assigning:
            fresh = await self.store.load(sorted(set(ids.values()) - self.workers.keys()))
            peers, found = {}, []
            for arrival in arrivals:
                key = ids.get((arrival.kind, arrival.identity))
                gateway = self.workers[key].gateway if key in self.workers else fresh.get(key)
                if gateway is not None and arrival.link.connected:
                    peers[gateway.state_id] = arrival.link.peer
                    found.append((arrival, gateway))
            await self.store.claim(peers, self.owner, LEASE_SECONDS)
            for arrival, gateway in found:
                self._attach(arrival, self._start(gateway))
        for arrival in arrivals:
            if not arrival.worker.done():
                arrival.worker.set_result(None)
        self._fetch.set()
        self._work.set()

    def _attach(self, arrival: Arrival, worker: GatewayWorker) -> None:
        if arrival.link.connected:
            worker.attach(arrival.link)
            arrival.worker.set_result(worker)

    async def _load_states(self, state_ids: set[int]) -> None:
        for gateway in (await self.store.load(await self.store.gateways_of(state_ids))).values():
            self._start(gateway)

    async def _follow_changes(self) -> None:
        """Take changed settings over while running."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._reload.wait(), RELOAD_EVERY)
            await asyncio.sleep(0.05)  # several changes in a row are one
            self._reload.clear()
            changed, self._changed = self._changed, set()
            wanted = set(self.workers) if changed is None else changed & set(self.workers)
            if wanted:
                fresh = await self.store.load(sorted(wanted))
                for key in wanted:
                    await self._change(key, fresh.get(key))
            # Gateways that were added, or are reachable now, need not wait for the next round.
            await self._share(await self.store.peers(LEASE_SECONDS))

    async def _change(self, key: int, gateway: config.Gateway | None) -> None:
        worker = self.workers.get(key)
        if worker is None:
            return
        if gateway is None:
            await self._stop(key)
            await self.store.release(self.owner, [worker.gateway.state_id])
        elif gateway.kind == worker.gateway.kind == "mqtt":
            return  # follows by itself, with those that are not leased
        elif gateway.endpoint != worker.gateway.endpoint:
            await self._stop(key)
            if gateway.kind in self.kinds:
                self._start(gateway)
            else:  # it will dial in, or belongs to those that have a broker
                await self.store.release(self.owner, [worker.gateway.state_id])
        else:
            worker.configure(gateway)

    def _start(self, gateway: config.Gateway) -> GatewayWorker:
        if gateway.id in self.workers:
            return self.workers[gateway.id]
        if gateway.kind == "mqtt":
            worker = self.mqtt.worker(gateway)
        else:
            worker = GatewayWorker(gateway, self.store, self.sink, self.late, self.may_serve)
        self.workers[gateway.id] = worker
        self._tasks[gateway.id] = asyncio.create_task(worker.run(), name=gateway.name)
        self._fetch.set()
        self._work.set()
        _logger.info("Serving gateway %s with %s meters", gateway.name, len(gateway.meters))
        return worker

    async def _stop(self, key: int) -> None:
        self.workers.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            await _cancel([task])

    # work

    async def _fetch_commands(self) -> None:
        while True:
            await _wait(self._fetch, FETCH_EVERY)
            for command in await self.store.due_commands(list(self.workers)):
                worker = self.workers.get(command.gateway_id)
                if worker is not None:
                    worker.add_command(command)

    async def _fetch_work(self) -> None:
        """Settings, credit and tries."""
        while True:
            await _wait(self._work, 2.5 * FETCH_EVERY)
            if not self.workers:
                continue
            ids = list(self.workers)
            for row in await self.store.due_probes(ids):
                profile = await self.store.load_profile(row["profile_id"])
                self.workers[row["gateway_id"]].add_probe(Probe(row["id"], profile, row["address"]))
            for task in await self.store.due_tasks(ids):
                worker = self.workers.get(task.gateway_id)
                if worker is not None:
                    worker.add_task(task)

    # what others see

    def figures(self) -> Iterable[tuple[str, str, float]]:
        """Name, meaning and value of each metric."""
        workers = list(self.workers.values())
        meters = [meter for worker in workers for meter in worker.gateway.meters.values()]
        yield "gateways", "Gateways served", len(workers)
        yield "gateways_online", "Gateways that answer", sum(w.online is True for w in workers)
        yield "meters", "Meters served", len(meters)
        yield (
            "meters_silent",
            "Meters that missed their last poll",
            sum(meter.missed > 0 for meter in meters),
        )
        yield "dialled_in", "Devices on the line", sum(len(each.links) for each in self.listeners)
        yield (
            "refused_total",
            "Connections refused unheard",
            sum(each.refused for each in self.listeners),
        )
        if self.mqtt is not None:
            yield "mqtt_connected", "1 while the broker is connected", int(self.mqtt.connected)
            yield "mqtt_messages_total", "Messages taken", self.mqtt.messages
            yield "mqtt_unusable_total", "Messages that could not be used", self.mqtt.unusable
            yield "mqtt_silence_seconds", "Time since the last message", self.mqtt.silence
        yield "polls_total", "Answered polls", sum(worker.polls for worker in workers)
        yield "misses_total", "Polls without a usable answer", sum(w.misses for w in workers)
        yield "stored_total", "Results stored", self.sink.stored_polls
        yield "dropped_total", "Results that could not be stored", self.sink.dropped
        yield "waiting", "Results not yet stored", self.sink.waiting
        yield (
            "spool_bytes",
            "Results on disk while the database is away",
            self.sink.spool.pending_bytes,
        )
        yield "commands_waiting", "Commands and settings under way", sum(w.waiting for w in workers)
        yield "database_away", "1 while the database does not answer", int(self._database_away)
        late = [
            due for worker in workers if (due := worker.schedule.overdue(self._loop.time())) > 0
        ]
        yield "lag_seconds", "Longest wait of a poll behind its time", max(late, default=0.0)

    def troubles(self) -> list[str]:
        """Why this collector is not healthy; empty when it is."""
        found = []
        if self._database_away or self.sink.away:
            found.append("the database does not answer")
        if not self.may_serve():
            found.append("the leases could not be renewed")
        if self.sink.dropped:
            found.append(f"{self.sink.dropped} results could not be stored")
        if self.mqtt is not None and self.mqtt.trouble:
            found.append(self.mqtt.trouble)
        return found


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    event.clear()


async def _cancel(tasks: list[asyncio.Task]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def run(conninfo: dict, options: Options | None = None) -> None:
    """Run a collector until SIGTERM or SIGINT."""
    if hasattr(asyncio, "Runner"):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(conninfo, options))
    else:  # Python 3.10
        uvloop.install()
        asyncio.run(_main(conninfo, options))


async def _main(conninfo: dict, options: Options | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # What is loaded now stays. Thousands of results wait for their transaction and are no garbage:
    # looking through them again and again would cost a tenth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 10, 20)
    collector = Collector(conninfo, options)
    _logger.info("Collector %s started", collector.owner)
    serving = asyncio.create_task(collector.run())
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    (result,) = await asyncio.gather(serving, return_exceptions=True)
    if isinstance(result, Exception):
        raise result
    _logger.info("Collector %s stopped", collector.owner)
