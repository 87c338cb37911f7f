"""From the values of a meter's registers to rated lines: the walk along one assignment's time line.

Plain functions over plain data, on top of the engine; what reads and writes the database is in the
models. Values are Wh or litres, moments are naive UTC as the database has them.
"""

import gc
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from .engine.calendar import Calendar
from .engine.errors import RatingError
from .engine.rating import (
    Interval,
    RatedLine,
    TierState,
    fees,
    rate,
    rate_registers,
    settle_difference,
    usage,
)

#: Channels of the rate registers, by number, and the rates that they count.
RATE_OF = {2: "sharp", 3: "peak", 4: "flat", 5: "valley", 6: "deep"}
#: Smallest step of a register in Wh; each of them may be rounded.
STEP = 10
UTC = timezone.utc


@dataclass(slots=True)
class Series:
    """One meter on one account: where its rating stands, and what this run adds to it.

    ``at`` and ``value`` are the end of the last rated interval; None while the first reading that
    opens is missing. ``registers`` holds the rate registers at ``at``, by channel number.
    ``provisional`` are the lines that were charged by estimate from ``at`` on until
    ``provisional_until``, with the charge of each key in ``provisional_ids``.
    """

    id: int
    tz: ZoneInfo
    versions: tuple
    calendar: Calendar
    heads: int
    modulus: int | None
    at: datetime | None
    value: int
    tiers: TierState
    by_registers: bool = False
    registers: dict = field(default_factory=dict)
    provisional_until: datetime | None = None
    provisional: list = field(default_factory=list)
    provisional_ids: dict = field(default_factory=dict)
    fees_until: datetime | None = None
    lines: list = field(default_factory=list)
    estimated: list = field(default_factory=list)
    settling: list = field(default_factory=list)
    problem: tuple | None = None

    def rate_rows(self, rows) -> None:
        """Rate what the registers counted: rows (read_at, value, next_value, channel), by time.

        Where a register began anew, a row holds its end and, as the next value, its new start.
        A row that cannot be rated is named in ``problem``; nothing behind it is touched.
        """
        if self.provisional_until and self.at:
            rows = self._settle(rows)
        self._walk(rows)

    def _walk(self, rows) -> None:
        if self.by_registers:
            self._walk_registers(rows)
        else:
            self._walk_total(rows)

    def _walk_total(self, rows) -> None:
        at, value, tiers = self.at, self.value, self.tiers
        for read_at, read_value, next_value, _channel in rows:
            if at is None:
                at, value = read_at, next_value
                continue
            try:
                rated = rate(
                    Interval(
                        at.replace(tzinfo=UTC),
                        read_at.replace(tzinfo=UTC),
                        usage(value, read_value, self.modulus),
                    ),
                    self.versions,
                    self.tz,
                    calendar=self.calendar,
                    tiers=tiers,
                    heads=self.heads,
                )
            except RatingError as error:
                self.problem = (read_at, error)
                break
            self.lines += rated.lines
            at, value, tiers = read_at, next_value, rated.tiers
        self.at, self.value, self.tiers = at, value, tiers

    def _walk_registers(self, rows) -> None:
        """Close an interval where the total and all rate registers were read together.

        Until the rate registers are known at the beginning, the clock says the rates.
        """
        values = {1: self.value, **self.registers}
        used = dict.fromkeys(values, 0)
        index, count = 0, len(rows)
        while index < count:
            read_at, together = rows[index][0], {}
            while index < count and rows[index][0] == read_at:
                together.setdefault(rows[index][3], []).append(rows[index][1:3])
                index += 1
            if self.at is None:
                if 1 in together:
                    values = {channel: ends[-1][1] for channel, ends in together.items()}
                    used = dict.fromkeys(values, 0)
                    self.at, self.value = read_at, values[1]
                    self.registers = {item: end for item, end in values.items() if item != 1}
                continue
            try:
                for channel, ends in together.items():
                    for value, next_value in ends:
                        if channel in values:
                            used[channel] += usage(values[channel], value, self.modulus)
                        values[channel] = next_value
                if 1 not in together or not used.keys() <= together.keys():
                    continue
                rated = self._rate_registers(read_at, used)
            except RatingError as error:
                self.problem = (read_at, error)
                break
            self.lines += rated.lines
            self.at, self.value, self.tiers = read_at, values[1], rated.tiers
            self.registers = {item: end for item, end in values.items() if item != 1}
            used = dict.fromkeys(values, 0)

    def _rate_registers(self, read_at, used):
        total, parts = used[1], [(item, used[item]) for item in sorted(used) if item != 1]
        start, end = self.at.replace(tzinfo=UTC), read_at.replace(tzinfo=UTC)
        if parts:
            whole = sum(quantity for _channel, quantity in parts)
            if abs(total - whole) > STEP * (len(parts) + 1) + total // 1000:
                raise RatingError(
                    "registers_differ",
                    f"rate registers counted {whole}, the total {total}",
                    parts=whole,
                    total=total,
                )
            intervals = [Interval(start, end, part, RATE_OF[item]) for item, part in parts]
        else:
            intervals = [Interval(start, end, total)]
        return rate_registers(
            intervals,
            self.versions,
            self.tz,
            calendar=self.calendar,
            tiers=self.tiers,
            heads=self.heads,
        )

    def _settle(self, rows):
        """Replace what was charged by estimate, once a reading at or after its end is there.

        :return: the rows that are left to be rated
        """
        until = self.provisional_until
        reached = next((row[0] for row in rows if row[0] >= until and row[3] not in RATE_OF), None)
        if reached is None:
            return []  # readings inside the gap wait for its end: one difference settles all
        before = self.at, self.value, self.tiers, self.registers
        split = sum(row[0] <= reached for row in rows)
        self._walk(rows[:split])
        final, self.lines = self.lines, []
        if self.at < until:
            self.at, self.value, self.tiers, self.registers = before
            return []
        for line in settle_difference(self.provisional, final).lines:
            charge = self.provisional_ids.get(_key(line))
            if charge:
                self.settling.append((line, charge))
            else:
                self.lines.append(line)
        self.provisional_until, self.provisional = None, []
        return [] if self.problem else rows[split:]

    def estimate(self, end_at, value) -> None:
        """Charge what the register probably shows at ``end_at``, until a reading tells."""
        if self.at is None or self.at >= end_at or value < self.value or self.problem:
            return
        try:
            rated = rate(
                Interval(
                    self.at.replace(tzinfo=UTC), end_at.replace(tzinfo=UTC), value - self.value
                ),
                self.versions,
                self.tz,
                calendar=self.calendar,
                tiers=self.tiers,
                heads=self.heads,
            )
        except RatingError as error:
            self.problem = (end_at, error)
            return
        self.estimated += settle_difference(self.provisional, rated.lines).lines
        self.provisional_until = end_at

    def charge_fees(self, since, until) -> None:
        """Fixed fees of the local days that begin from ``since`` until before ``until``."""
        first = min((version.valid_from for version in self.versions), default=None)
        start, end = since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)
        if first is not None and end > max(start, first):
            self.lines += fees(self.versions, self.tz, max(start, first), end)
        self.fees_until = until

    def charges(self):
        """The lines of this run summed by charge: {key: [start, end, quantity, price, amount]}.

        A key is (assignment, day, version, kind, rate, tier, provisional, charge that it settles).
        """
        sums: dict[tuple, list] = {}
        for lines, provisional in ((self.lines, False), (self.estimated, True)):
            for line in lines:
                _add(sums, (self.id, *_key(line), provisional, 0), line)
        for line, charge in self.settling:
            _add(sums, (self.id, *_key(line), False, charge), line)
        return sums


def _key(line: RatedLine) -> tuple:
    return line.day, line.version_id, line.kind, line.rate, line.tier


def _add(sums, key, line) -> None:
    known = sums.get(key)
    if known is None:
        sums[key] = [line.start, line.end, line.quantity, line.price, line.amount]
        return
    known[0] = min(known[0], line.start)
    known[1] = max(known[1], line.end)
    known[2] += line.quantity
    known[4] += line.amount


def has_fees(versions) -> bool:
    return any(version.fees for version in versions)


@contextmanager
def without_collection():
    """No garbage collection meanwhile: thousands of lines are none, and looking takes its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def as_array(values):
    """An array for PostgreSQL as one literal: a list of thousands would be quoted one by one.

    Only for numbers, moments and code words: nothing that needs quoting.
    """
    return "{" + ",".join(map(str, values)).replace("None", "NULL") + "}"
