"""Values of control actions to bytes and back, by the control of the profile. No sockets, no clock.

A limit is an integer in base units (W, fen), a clock a local time without zone, a plan the document
of `plans`. Which bytes a maker wants is data of the profile; what it cannot carry is a ValueError.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

from ..plans import RESTDAYS, WORKDAYS
from ..protocols import values
from .config import Control

#: Registers of one day in a time control: eight times of three bytes.
_DAY_BYTES = 24


def encode(control: Control, value: object) -> bytes:
    """Bytes of ``value`` as they are written; register words high byte first.

    A clock of DL/T 645 has seven: four of the date, then three of the time of day.

    :param value: int, datetime or plan document, as the encoding wants it
    :raises ValueError: the meter type cannot carry this value
    """
    encoding = control.encoding
    if encoding == "clock_binary":
        return _clock_words(value)
    if encoding == "clock_bcd":
        return _date_bcd(value) + _time_bcd(value)
    if encoding == "day_plan":
        return _day_plan(value)
    if encoding in ("slots_hm", "slots_mh"):
        return _slots(value, encoding, control.size * 2)
    raw = Decimal(value) / control.scale
    if raw != raw.to_integral_value():
        raise ValueError(f"{value} is no multiple of {control.scale}, the step of this meter")
    size = control.size if encoding == "bcd" else None
    return values.encode_raw(int(raw), encoding, size, control.word_order)


def decode(control: Control, data: bytes) -> object:
    """The value behind the bytes that were read back; for a plan the document.

    :raises ValueError: the bytes are no such value
    """
    encoding = control.encoding
    if encoding == "clock_binary":
        if len(data) != 8:
            raise ValueError(f"{len(data)} bytes of a clock, expected 8")
        second, minute, hour, _week, day, month, _zero, year = data
        return datetime.combine(date(2000 + year, month, day), time(hour, minute, second))
    if encoding == "clock_bcd":
        return _from_bcd_clock(data)
    if encoding == "day_plan":
        return _from_day_plan(data)
    if encoding in ("slots_hm", "slots_mh"):
        return _from_slots(data, encoding)
    return values.decode(data, encoding, control.scale, word_order=control.word_order)


def words(data: bytes) -> list[int]:
    """Registers of ``data``, high byte first; an odd byte is filled up with zero."""
    data += b"\0" * (len(data) % 2)
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def _clock_words(at: datetime) -> bytes:
    # The week byte counts differently between makers (0 or 1 for Sunday): nobody here reads it.
    return bytes(
        (at.second, at.minute, at.hour, at.isoweekday() % 7, at.day, at.month, 0, at.year % 100)
    )


def _date_bcd(at: datetime) -> bytes:
    return bytes.fromhex(f"{at.isoweekday() % 7:02d}{at:%d%m%y}")


def _time_bcd(at: datetime) -> bytes:
    return bytes.fromhex(f"{at:%S%M%H}")


def _from_bcd_clock(data: bytes) -> datetime:
    if len(data) != 7:
        raise ValueError(f"{len(data)} bytes of date and time, expected 7")
    text = data.hex()
    if not text.isdigit():
        raise ValueError(f"no decimal digits: {text}")
    _week, day, month, year, second, minute, hour = (int(f"{byte:02X}") for byte in data)
    return datetime.combine(date(2000 + year, month, day), time(hour, minute, second))


def _slot(at: str, state: int) -> bytes:
    hour, minute = int(at[:2]), int(at[3:])
    if not (state or hour or minute):
        raise ValueError("off at 00:00 looks like an unused slot in this meter; take 00:01")
    return bytes((state, hour, minute))


def _day_plan(document: list[dict]) -> bytes:
    """Switch on, work day, rest day (eight times of switch, hour, minute), word of the rest days.

    The rest-day word has bit 0 for Sunday (needs a bench meter).
    """
    if not document:
        return bytes(2 + 2 * _DAY_BYTES + 2)
    if len(document) > 2:
        raise ValueError("the meter knows two kinds of days, the plan has more")
    groups = {tuple(group["days"]): group["times"] for group in document}
    everyday = (*WORKDAYS, *RESTDAYS)
    if sum(len(days) for days in groups) != len(everyday):
        raise ValueError("the meter needs times for every day of the week")
    ordered = sorted(groups, key=len, reverse=True)
    work, rest = ordered[0], ordered[-1]
    body = b""
    for days in (work, rest):
        slots = b"".join(_slot(at, int(state == "on")) for at, state in groups[days])
        if not slots:
            raise ValueError("the meter needs times for every day of the week")
        body += slots.ljust(_DAY_BYTES, b"\0")
    marks = sum(1 << (day + 1) % 7 for day in (rest if len(groups) == 2 else ()))
    return (1).to_bytes(2, "big") + body + marks.to_bytes(2, "big")


def _from_day_plan(data: bytes) -> list[dict]:
    if len(data) != 2 + 2 * _DAY_BYTES + 2:
        raise ValueError(f"{len(data)} bytes of time control")
    if not int.from_bytes(data[:2], "big"):
        return []
    marks = int.from_bytes(data[-2:], "big")
    rest = [day for day in range(7) if marks >> (day + 1) % 7 & 1]
    found = []
    for days, start in (
        ([day for day in range(7) if day not in rest], 2),
        (rest, 2 + _DAY_BYTES),
    ):
        part = data[start : start + _DAY_BYTES]
        slots = [part[i : i + 3] for i in range(0, _DAY_BYTES, 3)]
        times = [
            [f"{hour:02d}:{minute:02d}", "on" if state else "off"]
            for state, hour, minute in slots
            if state or hour or minute
        ]
        if days:
            found.append({"days": days, "times": times})
    return sorted(found, key=lambda group: group["days"])


def _slots(document: list[list], encoding: str, size: int) -> bytes:
    if len(document) * 3 > size:
        raise ValueError(f"{len(document)} slots, the meter keeps {size // 3}")
    body = b""
    for at, rate in document:
        hour, minute = int(at[:2]), int(at[3:])
        body += bytes((rate, hour, minute) if encoding == "slots_hm" else (rate, minute, hour))
    return body.ljust(size, b"\0")


def _from_slots(data: bytes, encoding: str) -> list[list]:
    found: list[list] = []
    for i in range(0, len(data) - 2, 3):
        rate, first, second = data[i : i + 3]
        hour, minute = (first, second) if encoding == "slots_hm" else (second, first)
        if not rate:
            break
        if hour > 23 or minute > 59:
            raise ValueError(f"{hour}:{minute} is no time of day")
        found.append([f"{hour:02d}:{minute:02d}", rate])
    return found
