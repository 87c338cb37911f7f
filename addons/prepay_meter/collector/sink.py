"""Everything polled goes through here into the database: many polls in one transaction.

Nothing that was put is lost: while the database is away it waits on disk (see `spool`), in order.
Every statement is safe to repeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache

import psycopg

from ..channels import BILLED, BY_CODE, ELECTRICAL
from . import statements as sql
from .config import Gateway
from .results import Event, PollResult, utcnow
from .spool import Spool
from .store import Store
from .strangers import shown

_logger = logging.getLogger(__name__)

#: Pause between two transactions under load, so that each carries many polls.
GATHER_SECONDS = 0.25
#: Below this many polls a transaction follows at once: few meters, no waiting.
FEW = 20
#: Largest number of polls in one transaction.
BATCH = 10_000
#: Seconds between two tries to reach the database.
RETRY_SECONDS = 1.0
INT4 = 2**31
#: Faults of a result, not of the database.
REFUSED = (psycopg.DataError, psycopg.IntegrityError, ValueError, TypeError, KeyError)
TOTALS = {BY_CODE[code].number for code in BILLED.values()}
_ELECTRICAL = frozenset(ELECTRICAL)
#: Values whose columns have four bytes.
_COLUMNS = _ELECTRICAL | {"purchase_count", "drift"}
#: Plain data that can lie on disk: state row of a meter, COPY lines of its registers and of its
#: electrical values, and what goes into the journal; each may be None.
Item = tuple[tuple | None, str | None, str | None, dict | None]
_NO_ROWS = (None, None, None)
#: What a state row shows besides the register, and its number of columns.
_SHOWN = frozenset(
    {
        "power", "voltage", "voltage_a", "current", "current_a", "relay", "remaining", "overdraft",
        "purchase_count", "battery_low", "drift",
    }
)  # fmt: skip
SHOWN = 9
_NOTHING_SHOWN = "\t".join(["\\N"] * SHOWN)


class Sink:
    """Collects results and writes them in batches, on a connection of its own."""

    def __init__(self, store: Store, spool: Spool | None = None) -> None:
        self.store = store
        self.spool = Spool(None, 256 << 20) if spool is None else spool
        self.away = False
        self.stored_polls = 0
        self.dropped = 0
        self._items: list[Item] = []
        self._done: list[tuple[Item, Callable[[], None]]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._next_try = 0.0

    # what others call

    def put(
        self,
        result: PollResult | None = None,
        events: Iterable[Event] = (),
        *,
        clear: Iterable[str] = (),
        done: Callable[[], None] | None = None,
    ) -> None:
        """Take a result, its journal events, and the kinds of events that are over. Never blocks.

        :param done: called after the commit. Such a result is never spooled: who sent it keeps it
            until then.
        """
        if events or clear or (result is not None and result.held):
            now = utcnow()
            journal: dict = {"events": [_event(event, now) for event in events]}
            if result is not None:
                journal["held"] = result.held
                if clear:
                    journal["clear"] = [result.meter.id, 0, list(clear)]
        else:
            journal = None
        rows = _NO_ROWS if result is None else _rows(result)
        self._take((*rows, journal), done)

    def put_gateway(
        self,
        gateway: Gateway,
        online: bool | None = None,
        error: str | None = None,
        events: Iterable[Event] = (),
        clear: Iterable[str] = (),
    ) -> None:
        """State of a gateway, when ``online`` says so, and its journal."""
        now = utcnow()
        item: dict = {"events": [_event(event, now) for event in events]}
        if online is not None:
            meters = [] if online else [m.state_id for m in gateway.meters.values()]
            item["gateway"] = [gateway.state_id, online, now, error, meters]
        if clear:
            item["clear"] = [0, gateway.id, list(clear)]
        self._note(item)

    def clear(self, meter_id: int, kinds: Iterable[str]) -> None:
        """Troubles of a meter that are over."""
        self._note({"clear": [meter_id, 0, list(kinds)]})

    def put_device(self, gateway: Gateway, signal: int | None, iccid: str, peer: str = "") -> None:
        """What a device says of its radio; another SIM card than before goes into the journal."""
        facts = {"signal": signal, "iccid": iccid, "peer": peer}
        ids = {"gateway_id": gateway.id, "state_id": gateway.state_id}
        self._note({"device": {**ids, **facts, "at": utcnow()}})

    def put_message(
        self,
        source: str,
        topic: str,
        reason: str,
        payload: bytes,
        peer: str = "",
        gateway: Gateway | None = None,
        *,
        unknown_device: bool = False,
        done: Callable[[], None] | None = None,
    ) -> None:
        """Keep a message that cannot be used, to look at.

        :param source: kind of link; ``topic``: topic or identity; ``peer``: address of the sender
        """
        key = gateway.id if gateway is not None else None
        now = utcnow()
        item: dict = {
            "message": {
                "source": source, "gateway_id": key, "topic": _printable(topic)[:250],
                "peer": peer, "reason": _printable(reason)[:500], "payload": shown(payload), "at": now,
            }
        }  # fmt: skip
        if unknown_device or gateway is not None:
            kind = "unknown_device" if unknown_device else "message"
            detail = " ".join(filter(None, (item["message"]["topic"], peer, f"({reason})")))
            item["events"] = [_event(Event(kind, _printable(detail), gateway_id=key), now)]
        self._note(item, done)

    def put_frames(self, frames: list[dict]) -> None:
        """Raw frames of a traced meter."""
        self._note({"frames": frames})

    def _note(self, journal: dict, done: Callable[[], None] | None = None) -> None:
        self._take((*_NO_ROWS, journal), done)

    def _take(self, item: Item, done: Callable[[], None] | None) -> None:
        if not self._items:  # else they know already
            self._idle.clear()
            self._wake.set()
        if done is None:
            self._items.append(item)
        else:
            self._done.append((item, done))

    @property
    def waiting(self) -> int:
        """Results that are not in the database and not on disk yet."""
        return len(self._items) + len(self._done)

    async def stored(self) -> None:
        """Return when all that was put before is in the database, or safe on disk."""
        await self._idle.wait()

    # the background task

    async def run(self) -> None:
        """Write until cancelled; what is left then is written, or spooled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                many = self.waiting > FEW
                await self.flush()
                if self.waiting or self.spool or self._done:
                    self._wake.set()
                if self.away:
                    await asyncio.sleep(0.2)
                elif many:
                    await asyncio.sleep(GATHER_SECONDS)
        finally:
            # A stop must not lose what was polled.
            await asyncio.shield(self._last_words())

    async def _last_words(self) -> None:
        self._next_try = 0.0
        try:
            await asyncio.wait_for(self.flush(), 10)
        except (asyncio.TimeoutError, asyncio.CancelledError):
            self._keep(self._items)
        self.spool.close()

    async def flush(self) -> None:
        """Write what is there now, the oldest first."""
        items, self._items = self._items[:BATCH], self._items[BATCH:]
        confirmed, self._done = self._done[:BATCH], self._done[BATCH:]
        try:
            if self.spool or not self._may_try():
                self._keep(items)
                items = []
                await self._replay()
            if self._may_try():
                kept = [item for item, _done in confirmed]
                await self._write([*items, *kept])
                items = []
                for _item, done in confirmed:
                    done()
                confirmed = []
                self.away = False
        except psycopg.Error as error:
            # Whatever is wrong with the database: results wait until it is right again.
            self._lost(error)
            self._keep(items)
            items = []
        finally:
            # Also when cancelled in between: what was not stored is kept for the next time.
            self._items = items + self._items
            self._done = confirmed + self._done
            if not self._items and not self._done:
                self._idle.set()

    def _may_try(self) -> bool:
        return not self.away or asyncio.get_running_loop().time() >= self._next_try

    def _lost(self, error: Exception) -> None:
        if not self.away:
            _logger.warning(
                "Database away, results wait on disk: %s", str(error).strip().split("\n")[0]
            )
        self.away = True
        self._next_try = asyncio.get_running_loop().time() + RETRY_SECONDS

    def _keep(self, items: list[Item]) -> None:
        if items and not self.spool.append(items):
            self.dropped += len(items)
            _logger.error("The spool is full: %s results are lost", len(items))

    async def _replay(self) -> None:
        """Store what waited on disk, in order."""
        while self._may_try() and (record := self.spool.peek()):
            items, mark = record
            await self._write(items)
            self.spool.drop(mark)
            self.away = False

    async def _write(self, items: list[Item]) -> None:
        """Write a batch; a result that the database refuses does not hold the others up."""
        if not items:
            return
        try:
            await self.store.transaction(lambda connection: _write_batch(connection, items))
        except REFUSED as error:
            if len(items) == 1:
                self.dropped += 1
                _logger.error("A result cannot be stored and is left out: %s: %s", error, items[0])
                return
            half = len(items) // 2
            await self._write(items[:half])
            await self._write(items[half:])
            return
        self.stored_polls += sum(1 for item in items if item[0] is not None)


def _rows(result: PollResult) -> tuple[tuple, str | None, str | None]:
    """State row, lines of the registers and line of the electrical values."""
    meter, values, readings = result.meter, _fitting(result.values), result.readings
    at = _said(result.at)
    heard = at if result.seen is None else _said(result.seen)
    total = lines = electrical = None
    if readings:
        head, tail = f"{at}\t{meter.id}\t", f"\t{result.source}\n"
        lines = "".join([f"{head}{number}\t{value}{tail}" for number, value in readings])
        total = result.total
        if total is None:
            for number, value in readings:
                if number in TOTALS:
                    total = value
    if values and not _ELECTRICAL.isdisjoint(values):
        electrical = _text([at, meter.id, *map(values.get, ELECTRICAL)])
    state = (
        meter.state_id,
        heard,
        result.online,
        meter.missed,
        result.error,
        None if result.error else heard,
        None if total is None else at,
        total,
        None if _SHOWN.isdisjoint(values) else _shown(values),
    )
    return state, lines, electrical


@lru_cache(maxsize=64)
def _said(moment: datetime) -> str:
    return str(moment)


def _shown(values: dict) -> tuple:
    """What the state row of a meter shows besides its register."""
    get = values.get
    relay, battery = get("relay"), get("battery_low")
    return (
        get("power"),
        get("voltage", get("voltage_a")),
        get("current", get("current_a")),
        relay if relay in ("open", "closed") else None,
        get("remaining"),
        get("overdraft"),
        get("purchase_count"),
        None if battery is None else bool(battery),
        get("drift"),
    )


def _fitting(values: dict) -> dict:
    """The values without those that their columns cannot hold: nonsense of a device."""
    for code, value in values.items():
        if code in _COLUMNS and not _fits(value):
            return {c: v for c, v in values.items() if c not in _COLUMNS or _fits(v)}
    return values


def _fits(value) -> bool:
    return value is None or (type(value) is int and -INT4 <= value < INT4)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in text)


def _event(event: Event, now: datetime) -> dict:
    return {
        "meter_id": event.meter_id,
        "gateway_id": event.gateway_id,
        "kind": event.kind,
        "severity": event.severity,
        "detail": event.detail[:500],
        "at": now,
    }


def _text(row: Iterable) -> str:
    """One line of COPY text."""
    return "\t".join(["\\N" if value is None else _escaped(value) for value in row]) + "\n"


def _escaped(value) -> str:
    if isinstance(value, str):
        if not value.isprintable() or "\\" in value:
            value = value.replace("\\", "\\\\").replace("\t", " ").replace("\n", " ")
            value = value.replace("\r", " ").replace("\0", " ")
        return value
    return str(value)


async def _write_batch(connection: psycopg.AsyncConnection, items: list[Item]) -> None:
    states: dict[int, tuple] = {}
    readings, electrical, journal = [], [], []
    for state, lines, line, entry in items:
        if lines:
            readings.append(lines)
        if line:
            electrical.append(line)
        if entry:
            journal.append(entry)
        if state is not None:
            known = states.get(state[0])
            states[state[0]] = _merged(known, state) if known else state
    cursor = connection.cursor()
    if readings:
        await _write_readings(connection, "".join(readings))
    if electrical:
        async with cursor.copy(sql.COPY_ELECTRICAL) as copy:
            await copy.write("".join(electrical))
        await cursor.execute(sql.INSERT_ELECTRICAL)
    if states:
        async with cursor.copy(sql.COPY_STATES) as copy:
            await copy.write("".join([_state_text(row) for _id, row in sorted(states.items())]))
        await cursor.execute(sql.UPDATE_STATES)
    if journal:
        # One round trip for all: each of them is rare, but a fleet may lose its power at once.
        async with connection.pipeline():
            for entry in journal:
                await _write_journal(cursor, entry)


async def _write_readings(connection: psycopg.AsyncConnection, lines: str) -> None:
    """Straight into the table; when one of them is there already, through the staging table.

    Repetitions are rare, and the way that allows them costs twice as much.
    """
    cursor = connection.cursor()
    try:
        async with connection.transaction(), cursor.copy(sql.COPY_STRAIGHT) as copy:
            await copy.write(lines)
    except psycopg.errors.UniqueViolation:
        async with cursor.copy(sql.COPY_READINGS) as copy:
            await copy.write(lines)
        await cursor.execute(sql.INSERT_READINGS)


def _state_text(row: tuple) -> str:
    """The line of COPY of a state row."""
    state_id, heard, online, missed, error, seen, at, total, shown = row
    if error is None and shown is None and total is not None:  # nearly all: spared the loop
        return f"{state_id}\t{heard}\t{online}\t{missed}\t\\N\t{seen}\t{at}\t{total}\t{_NOTHING_SHOWN}\n"
    return _text([*row[:8], *(shown or (None,) * SHOWN)])


def _merged(older: tuple, newer: tuple) -> tuple:
    """The newer state; what it does not say stays (error and the like excepted).

    A total of the past (columns 6 and 7) does not take the place of a later one.
    """
    merged = [*newer[:5], *(b if b is not None else a for a, b in zip(older[5:8], newer[5:8]))]
    if older[6] and newer[6] and newer[6] < older[6]:
        merged[6:8] = older[6:8]
    before, now = older[8], newer[8]
    if before and now:
        now = tuple(b if b is not None else a for a, b in zip(before, now))
    return (*merged, now or before)


async def _write_journal(cursor: psycopg.AsyncCursor, item: dict) -> None:
    """Held values, events and raw frames: rare, row by row."""
    if "gateway" in item:
        state_id, online, at, error, meters = item["gateway"]
        values = {"id": state_id, "at": at, "error": error, "meters": meters}
        await cursor.execute(sql.GATEWAY_FOUND if online else sql.GATEWAY_LOST, values)
        if meters:
            await cursor.execute(sql.METERS_LOST, values)
    for hold in item.get("held", ()):
        await cursor.execute(sql.HOLD, hold)
    for event in item.get("events", ()):
        await cursor.execute(sql.EVENT, event)
    if "clear" in item:
        meter_id, gateway_id, kinds = item["clear"]
        await cursor.execute(sql.CLEAR, [utcnow(), meter_id, gateway_id, kinds])
    if "device" in item:
        await cursor.execute(sql.SIM_CHANGED, item["device"])
        await cursor.execute(sql.DEVICE, item["device"])
    if "message" in item:
        await cursor.execute(sql.MESSAGE, item["message"])
    if item.get("frames"):
        await cursor.executemany(sql.FRAME, item["frames"])
