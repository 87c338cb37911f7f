"""A fleet of 100,000 meters on 3,125 buses of 32, three in a hundred dead, read by one collector process.

The interval is shorter than the 15 minutes of the goal so that the window holds two whole rounds of it: at
2.5 minutes the process carries six times that load. A slot is kept when the reading of its round is in the table.
"""

import os
import time

import pytest

from tests.bench.devices import Devices, is_dead
from tests.bench.harness import Table, Watch, allow_many_files
from tests.support import processes
from tests.support.site import RATES, Site
from tests.support.stack import wait_for

LINKS = int(os.environ.get("PREPAY_BENCH_LINKS", "3125"))
UNITS = 32
MINUTES = float(os.environ.get("PREPAY_BENCH_MINUTES", "2.5"))
ROUNDS = 2
DEAD = 0.03
GOAL_SLOTS, GOAL_NEIGHBOURS, GOAL_CORE = 0.98, 0.95, 0.40


@pytest.mark.timeout(1200 + int(60 * MINUTES * (ROUNDS + 2)))
def test_schedule(tmp_path):
    allow_many_files()
    with Devices(links=LINKS, framing="rtu", delay_ms=300, dead=DEAD) as devices:
        site = Site(tmp_path, "schedule")
        try:
            profile = site.profile(RATES, max_power_w=0)
            gateways = site.gateways(devices.endpoints, timeout_ms=1000, inter_frame_ms=25)
            meters = site.meters(gateways, UNITS, profile, MINUTES)
            run(site, devices, meters)
        finally:
            site.close()


def run(site, devices, meters) -> None:
    units = [(number // UNITS, number % UNITS + 1) for number in range(len(meters))]
    dead = {
        meter for meter, (link, unit) in zip(meters, units) if is_dead(link, unit, devices.dead)
    }
    buses = {link for meter, (link, _unit) in zip(meters, units) if meter in dead}
    neighbours = {
        meter for meter, (link, _unit) in zip(meters, units) if link in buses and meter not in dead
    }
    began = time.monotonic()
    process = site.start_collector()
    live = len(meters) - len(dead)
    wait_for(lambda: first_reads(site) >= live, 300 + 60 * MINUTES, "every live meter read once", 2)
    first_sweep = time.monotonic() - began
    # New meters were asked at once; from here on each comes to its own place in the interval.
    time.sleep(60 * MINUTES * 1.5)

    start = site.one("SELECT date_trunc('second', LOCALTIMESTAMP)")
    watch = Watch(process)
    time.sleep(60 * MINUTES * ROUNDS)
    load = watch.load()
    end = site.one("SELECT date_trunc('second', LOCALTIMESTAMP)")
    time.sleep(3)  # what was read in the window is committed
    processes.stop(process)
    counts = {
        row["meter_id"]: min(row["count"], ROUNDS)
        for row in site.rows(
            "SELECT meter_id, count(*) FROM prepay_reading_data"
            " WHERE channel = 1 AND read_at >= %s AND read_at < %s GROUP BY 1",
            start,
            end,
        )
    }
    # The window cuts each meter's rhythm at its ends: a late one is not counted as early elsewhere.
    due = ROUNDS * (end - start).total_seconds() / (60 * MINUTES * ROUNDS)
    kept = sum(counts.values()) / due / live
    beside = sum(counts.get(meter, 0) for meter in neighbours) / due / max(1, len(neighbours))
    core = load.cpu_s / load.seconds
    answered = sum(counts.values())
    table = Table(
        f"{len(meters):,} meters each {MINUTES:g} min on {devices.links:,} buses, {len(dead):,} dead on"
        f" {len(buses):,} of them; window {load.seconds:.0f} s",
        f"  readings {answered:,}, {answered / load.seconds:,.0f}/s; CPU {core:.1%} of a core,"
        f" {load.cpu_s / max(1, answered) * 1e6:.0f} µs a poll; peak {load.peak_mb:.0f} MB;"
        f" first sweep of all {first_sweep:.0f} s",
    )
    table.goal("slots kept", kept, GOAL_SLOTS)
    table.goal("slots kept beside a dead meter", beside, GOAL_NEIGHBOURS)
    table.goal("share of a core", core, GOAL_CORE, at_most=True)
    table.show()


def first_reads(site) -> int:
    return site.one("SELECT count(*) FROM prepay_meter_state WHERE last_read_at IS NOT NULL")
