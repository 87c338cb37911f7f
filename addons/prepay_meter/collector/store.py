"""What the collector writes: readings by COPY, states, events, and the life of relay commands.

Every statement is safe to repeat. Times in the database are naive UTC, as in Odoo.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timezone

import psycopg
from psycopg.rows import dict_row

from ..channels import BY_CODE
from . import config
from . import statements as sql
from .config import Gateway, Meter

_logger = logging.getLogger(__name__)

#: The database does not answer; what was not committed is done again later.
DatabaseAway = psycopg.OperationalError


def utcnow() -> datetime:
    """Now as Odoo stores it: naive UTC in whole seconds."""
    return datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0)


@dataclass(slots=True)
class PollResult:
    """What one poll of one meter showed."""

    meter: Meter
    at: datetime
    readings: list[tuple[str, int]] = field(default_factory=list)
    values: dict[str, int | str | None] = field(default_factory=dict)
    held: list[dict] = field(default_factory=list)
    error: str | None = None
    online: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """Something for the journal; ``meter_id`` or ``gateway_id`` says of what."""

    kind: str
    detail: str
    meter_id: int | None = None
    gateway_id: int | None = None
    severity: str = "warning"


@dataclass(frozen=True, slots=True)
class Command:
    id: int
    meter_id: int
    gateway_id: int
    target: str
    epoch: int
    attempts: int
    in_doubt: bool


class Store:
    """One database connection of the collector; callers take turns.

    :param conninfo: connection keywords as Odoo has them, or libpq's
    """

    def __init__(self, conninfo: dict) -> None:
        names = {"database": "dbname", "dsn": "conninfo"}  # Odoo speaks psycopg2's dialect
        self.conninfo = {names.get(key, key): value for key, value in conninfo.items() if value}
        self._connection: psycopg.AsyncConnection | None = None
        self._turn = asyncio.Lock()

    async def connection(self) -> psycopg.AsyncConnection:
        """The open connection; reconnects when the last one broke."""
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                **self.conninfo, autocommit=True
            )
            await self._connection.execute("SET TIME ZONE 'UTC'")
        return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _run(self, work):
        """Run ``work(connection)`` in one transaction, once more when the server went away before."""
        async with self._turn:
            for last in (False, True):
                connection = await self.connection()
                try:
                    async with connection.transaction():
                        return await work(connection)
                except psycopg.OperationalError:
                    if last or not connection.closed:
                        raise
            return None

    async def load(self) -> dict[int, Gateway]:
        """All gateways with their meters as the database has them now."""
        return await self._run(config.load)

    # readings and states

    async def save(self, results: list[PollResult], events: list[Event] = ()) -> None:
        """Store polls, newest state of each meter and journal events in one transaction."""

        async def work(connection):
            rows = [
                (result.at, result.meter.id, BY_CODE[channel].number, value)
                for result in results
                for channel, value in result.readings
            ]
            if rows:
                await connection.execute(sql.STAGING)
                async with connection.cursor().copy("COPY staging FROM STDIN") as copy:
                    for row in rows:
                        await copy.write_row(row)
                await connection.execute(sql.INSERT_READINGS)
            newest = {
                result.meter.state_id: result for result in results
            }  # the last one of a meter wins
            if newest:
                await connection.execute(sql.UPDATE_STATES, self._state_columns(newest))
            for result in results:
                for hold in result.held:
                    await connection.execute(sql.HOLD, hold)
            now = utcnow()
            for event in events:
                await connection.execute(sql.EVENT, self._event_values(event, now))

        await self._run(work)

    @staticmethod
    def _state_columns(newest: dict[int, PollResult]) -> list[list]:
        rows = []
        for state_id, result in sorted(newest.items()):
            registers = dict(result.readings)
            total = registers.get("energy", registers.get("volume"))
            values = result.values
            rows.append(
                (
                    state_id,
                    result.online,
                    result.meter.missed,
                    result.error,
                    result.at if not result.error else None,
                    result.at if total is not None else None,
                    total,
                    values.get("power"),
                    values.get("voltage"),
                    values.get("current"),
                    values.get("relay"),
                )
            )
        return [list(column) for column in zip(*rows)]

    @staticmethod
    def _event_values(event: Event, now: datetime) -> dict:
        return {
            "meter_id": event.meter_id,
            "gateway_id": event.gateway_id,
            "kind": event.kind,
            "severity": event.severity,
            "detail": event.detail[:500],
            "at": now,
        }

    async def clear_events(self, kinds: set[str], meter_id: int = 0, gateway_id: int = 0) -> None:
        async def work(connection):
            await connection.execute(sql.CLEAR, [utcnow(), meter_id, gateway_id, list(kinds)])

        await self._run(work)

    async def gateway_state(self, gateway: Gateway, online: bool, error: str | None) -> None:
        """Note that a gateway answered or was lost; its meters are offline with it."""

        async def work(connection):
            now = utcnow()
            if online:
                await connection.execute(
                    "UPDATE prepay_gateway_state SET online = true, last_seen = %s, offline_since = NULL, "
                    "last_error = NULL WHERE id = %s",
                    [now, gateway.state_id],
                )
                return
            await connection.execute(
                "UPDATE prepay_gateway_state SET online = false, offline_since = COALESCE(offline_since, %s), "
                "last_error = %s WHERE id = %s",
                [now, error, gateway.state_id],
            )
            await connection.execute(
                "UPDATE prepay_meter_state SET online = false WHERE id = ANY(%s)",
                [[meter.state_id for meter in gateway.meters.values()]],
            )
            event = Event("gateway_offline", error or "", gateway_id=gateway.id, severity="alarm")
            await connection.execute(sql.EVENT, self._event_values(event, now))

        await self._run(work)

    # leases

    async def lease(self, state_ids: list[int], owner: str, seconds: int) -> set[int]:
        """Take or renew the lease of gateways; return the state ids that are ours now."""

        async def work(connection):
            values = {"owner": owner, "seconds": seconds, "ids": sorted(state_ids)}
            cursor = await connection.execute(sql.LEASE, values)
            return {row[0] for row in await cursor.fetchall()}

        return await self._run(work)

    async def release(self, owner: str) -> None:
        async def work(connection):
            await connection.execute(
                "UPDATE prepay_gateway_state SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = %s",
                [owner],
            )

        await self._run(work)

    # relay commands

    async def due_commands(self, gateway_ids: list[int]) -> list[Command]:
        """Void what may not run any more, then return the commands to carry out now."""

        async def work(connection):
            arguments = {"gateways": gateway_ids}
            await connection.execute(sql.VOID_COMMANDS, arguments)
            cursor = connection.cursor(row_factory=dict_row)
            rows = await (await cursor.execute(sql.DUE_COMMANDS, arguments)).fetchall()
            return [Command(**row) for row in rows]

        return await self._run(work)

    async def mark_sent(self, command: Command) -> bool:
        """Commit the intent before the device is written. False: the command may not run any more."""

        async def work(connection):
            cursor = await connection.execute(sql.MARK_SENT, {"id": command.id})
            return cursor.rowcount == 1

        return await self._run(work)

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

        await self._run(work)

    async def finish_unproven(self, command: Command) -> None:
        """The meter took the command and offers no proof that the relay moved."""

        async def work(connection):
            await connection.execute(sql.UNPROVEN, [command.id])

        await self._run(work)

    async def postpone(self, command: Command, seconds: float, detail: str) -> None:
        """Try the command again later and say why it did not succeed."""

        async def work(connection):
            await connection.execute(sql.POSTPONE, [seconds, detail[:500], command.id])

        await self._run(work)
