"""What a simulated room draws: power in W as a function of simulated local time."""

import random
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

DAY_PERCENT = (
    # hour 0 to 23 of a dormitory room, percent of the peak
    *(22, 18, 16, 15, 15, 18, 35, 48),
    *(30, 22, 20, 26, 55, 52, 28, 24),
    *(26, 38, 62, 82, 96, 100, 90, 52),
)
WEEKDAY_PERCENT = (94, 92, 92, 94, 100, 118, 122)
NOISE_PERCENT = 12


@lru_cache(maxsize=4096)
def _noise_percent(seed: str, minute: datetime) -> int:
    noise = random.Random(f"{seed}:{minute.isoformat()}")
    return noise.randint(100 - NOISE_PERCENT, 100 + NOISE_PERCENT)


@dataclass(slots=True, frozen=True)
class ConstantLoad:
    """The same power at all times."""

    power_w: int
    step_s: int = 3600

    def power_at(self, at: datetime) -> int:
        return self.power_w

    def describe(self) -> dict:
        return {"kind": "constant", "power_w": self.power_w}


@dataclass(slots=True, frozen=True)
class DormitoryLoad:
    """Day curve of a dormitory room with weekday factor and seeded noise, new every minute.

    Power lies near `peak_w` on a weekday evening and never under `base_w` (refrigerator).
    The same seed and time always give the same power.
    """

    peak_w: int
    base_w: int = 60
    seed: str = ""
    step_s: int = 60

    def power_at(self, at: datetime) -> int:
        percent = DAY_PERCENT[at.hour] * WEEKDAY_PERCENT[at.weekday()]
        noise = _noise_percent(self.seed, at.replace(second=0, microsecond=0))
        return max(self.base_w, self.peak_w * percent * noise // 1_000_000)

    def describe(self) -> dict:
        return {
            "kind": "dormitory",
            "peak_w": self.peak_w,
            "base_w": self.base_w,
            "seed": self.seed,
        }


Load = ConstantLoad | DormitoryLoad


def make_load(spec: dict, seed: str) -> Load:
    """Load from its description; `seed` is used when the description has none.

    :raises ValueError: unknown kind or a power outside 0..100000 W
    """
    known = {"kind", "power_w", "peak_w", "base_w", "seed"}
    if not isinstance(spec, dict) or set(spec) - known:
        raise ValueError(f"load {spec!r} is not an object of {', '.join(sorted(known))}")
    kind = spec.get("kind", "constant")
    if kind == "constant":
        return ConstantLoad(_watts(spec, "power_w", 0))
    if kind == "dormitory":
        seed = str(spec.get("seed", seed))
        return DormitoryLoad(_watts(spec, "peak_w", 1200), _watts(spec, "base_w", 60), seed)
    raise ValueError(f"load kind {kind!r} is neither constant nor dormitory")


def _watts(spec: dict, name: str, default: int) -> int:
    value = spec.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100_000:
        raise ValueError(f"{name} {value!r} is not a whole number of 0..100000 W")
    return value
