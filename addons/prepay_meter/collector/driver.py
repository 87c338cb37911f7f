"""Meter operations in terms of profiles: read points, write the relay, prove the relay.

One function for each operation; what differs between protocols is which exchange is asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from ..protocols.errors import Outcome
from ..protocols.exchange import (
    Exchange,
    Reply,
    cjt188_read,
    cjt188_write,
    dlt645_read,
    dlt645_read_next,
    dlt645_relay,
    modbus_read,
    modbus_write,
)
from . import plan
from .config import Meter, Point, Profile
from .link import NoReply
from .plan import Block, Value

Ask = Callable[[Exchange], Awaitable[Reply]]
#: Frames of one DL/T 645 answer that goes on and on.
MAX_FOLLOWING = 16
_serials = itertools.count(1)


def next_serial() -> int:
    """Serial number of a CJ/T 188 request: tells its answer from an older one."""
    return next(_serials) & 0xFF


async def read(meter: Meter, full: bool, ask: Ask) -> dict[str, Value]:
    """Values by channel, in base units; the relay as "open", "closed" or None.

    :param full: also the points that are not read each time. A meter that does not have them, or
        fails to give them, is read without them.
    :raises NoReply: also for a refusal of the device and for values that are no numbers
    """
    profile = meter.profile
    found = await read_blocks(meter, frequent_blocks(profile), ask)
    seldom: tuple[Block, ...] = ()
    if full:
        seldom = plan.blocks(profile, "seldom", lambda point: not point.frequent)
    elif meter.malicious_step_w:
        # A malicious load is told by its power factor.
        seldom = plan.blocks(profile, "load", _is_seldom_factor)
    for block in seldom:
        try:
            found |= await read_blocks(meter, (block,), ask)
        except NoReply as error:
            if error.outcome is Outcome.TIMEOUT:
                break  # the others would cost as much
    _join_clock(found)
    return found


async def read_relay(meter: Meter, ask: Ask) -> dict[str, Value]:
    """The points that show the relay: its state, and the load as support."""
    return await read_blocks(meter, plan.blocks(meter.profile, "relay", _is_of_relay), ask)


def frequent_blocks(profile: Profile) -> tuple[Block, ...]:
    """What each poll reads."""
    return plan.blocks(profile, "frequent", _is_frequent)


def values(meter: Meter, block: Block, reply: Reply) -> dict[str, Value]:
    """What a whole answer to ``block`` holds, by channel, as `read` returns it.

    :raises NoReply: a refusal of the device, or values that are no numbers
    """
    found: dict[str, Value] = {}
    try:
        plan.decode(meter.profile, block, _data(reply, block), found)
    except ValueError as error:
        raise NoReply(Outcome.MALFORMED, str(error)) from None
    _join_clock(found)
    return found


def _is_frequent(point: Point) -> bool:
    return point.frequent


def _is_seldom_factor(point: Point) -> bool:
    return point.channel == "power_factor" and not point.frequent


def _is_of_relay(point: Point) -> bool:
    return point.channel in ("relay", "power")


async def read_blocks(meter: Meter, blocks: tuple[Block, ...], ask: Ask) -> dict[str, Value]:
    """Values of the given blocks by channel.

    :raises NoReply: see `read`
    """
    found: dict[str, Value] = {}
    for block in blocks:
        reply = await ask(request(meter, block))
        data = await _following(meter, block, reply, ask) if reply.more else _data(reply, block)
        try:
            plan.decode(meter.profile, block, data, found)
        except ValueError as error:
            raise NoReply(Outcome.MALFORMED, str(error)) from None
    return found


async def read_block(meter: Meter, block: Block, ask: Ask) -> bytes:
    """Data bytes of one block.

    :raises NoReply: no answer, or a refusal
    """
    return await _following(meter, block, await ask(request(meter, block)), ask)


def request(meter: Meter, block: Block) -> Exchange:
    """What asks for a block."""
    profile = meter.profile
    if profile.protocol == "modbus":
        return modbus_read(int(meter.address), block.address, block.size, profile.function)
    if profile.protocol == "dlt645":
        return dlt645_read(meter.address, f"{block.address:08X}")
    return cjt188_read(
        profile.meter_type,
        meter.address,
        f"{block.address:04X}",
        next_serial(),
        profile.di_order,
    )


async def _following(meter: Meter, block: Block, reply: Reply, ask: Ask) -> bytes:
    """The data of ``reply`` and of the answers that follow it."""
    data = _data(reply, block)
    sequence = 0
    while reply.more and sequence < MAX_FOLLOWING:
        sequence += 1
        reply = await ask(dlt645_read_next(meter.address, f"{block.address:08X}", sequence))
        data += _data(reply, block)
    return data


def _data(reply: Reply, block: Block) -> bytes:
    if reply.error is not None:
        raise NoReply(Outcome.EXCEPTION, f"address {block.address:04X}: {reply.error}")
    return reply.data


def _join_clock(found: dict[str, Value]) -> None:
    """Date and time of DL/T 645 are two identifiers: make one clock of them."""
    if "clock_date" not in found and "clock_time" not in found:
        return
    day, at = found.pop("clock_date", None), found.pop("clock_time", None)
    if isinstance(day, date) and isinstance(at, time):
        found["clock"] = datetime.combine(day, at)


async def write_relay(meter: Meter, target: str, now: datetime, ask: Ask) -> None:
    """Command the relay. A normal answer means that the command was taken, not that the relay moved.

    :param now: aware time; DL/T 645 commands carry a time limit in the meter's local time
    :raises NoReply: no answer or a refusal
    """
    profile = meter.profile
    control = profile.controls.get(target)
    if control is None:
        raise NoReply(Outcome.EXCEPTION, f"the profile has no control “{target}”")
    if not control.writable:
        raise NoReply(Outcome.EXCEPTION, f"the profile does not release the control “{target}”")
    if profile.protocol == "dlt645":
        until = None
        if profile.validity:
            until = now.astimezone(meter.tz) + timedelta(seconds=profile.validity)
            until = until.replace(tzinfo=None)
        exchange = dlt645_relay(
            meter.address, control.payload[0], meter.password, profile.operator, until
        )
    elif profile.protocol == "cjt188":
        exchange = cjt188_write(
            profile.meter_type,
            meter.address,
            control.address,
            bytes(control.payload),
            next_serial(),
            profile.di_order,
        )
    else:
        exchange = modbus_write(int(meter.address), int(control.address, 16), list(control.payload))
    reply = await ask(exchange)
    if reply.error is not None:
        raise NoReply(Outcome.EXCEPTION, f"relay command: {reply.error}")


@dataclass(frozen=True, slots=True)
class RelayEvidence:
    """What a read-back showed. ``state`` None: nothing was proven; ``contradiction`` says why not."""

    state: str | None
    proof: str | None
    power_w: int | None
    contradiction: str | None = None


def weigh(meter: Meter, found: dict[str, Value]) -> RelayEvidence:
    """Judge the relay from values just read, by the proof that the profile names (S-12).

    Load flowing through an open relay contradicts every other sign. Missing load proves nothing:
    an empty room draws none.
    """
    relay = found.get("relay")
    power = found.get("power")
    loaded = power is not None and abs(power) > meter.profile.load_limit_w
    proof = meter.profile.relay_proof
    if relay == "open" and loaded:
        contradiction = f"relay reads open, yet {power} W flow"
        return RelayEvidence(None, None, power, contradiction)
    if proof in ("status", "control") and relay in ("open", "closed"):
        supported = power is not None and loaded == (relay == "closed")
        return RelayEvidence(relay, f"{proof}_load" if supported else proof, power)
    if proof != "none" and loaded:
        return RelayEvidence("closed", "load", power)
    return RelayEvidence(None, None, power)
