"""A small plant for fault tests: simulated meters, a bad network before each gateway, a site in the database.

Every meter counts in a range of its own (its number × 1 kWh × 1,000,000), so a reading of another meter shows in
the value. `check` is the oracle: what was read is the meter's own, the relays are where they are wished, and
no relay ever obeyed an older wish after a newer one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .chaos import Proxy
from .metering import module
from .site import Site, libpq
from .stack import wait_for

ROOT = Path(__file__).resolve().parents[2]
#: Wh between the registers of two meters.
RANGE = 1_000_000
ACTIONS = {"trip": "open", "open": "open", "close": "closed", "close allowed": "closed"}


@dataclass(frozen=True)
class Metered:
    """One meter: its row, its name in the simulator, and where its register began."""

    id: int
    key: str
    gateway: int
    number: int


class Plant:
    """Gateways with simulated meters; every second one speaks DL/T 645, the others Modbus RTU.

    :param units: meters on each gateway
    :param minutes: reading interval
    :param only_645: all speak DL/T 645, keep credit themselves and draw no power
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        seed: int,
        gateways: int = 4,
        units: int = 2,
        minutes: float = 0.05,
        only_645: bool = False,
        **gateway_values: object,
    ) -> None:
        self.seed, self.folder, self.only_645 = seed, folder, only_645
        self.processes: list[subprocess.Popen] = []
        self.proxies: list[Proxy] = []
        self._simulation = module("simulator.simulation").in_thread(
            {"gateways": [self._described(number, units) for number in range(gateways)]}
        )
        self.simulation = self._simulation.__enter__()
        try:
            self.site = Site(folder, name)
            self.site.connection.execute("UPDATE prepay_meter_profile SET relay_settle_ms = 50")
            self.site.connection.execute(
                "UPDATE prepay_meter_control SET writable = true WHERE action = 'credit'"
            )
            for number in range(gateways):
                target = ("127.0.0.1", self.simulation.port(f"GW-{number}"))
                self.proxies.append(Proxy(target, seed + number))
            values = {"timeout_ms": 300, "inter_frame_ms": 5, **gateway_values}
            endpoints = [("127.0.0.1", proxy.port) for proxy in self.proxies]
            self.gateway_ids = self.site.gateways(endpoints, **values)
            self.meters: list[Metered] = []
            for number, gateway in enumerate(self.gateway_ids):
                self._add_meters(number, gateway, units, minutes)
            self.site.announce()
        except BaseException:
            self._simulation.__exit__(None, None, None)
            raise

    def _is_645(self, number: int) -> bool:
        return self.only_645 or number % 2 == 1

    def _described(self, number: int, units: int) -> dict:
        return {
            "name": f"GW-{number}",
            "delay_ms": 5,
            "meters": [
                {
                    "protocol": "dlt645" if self._is_645(number) else "modbus_ddsy1352",
                    "address": self._address(number, unit),
                    "power_w": 0 if self.only_645 else 300,
                    "energy_wh": (number * units + unit + 1) * RANGE,
                    **({"prepaid": True, "balance_fen": 0} if self.only_645 else {}),
                }
                for unit in range(units)
            ],
        }

    def _address(self, number: int, unit: int) -> str:
        return f"{number + 1:06}{unit + 1:06}" if self._is_645(number) else str(unit + 1)

    def _add_meters(self, number: int, gateway: int, units: int, minutes: float) -> None:
        is_645 = self._is_645(number)
        address = f"lpad('{number + 1}', 6, '0') || lpad(i::text, 6, '0')" if is_645 else "i::text"
        ids = self.site.meters(
            [gateway],
            units,
            self.site.profile_id("DLT645-2007" if is_645 else "DDSY1352"),
            minutes,
            address=address,
        )
        for unit, meter in enumerate(ids):
            key = f"GW-{number}:{self._address(number, unit)}"
            self.meters.append(Metered(meter, key, gateway, number * units + unit + 1))

    # devices

    def device(self, meter: Metered) -> dict:
        """What the simulator knows of a meter."""
        state = module("simulator.settings").state
        return self.simulation.call(lambda simulation: state(simulation.find(meter.key)))

    def change(self, meter: Metered, **settings: object) -> None:
        change = module("simulator.settings").change
        self.simulation.call(lambda simulation: change(simulation.find(meter.key), settings))

    def proxy_of(self, meter: Metered) -> Proxy:
        return self.proxies[self.gateway_ids.index(meter.gateway)]

    # collectors

    def start_light(self, name: str = "", spool: Path | None = None, **conninfo: object):
        """A collector process without Odoo around it: ready in a third of a second."""
        log = self.folder / f"light-{len(self.processes)}{name}.log"
        info = {**libpq(self.site.database), **conninfo}
        words = [sys.executable, "-m", "tests.support.metering", json.dumps(info)]
        process = processes.start(
            [*words, *([spool] if spool else [])],
            log,
            {**os.environ, "PYTHONPATH": str(ROOT)},
        )
        process.log = log
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen) -> None:
        """Like a power failure: no goodbye, no lease returned."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def forget_leases(self) -> None:
        """What half a minute of waiting does: leases and signs of life of a dead process run out."""
        self.site.connection.execute(
            "UPDATE prepay_collector SET seen_at = LOCALTIMESTAMP - interval '1 hour'"
        )
        self.site.connection.execute("UPDATE prepay_gateway_state SET lease_until = LOCALTIMESTAMP")
        self.site.announce()

    def served(self) -> bool:
        """Whether every gateway has a live lease."""
        return not self.site.one(
            "SELECT count(*) FROM prepay_gateway g JOIN prepay_gateway_state s ON s.id = g.state_id"
            " WHERE g.active AND (s.lease_owner IS NULL OR s.lease_until <= LOCALTIMESTAMP)"
        )

    def wait_for_readings(self, meters: Iterable[Metered] | None = None, seconds: float = 30):
        for meter in meters or self.meters:
            wait_for(
                lambda meter=meter: self.site.readings(meter.id), seconds, f"reading of {meter.key}"
            )

    # the oracle

    def check(self) -> None:
        """Nothing of another meter, nothing twice, relays as wished, no older wish after a newer one."""
        for meter in self.meters:
            for row in self.site.readings(meter.id):
                assert row["value"] // RANGE == meter.number, (meter, row, self.stories())
            self.check_relay(meter)

    def check_relay(self, meter: Metered) -> None:
        wished = self.site.rows(
            "SELECT epoch, target, state FROM prepay_meter_command WHERE meter_id = %s"
            " ORDER BY epoch",
            meter.id,
        )
        if not wished:
            return
        device = self.device(meter)
        last = wished[-1]
        if last["state"] in ("confirmed", "unproven"):
            assert device["relay"] == last["target"], (meter, wished, device["commands"])
        obeyed = [ACTIONS[entry["action"]] for entry in device["commands"]]
        at = 0
        for target in obeyed:
            later = [n for n in range(at, len(wished)) if wished[n]["target"] == target]
            assert later, f"{meter.key} obeyed an old wish: {obeyed} of {wished}\n{self.stories()}"
            at = later[0]

    def buy(self, meter: Metered, amount_fen: int) -> int:
        """Put credit into a meter as the ERP does: the next number, collectors woken at commit."""
        with self.site.connection.transaction():
            purchase = self.site.one(
                "INSERT INTO prepay_meter_credit (meter_id, location_id, company_id, series, number,"
                " amount_fen, origin, state, requested_at, attempts, create_uid, write_uid,"
                " create_date, write_date) SELECT m.id, m.location_id, m.company_id, m.credit_series,"
                " COALESCE((SELECT max(number) FROM prepay_meter_credit c WHERE c.meter_id = m.id"
                " AND c.series = m.credit_series), m.credit_base, 0) + 1, %s, 'sale', 'queued',"
                " LOCALTIMESTAMP, 0, 1, 1, LOCALTIMESTAMP, LOCALTIMESTAMP"
                " FROM prepay_meter m WHERE m.id = %s RETURNING id",
                amount_fen,
                meter.id,
            )
            self.site.connection.execute(
                "SELECT pg_notify('prepay_setting', %s)", [str(meter.gateway)]
            )
        return purchase

    def purchase(self, purchase: int) -> dict:
        (row,) = self.site.rows("SELECT * FROM prepay_meter_credit WHERE id = %s", purchase)
        return row

    def check_credit(self, meter: Metered) -> None:
        """Every fen that was sold is in the meter once, in the order of its numbers (C-01)."""
        rows = self.site.rows(
            "SELECT number, amount_fen, state FROM prepay_meter_credit WHERE meter_id = %s"
            " AND origin = 'sale' ORDER BY number",
            meter.id,
        )
        credit = self.device(meter)["credit"]
        told = {row["number"]: row["amount_fen"] for row in rows}
        for entry in credit["taken"]:
            assert told.get(entry["number"]) == entry["amount_fen"], (meter, entry, rows)
        numbers = [entry["number"] for entry in credit["taken"]]
        assert len(numbers) == len(set(numbers)), (meter, credit["taken"])
        confirmed = [row for row in rows if row["state"] == "confirmed"]
        taken = [row for row in rows if row["number"] <= credit["purchases"]]
        assert credit["balance_fen"] == sum(row["amount_fen"] for row in taken), (credit, rows)
        assert all(row in taken for row in confirmed), (credit, rows)

    def all_credited(self) -> bool:
        """No purchase is on its way any more."""
        return not self.site.one(
            "SELECT count(*) FROM prepay_meter_credit WHERE state IN ('queued', 'sent')"
        )

    def all_confirmed(self) -> bool:
        """No wish is on its way any more."""
        return not self.site.one(
            "SELECT count(*) FROM prepay_meter_command c JOIN prepay_meter m ON m.id = c.meter_id"
            " WHERE c.state IN ('queued', 'sent') AND m.gateway_id = ANY(%s)",
            self.gateway_ids,
        )

    def stories(self) -> str:
        return "\n".join(proxy.story() for proxy in self.proxies)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
            processes.stop(process)
        self.site.close()
        for proxy in self.proxies:
            proxy.close()
        self._simulation.__exit__(None, None, None)
