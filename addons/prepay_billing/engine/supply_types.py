"""Plain data of the supply decision: policy, evidence, checks, decision.

Money is CNY as `Decimal`; moments are aware, in any zone; the window and the working days
are those of the site's zone. Every record is validated when it is made, so that the decision
itself cannot fail.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Literal

from .errors import EvidenceError, PolicyError
from .moments import problem_of

_ZERO = timedelta(0)


class Level(str, Enum):
    """How much money is left, from most to least.

    It says nothing about the relay: an account may stay at `cut` with its power on.
    """

    normal = "normal"
    alarm1 = "alarm1"
    alarm2 = "alarm2"
    arrears = "arrears"
    cut = "cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When to warn, to cut and to restore. Amounts in CNY, window in local time.

    A cut is due at `available <= cut_at`; the policy's own cut ends at
    `available > restore_above`. The window is [start, end) and may cross midnight; no window
    (both None) means always. `notice_lead` is how long before the cut the final notice must
    have been delivered. The defaults are S-01, S-02, S-03 and S-10.

    Further alarms beside those in CNY; the worst that applies wins, None switches one off:
    `alarm1_days` and `alarm2_days` in days of expected use, `alarm1_percent` and
    `alarm2_percent` of the last top-up.

    Further protection, on where the caller's policy says so: `night_start` and `night_end`
    ([start, end) local, a cut never falls into it), `holiday_eve` (not when the next working
    day lies behind a holiday), `weather` (not under a heat, cold or typhoon flag).
    `essential_w`: power in W to which a meter that can is limited, instead of a cut; 0 cuts.

    Raises PolicyError: "amount_invalid", "duration_negative", "operations_negative",
    "alarm_order" (alarm 2 above alarm 1), "restore_order" (restore below the cut: the relay
    would open and close in turns), "window_half" (one end only), "window_empty" (both ends
    equal), "window_zone" (local times carry no zone), "threshold_negative" (days, percent or
    essential power), "night_half", "night_empty",
    "window_night" (the whole window lies in the night: no cut
    could ever happen).
    """

    alarm1: Decimal = Decimal(20)
    alarm2: Decimal = Decimal(5)
    cut_at: Decimal = Decimal(0)
    grace: timedelta = timedelta(minutes=30)
    evidence_max_age: timedelta = timedelta(minutes=60)
    window_start: time | None = time(10)
    window_end: time | None = time(16)
    working_days_only: bool = True
    restore_above: Decimal = Decimal(0)
    notice_required: bool = True
    notice_lead: timedelta = timedelta(hours=24)
    max_operations_per_day: int = 6
    clock_skew_limit: timedelta = timedelta(seconds=5)
    alarm1_days: Decimal | None = None
    alarm2_days: Decimal | None = None
    alarm1_percent: Decimal | None = None
    alarm2_percent: Decimal | None = None
    night_start: time | None = None
    night_end: time | None = None
    holiday_eve: bool = False
    weather: bool = False
    essential_w: int = 0

    def __post_init__(self) -> None:
        for name in ("alarm1", "alarm2", "cut_at", "restore_above"):
            if not _is_money(getattr(self, name)):
                _refuse(PolicyError, "amount_invalid", self, name)
        for name in ("grace", "evidence_max_age", "notice_lead", "clock_skew_limit"):
            if getattr(self, name) < _ZERO:
                _refuse(PolicyError, "duration_negative", self, name)
        if self.max_operations_per_day < 0:
            _refuse(PolicyError, "operations_negative", self, "max_operations_per_day")
        if self.alarm2 > self.alarm1:
            _refuse(PolicyError, "alarm_order", self, "alarm1", "alarm2")
        if self.restore_above < self.cut_at:
            _refuse(PolicyError, "restore_order", self, "restore_above", "cut_at")
        if (self.window_start is None) != (self.window_end is None):
            _refuse(PolicyError, "window_half", self, "window_start", "window_end")
        for name in ("window_start", "window_end"):
            if getattr(getattr(self, name), "tzinfo", None) is not None:
                _refuse(PolicyError, "window_zone", self, name)
        if self.window_start is not None and self.window_start == self.window_end:
            _refuse(PolicyError, "window_empty", self, "window_start", "window_end")
        self._check_thresholds()
        self._check_night()

    def _check_thresholds(self) -> None:
        for unit in ("days", "percent"):
            first, second = f"alarm1_{unit}", f"alarm2_{unit}"
            for name in (first, second):
                value = getattr(self, name)
                if value is not None and not _is_money(value):
                    _refuse(PolicyError, "amount_invalid", self, name)
                if value is not None and value < 0:
                    _refuse(PolicyError, "threshold_negative", self, name)
            if (getattr(self, second) or 0) > (getattr(self, first) or 0):
                _refuse(PolicyError, "alarm_order", self, first, second)
        if self.essential_w < 0:
            _refuse(PolicyError, "threshold_negative", self, "essential_w")

    def _check_night(self) -> None:
        names = ("night_start", "night_end")
        if (self.night_start is None) != (self.night_end is None):
            _refuse(PolicyError, "night_half", self, *names)
        for name in names:
            if getattr(getattr(self, name), "tzinfo", None) is not None:
                _refuse(PolicyError, "window_zone", self, name)
        if self.night_start is not None and self.night_start == self.night_end:
            _refuse(PolicyError, "night_empty", self, *names)
        if self.window_start is None or self.night_start is None:
            return
        # Inside when it begins in the night and the night is not over before it ends.
        if within(self.window_start, self.night_start, self.night_end) and _minutes(
            self.window_start, self.window_end
        ) <= _minutes(self.window_start, self.night_end):
            _refuse(PolicyError, "window_night", self, "window_start", "window_end", *names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known at `now` about one meter and its account; None means unknown.

    The facts of every cut have no default, so that none can be forgotten; those that a policy
    asks for separately are unknown unless given. Of the flags (`payment_in_flight`,
    `command_in_doubt`, `protected`, `holiday`, `holiday_next`, `weather`) only False lets a cut
    pass.

    due_since          since when `available <= cut_at` without a break, kept by the caller
    reading_at         time of the newest reading that the balance rests on
    held_readings      readings of the meter that wait for a person
    payment_in_flight  an open order, an unprocessed notification, a credit in doubt
    command_in_doubt   a command to the meter whose outcome is not known
    protected          no automatic cut of this meter or account (S-04), and why
    notice_at          when the final notice for this arrears was delivered
    relay              as the meter reported it last
    desired            as the platform wants it now
    cut_by_policy      the present wish "open" is the policy's own, not an operator's and no
                       safety trip
    operations_today   relay operations since the local midnight
    clock_skew         this machine's clock minus the reference, either sign
    holiday            the local day is a holiday
    holiday_next       a holiday lies between the local day and the next working day
    weather            a flag for heat, cold or typhoon stands on the place, and which
    water              the meter closes water: never at night (S-14)
    can_limit          the meter itself can limit the power
    limited            it is limited by the policy now
    overdraft          CNY of credit that `available` includes; alarms look at money without it
    days_left          days for which the money is expected to last
    last_topup         CNY of the newest top-up

    Raises EvidenceError: "naive_time", "time_range", "amount_invalid",
    "count_negative", "state_invalid".
    """

    now: datetime
    tz: tzinfo
    available: Decimal | None
    due_since: datetime | None
    reading_at: datetime | None
    held_readings: int
    payment_in_flight: bool
    command_in_doubt: bool
    protected: bool
    protected_reason: str = ""
    notice_at: datetime | None
    relay: Literal["closed", "open"] | None
    desired: Literal["closed", "open"] | None
    cut_by_policy: bool
    operations_today: int
    clock_skew: timedelta | None
    holiday: bool
    holiday_next: bool | None = None
    weather: bool | None = None
    weather_reason: str = ""
    water: bool = False
    can_limit: bool = False
    limited: bool = False
    overdraft: Decimal = Decimal(0)
    days_left: Decimal | None = None
    last_topup: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("now", "due_since", "reading_at", "notice_at"):
            moment = getattr(self, name)
            problem = problem_of(moment) if moment is not None else None
            if problem:
                _refuse(EvidenceError, problem, self, name)
        for name in ("available", "overdraft", "days_left", "last_topup"):
            value = getattr(self, name)
            if value is not None and not _is_money(value):
                _refuse(EvidenceError, "amount_invalid", self, name)
        for name in ("held_readings", "operations_today"):
            if getattr(self, name) < 0:
                _refuse(EvidenceError, "count_negative", self, name)
        for name in ("relay", "desired"):
            if getattr(self, name) not in ("closed", "open", None):
                _refuse(EvidenceError, "state_invalid", self, name)


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a cut: machine code, result, value found and limit (language-neutral)."""

    code: str
    passed: bool
    value: str
    limit: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to wish for the relay, and why.

    `checks` are all conditions of a cut, in a fixed order; a restore has one more in front.
    `blocked_by` are the codes of those that stand against a cut: empty when the action is
    "open" or "limit", and when it is "close" or "release" (nothing blocks that).

    open     open the relay              close    end the policy's own cut
    limit    limit the power instead     release  end the limit
    """

    action: Literal["open", "close", "limit", "release"] | None
    level: Level
    checks: tuple[Check, ...]
    blocked_by: tuple[str, ...]


def within(clock: time, start: time, end: time) -> bool:
    """A local wall-clock time lies in [start, end), which may cross midnight."""
    return start <= clock < end if start < end else not end <= clock < start


def _minutes(start: time, end: time) -> int:
    """Whole minutes from one clock time forward to another."""
    return ((end.hour - start.hour) * 60 + end.minute - start.minute) % 1440


def _is_money(value: object) -> bool:
    """A finite Decimal, or an integer of CNY; a float is no amount."""
    if isinstance(value, Decimal):
        return value.is_finite()
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse(error: type[Exception], code: str, record: object, *names: str) -> None:
    values = {name: getattr(record, name) for name in names}
    text = ", ".join(f"{name} = {value!r}" for name, value in values.items())
    raise error(code, f"{type(record).__name__} refused ({code}): {text}", **values)
