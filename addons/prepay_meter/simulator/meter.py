"""A simulated single-phase meter: load, energy registers, relay and clock; no protocol.

Energy is kept as an exact integer of watt-nanoseconds and shown in mWh. The meter's clock runs
in real time, so that time limits of commands mean what they say; its load and its energy live
`speed` times faster.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction

from .faults import Faults
from .load import ConstantLoad, Load

CHINA = timezone(timedelta(hours=8))
SECOND = 1_000_000_000
MWH = 3_600_000_000  # watt-nanoseconds in one mWh

RATE_OF_HOUR = (
    # 1 sharp, 2 peak, 3 flat, 4 valley, by simulated hour
    *(4, 4, 4, 4, 4, 4, 4, 3),
    *(2, 2, 2, 3, 3, 3, 3, 3),
    *(3, 3, 2, 1, 1, 2, 3, 4),
)
LOG_LENGTH = 200


@dataclass(slots=True, frozen=True)
class LogEntry:
    """One relay command, or one movement of the relay; `at` is real time, UTC."""

    at: datetime
    action: str
    result: str

    def as_dict(self) -> dict:
        at = self.at.isoformat(timespec="milliseconds")
        return {"at": at, "action": self.action, "result": self.result}


class Meter:
    """State of one meter. Call `advance` before reading it; every command does so itself."""

    def __init__(
        self,
        protocol: str,
        address: str,
        gateway: str = "",
        monotonic: Callable[[], int] = time.monotonic_ns,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.protocol = protocol
        self.address = address
        self.gateway = gateway
        # Settings; `settings.change` checks and applies them by name.
        self.label = ""  # for people, such as the room
        self.load: Load = ConstantLoad(500)
        self.speed = Fraction(1)
        self.relay_delay_ms = 0
        self.clock_offset_s = 0
        self.password = bytes.fromhex("02000000")  # DL/T 645: level and three bytes
        self.control_readable = True  # DDSY1352: 0x0057 and 0x0058 can be read
        self.button_needed = False
        self.preamble = 4  # FE bytes before each DL/T 645 answer
        self.faults = Faults()
        # State
        self.relay_closed = True
        self.commanded_closed = True
        self.keep_power = False
        self.alarm = False
        self.waits_for_button = False
        self.force_control = 0  # DDSY1352 registers 0x0057 and 0x0058
        self.force_open = 0
        self.held = False  # silent to reads since a relay command
        self.reads = 0
        self.writes = 0
        self.commands: deque[LogEntry] = deque(maxlen=LOG_LENGTH)
        self.movements: deque[LogEntry] = deque(maxlen=LOG_LENGTH)
        self._monotonic = monotonic
        self._now = now
        self._at = monotonic()
        self._carry = 0  # simulated time below a microsecond
        self._due: int | None = None  # when a delayed relay moves
        self._rates = [0, 0, 0, 0]  # watt-nanoseconds
        self._stuck_rates: list[int] | None = None
        self._load_time = now().astimezone(CHINA).replace(tzinfo=None)

    @property
    def key(self) -> str:
        return f"{self.gateway}:{self.address}"

    # ---- time and energy

    def advance(self) -> None:
        """Let load, energy and relay catch up with the present moment."""
        now = self._monotonic()
        if self._due is not None and self._due <= now:
            self._run(self._due - self._at)
            self._at, self._due = self._due, None
            self._move()
        self._run(now - self._at)
        self._at = now

    def run_ahead(self, real_seconds: float) -> None:
        """Use energy as if this much real time had passed."""
        self.advance()
        self._run(int(real_seconds * SECOND))

    def _run(self, real_ns: int) -> None:
        per_us = 1000 * self.speed.denominator
        us, self._carry = divmod(real_ns * self.speed.numerator + self._carry, per_us)
        left = us * 1000
        while left > 0:
            at = self._load_time
            step_s = self.load.step_s
            into_step = (at.minute * 60 + at.second) % step_s * SECOND + at.microsecond * 1000
            span = min(left, step_s * SECOND - into_step)
            if self.relay_closed:
                self._rates[RATE_OF_HOUR[at.hour] - 1] += self.load.power_at(at) * span
            self._load_time = at + timedelta(microseconds=span // 1000)
            left -= span

    def set_energy(self, energy_wh: int) -> None:
        """Make the total register show `energy_wh`, spread evenly over the four rates."""
        share, rest = divmod(energy_wh * 1000 * MWH, 4)
        self._rates = [share + rest, share, share, share]
        if self._stuck_rates is not None:
            self._stuck_rates = list(self._rates)

    @property
    def energy_mwh(self) -> int:
        """True energy, whatever the faults make the register show."""
        return sum(self._rates) // MWH

    def registers_mwh(self) -> tuple[int, ...]:
        """What the registers show: total and four rates."""
        if not self.faults.stuck:
            self._stuck_rates = None
        elif self._stuck_rates is None:
            self._stuck_rates = list(self._rates)
        rates = self._stuck_rates or self._rates
        total = max(0, sum(rates) // MWH + self.faults.spike_wh * 1000)
        return (total, *(rate // MWH for rate in rates))

    def clock(self) -> datetime:
        """The meter's local time, without zone."""
        shown = self._now().astimezone(CHINA) + timedelta(seconds=self.clock_offset_s)
        return shown.replace(tzinfo=None)

    # ---- electrical values

    @property
    def power_w(self) -> int:
        return self.load.power_at(self._load_time) if self.relay_closed else 0

    @property
    def power_factor_milli(self) -> int:
        return 950 if self.power_w else 1000

    @property
    def voltage_mv(self) -> int:
        wobble = random.Random(f"{self.address}:{self._load_time:%j%H%M}").randint(-25, 25)
        return 229_000 + wobble * 100

    @property
    def current_ma(self) -> int:
        return self.power_w * 1_000_000_000 // (self.voltage_mv * self.power_factor_milli)

    # ---- relay

    def switch(self, close: bool) -> str:
        """Obey a command to open or close; what came of it in words."""
        self.advance()
        self.commanded_closed = close
        self.waits_for_button = False
        if self.faults.welded:
            return "acknowledged, relay stuck"
        if not close and self.keep_power:
            return "waiting: keep-power"
        if close == self.relay_closed:
            self._due = None
            return "no change"
        if self.relay_delay_ms:
            self._due = self._at + self.relay_delay_ms * 1_000_000
            return f"moves in {self.relay_delay_ms} ms"
        self._move()
        return "done"

    def allow_close(self) -> str:
        """The customer may close with the button; without `button_needed` the meter does it."""
        if not self.button_needed:
            return self.switch(close=True)
        self.advance()
        self.commanded_closed = True
        self.waits_for_button = not self.relay_closed
        return "waiting for the button" if self.waits_for_button else "no change"

    def press_button(self) -> None:
        """The customer presses the button of the meter."""
        if self.waits_for_button:
            self.switch(close=True)

    def set_keep_power(self, on: bool) -> str:
        """While on, no command opens the relay; a waiting one does when it is switched off."""
        self.advance()
        self.keep_power = on
        if not on and not self.commanded_closed:
            return self.switch(close=False)
        return "done"

    def _move(self) -> None:
        if self.relay_closed != self.commanded_closed:
            self.relay_closed = self.commanded_closed
            state = "closed" if self.relay_closed else "open"
            self.movements.append(LogEntry(self._now(), "relay", state))

    def record(self, action: str, result: str) -> None:
        """Keep a relay command in the log."""
        self.commands.append(LogEntry(self._now(), action, result))

    def force_relay(self, closed: bool) -> None:
        """Put the relay by hand, without a command."""
        self.advance()
        self._due = None
        self.commanded_closed = closed
        self._move()

    # ---- what a real meter keeps without power

    def dump(self) -> dict:
        """State for a restart of the simulator."""
        self.advance()
        return {
            "rates": self._rates,
            "relay_closed": self.relay_closed,
            "commanded_closed": self.commanded_closed,
            "keep_power": self.keep_power,
            "force": [self.force_control, self.force_open],
        }

    def restore(self, state: dict) -> None:
        """Take over what `dump` gave."""
        self._rates = [int(rate) for rate in state["rates"]]
        self.relay_closed = bool(state["relay_closed"])
        self.commanded_closed = bool(state["commanded_closed"])
        self.keep_power = bool(state["keep_power"])
        self.force_control, self.force_open = (int(value) for value in state["force"])
