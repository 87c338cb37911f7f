"""Quality of what one answer showed: accepted registers, held values, events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from .. import quality
from ..channels import BILLED, REGISTERS
from ..load_guard import LoadSample, judge_load
from .config import Meter
from .results import Event, PollResult

#: Events that an accepted reading clears, unless it raises them again.
QUALITY = frozenset(
    {"decrease", "reset", "spike", "unit", "clock", "stuck", "unverified", "clock_drift"}
)
LOAD = frozenset({"overload", "malicious_load"})
#: Notes that go into the journal.
TOLD = frozenset({"stuck", "unverified", "clock_drift"})
_NONE: frozenset[str] = frozenset()
_RATES = ("energy_sharp", "energy_peak", "energy_flat", "energy_valley", "energy_deep")


@dataclass(slots=True)
class Memory:
    """What is remembered of a meter's registers: the billed one, and the rates beside it."""

    history: quality.History
    limits: quality.Limits
    rates: tuple[int, list[int]] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an answer besides what was put into its result.

    ``over``: kinds of events that are over; ``confirm``: read again at once; ``lookup``: the value
    is older than what is remembered, its neighbours are in the database.
    """

    events: Sequence[Event]
    over: frozenset[str] = _NONE
    confirm: bool = False
    lookup: bool = False


_NOTHING = Verdict(())
_GOOD = Verdict((), QUALITY)


def memory(meter: Meter) -> Memory:
    """The memory of a meter, begun with the newest reading of the database."""
    if meter.quality is None:
        history = quality.History(meter.last_value, meter.last_at)
        if meter.last_at is not None:
            history.recent = [quality.Point(meter.last_value, meter.last_at)]
        meter.quality = Memory(history, limits(meter))
    return meter.quality


def limits(meter: Meter) -> quality.Limits:
    """What the meter can do, by its profile; shared by all meters of it that have no own date."""
    profile = meter.profile
    key = ("limits", meter.verified_until)
    found = profile.plans.get(key)
    if found is None:
        electric = profile.medium == "electricity"
        found = profile.plans[key] = quality.Limits(
            max_rate=profile.max_power_w if electric else 0,
            modulus=profile.modulus,
            verified_until=meter.verified_until,
        )
    return found


def judge(
    meter: Meter, result: PollResult, registers: dict[str, int], now: datetime, stated: bool
) -> Verdict:
    """Put accepted registers into ``result.readings``, doubtful ones into ``result.held``.

    :param stated: ``result.at`` is the device's own time, nobody else knows when
    """
    billed = BILLED[meter.profile.medium]
    if billed not in registers:
        result.readings = [(REGISTERS[code], value) for code, value in registers.items()]
        return _NOTHING
    known = meter.quality or memory(meter)
    history = known.history
    if result.at == history.at and not stated:
        return _NOTHING  # asked twice within a second
    power = result.values.get("power")
    found = quality.assess(
        history,
        registers[billed],
        None if stated else result.at,
        now,
        known.limits,
        device_at=result.at if stated else None,
        power_w=power,
    )
    if found.lookup:
        return Verdict((), lookup=True)
    doubts, rates = found.doubts, None
    if found.accept and len(registers) > 1:
        parts = [registers[code] for code in _RATES if code in registers]
        if len(parts) > 3:
            rates = registers[billed], parts
            doubt = quality.rates_fit(*rates, known.rates)
            if doubt is not None:
                doubts = (doubt,)
    if doubts:
        return _held(meter, result, billed, registers, doubts)
    history.take(found, power, polled=not stated)
    if not found.accept:
        return Verdict(_events(meter, found.notes), confirm=found.confirm)
    known.rates = rates
    result.at = found.at
    result.source = 2 if found.source == "late" else 1
    result.readings = [(REGISTERS[code], value) for code, value in registers.items()]
    result.total = registers[billed]
    meter.last_value, meter.last_at = history.value, history.at
    if not found.notes:
        return _GOOD
    events = _events(meter, found.notes)
    return Verdict(events, QUALITY - {event.kind for event in events})


def _held(meter, result, channel, registers, doubts) -> Verdict:
    """One doubtful register puts the whole answer in doubt."""
    history = meter.quality.history
    result.held = [
        {
            "meter_id": meter.id,
            "channel": channel,
            "rule": doubt.rule,
            "at": result.at,
            "previous_at": history.at,
            "previous_value": history.value,
            "value": registers[channel],
            "detail": doubt.detail,
            "channels": list(registers),
            "values": list(registers.values()),
        }
        for doubt in doubts
    ]
    return Verdict(
        [Event(doubt.kind, doubt.detail, meter_id=meter.id, severity="alarm") for doubt in doubts]
    )


def _events(meter: Meter, notes: tuple[quality.Doubt, ...]) -> list[Event]:
    return [Event(note.kind, note.detail, meter_id=meter.id) for note in notes if note.rule in TOLD]


def judge_power(meter: Meter, result: PollResult) -> tuple[Sequence[Event], frozenset[str]]:
    """Overload and malicious load, for meters that have a limit (A9)."""
    if not (meter.overload_w or meter.malicious_step_w):
        return (), _NONE
    values = result.values
    sample = LoadSample(
        result.at,
        values.get("power"),
        values.get("power_factor"),
        values.get("voltage"),
        values.get("current"),
    )
    before, meter.load = meter.load, sample
    found = judge_load(before, sample, meter.overload_w, meter.malicious_step_w)
    events = [Event(f.kind, f.detail, meter_id=meter.id, severity="alarm") for f in found]
    return events, LOAD - {event.kind for event in events}


def judge_battery(
    meter: Meter, result: PollResult, over: frozenset[str]
) -> tuple[list[Event], frozenset[str]]:
    """The event of a low battery, for meters that tell; ``over`` with its end when it is good."""
    low = result.values.get("battery_low")
    if low is None:
        return [], over
    if not low:
        return [], over | {"low_battery"}
    return [Event("low_battery", "the meter reports a low battery", meter_id=meter.id)], over


def drift(meter: Meter, result: PollResult, now: datetime) -> list[Event]:
    """Clock of the meter minus true time, when it was read (``result.values["drift"]``, seconds)."""
    clock = result.values.pop("clock", None)
    if not isinstance(clock, datetime):
        return []
    local = clock.replace(tzinfo=meter.tz)
    seconds = int(local.timestamp() - now.replace(tzinfo=timezone.utc).timestamp())
    result.values["drift"] = seconds
    if abs(seconds) <= quality.DRIFT_NOTE.total_seconds():
        return []
    detail = f"clock of the meter is {seconds:+d} s off"
    return [Event("clock_drift", detail, meter_id=meter.id)]
