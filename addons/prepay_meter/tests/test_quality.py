import time
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter.models.prepay_meter_event import PrepayMeterEvent
from odoo.addons.prepay_meter.quality import (
    EARLIEST,
    Doubt,
    History,
    Limits,
    Point,
    agrees,
    assess,
    assess_series,
    judge,
    max_rate,
    rates_fit,
)

NOW = datetime(2026, 3, 1, 12)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
LIMITS = Limits(max_rate=10_000, modulus=1_000_000_000)


def rule(previous, value, *, hours=1.0, max_rate=10_000, modulus=0, ahead=timedelta(0)):
    at = NOW + ahead
    doubt = judge(previous, at - hours * HOUR, value, at, NOW, max_rate=max_rate, modulus=modulus)
    return doubt and doubt.rule


def known(value, at=NOW - HOUR):
    """A register whose newest good value is known."""
    history = History()
    history.value, history.at, history.recent = value, at, [Point(value, at)]
    return history


def step(previous, value, *, hours=1.0, limits=LIMITS, **more):
    """Assess the next value after a good one; what was decided."""
    result = assess(known(previous, NOW - hours * HOUR), value, NOW, NOW, limits, **more)
    return "accept" if result.accept else result.doubts[0].rule


@pytest.mark.parametrize(
    ("previous", "value", "expected"),
    [
        (1_000, 1_000, None),
        (1_000, 13_100, None),  # 1.2 × 10 kW × 1 h and the floor
        (1_000, 13_101, "spike"),
        (1_000, 999, "decrease"),
        (1_000, 0, "decrease"),
        (1_000, 1_000_000, "spike"),
    ],
)
def test_limits(previous, value, expected):
    assert rule(previous, value) == expected


@pytest.mark.parametrize(
    ("previous", "value", "expected"),
    [
        (950_000, 50_000, None),
        (900_000, 50_000, "decrease"),  # not above 90 %
        (950_000, 100_000, "decrease"),  # not below 10 %
        (999_990, 20_000, "spike"),  # a roll-over too, yet more than the meter can carry
    ],
)
def test_roll_over(previous, value, expected):
    limit = 100_000 if expected != "spike" else 10_000
    assert rule(previous, value, max_rate=limit, modulus=1_000_000) == expected


def test_future_and_first_reading():
    assert rule(1_000, 1_100, ahead=timedelta(minutes=6)) == "clock"
    assert rule(1_000, 1_100, ahead=timedelta(minutes=5)) is None
    assert judge(None, None, 5, NOW, NOW, max_rate=1) is None


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 50_000), st.floats(0.001, 1000))
def test_what_passes_rose_plausibly(previous, value, max_rate, hours):
    if rule(previous, value, hours=hours, max_rate=max_rate) is None:
        assert value >= previous
        if max_rate:
            assert value - previous <= 1.2 * max_rate * hours * 1.001 + 101


@pytest.mark.parametrize(
    ("previous", "value", "expected"),
    [
        (500_000, 500_000, "accept"),
        (500_000, 512_100, "accept"),
        (500_000, 512_101, "spike"),
        (500_000, 501_000_000, "unit"),  # kWh instead of Wh
        (500_000, 501, "unit"),
        (500_000, 499_990, "decrease"),
        (500_000, 60_000, "decrease"),
        (500_000, 49_000, "reset"),  # below a tenth
        (500_000, 0, "reset"),
        (500_000, -10, "decrease"),
        (500_000, 1_000_000_000, "spike"),  # beyond the register
        (999_995_000, 3_000, "accept"),  # roll-over
        (999_995_000, 30_000, "reset"),  # the register would have had to run too fast
        (899_999_000, 3_000, "reset"),  # not above 90 %
    ],
)
def test_steps(previous, value, expected):
    assert step(previous, value) == expected


def test_without_rate_there_is_no_spike():
    free = Limits(0, 0)
    assert step(10, 10**9, limits=free) == "accept"
    assert step(500_000, 501, limits=free) == "unit"
    assert step(500_000, 4_000, limits=free) == "reset"


def test_first_value_needs_a_second_that_agrees():
    history = History()
    wrong = assess(history, 500_000_000, NOW - HOUR, NOW - HOUR, LIMITS)
    assert (wrong.accept, wrong.confirm, wrong.notes[0].rule) == (False, True, "unconfirmed")
    history.take(wrong)
    history.take(assess(history, 500_000_000, NOW - HOUR, NOW, LIMITS))  # the same message again
    assert history.value is None
    other = assess(history, 500_000, NOW - 2 * MINUTE, NOW, LIMITS)
    assert not other.accept
    history.take(other)
    good = assess(history, 500_010, NOW, NOW, LIMITS)
    assert good.accept
    history.take(good)
    assert (history.value, history.at, history.pending) == (500_010, NOW, None)
    alone = assess(History(), 5, NOW, NOW, Limits(confirm_first=False))
    assert alone.accept


def test_one_spike_is_not_the_measure_of_the_next():
    history = known(500_000)
    held = assess(history, 900_000_000, NOW, NOW, LIMITS)
    history.take(held)
    assert held.doubts and not held.accept
    later = NOW + HOUR / 2
    good = assess(history, 501_000, later, later, LIMITS)
    assert good.accept and good.source == "poll"


def test_repetition_and_contradiction_of_one_moment():
    history = known(500_000, NOW)
    again = assess(history, 500_000, NOW, NOW, LIMITS)
    assert (again.accept, again.doubts, again.notes[0].rule) == (False, (), "duplicate")
    other = assess(history, 500_010, NOW, NOW, LIMITS)
    assert other.doubts[0].rule == "conflict"
    assert other.doubts[0].kind in dict(PrepayMeterEvent.kind._selection)


def test_late_value_lies_between_its_neighbours():
    history = known(500_000, NOW - 4 * HOUR)
    for hours, value in ((3, 501_000), (1, 505_000), (0, 507_000)):
        at = NOW - hours * HOUR
        history.take(assess(history, value, at, at, LIMITS))
    at = NOW - 2 * HOUR

    def late(value):
        return assess(history, value, at, NOW, LIMITS)

    assert (late(503_000).accept, late(503_000).source) == (True, "late")
    assert late(505_500).doubts[0].rule == "spike"
    assert late(500_500).doubts[0].rule == "decrease"
    history.take(late(503_000))
    assert history.value == 507_000, "a late value is not the newest"
    assert late(503_000).notes[0].rule == "duplicate"
    assert late(503_001).doubts[0].rule == "conflict"

    old = NOW - 100 * HOUR
    asked = assess(history, 400_000, old, NOW, LIMITS)
    assert (asked.accept, asked.lookup, asked.doubts) == (False, True, ())
    around = (Point(399_000, old - HOUR), Point(401_000, old + HOUR))
    assert assess(history, 400_000, old, NOW, LIMITS, around=around).accept
    assert assess(history, 0, old, NOW, LIMITS, around=around).doubts[0].rule == "reset"
    assert assess(history, 300_000, old, NOW, LIMITS, around=(None, None)).accept


def test_late_value_before_a_new_baseline():
    history = known(500_000, NOW - 3 * HOUR)
    history.restart(NOW - 2 * HOUR, 500_500, 20)
    assert assess(history, 1_000, NOW - HOUR, NOW, LIMITS).accept
    around = (Point(500_000, NOW - 3 * HOUR), Point(1_000, NOW - HOUR))
    at = NOW - 2 * HOUR - MINUTE
    assert assess(history, 500_400, at, NOW, LIMITS, around=around).accept
    assert assess(history, 500_600, at, NOW, LIMITS, around=around).doubts
    at = NOW - 2 * HOUR + MINUTE
    assert assess(history, 30, at, NOW, LIMITS, around=around).accept
    assert assess(history, 500_400, at, NOW, LIMITS, around=around).doubts


def test_stuck_register_is_noted_and_accepted():
    history = known(500_000, NOW)
    found = []
    at = NOW
    for _minute in range(40):
        at += MINUTE
        result = assess(history, 500_000, at, at, LIMITS, power_w=1_000)
        assert result.accept
        history.take(result, 1_000)
        found += [note.rule for note in result.notes]
    assert set(found) == {"stuck"}
    assert len(found) == 22, "after 300 Wh"
    moved = assess(history, 500_010, at + MINUTE, at + MINUTE, LIMITS, power_w=1_000)
    history.take(moved, 1_000)
    quiet = assess(history, 500_010, at + 2 * MINUTE, at + 2 * MINUTE, LIMITS, power_w=1_000)
    assert not quiet.notes
    idle = known(500_000, NOW)
    for hour in range(100):
        at = NOW + (hour + 1) * HOUR
        result = assess(idle, 500_000, at, at, LIMITS, power_w=0)
        idle.take(result, 0)
        assert not result.notes


@pytest.mark.parametrize(
    ("drift", "used", "noted"),
    [
        (timedelta(seconds=59), "device", False),
        (timedelta(minutes=-4), "device", True),
        (timedelta(minutes=5), "device", True),
        (timedelta(minutes=-6), "gateway", True),
        (HOUR, "gateway", True),
        (-timedelta(days=1), "gateway", True),
        (datetime(2000, 1, 1) - NOW, "gateway", True),
        (datetime(2038, 1, 19, 3, 14, 7) - NOW, "gateway", True),
    ],
)
def test_clock_of_the_meter(drift, used, noted):
    result = assess(known(500_000), 500_100, NOW, NOW + MINUTE, LIMITS, device_at=NOW + drift)
    assert result.accept
    assert result.at == (NOW + drift if used == "device" else NOW)
    assert [note.rule for note in result.notes] == (["clock_drift"] if noted else [])
    assert result.drift_s == drift.total_seconds()


def test_clock_alone_must_make_sense():
    history = known(500_000)
    good = assess(history, 500_100, None, NOW, LIMITS, device_at=NOW - 10 * MINUTE)
    assert (good.accept, good.at) == (True, NOW - 10 * MINUTE)
    for nonsense in (datetime(2000, 1, 1), datetime(2038, 1, 19), EARLIEST - MINUTE, NOW + HOUR):
        doubt = assess(history, 500_100, None, NOW, LIMITS, device_at=nonsense).doubts[0]
        assert doubt.rule == "clock"
        assert assess(history, 500_100, nonsense, NOW, LIMITS).doubts[0].rule == "clock"
    leap = datetime(2028, 2, 29, 23, 59)
    history = known(500_000, leap - HOUR)
    assert assess(history, 500_100, None, leap, LIMITS, device_at=leap).at == leap


def test_clock_that_was_set_back_loses_nothing():
    """The meter ran four minutes fast and was set: its next time lies before the last reading."""
    history = known(500_000, NOW + 4 * MINUTE)
    at = NOW + 5 * MINUTE
    result = assess(history, 500_100, at, at, LIMITS, device_at=at - 2 * MINUTE)
    assert (result.accept, result.at) == (True, at)


def test_verification_ran_out():
    limits = Limits(10_000, verified_until=date(2026, 2, 28))
    result = assess(known(500_000), 500_100, NOW, NOW, limits)
    assert result.accept
    assert [note.rule for note in result.notes] == ["unverified"]
    limits = Limits(10_000, verified_until=date(2026, 3, 1))
    assert not assess(known(500_000), 500_100, NOW, NOW, limits).notes


def test_rates_add_up():
    assert rates_fit(100_000, [20_000, 30_000, 40_000, 10_000]) is None
    assert rates_fit(100_000, [20_000, 30_000, 40_000, 9_950]) is None  # each one rounded
    assert rates_fit(100_000, [20_000, 30_000, 40_000, 0]).rule == "rates"
    preset = (150_000, [20_000, 30_000, 40_000, 10_000])
    assert rates_fit(151_000, [20_000, 31_000, 40_000, 10_000], preset) is None
    assert rates_fit(151_000, [20_000, 31_000, 42_000, 10_000], preset).rule == "rates"


def test_two_reads_agree():
    first = Point(500_000, NOW)
    assert agrees(first, Point(500_000, NOW), 10_000)
    assert agrees(first, Point(500_300, NOW + MINUTE), 10_000)
    assert agrees(Point(500_300, NOW + MINUTE), first, 10_000)
    assert not agrees(first, Point(500_301, NOW + MINUTE), 10_000)
    assert not agrees(first, Point(499_999, NOW + MINUTE), 10_000)
    assert agrees(first, Point(999_999, NOW + MINUTE), 0)
    assert max_rate(60_000) == 13_200
    assert max_rate(80_000, 220_000, 3) == 52_800


def test_every_rule_has_a_kind_of_event():
    kinds = dict(PrepayMeterEvent.kind._selection)
    for name in ("decrease", "reset", "spike", "unit", "clock", "rates", "conflict"):
        assert Doubt(name, "").kind in kinds
    for name in ("stuck", "clock_drift", "unverified"):
        assert Doubt(name, "").kind in kinds


FALSE = ("spike", "negative", "times_1000", "by_1000", "swap")
FAULTS = (*FALSE, "late_high", "late_low", "stuck", "repeat", "delay", "clock")


class Meter:
    """A true register, and what a bad line makes of it."""

    def __init__(self, start):
        self.total = start

    @property
    def register(self):
        return self.total % LIMITS.modulus


@settings(max_examples=1000, deadline=None)
@given(
    start=st.integers(2_000_000, 999_999_990),
    steps=st.lists(
        st.tuples(
            st.integers(60, 7_200),  # seconds since the last poll
            st.integers(0, 10_000),  # load in W
            st.sampled_from((None, None, None, *FAULTS, "reset")),
        ),
        min_size=3,
        max_size=40,
    ),
)
def test_nothing_false_is_accepted_and_no_true_reading_is_lost(start, steps):
    """Faults are injected into a true register; a person sets a new baseline after each reset."""
    meter, at = Meter(start), NOW
    history = known(meter.register, at)
    true = {at: meter.register}
    accepted = {at: meter.register}
    held, delayed = [], []
    broken = None

    def deliver(value, moment, device_at=None):
        result = assess(history, value, moment, at, LIMITS, device_at=device_at)
        if result.lookup:  # as the collector looks them up in the database
            earlier = [Point(accepted[t], t) for t in sorted(accepted) if t < result.at]
            later = [Point(accepted[t], t) for t in sorted(accepted) if t >= result.at]
            around = (earlier[-1] if earlier else None, later[0] if later else None)
            result = assess(history, value, moment, at, LIMITS, device_at=device_at, around=around)
        history.take(result)
        if result.accept:
            assert true.get(result.at) == value, f"false value {value} accepted at {result.at}"
            accepted[result.at] = value
        elif result.doubts and true.get(result.at) == value:
            held.append(Point(value, result.at))
        return result

    for seconds, load, fault in steps:
        at += timedelta(seconds=seconds)
        meter.total += load * seconds // 3600
        if fault == "reset" and broken is None and meter.register > 1_000_000:
            broken = Point(meter.register, at)
            meter.total = 0
        value = meter.register
        whole = broken is None or fault in ("spike", "negative", "times_1000")
        false = {
            "spike": value + 50_000_000,
            "negative": -value - 1,
            "times_1000": value * 1000 + 50_000_000,
            "by_1000": value // 1000,
            "swap": value // 2,
        }.get(fault)
        if false is not None:
            # Of a register that is small anyway, half of it is no fault that anybody could see.
            if whole and (fault not in ("by_1000", "swap") or value > 1_000_000):
                deliver(false, at)
        elif fault in ("late_high", "late_low"):
            if value > 1_000_000:
                moment = at - timedelta(seconds=seconds) / 2
                deliver(value * 3 if fault == "late_high" else value // 3, moment)
        elif fault == "stuck":
            if broken is None and history.value <= value:
                true[at] = history.value  # what the meter says; the next one shows the use of both
                deliver(history.value, at)
        elif fault == "delay":
            true[at] = value
            delayed.append((value, at))
        elif fault == "clock":
            true[at] = value
            deliver(value, at, datetime(2000, 1, 1) if seconds % 2 else datetime(2038, 1, 19))
        else:
            true[at] = value
            deliver(value, at)
            if fault == "repeat":
                assert not deliver(value, at).accept
        if len(delayed) > 2:
            for item in reversed(delayed):
                deliver(*item)
            delayed.clear()
        if broken is not None and held:
            # The operator's way out: new baseline at the first held value of the new register.
            first = min(point.at for point in held)
            begin = next(point for point in held if point.at == first)
            if begin.at >= broken.at and begin.at > history.at:
                history.restart(begin.at, broken.value, begin.value)
                accepted[begin.at] = begin.value
                for result in assess_series(
                    [point for point in held if point.at > first], at, LIMITS, begin
                ):
                    if result.accept and result.at > history.at:
                        history.take(result)
                        accepted[result.at] = result.value
                held.clear()
                broken = None
    for item in reversed(delayed):
        deliver(*item)
    # In the end the register is where it truly is: what was held or lost meanwhile is covered by it.
    at += timedelta(days=40)
    true[at] = meter.register
    last = deliver(meter.register, at)
    assert last.accept or (broken is not None and last.doubts)


def test_speed_of_the_fast_path():
    """Ten thousand readings a second must leave the collector time for its work."""
    history, at, value = known(500_000), NOW, 500_000
    count = 20_000
    began = time.process_time()
    for _index in range(count):
        at += MINUTE
        value += 10
        history.take(assess(history, value, at, at, LIMITS, power_w=600), 600)
    spent = time.process_time() - began
    assert history.value == value
    print(f"\n{count / spent:,.0f} assessments a second")
    assert spent / count < 50e-6
