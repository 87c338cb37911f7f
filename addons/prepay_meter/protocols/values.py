"""Device bytes to integers in base units, and back.

Base units: Wh, W, mV, mA, litres; the scale of a point turns one step of the raw number into
them. 0.01 kWh per step is Decimal("10"); 0.0001 kW per step is Decimal("0.1"). No floats.
"""

from decimal import ROUND_HALF_EVEN, Decimal

INTEGERS = {
    # name: (bytes, byte order, signed)
    "u16": (2, "big", False),
    "i16": (2, "big", True),
    "u32": (4, "big", False),
    "i32": (4, "big", True),
    "u16le": (2, "little", False),  # status words of DL/T 645
}
"""Binary encodings. Modbus sends the high word and the high byte first."""

BCD = {"bcd": False, "bcd_signed": True}
"""Packed decimal of DL/T 645, low byte first; signed: the top bit of the top byte is the sign."""

ENCODINGS = (*INTEGERS, *BCD)

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


def decode_raw(raw: bytes, encoding: str) -> int:
    """Unscaled integer of `raw` in `encoding`.

    :raises ValueError: unknown encoding, wrong length, or bytes that are no such number
    """
    if encoding in BCD:
        return decode_bcd(raw, BCD[encoding])
    if encoding not in INTEGERS:
        raise ValueError(f"unknown encoding {encoding!r}, expected one of {', '.join(ENCODINGS)}")
    size, order, signed = INTEGERS[encoding]
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes for {encoding}, expected {size}")
    return int.from_bytes(raw, order, signed=signed)


def encode_raw(value: int, encoding: str, size: int | None = None) -> bytes:
    """Bytes of an unscaled integer; `size` is needed for the BCD encodings.

    :raises ValueError: unknown encoding, no size, or the value does not fit
    """
    if encoding in BCD:
        if size is None:
            raise ValueError(f"encoding {encoding} needs a size in bytes")
        return encode_bcd(value, size, BCD[encoding])
    if encoding not in INTEGERS:
        raise ValueError(f"unknown encoding {encoding!r}, expected one of {', '.join(ENCODINGS)}")
    fixed, order, signed = INTEGERS[encoding]
    try:
        return value.to_bytes(fixed, order, signed=signed)
    except OverflowError as error:
        raise ValueError(f"{value} does not fit in {encoding}") from error


def scaled(number: int, scale: Decimal) -> int:
    """`number` × `scale` as an integer in base units, halves to even."""
    return int((number * scale).to_integral_value(ROUND_HALF_EVEN))


def decode(
    data: bytes,
    encoding: str,
    scale: Decimal = Decimal(1),
    offset: int = 0,
    size: int | None = None,
) -> int:
    """Value of the field of `data` at `offset`, in base units.

    `size` in bytes; by default the encoding's own, or for BCD all that follows.

    >>> decode(bytes.fromhex("42061200"), "bcd", Decimal(10))  # 1206.42 kWh in Wh
    1206420
    >>> decode(bytes.fromhex("0001 86A0 08FC"), "u16", Decimal(100), offset=4)  # 230.0 V in mV
    230000

    :raises ValueError: the field lies outside `data`, or does not hold such a number
    """
    if size is None:
        size = INTEGERS[encoding][0] if encoding in INTEGERS else len(data) - offset
    field = data[offset : offset + size]
    if offset < 0 or size < 1 or len(field) != size:
        raise ValueError(f"{len(data)} data bytes hold no field of {size} at {offset}")
    return scaled(decode_raw(field, encoding), scale)
