"""Quality of what one poll showed: accepted registers, held values, events."""

from __future__ import annotations

from datetime import datetime

from .. import quality
from ..channels import BILLED, REGISTERS
from .config import Meter
from .results import Event, PollResult

#: Events that an accepted reading clears.
QUALITY = frozenset({"decrease", "spike", "clock"})
_NONE: frozenset[str] = frozenset()


def judge(
    meter: Meter, result: PollResult, registers: dict[str, int], now: datetime
) -> tuple[list[Event], frozenset[str]]:
    """Put accepted registers into ``result.readings``, doubtful ones into ``result.held``.

    :return: events, and the kinds of events that are over
    """
    profile = meter.profile
    billed = BILLED[profile.medium]
    if billed not in registers:
        result.readings = [(REGISTERS[code], value) for code, value in registers.items()]
        return [], _NONE
    value = registers[billed]
    doubt = quality.judge(
        meter.last_value,
        meter.last_at,
        value,
        result.at,
        now,
        max_rate=profile.max_power_w if profile.medium == "electricity" else 0,
        modulus=profile.modulus,
    )
    if doubt is None:
        result.readings = [(REGISTERS[code], number) for code, number in registers.items()]
        if meter.last_at is None or result.at > meter.last_at:
            meter.last_value, meter.last_at = value, result.at
        return [], QUALITY
    # One doubtful register puts the whole answer in doubt.
    result.held.append(
        {
            "meter_id": meter.id,
            "channel": billed,
            "rule": doubt.rule,
            "at": result.at,
            "previous_at": meter.last_at,
            "previous_value": meter.last_value,
            "value": value,
            "detail": doubt.detail,
        }
    )
    return [Event(doubt.rule, doubt.detail, meter_id=meter.id, severity="alarm")], _NONE
