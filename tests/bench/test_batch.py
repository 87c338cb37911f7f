"""A batch operation on thousands of meters: real Odoo with its scheduled action, real collector, simulated meters.

Three rounds on the same fleet. The first has its wishes written by SQL: that is the speed of the links. The
second is a batch operation that nobody disturbs. In the third one Odoo and the collector are killed in the
middle; afterwards each simulated meter says how often it was switched.
"""

import os

import pytest

from tests.bench.harness import Table, allow_many_files
from tests.support.batch_fleet import DELAY_MS, PATIENCE_S, Fleet, Watched
from tests.support.stack import wait_for

METERS = int(os.environ.get("PREPAY_BENCH_BATCH", "5000"))
QUEUED_S, FRESH_S, RATIO = 5.0, 2.0, 1.5


@pytest.fixture
def fleet(tmp_path):
    allow_many_files()
    running = Fleet(tmp_path, METERS)
    try:
        running.start_odoo()
        running.start_collector()
        yield running
    finally:
        running.close()


@pytest.mark.timeout(2400)
def test_batch_of_thousands(fleet):
    table = Table(
        f"batch operation on {METERS:,} meters behind {fleet.links} links of {DELAY_MS} ms",
        "                       preview  queued  finished  form read at most",
    )
    wait_for(
        lambda: (
            fleet.site.one(
                "SELECT count(*) FROM prepay_meter m JOIN prepay_meter_state s ON s.id = m.state_id"
                " WHERE m.id = ANY(%s) AND s.last_read_at IS NOT NULL",
                fleet.ids,
            )
            == METERS
        ),
        PATIENCE_S,
        "every meter was read once",
        pause=1,
    )
    links = fleet.wish_by_sql("open")
    table.add(f"  wishes by SQL                        {links:7.1f} s")

    batch = Watched(fleet, "on")
    seconds = batch.finish()
    table.add(
        f"  undisturbed          {batch.previewed:6.2f} s {batch.queued:6.2f} s {seconds:7.1f} s"
        f" {batch.slowest:6.2f} s"
    )
    before = fleet.switched()
    assert set(map(tuple, before.values())) == {("open", "closed")}

    killed = Watched(fleet, "off")
    killed.wait(lambda row: row["done_count"] >= METERS // 5, "a fifth is done")
    fleet.kill(fleet.odoo)
    fleet.start_odoo()
    killed.user = fleet.user("operator")
    killed.look()
    killed.slowest = 0.0  # the first page of a server that has just started is slow
    row = killed.wait(lambda row: row["done_count"] >= METERS // 2, "half is done")
    in_flight = row["sent_count"]
    fleet.kill(fleet.collector)
    fleet.start_collector()
    with_kills = killed.finish()
    table.add(
        f"  with two kills       {killed.previewed:6.2f} s {killed.queued:6.2f} s {with_kills:7.1f} s"
        f" {killed.slowest:6.2f} s   ({in_flight} on their way when the collector died)"
    )
    told = {key: told[len(before[key]) :] for key, told in fleet.switched().items()}
    twice = {key: given for key, given in told.items() if len(given) > 1}
    lost = [key for key, given in told.items() if not given]
    commands = fleet.site.one(
        "SELECT count(*) FROM prepay_meter_command c JOIN prepay_batch_line l ON l.meter_id = c.meter_id"
        " WHERE l.batch_id = %s AND c.reason LIKE %s",
        killed.id,
        f"PC{killed.id:06d}%",
    )
    table.add(
        f"  after two kills: {len(told) - len(twice) - len(lost):,} meters switched once,"
        f" {len(twice)} more than once, {len(lost)} not; {commands:,} commands"
    )
    table.goal(
        "commands repeated or lost", len(twice) + len(lost) + abs(commands - METERS), 0, True
    )
    for name, one in (("undisturbed", batch), ("with kills", killed)):
        table.goal(f"{name}: s until queued", one.previewed + one.queued, QUEUED_S, at_most=True)
        table.goal(f"{name}: s of the slowest look", one.slowest, FRESH_S, at_most=True)
        table.goal(f"{name}: results that the form lacked", one.behind, 0, at_most=True)
    table.goal("undisturbed ÷ speed of the links", seconds / links, RATIO, at_most=True)
    table.show()
