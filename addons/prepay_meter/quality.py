"""Quality rules of readings, as pure functions: is this register value believable?

What is doubted is held with its reason; it is never billed and never used to cut (R-03, R-04).
What is only noteworthy (a meter's clock, a register that stands still) is noted and accepted.
Values are registers in Wh or litres, times are naive UTC, power is in watts.

==============  ===========================================================================
rule            doubt: the value is held
==============  ===========================================================================
``decrease``    below the last good value, and no roll-over
``reset``       below a tenth of the last good value: register reset or meter replaced
``spike``       rose faster than 1.2 times the rated power allows (R-03), or out of range
``unit``        fits when multiplied or divided by 1000: unit changed
``clock``       time of the reading is nonsense, and there is no better one
``rates``       rates do not add up to the total
``conflict``    another value of the same moment is stored already (R-01)
==============  ===========================================================================

==============  ===========================================================================
rule            note: the value is what it is
==============  ===========================================================================
``duplicate``   repetition; changes nothing (R-01)
``unconfirmed`` first value ever: accepted with the next one that agrees (R-08)
``stuck``       does not move while power flows
``clock_drift`` the meter's clock is wrong by more than a minute; beyond five it is not used (R-06)
``unverified``  the verification of the meter has run out (R-09)
==============  ===========================================================================
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

#: A reading may lie this far in the future of the collector's clock.
CLOCK_TOLERANCE = timedelta(minutes=5)
#: The time of the device is used up to this drift, beyond it that of the gateway (R-06).
DRIFT_LIMIT = timedelta(minutes=5)
#: A drift from here on is noted.
DRIFT_NOTE = timedelta(seconds=60)
#: No reading is older: clocks without battery say 2000, broken ones 1970.
EARLIEST = datetime(2015, 1, 1)  # noqa: DTZ001 (naive UTC, as in the database)
#: Readings that arrive later than this are late data (补抄), even when they arrive in order.
LATE_AFTER = timedelta(hours=1)
#: Share of the rated power above which a rise is held (R-03).
PLAUSIBLE_FACTOR = 1.2
#: Rises below this many base units are never a spike: registers step by 10 Wh, clocks by a second.
SPIKE_FLOOR = 100
#: Accepted points that a history remembers, to judge data that arrives out of order.
RECENT = 8
#: Journal kinds of the rules that have none of their own name.
_KINDS = {"rates": "malformed", "conflict": "malformed"}


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is wrong with a value: ``rule`` is the machine code, ``detail`` says it with the values."""

    rule: str
    detail: str
    values: dict = field(default_factory=dict, compare=False)

    @property
    def kind(self) -> str:
        """Kind of the journal event (``prepay.meter.event``)."""
        return _KINDS.get(self.rule, self.rule)


class Point(NamedTuple):
    """A register at a moment."""

    value: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Limits:
    """What a meter can do; built once for each meter.

    :param max_rate: largest plausible rise per hour, in Wh or L; 0 switches the spike rule off
    :param modulus: value at which the register rolls over, 0 when it never does
    :param step: smallest step of the register
    :param stuck: so much must have flowed by the power readings before a still register is noted
    :param verified_until: last day of the meter's verification (R-09), None when it is not known
    :param confirm_first: the first value ever needs a second one that agrees
    """

    max_rate: int = 0
    modulus: int = 0
    step: int = 10
    stuck: int = 300
    verified_until: date | None = None
    confirm_first: bool = True


class Assessment(NamedTuple):
    """What becomes of a value.

    It is stored as a reading when ``accept``, held when there are ``doubts``, and left out otherwise
    (a repetition, or a value that waits for a second one). ``at`` is the moment under which it is
    stored, ``source`` "poll" or "late". ``confirm`` asks to read the meter again at once.
    ``lookup`` asks for the neighbours of a late value in the database, and to assess it again with
    them. ``drift_s`` is the meter's clock minus true time.
    """

    accept: bool
    value: int
    at: datetime
    source: str = "poll"
    doubts: tuple[Doubt, ...] = ()
    notes: tuple[Doubt, ...] = ()
    confirm: bool = False
    lookup: bool = False
    drift_s: int | None = None


@dataclass(slots=True)
class History:
    """What is remembered of one register of one meter: its newest good value and a little before.

    Held values leave it as it is, so one bad value never becomes the measure of the next.
    """

    value: int | None = None
    at: datetime | None = None
    pending: Point | None = None
    power_w: int = 0
    flow: int = 0  # W·s since the register last moved
    recent: list[Point] | tuple[()] = ()  # by time, without gaps, up to the newest
    broke: tuple[datetime, int, int] | None = (
        None  # newest new baseline: moment, old end, new start
    )

    def take(
        self, assessment: Assessment, power_w: int | None = None, *, polled: bool = False
    ) -> None:
        """Remember a value once it is handed to the store.

        :param polled: such values come in order: what lies before needs no memory
        """
        if not assessment.accept:
            if assessment.confirm:
                self.pending = Point(assessment.value, assessment.at)
            return
        value, at = assessment.value, assessment.at
        self.pending = None
        recent = self.recent
        if self.at is None or at > self.at:
            if self.value is not None:
                seconds = _seconds(at - self.at)
                still = value == self.value
                self.flow = self.flow + min(self.power_w, power_w or 0) * seconds if still else 0
            self.value, self.at, self.power_w = value, at, power_w or 0
            if polled:
                self.recent = ()
            elif recent:
                recent.append(Point(value, at))
            else:
                self.recent = [Point(value, at)]
        elif recent and (self.broke is None or at > self.broke[0]):
            recent.insert(bisect_left([point.at for point in recent], at), Point(value, at))
        if len(recent) > RECENT:
            del recent[0]

    def restart(self, at: datetime, old_end: int, new_start: int) -> None:
        """The register began anew: reset or replaced meter (``prepay.reading.baseline``)."""
        self.value, self.at, self.pending = new_start, at, None
        self.power_w = self.flow = 0
        self.recent = [Point(new_start, at)]
        self.broke = at, old_end, new_start


def assess(
    history: History,
    value: int,
    at: datetime | None,
    now: datetime,
    limits: Limits,
    *,
    device_at: datetime | None = None,
    power_w: int | None = None,
    around: tuple[Point | None, Point | None] | None = None,
) -> Assessment:
    """Judge a register value; changes nothing (see :meth:`History.take`).

    :param at: when the gateway or collector took the value; None when only the device says when
    :param now: clock of the platform
    :param device_at: the device's own time of the value
    :param power_w: power that the same answer shows
    :param around: stored readings next before and next after, for late data (see ``lookup``)
    """
    notes: tuple[Doubt, ...] = ()
    drift_s = None
    when = at
    if device_at is not None:
        when, drift_s, notes = _time(history, at, device_at, now)
    if when is None or when < EARLIEST or when > now + CLOCK_TOLERANCE:
        told = device_at if when is None else when
        return _held(value, told, drift_s, notes, _doubt("clock", told, now))
    if limits.verified_until is not None and when.date() > limits.verified_until:
        notes += (
            Doubt("unverified", f"verification of the meter ended on {limits.verified_until}"),
        )
    if value < 0 or (limits.modulus and value >= limits.modulus):
        rule = "decrease" if value < 0 else "spike"
        return _held(value, when, drift_s, notes, _out_of_range(rule, value, limits.modulus))
    if history.value is None:
        return _first(history, value, when, now, limits, drift_s, notes)
    if when <= history.at:
        return _late(history, value, when, limits, drift_s, notes, around)
    rule = _misfit(history.value, history.at, value, when, limits)
    if rule:
        doubt = _step_doubt(rule, history.value, history.at, value, when, limits)
        return _held(value, when, drift_s, notes, doubt)
    if power_w and value == history.value and history.power_w:
        seconds = _seconds(when - history.at)
        flow = (history.flow + min(history.power_w, power_w) * seconds) // 3600
        if flow >= limits.stuck >= limits.step:
            notes += (
                Doubt("stuck", f"still {value} while {flow} Wh flowed, now {power_w} W",
                      {"value": value, "flow_wh": flow, "power_w": power_w}),
            )  # fmt: skip
    source = "late" if now - when > LATE_AFTER else "poll"
    return Assessment(True, value, when, source, (), notes, False, False, drift_s)


def assess_series(
    points: list[Point],
    now: datetime,
    limits: Limits,
    before: Point | None = None,
    after: Point | None = None,
) -> list[Assessment]:
    """Judge late values of one register together, in the order of their time.

    :param points: values whose time is known to be good, in any order
    :param before: stored reading next before all of them
    :param after: stored reading next after all of them
    """
    history = History()
    if before is not None:
        history.value, history.at = before
        history.recent = [before]
    limits = replace(limits, confirm_first=False)
    found = []
    for point in sorted(points, key=lambda point: point.at):
        result = assess(history, point.value, point.at, now, limits)
        if result.accept and after is not None:
            doubt = _after_doubt(point.value, point.at, after, limits)
            if doubt:
                result = _held(point.value, point.at, None, (), doubt)
        result = result._replace(source="late")
        history.take(result)
        found.append(result)
    return found


def agrees(first: Point, second: Point, max_rate: int) -> bool:
    """Whether two reads confirm each other, as a final bill, a credit or a cut demands (R-08).

    A random error passes a DL/T 645 checksum once in 256 times and a Modbus CRC once in 65,536:
    one read is no evidence. The later one may lie above the earlier by what the meter can carry.
    """
    if second.at < first.at:
        first, second = second, first
    rise = second.value - first.value
    return rise >= 0 and (not max_rate or rise <= _limit(max_rate, second.at - first.at))


def rates_fit(
    total: int,
    rates: list[int],
    before: tuple[int, list[int]] | None = None,
    *,
    step: int = 10,
) -> Doubt | None:
    """The doubt when the rates (尖峰平谷) do not add up to the total register, else None.

    :param before: total and rates of the last good answer: then the rises are compared, because
        registers that were preset in the factory differ for ever by a constant
    :param step: smallest step of a register; each of them may be rounded
    """
    whole, parts = total, sum(rates)
    if before is not None:
        whole, parts = whole - before[0], parts - sum(before[1])
    tolerance = step * (len(rates) + 1) + abs(whole) // 1000
    if abs(whole - parts) <= tolerance:
        return None
    return Doubt(
        "rates",
        f"rates add up to {parts}, total {whole}",
        {"total": whole, "rates": parts, "tolerance": tolerance},
    )


def max_rate(current_ma: int, voltage_mv: int = 220_000, phases: int = 1) -> int:
    """Largest plausible use per hour in Wh of a meter: rated current × voltage × phases."""
    return current_ma * voltage_mv * phases // 1_000_000


def judge(
    previous_value: int | None,
    previous_at: datetime | None,
    value: int,
    at: datetime,
    now: datetime,
    *,
    max_rate: int,
    modulus: int = 0,
) -> Doubt | None:
    """Return the doubt about a total register, or None when it may become a reading.

    The short form of :func:`assess`, without memory: data out of order passes.

    :param previous_value: newest accepted value in Wh or L, None for the first reading
    :param max_rate: largest plausible rise per hour, in Wh or L; 0 switches the spike rule off
    :param modulus: value at which the register rolls over, 0 when it never does; a fall is a
        roll-over only from above 90 % to below 10 % of it (R-04)
    """
    if at > now + CLOCK_TOLERANCE:
        return _doubt("clock", at, now)
    if previous_value is None or previous_at is None or at <= previous_at:
        return None
    limits = Limits(max_rate, modulus)
    rule = _misfit(previous_value, previous_at, value, at, limits)
    if rule is None:
        return None
    doubt = _step_doubt(rule, previous_value, previous_at, value, at, limits)
    fell = _rise(previous_value, value, modulus) < 0
    return Doubt("decrease" if fell else "spike", doubt.detail, doubt.values)


def _time(history, at, device_at, now):
    """Moment of a value whose device has a clock: (moment or None, drift in s or None, notes)."""
    sane = EARLIEST <= device_at <= now + CLOCK_TOLERANCE
    if at is None:
        return (device_at if sane else None), None, ()
    drift = device_at - at
    drift_s = int(drift.total_seconds())
    notes = ()
    if abs(drift) > DRIFT_NOTE:
        notes = (Doubt("clock_drift", f"clock of the meter is {drift_s:+d} s off", {"s": drift_s}),)
    if not sane or abs(drift) > DRIFT_LIMIT:
        return at, drift_s, notes
    if history.at is not None and device_at <= history.at < at:
        return at, drift_s, notes  # the meter's clock was set back a little
    return device_at, drift_s, notes


def _first(history, value, when, now, limits, drift_s, notes):
    """The first value ever: nothing to compare it with but a second one."""
    pending = history.pending
    if limits.confirm_first and (
        pending is None
        or pending.at == when
        or not agrees(pending, Point(value, when), limits.max_rate)
    ):
        note = Doubt("unconfirmed", f"first value {value}", {"value": value})
        return Assessment(False, value, when, "poll", (), (*notes, note), True, False, drift_s)
    source = "late" if now - when > LATE_AFTER else "poll"
    return Assessment(True, value, when, source, (), notes, False, False, drift_s)


def _late(history, value, when, limits, drift_s, notes, around):
    """A value of the past must lie between those before and after it."""
    before, after = around or (None, None)
    if around is None:
        recent = history.recent
        place = bisect_left([point.at for point in recent], when)
        if place < len(recent):
            after = recent[place]
        elif when == history.at:
            after = Point(history.value, history.at)
        if place:
            before = recent[place - 1]
    if after is not None and after.at == when:
        if after.value == value:
            note = Doubt("duplicate", "stored already")
            return Assessment(False, value, when, "late", (), (*notes, note), False, False, drift_s)
        doubt = Doubt(
            "conflict",
            f"{value} and {after.value} for the same moment",
            {"value": value, "stored": after.value},
        )
        return _held(value, when, drift_s, notes, doubt)
    if around is None and (before is None or after is None):
        return Assessment(False, value, when, "late", (), notes, False, True, drift_s)
    if history.broke is not None:  # the register before the break is another one
        break_at, old_end, new_start = history.broke
        if when <= break_at:
            if after is None or after.at > break_at:
                after = Point(old_end, break_at)
        elif before is None or before.at < break_at:
            before = Point(new_start, break_at)
    if before is not None:
        rule = _misfit(before.value, before.at, value, when, limits)
        if rule:
            doubt = _step_doubt(rule, before.value, before.at, value, when, limits)
            return _held(value, when, drift_s, notes, doubt)
    if after is not None:
        doubt = _after_doubt(value, when, after, limits)
        if doubt:
            return _held(value, when, drift_s, notes, doubt)
    return Assessment(True, value, when, "late", (), notes, False, False, drift_s)


def _after_doubt(value, when, after, limits):
    """The doubt about a late value because of the reading after it."""
    rule = _misfit(value, when, after.value, after.at, limits)
    if rule is None:
        return None
    too_high = _rise(value, after.value, limits.modulus) < 0
    if rule == "unit":
        named = rule
    else:
        named = "spike" if too_high else "decrease"
    return Doubt(
        named,
        f"{value} does not fit {after.value} of {after.at:%Y-%m-%d %H:%M:%S} UTC",
        {"value": value, "after": after.value},
    )


def _misfit(previous, previous_at, value, at, limits) -> str | None:
    """Rule that a step from one value to the next breaks; None when it is plausible."""
    rate = limits.max_rate
    rise = value - previous
    if rise >= 0:
        if not rate:
            return None
        limit = _limit(rate, at - previous_at)
        if rise <= limit:
            return None
        # ×1000: the value divided by it continues where the last good one was.
        return "unit" if 0 <= value // 1000 - previous <= limit else "spike"
    modulus = limits.modulus
    limit = _limit(rate, at - previous_at) if rate else None
    if rolled_over(previous, value, modulus):
        return None if limit is None or rise + modulus <= limit else "reset"
    room = limit if limit is not None else previous // 100
    if -1000 < value * 1000 - previous <= room and value:
        return "unit"
    return "reset" if value * 10 < previous else "decrease"


def rolled_over(previous: int, value: int, modulus: int) -> bool:
    """Above 90 % to below 10 % of the modulus (R-04), in exact integers."""
    return bool(modulus) and previous * 10 > modulus * 9 and value * 10 < modulus


def _rise(previous, value, modulus) -> int:
    rise = value - previous
    return rise + modulus if rolled_over(previous, value, modulus) else rise


def _limit(rate: int, span: timedelta) -> int:
    """Largest plausible rise in a span of time (R-03)."""
    return 6 * rate * _seconds(span) // 18_000 + SPIKE_FLOOR


def _seconds(span: timedelta) -> int:
    return span.days * 86_400 + span.seconds


def _held(value, when, drift_s, notes, doubt) -> Assessment:
    return Assessment(False, value, when, "poll", (doubt,), notes, False, False, drift_s)


def _doubt(rule, at, now) -> Doubt:
    return Doubt(
        rule, f"read at {at:%Y-%m-%d %H:%M:%S}, now {now:%Y-%m-%d %H:%M:%S} UTC", {"at": at}
    )


def _out_of_range(rule, value, modulus) -> Doubt:
    return Doubt(rule, f"{value} does not fit the range 0..{modulus or ''}", {"value": value})


def _step_doubt(rule, previous, previous_at, value, at, limits) -> Doubt:
    """Say why a step is not believable."""
    rise = _rise(previous, value, limits.modulus)
    values = {"previous": previous, "previous_at": previous_at, "value": value, "rise": rise}
    if rise < 0:
        return Doubt(rule, f"from {previous} to {value}", values)
    limit = _limit(limits.max_rate, at - previous_at)
    return Doubt(
        rule, f"from {previous} to {value}: rise of {rise} in {at - previous_at}, plausible {limit}",
        values,
    )  # fmt: skip
