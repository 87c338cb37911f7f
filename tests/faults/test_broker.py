"""Messages of a broker while collectors die: every reading arrives, none twice, none under another meter.

F24 (the death of the broker is tested beside the collector's MQTT part), F22 copies, F35 days of the past
newest first.
"""

import json
import random
import time

import pytest

from tests.bench.publisher import publish
from tests.support.mqtt import Broker
from tests.support.site import RATES, Site
from tests.support.stack import wait_for

SEED = 20261129
METERS, GATEWAYS = 40, 4
RANGE = 1_000_000
#: The clock of the devices: whole minutes back from now.
SLOTS = 288


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broker")
    site, broker = Site(folder, "broker"), Broker(folder, "autosave_interval 1000")
    try:
        profile = site.profile(RATES, protocol="mqtt", relay_proof="none", max_power_w=0)
        gateways = site.mqtt_gateways([f"F-{number}" for number in range(GATEWAYS)])
        known = {
            "last_read_at": "LOCALTIMESTAMP - interval '30 days'",
            "last_value": f"i * {RANGE}",
        }
        site.meters(gateways, METERS // GATEWAYS, profile, 15, known=known, address="'M' || i")
        yield site, broker
    finally:
        site.close()
        broker.stop()


def messages(start: int, slots: list[int]) -> list[tuple[str, bytes]]:
    """One message for each meter and slot; the value tells meter and slot."""
    found = []
    for slot in slots:
        for meter in range(METERS):
            value = (meter + 1) * RANGE + slot * 4
            values = {"energy": value}
            reading = {"meter": f"M{meter + 1}", "time": start + 60 * slot, "values": values}
            topic = f"prepay/v1/F-{meter // (METERS // GATEWAYS)}/up"
            found.append((topic, json.dumps({"readings": [reading]}).encode()))
    return found


def stored(site, start: int) -> int:
    return site.one(
        "SELECT count(*) FROM prepay_reading_data WHERE channel = 1"
        " AND read_at >= to_timestamp(%s) AT TIME ZONE 'UTC'",
        start,
    )


def check(site, start: int, slots: int) -> None:
    wrong = site.rows(
        "SELECT m.address, r.read_at, r.value FROM prepay_reading_data r"
        " JOIN prepay_meter m ON m.id = r.meter_id WHERE r.channel = 1"
        " AND r.value <> substr(m.address, 2)::bigint * %s"
        " + 4 * extract(epoch FROM r.read_at - to_timestamp(%s) AT TIME ZONE 'UTC')::bigint / 60"
        " AND r.read_at >= to_timestamp(%s) AT TIME ZONE 'UTC'",
        RANGE,
        start,
        start,
    )
    assert not wrong, wrong[:5]
    assert stored(site, start) == METERS * slots
    held = site.rows(
        "SELECT m.address, h.rule, h.detail, h.first_at, h.count FROM prepay_reading_hold h"
        " JOIN prepay_meter m ON m.id = h.meter_id WHERE h.state = 'held' AND m.address LIKE 'M%'"
    )
    assert not held, held


def start_collector(site, broker):
    return site.start_collector(mqtt=broker.at, name="faults")


def kill(site, process) -> None:
    process.kill()
    process.wait()
    site.connection.execute("UPDATE prepay_gateway_state SET lease_until = LOCALTIMESTAMP")
    site.connection.execute(
        "UPDATE prepay_collector SET seen_at = LOCALTIMESTAMP - interval '1 hour'"
    )


def test_collector_killed_under_messages(place):
    """F24: collectors die while messages flow, some messages come many times over (F22)."""
    site, broker = place
    chance = random.Random(SEED)
    start = int(time.time()) // 60 * 60 - 60 * 50
    process = start_collector(site, broker)
    wait_for(lambda: "connected, new session" in site.log_of(process), 30, "the session is made")
    time.sleep(1)  # the subscription too
    for slot in range(40):
        batch = messages(start, [slot])
        batch += chance.sample(batch, 10) * 3
        publish(broker.port, batch)
        if slot % 6 == 5:
            kill(site, process)
            process = start_collector(site, broker)
        time.sleep(chance.uniform(0.0, 0.2))
    wait_for(lambda: stored(site, start) >= METERS * 40, 60, "every reading is stored")
    check(site, start, 40)


def test_days_of_the_past_newest_first(place):
    """F35, R-05: what was collected while nobody listened comes newest first, thrice, through kills."""
    site, broker = place
    site.connection.execute("TRUNCATE prepay_reading_data")
    start = int(time.time()) // 60 * 60 - 60 * (SLOTS + 200)
    process = site.collectors[-1]
    for round_ in range(3):
        for first in range(SLOTS - 72, -1, -72):
            publish(broker.port, messages(start, list(range(first + 71, first - 1, -1))))
            if round_ < 2 and first:
                time.sleep(0.3)
                kill(site, process)
                process = start_collector(site, broker)
    wait_for(lambda: stored(site, start) >= METERS * SLOTS, 90, "every reading is stored", 0.5)
    time.sleep(2)
    check(site, start, SLOTS)
