"""Supply decision: what must hold for every policy and every evidence (S-01, S-06, S-13)."""

import json
from dataclasses import replace
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_billing.engine.supply import (
    Evidence,
    Level,
    Policy,
    decide,
    evidence_dict,
    level_of,
)

PROPERTY = settings(max_examples=200, deadline=None, database=None)
UTC = timezone.utc
LEVELS = list(Level)
ZONES = ["Asia/Shanghai", "UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Sao_Paulo"]

money = st.decimals(min_value=-30, max_value=30, places=2)
spans = st.timedeltas(timedelta(0), timedelta(hours=48))
clock_times = st.times()
# All years that are accepted, but for what is added or subtracted here.
any_moment = st.timedeltas(timedelta(0), timedelta(days=396_000)).map(
    lambda span: datetime(1905, 1, 1, tzinfo=UTC) + span
)
windows = st.one_of(
    st.just((None, None)),
    st.tuples(clock_times, clock_times).filter(lambda ends: ends[0] != ends[1]),
)
states = st.sampled_from(["closed", "open", None])


@st.composite
def policies(draw):
    start, end = draw(windows)
    alarm2, alarm1 = sorted((draw(money), draw(money)))
    cut_at, restore_above = sorted((draw(money), draw(money)))
    return Policy(
        alarm1=alarm1,
        alarm2=alarm2,
        cut_at=cut_at,
        restore_above=restore_above,
        grace=draw(spans),
        evidence_max_age=draw(spans),
        window_start=start,
        window_end=end,
        working_days_only=draw(st.booleans()),
        notice_required=draw(st.booleans()),
        notice_lead=draw(spans),
        max_operations_per_day=draw(st.integers(0, 10)),
        clock_skew_limit=draw(spans),
    )


@st.composite
def evidences(draw):
    """Anything that may be known: mostly near the limits, sometimes nothing at all."""
    now = draw(any_moment)
    moments = st.one_of(
        st.none(),
        st.timedeltas(timedelta(hours=-1), timedelta(hours=50)).map(lambda span: now - span),
        any_moment,
    )
    return Evidence(
        now=now.astimezone(ZoneInfo(draw(st.sampled_from(ZONES)))),
        tz=ZoneInfo(draw(st.sampled_from(ZONES))),
        available=draw(st.one_of(st.none(), money)),
        due_since=draw(moments),
        reading_at=draw(moments),
        held_readings=draw(st.integers(0, 2)),
        payment_in_flight=draw(st.booleans()),
        command_in_doubt=draw(st.booleans()),
        protected=draw(st.booleans()),
        protected_reason=draw(st.text(max_size=5)),
        notice_at=draw(moments),
        relay=draw(states),
        desired=draw(states),
        cut_by_policy=draw(st.booleans()),
        operations_today=draw(st.integers(0, 10)),
        clock_skew=draw(st.one_of(st.none(), st.timedeltas())),
        holiday=draw(st.booleans()),
    )


CHANGEABLE = [
    "available",
    "due_since",
    "reading_at",
    "held_readings",
    "payment_in_flight",
    "command_in_doubt",
    "protected",
    "notice_at",
    "relay",
    "desired",
    "operations_today",
    "clock_skew",
]


@st.composite
def nearly_cut(draw):
    """A policy, evidence that asks for a cut, and the same with up to two facts changed.

    Evidence drawn at random almost never passes every check.
    """
    policy = draw(policies())
    now = draw(any_moment)
    policy = replace(
        policy,
        window_start=None,
        window_end=None,
        working_days_only=False,
        max_operations_per_day=draw(st.integers(2, 10)),
    )
    asked = Evidence(
        now=now,
        tz=ZoneInfo(draw(st.sampled_from(ZONES))),
        available=policy.cut_at - draw(st.decimals(0, 30, places=2)),
        due_since=now - policy.grace - draw(spans),
        reading_at=now,
        held_readings=0,
        payment_in_flight=False,
        command_in_doubt=False,
        protected=False,
        notice_at=now - policy.notice_lead - draw(spans),
        relay=draw(st.sampled_from(["closed", None])),
        desired=draw(st.sampled_from(["closed", None])),
        cut_by_policy=draw(st.booleans()),
        operations_today=draw(st.integers(0, policy.max_operations_per_day - 2)),
        clock_skew=timedelta(0),
        holiday=draw(st.booleans()),
    )
    other = draw(evidences())
    names = draw(st.sets(st.sampled_from(CHANGEABLE), max_size=2))
    return policy, asked, replace(asked, **{name: getattr(other, name) for name in names})


cases = st.one_of(
    st.tuples(policies(), evidences()),
    nearly_cut().map(lambda case: (case[0], case[2])),
)


@given(cases)
@PROPERTY
def test_total_deterministic_and_storable(case):
    policy, evidence = case
    decision = decide(policy, evidence)
    assert decision == decide(policy, replace(evidence))
    data = evidence_dict(decision)
    assert json.loads(json.dumps(data)) == data


@given(cases)
@PROPERTY
def test_cut_only_when_every_check_passes(case):
    policy, evidence = case
    decision = decide(policy, evidence)
    event(f"action {decision.action}")
    failing = tuple(check.code for check in decision.checks if not check.passed)
    if decision.action == "open":
        assert failing == () == decision.blocked_by
        assert evidence.available is not None
        assert evidence.available <= policy.cut_at
        assert evidence.desired != "open"
    elif decision.action is None:
        assert failing == decision.blocked_by != ()
    else:
        assert decision.blocked_by == ()
    assert all(check.value and check.limit for check in decision.checks)


@given(cases)
@PROPERTY
def test_no_cut_on_anything_unknown_or_in_doubt(case):
    """The rules once more in other words, without the checks."""
    policy, evidence = case
    if decide(policy, evidence).action != "open":
        return
    utc_now = evidence.now.astimezone(UTC)
    assert True not in (
        evidence.payment_in_flight,
        evidence.command_in_doubt,
        evidence.protected,
    )
    assert evidence.held_readings == 0
    assert utc_now >= evidence.due_since + policy.grace
    assert utc_now <= evidence.reading_at + policy.evidence_max_age
    assert not policy.notice_required or utc_now >= evidence.notice_at + policy.notice_lead
    assert abs(evidence.clock_skew) <= policy.clock_skew_limit
    assert evidence.operations_today + 2 <= policy.max_operations_per_day
    assert not (policy.working_days_only and evidence.holiday)


@given(nearly_cut())
@PROPERTY
def test_what_asks_for_a_cut_gets_it(case):
    policy, asked, _changed = case
    assert decide(policy, asked).action == "open"


@given(cases, st.decimals(min_value=0, max_value=100, places=2))
@PROPERTY
def test_more_money_never_cuts_and_never_withholds_power(case, more):
    policy, evidence = case
    assume(evidence.available is not None)
    richer = replace(evidence, available=evidence.available + more)
    before, after = decide(policy, evidence), decide(policy, richer)
    if after.action == "open":
        assert before.action == "open"
    if before.action == "close":
        assert after.action == "close"
    assert LEVELS.index(after.level) <= LEVELS.index(before.level)


@given(policies(), evidences(), money)
@PROPERTY
def test_own_cut_ends_as_soon_as_there_is_money(policy, evidence, available):
    evidence = replace(evidence, available=available, desired="open", cut_by_policy=True)
    expected = "close" if available > policy.restore_above else None
    assert decide(policy, evidence).action == expected


@given(policies(), evidences())
@PROPERTY
def test_a_cut_of_others_is_left_alone(policy, evidence):
    assert decide(policy, replace(evidence, desired="open", cut_by_policy=False)).action is None


@given(cases)
@PROPERTY
def test_losing_knowledge_never_cuts(case):
    """S-13: whatever becomes unknown, the answer does not become a cut."""
    policy, evidence = case
    if decide(policy, evidence).action == "open":
        return
    for name in ("available", "due_since", "reading_at", "clock_skew"):
        assert decide(policy, replace(evidence, **{name: None})).action != "open"


@given(nearly_cut())
@PROPERTY
def test_a_cut_is_followed_by_no_other_and_by_no_restore_without_money(case):
    policy, asked, _changed = case
    after = replace(asked, desired="open", cut_by_policy=True)
    assert decide(policy, after).action is None


@given(policies(), st.one_of(st.none(), money))
@PROPERTY
def test_level_cut_means_due(policy, available):
    due = available is not None and available <= policy.cut_at
    assert (level_of(policy, available) is Level.cut) is due


@given(clock_times, clock_times, evidences())
@PROPERTY
def test_window_and_its_complement_share_the_day(start, end, evidence):
    """Of [a, b) and [b, a) every moment lies in exactly one, in any zone."""
    assume(start != end)
    passed = [
        next(
            check.passed
            for check in decide(Policy(window_start=a, window_end=b), evidence).checks
            if check.code == "window"
        )
        for a, b in ((start, end), (end, start))
    ]
    assert sorted(passed) == [False, True]


@given(st.integers(0, 24 * 60 - 1), st.integers(0, 24 * 60 - 1), st.integers(0, 24 * 60 - 1))
@PROPERTY
def test_window_counts_minutes_around_the_clock(start, end, minute):
    """A window of n minutes holds the n minutes that follow its start, across midnight too."""
    assume(start != end)
    policy = Policy(
        window_start=time(start // 60, start % 60), window_end=time(end // 60, end % 60)
    )
    # Shanghai is eight hours ahead of UTC all year.
    now = datetime(2025, 6, 4, tzinfo=UTC) + timedelta(minutes=minute - 8 * 60)
    evidence = Evidence(
        now=now,
        tz=ZoneInfo("Asia/Shanghai"),
        available=Decimal(0),
        due_since=None,
        reading_at=None,
        held_readings=0,
        payment_in_flight=False,
        command_in_doubt=False,
        protected=False,
        notice_at=None,
        relay=None,
        desired=None,
        cut_by_policy=False,
        operations_today=0,
        clock_skew=None,
        holiday=False,
    )
    inside = (minute - start) % (24 * 60) < (end - start) % (24 * 60)
    assert ("window" not in decide(policy, evidence).blocked_by) is inside
