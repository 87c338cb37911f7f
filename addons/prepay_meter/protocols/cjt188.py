"""CJ/T 188 frames of water and other utility meters: building requests, parsing answers.

A frame is `68`, meter type, seven address bytes, control, length, data, checksum, `16`, behind any
number of `FE` bytes. The address is fourteen decimal digits, low byte first (the top four are the
maker); the checksum is the sum of all bytes from the `68`, modulo 256. Data are sent as they are:
the data identifier, a serial number that the answer repeats, and the value.

The bytes of the data identifier come high first (`90 1F`) or low first (`1F 90`), depending on the
meter; both have the same checksum. So does much else: decode by the meter's profile.
"""

from dataclasses import dataclass
from datetime import datetime

from .stream import StreamSearch

READ = 0x01
READ_ADDRESS = 0x03
WRITE = 0x04
WRITE_ADDRESS = 0x15
BASE_SYNC = 0x16

REPLY = 0x80
ERROR = 0x40

COLD_WATER = 0x10
HOT_WATER = 0x11
DRINKING_WATER = 0x12
RECLAIMED_WATER = 0x13
HEAT = 0x20
COOLING = 0x21
GAS = 0x30
ELECTRICITY = 0x40
ANY_TYPE = 0xAA
METER_TYPES = {
    "cold_water": COLD_WATER,
    "hot_water": HOT_WATER,
    "drinking_water": DRINKING_WATER,
    "reclaimed_water": RECLAIMED_WATER,
    "heat": HEAT,
    "cooling": COOLING,
    "gas": GAS,
    "electricity": ELECTRICITY,
}
"""Meter type bytes by the name that a profile uses."""

COUNTER = "901F"
"""Data identifier of the current reading."""
VALVE = "A017"
ADDRESS = "810A"
VALVE_OPEN = 0x55
VALVE_CLOSE = 0x99

VALVE_STATES = {0: "closed", 1: "open", 3: "fault"}
"""Bits 1 and 0 of the first status byte, as supply: 00 valve open (supply on), 01 valve closed,
11 fault. Makers differ: mask and values are settings of the profile."""
BATTERY_LOW = 0x04
CUBIC_METRES = 0x2C
"""Unit byte behind a volume of eight digits in 0.01 m³."""

DI_ORDERS = ("high_first", "low_first")

WILDCARD = "AA" * 7
MAX_DATA = 100
"""Longest data field of a read answer; a write has at most 50."""
_HEADER = 11  # 68, type, address, control, length
_OVERHEAD = 13
_START = 0x68
_END = 0x16


def _pairs(address: str) -> list[str]:
    return [address[index : index + 2] for index in range(0, len(address), 2)]


def address_to_wire(address: str) -> bytes:
    """Seven address bytes in wire order; `AA` stands for any two digits.

    >>> address_to_wire("78331505900569").hex()
    '69059005153378'

    :raises ValueError: not fourteen digits or AA pairs
    """
    pairs = _pairs(address.upper())
    if len(address) != 14 or not all(
        pair == "AA" or (pair.isascii() and pair.isdigit()) for pair in pairs
    ):
        raise ValueError(f"{address!r} is not a meter address of 14 digits")
    return bytes.fromhex("".join(reversed(pairs)))


def address_from_wire(raw: bytes | bytearray) -> str:
    """Fourteen characters as people read the address."""
    return raw[::-1].hex().upper()


def _is_address(raw: bytes | bytearray) -> bool:
    """Decimal digits, or AA wildcards."""
    return all(byte == 0xAA or (byte >> 4 <= 9 and byte & 0x0F <= 9) for byte in raw)


def di_to_wire(di: str, di_order: str = "high_first") -> bytes:
    """Data identifier, written as four hex digits high byte first, in wire order.

    >>> di_to_wire("901F", "low_first").hex()
    '1f90'

    :raises ValueError: not four hex digits, or an unknown order
    """
    try:
        raw = bytes.fromhex(di)
    except ValueError:
        raw = b""
    if len(di) != 4 or len(raw) != 2:
        raise ValueError(f"{di!r} is not a data identifier of 4 hex digits")
    if di_order not in DI_ORDERS:
        raise ValueError(f"unknown order {di_order!r}, expected high_first or low_first")
    return raw if di_order == "high_first" else raw[::-1]


def build(
    meter_type: int, address: str, control: int, data: bytes = b"", preamble: int = 0
) -> bytes:
    """Complete frame; `preamble` counts `FE` bytes.

    :raises ValueError: bad type, address, control or data length
    """
    if len(data) > MAX_DATA:
        raise ValueError(f"{len(data)} data bytes, at most {MAX_DATA} are allowed")
    if not (0 <= control <= 0xFF and 0 <= meter_type <= 0xFF):
        raise ValueError(f"control {control} or meter type {meter_type} is not one byte")
    body = bytes((_START, meter_type)) + address_to_wire(address) + bytes((control, len(data)))
    body += data
    return b"\xfe" * preamble + body + bytes((sum(body) & 0xFF, _END))


def _head(di: str, di_order: str, serial: int) -> bytes:
    if not 0 <= serial <= 0xFF:
        raise ValueError(f"serial number {serial} is not in 0..255")
    return di_to_wire(di, di_order) + bytes((serial,))


def read_request(
    meter_type: int,
    address: str,
    di: str,
    serial: int = 0,
    di_order: str = "high_first",
    preamble: int = 4,
) -> bytes:
    """Frame that reads the data identifier `di` (control 01).

    :raises ValueError: bad address, identifier, order or serial number
    """
    return build(meter_type, address, READ, _head(di, di_order, serial), preamble)


def read_address_request(
    meter_type: int = ANY_TYPE,
    serial: int = 0,
    di_order: str = "high_first",
    preamble: int = 4,
) -> bytes:
    """Frame that asks the only meter on a line for its address (control 03)."""
    head = _head(ADDRESS, di_order, serial)
    return build(meter_type, WILDCARD, READ_ADDRESS, head, preamble)


def write_request(
    meter_type: int,
    address: str,
    di: str,
    data: bytes,
    serial: int = 0,
    di_order: str = "high_first",
    preamble: int = 4,
) -> bytes:
    """Frame that writes `data` to `di` (control 04).

    :raises ValueError: not the address of one meter, bad identifier, order, serial or length
    """
    # A wildcard write would reach meters nobody named, and get no or a mixed answer.
    if "A" in address.upper() or meter_type == ANY_TYPE:
        raise ValueError(f"a write needs type and address of one meter, not {address!r}")
    if len(data) > 50 - 3:
        raise ValueError(f"{len(data)} bytes to write, at most 47 are allowed")
    return build(meter_type, address, WRITE, _head(di, di_order, serial) + data, preamble)


def valve_request(
    meter_type: int,
    address: str,
    open: bool,
    serial: int = 0,
    di_order: str = "high_first",
    preamble: int = 4,
) -> bytes:
    """Frame that opens or closes the valve (control 04, A017).

    A valve travels for 5 to 30 s: poll the status afterwards.
    """
    data = bytes((VALVE_OPEN if open else VALVE_CLOSE,))
    return write_request(meter_type, address, VALVE, data, serial, di_order, preamble)


@dataclass(slots=True, frozen=True)
class Frame:
    """One frame with a right checksum, request or answer."""

    meter_type: int
    address: str
    control: int
    data: bytes
    raw: bytes = b""

    @property
    def function(self) -> int:
        return self.control & 0x3F

    @property
    def is_reply(self) -> bool:
        return bool(self.control & REPLY)

    @property
    def is_error(self) -> bool:
        return self.control & (REPLY | ERROR) == REPLY | ERROR

    @property
    def di_wire(self) -> bytes:
        """The two bytes of the data identifier as sent; empty in an error."""
        return b"" if self.is_error or len(self.data) < 3 else self.data[:2]

    @property
    def serial(self) -> int | None:
        """The serial number that an answer repeats; None when there is none."""
        if self.is_error:
            return self.data[0] if self.data else None
        return self.data[2] if len(self.data) > 2 else None

    @property
    def payload(self) -> bytes:
        """What follows data identifier and serial number; the status bytes of an error."""
        return self.data[1:] if self.is_error else self.data[3:]


def _frame(raw: bytes) -> Frame:
    return Frame(raw[1], address_from_wire(raw[2:9]), raw[9], raw[_HEADER:-2], raw)


def _length_at(buffer: bytes | bytearray, start: int) -> int:
    """Length of the frame that may start here, 0 when none can; eleven bytes must be there."""
    if buffer[start] != _START or buffer[start + 10] > MAX_DATA:
        return 0
    if not _is_address(buffer[start + 2 : start + 9]):
        return 0
    return _OVERHEAD + buffer[start + 10]


def _sound(raw: bytes) -> bool:
    return raw[-1] == _END and sum(raw[:-2]) & 0xFF == raw[-2]


class Parser:
    """All frames of a byte stream, whoever sends them, in order of their end.

    Nothing is held back by bytes that only look like a start, and the result does not depend on
    how the stream was cut. `feed` never raises and holds less than one frame.
    """

    __slots__ = ("_search",)

    def __init__(self) -> None:
        self._search = StreamSearch(_START, _HEADER, _length_at, _sound)

    def __len__(self) -> int:
        """Bytes held for a frame that is not complete yet."""
        return len(self._search)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the frames that they complete."""
        return [_frame(raw) for raw in self._search.feed(data)]


class ReplyParser:
    """Find the answers to one request in the bytes of a link.

    Made from the request frame: taken is only an answer of that meter type and address (a wildcard
    takes what fits it), control, data identifier as sent, and serial number.
    """

    __slots__ = ("_pairs", "_search", "address", "di_wire", "function", "meter_type", "serial")

    def __init__(self, request: bytes) -> None:
        raw = request.lstrip(b"\xfe")
        whole = len(raw) > _OVERHEAD and _length_at(raw, 0) == len(raw) and _sound(raw)
        frame = _frame(raw) if whole else None
        if frame is None or frame.is_reply or len(frame.data) < 3:
            raise ValueError(f"not a CJ/T 188 request: {request.hex(' ')}")
        self.meter_type = frame.meter_type
        self.address = frame.address
        self.function = frame.function
        self.di_wire = frame.di_wire
        self.serial = frame.serial
        self._pairs = _pairs(self.address)
        self._search = StreamSearch(_START, _HEADER, self._length_at, self._valid)

    def __len__(self) -> int:
        """Bytes held for an answer that is not complete yet."""
        return len(self._search)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the answers that they complete."""
        return [_frame(raw) for raw in self._search.feed(data)]

    def is_meter(self, frame: Frame) -> bool:
        """Whether `frame` is of the meter that was asked."""
        if self.meter_type not in (ANY_TYPE, frame.meter_type) or frame.meter_type == ANY_TYPE:
            return False
        # The answer carries the real address; AA in it would be the echo of a wildcard request.
        return all(
            have != "AA" and want in (have, "AA")
            for have, want in zip(_pairs(frame.address), self._pairs, strict=True)
        )

    def is_answer(self, frame: Frame) -> bool:
        """Whether `frame`, found otherwise, is an answer that `feed` would return."""
        if not frame.is_reply or frame.function != self.function or not self.is_meter(frame):
            return False
        if frame.serial != self.serial:
            return False
        return frame.is_error or frame.di_wire == self.di_wire

    def damaged(self, data: bytes) -> bytes:
        """The part of `data` (bytes of no sound frame) that looks like the answer, broken."""
        start = data.find(_START)
        while 0 <= start <= len(data) - _HEADER:
            length = _length_at(data, start)
            if length and start + length <= len(data) and data[start + 9] & REPLY:
                return data[start : start + length]
            start = data.find(_START, start + 1)
        return b""

    def _length_at(self, buffer: bytes | bytearray, start: int) -> int:
        if buffer[start + 9] & ~ERROR & 0xFF != self.function | REPLY:
            return 0
        return _length_at(buffer, start)

    def _valid(self, raw: bytes) -> bool:
        return _sound(raw) and self.is_answer(_frame(raw))


def volume(payload: bytes, offset: int = 0) -> int:
    """Litres of the five bytes at `offset`: eight digits of 0.01 m³, low byte first, and unit 2C.

    :raises ValueError: too short, another unit, or no decimal digits
    """
    field = payload[offset : offset + 5]
    if offset < 0 or len(field) != 5:
        raise ValueError(f"{len(payload)} data bytes hold no volume at {offset}")
    if field[4] != CUBIC_METRES:
        raise ValueError(f"unit {field[4]:02X} of the volume is not 2C (m³)")
    digits = field[3::-1].hex()
    if not digits.isdigit():
        raise ValueError(f"BCD digit above 9 in {field[:4].hex(' ').upper()}")
    return int(digits) * 10


@dataclass(slots=True, frozen=True)
class Counter:
    """Answer to 901F in the common form of 19 bytes. Volumes in litres, time local to the meter.

    `time` is None when the meter has no clock or sends no valid time. `status` are the two status
    bytes as sent.
    """

    volume: int
    settlement: int
    time: datetime | None
    status: bytes


def counter(payload: bytes) -> Counter:
    """Decode what follows data identifier and serial number in an answer to 901F.

    :raises ValueError: another length or unit (some makers put other things under 901F), or
        digits that are none
    """
    if len(payload) != 19:
        raise ValueError(f"{len(payload)} bytes of a counter reading, expected 19")
    return Counter(volume(payload), volume(payload, 5), _time(payload[10:17]), payload[17:])


def _time(raw: bytes) -> datetime | None:
    """Second, minute, hour, day, month and four digits of the year, low byte first."""
    try:
        return datetime.strptime(raw[::-1].hex(), "%Y%m%d%H%M%S")  # noqa: DTZ007 - local
    except ValueError:
        return None
