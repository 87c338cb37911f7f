"""What a meter switches off by itself: too much power, a resistive load, hours without supply."""

from datetime import datetime
from math import isqrt

Slot = tuple[int, int, int]
"""On (1) or off (0) from this hour and minute on."""


def power_factor(power_w: int, resistive_w: int) -> int:
    """Power factor in thousandths: 1 for what is resistive, 0.95 for the rest of a room."""
    if power_w == resistive_w:
        return 1000
    if not resistive_w:
        return 950
    reactive = (power_w - resistive_w) * 3287 // 10_000
    return power_w * 1000 // isqrt(power_w**2 + reactive**2)


class Guard:
    """Load control and time control of a meter; all off by default."""

    def __init__(self) -> None:
        self.load_control = False
        self.max_power_w = 0  # 0 is no limit
        self.power_step_w = 0  # 0 is no watch for resistive loads
        self.pf_limit_milli = 980  # a step with at least this power factor is resistive
        self.trips = 0
        self.trips_allowed = 3
        self.recovery_s = 60  # 0 is never
        self.time_control = False
        self.work_slots: list[Slot] = []
        self.rest_slots: list[Slot] = []
        self.rest_days = 0b1000001  # bit 0 is Sunday
        self._last_power = 0
        self._last_resistive = 0

    def objection(self, power_w: int, resistive_w: int) -> str:
        """Why this load is cut, or nothing; to be asked for each step of the load."""
        step, resistive = power_w - self._last_power, resistive_w - self._last_resistive
        self._last_power, self._last_resistive = power_w, resistive_w
        if not self.load_control:
            return ""
        if self.max_power_w and power_w > self.max_power_w:
            return "overload"
        if not self.power_step_w or step < self.power_step_w:
            return ""
        return "malicious load" if power_factor(step, resistive) >= self.pf_limit_milli else ""

    def supply_at(self, at: datetime) -> bool | None:
        """What the time control wants now; None when it wants nothing."""
        resting = self.rest_days >> at.isoweekday() % 7 & 1
        slots = sorted(
            ((hour, minute), on)
            for on, hour, minute in (self.rest_slots if resting else self.work_slots)
        )
        if not self.time_control or not slots:
            return None
        passed = [on for start, on in slots if start <= (at.hour, at.minute)]
        return bool(passed[-1] if passed else slots[-1][1])
