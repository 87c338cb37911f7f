"""Settings of meters and credit kept in them: what is wished is written, read back and confirmed.

The ERP commits a wish; nothing is ever written for one that is not the newest. A row is marked *sent*
before the device is written, so after a crash the device is read first. Rows are loaded anew when
their turn comes: a task is only a reminder.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from .. import credit as rules
from ..protocols.errors import DeviceError, Outcome
from ..protocols.exchange import (
    Exchange,
    cjt188_write,
    dlt645_credit,
    dlt645_relay,
    dlt645_write,
    modbus_write,
)
from . import driver, parameters, plan
from . import statements as sql
from .config import Control, Meter, Point
from .link import GatewayOffline, NoReply

_logger = logging.getLogger(__name__)

#: Clocks further off than this are set, in seconds.
CLOCK_TOLERANCE = 60
#: No clock is set so close to midnight: date and time may be two writes.
MIDNIGHT = timedelta(minutes=2)
#: Seconds until a setting is tried again, by number of writes.
RETRY_AFTER = (2, 5, 15, 60, 300, 900, 3600)
#: Writes after which a value that reads back differently is shown to a person.
MAX_WRITES = 5
#: Refusals after which a person is told. One may be chance.
MAX_REFUSALS = 2
#: Modbus exceptions that say "later", not "no": acknowledge, busy.
LATER = {5, 6}
#: Missed polls after which nothing is tried, and seconds until the next look.
SILENT, SILENT_WAIT = 3, 300
#: Times a purchase is sent while the meter answers and its counter stands still.
MAX_SENDINGS = 8
#: Control actions of kinds that are not named like their action: on, off.
SWITCHES = {"guarantee": ("keep_power", "keep_power_off")}
#: What the platform does from readings when the meter cannot.
PLATFORM = {"guarantee", "overload", "malicious", "time_control"}
#: Kinds whose value is a plan.
PLANS = {"time_control", "tariff"}
_CREDIT_CHANNELS = ("purchase_count", "remaining", "overdraft")

_DUE_PARAMETERS = """
SELECT p.id, p.meter_id, m.gateway_id, p.epoch
  FROM prepay_meter_parameter p JOIN prepay_meter m ON m.id = p.meter_id
 WHERE p.state IN ('queued', 'sent') AND m.active AND m.gateway_id = ANY(%(gateways)s)
   AND (p.not_before IS NULL OR p.not_before <= LOCALTIMESTAMP)
 UNION ALL
SELECT p.id, p.meter_id, m.gateway_id, p.epoch
  FROM prepay_meter_parameter p JOIN prepay_meter m ON m.id = p.meter_id
 WHERE p.state NOT IN ('queued', 'sent') AND p.not_before <= LOCALTIMESTAMP
   AND m.active AND m.gateway_id = ANY(%(gateways)s)
 ORDER BY id
"""
_DUE_CREDITS = """
SELECT * FROM (
    SELECT DISTINCT ON (c.meter_id) c.id, c.meter_id, m.gateway_id, c.state, c.not_before
      FROM prepay_meter_credit c JOIN prepay_meter m ON m.id = c.meter_id
     WHERE c.state IN ('queued', 'sent', 'stopped') AND c.series = m.credit_series
       AND m.active AND m.gateway_id = ANY(%(gateways)s)
     ORDER BY c.meter_id, c.number
) c
 WHERE c.state <> 'stopped' AND (c.not_before IS NULL OR c.not_before <= LOCALTIMESTAMP)
 ORDER BY c.id
"""
_LOAD_PARAMETER = """
SELECT p.id, p.kind, p.epoch, p.state, p.attempts, p.desired, p.desired_document
  FROM prepay_meter_parameter p WHERE p.id = %s AND p.epoch = %s
"""
_MARK_PARAMETER = """
UPDATE prepay_meter_parameter
   SET state = 'sent', sent_at = LOCALTIMESTAMP, attempts = attempts + 1, not_before = NULL,
       write_date = LOCALTIMESTAMP
 WHERE id = %(id)s AND epoch = %(epoch)s AND state IN ('queued', 'sent')
"""
_SET_STATE = """
UPDATE prepay_meter_parameter
   SET state = %(state)s, detail = %(detail)s, write_date = LOCALTIMESTAMP,
       not_before = LOCALTIMESTAMP + make_interval(secs => %(wait)s)
 WHERE id = %(id)s AND epoch = %(epoch)s
"""
_REPORT = """
UPDATE prepay_meter_parameter
   SET reported = %(reported)s, reported_document = %(document)s, reported_at = LOCALTIMESTAMP
 WHERE id = %(id)s
"""
_CLEAR_REFUSED = """
UPDATE prepay_meter_event SET cleared_at = LOCALTIMESTAMP
 WHERE meter_id = %(meter)s AND kind = 'setting_refused' AND cleared_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM prepay_meter_parameter WHERE meter_id = %(meter)s
                   AND state IN ('failed', 'refused'))
"""
_LOAD_CREDIT = """
SELECT c.id, c.number, c.amount_fen, c.state, c.attempts, c.series, m.credit_locked AS locked,
       COALESCE(m.hoarding_limit_fen, 0) AS hoarding,
       COALESCE((SELECT max(number) FROM prepay_meter_credit d WHERE d.meter_id = c.meter_id
                 AND d.series = c.series AND d.state = 'confirmed'), m.credit_base, 0) AS expected
  FROM prepay_meter_credit c JOIN prepay_meter m ON m.id = c.meter_id
 WHERE c.id = %s AND c.state IN ('queued', 'sent') AND c.series = m.credit_series
   AND NOT EXISTS (SELECT 1 FROM prepay_meter_credit d WHERE d.meter_id = c.meter_id
                   AND d.series = c.series AND d.number < c.number
                   AND d.state IN ('queued', 'sent', 'stopped'))
"""
_MARK_CREDIT = """
UPDATE prepay_meter_credit c
   SET state = 'sent', sent_at = COALESCE(c.sent_at, LOCALTIMESTAMP), attempts = c.attempts + 1,
       before_count = CASE WHEN c.state = 'queued' THEN %(count)s ELSE c.before_count END,
       before_fen = CASE WHEN c.state = 'queued' THEN %(remaining)s ELSE c.before_fen END,
       write_date = LOCALTIMESTAMP
  FROM prepay_meter m
 WHERE c.id = %(id)s AND c.number = %(number)s AND c.state IN ('queued', 'sent') AND m.id = c.meter_id
   AND m.credit_series = c.series AND m.credit_locked IS NOT TRUE
   AND NOT EXISTS (SELECT 1 FROM prepay_meter_credit d WHERE d.meter_id = c.meter_id
                   AND d.series = c.series AND d.number < c.number
                   AND d.state IN ('queued', 'sent', 'stopped'))
"""
_CONFIRM_CREDIT = """
UPDATE prepay_meter_credit
   SET state = 'confirmed', confirmed_at = LOCALTIMESTAMP, after_count = %(count)s, after_fen = %(remaining)s,
       detail = NULL, not_before = NULL, write_date = LOCALTIMESTAMP
 WHERE id = %(id)s AND number = %(number)s AND state = 'sent'
"""
_STOP_CREDIT = """
UPDATE prepay_meter_credit
   SET state = 'stopped', stop_reason = %(reason)s, after_count = %(count)s, after_fen = %(remaining)s,
       before_count = CASE WHEN state = 'queued' THEN %(count)s ELSE before_count END,
       before_fen = CASE WHEN state = 'queued' THEN %(remaining)s ELSE before_fen END,
       detail = %(detail)s, write_date = LOCALTIMESTAMP
 WHERE id = %(id)s AND number = %(number)s AND state IN ('queued', 'sent')
"""
_POSTPONE_CREDIT = """
UPDATE prepay_meter_credit
   SET not_before = LOCALTIMESTAMP + make_interval(secs => %(wait)s), detail = %(detail)s,
       write_date = LOCALTIMESTAMP
 WHERE id = %(id)s AND state IN ('queued', 'sent')
"""
_CREDIT_STATE = """
UPDATE prepay_meter_state
   SET purchase_count = COALESCE(%(count)s, purchase_count),
       remaining_fen = COALESCE(%(credit)s, remaining_fen), overdraft_fen = COALESCE(%(debt)s, overdraft_fen)
 WHERE id = %(state)s
"""


@dataclass(frozen=True, slots=True)
class Task:
    """A reminder that a parameter or the next purchase of a meter is due."""

    key: str
    meter_id: int
    gateway_id: int
    kind: str
    id: int
    epoch: int = 0


async def due(connection, gateway_ids: list[int]) -> list[Task]:
    """What is to be set or looked at now on the meters of these gateways; purchases first."""
    arguments = {"gateways": gateway_ids}
    cursor = connection.cursor(row_factory=dict_row)
    rows = await (await cursor.execute(_DUE_CREDITS, arguments)).fetchall()
    tasks = [
        Task(f"credit-{row['id']}", row["meter_id"], row["gateway_id"], "credit", row["id"])
        for row in rows
    ]
    rows = await (await cursor.execute(_DUE_PARAMETERS, arguments)).fetchall()
    return tasks + [
        Task(
            f"parameter-{row['id']}-{row['epoch']}",
            row["meter_id"], row["gateway_id"], "parameter", row["id"], row["epoch"],
        )
        for row in rows
    ]  # fmt: skip


async def carry_out(task: Task, meter: Meter, ask: driver.Ask, store) -> None:
    """Do the next step of a task.

    :raises NoReply: no usable answer; the row says so and comes again
    :raises GatewayOffline: the connection broke; the same
    """
    if task.kind == "credit":
        await _carry_out_credit(task, meter, ask, store)
    else:
        await _carry_out_parameter(task, meter, ask, store)


# parameters


@dataclass(slots=True)
class Shown:
    """What a meter shows of a parameter; ``proven`` False: it cannot show it."""

    proven: bool
    matches: bool = False
    value: int | None = None
    document: list | None = None


class _Parameter:
    """One parameter on its way."""

    def __init__(self, row: dict, meter: Meter, ask: driver.Ask, store) -> None:
        self.row, self.meter, self.ask, self.store = row, meter, ask, store
        self.kind: str = row["kind"]
        self.desired: int = row["desired"] or 0
        self.document = (row["desired_document"] or []) if self.kind in PLANS else None
        controls = meter.profile.controls
        on, off = SWITCHES.get(self.kind, (self.kind, self.kind))
        self.control: Control | None = controls.get(on if self.desired else off)
        self.shown_by: Control | None = controls.get(on)
        self.opposite: Control | None = controls.get(off)

    # the database

    async def finish(self, state: str, shown: Shown | None = None, detail: str = "") -> None:
        """Close the row; a value that can be read is looked at again in a day."""
        wait = None
        if self.kind != "release" and (shown is None or shown.proven) and self.shown_by:
            wait = 86400.0 + self.row["id"] * 613 % 7200  # spread over two hours
        await self._write(state, detail, wait, shown)

    async def again(self, state: str, detail: str, shown: Shown | None = None) -> None:
        place = min(self.row["attempts"], len(RETRY_AFTER) - 1)
        await self._write(state, detail, RETRY_AFTER[place], shown)

    async def _write(
        self, state: str, detail: str, wait: float | None, shown: Shown | None
    ) -> None:
        row, meter = self.row, self.meter

        async def work(connection):
            values = {"id": row["id"], "epoch": row["epoch"], "state": state, "wait": wait}
            values["detail"] = detail[:500] or None
            cursor = await connection.execute(_SET_STATE, values)
            if shown is not None and shown.proven:
                document = Jsonb(shown.document) if shown.document is not None else None
                report = {"id": row["id"], "reported": shown.value, "document": document}
                await connection.execute(_REPORT, report)
                if self.kind == "clock":
                    await connection.execute(
                        "UPDATE prepay_meter_state SET clock_drift_s = %s WHERE id = %s",
                        [shown.value, meter.state_id],
                    )
            if not cursor.rowcount:
                return  # a newer wish came meanwhile
            if state in ("failed", "refused"):
                await _journal(connection, meter, "setting_refused", f"{self.kind}: {detail}")
            elif state == "synced":
                await connection.execute(_CLEAR_REFUSED, {"meter": meter.id})
            elif state == "impossible" and self.kind == "clock" and detail:
                await _journal(connection, meter, "clock_drift", detail)

        await self.store.transaction(work)

    async def mark_sent(self) -> bool:
        """Commit the intent. False: a newer wish came."""

        async def work(connection):
            cursor = await connection.execute(_MARK_PARAMETER, self.row)
            return cursor.rowcount == 1

        marked = await self.store.transaction(work)
        self.row["attempts"] += 1
        return marked

    # the device

    async def look(self) -> Shown:
        """What the meter shows now.

        :raises NoReply: no answer
        """
        control = self.shown_by
        if control is None:
            return Shown(False)
        try:
            if self.kind == "clock":
                return await self._look_at_clock(control)
            if control.encoding:
                return await self._look_at_value(control)
            return await self._look_at_switch(control)
        except NoReply as error:
            if error.outcome is Outcome.EXCEPTION:
                _logger.info("Meter %s: %s cannot be read: %s", self.meter.number, self.kind, error)
                return Shown(False)
            raise

    async def _look_at_clock(self, control: Control) -> Shown:
        began = _now()
        data = b""
        for address in (control.read_address or control.address).split():
            data += await self._read(address, control.size)
        moment = began + (_now() - began) / 2
        try:
            clock = parameters.decode(control, data)
        except ValueError as error:
            # A clock that lost its battery shows no date: it is to be set like one that is wrong.
            _logger.info("Meter %s: clock %s: %s", self.meter.number, data.hex(), error)
            return Shown(True, False, None)
        local = moment.astimezone(self.meter.tz).replace(tzinfo=None)
        drift = round((clock - local).total_seconds())
        drift = max(-(2**31), min(2**31 - 1, drift))
        return Shown(True, abs(drift) <= CLOCK_TOLERANCE, drift)

    async def _look_at_value(self, control: Control) -> Shown:
        data = await self._read(control.read_address or control.address, control.size)
        try:
            value = parameters.decode(control, data)
        except ValueError as error:
            raise NoReply(Outcome.MALFORMED, f"{self.kind}: {error}") from None
        if isinstance(value, list):
            return Shown(True, value == self.document, None, value)
        return Shown(True, value == self.desired, value)

    async def _look_at_switch(self, control: Control) -> Shown:
        address, _dot, bit = control.read_address.partition(".")
        modbus = self.meter.profile.protocol == "modbus"
        if not address and modbus:
            address = control.address
        if not address or not (bit or modbus):
            return Shown(False)
        size = 1 if bit else len(control.payload)
        data = await self._read(address, size)
        if bit:
            number = int.from_bytes(data, "big" if modbus else "little")
            value = number >> int(bit) & 1
            return Shown(True, value == self.desired, value)
        shown = parameters.words(data)
        value = None
        if shown == list(control.payload):
            value = 1
        elif self.opposite is not None and shown == list(self.opposite.payload):
            value = 0
        return Shown(True, value == self.desired, value)

    async def _read(self, address: str, size: int) -> bytes:
        return await driver.read_block(self.meter, plan.Block(int(address, 16), size, ()), self.ask)

    async def put(self) -> DeviceError | None:
        """Write the wished value; the refusal when the meter refused.

        :raises NoReply: no answer: it may have been taken or not
        :raises ValueError: this meter type cannot carry the value
        """
        control = self.control
        if self.kind == "clock":
            return await self._put_clock(control)
        if control.encoding:
            wished = self.document if self.document is not None else self.desired
            return await self._send(control, parameters.encode(control, wished))
        return await self._send(control, None)

    async def _put_clock(self, control: Control) -> DeviceError | None:
        parts = [(control, None)]
        if self.meter.profile.protocol == "dlt645":
            day, at = control.address.split()
            parts = [(_at(control, day), slice(0, 4)), (_at(control, at), slice(4, 7))]
        for part, field in parts:
            local = _now().astimezone(self.meter.tz).replace(tzinfo=None)
            data = parameters.encode(control, local)
            refusal = await self._send(part, data[field] if field else data)
            if refusal is not None:
                return refusal
        return None

    async def _send(self, control: Control, data: bytes | None) -> DeviceError | None:
        reply = await self.ask(self._exchange(control, data))
        return reply.error

    def _exchange(self, control: Control, data: bytes | None) -> Exchange:
        meter, profile = self.meter, self.meter.profile
        if profile.protocol == "modbus":
            words = list(control.payload) if data is None else parameters.words(data)
            return modbus_write(int(meter.address), int(control.address, 16), words)
        if profile.protocol == "cjt188":
            return cjt188_write(
                profile.meter_type, meter.address, control.address, bytes(control.payload),
                driver.next_serial(), profile.di_order,
            )  # fmt: skip
        if profile.protocol != "dlt645":
            raise ValueError(f"{profile.protocol} carries no settings")
        if data is not None:
            return dlt645_write(
                meter.address, control.address, data, meter.password, profile.operator
            )
        until = None
        if profile.validity:
            until = _now().astimezone(meter.tz) + timedelta(seconds=profile.validity)
            until = until.replace(tzinfo=None)
        return dlt645_relay(
            meter.address, control.payload[0], meter.password, profile.operator, until
        )


async def _carry_out_parameter(task: Task, meter: Meter, ask: driver.Ask, store) -> None:
    async def load(connection):
        cursor = connection.cursor(row_factory=dict_row)
        return await (await cursor.execute(_LOAD_PARAMETER, [task.id, task.epoch])).fetchone()

    row = await store.transaction(load)
    if row is None:
        return
    job = _Parameter(row, meter, ask, store)
    wished = row["state"] in ("queued", "sent")
    if meter.missed >= SILENT:
        await job._write(row["state"], "the meter does not answer", SILENT_WAIT, None)
        return
    if job.kind == "clock" and _near_midnight(meter):
        await job._write(row["state"], "", 2 * MIDNIGHT.total_seconds(), None)
        return
    try:
        if wished:
            await _set(job)
        else:
            await _compare(job)
    except (NoReply, GatewayOffline) as error:
        # The row is *sent* when the write may have been taken, else as it was.
        state = row["state"]
        place = min(max(row["attempts"], 1), len(RETRY_AFTER) - 1)
        wait = RETRY_AFTER[place] if wished else SILENT_WAIT
        await job._write(state, str(error), wait, None)
        raise


async def _set(job: _Parameter) -> None:
    """Bring the meter to the wished value."""
    row = job.row
    if job.control is None or not job.control.writable:
        await job.finish(_without_meter(job.kind))
        return
    if row["state"] == "sent" or job.kind == "clock":
        # In doubt after a crash or a lost answer, or it may be right already: look first.
        shown = await job.look()
        if shown.proven and shown.matches:
            await job.finish("synced", shown)
            return
    if not await job.mark_sent():
        return
    row["state"] = "sent"
    try:
        refusal = await job.put()
    except ValueError as error:
        await job.finish(_without_meter(job.kind), None, str(error))
        return
    if refusal is not None:
        later = refusal.code in LATER and job.meter.profile.protocol == "modbus"
        if later or row["attempts"] < MAX_REFUSALS:
            await job.again("queued", str(refusal))
        else:
            await job.finish("refused", None, str(refusal))
        return
    shown = await job.look()
    if not shown.proven:
        await job.finish("unproven", shown)
    elif shown.matches:
        await job.finish("synced", shown)
    elif row["attempts"] < MAX_WRITES:
        await job.again("queued", _difference(shown), shown)
    else:
        await job.finish("failed", shown, _difference(shown))


async def _compare(job: _Parameter) -> None:
    """The daily look: does the meter still show what is wished?"""
    state = job.row["state"]
    shown = await job.look()
    if not shown.proven:
        await job.finish(state, shown, "the meter does not show it")
    elif shown.matches:
        await job.finish("synced" if state in ("failed", "refused") else state, shown)
    elif state == "synced" and job.control is not None and job.control.writable:
        job.row["state"] = "queued"
        await job._write("queued", _difference(shown), 0.0, shown)
        await _set(job)
    else:
        detail = _difference(shown)
        if job.kind == "clock" and shown.value is not None:
            detail = f"the clock is {shown.value:+d} s off"
        await job.finish(state, shown, detail)


def _difference(shown: Shown) -> str:
    value = shown.document if shown.document is not None else shown.value
    return f"the meter shows {value}"


def _without_meter(kind: str) -> str:
    return "platform" if kind in PLATFORM else "impossible"


def _at(control: Control, address: str) -> Control:
    return Control(address=address, payload=control.payload, encoding=control.encoding)


def _near_midnight(meter: Meter) -> bool:
    local = _now().astimezone(meter.tz)
    return (local + MIDNIGHT).date() != (local - MIDNIGHT).date()


def _now() -> datetime:
    return datetime.now(timezone.utc)


async def _journal(connection, meter: Meter, kind: str, detail: str, severity="warning") -> None:
    await connection.execute(
        sql.EVENT,
        {
            "meter_id": meter.id,
            "gateway_id": None,
            "kind": kind,
            "severity": severity,
            "detail": detail[:500],
            "at": _now().replace(tzinfo=None, microsecond=0),
        },
    )


# credit


@dataclass(frozen=True, slots=True)
class Held:
    """What a meter shows of its credit; None: it has no such value. Money in fen, debt negative."""

    count: int | None
    remaining: int | None


async def deliver(row: dict, device, book) -> None:
    """Bring one purchase into the meter, or stop and leave it to a person.

    :param row: the purchase as the database has it just now
    :param device: ``await look() -> Held``, two equal reads; ``await send(number, amount) -> refusal or
        None``; both raise when nothing usable came back
    :param book: ``await unlock()``, ``mark_sent(held) -> bool``, ``confirm(held)``, ``stop(reason, held,
        detail)``; each commits
    """
    purchase = rules.Purchase(row["number"], row["amount_fen"], row["state"])
    in_doubt = purchase.state == rules.SENT
    held = await device.look()
    if row["locked"]:
        if held.count is not None and not rules.may_send_after_restore(
            held.count, row["expected"], in_doubt
        ):
            reason = "ahead" if held.count > row["expected"] else "behind"
            await book.stop(reason, held, f"expected purchase count {row['expected']}")
            return
        if held.count is None and in_doubt:
            await book.stop("in_doubt", held, "")
            return
        await book.unlock()
    step = rules.next_step(purchase, held.count, held.remaining, row["hoarding"])
    if step.action == "confirm":
        await book.confirm(held)
        return
    if step.action == "stop":
        await book.stop(step.reason, held, "")
        return
    if row["attempts"] >= MAX_SENDINGS:
        await book.stop("refused", held, f"sent {row['attempts']} times without effect")
        return
    if not await book.mark_sent(held):
        return
    refusal = await device.send(purchase.number, purchase.amount_fen)
    after = await device.look()
    if after.count is None:
        # No counter: the answer is all there is, and an answer came.
        if refusal is None:
            await book.confirm(after)
        else:
            await book.stop("refused", after, str(refusal))
        return
    sent = rules.Purchase(purchase.number, purchase.amount_fen, rules.SENT)
    step = rules.next_step(sent, after.count, after.remaining, row["hoarding"])
    if step.action == "confirm":
        await book.confirm(after)
    elif step.action == "stop":
        await book.stop(step.reason, after, "")
    elif refusal is not None:
        await book.stop("refused", after, str(refusal))
    else:
        raise NoReply(Outcome.MALFORMED, "taken, yet the purchase count stands still")


def _is_of_credit(point: Point) -> bool:
    return point.channel in _CREDIT_CHANNELS


class _CreditMeter:
    """The device side of a purchase."""

    def __init__(self, meter: Meter, ask: driver.Ask) -> None:
        self.meter, self.ask = meter, ask
        self.blocks = plan.blocks(meter.profile, "credit", _is_of_credit)
        self.counts = any(point.channel == "purchase_count" for point in meter.profile.points)
        self.values: dict = {}

    async def look(self) -> Held:
        first = await driver.read_blocks(self.meter, self.blocks, self.ask)
        self.values = first
        count = first.get("purchase_count")
        if self.counts:
            # One read may be corrupted and still have a right checksum.
            second = await driver.read_blocks(self.meter, self.blocks, self.ask)
            if count is None or second.get("purchase_count") != count:
                raise NoReply(Outcome.MALFORMED, "two reads of the purchase count differ")
        remaining = first.get("remaining")
        if remaining is not None:
            remaining -= first.get("overdraft") or 0
        return Held(count, remaining)

    async def send(self, number: int, amount_fen: int) -> DeviceError | None:
        meter, profile = self.meter, self.meter.profile
        control = profile.controls.get("credit")
        if control is None or not control.writable:
            return DeviceError(0, "the profile takes no credit")
        if profile.protocol == "modbus":
            words = parameters.words(parameters.encode(control, amount_fen)) + [number]
            exchange = modbus_write(int(meter.address), int(control.address, 16), words)
        elif profile.protocol == "dlt645":
            exchange = dlt645_credit(
                meter.address, amount_fen, number, meter.password, profile.operator,
                encoding="bcd" if control.encoding == "bcd" else "binary",
            )  # fmt: skip
        else:
            return DeviceError(0, f"{profile.protocol} carries no credit")
        return (await self.ask(exchange)).error


class _CreditBook:
    """The database side of a purchase; each call is one transaction."""

    def __init__(self, row: dict, meter: Meter, device: _CreditMeter, store) -> None:
        self.row, self.meter, self.device, self.store = row, meter, device, store

    async def _run(self, statement: str, held: Held | None = None, **values) -> bool:
        values |= {"id": self.row["id"], "number": self.row["number"]}
        if held is not None:
            values |= {"count": held.count, "remaining": held.remaining}

        async def work(connection):
            cursor = await connection.execute(statement, values)
            changed = cursor.rowcount == 1
            if held is not None:
                found = self.device.values
                await connection.execute(
                    _CREDIT_STATE,
                    {
                        "count": found.get("purchase_count"), "credit": found.get("remaining"),
                        "debt": found.get("overdraft"), "state": self.meter.state_id,
                    },
                )  # fmt: skip
            if changed and "reason" in values:
                detail = f"purchase {self.row['number']}: {rules.REASONS[values['reason']]}"
                await _journal(connection, self.meter, "credit_stopped", detail, "alarm")
            return changed

        return await self.store.transaction(work)

    async def unlock(self) -> None:
        async def work(connection):
            await connection.execute(
                "UPDATE prepay_meter SET credit_locked = false WHERE id = %s AND credit_series = %s",
                [self.meter.id, self.row["series"]],
            )

        await self.store.transaction(work)

    async def mark_sent(self, held: Held) -> bool:
        return await self._run(_MARK_CREDIT, held)

    async def confirm(self, held: Held) -> None:
        await self._run(_CONFIRM_CREDIT, held)

    async def stop(self, reason: str, held: Held, detail: str) -> None:
        await self._run(_STOP_CREDIT, held, reason=reason, detail=detail[:500] or None)

    async def postpone(self, seconds: float, detail: str) -> None:
        await self._run(_POSTPONE_CREDIT, wait=seconds, detail=detail[:500])


async def _carry_out_credit(task: Task, meter: Meter, ask: driver.Ask, store) -> None:
    async def load(connection):
        cursor = connection.cursor(row_factory=dict_row)
        return await (await cursor.execute(_LOAD_CREDIT, [task.id])).fetchone()

    row = await store.transaction(load)
    if row is None:
        return
    device = _CreditMeter(meter, ask)
    book = _CreditBook(row, meter, device, store)
    try:
        await deliver(row, device, book)
    except (NoReply, GatewayOffline) as error:
        place = min(row["attempts"], len(RETRY_AFTER) - 2)
        await book.postpone(RETRY_AFTER[place], str(error))
        raise
