"""Quality rules of readings, as a pure function: is this register value believable?

What is doubted is held with its reason; it is never billed and never used to cut (R-03, R-04).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: A reading may lie this far in the future of the collector's clock.
CLOCK_TOLERANCE = timedelta(minutes=5)
#: Share of the rated power above which a rise is held (R-03).
PLAUSIBLE_FACTOR = 1.2
#: Rises below this many base units are never a spike: registers step by 10 Wh, clocks by a second.
SPIKE_FLOOR = 100


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a value is held: ``rule`` is the machine code, ``detail`` the values."""

    rule: str
    detail: str


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

    :param previous_value: newest accepted value in Wh or L, None for the first reading
    :param max_rate: largest plausible rise per hour, in Wh or L; 0 switches the spike rule off
    :param modulus: value at which the register rolls over, 0 when it never does; a fall is a
        roll-over only from above 90 % to below 10 % of it (R-04)
    """
    if at > now + CLOCK_TOLERANCE:
        return Doubt("clock", f"read at {at:%Y-%m-%d %H:%M:%S}, now {now:%Y-%m-%d %H:%M:%S} UTC")
    if previous_value is None or previous_at is None:
        return None
    if at <= previous_at:
        return None  # late data: the rating finds its place among the readings it has
    rise = value - previous_value
    if rise < 0 and modulus and previous_value > modulus * 0.9 and value < modulus * 0.1:
        rise += modulus
    if rise < 0:
        return Doubt("decrease", f"from {previous_value} to {value}")
    if max_rate:
        hours = (at - previous_at).total_seconds() / 3600
        limit = PLAUSIBLE_FACTOR * max_rate * hours + SPIKE_FLOOR
        if rise > limit:
            return Doubt("spike", f"rise of {rise} in {at - previous_at}, plausible {limit:.0f}")
    return None
