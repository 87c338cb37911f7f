"""A batch operation on thousands of meters: real Odoo with its scheduled action, real collector, simulated meters.

Three rounds on the same fleet. The first has its wishes written by SQL: that is the speed of the links. The
second is a batch operation that nobody disturbs. In the third one Odoo and the collector are killed in the
middle; afterwards each simulated meter says how often it was switched.
"""

import os
import signal
import time

import pytest

from tests.bench.harness import Table, allow_many_files
from tests.support import processes
from tests.support.metering import module
from tests.support.plant import ACTIONS
from tests.support.site import Site
from tests.support.stack import User, free_port, wait_for

METERS = int(os.environ.get("PREPAY_BENCH_BATCH", "5000"))
UNITS = 100
DELAY_MS = 50
QUEUED_S, FRESH_S, RATIO = 5.0, 2.0, 1.5
#: Seconds of one round; a link needs about 0.2 s for a relay and 30 s pass until a dead lease is taken over.
PATIENCE_S = 600


class Fleet:
    """Simulated gateways, a site in the database, Odoo and a collector."""

    def __init__(self, folder, meters: int) -> None:
        self.folder, self.count = folder, meters
        self.links = -(-meters // UNITS)
        self._simulation = module("simulator.simulation").in_thread(
            {
                "gateways": [
                    {
                        "name": f"GW-{link}",
                        "delay_ms": DELAY_MS,
                        "meters": [
                            {
                                "protocol": "modbus_ddsy1352",
                                "address": str(unit + 1),
                                "power_w": 300,
                            }
                            for unit in range(min(UNITS, meters - link * UNITS))
                        ],
                    }
                    for link in range(self.links)
                ]
            }
        )
        self.simulation = self._simulation.__enter__()
        self.site = Site(folder, "batch")
        self.odoo = self.collector = None
        self._started = 0
        site = self.site
        site.connection.execute("UPDATE prepay_meter_profile SET relay_settle_ms = 50")
        site.connection.execute("UPDATE res_company SET prepay_batch_power_limit = 1000000")
        endpoints = [
            ("127.0.0.1", self.simulation.port(f"GW-{link}")) for link in range(self.links)
        ]
        gateways = site.gateways(endpoints, timeout_ms=1000, inter_frame_ms=5)
        self.ids = site.meters(
            gateways,
            UNITS,
            site.profile_id("DDSY1352"),
            600,
            known={"online": "true", "last_seen": "LOCALTIMESTAMP"},
        )[:meters]
        site.connection.execute(
            "UPDATE prepay_meter SET active = false WHERE number LIKE 'B-%%' AND id <> ALL(%s)",
            [self.ids],
        )
        self.port = free_port()

    def start_odoo(self) -> None:
        self._started += 1
        folder = self.folder / "web"
        folder.mkdir(exist_ok=True)
        config = self.site.database.write_config(
            folder, http_port=self.port, max_cron_threads=1, log_level="warn"
        )
        self.odoo = processes.start(
            self.site.database.odoo(config), self.folder / f"odoo-{self._started}.log"
        )

        def answers() -> bool:
            assert self.odoo.poll() is None, "Odoo ended"
            try:
                self.user("admin")
                return True
            except (OSError, AssertionError):
                return False

        wait_for(answers, 120, "Odoo answers", pause=0.2)

    def start_collector(self) -> None:
        self.collector = self.site.start_collector(wait=True)

    def user(self, login: str) -> User:
        return User(f"http://127.0.0.1:{self.port}", self.site.database.name, login)

    @staticmethod
    def kill(process) -> None:
        """Like a power failure: no goodbye."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def switched(self) -> dict[str, list[str]]:
        """What each simulated meter was told, by gateway and address."""
        state = module("simulator.settings").state

        def look(simulation):
            return {
                meter.key: [ACTIONS[entry["action"]] for entry in state(meter)["commands"]]
                for meter in simulation.meters
            }

        return self.simulation.call(look)

    def wish_by_sql(self, target: str) -> float:
        """Wishes for all in one statement; seconds until all are confirmed."""
        began = time.monotonic()
        with self.site.connection.transaction():
            self.site.connection.execute(
                "UPDATE prepay_meter SET desired_relay = %s, desired_epoch = desired_epoch + 1,"
                " desired_cause = 'operator' WHERE id = ANY(%s)",
                [target, self.ids],
            )
            self.site.connection.execute(
                "INSERT INTO prepay_meter_command (meter_id, location_id, company_id, target, epoch, cause,"
                " reason, state, requested_at, attempts, create_uid, write_uid, create_date, write_date)"
                " SELECT id, location_id, company_id, desired_relay, desired_epoch, 'operator', 'bench',"
                " 'queued', LOCALTIMESTAMP, 0, 1, 1, LOCALTIMESTAMP, LOCALTIMESTAMP FROM prepay_meter"
                " WHERE id = ANY(%s)",
                [self.ids],
            )
            self.site.connection.execute("NOTIFY prepay_command, '0'")
        wait_for(lambda: self.confirmed() == self.count, PATIENCE_S, "all switched", pause=0.2)
        return time.monotonic() - began

    def confirmed(self) -> int:
        """Meters whose newest wish is confirmed."""
        return self.site.one(
            "SELECT count(*) FROM prepay_meter m JOIN prepay_meter_command c ON c.meter_id = m.id"
            " AND c.epoch = m.desired_epoch WHERE m.id = ANY(%s) AND c.state = 'confirmed'",
            self.ids,
        )

    def close(self) -> None:
        if self.odoo is not None:
            processes.stop(self.odoo)
        self.site.close()
        self._simulation.__exit__(None, None, None)


class Watched:
    """A batch operation, watched as its form does."""

    def __init__(self, fleet: Fleet, kind: str) -> None:
        self.fleet = fleet
        self.user = fleet.user("operator")
        self.id = self.user.call(
            "prepay.batch",
            "create",
            {"kind": kind, "reason": "bench", "domain": "[('number', '=like', 'B-%')]"},
        )
        self.slowest = 0.0
        self.behind = 0
        began = time.monotonic()
        self.user.call("prepay.batch", "action_preview", [self.id])
        self.previewed = time.monotonic() - began
        self.before = self._done_in_database()
        began = self.began = time.monotonic()
        self.user.call("prepay.batch", "action_confirm", [self.id])
        self.queued = time.monotonic() - began

    def _done_in_database(self) -> int:
        return self.fleet.site.one(
            "SELECT count(*) FROM prepay_batch_line l JOIN prepay_meter_command c ON c.id = l.command_id"
            " WHERE l.batch_id = %s AND c.state = 'confirmed'",
            self.id,
        )

    def look(self) -> dict:
        """What the form shows; what was confirmed before it was asked must be in it."""
        known = self._done_in_database()
        began = time.monotonic()
        (row,) = self.user.call(
            "prepay.batch",
            "read",
            [self.id],
            ["state", "progress", "total_count", "done_count", "failed_count", "sent_count"],
        )
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.behind = max(self.behind, known - row["done_count"])
        return row

    def wait(self, condition, what: str) -> dict:
        def met():
            row = self.look()
            return row if condition(row) else None

        return wait_for(met, PATIENCE_S, what, pause=0.5)

    def finish(self) -> float:
        row = self.wait(lambda row: row["state"] == "done", "the batch is done")
        assert (row["done_count"], row["failed_count"]) == (self.fleet.count, 0), row
        return time.monotonic() - self.began


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
