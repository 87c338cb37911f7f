"""What the collector takes from the database: gateways, meters and profiles as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
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
    word_order: str = "high"
    mask: int = 0
    states: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Control:
    """How a control action is sent: register or data identifier, fixed words or command byte, and
    for an action with a value how the value becomes bytes and where it is read back."""

    address: str
    payload: tuple[int, ...]
    size: int = 0
    encoding: str = ""
    scale: Decimal = Decimal(1)
    word_order: str = "high"
    read_address: str = ""
    writable: bool = True


@dataclass(frozen=True, slots=True, eq=False)
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
    function: int = 3
    meter_type: int = 0x10
    di_order: str = "high_first"
    #: Requests made from the points, by kind; filled on first use.
    plans: dict = field(default_factory=dict)


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
    open_events: frozenset[str] = frozenset()
    trace_until: datetime | None = None
    overload_w: int = 0
    malicious_step_w: int = 0
    verified_until: date | None = None
    baseline_at: datetime | None = None
    load: object = None
    quality: object = None


@dataclass(slots=True)
class Gateway:
    id: int
    state_id: int
    name: str
    kind: str
    host: str
    port: int
    timeout: float
    gap: float
    identity: str = ""
    registration: str = "connect"
    registration_hex: bool = False
    heartbeat: str = ""
    heartbeat_s: int = 60
    form: str = "json"
    product: str = ""
    #: The journal has an open row that says so.
    told_offline: bool = False
    meters: dict[int, Meter] = field(default_factory=dict)

    @property
    def endpoint(self) -> tuple:
        """What the link depends on; a change makes a new one."""
        return self.kind, self.host, self.port, self.identity, self.form, self.product

    @property
    def dials_in(self) -> bool:
        return self.kind in ("dtu", "acrel_4g")

    @property
    def idle_limit(self) -> float:
        """Seconds without any sign of life after which a device that dials in is away."""
        return 3.0 * self.heartbeat_s


_GATEWAYS = """
SELECT g.id, g.state_id, g.name, g.link AS kind, COALESCE(g.host, '') AS host, COALESCE(g.port, 0) AS port,
       g.timeout_ms / 1000.0 AS timeout, g.inter_frame_ms / 1000.0 AS gap,
       COALESCE(g.dial_in_id, '') AS identity, COALESCE(g.registration, 'connect') AS registration,
       COALESCE(g.registration_hex, false) AS registration_hex, COALESCE(g.heartbeat, '') AS heartbeat,
       COALESCE(g.heartbeat_s, 60) AS heartbeat_s, COALESCE(g.mqtt_form, 'json') AS form,
       COALESCE(g.product_key, '') AS product,
       EXISTS (SELECT FROM prepay_meter_event e WHERE e.gateway_id = g.id AND e.kind = 'gateway_offline'
                AND e.cleared_at IS NULL) AS told_offline
  FROM prepay_gateway g WHERE g.active AND (%(ids)s::int[] IS NULL OR g.id = ANY(%(ids)s)) ORDER BY g.id
"""
_PROFILES = "SELECT * FROM prepay_meter_profile WHERE id = ANY(%s)"
_POINTS = (
    "SELECT * FROM prepay_meter_point WHERE profile_id = ANY(%s) ORDER BY profile_id, sequence, id"
)
_CONTROLS = "SELECT * FROM prepay_meter_control WHERE profile_id = ANY(%s)"
_METERS = """
SELECT m.id, m.state_id, m.number, m.address, m.profile_id, m.gateway_id, m.poll_minutes, m.password,
       m.desired_relay, m.trace_until, m.overload_w, m.malicious_step_w, m.verified_until, b.baseline_at, l.tz,
       s.last_value, s.last_read_at, s.missed_polls, s.last_seen,
       ARRAY(SELECT kind FROM prepay_meter_event e WHERE e.meter_id = m.id AND e.cleared_at IS NULL) AS events
  FROM prepay_meter m
  JOIN prepay_meter_state s ON s.id = m.state_id
  JOIN prepay_location l ON l.id = m.location_id
  LEFT JOIN (SELECT meter_id, max(create_date) AS baseline_at FROM prepay_reading_baseline GROUP BY meter_id) b
    ON b.meter_id = m.id
 WHERE m.active AND m.gateway_id = ANY(%s) ORDER BY m.id
"""
_NOTHING: frozenset[str] = frozenset()
#: Gateways whose meters are fetched at once: rows of a whole fleet would take more memory than
#: the fleet itself.
CHUNK = 200


def _hex_bytes(text: str | None, default: str) -> bytes:
    try:
        raw = bytes.fromhex(text or default)
    except ValueError:
        raw = bytes.fromhex(default)
    return raw if len(raw) == 4 else bytes.fromhex(default)


async def load(
    connection: AsyncConnection, gateway_ids: list[int] | None = None
) -> dict[int, Gateway]:
    """Active gateways with their active meters: all, or the given ones."""
    cursor = connection.cursor(row_factory=dict_row)
    gateways: dict[int, Gateway] = {}
    for row in await (await cursor.execute(_GATEWAYS, {"ids": gateway_ids})).fetchall():
        row["timeout"], row["gap"] = float(row["timeout"]), float(row["gap"])
        gateways[row["id"]] = Gateway(**row)
    profiles: dict[int, Profile] = {}
    zones: dict[str, ZoneInfo] = {}
    ids = list(gateways)
    for first in range(0, len(ids), CHUNK):
        await _load_meters(cursor, ids[first : first + CHUNK], gateways, profiles, zones)
    return gateways


async def _load_meters(cursor, gateway_ids: list[int], gateways, profiles, zones) -> None:
    """Put the meters of some gateways in their places; profiles and zones are shared by all."""
    meters = await (await cursor.execute(_METERS, [gateway_ids])).fetchall()
    missing = {row["profile_id"] for row in meters} - profiles.keys()
    if missing:
        profiles.update(await _load_profiles(cursor, sorted(missing)))
    for row in meters:
        profile = profiles[row["profile_id"]]
        tz = row["tz"] or "Asia/Shanghai"
        password = profile.password
        if row["password"]:
            password = _hex_bytes(row["password"], password.hex())
        gateways[row["gateway_id"]].meters[row["id"]] = Meter(
            id=row["id"],
            state_id=row["state_id"],
            number=row["number"],
            address=row["address"],
            profile=profile,
            interval=float(row["poll_minutes"]) * 60,
            password=password,
            tz=zones.get(tz) or zones.setdefault(tz, ZoneInfo(tz)),
            last_value=row["last_value"] if row["last_read_at"] else None,
            last_at=row["last_read_at"],
            missed=row["missed_polls"] or 0,
            ever_seen=row["last_seen"] is not None,
            desired=row["desired_relay"],
            open_events=frozenset(row["events"]) if row["events"] else _NOTHING,
            trace_until=row["trace_until"],
            overload_w=row["overload_w"] or 0,
            malicious_step_w=row["malicious_step_w"] or 0,
            verified_until=row["verified_until"],
            baseline_at=row["baseline_at"],
        )


async def load_profile(connection: AsyncConnection, profile_id: int) -> Profile:
    """One profile, for a try on a meter that is not listed yet."""
    cursor = connection.cursor(row_factory=dict_row)
    return (await _load_profiles(cursor, [profile_id]))[profile_id]


def _states(text: str | None) -> dict[int, str]:
    """“0=closed 1=open” as a table."""
    pairs = (part.partition("=") for part in (text or "").split())
    return {int(number, 0): name for number, equals, name in pairs if equals}


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
                word_order=row["word_order"] or "high",
                mask=int(row["mask"] or "0", 16),
                states=_states(row["states"]),
            )
        )
    controls: dict[int, dict[str, Control]] = {}
    for row in await (await cursor.execute(_CONTROLS, [ids])).fetchall():
        controls.setdefault(row["profile_id"], {})[row["action"]] = Control(
            address=row["address"] or "",
            payload=tuple(int(word, 16) for word in (row["payload"] or "").split()),
            size=row.get("size") or 0,
            encoding=row.get("encoding") or "",
            scale=Decimal(row.get("scale") or 1),
            word_order=row.get("word_order") or "high",
            read_address=row.get("read_address") or "",
            writable=bool(row.get("writable", True)),
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
            function=int(row["read_function"] or 3),
            meter_type=int(row["meter_type"] or "10", 16),
            di_order=row["di_order"] or "high_first",
        )
        for row in await (await cursor.execute(_PROFILES, [ids])).fetchall()
    }
