"""Odoo and the collector are killed while a batch operation runs: none is switched twice, none forgotten."""

import time

import pytest

from tests.support.batch_fleet import Fleet, Watched
from tests.support.stack import wait_for

METERS = 120


@pytest.fixture
def fleet(tmp_path):
    running = Fleet(tmp_path, METERS)
    try:
        running.start_odoo()
        running.start_collector()
        yield running
    finally:
        running.close()


@pytest.mark.timeout(600)
def test_killed_in_the_middle(fleet):
    """Two links with a relay that takes its time: the kills fall between wish, sending and confirmation."""
    fleet.site.connection.execute("UPDATE prepay_meter_profile SET relay_settle_ms = 400")
    fleet.site.announce()
    batch = Watched(fleet, "off")
    batch.wait(lambda row: row["sent_count"] or row["done_count"], "the first are on their way")
    fleet.kill(fleet.odoo)
    fleet.start_odoo()
    batch.user = fleet.user("operator")
    batch.wait(lambda row: row["done_count"] >= METERS // 10, "some are done")
    fleet.kill(fleet.collector)
    left = METERS - fleet.confirmed()
    assert left, "everything was done before the collector died"
    time.sleep(1)
    fleet.start_collector()
    batch.finish()
    assert set(map(tuple, fleet.switched().values())) == {("open",)}
    commands = fleet.site.one(
        "SELECT count(*) FROM prepay_meter_command WHERE reason LIKE %s", f"PC{batch.id:06d}%"
    )
    assert commands == METERS
    wait_for(lambda: fleet.confirmed() == METERS, 5, "every wish is confirmed")
    print(f"{left} of {METERS} were not confirmed when the collector died")
