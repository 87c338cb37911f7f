"""What a worker makes of answers and of changed settings, without any device."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from odoo.addons.prepay_meter.collector import config, worker

from .test_driver import meter as make_meter

AT = datetime(2026, 11, 1, 8, 0)


class Kept:
    """A sink that keeps what is put into it."""

    def __init__(self):
        self.results, self.events, self.cleared = [], [], set()

    def put(self, result=None, events=(), *, clear=(), done=None):
        self.results.append(result)
        self.events += [event.kind for event in events]
        self.cleared |= set(clear)


def on_loop(work):
    async def run():
        return work()

    return asyncio.run(run())


def gateway(*meters):
    made = config.Gateway(1, 1, "GW", "tcp_serial", "127.0.0.1", 1, 1.0, 0.0)
    made.meters = {meter.id: meter for meter in meters}
    return made


@pytest.fixture
def clock(monkeypatch):
    """The time at which answers come, in minutes after AT."""

    def at(minute):
        monkeypatch.setattr(worker, "utcnow", lambda: AT.replace(minute=minute))

    return at


def test_first_value_counts_when_a_second_one_agrees(clock):
    def work():
        meter, sink = make_meter(), Kept()
        one = worker.GatewayWorker(gateway(meter), None, sink)
        for minute in range(3):
            clock(minute)
            one.take(meter, {"energy": 1000 + minute})
        return [list(result.readings) for result in sink.results]

    assert on_loop(work) == [[], [(1, 1001)], [(1, 1002)]]


def test_low_battery_is_an_event_and_ends(clock):
    def work():
        meter, sink = make_meter(), Kept()
        one = worker.GatewayWorker(gateway(meter), None, sink)
        clock(1)
        one.take(meter, {"battery_low": 1})
        assert sink.events == ["low_battery"]
        clock(2)
        one.take(meter, {"battery_low": 0})
        return sink.cleared

    assert "low_battery" in on_loop(work)


@pytest.mark.parametrize("change", ["baseline", "entered"])
def test_memory_gives_way_to_a_new_baseline_and_to_a_newer_reading(clock, change):
    """After a register was reset the next lower value is good, once a person has said so."""

    def work():
        meter, sink = make_meter(), Kept()
        meter.last_value, meter.last_at = 900_000, AT
        one = worker.GatewayWorker(gateway(meter), None, sink)
        clock(1)
        one.take(meter, {"energy": 50})
        assert sink.results[-1].held
        clock(2)
        fresh = replace(make_meter(), last_value=60, last_at=AT.replace(minute=2))
        if change == "baseline":
            fresh.baseline_at = AT
        one.configure(gateway(fresh))
        clock(3)
        one.take(fresh, {"energy": 70})
        return sink.results[-1]

    result = on_loop(work)
    assert not result.held
    assert result.readings == [(1, 70)]


def test_other_changes_keep_what_is_known(clock):
    def work():
        meter, sink = make_meter(), Kept()
        meter.last_value, meter.last_at = 1000, AT
        one = worker.GatewayWorker(gateway(meter), None, sink)
        clock(1)
        one.take(meter, {"energy": 1200})
        fresh = replace(make_meter(), last_value=1000, last_at=AT, interval=5.0)
        one.configure(gateway(fresh))
        return fresh.last_value, fresh.last_at

    assert on_loop(work) == (1200, AT.replace(minute=1))


def test_trouble_of_one_meter_is_not_told_of_the_next(clock):
    def work():
        bad, good = make_meter(), replace(make_meter(), id=8, state_id=8)
        sink = Kept()
        for meter in (bad, good):
            meter.last_value, meter.last_at = 1000, AT
        one = worker.GatewayWorker(gateway(bad, good), None, sink)
        clock(1)
        one.take(bad, {"energy": 1001, "relay": "open", "power": 500})
        told = list(sink.events)
        one.take(good, {"energy": 1001, "relay": "closed", "power": 500})
        return told, sink.events

    assert on_loop(work) == (["load_when_open"], ["load_when_open"])
