"""Supply decision: money and evidence -> level, and open, close or nothing.

A pure function that returns its reasons. The relay is opened only when every check passes;
whatever is unknown counts as a failed check (S-13: no failure of the platform ever cuts).
Power comes back whenever there is money for it, without any check (S-06).

Money is CNY as `Decimal`; `available` is posted balance + granted + overdraft - accrued, so
an overdraft needs no rule of its own for a cut. Moments are aware, in any zone; the window and
the working days are those of the site's zone.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache

from .moments import UTC
from .supply_types import Check, Decision, Evidence, Level, Policy, within

__all__ = [
    "Check",
    "Decision",
    "Evidence",
    "Level",
    "Policy",
    "before_holiday",
    "decide",
    "evidence_dict",
    "level_of",
    "may_act",
]

_SATURDAY = 6  # ISO
#: Water is never closed at these local hours, whatever the policy says (S-14).
WATER_NIGHT = (time(20), time(8))


def decide(policy: Policy, evidence: Evidence) -> Decision:
    """Decide about one meter; total and deterministic, changes nothing.

    Restore (S-06): the present wish "open" is the policy's own and `available` is above
    `restore_above`. No window, grace, age of evidence, doubt or limit delays it.
    Cut (S-01): when every check of `_checks` passes.
    """
    level = level_of(
        policy,
        evidence.available,
        overdraft=evidence.overdraft,
        days_left=evidence.days_left,
        last_topup=evidence.last_topup,
    )
    checks = _checks(policy, evidence)
    own_cut = evidence.cut_by_policy and evidence.desired == "open"
    paid = evidence.available is not None and evidence.available > policy.restore_above
    if paid and (own_cut or evidence.limited is True):
        restore = Check("restore", True, str(evidence.available), f"> {policy.restore_above}")
        return Decision("close" if own_cut else "release", level, (restore, *checks), ())
    blocked_by = tuple(check.code for check in checks if not check.passed)
    if blocked_by:
        return Decision(None, level, checks, blocked_by)
    return Decision("limit" if _limits(policy, evidence) else "open", level, checks, ())


def may_act(policy: Policy, available: Decimal | None, *, held_off: bool) -> bool:
    """Whether `decide` could say anything but nothing, from the money alone.

    For runs over many accounts: the evidence of all the others need not be gathered.

    :param held_off: the meter is cut or limited by the policy
    """
    if available is None:
        return False
    return available <= policy.cut_at or (held_off and available > policy.restore_above)


def level_of(
    policy: Policy,
    available: Decimal | None,
    *,
    overdraft: Decimal = Decimal(0),
    days_left: Decimal | None = None,
    last_topup: Decimal | None = None,
) -> Level:
    """The level of an amount in CNY; unknown is normal (S-13).

    The worst level that applies wins. `arrears` is own money used up while an overdraft, of
    the account or by a `cut_at` below zero, still carries the supply.
    """
    if available is None:
        return Level.normal
    if available <= policy.cut_at:
        return Level.cut
    money = available - overdraft
    if money <= 0:
        return Level.arrears
    for level, limit, days, percent in (
        (Level.alarm2, policy.alarm2, policy.alarm2_days, policy.alarm2_percent),
        (Level.alarm1, policy.alarm1, policy.alarm1_days, policy.alarm1_percent),
    ):
        if (
            money <= limit
            or (days is not None and days_left is not None and days_left <= days)
            or (percent and last_topup is not None and money * 100 <= last_topup * percent)
        ):
            return level
    return Level.normal


def before_holiday(day: date, day_type: Callable[[date], str]) -> bool:
    """A holiday lies between a local day and the next working day (S-03).

    So Friday counts when Monday is a holiday: whoever is cut then waits for days.

    :param day_type: "workday", "weekend" or "holiday" of a local date
    """
    for ahead in range(1, 31):
        kind = day_type(day + timedelta(days=ahead))
        if kind == "holiday":
            return True
        if kind == "workday":
            return False
    return True


def evidence_dict(decision: Decision) -> dict:
    """The decision as plain data for JSON, to be stored with the cut or shown."""
    return {
        "action": decision.action,
        "level": decision.level.value,
        "checks": [
            {
                "code": check.code,
                "passed": check.passed,
                "value": check.value,
                "limit": check.limit,
            }
            for check in decision.checks
        ],
        "blocked_by": list(decision.blocked_by),
    }


def _checks(policy: Policy, evidence: Evidence) -> tuple[Check, ...]:
    """All conditions of a cut; each holds alone, unknown values fail."""
    return (
        _due(policy, evidence),
        # A second cut would do nothing, and would make another's open relay the policy's own
        # to close again (S-11).
        Check("desired", evidence.desired != "open", _text(evidence.desired), "!= open"),
        Check("relay", evidence.relay != "open", _text(evidence.relay), "!= open"),
        _fresh(policy, evidence),
        _elapsed("grace", evidence.due_since, evidence.now, policy.grace),
        _window(policy, evidence),
        *_night(policy, evidence),
        _working_day(policy, evidence),
        *_flags(policy, evidence),
        _notice(policy, evidence),
        _absent("protected", evidence.protected, evidence.protected_reason),
        _absent("payment", evidence.payment_in_flight),
        _absent("command", evidence.command_in_doubt),
        Check("held", evidence.held_readings == 0, str(evidence.held_readings), "0"),
        _operations(policy, evidence),
        _clock(policy, evidence),
        *_already_limited(policy, evidence),
    )


def _limits(policy: Policy, evidence: Evidence) -> bool:
    return policy.essential_w > 0 and evidence.can_limit is True


def _already_limited(policy: Policy, evidence: Evidence) -> tuple[Check, ...]:
    """Where the power is limited instead, the limit is the last step: no cut follows it."""
    if not _limits(policy, evidence):
        return ()
    return (_absent("limited", evidence.limited),)


def _night(policy: Policy, evidence: Evidence) -> tuple[Check, ...]:
    """S-03 where the policy names a night; for water always (S-14)."""
    start, end = policy.night_start, policy.night_end
    if start is None or end is None:
        if not evidence.water:
            return ()
        start, end = WATER_NIGHT
    local = evidence.now.astimezone(evidence.tz)
    passed = not within(local.time(), start, end)
    limit = f"{end:%H:%M}-{start:%H:%M}"
    return (Check("night", passed, local.isoformat(timespec="seconds"), limit),)


def _flags(policy: Policy, evidence: Evidence) -> tuple[Check, ...]:
    """S-03: days and weather under which nobody is cut, where the policy asks for them."""
    checks = []
    if policy.holiday_eve:
        checks.append(_absent("holiday_eve", evidence.holiday_next))
    if policy.weather:
        checks.append(_absent("weather", evidence.weather, evidence.weather_reason))
    return tuple(checks)


def _due(policy: Policy, evidence: Evidence) -> Check:
    available = evidence.available
    passed = available is not None and available <= policy.cut_at
    return Check("due", passed, _text(available), f"<= {policy.cut_at}")


def _fresh(policy: Policy, evidence: Evidence) -> Check:
    """S-01. A reading from the future, beyond what clocks may differ, proves a wrong clock."""
    limit = f"<= {_span(policy.evidence_max_age)}"
    if evidence.reading_at is None:
        return Check("fresh", False, _text(None), limit)
    age = _between(evidence.reading_at, evidence.now)
    passed = -policy.clock_skew_limit <= age <= policy.evidence_max_age
    return Check("fresh", passed, _span(age), limit)


def _elapsed(code: str, since: datetime | None, now: datetime, least: timedelta) -> Check:
    limit = f">= {_span(least)}"
    if since is None:
        return Check(code, False, _text(None), limit)
    elapsed = _between(since, now)
    return Check(code, elapsed >= least, _span(elapsed), limit)


def _window(policy: Policy, evidence: Evidence) -> Check:
    """S-03: staff can reconnect. Local wall-clock time, [start, end)."""
    local = evidence.now.astimezone(evidence.tz)
    start, end = policy.window_start, policy.window_end
    value = local.isoformat(timespec="seconds")
    if start is None or end is None:
        return Check("window", True, value, "always")
    passed = within(local.time(), start, end)
    return Check("window", passed, value, f"{start:%H:%M}-{end:%H:%M}")


def _working_day(policy: Policy, evidence: Evidence) -> Check:
    """S-03. The local day of `now`, also in a window that began the evening before.

    A Saturday that is worked to make up for a holiday stays a Saturday: no cut.
    """
    day = evidence.now.astimezone(evidence.tz).date()
    holiday = evidence.holiday is not False
    value = f"{day} holiday" if holiday else f"{day} weekday {day.isoweekday()}"
    if not policy.working_days_only:
        return Check("working_day", True, value, "any")
    passed = day.isoweekday() < _SATURDAY and not holiday
    return Check("working_day", passed, value, "weekday 1-5")


def _notice(policy: Policy, evidence: Evidence) -> Check:
    """S-02: delivered, not only sent."""
    if not policy.notice_required:
        return Check("notice", True, "not required", "any")
    return _elapsed("notice", evidence.notice_at, evidence.now, policy.notice_lead)


def _operations(policy: Policy, evidence: Evidence) -> Check:
    """S-10. A cut leaves room for the restore that must always be possible after it."""
    most = policy.max_operations_per_day - 2
    count = evidence.operations_today
    return Check("operations", count <= most, str(count), f"<= {most}")


def _clock(policy: Policy, evidence: Evidence) -> Check:
    """S-13: every other check on time is worth as much as this clock."""
    limit = f"<= {_span(policy.clock_skew_limit)}"
    skew = evidence.clock_skew
    if skew is None:
        return Check("clock", False, _text(None), limit)
    return Check("clock", abs(skew) <= policy.clock_skew_limit, _span(skew), limit)


def _absent(code: str, present: bool | None, reason: str = "") -> Check:
    """Only a plain False counts: whatever else a caller hands over is not known to be absent."""
    if present is False:
        return Check(code, True, "no", "no")
    return Check(code, False, reason or "yes", "no")


def _between(earlier: datetime, later: datetime) -> timedelta:
    """Real time between two moments: in one local zone a plain difference would be that of the
    wall clock, wrong by an hour when summer time begins or ends."""
    return later.astimezone(UTC) - earlier.astimezone(UTC)


def _text(value: object | None) -> str:
    return "unknown" if value is None else str(value)


@lru_cache(4096)
def _span(length: timedelta) -> str:
    """Hours, minutes, seconds, exact and without words: 49:30:00, -0:00:05.25."""
    ticks = length // timedelta(microseconds=1)
    seconds, micros = divmod(abs(ticks), 1_000_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    fraction = f".{micros:06}".rstrip("0") if micros else ""
    return f"{'-' if ticks < 0 else ''}{hours}:{minute:02}:{second:02}{fraction}"
