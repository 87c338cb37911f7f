"""Poll and store: the collector process against a bare asyncio + uvloop loop, on the same devices and table.

One request reads 40 registers and gives five readings (total and four rates). Each link has so many meters
that it is never idle. What counts is committed: the product's rate is that of rows in the table.
"""

import os
import signal
import time

import pytest

from tests.bench.devices import Devices, energy
from tests.bench.harness import Table, Watch, allow_many_files, bare
from tests.support import processes
from tests.support.site import RATES, Site
from tests.support.stack import wait_for

#: The shortest interval that a meter may have, in minutes.
SHORTEST = 0.02
WINDOW_S = float(os.environ.get("PREPAY_BENCH_WINDOW", "8"))
#: A point at the end stretches the block to 40 registers; it is read and never stored.
BLOCK = (*RATES, ("signal", "0x0027", 1, "u16", "1"))
SCENES = [
    # delay ms, framing, links, rounds, is a goal
    (300, "rtu", 300, 1, False),
    (300, "rtu", 1_000, 1, False),
    (300, "rtu", 3_000, 2, True),
    (300, "tcp", 300, 1, False),
    (300, "tcp", 1_000, 1, False),
    (300, "tcp", 3_000, 2, True),
    (50, "rtu", 300, 1, False),
    (50, "tcp", 300, 1, False),
    (50, "rtu", 1_000, 1, False),
    (50, "tcp", 1_000, 1, False),
]
GOAL_RATE, GOAL_CPU, GOAL_MB = 0.90, 2.5, 150


@pytest.mark.timeout(900)
def test_polling(tmp_path):
    allow_many_files()
    table = Table(
        f"poll and store, 40 registers → 5 rows, windows of {WINDOW_S:g} s, product ÷ bare loop",
        "delay frame  links |  bare polls/s  µs CPU/poll  MB | product polls/s  µs CPU/poll   MB |"
        "  rate   CPU",
    )
    only = os.environ.get("PREPAY_BENCH_SCENE")
    for index, (delay, framing, links, rounds, is_goal) in enumerate(SCENES):
        if only and str(index) not in only.split(","):
            continue
        folder = tmp_path / str(index)
        folder.mkdir()
        with Devices(links=links, framing=framing, delay_ms=delay) as devices:
            scene(table, folder, devices, framing, delay, rounds, is_goal)
        print(table.lines[-1], flush=True)
    table.show()


def scene(table, folder, devices, framing, delay, rounds, is_goal) -> None:
    # One and a half times what a link can read in the shortest interval: it is never idle.
    units = int(1.5 * SHORTEST * 60_000 / delay) + 1
    site = Site(folder, "polling")
    try:
        profile = site.profile(BLOCK, block_gap=40, max_power_w=0)
        kind = {"rtu": "tcp_serial", "tcp": "tcp_modbus"}[framing]
        gateways = site.gateways(devices.endpoints, kind, timeout_ms=5000)
        meters = site.meters(gateways, units, profile, SHORTEST)
        found: dict[str, list] = {"bare": [], "product": []}
        for _round in range(rounds):
            found["bare"].append(run_bare(site, devices, meters[0] - 1, units, framing))
            found["product"].append(run_product(site, devices, units))
        verify(site, meters, units)
    finally:
        site.close()
    bare_rate, bare_cpu, bare_mb = (max(run[i] for run in found["bare"]) for i in range(3))
    bare_cpu = min(run[1] for run in found["bare"])
    rate = max(run[0] for run in found["product"])
    cpu = min(run[1] for run in found["product"])
    peak = max(run[2] for run in found["product"])
    table.add(
        f"{delay:5} {framing:>5} {devices.links:6} | {bare_rate:13,.0f} {bare_cpu:12.1f} {bare_mb:3.0f} |"
        f" {rate:15,.0f} {cpu:12.1f} {peak:4.0f} | {rate / bare_rate:5.0%} {cpu / bare_cpu:5.2f}"
    )
    if is_goal:
        what = f"{delay} ms, {framing}, {devices.links} links:"
        table.goal(f"{what} rate", rate / bare_rate, GOAL_RATE)
        table.goal(f"{what} CPU per poll", cpu / bare_cpu, GOAL_CPU, at_most=True)
        table.goal(f"{what} MB", peak, GOAL_MB, at_most=True)


def run_bare(site, devices, before_first, units, framing) -> tuple[float, float, float]:
    process = bare(
        "poll",
        site.folder / "bare.log",
        dbname=site.database.name,
        endpoints=devices.endpoints,
        first_meter=before_first,
        units=units,
        framing=framing,
    )
    try:
        return measure(site, devices, process, site.folder / "bare.log")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def run_product(site, devices, units) -> tuple[float, float, float]:
    process = site.start_collector()
    try:
        log = site.folder / f"collector-{len(site.collectors)}.log"
        return measure(site, devices, process, log)
    finally:
        processes.stop(process)
        wait_for(lambda: not devices.stats()["connections"], 20, "links closed")


def measure(site, devices, process, log) -> tuple[float, float, float]:
    """Polls committed per second, CPU in µs for each, peak memory in MB."""

    def all_connected() -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        return devices.stats()["connections"] == devices.links

    wait_for(all_connected, 90, "all links connected")
    counts = [stored(site)]

    def flowing() -> bool:
        """Each of three times two seconds brought readings: the storm of starting is over."""
        counts.append(stored(site))
        latest = counts[-4:]
        return len(latest) == 4 and all(b > a for a, b in zip(latest, latest[1:]))

    wait_for(flowing, 240, "readings flow into the database", pause=2)
    before, watch = stored(site), Watch(process)
    time.sleep(WINDOW_S)
    load, polls = watch.load(), stored(site) - before
    assert polls, f"nothing was stored: {log.read_text()[-3000:]}"
    return polls / load.seconds, load.cpu_s / polls * 1e6, load.peak_mb


def stored(site) -> int:
    return site.one("SELECT count(*) FROM prepay_reading_data WHERE channel = 5")


def verify(site, meters, units) -> None:
    """Each reading is that of its own meter: nothing was mixed up on the way."""
    wrong = site.rows(
        "SELECT * FROM prepay_reading_data WHERE channel <= 5 AND value <>"
        " ((meter_id - %s) %% %s + 1) * %s / CASE channel WHEN 1 THEN 1 ELSE 4 END LIMIT 3",
        meters[0],
        units,
        energy(1) * 10,
    )
    assert not wrong, wrong
