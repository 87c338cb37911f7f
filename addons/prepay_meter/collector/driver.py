"""Meter operations in terms of profiles: read points, write the relay, prove the relay.

One function for each operation; what differs between protocols is which exchange is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..protocols import values
from ..protocols.errors import Outcome
from ..protocols.exchange import (
    Exchange,
    Reply,
    dlt645_read,
    dlt645_relay,
    modbus_read,
    modbus_write,
)
from .config import Meter, Point
from .link import NoReply

Ask = Callable[[Exchange], Awaitable[Reply]]
#: Modbus allows 125 registers in one read.
MAX_REGISTERS = 125


@dataclass(frozen=True, slots=True)
class Block:
    """One request and the points that its answer holds."""

    address: int
    size: int
    points: tuple[Point, ...]


def plan(meter: Meter, points: Iterable[Point]) -> list[Block]:
    """Group points into as few requests as the profile allows."""
    if meter.profile.protocol == "dlt645":
        grouped: dict[int, list[Point]] = {}
        for point in points:
            grouped.setdefault(int(point.address, 16), []).append(point)
        return [Block(address, 0, tuple(group)) for address, group in grouped.items()]
    blocks: list[Block] = []
    for point in sorted(points, key=lambda item: int(item.address, 16)):
        start = int(point.address, 16)
        if blocks:
            last = blocks[-1]
            end = max(last.address + last.size, start + point.size)
            gap = start - (last.address + last.size)
            if gap <= meter.profile.block_gap and end - last.address <= MAX_REGISTERS:
                blocks[-1] = Block(last.address, end - last.address, (*last.points, point))
                continue
        blocks.append(Block(start, point.size, (point,)))
    return blocks


async def read(meter: Meter, points: Iterable[Point], ask: Ask) -> dict[str, int | str | None]:
    """Values of ``points`` by channel, in base units; the relay as "open", "closed" or None.

    :raises NoReply: also for a refusal of the device and for values that are no numbers
    """
    found: dict[str, int | str | None] = {}
    for block in plan(meter, points):
        if meter.profile.protocol == "dlt645":
            reply = await ask(dlt645_read(meter.address, f"{block.address:08X}"))
        else:
            reply = await ask(modbus_read(int(meter.address), block.address, block.size))
        if reply.error is not None:
            raise NoReply(Outcome.EXCEPTION, f"address {block.address:04X}: {reply.error}")
        for point in block.points:
            try:
                found[point.channel] = _decode(meter, block, point, reply.data)
            except ValueError as error:
                raise NoReply(
                    Outcome.MALFORMED, f"{point.channel} at {point.address}: {error}"
                ) from None
    return found


def _decode(meter: Meter, block: Block, point: Point, data: bytes) -> int | str | None:
    if meter.profile.protocol == "dlt645":
        start, size = point.offset, point.size
    else:
        start, size = (int(point.address, 16) - block.address) * 2, point.size * 2
    if point.encoding == "bit":
        order = "little" if meter.profile.protocol == "dlt645" else "big"
        raw = data[start : start + size]
        if len(raw) != size:
            raise ValueError(f"{len(data)} data bytes hold no field of {size} at {start}")
        return "open" if int.from_bytes(raw, order) >> point.bit & 1 else "closed"
    if point.encoding == "control":
        raw = data[start : start + size]
        for action, control in meter.profile.controls.items():
            if raw == b"".join(word.to_bytes(2, "big") for word in control.payload):
                return action
        return None  # the meter is under its own control: no statement about the relay
    return values.decode(data, point.encoding, point.scale, start, size)


async def write_relay(meter: Meter, target: str, now: datetime, ask: Ask) -> None:
    """Command the relay. A normal answer means that the command was taken, not that the relay moved.

    :param now: aware time; DL/T 645 commands carry a time limit in the meter's local time
    :raises NoReply: no answer or a refusal
    """
    control = meter.profile.controls.get(target)
    if control is None:
        raise NoReply(Outcome.EXCEPTION, f"the profile has no control “{target}”")
    if meter.profile.protocol == "dlt645":
        until = None
        if meter.profile.validity:
            until = (now.astimezone(meter.tz) + timedelta(seconds=meter.profile.validity)).replace(
                tzinfo=None
            )
        exchange = dlt645_relay(
            meter.address, control.payload[0], meter.password, meter.profile.operator, until
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


def relay_points(meter: Meter) -> list[Point]:
    """The points that show the relay: its state, and the load as support."""
    return [point for point in meter.profile.points if point.channel in ("relay", "power")]


def weigh(meter: Meter, found: dict[str, int | str | None]) -> RelayEvidence:
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
    if proof in ("status", "control") and relay is not None:
        supported = power is not None and loaded == (relay == "closed")
        return RelayEvidence(relay, f"{proof}_load" if supported else proof, power)
    if proof != "none" and loaded:
        return RelayEvidence("closed", "load", power)
    return RelayEvidence(None, None, power)
