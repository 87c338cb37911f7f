"""Storing: the collector's way into the partitioned, unique table against plain COPY into the same table."""

import asyncio
import json
import subprocess
import sys
import time
from datetime import datetime, timezone

import pytest

from tests.bench.bare import CODES, INGEST_BATCH
from tests.bench.devices import Devices
from tests.bench.harness import ROOT, Table, Watch, allow_many_files, bare
from tests.bench.publisher import publish
from tests.support import processes
from tests.support.metering import module
from tests.support.mqtt import Broker
from tests.support.site import RATES, Site, libpq
from tests.support.stack import wait_for

READINGS = 200_000
METERS = 20_000
GOAL_INGEST, GOAL_MQTT = 0.60, 0.60
MESSAGES, MQTT_METERS, MQTT_GATEWAYS = 100_000, 2_000, 20
BACKLOG_METERS, BACKLOG_DAYS, PER_MESSAGE = 500, 10, 100
GOAL_BACKLOG_S, GOAL_LAG_S = 60, 60
KNOWN = {
    "last_read_at": "LOCALTIMESTAMP - interval '20 days'",
    "last_value": "0",
    "last_seen": "LOCALTIMESTAMP - interval '20 days'",
}


@pytest.mark.timeout(600)
def test_statements(tmp_path):
    """The collector's COPY into a staging table and insert, one poll of ten twice, against plain COPY."""
    site = Site(tmp_path, "ingest")
    try:
        profile = site.profile(RATES)
        gateways = site.gateways([("127.0.0.1", 10_000 + number) for number in range(100)])
        meters = site.meters(gateways, METERS // 100, profile, 15)
        found: dict[str, list[float]] = {"bare": [], "statements": [], "sink": []}
        start = int(time.time()) - 20 * READINGS // METERS
        words = {"dbname": site.database.name, "readings": READINGS, "meters": meters}
        for _round in range(2):
            for name in found:
                site.connection.execute("TRUNCATE prepay_reading_data")
                if name == "sink":
                    seconds = asyncio.run(through_the_sink(site, meters, start))
                else:
                    answer = subprocess.run(
                        [sys.executable, "-c", _INGEST],
                        cwd=ROOT,
                        input=json.dumps({**words, "start": start, "through": name}),
                        capture_output=True, text=True, check=True,
                    )  # fmt: skip
                    seconds = json.loads(answer.stdout)["seconds"]
                assert site.one("SELECT count(*) FROM prepay_reading_data") == READINGS * 5
                given = READINGS * 5 * (1 if name == "bare" else 1.1)
                found[name].append(given / seconds)
    finally:
        site.close()
    best = {name: max(rates) for name, rates in found.items()}
    table = Table(
        f"ingest of {READINGS:,} polls × 5 rows, {METERS:,} meters, one poll of ten twice (bare: once)",
        f"  rows/s: bare COPY {best['bare']:,.0f}; the collector's statements {best['statements']:,.0f};"
        f" the sink as a whole, with the states of the meters, {best['sink']:,.0f}"
        f" ({best['sink'] / best['bare']:.0%})",
    )
    table.goal("statements, rows per second", best["statements"] / best["bare"], GOAL_INGEST)
    table.show()


_INGEST = """
import json, sys
from tests.bench import bare
bare.ingest(**json.load(sys.stdin))
"""


async def through_the_sink(site, meters, start) -> float:
    """Seconds in which the collector's sink stores all readings, a tenth of them given twice."""
    store, sink, results = (module(f"collector.{name}") for name in ("store", "sink", "results"))
    stub = module("collector.store").Store(libpq(site.database))
    gateways = await stub.load()
    await stub.close()
    by_id = {m.id: m for gateway in gateways.values() for m in gateway.meters.values()}
    target = sink.Sink(store.Store(libpq(site.database), staging=True))
    writing = asyncio.create_task(target.run())
    moments = [_moment(start + index) for index in range(READINGS // METERS + 1)]
    began = time.perf_counter()
    for number in range(READINGS):
        meter = by_id[meters[number % METERS]]
        readings = [(1, 4 * number), *((rate, number) for rate in range(2, 6))]
        for _copy in range(2 if number % 10 == 0 else 1):
            target.put(results.PollResult(meter, moments[number // METERS], readings))
        if target.waiting > 2 * INGEST_BATCH:
            while target.waiting > INGEST_BATCH:
                await asyncio.sleep(0.005)
    await target.stored()
    seconds = time.perf_counter() - began
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    return seconds


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)


def identity(number: int) -> str:
    return f"bench{number:04}"


@pytest.fixture
def mqtt_site(tmp_path):
    site = Site(tmp_path, "mqtt")
    # Saving at every change, as the tests of lost messages have it, writes all that waits each time.
    broker = Broker(tmp_path, "autosave_on_changes false", "autosave_interval 3600")
    try:
        yield site, broker
    finally:
        site.close()
        broker.stop()


def add_mqtt_meters(site, meters: int, gateways: int, minutes: float) -> list[int]:
    profile = site.profile(RATES, protocol="mqtt", relay_proof="none", max_power_w=0)
    ids = site.mqtt_gateways([identity(number) for number in range(gateways)])
    per_gateway = meters // gateways
    return site.meters(ids, per_gateway, profile, minutes, known=KNOWN, address="'M' || i")


def message(meters: list[tuple[str, int, int]]) -> bytes:
    """Readings (meter, time, value) as our own JSON form."""
    readings = [
        {
            "meter": name,
            "time": at,
            "values": {"energy": 4 * value, **dict.fromkeys(list(CODES.values())[1:], value)},
            "state": {"signal": 21},
        }
        for name, at, value in meters
    ]
    return json.dumps({"readings": readings, "sent": "2026-01-01T00:00:00+08:00" * 3}).encode()


@pytest.mark.timeout(600)
def test_mqtt(mqtt_site):
    """Messages that wait at the broker until they are committed rows, against paho + COPY + acknowledgement."""
    site, broker = mqtt_site
    meters = add_mqtt_meters(site, MQTT_METERS, MQTT_GATEWAYS, 15)
    each = MQTT_METERS // MQTT_GATEWAYS
    now = int(time.time())
    batch = [
        (
            f"prepay/v1/{identity(index // each)}/up",
            message([(f"M{index + 1}", now - 3_000 + 50 * step, 100 + step)]),
        )
        for step in range(MESSAGES // MQTT_METERS)
        for index in range(MQTT_METERS)
    ]
    rates, cores, peaks = {}, {}, {}
    for name in ("bare", "product"):
        site.connection.execute("TRUNCATE prepay_reading_data")
        start = starters(site, broker, meters)[name]
        first = start()  # makes the session, so that the broker keeps what comes
        time.sleep(4)
        processes.stop(first)
        publish(broker.port, batch)
        process = start()
        wait_for(lambda: rows(site) > 0, 60, "first rows", 0.01)
        watches = Watch(process), Watch(broker.process)
        began, before = time.perf_counter(), rows(site)
        wait_for(lambda: rows(site) >= 0.9 * len(batch), 300, "nine of ten stored", 0.05)
        rates[name] = (rows(site) - before) / (time.perf_counter() - began)
        loads = [watch.load() for watch in watches]
        cores[name] = [load.cpu_s / load.seconds for load in loads]
        peaks[name] = loads[0].peak_mb
        wait_for(lambda: rows(site) == len(batch), 60, f"all stored by {name}", 0.5)
        processes.stop(process)
    table = Table(
        f"MQTT, {len(batch):,} messages of {len(batch[0][1])} bytes waiting at the broker, QoS 1,"
        " acknowledged after the commit",
        "\n".join(
            f"  {name:7} {rates[name]:7,.0f}/s  {peaks[name]:4.0f} MB, share of a core"
            f" {cores[name][0]:4.0%}, the broker's {cores[name][1]:4.0%}"
            for name in rates
        ),
    )
    table.goal("messages per second", rates["product"] / rates["bare"], GOAL_MQTT)
    table.show()


def starters(site, broker, meters):
    names = {f"M{number + 1}": meter for number, meter in enumerate(meters)}
    return {
        "bare": lambda: bare(
            "mqtt",
            site.folder / "bare.log",
            dbname=site.database.name,
            port=broker.port,
            topic="prepay/v1/+/up",
            meters=names,
        ),
        "product": lambda: site.start_collector(mqtt=broker.at, name="bench"),
    }


def rows(site) -> int:
    return site.one("SELECT count(*) FROM prepay_reading_data WHERE channel = 1")


@pytest.mark.timeout(900)
def test_backlog(mqtt_site):
    """F35: ten days of 500 meters at 15 minutes, newest first, while others are polled live."""
    allow_many_files()
    site, broker = mqtt_site
    gateways = 10
    add_mqtt_meters(site, BACKLOG_METERS, gateways, 15)
    each = BACKLOG_METERS // gateways
    slots = BACKLOG_DAYS * 96
    newest = int(time.time()) // 900 * 900
    with Devices(links=100, framing="rtu", delay_ms=50) as devices:
        live = site.meters(
            site.gateways(devices.endpoints), 10, site.profile(RATES, max_power_w=0), 0.1
        )
        process = site.start_collector(mqtt=broker.at, name="backlog")
        wait_for(lambda: rows(site) >= len(live), 60, "live meters are read")
        time.sleep(3)
        batch = [
            (
                f"prepay/v1/{identity(index // each)}/up",
                message(
                    [
                        (f"M{index + 1}", newest - 900 * slot, 10 * (slots - slot))
                        for slot in range(first, min(first + PER_MESSAGE, slots))
                    ]
                ),
            )
            for first in range(0, slots, PER_MESSAGE)
            for index in range(BACKLOG_METERS)
        ]
        watch, began = Watch(process), time.perf_counter()
        assert publish(broker.port, batch) == len(batch)
        lag = 0.0
        wanted = BACKLOG_METERS * slots
        while (stored := late_rows(site)) < wanted and time.perf_counter() - began < 300:
            lag = max(lag, live_lag(site, live))
            time.sleep(0.5)
        seconds = time.perf_counter() - began
        load = watch.load()
    table = Table(
        f"backlog of {wanted:,} readings ({BACKLOG_DAYS} days of {BACKLOG_METERS} meters), newest first,"
        f" beside {len(live):,} live meters each 6 s",
        f"  {stored:,} stored in {seconds:.1f} s ({stored / seconds:,.0f}/s),"
        f" {load.cpu_s:.0f} s of CPU, peak {load.peak_mb:.0f} MB; longest lag of live polling {lag:.1f} s",
    )
    table.goal("share stored", stored / wanted, 1.0)
    table.goal("seconds", seconds, GOAL_BACKLOG_S, at_most=True)
    table.goal("lag of live polling in s", lag, GOAL_LAG_S, at_most=True)
    table.show()


def late_rows(site) -> int:
    return site.one(
        "SELECT count(*) FROM prepay_reading_data r JOIN prepay_meter m ON m.id = r.meter_id"
        " JOIN prepay_gateway g ON g.id = m.gateway_id WHERE g.link = 'mqtt' AND r.channel = 1"
    )


def live_lag(site, live) -> float:
    """Seconds that the meter which waits longest is behind its interval, as it is stored."""
    return float(
        site.one(
            "SELECT extract(epoch FROM max(LOCALTIMESTAMP - s.last_read_at)) - 6 FROM prepay_meter m"
            " JOIN prepay_meter_state s ON s.id = m.state_id WHERE m.id = ANY(%s)",
            live,
        )
    )
