"""The work on one MQTT gateway: take what its meters send, ask the silent ones, switch relays.

What it sends comes to any collector, so what counts is in the database: a relay command is confirmed
by a report that is newer than the command, whoever received it.
"""

# The rule is for models.
# pylint: disable=missing-return
from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ..channels import REGISTERS
from ..protocols import mqtt_forms
from ..protocols.errors import Outcome
from . import driver
from .config import Gateway, Meter
from .link import GatewayOffline, Link, NoReply
from .listener import device_time, zone
from .results import Event, utcnow
from .worker import FRESH_SECONDS, READ_BACKS, RETRY_AFTER, GatewayWorker, ReadBack

if TYPE_CHECKING:
    from .mqtt import Mqtt
    from .service import Collector
    from .store import Command

_logger = logging.getLogger(__name__)

#: A meter that has sent nothing for so many intervals is asked.
SILENT_INTERVALS = 2.0
#: Time that a meter has to answer when it is asked.
ANSWER_SECONDS = 15.0
#: A relay command that no device took for so long is forgotten by the broker (S-07).
COMMAND_SECONDS = 30
#: Pause before the first look whether the relay has followed, when nothing comes by itself.
LOOK_AFTER = 1.0
#: Numbers of messages fit into 31 bits. Those of commands are made from the command's and the try:
#: a device that has seen a number does not obey it again. Those that ask begin here.
ATTEMPTS = 256
ASKING = 1 << 30
#: A report may be stamped a little earlier than the command that it answers.
CLOCK_SLACK = timedelta(seconds=5)


class MqttWorker(GatewayWorker):
    """Serves one MQTT gateway; its messages are taken with or without a lease."""

    def __init__(self, gateway: Gateway, collector: Collector, broker: Mqtt) -> None:
        self.broker = broker
        self.zone: ZoneInfo = zone(gateway)
        self._heard: dict[int, float] = {}  # loop time of the last message of each meter
        self._asked: dict[int, float] = {}
        self._newest: dict[int, datetime] = {}  # newest time of values of each meter
        self._pending: dict[int, tuple[ReadBack, datetime]] = {}  # by meter: since when
        self._refusals: dict[int, str] = {}
        self._proven: dict[int, tuple[str, int | None]] = {}
        super().__init__(
            gateway, collector.store, collector.sink, collector.late, collector.may_serve
        )
        self._names = _names(gateway)

    def _make_link(self) -> Link:
        return Link(self.gateway.timeout, self.gateway.gap)  # never connected

    def configure(self, gateway: Gateway) -> None:
        super().configure(gateway)
        self.zone, self._names = zone(gateway), _names(gateway)
        for known in (self._heard, self._asked, self._newest):
            for meter_id in known.keys() - gateway.meters.keys():
                del known[meter_id]

    def _plan(self, gateway: Gateway) -> None:
        """Meters send by themselves; look after each when it should have."""
        now = self._loop.time()
        for meter in gateway.meters.values():
            if meter.id not in self.schedule:
                self.schedule.add(meter, now + SILENT_INTERVALS * meter.interval)

    # what comes

    def meter(self, name: str) -> Meter | None:
        """The meter that a message of this gateway means by ``name``."""
        return self._names.get(name)

    def heard(self) -> None:
        """The gateway lives."""
        self.last_seen = utcnow()
        if self.online is not True:
            self._found()

    def bring(self, meter: Meter, reading: mqtt_forms.Reading, done: Callable[[], None]) -> None:
        """Take what a message says of a meter.

        :param done: called when it is in the database
        """
        values = reading.values
        self._heard[meter.id] = self._loop.time()
        self._asked.pop(meter.id, None)
        at = None
        if reading.time is not None:
            at, drift = device_time(reading.time, meter.tz, True)
            newest = self._newest.get(meter.id)
            if at is None:
                values["drift"] = drift
            elif newest is not None and at < newest:
                # Overtaken by a newer one: the registers count, the relay and the load are past.
                values = {code: value for code, value in values.items() if code in REGISTERS}
                if not values:
                    done()
                    return
            else:
                self._newest[meter.id] = at
        relay, power = values.get("relay"), values.get("power")
        self._soon.discard(meter.id)  # this is the second one that a doubtful first one waits for
        self.take(meter, values, at, done)
        if relay is not None and meter.id in self._pending:
            self._compare(meter, relay, power, at)
        if meter.id in self._soon:
            self.schedule.add(meter, self._loop.time() + 1)
            self.wake.set()

    def _compare(self, meter: Meter, relay, power: int | None, at: datetime | None) -> None:
        """A report may be the proof that a command waits for."""
        job, since = self._pending[meter.id]
        if at is not None and at < since - CLOCK_SLACK:
            return  # of a time before the command
        evidence = driver.weigh(meter, {"relay": relay, "power": power})
        if evidence.state == job.command.target:
            self._proven[meter.id] = evidence.proof, evidence.power_w
            self.wake.set()

    def result(self, result: mqtt_forms.CommandResult) -> None:
        """The answer to a command: at most “taken”, which proves nothing; or why not."""
        text = str(result.message_id)
        number = int(text) if text.isdecimal() else ASKING
        if result.accepted or number >= ASKING:
            return
        self.broker.note_refusal(number // ATTEMPTS, result.error)
        for job, _since in self._pending.values():
            if job.command.id == number // ATTEMPTS:
                self._refusals[job.command.id] = f"refused by the device: {result.error}"
                job.left, job.pause = 1, 0.0  # one more look, then try again
                self._read_back_in(job)
                self.wake.set()

    def tell(self, meter: Meter | None, event: Event) -> None:
        """Journal what a gateway reports."""
        if meter is not None:
            self.sink.put(events=[replace(event, meter_id=meter.id)])
            meter.open_events |= {event.kind}
        else:
            event = replace(event, gateway_id=self.gateway.id)
            self.sink.put_gateway(self.gateway, events=[event])

    # what is done with a lease

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            # Whoever has the lease now looks at the commands afresh.
            for waiting in (
                self.commands,
                self.read_backs,
                self.executing,
                self._pending,
                self._proven,
            ):
                waiting.clear()

    async def step(self) -> None:
        if self._proven and self._may_serve():
            await self._confirm_proven(*self._proven.popitem())
        else:
            await super().step()

    async def _lost(self, error: GatewayOffline) -> None:
        self.lost(error)

    def _asker(self, meter: Meter, until: float | None = None):
        return _no_line

    async def _ask(self, exchange, until, frames):
        return await _no_line(exchange)

    # reading

    async def poll(self, meter: Meter) -> None:
        """Ask a meter that has been silent, or that somebody wants to read now."""
        now = self._loop.time()
        wanted = meter.id in self.in_full or meter.id in self._soon
        self.in_full.discard(meter.id)
        self._soon.discard(meter.id)
        if not wanted:
            due = self._heard.get(meter.id, 0.0) + SILENT_INTERVALS * meter.interval
            if due <= now and meter.id not in self._asked:
                # Another collector may have heard it.
                due = now - await self._silence(meter) + SILENT_INTERVALS * meter.interval
            if due > now:
                self._asked.pop(meter.id, None)
                self.schedule.add(meter, due)
                return
            if self._asked.pop(meter.id, None) is not None:
                self.misses += 1
                self._missed(meter, NoReply(Outcome.TIMEOUT, "no message"))
                await self._look_after_gateway()
                self.schedule.polled(meter, now, time.time())
                return
        if await self._request(meter):
            self._asked[meter.id] = now
            self.schedule.add(meter, now + ANSWER_SECONDS)
        else:
            if not wanted:
                self._missed(meter, NoReply(Outcome.TIMEOUT, "no message"))
            self.schedule.polled(meter, now, time.time())

    async def _silence(self, meter: Meter) -> float:
        """Seconds since anybody has heard of the meter."""
        seen = await self.store.last_seen(meter.state_id)
        return (utcnow() - seen).total_seconds() if seen is not None else float("inf")

    async def _look_after_gateway(self) -> None:
        """A gateway none of whose meters are heard is away."""
        if self.online is not False and all(
            meter.missed or meter.id in self._asked for meter in self.gateway.meters.values()
        ):
            self.lost(GatewayOffline("the device sends no messages"))

    async def _request(self, meter: Meter) -> bool:
        """Ask for the values of a meter. False: nobody can be asked."""
        gateway = self.gateway
        try:
            publication = mqtt_forms.read_command(
                gateway.form, gateway.identity, meter.address, _number(),
                datetime.now(self.zone), product=gateway.product,
            )  # fmt: skip
            if await self.broker.publish(*publication, int(ANSWER_SECONDS)):
                return True
        except ValueError:
            return False  # this form has no such command
        except ConnectionError as error:
            _logger.info("Meter %s is not asked: %s", meter.number, error)
            return True  # not its fault
        self.lost(GatewayOffline("no device of this identity is connected to the broker"))
        return False

    # relay

    async def execute(self, command: Command) -> None:
        """Carry a wish out: intent committed, published, confirmed by a report that is newer."""
        meter = self.gateway.meters.get(command.meter_id)
        if meter is None:
            return
        self.executing.add(command.id)
        try:
            if command.in_doubt and await self._is_there(command, meter):
                self.executing.discard(command.id)
                return
            if not self.broker.connected:
                await self._postpone(command, self.broker.trouble)
                return
            intent_at = self._loop.time()
            if not await self.store.mark_sent(command):
                self.executing.discard(command.id)
                return  # expired, superseded or already done
            if self._loop.time() - intent_at > FRESH_SECONDS:
                await self._postpone(command, "sending took too long")
                return
            await self._switch(command, meter)
        except ValueError as error:
            await self._not_there(command, meter, str(error))
        except ConnectionError as error:
            await self._postpone(command, str(error))
        except BaseException:
            self.executing.discard(command.id)
            raise

    async def _switch(self, command: Command, meter: Meter) -> None:
        gateway, now = self.gateway, datetime.now(self.zone)
        topic, document = mqtt_forms.relay_command(
            gateway.form, gateway.identity, meter.address, command.target,
            command.id * ATTEMPTS + command.attempts % ATTEMPTS, now,
            expires=now + timedelta(seconds=COMMAND_SECONDS), product=gateway.product,
        )  # fmt: skip
        job = ReadBack(command, READ_BACKS, max(LOOK_AFTER, meter.profile.relay_settle))
        proof = meter.profile.relay_proof
        if proof != "none":
            self._pending[meter.id] = job, utcnow()
        if not await self.broker.publish(topic, document, COMMAND_SECONDS):
            self._pending.pop(meter.id, None)
            detail = "no device of this identity is connected to the broker"
            await self._postpone(command, detail)
            self.lost(GatewayOffline(detail))
        elif proof == "none":
            self.executing.discard(command.id)
            await self.store.finish_unproven(command)
        else:
            self._read_back_in(job)
            self.schedule_report(meter)

    def schedule_report(self, meter: Meter) -> None:
        """Some devices report a switched relay by themselves, others only when they are asked."""
        self.in_full.add(meter.id)
        self.schedule.add(meter, self._loop.time() + min(1.0, meter.profile.relay_settle))

    async def _confirm_proven(self, meter_id: int, proof: tuple[str, int | None]) -> None:
        waiting = self._pending.pop(meter_id, None)
        meter = self.gateway.meters.get(meter_id)
        if waiting is not None and meter is not None:
            await self.confirm(waiting[0].command, meter, *proof)

    async def _read_back(self, job: ReadBack) -> None:
        command = job.command
        if command.id not in self.executing:
            return  # confirmed meanwhile
        meter = self.gateway.meters.get(command.meter_id)
        try:
            await super()._read_back(job)
        finally:
            if command.id not in self.executing:
                self._pending.pop(command.meter_id, None)
            elif meter is not None:
                self.schedule_report(meter)

    async def _is_there(self, command: Command, meter: Meter) -> bool:
        """Look whether a report newer than the command shows the wanted state."""
        proof = meter.profile.relay_proof
        if proof == "none":
            return False
        if await self.store.relay_since(command.id, meter.state_id) != command.target:
            return False
        evidence = driver.weigh(meter, {"relay": command.target})
        if evidence.state != command.target:
            return False
        self._pending.pop(meter.id, None)
        await self.confirm(command, meter, evidence.proof, None)
        return True

    async def _not_there(self, command: Command, meter: Meter, detail: str) -> None:
        detail = self._refusals.pop(command.id, detail)
        await super()._not_there(command, meter, detail)

    async def _postpone(self, command: Command, detail: str) -> None:
        self.executing.discard(command.id)
        attempt = min(command.attempts, len(RETRY_AFTER) - 1)
        await self.store.postpone(command, RETRY_AFTER[attempt], detail)


async def _no_line(_exchange):
    raise NoReply(Outcome.EXCEPTION, "not possible over MQTT")


def _names(gateway: Gateway) -> dict[str, Meter]:
    """Meters by address, and by number where that is no other one's address or number."""
    found = {meter.address: meter for meter in gateway.meters.values()}
    twice = set()
    for meter in gateway.meters.values():
        known = found.setdefault(meter.number, meter)
        if known is not meter and known.number == meter.number:
            twice.add(meter.number)
    return {name: meter for name, meter in found.items() if name not in twice}


def _number() -> int:
    """Number of a message that asks: never one of a command."""
    return ASKING + time.time_ns() // 1_000_000 % ASKING
