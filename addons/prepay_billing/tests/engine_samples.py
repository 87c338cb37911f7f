"""Samples for the tests of the supply decision."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from odoo.addons.prepay_billing.engine.supply import Evidence, Policy

UTC = timezone.utc
SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
POLICY = Policy()


def local(*parts, tz=SHANGHAI):
    return datetime(*parts, tzinfo=tz)


NOW = local(2025, 6, 4, 11)  # a Wednesday
# Everything speaks for a cut.
DUE = Evidence(
    now=NOW,
    tz=SHANGHAI,
    available=Decimal("-0.01"),
    due_since=NOW - timedelta(hours=1),
    reading_at=NOW - timedelta(minutes=10),
    held_readings=0,
    payment_in_flight=False,
    command_in_doubt=False,
    protected=False,
    protected_reason="",
    notice_at=NOW - timedelta(days=2),
    relay="closed",
    desired="closed",
    cut_by_policy=False,
    operations_today=0,
    clock_skew=timedelta(0),
    holiday=False,
)
CUT_BY_POLICY = replace(DUE, desired="open", relay="open", cut_by_policy=True)


def check_of(decision, code):
    (check,) = (check for check in decision.checks if check.code == code)
    return check
