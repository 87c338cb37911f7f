"""What a simulated place uses: power in W, or flow in L/h, as a function of simulated local time.

The same seed and time always give the same value.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zlib import crc32

from .checks import day, list_of, whole

DAY_PERCENT = (
    # hour 0 to 23 of a dormitory room, percent of the peak
    *(22, 18, 16, 15, 15, 18, 35, 48),
    *(30, 22, 20, 26, 55, 52, 28, 24),
    *(26, 38, 62, 82, 96, 100, 90, 52),
)
WEEKDAY_PERCENT = (94, 92, 92, 94, 100, 118, 122)
SUMMER, WINTER = (6, 7, 8, 9), (12, 1, 2)
NOISE_PERCENT = 12
WATER_PERMILLE = (
    # hour 0 to 23 of a household, thousandths of the day's water
    *(8, 4, 3, 3, 6, 22, 70, 85),
    *(60, 40, 34, 40, 58, 42, 28, 26),
    *(32, 48, 72, 88, 92, 74, 43, 22),
)
TAP_LH = 480
"""Flow of one open tap: 8 L a minute."""


def _minute(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M")


def _noise(seed: str, at: datetime) -> int:
    """Number of 0 to 999, new every minute."""
    return crc32(f"{seed}:{_minute(at)}".encode()) % 1000


@dataclass(slots=True, frozen=True)
class ConstantLoad:
    """The same power or flow at all times."""

    power_w: int
    step_s: int = 3600

    def power_at(self, at: datetime) -> int:
        return self.power_w

    def resistive_w(self, at: datetime) -> int:
        """Part of the power that has power factor 1."""
        return 0

    def describe(self) -> dict:
        return {"kind": "constant", "power_w": self.power_w}


@dataclass(slots=True, frozen=True)
class DormitoryLoad:
    """Day curve of a dormitory room with weekday, season and vacancy, and noise of each minute.

    Power lies near `peak_w` on a weekday evening and never under `base_w` (refrigerator), which is
    all that a vacant room draws. Air conditioning is a percentage of the curve in June to September
    (`summer_percent`) and December to February (`winter_percent`). A forbidden heater draws
    `heater_w` for `heater_minutes` from 20:00 each evening, with power factor 1.
    """

    peak_w: int
    base_w: int = 60
    seed: str = ""
    summer_percent: int = 100
    winter_percent: int = 100
    vacant: tuple[tuple[date, date], ...] = ()
    """First and last day of each absence."""
    heater_w: int = 0
    heater_minutes: int = 10
    step_s: int = 60

    def power_at(self, at: datetime) -> int:
        if any(first <= at.date() <= last for first, last in self.vacant):
            return self.base_w
        percent = DAY_PERCENT[at.hour] * WEEKDAY_PERCENT[at.weekday()]
        noise = 100 - NOISE_PERCENT + _noise(self.seed, at) % (2 * NOISE_PERCENT + 1)
        power = self.peak_w * percent * noise * self._season(at.month) // 100_000_000
        return max(self.base_w, power) + self.resistive_w(at)

    def _season(self, month: int) -> int:
        if month in SUMMER:
            return self.summer_percent
        return self.winter_percent if month in WINTER else 100

    def resistive_w(self, at: datetime) -> int:
        return self.heater_w if at.hour == 20 and at.minute < self.heater_minutes else 0

    def describe(self) -> dict:
        return {
            "kind": "dormitory",
            "peak_w": self.peak_w,
            "base_w": self.base_w,
            "seed": self.seed,
            "summer_percent": self.summer_percent,
            "winter_percent": self.winter_percent,
            "vacant": [[first.isoformat(), last.isoformat()] for first, last in self.vacant],
            "heater_w": self.heater_w,
            "heater_minutes": self.heater_minutes,
        }


@dataclass(slots=True, frozen=True)
class WaterLoad:
    """A household's taps: whole minutes of `TAP_LH`, about `day_l` litres a day, and a leak."""

    day_l: int
    leak_lh: int = 0
    seed: str = ""
    step_s: int = 60

    def power_at(self, at: datetime) -> int:
        """Flow in L/h."""
        # Chance of an open tap in this minute, in thousandths; more than one tap when needed.
        chance = self.day_l * WATER_PERMILLE[at.hour] // (TAP_LH)
        taps, chance = divmod(chance, 1000)
        return self.leak_lh + TAP_LH * (taps + (_noise(self.seed, at) < chance))

    def resistive_w(self, at: datetime) -> int:
        return 0

    def describe(self) -> dict:
        return {
            "kind": "water",
            "day_l": self.day_l,
            "leak_lh": self.leak_lh,
            "seed": self.seed,
        }


Load = ConstantLoad | DormitoryLoad | WaterLoad


def _absences(name: str, value: Any) -> tuple[tuple[date, date], ...]:
    pairs = list_of(list_of(day, 2, 2))(name, value)
    return tuple((first, last) for first, last in pairs)


_watts = whole(0, 100_000)
_text: Any = lambda _, value: str(value)  # noqa: E731 - a check like the others
KINDS: dict[str, tuple[type, dict]] = {
    # kind: (class, {name: (check, default)})
    "constant": (ConstantLoad, {"power_w": (_watts, 0)}),
    "dormitory": (
        DormitoryLoad,
        {
            "peak_w": (_watts, 1200),
            "base_w": (_watts, 60),
            "seed": (_text, None),
            "summer_percent": (whole(0, 1000), 100),
            "winter_percent": (whole(0, 1000), 100),
            "vacant": (_absences, ()),
            "heater_w": (_watts, 0),
            "heater_minutes": (whole(0, 60), 10),
        },
    ),
    "water": (
        WaterLoad,
        {
            "day_l": (whole(0, 100_000), 120),
            "leak_lh": (whole(0, 10_000), 0),
            "seed": (_text, None),
        },
    ),
}


def make_load(spec: Any, seed: str) -> Load:
    """Load from its description; `seed` is used when the description has none.

    :raises ValueError: unknown kind or name, or a value out of range
    """
    known = {"kind", *(name for _, options in KINDS.values() for name in options)}
    if not isinstance(spec, dict) or set(spec) - known:
        raise ValueError(f"load {spec!r} is not an object of {', '.join(sorted(known))}")
    kind = spec.get("kind", "constant")
    if kind not in KINDS:
        raise ValueError(f"load kind {kind!r} is neither constant nor dormitory nor water")
    made, options = KINDS[kind]
    values = {
        name: check(name, spec[name]) if name in spec else seed if name == "seed" else default
        for name, (check, default) in options.items()
    }
    return made(**values)
