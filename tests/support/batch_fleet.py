"""A fleet of simulated meters with real Odoo and a real collector, for batch operations."""

from __future__ import annotations

import signal
import time

from . import processes
from .metering import module
from .plant import ACTIONS
from .site import Site
from .stack import User, free_port, wait_for

UNITS = 100
DELAY_MS = 50
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
