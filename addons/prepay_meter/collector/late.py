"""Data of the past (补抄): judged among the stored readings before and after it, then stored (R-05).

A device that was cut off sends days at once. Its values are older than what is remembered of a
meter, so their neighbours are looked up in the database, many values with one query.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from .. import quality
from ..channels import BILLED, REGISTERS
from .config import Meter
from .judge import limits
from .results import PollResult, utcnow
from .sink import Sink

#: Values judged together.
BATCH = 20_000
GATHER_SECONDS = 0.2

#: Of a new baseline the old register's end is the neighbour after, the new one's start before.
_NEIGHBOURS = """
SELECT v.meter_id, b.read_at, b.next_value, a.read_at, a.value
  FROM unnest(%s::int[], %s::int[], %s::timestamp[], %s::timestamp[])
       AS v(meter_id, channel, first, last)
  LEFT JOIN LATERAL (SELECT read_at, next_value
                       FROM prepay_reading_stream(v.meter_id, v.channel, v.first - make_interval(days => 60),
                                                  v.first - interval '1 s')
                      ORDER BY read_at DESC LIMIT 1) b ON true
  LEFT JOIN LATERAL (SELECT read_at, value
                       FROM prepay_reading_stream(v.meter_id, v.channel, v.last,
                                                  v.last + make_interval(days => 60))
                      ORDER BY read_at LIMIT 1) a ON true
"""
_BETWEEN = """
SELECT v.meter_id, d.read_at, d.value
  FROM unnest(%s::int[], %s::int[], %s::timestamp[], %s::timestamp[])
       AS v(meter_id, channel, first, last),
       LATERAL prepay_readings(v.meter_id, v.channel, v.first - interval '1 s', v.last) d
"""


class LateData:
    """Waits for values of the past and judges them in batches."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._waiting: list[tuple[Meter, dict[str, int], datetime, Callable | None]] = []
        self._wake = asyncio.Event()

    def add(
        self,
        meter: Meter,
        registers: dict[str, int],
        at: datetime,
        done: Callable[[], None] | None = None,
    ) -> None:
        """Take the registers that ``meter`` had at ``at`` (naive UTC)."""
        self._waiting.append((meter, registers, at, done))
        self._wake.set()

    async def run(self) -> None:
        """Judge what comes until cancelled; what is left then comes again from its sender."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            await self.judge_waiting()
            if not self._waiting:
                self._wake.clear()

    async def judge_waiting(self) -> None:
        """Judge what waits and hand it to the sink."""
        batch = self._waiting[:BATCH]
        if not batch:
            return
        by_meter: dict[int, list] = {}
        for entry in batch:
            by_meter.setdefault(entry[0].id, []).append(entry)
        stored = await self._stored(by_meter)
        del self._waiting[: len(batch)]
        for meter_id, entries in by_meter.items():
            self._judge(entries, stored[meter_id])

    async def _stored(self, by_meter: dict[int, list]) -> dict[int, list[quality.Point]]:
        """The stored readings next to and between the values of each meter, by time."""
        columns: tuple[list, list, list, list] = ([], [], [], [])
        for meter_id, entries in by_meter.items():
            moments = [entry[2] for entry in entries]
            medium = entries[0][0].profile.medium
            row = (meter_id, REGISTERS[BILLED[medium]], min(moments), max(moments))
            for column, value in zip(columns, row):
                column.append(value)

        async def work(connection):
            around = await (await connection.execute(_NEIGHBOURS, columns)).fetchall()
            between = await (await connection.execute(_BETWEEN, columns)).fetchall()
            return around, between

        around, between = await self.sink.store.transaction(work)
        found: dict[int, list[quality.Point]] = {}
        for meter_id, before_at, before, after_at, after in around:
            points = found.setdefault(meter_id, [])
            if before_at is not None:
                points.append(quality.Point(before, before_at))
            if after_at is not None:
                points.append(quality.Point(after, after_at))
        for meter_id, at, value in between:
            found[meter_id].append(quality.Point(value, at))
        return found

    def _judge(self, entries: list, stored: list[quality.Point]) -> None:
        """Runs of values between two stored readings are judged together."""
        meter = entries[0][0]
        billed = BILLED[meter.profile.medium]
        now = utcnow()
        stored = sorted(stored, key=lambda point: point.at)
        moments = {point.at: point.value for point in stored}
        entries.sort(key=lambda entry: entry[2])
        at_stored = 0
        run: list = []
        for entry in entries:
            while at_stored < len(stored) and stored[at_stored].at < entry[2]:
                self._judge_run(meter, billed, run, stored, at_stored, now)
                run = []
                at_stored += 1
            if entry[2] in moments:  # again the same: harmless
                self._repeated(meter, billed, entry, moments[entry[2]])
                continue
            run.append(entry)
        self._judge_run(meter, billed, run, stored, at_stored, now)

    def _repeated(self, meter: Meter, billed: str, entry: tuple, stored_value: int) -> None:
        _meter, registers, at, done = entry
        result = PollResult(meter, at, seen=utcnow())
        value = registers[billed]
        if value != stored_value:
            detail = f"{value} and {stored_value} for the same moment"
            result.held = [_hold(meter, billed, "conflict", at, registers, detail)]
        self.sink.put(result, done=done)

    def _judge_run(self, meter, billed, run, stored, place, now) -> None:
        if not run:
            return
        before = stored[place - 1] if place else None
        after = stored[place] if place < len(stored) else None
        points: dict[datetime, int] = {}
        for _meter, registers, at, _done in run:
            points.setdefault(at, registers[billed])
        verdicts = {
            found.at: found
            for found in quality.assess_series(
                [quality.Point(value, at) for at, value in points.items()],
                now,
                limits(meter),
                before,
                after,
            )
        }
        for _meter, registers, at, done in run:
            found = verdicts[at]
            result = PollResult(meter, at, seen=now, source=2)
            if found.accept and registers[billed] == found.value:
                result.readings = [(REGISTERS[code], value) for code, value in registers.items()]
            result.held = [
                _hold(meter, billed, doubt.rule, at, registers, doubt.detail)
                for doubt in found.doubts
            ]
            self.sink.put(result, done=done)


def _hold(meter, channel: str, rule: str, at: datetime, registers: dict, detail: str) -> dict:
    return {
        "meter_id": meter.id, "channel": channel, "rule": rule, "at": at, "previous_at": meter.last_at,
        "previous_value": meter.last_value, "value": registers[channel], "detail": detail,
        "channels": list(registers), "values": list(registers.values()),
    }  # fmt: skip
