"""The collector's side of the database: configuration, leases, and the life of relay commands.

What polls come to is written by `sink`.

Every statement is safe to repeat. Times in the database are naive UTC, as in Odoo.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from . import config, settings
from . import statements as sql
from .config import Gateway, Meter
from .results import utcnow

#: The database does not answer; what was not committed is done again later.
DatabaseAway = psycopg.OperationalError


@dataclass(frozen=True, slots=True)
class Command:
    id: int
    meter_id: int
    gateway_id: int
    target: str
    epoch: int
    attempts: int
    in_doubt: bool


#: A line to the server that is dead without saying so is noticed within half a minute.
PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
#: Seconds that a transaction may take, waiting for the connection included.
LONGEST = 60.0


class Store:
    """One database connection of the collector; callers take turns.

    :param conninfo: connection keywords as Odoo has them, or libpq's
    :param staging: with the temporary tables through which readings come in
    """

    def __init__(self, conninfo: dict, staging: bool = False) -> None:
        names = {"database": "dbname", "dsn": "conninfo"}  # Odoo speaks psycopg2's dialect
        given = {names.get(key, key): value for key, value in conninfo.items() if value}
        self.conninfo = {**PATIENCE, **given}
        self._connection: psycopg.AsyncConnection | None = None
        self._turn = asyncio.Lock()
        self._staging = staging

    async def connection(self) -> psycopg.AsyncConnection:
        """The open connection; reconnects when the last one broke."""
        if self._connection is None or self._connection.closed:
            made = await psycopg.AsyncConnection.connect(**self.conninfo, autocommit=True)
            try:
                await made.execute(
                    "SET TIME ZONE 'UTC'; SET client_min_messages TO warning; "
                    "SET idle_in_transaction_session_timeout TO '60s'"
                )
                if self._staging:
                    await made.execute(sql.STAGING)
            except BaseException:
                await made.close()
                raise
            self._connection = made
        return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def transaction(self, work):
        """Run ``work(connection)`` in one transaction, once more when the server went away before.

        :raises DatabaseAway: also when there is no answer in time
        """
        async with self._turn:
            for last in (False, True):
                try:
                    return await asyncio.wait_for(self._attempt(work), LONGEST)
                except asyncio.TimeoutError:
                    await self._drop()
                    raise psycopg.OperationalError("no answer in time") from None
                except psycopg.OperationalError:
                    broken = self._connection is None or self._connection.closed
                    if last or not broken:
                        raise
            return None

    async def _attempt(self, work):
        connection = await self.connection()
        async with connection.transaction():
            return await work(connection)

    async def _drop(self) -> None:
        """Forget a connection that does not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def load(self, gateway_ids: list[int] | None = None) -> dict[int, Gateway]:
        """Gateways with their meters as the database has them now; all, or the given ones."""
        return await self.transaction(lambda connection: config.load(connection, gateway_ids))

    async def load_kind(self, kind: str, ids: set[int] | None = None) -> dict[int, Gateway]:
        """Active gateways of a kind of link: all, or those of the given ones."""

        async def work(connection):
            query = (
                "SELECT id FROM prepay_gateway WHERE active AND link = %s "
                "AND (%s::int[] IS NULL OR id = ANY(%s))"
            )
            chosen = None if ids is None else sorted(ids)
            rows = await (await connection.execute(query, [kind, chosen, chosen])).fetchall()
            return await config.load(connection, [row[0] for row in rows]) if rows else {}

        return await self.transaction(work)

    async def last_seen(self, state_id: int) -> datetime | None:
        """When any collector has heard of a meter."""

        async def work(connection):
            query = "SELECT last_seen FROM prepay_meter_state WHERE id = %s"
            row = await (await connection.execute(query, [state_id])).fetchone()
            return row[0] if row else None

        return await self.transaction(work)

    async def seen(self, moments: dict[int, datetime]) -> None:
        """Last signs of life by state id."""
        if moments:
            rows = sorted(moments.items())

            async def work(connection):
                await connection.execute(sql.SEEN, [list(column) for column in zip(*rows)])

            await self.transaction(work)

    # leases

    async def heartbeat(self, owner: str, address: str, gateways: int, seconds: int) -> int:
        """Say that this collector lives; return how many do."""

        async def work(connection):
            values = {"owner": owner, "address": address, "gateways": gateways, "seconds": seconds}
            await connection.execute(sql.HEARTBEAT, values)
            return (await (await connection.execute(sql.PEERS, values)).fetchone())[0]

        return await self.transaction(work)

    async def renew(self, state_ids: list[int], owner: str, seconds: int) -> set[int]:
        """Renew leases; return the state ids that are still ours."""

        async def work(connection):
            values = {"owner": owner, "seconds": seconds, "ids": sorted(state_ids)}
            return {
                row[0] for row in await (await connection.execute(sql.RENEW, values)).fetchall()
            }

        return await self.transaction(work)

    async def take(self, owner: str, seconds: int, kinds: list[str], limit: int) -> set[int]:
        """Lease up to ``limit`` free gateways; return their state ids."""

        async def work(connection):
            values = {"owner": owner, "seconds": seconds, "kinds": kinds, "limit": max(limit, 0)}
            return {row[0] for row in await (await connection.execute(sql.TAKE, values)).fetchall()}

        return await self.transaction(work)

    async def peers(self, seconds: int) -> int:
        """How many collectors live."""

        async def work(connection):
            return (await (await connection.execute(sql.PEERS, {"seconds": seconds})).fetchone())[0]

        return await self.transaction(work)

    async def gateways_of(self, state_ids: set[int]) -> list[int]:
        """Ids of the gateways with these state rows."""

        async def work(connection):
            query = "SELECT id FROM prepay_gateway WHERE state_id = ANY(%s)"
            return [
                row[0]
                for row in await (await connection.execute(query, [list(state_ids)])).fetchall()
            ]

        return await self.transaction(work)

    async def identities(self, kind: str) -> list[tuple[str, bool]]:
        """Identities of the active gateways of a kind, and whether they are in hex."""

        async def work(connection):
            query = (
                "SELECT dial_in_id, COALESCE(registration_hex, false) FROM prepay_gateway "
                "WHERE active AND link = %s AND dial_in_id IS NOT NULL"
            )
            return await (await connection.execute(query, [kind])).fetchall()

        return await self.transaction(work)

    async def gateways_by_identity(
        self, wanted: list[tuple[str, str]]
    ) -> dict[tuple[str, str], int]:
        """Ids of the active gateways with these kinds and identities; without those not listed."""

        async def work(connection):
            rows = await connection.execute(
                sql.BY_IDENTITY, [list(column) for column in zip(*wanted)]
            )
            return {(kind, identity): key for kind, identity, key in await rows.fetchall()}

        return await self.transaction(work)

    async def missing(self, kind: str) -> dict[int, Gateway]:
        """Gateways of a kind that dials in that count as online and that nobody serves any more."""

        async def work(connection):
            rows = await (await connection.execute(sql.MISSING, {"kind": kind})).fetchall()
            return await config.load(connection, [row[0] for row in rows]) if rows else {}

        return await self.transaction(work)

    async def reachable(self, kinds: list[str]) -> int:
        """How many gateways of these kinds there are for all collectors together."""

        async def work(connection):
            cursor = await connection.execute(sql.REACHABLE, {"kinds": kinds})
            return (await cursor.fetchone())[0]

        return await self.transaction(work)

    async def claim(self, peers: dict[int, str], owner: str, seconds: int) -> None:
        """Take the leases of gateways that have dialled in here, by state id, with their address."""

        async def work(connection):
            values = {"ids": list(peers), "peers": list(peers.values())}
            await connection.execute(sql.CLAIM, {**values, "owner": owner, "seconds": seconds})

        await self.transaction(work)

    async def broker_sessions(self, name: str, seconds: int) -> str | None:
        """Say that a session at the broker is in use; return one that nobody has used for so long.

        The one returned counts as used from now on: only one collector empties it.
        """

        async def work(connection):
            await connection.execute(sql.SESSION_USED, [name])
            row = await (await connection.execute(sql.SESSION_ORPHAN, [seconds])).fetchone()
            return row[0] if row else None

        return await self.transaction(work)

    async def forget_session(self, name: str) -> None:
        async def work(connection):
            await connection.execute("DELETE FROM prepay_collector_session WHERE name = %s", [name])

        await self.transaction(work)

    async def release(self, owner: str, state_ids: list[int] | None = None) -> None:
        """Give leases back: some, or all at the end."""

        async def work(connection):
            await connection.execute(
                "UPDATE prepay_gateway_state SET lease_owner = NULL, lease_until = NULL "
                "WHERE lease_owner = %s AND (%s::int[] IS NULL OR id = ANY(%s))",
                [owner, state_ids, state_ids],
            )
            if state_ids is None:
                await connection.execute("DELETE FROM prepay_collector WHERE name = %s", [owner])

        await self.transaction(work)

    # settings and probes

    async def due_tasks(self, gateway_ids: list[int]) -> list[settings.Task]:
        """Settings and credit steps to carry out now."""
        return await self.transaction(lambda connection: settings.due(connection, gateway_ids))

    async def due_probes(self, gateway_ids: list[int]) -> list[dict]:
        """Take the queued probes of these gateways."""

        async def work(connection):
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(
                "UPDATE prepay_meter_probe SET state = 'running' WHERE state = 'queued' "
                "AND gateway_id = ANY(%s) RETURNING id, gateway_id, profile_id, address",
                [gateway_ids],
            )
            return await cursor.fetchall()

        return await self.transaction(work)

    async def load_profile(self, profile_id: int) -> config.Profile:
        return await self.transaction(
            lambda connection: config.load_profile(connection, profile_id)
        )

    async def finish_probe(self, probe_id: int, result: list, frames: str, error: str) -> None:
        async def work(connection):
            await connection.execute(
                "UPDATE prepay_meter_probe SET state = %s, result = %s, frames = %s, error = %s, "
                "finished_at = LOCALTIMESTAMP WHERE id = %s",
                ["failed" if error else "done", Jsonb(result), frames, error or None, probe_id],
            )

        await self.transaction(work)

    # relay commands

    async def due_commands(self, gateway_ids: list[int]) -> list[Command]:
        """Void what may not run any more, then return the commands to carry out now."""

        async def work(connection):
            arguments = {"gateways": gateway_ids}
            await connection.execute(sql.VOID_COMMANDS)
            cursor = connection.cursor(row_factory=dict_row)
            rows = await (await cursor.execute(sql.DUE_COMMANDS, arguments)).fetchall()
            return [Command(**row) for row in rows]

        return await self.transaction(work)

    async def mark_sent(self, command: Command) -> bool:
        """Commit the intent before the device is written. False: the command may not run any more."""

        async def work(connection):
            cursor = await connection.execute(sql.MARK_SENT, {"id": command.id})
            return cursor.rowcount == 1

        return await self.transaction(work)

    async def confirm(
        self, command: Command, meter: Meter, proof: str, power_w: int | None
    ) -> None:
        """The relay is where it should be: close the command and report the state."""

        async def work(connection):
            now = utcnow()
            await connection.execute(sql.CONFIRM, [proof, command.id])
            await connection.execute(
                "UPDATE prepay_meter_state SET relay_reported = %s, relay_reported_at = %s, online = true, "
                "last_seen = %s, power_w = COALESCE(%s, power_w) WHERE id = %s",
                [command.target, now, now, power_w, meter.state_id],
            )

        await self.transaction(work)

    async def finish_unproven(self, command: Command) -> None:
        """The meter took the command and offers no proof that the relay moved."""

        async def work(connection):
            await connection.execute(sql.UNPROVEN, [command.id])

        await self.transaction(work)

    async def postpone(self, command: Command, seconds: float, detail: str) -> None:
        """Try the command again later and say why it did not succeed."""

        async def work(connection):
            await connection.execute(sql.POSTPONE, [seconds, detail[:500], command.id])

        await self.transaction(work)

    async def relay_since(self, command_id: int, state_id: int) -> str | None:
        """State of the relay, when it was reported after the command was sent."""

        async def work(connection):
            row = await (
                await connection.execute(sql.RELAY_SINCE, [state_id, command_id])
            ).fetchone()
            return row[0] if row else None

        return await self.transaction(work)

    async def remark(self, command_id: int, detail: str) -> None:
        """What a device said of a command."""

        async def work(connection):
            await connection.execute(sql.REMARK, [detail[:500], command_id])

        await self.transaction(work)
