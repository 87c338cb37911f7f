"""Registers and clocks that cannot be believed: held with a reason, never stored as a reading.

F33 negative, jumps, ×1000, reset, stuck, exchanged meter, bad data under a good checksum; F34 clocks of devices.
"""

import time

import pytest

from tests.support.plant import RANGE, Plant
from tests.support.stack import wait_for

SEED = 20261130
#: What a meter may have counted during the test, in Wh.
TOLERANCE = 2_000
CASES = {
    # fault, rules of which one must be held (none: an event of the last kind)
    "jump up": ({"spike_wh": 500_000}, {"spike", "unit"}),
    "down a little": ({"spike_wh": -5_000}, {"decrease"}),
    "below zero": ({"spike_wh": -(10**9)}, {"reset", "decrease"}),
    "reset": ({"reset": True}, {"reset", "decrease"}),
    # Eight digits of DL/T 645 cannot show so much: the register seems to have begun anew.
    "unit × 1000": ({"unit_factor": 1000}, {"unit", "spike", "reset", "decrease"}),
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    running = Plant(tmp_path_factory.mktemp("values"), "values", SEED, 6, 2)
    try:
        running.site.connection.execute("UPDATE prepay_meter_profile SET max_power_w = 13200")
        running.start_light()
        running.wait_for_readings()
        yield running
    finally:
        running.close()


def held(plant, meter) -> set[str]:
    rows = plant.site.rows("SELECT rule FROM prepay_reading_hold WHERE meter_id = %s", meter.id)
    return {row["rule"] for row in rows}


def plausible(plant, meter) -> None:
    """All accepted readings rise slowly from where the register of this meter began."""
    values = [row["value"] for row in plant.site.readings(meter.id)]
    assert values == sorted(values), (meter, values)
    begin = meter.number * RANGE
    assert all(begin - 10 <= value <= begin + TOLERANCE for value in values), (meter, values)


@pytest.mark.parametrize("protocol", ["modbus", "dlt645"])
def test_registers(plant, protocol):
    """F33, R-03, R-04: each fault on a meter of its own; accepted readings go on where they were."""
    side = 0 if protocol == "modbus" else 1
    meters = [meter for meter in plant.meters if plant.gateway_ids.index(meter.gateway) % 2 == side]
    cases = dict(zip(CASES, meters))
    for case, meter in cases.items():
        plant.change(meter, faults=CASES[case][0])
    for case, meter in cases.items():
        wait_for(lambda case=case, m=meter: held(plant, m) & CASES[case][1], 30, f"{case} is held")
        plausible(plant, meter)
        assert plant.site.events(meter_id=meter.id), case
    for case, meter in cases.items():
        off = {name: type(value)() for name, value in CASES[case][0].items()}
        plant.change(meter, faults=off)
    before = {case: len(plant.site.readings(meter.id)) for case, meter in cases.items()}
    for case, meter in cases.items():
        wait_for(
            lambda m=meter, n=before[case]: len(plant.site.readings(m.id)) > n + 1,
            30,
            f"readings after {case}",
        )
        plausible(plant, meter)


def test_bad_data_under_a_good_checksum(plant):
    """F32, R-08: one bit of the value is wrong in one answer of three; no relay moves for it."""
    chosen = plant.meters[-2:]
    for meter in chosen:
        plant.change(meter, faults={"bad_data_permille": 333})
    time.sleep(12)
    for meter in chosen:
        plant.change(meter, faults={"bad_data_permille": 0})
    wild = {meter.key: 0 for meter in chosen}
    for meter in chosen:
        begin = meter.number * RANGE
        for row in plant.site.readings(meter.id):
            # Small errors are possible values; what no meter can count is never stored.
            wild[meter.key] += not begin - TOLERANCE <= row["value"] <= begin + 10 * TOLERANCE
        assert not plant.device(meter)["commands"]
        assert plant.device(meter)["relay"] == "closed"
    assert not any(wild.values()), wild


CLOCKS = {
    "an hour": 3_600,
    "a day back": -86_400,
    "of 2038": 365 * 86_400 * 12,
    "of 2000": -820_000_000,
}

NOTED = "SELECT 1 FROM prepay_meter_event WHERE kind = 'clock_drift' AND meter_id = %s"


def test_clocks(plant):
    """F34, R-06: whatever the clock of the meter says, what is polled has the time of the collector."""
    meters = [m for m in plant.meters if plant.gateway_ids.index(m.gateway) % 2 == 1][-4:]
    for offset, meter in zip(CLOCKS.values(), meters):
        plant.change(meter, clock_offset_s=offset)
    start = plant.site.one("SELECT date_trunc('second', LOCALTIMESTAMP)")
    plant.site.read_now(*(meter.id for meter in meters))
    for meter in meters:
        wait_for(
            lambda m=meter: [r for r in plant.site.readings(m.id) if r["read_at"] > start],
            30,
            "reading",
        )
        end = plant.site.one("SELECT LOCALTIMESTAMP")
        assert all(row["read_at"] <= end for row in plant.site.readings(meter.id))
        wait_for(
            lambda m=meter: plant.site.rows(NOTED, m.id), 30, f"the clock of {meter.key} is noted"
        )
        assert plant.site.state(meter.id)["clock_drift_s"]
