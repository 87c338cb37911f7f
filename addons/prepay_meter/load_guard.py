"""What a meter that cannot do it itself leaves to the platform: overload and malicious load.

Pure functions over the readings of one meter. An overload needs two readings in a row above the
limit: one spike of a starting motor, or one corrupted value, is none. A malicious load (恶性负载)
is a heater where none is allowed: power rises at once by the limit or more, and what flows then is
resistive.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

RESISTIVE_PERMILLE = 970
"""A power factor from here on is a resistive load."""
LONGEST_STEP = timedelta(hours=2)
"""Between readings further apart anything may have happened: no step is seen there."""


@dataclass(frozen=True, slots=True)
class LoadSample:
    """Load of a meter at one poll: W, power factor in thousandths, mV, mA; None when not read.

    `at` is naive UTC. Voltage and current are of a single-phase meter.
    """

    at: datetime
    power_w: int | None
    power_factor: int | None = None
    voltage_mv: int | None = None
    current_ma: int | None = None

    @property
    def factor(self) -> int | None:
        """Power factor in thousandths, from power, voltage and current when the meter gives none."""
        if self.power_factor is not None:
            return abs(self.power_factor)
        if self.power_w is None or not self.voltage_mv or not self.current_ma:
            return None
        return min(1000, abs(self.power_w) * 10**9 // (self.voltage_mv * self.current_ma))


class Finding(NamedTuple):
    """`kind` is a kind of meter event, `detail` the values."""

    kind: str
    detail: str


def judge_load(
    previous: LoadSample | None, now: LoadSample, overload_w: int, malicious_step_w: int
) -> list[Finding]:
    """What is wrong with the load of a meter; nothing when a value is missing.

    :param previous: the sample of the poll before, None at the first one
    :param overload_w: power in W above which two samples in a row are an overload; 0 for no limit
    :param malicious_step_w: rise in W that is malicious when resistive; 0 for no limit
    """
    if previous is None or previous.power_w is None or now.power_w is None:
        return []
    if previous.at >= now.at:
        return []
    found = []
    before, power = abs(previous.power_w), abs(now.power_w)
    if overload_w > 0 and before > overload_w and power > overload_w:
        found.append(Finding("overload", f"{before} W, then {power} W; limit {overload_w} W"))
    step, factor = power - before, now.factor
    if (
        malicious_step_w > 0
        and step >= malicious_step_w
        and now.at - previous.at <= LONGEST_STEP
        and factor is not None
        and factor >= RESISTIVE_PERMILLE
    ):
        found.append(
            Finding(
                "malicious_load",
                f"rise of {step} W to {power} W, power factor {factor / 1000:.2f}; "
                f"limit {malicious_step_w} W",
            )
        )
    return found
