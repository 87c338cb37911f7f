"""The work on one gateway: commands first, then settings, tries, and the meters that are due."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from ..channels import REGISTERS
from ..protocols.errors import Outcome
from ..protocols.exchange import Reply
from . import driver, plan, settings
from .config import Gateway, Meter, Profile
from .judge import drift, judge, judge_battery, judge_power, limits
from .late import LateData
from .link import GatewayOffline, Link, ModbusTcpLink, NoReply, SerialLink, Stale
from .results import Event, PollResult, utcnow
from .schedule import MISSES_UNTIL_OFFLINE, Schedule
from .sink import Sink
from .store import Command, Store

_logger = logging.getLogger(__name__)

#: Read-backs after a relay command, with growing pauses, before it is written again.
READ_BACKS = 4
#: Seconds until a relay command is tried again, by number of attempts.
RETRY_AFTER = (1, 2, 5, 10, 30, 60)
#: A relay command must be on the wire this soon after its intent was committed (S-07).
FRESH_SECONDS = 5.0
#: Longest run of a scheduled sweep on one gateway.
RUN_SECONDS = 240.0
#: Events that a good poll clears.
COMMUNICATION = frozenset(
    {"timeout", "crc", "wrong_unit", "unknown_address", "exception", "malformed", "offline"}
)
#: Events that a relay in its desired state clears.
RELAY = frozenset({"relay_mismatch", "load_when_open"})


@dataclass(slots=True)
class ReadBack:
    """A relay that is to be read back, again and again with longer pauses."""

    command: Command
    left: int
    pause: float


@dataclass(frozen=True, slots=True)
class Probe:
    """A try of a profile on a meter that need not be listed."""

    id: int
    profile: Profile
    address: str


class GatewayWorker:
    """Serves one gateway; nothing else talks to it while this process holds its lease.

    ``may_serve``: asked before each step; False when the lease may have been lost.
    """

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        sink: Sink,
        late: LateData | None = None,
        may_serve: Callable[[], bool] = lambda: True,
    ) -> None:
        self.gateway = gateway
        self.store = store
        self.sink = sink
        self.late = late or LateData(sink)
        self.link = self._make_link()
        self.schedule = Schedule()
        self.in_full: set[int] = set()
        self.commands: dict[int, Command] = {}
        self.read_backs: list[tuple[float, int, ReadBack]] = []
        self.tasks: dict[object, settings.Task] = {}
        self.probes: list[Probe] = []
        self.executing: set[int] = set()
        self._soon: set[int] = set()
        self.wake = asyncio.Event()
        self.online: bool | None = None
        self.last_seen: datetime | None = None
        self.polls = 0
        self.misses = 0
        self._may_serve = may_serve
        self._failures = 0
        self._dials_in = gateway.dials_in
        self._in_flight: tuple[Meter, plan.Block, float] | None = None
        self._row_over: asyncio.Future | None = None
        self._in_row = self._answered  # one object, to be known by
        self._in_rows = True
        self._loop = asyncio.get_running_loop()
        self._plan(gateway)

    def _make_link(self) -> Link:
        gateway = self.gateway
        if gateway.kind == "tcp_modbus":
            return ModbusTcpLink(gateway.host, gateway.port, gateway.timeout, gateway.gap)
        if gateway.kind == "tcp_serial":
            return SerialLink(gateway.host, gateway.port, gateway.timeout, gateway.gap)
        return Link(gateway.timeout, gateway.gap)  # replaced when the device dials in

    # what others call

    def configure(self, gateway: Gateway) -> None:
        """Take changed settings over without losing what is known of the meters."""
        for meter_id, fresh in gateway.meters.items():
            known = self.gateway.meters.get(meter_id)
            if known is None:
                continue
            fresh.missed = known.missed
            fresh.ever_seen = fresh.ever_seen or known.ever_seen
            # A person entered a newer reading, or began the register anew: the memory is out of date.
            newer = fresh.last_at and (not known.last_at or fresh.last_at > known.last_at)
            if known.baseline_at == fresh.baseline_at and not newer:
                fresh.last_at, fresh.last_value = known.last_at, known.last_value
                if known.profile.id == fresh.profile.id:
                    fresh.quality, fresh.load = known.quality, known.load
                    if fresh.quality is not None:
                        fresh.quality.limits = limits(fresh)
            fresh.open_events |= known.open_events
            if known.interval != fresh.interval:
                self.schedule.remove(meter_id)
        for meter_id in self.gateway.meters.keys() - gateway.meters.keys():
            self.schedule.remove(meter_id)
        gateway.told_offline |= self.gateway.told_offline
        self.gateway = gateway
        self.link.timeout, self.link.gap = gateway.timeout, gateway.gap
        self._plan(gateway)
        self.wake.set()

    def attach(self, link: Link) -> None:
        """A device has dialled in; the newest connection is the one that lives."""
        old, self.link = self.link, link
        link.timeout, link.gap = self.gateway.timeout, self.gateway.gap
        if old is not link:
            old.close()
        self.last_seen = utcnow()
        self._found()
        link.served(self)
        self.wake.set()

    def read_now(self, meter_ids: set[int]) -> None:
        """Poll these meters next, with the points that are not read each time."""
        for meter_id in meter_ids & self.gateway.meters.keys():
            self.schedule.add(self.gateway.meters[meter_id], 0.0)
            self.in_full.add(meter_id)
        self.wake.set()

    def pushed(self, meter: Meter, covered: bool) -> None:
        """The meter has sent by itself; ``covered``: all that a poll would bring."""
        now = self._loop.time()
        if meter.id in self._soon:
            self._soon.discard(meter.id)
            self.schedule.add(meter, now + 1)
        elif covered:
            self.schedule.polled(meter, now, time.time())
        self.wake.set()

    def add_command(self, command: Command) -> None:
        """Queue a command; a newer wish for the same meter replaces an older one."""
        if command.id in self.executing:
            return
        waiting = self.commands.get(command.meter_id)
        if waiting is None or waiting.epoch <= command.epoch:
            self.commands[command.meter_id] = command
        self.wake.set()

    def add_task(self, task: settings.Task) -> None:
        """Queue a setting or a credit step."""
        self.tasks[task.key] = task
        self.wake.set()

    def add_probe(self, probe: Probe) -> None:
        self.probes.append(probe)
        self.wake.set()

    @property
    def waiting(self) -> int:
        """Commands, settings and tries that wait for their turn."""
        return len(self.commands) + len(self.tasks) + len(self.probes) + len(self.read_backs)

    # life

    async def run(self) -> None:
        """Serve the gateway until cancelled."""
        try:
            while True:
                try:
                    await self.step()
                except GatewayOffline as error:
                    await self._lost(error)
                except asyncio.CancelledError:
                    raise
                except Exception:
                    # one faulty device or record must not end the service of a gateway
                    _logger.exception("Gateway %s: unexpected failure, going on", self.gateway.name)
                    await asyncio.sleep(1)
        finally:
            self.link.close()

    async def run_due(self) -> None:
        """Do what waits now and what is due now, then return.

        A first value is read twice before it counts, so what it asks for belongs to this run.
        """
        self._in_rows = False  # a row of polls would go on with what falls due meanwhile
        until = self._loop.time()
        while (
            self.waiting or self._soon or self.schedule.next(until)[0] is not None
        ) and self._loop.time() < until + RUN_SECONDS:
            await self.step()

    async def step(self) -> None:
        """Do the most urgent thing, or wait for one."""
        if not self._may_serve():
            await asyncio.sleep(0.2)
            return
        if self._dials_in and not self.link.connected:
            await self._not_there_yet()
            return
        now = self._loop.time()
        if self.commands:
            command = self.commands.pop(min(self.commands, key=lambda m: self.commands[m].id))
            await self.execute(command)
        elif self.read_backs and self.read_backs[0][0] <= now:
            await self._read_back(heapq.heappop(self.read_backs)[2])
        elif self.tasks:
            await self._carry_out(self.tasks.pop(next(iter(self.tasks))))
        elif self.probes:
            await self._try(self.probes.pop(0))
        else:
            meter_id, at = self.schedule.next(now)
            if meter_id is not None:
                meter = self.gateway.meters[meter_id]
                rows = self._in_rows and self.link.idle_at(now)
                block = self._only_block(meter) if rows else None
                if block is None:
                    await self.poll(meter)
                else:
                    await self._poll_in_a_row(meter, block, now)
                return
            if self.read_backs:
                at = min(at, self.read_backs[0][0])
            await self._sleep_until(at)

    async def _sleep_until(self, at: float) -> None:
        self.wake.clear()
        timer = self._loop.call_at(at, self.wake.set)
        try:
            await self.wake.wait()
        finally:
            timer.cancel()

    async def _not_there_yet(self) -> None:
        """Wait for the device to dial in; its commands wait too, or run out.

        A device that is back before it had to give a sign of life was never away.
        """
        self.commands.clear()
        until = self.link.heard_at + self.gateway.idle_limit
        if self.online is not False and self._loop.time() >= until:
            self.lost(GatewayOffline("the device has not dialled in again"))
        await self._sleep_until(self._loop.time() + 60 if self.online is False else until)

    # polling

    def _plan(self, gateway: Gateway) -> None:
        """Meters without a plan: those that are late are asked now, the others in their slots."""
        now, wall = self._loop.time(), utcnow()
        for meter in gateway.meters.values():
            if meter.id in self.schedule:
                continue
            age = (wall - meter.last_at).total_seconds() if meter.last_at else meter.interval
            self.schedule.add(meter, now + max(0.0, meter.interval - age))

    async def poll(self, meter: Meter) -> None:
        """Read a meter once and hand over what came of it."""
        full = meter.id in self.in_full
        self.in_full.discard(meter.id)
        self.schedule.remove(meter.id)
        began = self._loop.time()
        was_silent = meter.missed >= MISSES_UNTIL_OFFLINE
        try:
            try:
                found = await driver.read(meter, full, self._asker(meter))
                if not self.online:
                    self._found()
            except NoReply as error:
                self._missed(meter, error)
            else:
                self.polls += 1
                self.take(meter, found)
        except GatewayOffline:
            if full:
                self.in_full.add(meter.id)
            self.schedule.add(meter, began)
            raise
        except Exception:
            self._plan_next(meter, self._loop.time())
            raise
        ended = self._loop.time()
        if was_silent and meter.missed:
            self.schedule.spent_on_silence(began, ended)
        self._plan_next(meter, ended)

    def _plan_next(self, meter: Meter, ended: float) -> None:
        if meter.id in self.gateway.meters and meter.id not in self.schedule:
            self.schedule.polled(meter, ended, time.time())
            if meter.id in self._soon:
                self.schedule.add(meter, ended + 1.1)

    def _only_block(self, meter: Meter) -> plan.Block | None:
        """The one request that a poll of this meter takes; None when there is more to it."""
        if (
            not self.online
            or meter.missed
            or meter.trace_until is not None
            or meter.malicious_step_w
            or meter.id in self.in_full
        ):
            return None
        found = driver.frequent_blocks(meter.profile)
        return found[0] if len(found) == 1 else None

    async def _poll_in_a_row(self, meter: Meter, block: plan.Block, now: float) -> None:
        """Poll one meter after the other from the answers, until something else is to be done.

        The same as `poll`, without a task that wakes up between: half of the work of a busy link.
        """
        self._row_over = over = self._loop.create_future()
        self._ask_in_row(meter, block, now)
        try:
            await over
        finally:
            self._row_over = self._in_flight = None
            self.link.abandon(self._in_row)

    def _ask_in_row(self, meter: Meter, block: plan.Block, now: float) -> None:
        self.schedule.remove(meter.id)
        self._in_flight = meter, block, now
        self.link.start(driver.request(meter, block), self._in_row, now)

    def _answered(self, reply: Reply | None, error: Exception | None) -> None:
        """What came of the request in flight; then the next one, when nothing else waits."""
        over = self._row_over
        if over is None or over.done():
            return
        meter, block, began = self._in_flight
        try:
            if reply is not None and not reply.more:
                try:
                    found = driver.values(meter, block, reply)
                except NoReply as refusal:
                    self._missed(meter, refusal)
                else:
                    self.polls += 1
                    self.take(meter, found)
            elif isinstance(error, NoReply):
                self._missed(meter, error)
            else:  # the connection is gone, or the answer goes on in another frame
                self.schedule.add(meter, began)
                if error is not None:
                    over.set_exception(error)
                    return
            now = self._loop.time()
            self._plan_next(meter, now)
        except Exception as failure:
            self._plan_next(meter, self._loop.time())
            over.set_exception(failure)
            return
        if error is None and self.link.gap <= 0:
            self._next_in_row(over, now)
        elif error is None:
            self._loop.call_later(self.link.gap, self._next_in_row, over)
        else:
            over.set_result(None)

    def _next_in_row(self, over: asyncio.Future, now: float | None = None) -> None:
        if over.done():
            return
        if not (self.commands or self.tasks or self.probes or self.read_backs):
            now = self._loop.time() if now is None else now
            meter_id, _at = self.schedule.next(now)
            if meter_id is not None and self._may_serve():
                meter = self.gateway.meters[meter_id]
                block = self._only_block(meter)
                if block is not None and self.link.idle_at(now):
                    self._ask_in_row(meter, block, now)
                    return
        over.set_result(None)

    def _missed(self, meter: Meter, error: NoReply) -> None:
        self.misses += 1
        self._soon.discard(meter.id)
        meter.missed += 1
        offline = meter.missed >= MISSES_UNTIL_OFFLINE or not meter.ever_seen
        kind, detail = error.outcome.value, error.detail
        if error.outcome is Outcome.TIMEOUT and not meter.ever_seen:
            kind = "unknown_address"
            detail = f"no meter has ever answered under address {meter.address}"
        events = [Event(kind, detail, meter_id=meter.id)]
        if offline and meter.ever_seen and "offline" not in meter.open_events:
            events.append(Event("offline", detail, meter_id=meter.id, severity="alarm"))
        meter.open_events |= {event.kind for event in events}
        result = PollResult(meter, utcnow(), error=str(error), online=not offline)
        self.sink.put(result, events)

    def take(
        self, meter: Meter, found: dict, at: datetime | None = None, done=None, uncertain=None
    ) -> None:
        """Sort what was read, or what a device sent, into readings, held values and states.

        :param at: device time of the values (naive UTC) when they are not of this moment
        :param done: called when the values are in the database
        :param uncertain: values to show that prove nothing
        """
        now = utcnow()
        self.last_seen = now
        meter.missed, meter.ever_seen = 0, True
        registers, others = {}, {}
        for code, value in found.items():
            if code in REGISTERS:
                registers[code] = value
            else:
                others[code] = value
        found = others
        result = PollResult(meter, at or now, values=found, seen=now)
        verdict = judge(meter, result, registers, now, at is not None)
        if verdict.lookup:
            self.late.add(meter, registers, at, done)
            return
        self._soon.discard(meter.id)
        if verdict.confirm:
            self.schedule_soon(meter)
        events, over = verdict.events, verdict.over
        if found:
            loads, calm = judge_power(meter, result)
            batteries, over = judge_battery(meter, result, over | calm)
            events = [
                *events,
                *self._weigh(meter, result),
                *(drift(meter, result, now) if "clock" in found else ()),
                *loads,
                *batteries,
            ]
        if uncertain:
            result.values |= uncertain
        closing = raised = frozenset()
        if events or meter.open_events:
            if found.get("relay") and found["relay"] == meter.desired:
                over = over | RELAY
            raised = {event.kind for event in events}
            closing = ((over | COMMUNICATION) & meter.open_events) - raised
            meter.open_events = (meter.open_events - closing) | raised
        self.sink.put(result, events, clear=closing, done=done)

    def schedule_soon(self, meter: Meter) -> None:
        """Ask again in a moment: a first value counts when a second one agrees (R-08)."""
        self._soon.add(meter.id)

    def _weigh(self, meter: Meter, result: PollResult) -> Sequence[Event]:
        """What the values say of the relay; the events of what contradicts it."""
        if "relay" not in result.values and "power" not in result.values:
            return ()
        evidence = driver.weigh(meter, result.values)
        if evidence.contradiction:
            result.values["relay"] = None
            detail = evidence.contradiction
            return [Event("load_when_open", detail, meter_id=meter.id, severity="alarm")]
        if evidence.state is not None:
            result.values["relay"] = evidence.state
        elif result.values.get("relay") == "fault":
            detail = "the meter reports a fault of its valve or relay"
            return [Event("valve_fault", detail, meter_id=meter.id, severity="alarm")]
        return ()

    # relay

    async def execute(self, command: Command) -> None:
        """Carry a wish out: intent committed, written, read back, confirmed.

        A command that was sent before a crash is read back first: the relay may already have moved.
        Reading back goes on beside other work: a valve takes its time.
        """
        meter = self.gateway.meters.get(command.meter_id)
        if meter is None:
            return
        self.executing.add(command.id)
        try:
            if command.in_doubt and await self._is_there(command, meter):
                return
            intent_at = self._loop.time()
            if not await self.store.mark_sent(command):
                self.executing.discard(command.id)
                return  # expired, superseded or already done
            ask = self._asker(meter, until=intent_at + FRESH_SECONDS)
            await driver.write_relay(meter, command.target, datetime.now(timezone.utc), ask)
        except NoReply as error:
            await self._not_there(command, meter, str(error))
        except Stale:
            self.executing.discard(command.id)
            await self.store.postpone(command, RETRY_AFTER[0], "sending took too long")
        except GatewayOffline as error:
            self.executing.discard(command.id)
            await self.store.postpone(command, RETRY_AFTER[0], str(error))
            raise
        except BaseException:
            self.executing.discard(command.id)
            raise
        else:
            if meter.profile.relay_proof == "none":
                self.executing.discard(command.id)
                await self.store.finish_unproven(command)
                return
            self._read_back_in(ReadBack(command, READ_BACKS, meter.profile.relay_settle))

    def _read_back_in(self, job: ReadBack) -> None:
        heapq.heappush(self.read_backs, (self._loop.time() + job.pause, id(job), job))

    async def _read_back(self, job: ReadBack) -> None:
        """Look whether the relay has followed; later again, or give up until the next try."""
        command = job.command
        meter = self.gateway.meters.get(command.meter_id)
        try:
            if meter is None or await self._is_there(command, meter):
                self.executing.discard(command.id)
                return
        except GatewayOffline as error:
            self.executing.discard(command.id)
            await self.store.postpone(command, RETRY_AFTER[0], str(error))
            raise
        except BaseException:  # the database is away: the command comes again, in doubt
            self.executing.discard(command.id)
            raise
        job.left -= 1
        job.pause = max(job.pause * 2, 0.2)
        newer = self.commands.get(command.meter_id)
        if job.left and newer is None:
            self._read_back_in(job)
            return
        self.executing.discard(command.id)
        if meter.profile.relay_proof == "load":
            # Acknowledged; an empty room draws no load, whatever the relay does.
            await self.store.finish_unproven(command)
            return
        await self._not_there(command, meter, "the relay did not follow the command")

    async def _is_there(self, command: Command, meter: Meter) -> bool:
        """Read the relay; confirm the command when the profile's proof shows the wanted state."""
        if meter.profile.relay_proof == "none":
            return False
        try:
            found = await driver.read_relay(meter, self._asker(meter))
        except NoReply as error:
            _logger.info("Meter %s: read-back failed: %s", meter.number, error)
            return False
        evidence = driver.weigh(meter, found)
        if evidence.contradiction:
            self._journal(meter, "load_when_open", evidence.contradiction)
            return False
        if evidence.state != command.target:
            return False
        await self.confirm(command, meter, evidence.proof, evidence.power_w)
        return True

    async def confirm(
        self, command: Command, meter: Meter, proof: str, power_w: int | None
    ) -> None:
        """The relay is where it should be."""
        await self.store.confirm(command, meter, proof, power_w)
        self.executing.discard(command.id)
        meter.desired = command.target
        closing = RELAY & meter.open_events
        if closing:
            self.sink.clear(meter.id, closing)
            meter.open_events -= closing
        soon = self._loop.time() + 1  # show the new load
        due = self.schedule.due(meter.id)
        if due is None or due > soon:
            self.schedule.add(meter, soon)

    async def _not_there(self, command: Command, meter: Meter, detail: str) -> None:
        self.executing.discard(command.id)
        attempt = min(command.attempts, len(RETRY_AFTER) - 1)
        await self.store.postpone(command, RETRY_AFTER[attempt], detail)
        if meter.profile.relay_proof != "none":
            self._journal(meter, "relay_mismatch", detail)

    def _journal(self, meter: Meter, kind: str, detail: str) -> None:
        self.sink.put(events=[Event(kind, detail, meter_id=meter.id, severity="alarm")])
        meter.open_events |= {kind}

    # settings and tries

    async def _carry_out(self, task: settings.Task) -> None:
        meter = self.gateway.meters.get(task.meter_id)
        if meter is None:
            return
        try:
            await settings.carry_out(task, meter, self._asker(meter), self.store)
        except NoReply as error:
            _logger.info("Meter %s: setting %s: %s", meter.number, task.key, error)

    async def _try(self, probe: Probe) -> None:
        """Read every point of a profile once, each by itself, and keep what was on the wire."""
        meter = Meter(
            id=0, state_id=0, number=probe.address, address=probe.address, profile=probe.profile,
            interval=60.0, password=probe.profile.password, tz=timezone.utc, last_value=None,
            last_at=None, missed=0, ever_seen=True, desired=None,
        )  # fmt: skip
        lines: list[str] = []
        frames: list[dict] = []

        async def ask(exchange):
            frames.clear()
            try:
                return await self._ask(exchange, None, frames)
            finally:
                lines.extend(
                    f"{frame['at']:%H:%M:%S.%f}"[:-3]
                    + f" {_ARROWS[frame['direction']]} "
                    + (frame["data"] or frame["note"])
                    for frame in frames
                )

        rows, answered, error = [], 0, ""
        try:
            for block in plan.plan(probe.profile, probe.profile.points):
                try:
                    data = await driver.read_block(meter, block, ask)
                except NoReply as failure:
                    rows += [_row(point, error=str(failure)) for point in block.points]
                    continue
                answered += 1
                rows += [_decoded(probe.profile, block, point, data) for point in block.points]
            if not answered:
                error = "no usable answer"
        except GatewayOffline as failure:
            error = str(failure)
            raise
        finally:
            await self.store.finish_probe(probe.id, rows, "\n".join(lines), error)

    # link

    def _asker(self, meter: Meter, until: float | None = None):
        """The way to one meter: with a trace when the installer asked for it."""
        if meter.trace_until is None and until is None and self.online:
            return self.link.ask
        traced = meter.trace_until is not None and meter.trace_until > utcnow()

        async def ask(exchange):
            frames: list[dict] | None = [] if traced else None
            try:
                return await self._ask(exchange, until, frames)
            finally:
                if frames:
                    for frame in frames:
                        frame["meter_id"] = meter.id
                    self.sink.put_frames(frames)

        return ask

    async def _ask(self, exchange, until: float | None, frames: list[dict] | None):
        if frames is not None:
            frames.append(self._frame("out", exchange.request))
        try:
            reply = await self.link.ask(exchange, until)
        except NoReply as error:
            if frames is not None:
                if exchange.received:
                    frames.append(self._frame("in", exchange.received))
                frames.append(self._frame("note", note=str(error)))
            raise
        if frames is not None:
            frames.append(self._frame("in", reply.raw))
        if not self.online:
            self._found()
        return reply

    def _frame(self, direction: str, data: bytes = b"", note: str = "") -> dict:
        at = datetime.now(timezone.utc).replace(tzinfo=None)
        return {
            "meter_id": None, "gateway_id": self.gateway.id, "at": at, "direction": direction,
            "data": data.hex(" ").upper(), "note": note,
        }  # fmt: skip

    def _found(self) -> None:
        """The gateway answers (again)."""
        told = self.gateway.told_offline or self.online is False
        self.online, self._failures = True, 0
        over = {"gateway_offline"} if told else ()
        self.gateway.told_offline = False
        self.sink.put_gateway(self.gateway, True, clear=over)

    async def _lost(self, error: GatewayOffline) -> None:
        """The gateway is away: wait longer and longer, with jitter against storms."""
        if self.gateway.dials_in:
            return  # it has some time to dial in again
        self.lost(error)
        self.link.close()
        pause = min(30.0, 0.5 * 2 ** min(self._failures, 6)) * random.uniform(0.8, 1.2)
        await asyncio.sleep(pause)

    def lost(self, error: GatewayOffline) -> None:
        """Say once that the gateway is away."""
        self._failures += 1
        if self.online is not False:
            self.online = False
            event = Event(
                "gateway_offline", str(error), gateway_id=self.gateway.id, severity="alarm"
            )
            self.gateway.told_offline = True
            self.sink.put_gateway(self.gateway, False, str(error), [event])


_ARROWS = {"out": ">", "in": "<", "note": "!"}


def _decoded(profile: Profile, block: plan.Block, point, data: bytes) -> dict:
    try:
        field = plan.raw(profile, block, point, data)
    except ValueError as error:
        return _row(point, error=str(error))
    try:
        value = plan.decode_point(profile, block, point, data)
    except ValueError as error:
        return _row(point, raw=field.hex(" ").upper(), error=str(error))
    if not isinstance(value, int | str | None):
        value = str(value)
    return _row(point, value, field.hex(" ").upper())


def _row(point, value=None, raw: str = "", error: str = "") -> dict:
    return {
        "channel": point.channel, "address": point.address, "value": value, "raw": raw,
        "error": error,
    }  # fmt: skip
