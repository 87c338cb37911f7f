"""A simulated meter of electricity or water: load, registers, relay or valve, clock; no protocol.

Energy is kept as an exact integer of watt-nanoseconds and shown in mWh; water the same way with
litres per hour for watts and millilitres for mWh. The meter's clock runs in real time, so that
time limits of commands mean what they say; its load and its registers live `speed` times faster.
A valve is a relay: closed is "supplies", and it travels for `relay_delay_ms`.
"""

import heapq
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from random import Random
from zlib import crc32

from .credit import DONE, REPEATED, Credit
from .faults import Faults
from .guard import Guard, power_factor
from .load import ConstantLoad, Load

CHINA = timezone(timedelta(hours=8))
SECOND = 1_000_000_000
MWH = 3_600_000_000  # watt-nanoseconds in one mWh
FLAT = 3
PHASE_PERCENT = (40, 33, 27)
"""How a three-phase load spreads."""

RATE_OF_HOUR = (
    # 1 sharp, 2 peak, 3 flat, 4 valley, by simulated hour
    *(4, 4, 4, 4, 4, 4, 4, 3),
    *(2, 2, 2, 3, 3, 3, 3, 3),
    *(3, 3, 2, 1, 1, 2, 3, 4),
)
LOG_LENGTH = 200
WATER = ("cjt188", "modbus_water")


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
        self.medium = "water" if protocol in WATER else "electricity"
        # Settings; `settings.change` checks and applies them by name.
        self.label = ""  # for people, such as the room
        self.number = ""  # how MQTT names the meter, its address when empty
        self.load: Load = ConstantLoad(500 if self.medium == "electricity" else 30)
        self.speed = Fraction(1)
        self.relay_delay_ms = 5000 if self.medium == "water" else 0
        self.clock_drift_ppm = 0
        self.button_needed = False
        self.phases = 3 if protocol == "modbus_dtsy1352" else 1
        self.reverse_wh = 0
        self.prepaid = False
        self.credit = Credit()
        self.credit.cut_at_alarm2 = protocol in ("modbus_adf300l", "modbus_adf400l")
        self.guard = Guard()
        self.faults = Faults()
        self.dice = Random(self.key)
        self.store: dict = {}  # what the protocol keeps for the collector: tables, parameters
        # DL/T 645
        self.password = bytes.fromhex("02000000")  # level and three bytes
        self.preamble = 4  # FE bytes before each answer, CJ/T 188 too
        self.frame_data = 200  # data bytes of one answer, longer ones are read on with 12
        self.broadcast_limit_s = 300  # a broadcast moves the clock by at most this, 0 is any
        self.credit_fields = ("password", "operator", "amount", "number")
        self.credit_error_bytes = 2
        self.repeat_refused = False  # a purchase that was taken before is answered with an error
        # Modbus
        self.control_readable = True  # DDSY1352: 0x0057 and 0x0058 can be read
        self.debt_signed = False  # ADF: remaining amount below zero instead of an overdraft
        self.strong_open, self.strong_close = 0x0100, 0x0001  # ADF: strong control word
        # CJ/T 188
        self.water_type = 0x10
        self.di_order = "901F"
        self.valve_mask, self.battery_mask = 0x03, 0x04
        self.layout = "standard"
        # State
        self.powered = True
        self.relay_closed = True
        self.commanded_closed = True
        self.keep_power = False
        self.alarm = False
        self.waits_for_button = False
        self.own_trip = ""  # why the meter opened by itself
        self.force_control = 0  # the collector rules: DDSY1352 registers 0x0057 and 0x0058
        self.force_open = 0
        self.held = False  # silent to reads since a relay command
        self.reads = 0
        self.writes = 0
        self.recorded = 0  # obeyed commands
        self.commands: deque[LogEntry] = deque(maxlen=LOG_LENGTH)
        self.movements: deque[LogEntry] = deque(maxlen=LOG_LENGTH)
        self.history: deque[tuple[int, ...]] = deque(maxlen=12)  # rates at month ends, newest first
        self._monotonic = monotonic
        self._now = now
        self._at = monotonic()
        self._clock_at = self._at  # since when the clock drifts
        self._clock_offset = timedelta(0)
        self._carry = 0  # simulated time below a microsecond
        self._todo: list[tuple[int, int, Callable[[], object]]] = []
        self._jobs = 0
        self._job = 0  # the one at work
        self._advancing = False
        self._move_job = 0  # number of the delayed movement that counts
        self._travels_until = 0
        self._script: set[int] = set()
        self._heater: tuple[int, datetime] | None = None
        self._rates = [0, 0, 0, 0]  # watt-nanoseconds
        self._stuck_rates: list[int] | None = None
        self._reset_base: list[int] | None = None
        self._load_time = now().astimezone(CHINA).replace(tzinfo=None)

    @property
    def key(self) -> str:
        return f"{self.gateway}:{self.address}"

    # ---- time and energy

    def advance(self) -> None:
        """Let load, energy, relay and script catch up with the present moment."""
        if self._advancing:  # called by a job, which stands at its own moment
            return
        self._advancing = True
        try:
            now = self._monotonic()
            while self._todo and self._todo[0][0] <= now:
                at, self._job, work = heapq.heappop(self._todo)
                self._catch_up(at)
                work()
            self._catch_up(now)
            self._obey_timetable()
        finally:
            self._advancing = False

    def _catch_up(self, at: int) -> None:
        if at > self._at:
            self._run(at - self._at)
            self._at = at

    def _after(self, milliseconds: int, work: Callable[[], object]) -> int:
        """Do `work` this much later; returns the number of the job."""
        self._jobs += 1
        heapq.heappush(self._todo, (self._at + milliseconds * 1_000_000, self._jobs, work))
        return self._jobs

    def schedule(self, steps: list[tuple[int, Callable[[], object]]]) -> None:
        """Replace the script: pairs of milliseconds from now and work."""
        self.advance()
        self._todo = [job for job in self._todo if job[1] not in self._script]
        heapq.heapify(self._todo)
        self._script = {self._after(milliseconds, work) for milliseconds, work in steps}

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
            step_s = min(self.load.step_s, 60 if self.prepaid else 3600)
            into_step = (at.minute * 60 + at.second) % step_s * SECOND + at.microsecond * 1000
            span = min(left, step_s * SECOND - into_step)
            if self._heater and self._heater[1] > at:
                span = min(span, (self._heater[1] - at) // timedelta(microseconds=1) * 1000)
            power = self.power_w
            if power:
                self._use(power * span, RATE_OF_HOUR[at.hour])
            self._judge(power)
            self._load_time = at + timedelta(microseconds=span // 1000)
            if self._load_time.month != at.month:
                self.history.appendleft(tuple(self._rates))
            left -= span

    def _use(self, quantity: int, rate: int) -> None:
        self._rates[rate - 1] += quantity
        if self.prepaid:
            self.credit.spend(quantity, rate)

    def _judge(self, power: int) -> None:
        """Open the relay when the meter's own rules say so."""
        why = self.guard.objection(power, self.resistive_w)
        if self.force_control:
            return
        if why and self.trip(why):
            self.guard.trips += 1
            if self.guard.trips <= self.guard.trips_allowed and self.guard.recovery_s:
                self._after(self.guard.recovery_s * 1000, lambda: self.recover(why))
        self._judge_credit()

    def _judge_credit(self) -> None:
        if self.prepaid and not self.force_control and self.credit.exhausted:
            self.trip("credit")

    def set_energy(self, energy_wh: int) -> None:
        """Make the total register show `energy_wh` (L for water), spread evenly over the rates.

        A prepaid meter pays for an increase at its flat price.
        """
        if self.prepaid and (used := energy_wh * 1000 * MWH - sum(self._rates)) > 0:
            self.credit.spend(used, FLAT)
        share, rest = divmod(energy_wh * 1000 * MWH, 4)
        self._rates = [share + rest, share, share, share]
        if self._stuck_rates is not None:
            self._stuck_rates = list(self._rates)
        self._judge_credit()

    @property
    def energy_mwh(self) -> int:
        """True energy (mL for water), whatever the faults make the register show."""
        return sum(self._rates) // MWH

    def registers_mwh(self) -> tuple[int, ...]:
        """What the registers show: total and four rates."""
        faults = self.faults
        if not faults.stuck:
            self._stuck_rates = None
        elif self._stuck_rates is None:
            self._stuck_rates = list(self._rates)
        if not faults.reset:
            self._reset_base = None
        elif self._reset_base is None:
            self._reset_base = list(self._rates)
        rates = self._stuck_rates or self._rates
        base = self._reset_base or (0, 0, 0, 0)
        rates = [rate - start for rate, start in zip(rates, base, strict=True)]
        factor = faults.unit_factor or 1
        total = max(0, sum(rates) // MWH + faults.spike_wh * 1000)
        shown = [max(0, value) * factor for value in (total, *(rate // MWH for rate in rates))]
        if faults.wrap_wh:
            shown = [value % (faults.wrap_wh * 1000) for value in shown]
        return tuple(shown)

    # ---- clock

    def clock(self) -> datetime:
        """The meter's local time, without zone."""
        drift = (self._monotonic() - self._clock_at) * self.clock_drift_ppm // 10**9
        shown = self._now().astimezone(CHINA).replace(tzinfo=None)
        return shown + self._clock_offset + timedelta(microseconds=drift)

    def set_clock(self, to: datetime) -> None:
        """Put the meter's clock; it drifts on from there."""
        self._clock_at = self._monotonic()
        self._clock_offset = to - self._now().astimezone(CHINA).replace(tzinfo=None)

    def set_clock_offset(self, seconds: int) -> None:
        self._clock_at = self._monotonic()
        self._clock_offset = timedelta(seconds=seconds)

    def set_clock_drift(self, ppm: int) -> None:
        self.set_clock(self.clock())
        self.clock_drift_ppm = ppm

    # ---- electrical values

    @property
    def supplied(self) -> bool:
        """Whether anything flows through the meter."""
        return self.powered and (self.relay_closed or self.faults.bypass)

    @property
    def power_w(self) -> int:
        """Power in W; flow in L/h for water."""
        if not self.supplied:
            return 0
        return self.load.power_at(self._load_time) + self._heater_w()

    @property
    def resistive_w(self) -> int:
        if not self.supplied:
            return 0
        return self.load.resistive_w(self._load_time) + self._heater_w()

    def _heater_w(self) -> int:
        return self._heater[0] if self._heater and self._load_time < self._heater[1] else 0

    def plug_in(self, power_w: int, minutes: int) -> None:
        """A resistive load for some simulated minutes."""
        self.advance()
        self._heater = (power_w, self._load_time + timedelta(minutes=minutes))

    @property
    def reactive_var(self) -> int:
        """The room has power factor 0.95 apart from what is resistive."""
        return (self.power_w - self.resistive_w) * 3287 // 10_000

    @property
    def power_factor_milli(self) -> int:
        return power_factor(self.power_w, self.resistive_w)

    def phase_power_w(self, phase: int) -> int:
        """Power of phase 0, 1 or 2."""
        if self.phases == 1:
            return self.power_w if phase == 0 else 0
        if phase == 0:  # what rounding leaves
            return self.power_w - self.phase_power_w(1) - self.phase_power_w(2)
        return self.power_w * PHASE_PERCENT[phase] // 100

    def phase_voltage_mv(self, phase: int) -> int:
        if not self.powered or phase >= self.phases:
            return 0
        seed = f"{self.address}:{'' if phase == 0 else phase}:{self._load_time:%j%H%M}"
        return 229_000 + (crc32(seed.encode()) % 51 - 25) * 100

    def phase_current_ma(self, phase: int) -> int:
        power, voltage = self.phase_power_w(phase), self.phase_voltage_mv(phase)
        return power * 1_000_000_000 // (voltage * self.power_factor_milli) if voltage else 0

    @property
    def voltage_mv(self) -> int:
        return self.phase_voltage_mv(0)

    @property
    def current_ma(self) -> int:
        return self.phase_current_ma(0)

    # ---- relay

    @property
    def valve(self) -> str:
        """Position of a water meter's valve: open, closed, opening, closing or fault."""
        if self.relay_closed == self.commanded_closed:
            return "open" if self.relay_closed else "closed"
        if self._at < self._travels_until:
            return "opening" if self.commanded_closed else "closing"
        return "fault"

    def switch(self, close: bool) -> str:
        """Obey a command to open or close; what came of it in words."""
        self.advance()
        self.commanded_closed = close
        self.waits_for_button = False
        self._travels_until = self._at + self.relay_delay_ms * 1_000_000
        self._move_job = 0
        if self.faults.welded:
            return "acknowledged, relay stuck"
        if not close and self.keep_power:
            return "waiting: keep-power"
        if close and self.prepaid and self.credit.exhausted and not self.force_control:
            return "waiting: no credit"
        self.own_trip = ""
        if close == self.relay_closed:
            return "no change"
        if self.relay_delay_ms:
            self._move_job = self._after(self.relay_delay_ms, self._arrive)
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

    def close_locally(self) -> None:
        """The customer closes the relay by hand against the command."""
        self.advance()
        if not self.relay_closed:
            self.relay_closed = True
            self._log_movement("customer")

    def set_keep_power(self, on: bool) -> str:
        """While on, no command opens the relay; a waiting one does when it is switched off."""
        self.advance()
        self.keep_power = on
        if not on and not self.commanded_closed:
            return self.switch(close=False)
        return "done"

    def trip(self, why: str) -> bool:
        """Open by the meter's own rules; whether it did."""
        if not self.relay_closed or self.keep_power or self.faults.welded:
            return False
        self.own_trip = why
        self.commanded_closed = False
        self._move(why)
        return True

    def recover(self, why: str) -> None:
        """Close again when the reason for the meter's own trip is over."""
        if self.own_trip == why:
            self.waits_for_button = self.button_needed
            if not self.button_needed:
                self.switch(close=True)

    def end_force(self) -> str:
        """The collector gives the relay back to the meter's own rules."""
        self.force_control = 0
        if self.prepaid and self.credit.exhausted:
            self.trip("credit")
            return "open: no credit"
        return self.switch(close=True)

    def _obey_timetable(self) -> None:
        if not self.guard.time_control or self.force_control:
            return
        wanted = self.guard.supply_at(self.clock())
        if wanted is False:
            self.trip("time")
        elif wanted:
            self.recover("time")

    def _arrive(self) -> None:
        if self._job == self._move_job and not self.faults.welded:
            self._move()

    def _move(self, why: str = "relay") -> None:
        if self.relay_closed != self.commanded_closed:
            self.relay_closed = self.commanded_closed
            self._log_movement(why)
            if self.faults.bounce_ms:
                self._after(self.faults.bounce_ms, self._bounce)

    def _bounce(self) -> None:
        self.relay_closed = not self.relay_closed
        self._log_movement("bounce")

    def _log_movement(self, why: str) -> None:
        state = "closed" if self.relay_closed else "open"
        self.movements.append(LogEntry(self._now(), why, state))

    def record(self, action: str, result: str) -> None:
        """Keep an obeyed command in the log."""
        self.recorded += 1
        self.refuse(action, result)

    def refuse(self, action: str, result: str) -> None:
        """Keep a refused command in the log."""
        self.commands.append(LogEntry(self._now(), action, result))

    def command(self, action: str, result: str) -> None:
        """Keep an obeyed relay command; the silence that may follow it is armed."""
        self.record(action, result)
        self.held = self.faults.hold_reads_after_write

    def force_relay(self, closed: bool) -> None:
        """Put the relay by hand, without a command."""
        self.advance()
        self._move_job = 0
        self.commanded_closed = closed
        self._move()

    def set_power(self, on: bool) -> None:
        """The building's supply fails or comes back; what is kept without power stays."""
        self.advance()
        self.powered = on

    # ---- credit

    def take_credit(self, amount: int, number: int) -> str:
        """A purchase in fen arrives; what came of it (`credit`)."""
        self.advance()
        result = self.credit.take(amount, number, self.clock(), self.energy_mwh // 1000)
        keep = self.record if result in (DONE, REPEATED) else self.refuse
        keep(f"credit {number}: {amount}", result)
        if not self.credit.exhausted:
            self.recover("credit")
        return result

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
            "own_trip": self.own_trip,
            "credit": self.credit.dump() if self.prepaid else None,
        }

    def restore(self, state: dict) -> None:
        """Take over what `dump` gave."""
        self._rates = [int(rate) for rate in state["rates"]]
        self.relay_closed = bool(state["relay_closed"])
        self.commanded_closed = bool(state["commanded_closed"])
        self.keep_power = bool(state["keep_power"])
        self.force_control, self.force_open = (int(value) for value in state["force"])
        self.own_trip = str(state.get("own_trip", ""))
        if state.get("credit"):
            self.credit.restore(state["credit"])
