"""Rating of intervals: what must hold for every interval, tariff and zone (R-02)."""

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_billing.engine.rating import Interval, rate
from odoo.addons.prepay_billing.engine.tariff import TariffVersion, one_price

PROPERTY = settings(max_examples=200, deadline=None, database=None)
UTC = timezone.utc
# Summer time, half hours, a skipped day, a day that begins at 01:00 or twice.
ZONES = [
    "UTC",
    "Asia/Shanghai",
    "Asia/Kathmandu",
    "Europe/Berlin",
    "Africa/Cairo",
    "America/Sao_Paulo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]

moments = st.timedeltas(timedelta(0), timedelta(days=8000)).map(
    lambda span: datetime(2005, 1, 1, tzinfo=UTC) + span
)
prices = st.decimals(min_value=0, max_value=10, places=4)


@st.composite
def cases(draw):
    """An interval of up to three weeks and versions that cover it, in a zone."""
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    start = draw(moments)
    length = draw(st.timedeltas(timedelta(microseconds=1), timedelta(days=21)))
    offsets = draw(
        st.lists(st.timedeltas(timedelta(days=-5), timedelta(days=25)), max_size=4, unique=True)
    )
    begins = {start - timedelta(days=30), *(start + offset for offset in offsets)}
    versions = [
        TariffVersion(number, begin, one_price(draw(prices)))
        for number, begin in enumerate(draw(st.permutations(sorted(begins))))
    ]
    return Interval(start, start + length, draw(st.integers(0, 10**9))), versions, zone


@given(cases())
@PROPERTY
def test_lines_tile_time_and_quantity(case):
    interval, versions, zone = case
    lines, _tiers = rate(interval, versions, zone)
    assert lines[0].start == interval.start
    assert lines[-1].end == interval.end
    assert all(a.end == b.start for a, b in pairwise(lines))
    assert all(line.start < line.end for line in lines)
    assert sum(line.quantity for line in lines) == interval.quantity
    assert all(line.quantity >= 0 for line in lines)


@given(cases())
@PROPERTY
def test_each_line_has_one_day_one_version_and_the_exact_amount(case):
    interval, versions, zone = case
    span = interval.end - interval.start
    for line in rate(interval, versions, zone).lines:
        last = line.end - timedelta(microseconds=1)
        assert line.start.astimezone(zone).date() == line.day == last.astimezone(zone).date()
        valid = [version for version in versions if version.valid_from <= line.start]
        version = max(valid, key=lambda each: each.valid_from)
        assert line.version_id == version.id
        assert not any(line.start < each.valid_from < line.end for each in versions)
        assert (
            line.amount * 1000
            == line.price * line.quantity
            == version.tiers[0].prices["flat"] * line.quantity
        )
        # The share of the time, to less than one base unit.
        tick = timedelta(microseconds=1)
        length = (line.end - line.start) // tick
        assert abs(line.quantity * (span // tick) - interval.quantity * length) < span // tick


@given(cases(), st.randoms(use_true_random=False))
@PROPERTY
def test_order_of_versions_plays_no_part(case, random):
    interval, versions, zone = case
    shuffled = random.sample(versions, len(versions))
    assert rate(interval, shuffled, zone) == rate(interval, versions, zone)


@given(cases())
@PROPERTY
def test_no_reason_to_split_no_split(case):
    interval, versions, zone = case
    lines, _tiers = rate(interval, versions, zone)
    for before, after in pairwise(lines):
        assert (before.day, before.version_id) != (after.day, after.version_id)
