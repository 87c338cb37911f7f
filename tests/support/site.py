"""A site of any size, made by SQL on a clone of the template database, and collectors that serve it.

Nothing of Odoo's web server runs here: what the ERP writes for the collector (gateways, meters,
wishes) is written by SQL in the same form, which takes seconds for 100,000 meters.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from . import processes
from .database import Database, clone_database, drop
from .stack import wait_for

#: Points of the bench profile: one block of 40 registers that gives the total and four rates.
RATES = (
    ("energy", "0x0000", 2, "u32", "10"),
    ("energy_sharp", "0x0002", 2, "u32", "10"),
    ("energy_peak", "0x0004", 2, "u32", "10"),
    ("energy_flat", "0x0006", 2, "u32", "10"),
    ("energy_valley", "0x0008", 2, "u32", "10"),
)


class Site:
    """A clone with its own gateways and meters; those of the demo are archived.

    :param name: shown in the name of the database
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.database: Database = clone_database(name)
        self.config = self.database.write_config(folder, log_level="info")
        self.connection = self.database.connect(autocommit=True, row_factory=dict_row)
        self.connection.execute("SET TIME ZONE 'UTC'")
        self.connection.execute("UPDATE prepay_gateway SET active = false")
        self.collectors: list[subprocess.Popen] = []
        self._started = 0

    def close(self) -> None:
        for process in self.collectors:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)  # one that a test stopped cannot end
            processes.stop(process)
        self.connection.close()
        drop(self.database)

    # SQL

    def rows(self, query: str, *arguments: Any) -> list[dict]:
        return self.connection.execute(query, arguments or None).fetchall()

    def one(self, query: str, *arguments: Any) -> Any:
        """The only value of the only row."""
        (row,) = self.rows(query, *arguments)
        (value,) = row.values()
        return value

    def multiply(self, table: str, count: int, where: str = "true", **changes: str) -> list[int]:
        """Add ``count`` copies of the first row of a table; ``changes`` are SQL over the number i.

        :return: the new ids, in the order of i = 1…count
        """
        columns = [
            row["column_name"]
            for row in self.rows(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public'"
                " AND table_name = %s AND column_name <> 'id' AND is_generated = 'NEVER'",
                table,
            )
        ]
        unknown = set(changes) - set(columns)
        assert not unknown, f"{table} has no columns {unknown}"
        query = sql.SQL(
            "INSERT INTO {table} ({names}) SELECT {values} FROM (SELECT * FROM {table} WHERE {where}"
            " ORDER BY id LIMIT 1) t, generate_series(1, {count}) numbers(i) ORDER BY numbers.i"
            " RETURNING id"
        ).format(
            table=sql.Identifier(table),
            names=sql.SQL(", ").join(map(sql.Identifier, columns)),
            values=sql.SQL(", ").join(
                sql.SQL(changes[name]) if name in changes else sql.Identifier("t", name)
                for name in columns
            ),
            where=sql.SQL(where),
            count=sql.Literal(count),
        )
        ids = [row["id"] for row in self.connection.execute(query).fetchall()]
        assert len(ids) == count, f"{table} has no row {where}"
        return ids

    # the fleet

    def profile(
        self, points: Sequence[tuple] = RATES, like: str = "DDSY1352", **values: object
    ) -> int:
        """A meter type like another one, with other points: (channel, address, size, encoding, scale)."""
        settings = {name: _literal(value) for name, value in values.items()}
        settings.setdefault("code", "t.code || '-' || gen_random_uuid()")
        (profile,) = self.multiply("prepay_meter_profile", 1, f"code = '{like}'", **settings)
        for order, (channel, address, size, encoding, scale) in enumerate(points):
            self.multiply(
                "prepay_meter_point",
                1,
                "encoding = 'u32'",
                profile_id=str(profile),
                sequence=str(order),
                channel=_literal(channel),
                address=_literal(address),
                size=str(size),
                encoding=_literal(encoding),
                scale=_literal(scale),
            )
        self.connection.execute(
            "INSERT INTO prepay_meter_control (profile_id, action, address, payload)"
            " SELECT %s, action, address, payload FROM prepay_meter_control WHERE profile_id ="
            " (SELECT id FROM prepay_meter_profile WHERE code = %s)",
            [profile, like],
        )
        return profile

    def profile_id(self, code: str) -> int:
        return self.one("SELECT id FROM prepay_meter_profile WHERE code = %s", code)

    def gateways(
        self, endpoints: Sequence[tuple[str, int]], link: str = "tcp_serial", **values: object
    ) -> list[int]:
        """Gateways at these addresses; no gap between frames unless one is given."""
        count = len(endpoints)
        states = self.multiply("prepay_gateway_state", count, **_FRESH_GATEWAY)
        hosts = "ARRAY[" + ",".join(_literal(host) for host, _port in endpoints) + "]"
        ports = "ARRAY[" + ",".join(str(port) for _host, port in endpoints) + "]"
        settings: dict[str, object] = {"inter_frame_ms": 0, "timeout_ms": 1000, **values}
        settings = {name: _literal(value) for name, value in settings.items()}
        return self.multiply(
            "prepay_gateway",
            count,
            **{
                "name": "'BENCH-' || i",
                "state_id": f"(ARRAY{states})[i]",
                "host": f"({hosts})[i]",
                "port": f"({ports})[i]",
                "link": _literal(link),
                "active": "true",
                **settings,
            },
        )

    def meters(
        self,
        gateways: Sequence[int],
        units: int,
        profile: int,
        poll_minutes: float,
        known: Mapping[str, str] | None = None,
        **values: str,
    ) -> list[int]:
        """``units`` meters with the addresses 1… on each gateway.

        :param known: what their state rows know already, by column; like ``values`` SQL over i
        """
        count = len(gateways) * units
        self.connection.execute("CREATE TEMP SEQUENCE IF NOT EXISTS meter_number")
        states = self.multiply("prepay_meter_state", count, **{**_FRESH_METER, **(known or {})})
        settings = {
            "number": "'B-' || nextval('meter_number')",
            "address": f"(i - 1) % {units} + 1",
            "desired_relay": "NULL",
            "desired_epoch": "0",
            "desired_cause": "NULL",
            **values,
        }
        ids = self.multiply(
            "prepay_meter",
            count,
            state_id=f"{states[0]} + i - 1",
            profile_id=str(profile),
            gateway_id=f"(ARRAY{list(gateways)})[(i - 1) / {units} + 1]",
            poll_minutes=str(poll_minutes),
            medium=f"(SELECT medium FROM prepay_meter_profile WHERE id = {profile})",
            active="true",
            **settings,
        )
        assert states == list(range(states[0], states[0] + count))
        self.connection.execute("ANALYZE prepay_meter, prepay_meter_state, prepay_gateway")
        return ids

    def mqtt_gateways(self, identities: Sequence[str], form: str = "json") -> list[int]:
        """Gateways that speak MQTT under these identities."""
        names = "ARRAY[" + ",".join(map(_literal, identities)) + "]"
        states = self.multiply("prepay_gateway_state", len(identities), **_FRESH_GATEWAY)
        return self.multiply(
            "prepay_gateway",
            len(identities),
            name="'MQTT-' || i",
            state_id=f"(ARRAY{states})[i]",
            host="NULL",
            dial_in_id=f"({names})[i]",
            link="'mqtt'",
            mqtt_form=_literal(form),
            active="true",
        )

    def announce(self) -> None:
        """What the ERP says at the commit of changed settings."""
        self.connection.execute("NOTIFY prepay_config")

    # collectors

    def start_collector(
        self, env: Mapping[str, str] | None = None, wait: bool = False, **options: str
    ) -> subprocess.Popen:
        """Start a collector process; with ``wait`` until it holds every lease."""
        self._started += 1
        log = self.folder / f"collector-{self._started}.log"
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        process = processes.start(
            self.database.odoo(self.config, "prepay_collector", *arguments),
            log,
            {**os.environ, **(env or {})},
        )
        self.collectors.append(process)
        if wait:
            wait_for(lambda: self._leased(process, log), 60, "the collector holds all leases")
        return process

    def _leased(self, process: subprocess.Popen, log: Path) -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        return not self.one(
            "SELECT count(*) FROM prepay_gateway g JOIN prepay_gateway_state s ON s.id = g.state_id"
            " WHERE g.active AND (s.lease_until IS NULL OR s.lease_until < LOCALTIMESTAMP)"
        )

    def log_of(self, process: subprocess.Popen) -> str:
        number = self.collectors.index(process) + 1
        return (self.folder / f"collector-{number}.log").read_text()

    # wishes and what became of them

    def wish(self, meter: int, target: str, cause: str = "operator", expires_s: int = 600) -> int:
        """State a relay wish as the ERP does: next epoch, one command, collectors woken at commit."""
        with self.connection.transaction():
            epoch = self.one(
                "UPDATE prepay_meter SET desired_relay = %s, desired_epoch = desired_epoch + 1,"
                " desired_cause = %s WHERE id = %s RETURNING desired_epoch",
                target,
                cause,
                meter,
            )
            expires = f"LOCALTIMESTAMP + interval '{expires_s} s'" if target == "open" else "NULL"
            command = self.one(
                "INSERT INTO prepay_meter_command (meter_id, location_id, company_id, target, epoch,"
                " cause, reason, state, requested_at, expires_at, attempts, create_uid, write_uid,"
                " create_date, write_date) SELECT id, location_id, company_id, %s, %s, %s, 'test',"
                f" 'queued', LOCALTIMESTAMP, {expires}, 0, 1, 1, LOCALTIMESTAMP, LOCALTIMESTAMP"
                " FROM prepay_meter WHERE id = %s RETURNING id",
                target,
                epoch,
                cause,
                meter,
            )
            self.connection.execute(
                "SELECT pg_notify('prepay_command', gateway_id::text) FROM prepay_meter WHERE id = %s",
                [meter],
            )
        return command

    def command(self, command: int) -> dict:
        (row,) = self.rows("SELECT * FROM prepay_meter_command WHERE id = %s", command)
        return row

    def read_now(self, *meters: int) -> None:
        payload = ",".join(map(str, meters))
        self.connection.execute("SELECT pg_notify('prepay_read', %s)", [payload])

    def state(self, meter: int) -> dict:
        """The meter with its state row."""
        (row,) = self.rows(
            "SELECT s.*, m.* FROM prepay_meter m JOIN prepay_meter_state s ON s.id = m.state_id"
            " WHERE m.id = %s",
            meter,
        )
        return row

    def events(self, **found: int) -> set[str]:
        """Kinds of the open events of a meter (meter_id=) or a gateway (gateway_id=)."""
        ((column, value),) = found.items()
        return {
            row["kind"]
            for row in self.rows(
                f"SELECT kind FROM prepay_meter_event WHERE {column} = %s AND cleared_at IS NULL",
                value,
            )
        }

    def readings(self, meter: int, channel: int = 1) -> list[dict]:
        return self.rows(
            "SELECT read_at, value, source FROM prepay_reading_data WHERE meter_id = %s"
            " AND channel = %s ORDER BY read_at",
            meter,
            channel,
        )


#: A gateway of which nothing is known yet.
_FRESH_GATEWAY = {
    "online": "NULL",
    "last_seen": "NULL",
    "offline_since": "NULL",
    "last_error": "NULL",
    "lease_owner": "NULL",
    "lease_until": "NULL",
}
_FRESH_METER = {
    "online": "NULL",
    "last_seen": "NULL",
    "last_read_at": "NULL",
    "last_value": "NULL",
    "missed_polls": "0",
    "last_error": "NULL",
    "power_w": "NULL",
    "relay_reported": "NULL",
    "relay_reported_at": "NULL",
}


def _literal(value: object) -> str:
    return sql.Literal(value).as_string()


def libpq(database: Database) -> dict[str, Any]:
    """Connection keywords for code that runs inside the test process."""
    with psycopg.connect(dbname=database.name) as connection:
        info = connection.info
        return {
            "dbname": database.name,
            "host": info.host,
            "port": info.port,
            "user": info.user,
            "password": info.password,
        }
