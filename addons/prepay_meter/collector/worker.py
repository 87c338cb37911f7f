"""The work on one gateway: commands first, then the meters whose reading is due."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from datetime import datetime, timezone

from .. import quality
from ..channels import BILLED, BY_CODE
from ..protocols.errors import Outcome
from . import driver
from .config import Gateway, Meter
from .link import GatewayOffline, NoReply, SerialLink
from .store import Command, Event, PollResult, Store, utcnow

_logger = logging.getLogger(__name__)

#: Polls without answer after which a meter counts as offline and is asked less often.
MISSES_UNTIL_OFFLINE = 3
MAX_BACKOFF = 3600.0
#: Read-backs after a relay command, with growing pauses, before it is written again.
READ_BACKS = 4
#: Seconds until a relay command is tried again, by number of attempts.
RETRY_AFTER = (1, 2, 5, 10, 30, 60)
#: Events that a good poll clears.
COMMUNICATION = {"timeout", "crc", "wrong_unit", "unknown_address", "exception", "malformed"}
#: Events that an accepted reading clears.
QUALITY = {"decrease", "spike", "clock"}
#: Events that a relay in its desired state clears.
RELAY = {"relay_mismatch", "load_when_open"}


class GatewayWorker:
    """Serves one gateway; nothing else talks to it while this process holds its lease."""

    def __init__(self, gateway: Gateway, store: Store) -> None:
        self.gateway = gateway
        self.store = store
        self.link = SerialLink(gateway.host, gateway.port, gateway.timeout, gateway.gap)
        self.due: dict[int, float] = {}
        self.in_full: set[int] = set()
        self.commands: dict[int, Command] = {}
        self.executing: Command | None = None
        self.wake = asyncio.Event()
        self.online: bool | None = None
        self._failures = 0

    # scheduling

    def configure(self, gateway: Gateway) -> None:
        """Take changed settings over without losing what is known of the meters."""
        for meter_id, fresh in gateway.meters.items():
            known = self.gateway.meters.get(meter_id)
            if known is not None:
                fresh.missed = known.missed
                fresh.ever_seen = fresh.ever_seen or known.ever_seen
                if known.last_at and (not fresh.last_at or known.last_at > fresh.last_at):
                    fresh.last_at, fresh.last_value = known.last_at, known.last_value
                if known.interval != fresh.interval:
                    self.due.pop(meter_id, None)
        self.gateway = gateway
        self.link.timeout, self.link.gap = gateway.timeout, gateway.gap
        self.due = {meter_id: at for meter_id, at in self.due.items() if meter_id in gateway.meters}
        self.wake.set()

    def read_now(self, meter_ids: set[int]) -> None:
        """Poll these meters next, with the points that are not read each time."""
        for meter_id in meter_ids & self.gateway.meters.keys():
            self.due[meter_id] = 0.0
            self.in_full.add(meter_id)
        self.wake.set()

    def add_command(self, command: Command) -> None:
        """Queue a command; a newer wish for the same meter replaces an older one."""
        if self.executing is not None and self.executing.id == command.id:
            return
        waiting = self.commands.get(command.meter_id)
        if waiting is None or waiting.epoch <= command.epoch:
            self.commands[command.meter_id] = command
        self.wake.set()

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
                except (
                    Exception
                ):  # one faulty device or record must not end the service of a gateway
                    _logger.exception("Gateway %s: unexpected failure, going on", self.gateway.name)
                    await asyncio.sleep(1)
        finally:
            await self.link.close()

    async def step(self) -> None:
        """Do the most urgent thing, or wait for one."""
        if self.commands:
            _meter_id, self.executing = self.commands.popitem()
            try:
                await self.execute(self.executing)
            finally:
                self.executing = None
            return
        now = _clock()
        for meter_id in self.gateway.meters:
            self.due.setdefault(meter_id, now)
        next_id = min(self.due, key=self.due.get, default=None)
        wait = self.due[next_id] - now if next_id is not None else 60.0
        if wait > 0:
            self.wake.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.wake.wait(), wait)
            return
        await self.poll(self.gateway.meters[next_id])

    # polling

    async def poll(self, meter: Meter) -> None:
        """Read a meter once and store what came of it."""
        full = meter.id in self.in_full
        self.in_full.discard(meter.id)
        points = [point for point in meter.profile.points if point.frequent or full]
        result = PollResult(meter, utcnow())
        events: list[Event] = []
        try:
            found = await driver.read(meter, points, self._ask)
        except NoReply as error:
            events.append(self._missed(meter, result, error))
        else:
            self._take(meter, result, found, events)
        self.due[meter.id] = _clock() + self._interval(meter)
        await self.store.save([result], events)
        if not result.error:
            over = set(COMMUNICATION)
            if result.readings:
                over |= QUALITY
            if result.values.get("relay") and result.values["relay"] == meter.desired:
                over |= RELAY
            await self._clear(meter, over)
        meter.open_events.update(event.kind for event in events)

    def _missed(self, meter: Meter, result: PollResult, error: NoReply) -> Event:
        meter.missed += 1
        result.error = str(error)
        result.online = meter.missed < MISSES_UNTIL_OFFLINE and meter.ever_seen
        kind = error.outcome.value
        detail = error.detail
        if error.outcome is Outcome.TIMEOUT and not meter.ever_seen:
            kind, detail = (
                "unknown_address",
                f"no meter has ever answered under address {meter.address}",
            )
        return Event(kind, detail, meter_id=meter.id)

    def _take(self, meter: Meter, result: PollResult, found: dict, events: list[Event]) -> None:
        """Sort what was read into readings, held values and states."""
        result.at = utcnow()
        meter.missed, meter.ever_seen = 0, True
        result.values = {
            channel: value for channel, value in found.items() if not _is_register(channel)
        }
        registers = {channel: value for channel, value in found.items() if _is_register(channel)}
        billed = BILLED[meter.profile.medium]
        doubt = None
        if billed in registers:
            doubt = quality.judge(
                meter.last_value,
                meter.last_at,
                registers[billed],
                result.at,
                utcnow(),
                max_rate=meter.profile.max_power_w if meter.profile.medium == "electricity" else 0,
                modulus=meter.profile.modulus,
            )
        if doubt is not None:
            # One doubtful register puts the whole answer in doubt.
            result.held.append(
                {
                    "meter_id": meter.id,
                    "channel": billed,
                    "rule": doubt.rule,
                    "at": result.at,
                    "previous_at": meter.last_at,
                    "previous_value": meter.last_value,
                    "value": registers[billed],
                    "detail": doubt.detail,
                }
            )
            events.append(Event(doubt.rule, doubt.detail, meter_id=meter.id, severity="alarm"))
        else:
            result.readings = list(registers.items())
            if billed in registers:
                meter.last_value, meter.last_at = registers[billed], result.at
        evidence = driver.weigh(meter, found)
        if evidence.contradiction:
            result.values["relay"] = None
            events.append(
                Event("load_when_open", evidence.contradiction, meter_id=meter.id, severity="alarm")
            )
        elif evidence.state is not None:
            result.values["relay"] = evidence.state

    def _interval(self, meter: Meter) -> float:
        """Seconds to the next poll: a silent meter is asked less and less often."""
        if meter.missed < MISSES_UNTIL_OFFLINE:
            return meter.interval
        return min(
            meter.interval * 2 ** (meter.missed - MISSES_UNTIL_OFFLINE + 1),
            max(MAX_BACKOFF, meter.interval),
        )

    # relay

    async def execute(self, command: Command) -> None:
        """Carry a wish out: intent committed, written, read back, confirmed.

        A command that was sent before a crash is read back first: the relay may already have moved.
        """
        meter = self.gateway.meters.get(command.meter_id)
        if meter is None:
            return
        try:
            if command.in_doubt and await self._is_there(command, meter):
                return
            if not await self.store.mark_sent(command):
                return  # expired, superseded or already done
            await driver.write_relay(meter, command.target, datetime.now(timezone.utc), self._ask)
            if meter.profile.relay_proof == "none":
                await self.store.finish_unproven(command)
                return
            pause = meter.profile.relay_settle
            for _attempt in range(READ_BACKS):
                await asyncio.sleep(pause)
                if await self._is_there(command, meter):
                    return
                pause = max(pause * 2, 0.2)
            if meter.profile.relay_proof == "load":
                # Acknowledged; an empty room draws no load, whatever the relay does.
                await self.store.finish_unproven(command)
                return
            await self._not_there(command, meter, "the relay did not follow the command")
        except NoReply as error:
            await self._not_there(command, meter, str(error))
        except GatewayOffline as error:
            await self.store.postpone(command, RETRY_AFTER[0], str(error))
            raise

    async def _is_there(self, command: Command, meter: Meter) -> bool:
        """Read the relay; confirm the command when the profile's proof shows the wanted state."""
        if meter.profile.relay_proof == "none":
            return False
        try:
            found = await driver.read(meter, driver.relay_points(meter), self._ask)
        except NoReply as error:
            _logger.info("Meter %s: read-back failed: %s", meter.number, error)
            return False
        evidence = driver.weigh(meter, found)
        if evidence.contradiction:
            await self.store.save(
                [],
                [
                    Event(
                        "load_when_open",
                        evidence.contradiction,
                        meter_id=meter.id,
                        severity="alarm",
                    )
                ],
            )
            meter.open_events.add("load_when_open")
            return False
        if evidence.state != command.target:
            return False
        await self.store.confirm(command, meter, evidence.proof, evidence.power_w)
        meter.desired = command.target
        await self._clear(meter, RELAY)
        self.due[meter.id] = min(
            self.due.get(meter.id, 0.0), _clock() + 1
        )  # show the new load soon
        return True

    async def _not_there(self, command: Command, meter: Meter, detail: str) -> None:
        attempt = min(command.attempts, len(RETRY_AFTER) - 1)
        await self.store.postpone(command, RETRY_AFTER[attempt], detail)
        if meter.profile.relay_proof != "none":
            await self.store.save(
                [], [Event("relay_mismatch", detail, meter_id=meter.id, severity="alarm")]
            )
            meter.open_events.add("relay_mismatch")

    # link

    async def _ask(self, exchange):
        reply = await self.link.ask(exchange)
        if self.online is not True:
            self.online, self._failures = True, 0
            await self.store.gateway_state(self.gateway, True, None)
            await self.store.clear_events({"gateway_offline"}, gateway_id=self.gateway.id)
        return reply

    async def _lost(self, error: GatewayOffline) -> None:
        """The gateway is away: say so once, wait longer and longer, with jitter against storms."""
        await self.link.close()
        self._failures += 1
        if self.online is not False:
            self.online = False
            await self.store.gateway_state(self.gateway, False, str(error))
        await asyncio.sleep(min(30.0, 0.5 * 2 ** min(self._failures, 6)) * random.uniform(0.8, 1.2))

    async def _clear(self, meter: Meter, kinds: set[str]) -> None:
        closing = kinds & meter.open_events
        if closing:
            await self.store.clear_events(closing, meter_id=meter.id)
            meter.open_events -= closing


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _is_register(channel: str) -> bool:
    return BY_CODE[channel].register
