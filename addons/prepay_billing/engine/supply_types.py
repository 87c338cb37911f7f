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

    Raises PolicyError: "amount_invalid", "duration_negative", "operations_negative",
    "alarm_order" (alarm 2 above alarm 1), "restore_order" (restore below the cut: the relay
    would open and close in turns), "window_half" (one end only), "window_empty" (both ends
    equal), "window_zone" (local times carry no zone).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known at `now` about one meter and its account; None means unknown.

    No field but the text has a default, so that none can be forgotten. Of the flags
    (`payment_in_flight`, `command_in_doubt`, `protected`, `holiday`) only False lets a cut pass.

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

    def __post_init__(self) -> None:
        for name in ("now", "due_since", "reading_at", "notice_at"):
            moment = getattr(self, name)
            problem = problem_of(moment) if moment is not None else None
            if problem:
                _refuse(EvidenceError, problem, self, name)
        if self.available is not None and not _is_money(self.available):
            _refuse(EvidenceError, "amount_invalid", self, "available")
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
    "open", and when it is "close" (nothing blocks that).
    """

    action: Literal["open", "close"] | None
    level: Level
    checks: tuple[Check, ...]
    blocked_by: tuple[str, ...]


def _is_money(value: object) -> bool:
    """A finite Decimal, or an integer of CNY; a float is no amount."""
    if isinstance(value, Decimal):
        return value.is_finite()
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse(error: type[Exception], code: str, record: object, *names: str) -> None:
    values = {name: getattr(record, name) for name in names}
    text = ", ".join(f"{name} = {value!r}" for name, value in values.items())
    raise error(code, f"{type(record).__name__} refused ({code}): {text}", **values)
