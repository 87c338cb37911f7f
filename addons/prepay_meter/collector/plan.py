"""Requests made from the points of a profile, prepared once and used at every poll."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time

from ..protocols import values
from .config import Point, Profile

#: Modbus allows 125 registers in one read.
MAX_REGISTERS = 125
#: Encodings that one struct.unpack can decode: format and registers.
_PACKED = {
    "u16": ("H", 1),
    "i16": ("h", 1),
    "u32": ("I", 2),
    "i32": ("i", 2),
}

Value = int | str | date | time | datetime | None


@dataclass(frozen=True, slots=True)
class Block:
    """One request and the points that its answer holds.

    ``address`` and ``size`` count registers for Modbus; otherwise ``address`` is the data
    identifier. Whole numbers with a whole scale, which are nearly all, come out of one
    ``struct.unpack``: ``packed`` with one (channel, factor) for each of its fields.
    """

    address: int
    size: int
    points: tuple[Point, ...]
    packed: struct.Struct | None = None
    fields: tuple[tuple[str, int], ...] = ()
    others: tuple[Point, ...] = field(default=())


def blocks(profile: Profile, kind: str, wanted: Callable[[Point], bool]) -> tuple[Block, ...]:
    """Blocks of the ``wanted`` points, made once for each ``kind`` and kept with the profile."""
    found = profile.plans.get(kind)
    if found is None:
        found = profile.plans[kind] = tuple(plan(profile, filter(wanted, profile.points)))
    return found


def plan(profile: Profile, points: Iterable[Point]) -> list[Block]:
    """Group points into as few requests as the profile allows."""
    if profile.protocol != "modbus":
        grouped: dict[int, list[Point]] = {}
        for point in points:
            grouped.setdefault(int(point.address, 16), []).append(point)
        return [
            Block(address, 0, tuple(group), others=tuple(group))
            for address, group in grouped.items()
        ]
    spans: list[tuple[int, int, list[Point]]] = []
    for point in sorted(points, key=lambda item: int(item.address, 16)):
        start = int(point.address, 16)
        if spans:
            first, end, group = spans[-1]
            new_end = max(end, start + point.size)
            if start - end <= profile.block_gap and new_end - first <= MAX_REGISTERS:
                spans[-1] = (first, new_end, [*group, point])
                continue
        spans.append((start, start + point.size, [point]))
    return [_modbus_block(first, end - first, group) for first, end, group in spans]


def _modbus_block(address: int, size: int, points: list[Point]) -> Block:
    layout, fields, others, at = ">", [], [], address
    for point in points:
        start = int(point.address, 16)
        code, registers = _PACKED.get(point.encoding, ("", 0))
        whole = point.scale == point.scale.to_integral_value()
        plain = point.word_order == "high" or registers == 1
        if code and whole and plain and point.size == registers and start >= at:
            layout += f"{2 * (start - at)}x{code}"
            fields.append((point.channel, int(point.scale)))
            at = start + registers
        else:
            others.append(point)
    layout += f"{2 * (address + size - at)}x"
    packed = struct.Struct(layout) if fields else None
    return Block(address, size, tuple(points), packed, tuple(fields), tuple(others))


def decode(profile: Profile, block: Block, data: bytes, found: dict[str, Value]) -> None:
    """Put the values of ``block`` into ``found``, in base units.

    :raises ValueError: the bytes are no such values; names channel and address
    """
    if block.packed is not None:
        try:
            numbers = block.packed.unpack(data)
        except struct.error:
            raise ValueError(f"{len(data)} data bytes instead of {block.packed.size}") from None
        for (channel, factor), number in zip(block.fields, numbers):
            found[channel] = number * factor
    for point in block.others:
        try:
            found[point.channel] = decode_point(profile, block, point, data)
        except ValueError as error:
            raise ValueError(f"{point.channel} at {point.address}: {error}") from None


def raw(profile: Profile, block: Block, point: Point, data: bytes) -> bytes:
    """The bytes of one point.

    :raises ValueError: the answer is too short
    """
    if profile.protocol == "modbus":
        start, size = (int(point.address, 16) - block.address) * 2, point.size * 2
    else:
        start, size = point.offset, point.size
    field_bytes = data[start : start + size]
    if len(field_bytes) != size or not size:
        raise ValueError(f"{len(data)} data bytes hold no field of {size} at {start}")
    return field_bytes


def decode_point(profile: Profile, block: Block, point: Point, data: bytes) -> Value:
    """Value of one point: a number in base units, a state, a date or a time.

    :raises ValueError: bytes that are no such value
    """
    field_bytes = raw(profile, block, point, data)
    order = "big" if profile.protocol == "modbus" else "little"
    if point.encoding == "bit":
        return "open" if int.from_bytes(field_bytes, order) >> point.bit & 1 else "closed"
    if point.encoding == "state":
        number = int.from_bytes(field_bytes, order) & (point.mask or -1)
        if point.states and number not in point.states:
            raise ValueError(f"value {number:#x} is not among the states of the profile")
        state = point.states.get(number, str(number))
        if point.channel == "battery_low":
            return int(state in ("1", "low", "true"))
        return None if state == "unknown" else state
    if point.encoding == "control":
        for action in ("open", "closed"):
            control = profile.controls.get(action)
            if control and field_bytes == b"".join(
                word.to_bytes(2, "big") for word in control.payload
            ):
                return action
        return None  # the meter is under its own control: no statement about the relay
    if point.encoding == "clock_bcd":
        return _bcd_clock(field_bytes, point.channel)
    if point.encoding == "clock_binary":
        return _binary_clock(field_bytes)
    return values.decode(
        field_bytes, point.encoding, point.scale, size=len(field_bytes), word_order=point.word_order
    )


def _bcd_clock(data: bytes, channel: str) -> Value:
    """DL/T 645 date (WW DD MM YY), time (ss mm hh) or both; CJ/T 188 ss mm hh DD MM YY YY."""
    digits = [int(f"{byte:02X}") for byte in data]  # a digit above 9 is a ValueError
    if channel == "clock_date":
        return date(2000 + digits[-1], digits[-2], digits[-3])
    if channel == "clock_time":
        return time(digits[2], digits[1], digits[0])
    year = digits[5] if len(digits) < 7 else digits[6] * 100 + digits[5]
    if len(digits) == 7 and digits[6] < 19:  # the century came first
        year = digits[5] * 100 + digits[6]
    return datetime(  # noqa: DTZ001 - the meter's local time
        year if year > 99 else 2000 + year, digits[4], digits[3], digits[2], digits[1], digits[0]
    )


def _binary_clock(data: bytes) -> Value:
    """ADF400L words: seconds and minutes, hours and week, day and month, year (0x090B to 0x090E)."""
    if len(data) != 8:
        raise ValueError(f"{len(data)} bytes instead of 8")
    second, minute, hour, _week, day, month, _zero, year = data
    return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - as above
