"""What the collector takes from the database: gateways, meters and profiles as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from psycopg import AsyncConnection
from psycopg.rows import dict_row


@dataclass(frozen=True, slots=True)
class Point:
    """Where one channel is read. ``address`` is a register or a data identifier."""

    channel: str
    address: str
    size: int
    offset: int
    encoding: str
    bit: int
    scale: Decimal
    frequent: bool


@dataclass(frozen=True, slots=True)
class Control:
    """How the relay is commanded: register and values, or the command byte."""

    address: str
    payload: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    id: int
    protocol: str
    medium: str
    modulus: int
    max_power_w: int
    block_gap: int
    relay_proof: str
    relay_settle: float
    load_limit_w: int
    password: bytes
    operator: bytes
    validity: int
    points: tuple[Point, ...]
    controls: dict[str, Control]


@dataclass(slots=True)
class Meter:
    """A meter and what this process remembers of it between polls."""

    id: int
    state_id: int
    number: str
    address: str
    profile: Profile
    interval: float
    password: bytes
    tz: ZoneInfo
    last_value: int | None
    last_at: datetime | None
    missed: int
    ever_seen: bool
    desired: str | None
    open_events: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Gateway:
    id: int
    state_id: int
    name: str
    host: str
    port: int
    timeout: float
    gap: float
    meters: dict[int, Meter] = field(default_factory=dict)

    @property
    def endpoint(self) -> tuple[str, int]:
        return self.host, self.port


_GATEWAYS = """
SELECT g.id, g.state_id, g.name, g.host, g.port, g.timeout_ms / 1000.0 AS timeout, g.inter_frame_ms / 1000.0 AS gap
  FROM prepay_gateway g WHERE g.active AND g.link = 'tcp_serial' ORDER BY g.id
"""
_PROFILES = "SELECT * FROM prepay_meter_profile WHERE id = ANY(%s)"
_POINTS = (
    "SELECT * FROM prepay_meter_point WHERE profile_id = ANY(%s) ORDER BY profile_id, sequence, id"
)
_CONTROLS = "SELECT * FROM prepay_meter_control WHERE profile_id = ANY(%s)"
_METERS = """
SELECT m.id, m.state_id, m.number, m.address, m.profile_id, m.gateway_id, m.poll_minutes, m.password,
       m.desired_relay, l.tz, s.last_value, s.last_read_at, s.missed_polls, s.last_seen,
       ARRAY(SELECT kind FROM prepay_meter_event e WHERE e.meter_id = m.id AND e.cleared_at IS NULL) AS events
  FROM prepay_meter m
  JOIN prepay_meter_state s ON s.id = m.state_id
  JOIN prepay_location l ON l.id = m.location_id
 WHERE m.active AND m.gateway_id = ANY(%s) ORDER BY m.id
"""


def _hex_bytes(text: str | None, default: str) -> bytes:
    try:
        raw = bytes.fromhex(text or default)
    except ValueError:
        raw = bytes.fromhex(default)
    return raw if len(raw) == 4 else bytes.fromhex(default)


async def load(connection: AsyncConnection) -> dict[int, Gateway]:
    """All active gateways with their active meters."""
    cursor = connection.cursor(row_factory=dict_row)
    gateways = {
        row["id"]: Gateway(
            row["id"],
            row["state_id"],
            row["name"],
            row["host"],
            row["port"],
            float(row["timeout"]),
            float(row["gap"]),
        )
        for row in await (await cursor.execute(_GATEWAYS)).fetchall()
    }
    meters = await (await cursor.execute(_METERS, [list(gateways)])).fetchall()
    profiles = await _load_profiles(cursor, sorted({row["profile_id"] for row in meters}))
    for row in meters:
        profile = profiles[row["profile_id"]]
        gateways[row["gateway_id"]].meters[row["id"]] = Meter(
            id=row["id"],
            state_id=row["state_id"],
            number=row["number"],
            address=row["address"],
            profile=profile,
            interval=float(row["poll_minutes"]) * 60,
            password=_hex_bytes(row["password"], profile.password.hex()),
            tz=ZoneInfo(row["tz"] or "Asia/Shanghai"),
            last_value=row["last_value"] if row["last_read_at"] else None,
            last_at=row["last_read_at"],
            missed=row["missed_polls"] or 0,
            ever_seen=row["last_seen"] is not None,
            desired=row["desired_relay"],
            open_events=set(row["events"]),
        )
    return gateways


async def _load_profiles(cursor, ids: list[int]) -> dict[int, Profile]:
    points: dict[int, list[Point]] = {}
    for row in await (await cursor.execute(_POINTS, [ids])).fetchall():
        points.setdefault(row["profile_id"], []).append(
            Point(
                channel=row["channel"],
                address=row["address"],
                size=row["size"] or 0,
                offset=row["offset"] or 0,
                encoding=row["encoding"],
                bit=row["bit"] or 0,
                scale=Decimal(row["scale"]),
                frequent=bool(row["frequent"]),
            )
        )
    controls: dict[int, dict[str, Control]] = {}
    for row in await (await cursor.execute(_CONTROLS, [ids])).fetchall():
        controls.setdefault(row["profile_id"], {})[row["action"]] = Control(
            row["address"] or "", tuple(int(word, 16) for word in row["payload"].split())
        )
    return {
        row["id"]: Profile(
            id=row["id"],
            protocol=row["protocol"],
            medium=row["medium"],
            modulus=row["modulus"] or 0,
            max_power_w=row["max_power_w"] or 0,
            block_gap=row["block_gap"] or 0,
            relay_proof=row["relay_proof"],
            relay_settle=(row["relay_settle_ms"] or 0) / 1000,
            load_limit_w=row["load_limit_w"] or 0,
            password=_hex_bytes(row["password"], "02000000"),
            operator=_hex_bytes(row["operator_code"], "00000000"),
            validity=row["command_validity_s"] or 0,
            points=tuple(points.get(row["id"], ())),
            controls=controls.get(row["id"], {}),
        )
        for row in await (await cursor.execute(_PROFILES, [ids])).fetchall()
    }
