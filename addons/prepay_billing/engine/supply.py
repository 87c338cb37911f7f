"""Supply decision: money and evidence -> level, and open, close or nothing.

A pure function that returns its reasons. The relay is opened only when every check passes;
whatever is unknown counts as a failed check (S-13: no failure of the platform ever cuts).
Power comes back whenever there is money for it, without any check (S-06).

Money is CNY as `Decimal`; `available` is posted balance + granted + overdraft - accrued, so
an overdraft needs no rule of its own here. Moments are aware, in any zone; the window and
the working days are those of the site's zone.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from .moments import UTC
from .supply_types import Check, Decision, Evidence, Level, Policy

__all__ = [
    "Check",
    "Decision",
    "Evidence",
    "Level",
    "Policy",
    "decide",
    "evidence_dict",
    "level_of",
]

_SATURDAY = 6  # ISO


def decide(policy: Policy, evidence: Evidence) -> Decision:
    """Decide about one meter; total and deterministic, changes nothing.

    Restore (S-06): the present wish "open" is the policy's own and `available` is above
    `restore_above`. No window, grace, age of evidence, doubt or limit delays it.
    Cut (S-01): when every check of `_checks` passes.
    """
    level = level_of(policy, evidence.available)
    checks = _checks(policy, evidence)
    own_cut = evidence.cut_by_policy and evidence.desired == "open"
    if own_cut and evidence.available is not None and evidence.available > policy.restore_above:
        restore = Check("restore", True, str(evidence.available), f"> {policy.restore_above}")
        return Decision("close", level, (restore, *checks), ())
    blocked_by = tuple(check.code for check in checks if not check.passed)
    return Decision(None if blocked_by else "open", level, checks, blocked_by)


def level_of(policy: Policy, available: Decimal | None) -> Level:
    """The level of an amount in CNY; unknown is normal (S-13).

    The worst level that applies wins. `arrears` shows only where `cut_at` is below zero:
    otherwise zero is already the cut.
    """
    if available is None:
        return Level.normal
    if available <= policy.cut_at:
        return Level.cut
    if available <= 0:
        return Level.arrears
    if available <= policy.alarm2:
        return Level.alarm2
    if available <= policy.alarm1:
        return Level.alarm1
    return Level.normal


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
        _working_day(policy, evidence),
        _notice(policy, evidence),
        _absent("protected", evidence.protected, evidence.protected_reason),
        _absent("payment", evidence.payment_in_flight),
        _absent("command", evidence.command_in_doubt),
        Check("held", evidence.held_readings == 0, str(evidence.held_readings), "0"),
        _operations(policy, evidence),
        _clock(policy, evidence),
    )


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
    clock = local.time()
    passed = start <= clock < end if start < end else not end <= clock < start
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


def _absent(code: str, present: bool, reason: str = "") -> Check:
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


def _span(length: timedelta) -> str:
    """Hours, minutes, seconds, exact and without words: 49:30:00, -0:00:05.25."""
    ticks = length // timedelta(microseconds=1)
    seconds, micros = divmod(abs(ticks), 1_000_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    fraction = f".{micros:06}".rstrip("0") if micros else ""
    return f"{'-' if ticks < 0 else ''}{hours}:{minute:02}:{second:02}{fraction}"
