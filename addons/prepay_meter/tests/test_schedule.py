"""When meters are polled: slots, retries, back-off and fairness, on a clock of the test's own."""

from types import SimpleNamespace

from odoo.addons.prepay_meter.collector.schedule import MAX_BACKOFF, Schedule


def meters(count, interval=900.0):
    return [SimpleNamespace(id=n, interval=interval, missed=0) for n in range(1, count + 1)]


def run(fleet, seconds, cost, answers=lambda meter: True):
    """Polls of each meter as times, when an answered poll takes ``cost`` and a missed one 20 ×."""
    schedule, now, polls = Schedule(), 0.0, {meter.id: [] for meter in fleet}
    by_id = {meter.id: meter for meter in fleet}
    for meter in fleet:
        schedule.add(meter, 0.0)
    while now < seconds:
        meter_id, at = schedule.next(now)
        if meter_id is None:
            now = at
            continue
        meter, began = by_id[meter_id], now
        silent = meter.missed >= 3
        polls[meter_id].append(now)
        if answers(meter):
            now += cost
            meter.missed = 0
        else:
            now += cost * 20
            meter.missed += 1
            if silent:
                schedule.spent_on_silence(began, now)
        schedule.polled(meter, now, now)
    return polls


def test_every_meter_keeps_its_own_place_in_the_interval():
    polls = run(meters(100), 9000, cost=0.1)
    for times in polls.values():
        gaps = [b - a for a, b in zip(times[1:], times[2:])]
        assert all(abs(gap - 900) < 5 for gap in gaps)
    second = sorted(times[2] % 900 for times in polls.values())
    assert max(b - a for a, b in zip(second, second[1:])) < 60, "spread over the interval"


def test_silent_meter_is_asked_less_and_less_and_comes_back():
    dead = {1}
    fleet = meters(1)
    polls = run(fleet, 20_000, cost=0.1, answers=lambda meter: meter.id not in dead)[1]
    gaps = [round(b - a) for a, b in zip(polls, polls[1:])]
    assert gaps[:2] == [22, 22], "a lost frame is asked for again soon"
    assert gaps[2] > 900
    assert max(gaps) <= MAX_BACKOFF + 3
    dead.clear()
    assert fleet[0].missed >= 3


def test_live_meters_keep_their_schedule_beside_dead_ones():
    """8 of 64 dead on a bus that has no time to spare: the live ones lose little (A8, F30)."""
    alone = run(meters(56, 6.0), 3000, cost=0.1)
    mixed = run(meters(64, 6.0), 3000, cost=0.1, answers=lambda meter: meter.id > 8)
    alone_rate = sum(map(len, alone.values())) / 56
    live_rate = sum(len(times) for key, times in mixed.items() if key > 8) / 56
    assert live_rate >= 0.8 * alone_rate, (live_rate, alone_rate)
    assert all(len(mixed[key]) > 2 for key in range(1, 9)), "dead ones are still probed"


def test_read_now_overrides_what_was_planned():
    (meter,) = meters(1)
    schedule = Schedule()
    schedule.add(meter, 100.0)
    assert schedule.next(50.0) == (None, 100.0)
    schedule.add(meter, 0.0)
    assert schedule.next(50.0) == (1, 50.0)
    schedule.polled(meter, 51.0, 51.0)
    assert schedule.next(52.0)[0] is None
    schedule.remove(1)
    assert schedule.next(10_000.0)[0] is None
