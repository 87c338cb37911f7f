"""A table for each rule about cuts (S-01 to S-14): the fact that breaks it, and what then stops the cut.

Rules that a decision alone cannot keep are tested where they are kept: S-05 and S-07 by the commands,
S-08 and S-09 in test_engine_supply_batch, S-12 by the collector.
"""

from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_billing.engine.errors import PolicyError
from odoo.addons.prepay_billing.engine.supply import (
    Level,
    Policy,
    before_holiday,
    decide,
    level_of,
    may_act,
)
from odoo.addons.prepay_billing.tests.engine_samples import (
    CUT_BY_POLICY,
    DUE,
    NOW,
    local,
)

PROPERTY = settings(max_examples=200, deadline=None, database=None)
#: Every protection is on; everything speaks for a cut.
STRICT = Policy(night_start=time(20), night_end=time(8), holiday_eve=True, weather=True)
READY = replace(DUE, holiday_next=False, weather=False)


def at(*parts):
    """READY at another local time, with fresh readings and notices."""
    now = local(*parts)
    moved = now - NOW
    return replace(
        READY,
        now=now,
        due_since=READY.due_since + moved,
        reading_at=READY.reading_at + moved,
        notice_at=READY.notice_at + moved,
    )


def test_all_rules_kept_is_a_cut():
    assert decide(STRICT, READY).action == "open"


BREAKS = [
    ("S-01", "due", {"available": Decimal("0.01")}),
    ("S-01", "due", {"available": None}),
    ("S-01", "fresh", {"reading_at": NOW - timedelta(minutes=61)}),
    ("S-01", "fresh", {"reading_at": None}),
    ("S-01", "grace", {"due_since": NOW - timedelta(minutes=29)}),
    ("S-01", "payment", {"payment_in_flight": True}),
    ("S-01", "payment", {"payment_in_flight": None}),
    ("S-01", "held", {"held_readings": 1}),
    ("S-02", "notice", {"notice_at": None}),
    ("S-02", "notice", {"notice_at": NOW - timedelta(hours=23)}),
    ("S-03", "working_day", {"holiday": True}),
    ("S-03", "working_day", {"holiday": None}),
    ("S-03", "holiday_eve", {"holiday_next": True}),
    ("S-03", "holiday_eve", {"holiday_next": None}),
    ("S-03", "weather", {"weather": True, "weather_reason": "Heat"}),
    ("S-03", "weather", {"weather": None}),
    ("S-04", "protected", {"protected": True}),
    ("S-04", "protected", {"protected": None}),
    ("S-07", "command", {"command_in_doubt": True}),
    ("S-07", "command", {"command_in_doubt": None}),
    ("S-10", "operations", {"operations_today": 5}),
    ("S-11", "desired", {"desired": "open"}),
    ("S-12", "relay", {"relay": "open"}),
    ("S-13", "clock", {"clock_skew": None}),
    ("S-13", "clock", {"clock_skew": timedelta(hours=-2)}),
    ("S-13", "fresh", {"reading_at": NOW + timedelta(minutes=5)}),
]


@pytest.mark.parametrize(("rule", "code", "facts"), BREAKS)
def test_the_broken_rule_alone_stops_the_cut(rule, code, facts):
    decision = decide(STRICT, replace(READY, **facts))
    assert decision.action is None, rule
    assert decision.blocked_by == (code,)


@pytest.mark.parametrize(
    ("moment", "blocked"),
    [
        ((2025, 6, 4, 9, 59), ("window",)),
        ((2025, 6, 4, 10, 0), ()),
        ((2025, 6, 4, 15, 59), ()),
        ((2025, 6, 4, 16, 0), ("window",)),
        ((2025, 6, 4, 20, 0), ("window", "night")),
        ((2025, 6, 4, 3, 0), ("window", "night")),
        ((2025, 6, 7, 11, 0), ("working_day",)),
    ],
)
def test_s03_hours_and_days(moment, blocked):
    assert decide(STRICT, at(*moment)).blocked_by == blocked


@pytest.mark.parametrize(("hour", "action"), [(8, "open"), (19, "open"), (20, None), (7, None)])
def test_s14_water_is_never_closed_at_night(hour, action):
    policy = Policy(window_start=None, window_end=None, working_days_only=False)
    evidence = replace(at(2025, 6, 4, hour), water=True)
    assert decide(policy, evidence).action == action
    assert decide(policy, replace(evidence, water=False)).action == "open"


def test_s06_restore_knows_no_window_night_day_or_weather():
    evidence = replace(
        CUT_BY_POLICY,
        now=local(2025, 6, 7, 3),
        available=Decimal("0.01"),
        weather=True,
        holiday=True,
        holiday_next=True,
        water=True,
    )
    assert decide(STRICT, evidence).action == "close"


UNKNOWN = {
    "available": None,
    "due_since": None,
    "reading_at": None,
    "payment_in_flight": None,
    "command_in_doubt": None,
    "protected": None,
    "notice_at": None,
    "clock_skew": None,
    "holiday": None,
    "holiday_next": None,
    "weather": None,
}


@given(st.sets(st.sampled_from(sorted(UNKNOWN)), min_size=1))
@PROPERTY
def test_s13_no_check_passes_on_what_is_unknown(names):
    decision = decide(STRICT, replace(READY, **{name: UNKNOWN[name] for name in names}))
    assert decision.action is None
    assert len(decision.blocked_by) == len(names)


@given(
    st.decimals(min_value=-50, max_value=50, places=2),
    st.decimals(min_value="0.01", max_value=200, places=2),
    st.sampled_from([READY, replace(CUT_BY_POLICY, holiday_next=False, weather=False)]),
    st.booleans(),
)
@PROPERTY
def test_s07_a_payment_always_voids(debt, payment, before, limited):
    """Money above the limits ends any wish for a cut, and an own cut or limit with it."""
    evidence = replace(before, available=max(debt, Decimal(0)) + payment, limited=limited)
    decision = decide(replace(STRICT, essential_w=500), replace(evidence, can_limit=True))
    assert decision.action not in ("open", "limit")
    if before.cut_by_policy:
        assert decision.action == "close"
    elif limited:
        assert decision.action == "release"


def test_limit_instead_of_cut_where_the_meter_can():
    policy = replace(STRICT, essential_w=500)
    assert decide(policy, READY).action == "open", "the meter cannot"
    able = replace(READY, can_limit=True)
    assert decide(STRICT, able).action == "open", "the policy does not ask for it"
    assert decide(policy, able).action == "limit"
    again = decide(policy, replace(able, limited=True))
    assert (again.action, again.blocked_by) == (None, ("limited",))
    assert decide(policy, replace(able, payment_in_flight=True)).action is None
    paid = replace(able, limited=True, available=Decimal("0.01"))
    assert decide(policy, paid).action == "release"


@pytest.mark.parametrize(
    ("available", "facts", "level"),
    [
        ("100", {"days_left": Decimal("3.1")}, Level.normal),
        ("100", {"days_left": Decimal("3.0")}, Level.alarm1),
        ("100", {"days_left": Decimal("0.9")}, Level.alarm2),
        ("100", {"days_left": None}, Level.normal),
        ("20", {"days_left": Decimal(50)}, Level.alarm1),
        ("30", {"last_topup": Decimal(100)}, Level.alarm1),
        ("31", {"last_topup": Decimal(100)}, Level.normal),
        ("10", {"last_topup": Decimal(100)}, Level.alarm2),
        ("50", {"overdraft": Decimal(50)}, Level.arrears),
        ("50.01", {"overdraft": Decimal(50)}, Level.alarm2),
        ("0", {"overdraft": Decimal(50)}, Level.cut),
    ],
)
def test_levels_by_days_ratio_and_overdraft(available, facts, level):
    policy = Policy(
        alarm1_days=Decimal(3),
        alarm2_days=Decimal(1),
        alarm1_percent=Decimal(30),
        alarm2_percent=Decimal(10),
    )
    assert level_of(policy, Decimal(available), **facts) is level


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("alarm_order", {"alarm1_days": Decimal(1), "alarm2_days": Decimal(3)}),
        ("alarm_order", {"alarm2_percent": Decimal(3)}),
        ("threshold_negative", {"alarm1_days": Decimal(-1)}),
        ("threshold_negative", {"essential_w": -1}),
        ("amount_invalid", {"alarm1_percent": 3.5}),
        ("night_half", {"night_start": time(20)}),
        ("night_empty", {"night_start": time(20), "night_end": time(20)}),
        ("window_zone", {"night_start": time(20, tzinfo=NOW.tzinfo), "night_end": time(8)}),
        ("window_night", {"window_start": time(22), "window_end": time(2),
                          "night_start": time(20), "night_end": time(8)}),
        ("window_night", {"window_start": time(20), "window_end": time(8),
                          "night_start": time(20), "night_end": time(8)}),
    ],
)  # fmt: skip
def test_contradictions_are_refused(code, changes):
    with pytest.raises(PolicyError) as caught:
        Policy(**changes)
    assert caught.value.code == code


def test_a_window_that_reaches_out_of_the_night_is_no_contradiction():
    for start, end in ((19, 22), (7, 9), (10, 16), (8, 20)):
        Policy(
            window_start=time(start), window_end=time(end), night_start=time(20), night_end=time(8)
        )


NATIONAL = {date(2025, 10, day): "holiday" for day in range(1, 9)} | {date(2025, 9, 28): "workday"}


def day_type(day):
    return NATIONAL.get(day, "weekend" if day.isoweekday() > 5 else "workday")


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2025, 9, 29), False),
        (date(2025, 9, 30), True),  # the eve
        (date(2025, 9, 27), False),  # a worked Sunday follows
        (date(2025, 9, 26), False),
        (date(2025, 10, 8), False),
        (date(2025, 10, 3), True),
    ],
)
def test_before_holiday(day, expected):
    assert before_holiday(day, day_type) is expected


def test_before_holiday_across_a_weekend():
    """Friday, when Monday is a holiday: whoever is cut waits for four days."""

    def kind(day):
        return "holiday" if day == date(2025, 6, 9) else day_type(day)

    assert before_holiday(date(2025, 6, 6), kind)
    assert not before_holiday(date(2025, 6, 5), kind)


def test_a_calendar_without_working_days_is_no_reason_to_cut():
    assert before_holiday(date(2025, 6, 5), lambda day: "weekend")


money = st.one_of(st.none(), st.decimals(min_value=-30, max_value=30, places=2))


@given(money, st.booleans(), st.booleans())
@PROPERTY
def test_nothing_is_missed_by_looking_at_the_money_first(available, own_cut, limited):
    for policy in (STRICT, replace(STRICT, restore_above=Decimal(5), essential_w=300)):
        for can_limit in (False, True):
            evidence = replace(
                READY,
                available=available,
                limited=limited,
                can_limit=can_limit,
                cut_by_policy=own_cut,
                desired="open" if own_cut else "closed",
            )
            if decide(policy, evidence).action:
                assert may_act(policy, available, held_off=own_cut or limited)
