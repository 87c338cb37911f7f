"""Device bytes to integers in base units, and back.

Base units: Wh, W, mV, mA, litres; the scale of a point turns one step of the raw number into
them. 0.01 kWh per step is Decimal("10"); 0.0001 kW per step is Decimal("0.1"). No floats.
"""

import math
import struct
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal

INTEGERS = {
    # name: (bytes, byte order, signed)
    "u16": (2, "big", False),
    "i16": (2, "big", True),
    "u32": (4, "big", False),
    "i32": (4, "big", True),
    "u64": (8, "big", False),
    "i64": (8, "big", True),
    "u16le": (2, "little", False),  # status words of DL/T 645
}
"""Binary encodings. Modbus sends the high byte first, and nearly always the high word."""

FLOATS = {"f32": (4, ">f")}
"""IEEE 754, turned into an integer in base units as soon as it is read."""

WORD_ORDERS = ("high", "low")
"""Which 16-bit word of a value comes first; the high byte of each word always does."""

MAX_VALUE = 2**63 - 1
"""What the database stores."""

BCD = {"bcd": False, "bcd_signed": True}
"""Packed decimal of DL/T 645, low byte first; signed: the top bit of the top byte is the sign."""

ENCODINGS = (*INTEGERS, *FLOATS, *BCD)
SIZES = {name: spec[0] for name, spec in (INTEGERS | FLOATS).items()}
"""Bytes of each encoding that has a fixed size."""

MAX_BCD_BYTES = 8
_FILLERS = {0xFF: "FF", 0xEE: "EE"}


def decode_bcd(raw: bytes, signed: bool = False) -> int:
    """Integer behind the packed decimal digits of `raw`, low byte first.

    >>> decode_bcd(bytes.fromhex("42061200"))
    120642
    >>> decode_bcd(bytes.fromhex("500080"), signed=True)
    -50

    :raises ValueError: no bytes or too many, FF or EE filler (the meter has no such value), or
        a nibble above 9
    """
    if not 1 <= len(raw) <= MAX_BCD_BYTES:
        raise ValueError(f"{len(raw)} BCD bytes, expected 1 to {MAX_BCD_BYTES}")
    if raw[0] in _FILLERS and raw.count(raw[0]) == len(raw):
        raise ValueError(f"filled with {_FILLERS[raw[0]]}: the meter has no value here")
    digits = bytearray(reversed(raw))
    negative = signed and digits[0] >= 0x80
    if negative:
        digits[0] &= 0x7F
    text = digits.hex()
    if not text.isdigit():
        raise ValueError(f"BCD digit above 9 in {raw.hex(' ').upper()}")
    return -int(text) if negative else int(text)


def encode_bcd(value: int, size: int, signed: bool = False) -> bytes:
    """Packed decimal of `value` in `size` bytes, low byte first.

    :raises ValueError: the value does not fit
    """
    text = str(abs(value)).zfill(2 * size)
    if len(text) > 2 * size or (value < 0 and not signed):
        raise ValueError(f"{value} does not fit in {size} BCD bytes")
    raw = bytearray(reversed(bytes.fromhex(text)))
    if signed:
        if raw[-1] >= 0x80:
            raise ValueError(f"{value} does not fit in {size} signed BCD bytes")
        if value < 0:
            raw[-1] |= 0x80
    return bytes(raw)


def _in_word_order(raw: bytes, encoding: str, word_order: str) -> bytes:
    """`raw` with the high word first."""
    if word_order not in WORD_ORDERS:
        raise ValueError(f"unknown word order {word_order!r}, expected high or low")
    if word_order == "high" or len(raw) % 2 or encoding in BCD:
        return raw
    return b"".join(raw[at : at + 2] for at in range(len(raw) - 2, -1, -2))


def decode_raw(raw: bytes, encoding: str, word_order: str = "high") -> int | Decimal:
    """Unscaled number of `raw` in `encoding`: an integer, of a float its exact Decimal.

    `word_order` is that of Modbus registers and has no meaning for the BCD encodings.

    :raises ValueError: unknown encoding or order, wrong length, or bytes that are no such number
        (NaN and infinite floats among them)
    """
    raw = _in_word_order(raw, encoding, word_order)
    if encoding in BCD:
        return decode_bcd(raw, BCD[encoding])
    if encoding not in SIZES:
        raise ValueError(f"unknown encoding {encoding!r}, expected one of {', '.join(ENCODINGS)}")
    if len(raw) != SIZES[encoding]:
        raise ValueError(f"{len(raw)} bytes for {encoding}, expected {SIZES[encoding]}")
    if encoding in FLOATS:
        (number,) = struct.unpack(FLOATS[encoding][1], raw)
        if not math.isfinite(number):
            raise ValueError(f"{raw.hex(' ').upper()} is no finite number")
        return Decimal(number)
    _, order, signed = INTEGERS[encoding]
    return int.from_bytes(raw, order, signed=signed)


def encode_raw(
    value: int | Decimal, encoding: str, size: int | None = None, word_order: str = "high"
) -> bytes:
    """Bytes of an unscaled number; `size` is needed for the BCD encodings.

    :raises ValueError: unknown encoding or order, no size, or the value does not fit
    """
    if encoding in BCD:
        if size is None:
            raise ValueError(f"encoding {encoding} needs a size in bytes")
        return encode_bcd(value, size, BCD[encoding])
    if encoding not in SIZES:
        raise ValueError(f"unknown encoding {encoding!r}, expected one of {', '.join(ENCODINGS)}")
    try:
        if encoding in FLOATS:
            raw = struct.pack(FLOATS[encoding][1], value)
        else:
            fixed, order, signed = INTEGERS[encoding]
            raw = value.to_bytes(fixed, order, signed=signed)
    except OverflowError as error:
        raise ValueError(f"{value} does not fit in {encoding}") from error
    return _in_word_order(raw, encoding, word_order)


def scaled(number: int | Decimal, scale: Decimal) -> int:
    """`number` × `scale` as an integer in base units, halves to even.

    :raises ValueError: more than the database stores
    """
    value = number * scale
    if abs(value) > MAX_VALUE:
        raise ValueError(f"{value:.6g} is beyond what can be stored")
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def field_of(data: bytes, offset: int, size: int) -> bytes:
    """The `size` bytes of `data` at `offset`.

    :raises ValueError: they lie outside
    """
    raw = data[offset : offset + size]
    if offset < 0 or size < 1 or len(raw) != size:
        raise ValueError(f"{len(data)} data bytes hold no field of {size} at {offset}")
    return raw


def decode(
    data: bytes,
    encoding: str,
    scale: Decimal = Decimal(1),
    offset: int = 0,
    size: int | None = None,
    word_order: str = "high",
) -> int:
    """Value of the field of `data` at `offset`, in base units.

    `size` in bytes; by default the encoding's own, or for BCD all that follows.

    >>> decode(bytes.fromhex("42061200"), "bcd", Decimal(10))  # 1206.42 kWh in Wh
    1206420
    >>> decode(bytes.fromhex("0001 86A0 08FC"), "u16", Decimal(100), offset=4)  # 230.0 V in mV
    230000
    >>> decode(bytes.fromhex("42F6 E979"), "f32", Decimal(1000))  # 123.456 kWh in Wh
    123456
    >>> decode(bytes.fromhex("86A0 0001"), "u32", word_order="low")
    100000

    :raises ValueError: the field lies outside `data`, does not hold such a number, or holds one
        beyond what the database stores
    """
    if size is None:
        size = SIZES.get(encoding, len(data) - offset)
    return scaled(decode_raw(field_of(data, offset, size), encoding, word_order), scale)


def state(
    data: bytes,
    states: Mapping[int, str],
    mask: int = -1,
    offset: int = 0,
    size: int | None = None,
    byte_order: str = "big",
) -> str:
    """Name of the state in the field of `data` at `offset`: its number under `mask`, looked up.

    The number is not shifted: the keys of `states` have their bits where `mask` has them.
    `byte_order`: "big" for Modbus registers, "little" for DL/T 645 and CJ/T 188.

    >>> state(bytes.fromhex("01 00"), {0: "closed", 1: "open", 3: "fault"}, mask=3, byte_order="little")
    'open'

    :raises ValueError: the field lies outside `data`, or holds a state that is not listed
    """
    if byte_order not in ("big", "little"):
        raise ValueError(f"unknown byte order {byte_order!r}, expected big or little")
    raw = field_of(data, offset, len(data) - offset if size is None else size)
    number = int.from_bytes(raw, byte_order) & mask
    if number not in states:
        raise ValueError(f"state 0x{number:X} in {raw.hex(' ').upper()} is not known")
    return states[number]
