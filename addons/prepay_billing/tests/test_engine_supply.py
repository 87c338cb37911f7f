"""Supply decision: each check alone, levels, restore, stored evidence."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from odoo.addons.prepay_billing.engine.supply import Check, Level, decide, evidence_dict
from odoo.addons.prepay_billing.tests.engine_samples import (
    CUT_BY_POLICY,
    DUE,
    NOW,
    POLICY,
    check_of,
    local,
)

CODES = [
    "due",
    "desired",
    "relay",
    "fresh",
    "grace",
    "window",
    "working_day",
    "notice",
    "protected",
    "payment",
    "command",
    "held",
    "operations",
    "clock",
]


def ago(**parts):
    return NOW - timedelta(**parts)


def test_cut_when_everything_speaks_for_it():
    decision = decide(POLICY, DUE)
    assert decision.action == "open"
    assert decision.level is Level.cut
    assert decision.blocked_by == ()
    assert [check.code for check in decision.checks] == CODES
    assert all(check.passed for check in decision.checks)
    assert [check.limit for check in decision.checks] == [
        "<= 0",
        "!= open",
        "!= open",
        "<= 1:00:00",
        ">= 0:30:00",
        "10:00-16:00",
        "weekday 1-5",
        ">= 24:00:00",
        "no",
        "no",
        "no",
        "0",
        "<= 4",
        "<= 0:00:05",
    ]


@pytest.mark.parametrize(
    ("code", "changes", "value", "limit"),
    [
        ("due", {"available": Decimal("0.01")}, "0.01", "<= 0"),
        ("due", {"available": None}, "unknown", "<= 0"),
        ("desired", {"desired": "open"}, "open", "!= open"),
        ("relay", {"relay": "open"}, "open", "!= open"),
        ("fresh", {"reading_at": ago(minutes=60, seconds=1)}, "1:00:01", "<= 1:00:00"),
        ("fresh", {"reading_at": None}, "unknown", "<= 1:00:00"),
        ("fresh", {"reading_at": ago(seconds=-6)}, "-0:00:06", "<= 1:00:00"),
        ("grace", {"due_since": ago(minutes=29, seconds=59)}, "0:29:59", ">= 0:30:00"),
        ("grace", {"due_since": None}, "unknown", ">= 0:30:00"),
        ("grace", {"due_since": ago(hours=-1)}, "-1:00:00", ">= 0:30:00"),
        ("notice", {"notice_at": ago(hours=23, minutes=59)}, "23:59:00", ">= 24:00:00"),
        ("notice", {"notice_at": None}, "unknown", ">= 24:00:00"),
        ("protected", {"protected": True, "protected_reason": "fire pump"}, "fire pump", "no"),
        ("protected", {"protected": True}, "yes", "no"),
        ("protected", {"protected": None}, "yes", "no"),
        ("payment", {"payment_in_flight": True}, "yes", "no"),
        ("payment", {"payment_in_flight": None}, "yes", "no"),
        ("command", {"command_in_doubt": True}, "yes", "no"),
        ("command", {"command_in_doubt": None}, "yes", "no"),
        ("held", {"held_readings": 1}, "1", "0"),
        ("operations", {"operations_today": 5}, "5", "<= 4"),
        (
            "clock",
            {"clock_skew": timedelta(seconds=5, milliseconds=1)},
            "0:00:05.001",
            "<= 0:00:05",
        ),
        ("clock", {"clock_skew": timedelta(seconds=-6)}, "-0:00:06", "<= 0:00:05"),
        ("clock", {"clock_skew": None}, "unknown", "<= 0:00:05"),
        ("working_day", {"holiday": True}, "2025-06-04 holiday", "weekday 1-5"),
        ("working_day", {"holiday": None}, "2025-06-04 holiday", "weekday 1-5"),
    ],
)
def test_each_check_alone_stops_the_cut(code, changes, value, limit):
    decision = decide(POLICY, replace(DUE, **changes))
    assert decision.action is None
    assert decision.blocked_by == (code,)
    assert check_of(decision, code) == Check(code, False, value, limit)
    assert [check.code for check in decision.checks] == CODES


@pytest.mark.parametrize(
    ("code", "changes", "value"),
    [
        ("due", {"available": Decimal(0)}, "0"),
        ("desired", {"desired": None}, "unknown"),
        ("relay", {"relay": None}, "unknown"),
        ("fresh", {"reading_at": ago(minutes=60)}, "1:00:00"),
        ("fresh", {"reading_at": ago(seconds=-5)}, "-0:00:05"),
        ("grace", {"due_since": ago(minutes=30)}, "0:30:00"),
        ("grace", {"due_since": ago(days=3, seconds=0.25)}, "72:00:00.25"),
        ("grace", {"due_since": ago(hours=1, microseconds=10)}, "1:00:00.00001"),
        ("notice", {"notice_at": ago(hours=24)}, "24:00:00"),
        ("protected", {"protected_reason": "no longer"}, "no"),
        ("operations", {"operations_today": 4}, "4"),
        ("clock", {"clock_skew": timedelta(seconds=5)}, "0:00:05"),
        ("clock", {"clock_skew": timedelta(seconds=-5)}, "-0:00:05"),
        ("held", {}, "0"),
        ("payment", {}, "no"),
        ("working_day", {}, "2025-06-04 weekday 3"),
        ("window", {}, "2025-06-04T11:00:00+08:00"),
    ],
)
def test_each_check_passes_at_its_limit(code, changes, value):
    decision = decide(POLICY, replace(DUE, **changes))
    assert decision.action == "open"
    assert check_of(decision, code).passed
    assert check_of(decision, code).value == value


def test_all_failing_codes_are_listed_in_order():
    evidence = replace(DUE, available=None, payment_in_flight=True, held_readings=2, holiday=True)
    decision = decide(POLICY, evidence)
    assert decision.blocked_by == ("due", "working_day", "payment", "held")


def test_notice_only_when_required():
    decision = decide(replace(POLICY, notice_required=False), replace(DUE, notice_at=None))
    assert decision.action == "open"
    assert check_of(decision, "notice") == Check("notice", True, "not required", "any")


@pytest.mark.parametrize(
    ("available", "level"),
    [
        (None, Level.normal),
        ("20.01", Level.normal),
        ("20", Level.alarm1),
        ("5.01", Level.alarm1),
        ("5", Level.alarm2),
        ("0.01", Level.alarm2),
        ("0", Level.arrears),
        ("-9.99", Level.arrears),
        ("-10", Level.cut),
        ("-1000", Level.cut),
    ],
)
def test_level(available, level):
    amount = None if available is None else Decimal(available)
    decision = decide(replace(POLICY, cut_at=Decimal(-10)), replace(DUE, available=amount))
    assert decision.level is level
    assert (decision.action == "open") is (level is Level.cut)


def test_levels_are_named_as_they_are_stored():
    assert [level.value for level in Level] == ["normal", "alarm1", "alarm2", "arrears", "cut"]


def test_level_with_the_cut_at_zero_knows_no_arrears():
    assert decide(POLICY, replace(DUE, available=Decimal(0))).level is Level.cut


def test_restore_of_the_own_cut_whatever_else_is_known():
    evidence = replace(
        CUT_BY_POLICY,
        now=local(2025, 6, 8, 3),
        available=Decimal("0.01"),
        due_since=None,
        reading_at=None,
        held_readings=3,
        payment_in_flight=True,
        command_in_doubt=True,
        protected=True,
        notice_at=None,
        operations_today=99,
        clock_skew=None,
        holiday=True,
    )
    decision = decide(POLICY, evidence)
    assert decision.action == "close"
    assert decision.blocked_by == ()
    assert decision.checks[0] == Check("restore", True, "0.01", "> 0")
    assert [check.code for check in decision.checks[1:]] == CODES


@pytest.mark.parametrize(
    "changes",
    [
        {"available": Decimal(0)},
        {"available": None},
        {"available": Decimal(5), "cut_by_policy": False},
        {"available": Decimal(5), "desired": "closed"},
        {"available": Decimal(5), "desired": None},
    ],
)
def test_no_restore_without_money_or_of_a_cut_of_others(changes):
    assert decide(POLICY, replace(CUT_BY_POLICY, **changes)).action is None


def test_restore_only_above_its_own_limit():
    policy = replace(POLICY, restore_above=Decimal(5))
    assert decide(policy, replace(CUT_BY_POLICY, available=Decimal(5))).action is None
    decision = decide(policy, replace(CUT_BY_POLICY, available=Decimal("5.01")))
    assert decision.action == "close"
    assert decision.checks[0].limit == "> 5"


def test_evidence_dict_is_plain_data():
    decision = decide(POLICY, replace(DUE, payment_in_flight=True))
    data = evidence_dict(decision)
    assert json.loads(json.dumps(data)) == data
    assert data["action"] is None
    assert data["level"] == "cut"
    assert type(data["level"]) is str
    assert data["blocked_by"] == ["payment"]
    assert [check["code"] for check in data["checks"]] == CODES
    assert data["checks"][0] == {"code": "due", "passed": True, "value": "-0.01", "limit": "<= 0"}
