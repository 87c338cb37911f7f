"""Supply decision: window and working day in the zone of the site, real time across changes."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from odoo.addons.prepay_billing.engine.supply import decide
from odoo.addons.prepay_billing.tests.engine_samples import (
    BERLIN,
    DUE,
    POLICY,
    UTC,
    check_of,
    local,
)

DAY, NIGHT, TO_MIDNIGHT = (time(10), time(16)), (time(22), time(2)), (time(20), time(0))


@pytest.mark.parametrize(
    ("window", "hour", "minute", "second", "passed"),
    [
        (DAY, 9, 59, 59, False),
        (DAY, 10, 0, 0, True),
        (DAY, 15, 59, 59, True),
        (DAY, 16, 0, 0, False),
        (DAY, 2, 0, 0, False),
        (NIGHT, 21, 59, 59, False),
        (NIGHT, 22, 0, 0, True),
        (NIGHT, 23, 59, 59, True),
        (NIGHT, 0, 0, 0, True),
        (NIGHT, 1, 59, 59, True),
        (NIGHT, 2, 0, 0, False),
        (NIGHT, 12, 0, 0, False),
        (TO_MIDNIGHT, 19, 59, 59, False),
        (TO_MIDNIGHT, 23, 59, 59, True),
        (TO_MIDNIGHT, 0, 0, 0, False),
        ((None, None), 3, 0, 0, True),
    ],
)
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Asia/Kathmandu", "America/Sao_Paulo"])
def test_window_in_the_zone_of_the_site(window, hour, minute, second, passed, zone):
    tz = ZoneInfo(zone)
    policy = replace(POLICY, window_start=window[0], window_end=window[1], working_days_only=False)
    now = datetime(2025, 6, 4, hour, minute, second, tzinfo=tz).astimezone(UTC)
    evidence = replace(
        DUE,
        now=now,
        tz=tz,
        due_since=now - timedelta(hours=1),
        reading_at=now,
        notice_at=now - timedelta(days=2),
    )
    decision = decide(policy, evidence)
    check = check_of(decision, "window")
    assert check.passed is passed
    assert (decision.action == "open") is passed
    assert check.limit == ("always" if window[0] is None else "{:%H:%M}-{:%H:%M}".format(*window))
    assert check.value.startswith(f"2025-06-04T{hour:02}:{minute:02}:{second:02}")


@pytest.mark.parametrize(
    ("now", "passed"),
    [
        (local(2025, 6, 6, 23, 30), True),  # Friday
        (local(2025, 6, 7, 0, 30), False),  # Saturday by the calendar, in Friday's window
        (local(2025, 6, 8, 23, 30), False),  # Sunday
        (local(2025, 6, 9, 0, 30), True),  # Monday
    ],
)
def test_working_day_is_the_local_calendar_day(now, passed):
    policy = replace(POLICY, window_start=time(22), window_end=time(2))
    # In UTC three of the four fall on another day or hour.
    decision = decide(policy, replace(DUE, now=now.astimezone(UTC), reading_at=now))
    assert check_of(decision, "window").passed
    assert check_of(decision, "working_day").passed is passed


@pytest.mark.parametrize("changes", [{"holiday": True}, {"now": local(2025, 6, 7, 11)}])
def test_any_day_when_working_days_are_not_asked_for(changes):
    evidence = replace(DUE, **changes)
    check = check_of(decide(replace(POLICY, working_days_only=False), evidence), "working_day")
    assert check.passed
    assert check.limit == "any"


def test_elapsed_time_is_real_time_when_summer_time_begins():
    """From 01:50 to 03:10 by the clock there are twenty minutes."""
    evidence = replace(
        DUE,
        now=local(2025, 3, 30, 3, 10, tz=BERLIN),
        due_since=local(2025, 3, 30, 1, 50, tz=BERLIN),
        tz=BERLIN,
    )
    check = check_of(decide(POLICY, evidence), "grace")
    assert (check.value, check.passed) == ("0:20:00", False)
