"""Supply decision: defaults of a policy, and what policy and evidence refuse."""

from dataclasses import FrozenInstanceError, replace
from datetime import datetime, time, timedelta
from decimal import Decimal

import pytest

from odoo.addons.prepay_billing.engine.errors import EvidenceError, PolicyError
from odoo.addons.prepay_billing.engine.supply import Policy, decide
from odoo.addons.prepay_billing.tests.engine_samples import DUE, NOW, POLICY, UTC


def test_defaults():
    assert Policy() == Policy(
        alarm1=Decimal(20),
        alarm2=Decimal(5),
        cut_at=Decimal(0),
        grace=timedelta(minutes=30),
        evidence_max_age=timedelta(hours=1),
        window_start=time(10),
        window_end=time(16),
        working_days_only=True,
        restore_above=Decimal(0),
        notice_required=True,
        notice_lead=timedelta(days=1),
        max_operations_per_day=6,
        clock_skew_limit=timedelta(seconds=5),
    )


def test_records_never_change():
    decision = decide(POLICY, DUE)
    records = (
        (POLICY, "cut_at"),
        (DUE, "available"),
        (decision, "action"),
        (
            decision.checks[0],
            "passed",
        ),
    )
    for record, name in records:
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, None)
        assert not hasattr(record, "__dict__")


def test_limits_themselves_are_allowed():
    zero = timedelta(0)
    policy = Policy(
        alarm1=5,
        alarm2=5,
        cut_at=5,
        restore_above=5,
        grace=zero,
        evidence_max_age=zero,
        notice_lead=zero,
        clock_skew_limit=zero,
        max_operations_per_day=0,
    )
    assert decide(policy, DUE).blocked_by == ("fresh", "operations")


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("amount_invalid", {"alarm1": 20.0}),
        ("amount_invalid", {"alarm2": None}),
        ("amount_invalid", {"cut_at": Decimal("NaN")}),
        ("amount_invalid", {"restore_above": True}),
        ("duration_negative", {"grace": timedelta(seconds=-1)}),
        ("duration_negative", {"evidence_max_age": timedelta(seconds=-1)}),
        ("duration_negative", {"notice_lead": timedelta(seconds=-1)}),
        ("duration_negative", {"clock_skew_limit": timedelta(seconds=-1)}),
        ("operations_negative", {"max_operations_per_day": -1}),
        ("alarm_order", {"alarm2": Decimal("20.01")}),
        ("restore_order", {"restore_above": Decimal("-0.01")}),
        ("window_half", {"window_start": None}),
        ("window_half", {"window_end": None}),
        ("window_empty", {"window_end": time(10)}),
        ("window_zone", {"window_start": time(10, tzinfo=UTC)}),
        ("window_zone", {"window_end": time(10, tzinfo=UTC)}),
    ],
)
def test_policy_refused(code, changes):
    with pytest.raises(PolicyError) as caught:
        Policy(**changes)
    assert caught.value.code == code
    assert set(changes) <= set(caught.value.values)
    assert all(name in str(caught.value) for name in changes)


NAIVE, ANCIENT = NOW.replace(tzinfo=None), datetime(1899, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        *(
            ("naive_time", {name: NAIVE})
            for name in ("now", "due_since", "reading_at", "notice_at")
        ),
        *(
            ("time_range", {name: ANCIENT})
            for name in ("now", "due_since", "reading_at", "notice_at")
        ),
        ("amount_invalid", {"available": -0.01}),
        ("amount_invalid", {"available": Decimal("Infinity")}),
        ("count_negative", {"held_readings": -1}),
        ("count_negative", {"operations_today": -1}),
        ("state_invalid", {"relay": "ajar"}),
        ("state_invalid", {"desired": False}),
    ],
)
def test_evidence_refused(code, changes):
    with pytest.raises(EvidenceError) as caught:
        replace(DUE, **changes)
    assert caught.value.code == code
    assert caught.value.values == changes


def test_a_refusal_names_all_that_contradicts():
    with pytest.raises(PolicyError) as caught:
        Policy(window_start=None)
    assert str(caught.value) == (
        "Policy refused (window_half): window_start = None, window_end = datetime.time(16, 0)"
    )
