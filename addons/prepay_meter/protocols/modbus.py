"""Modbus RTU frames for reading (03) and writing (16) holding registers.

A frame is unit, function, data, CRC-16 with the low byte first. RTU has no length field and no
transaction number: an answer is recognised by unit, function, byte count and CRC alone. A late
answer to an earlier request of the same shape can therefore not be told apart from the right one
by its bytes; whoever owns the link waits after a time-out until such an answer cannot come any
more, or closes the link.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from .stream import StreamSearch

READ_HOLDING = 0x03
WRITE_MULTIPLE = 0x10
EXCEPTION_BIT = 0x80

MAX_READ = 125
MAX_WRITE = 123
MAX_FRAME = 256

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, still working",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}

_HEADER = 3  # unit, function, byte count or first byte of the address
_EXCEPTION_FRAME = 5
_WRITE_ECHO_FRAME = 8


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(data: bytes | bytearray) -> int:
    """CRC-16/MODBUS of `data`.

    >>> crc16(bytes.fromhex("010330010006")).to_bytes(2, "little").hex()
    '9b08'
    """
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def _sound(frame: bytes) -> bool:
    return crc16(frame[:-2]) == frame[-2] | frame[-1] << 8


def _with_crc(body: bytes) -> bytes:
    return body + struct.pack("<H", crc16(body))


def _check_unit(unit: int) -> None:
    # 0 is broadcast and gets no answer, 248 to 255 are reserved.
    if not 1 <= unit <= 247:
        raise ValueError(f"Modbus unit {unit} is not in 1..247")


def read_registers_request(unit: int, address: int, count: int) -> bytes:
    """Frame that reads `count` holding registers (function 03) from `address` on.

    :raises ValueError: unit, address or count outside what the protocol allows
    """
    _check_unit(unit)
    if not 1 <= count <= MAX_READ:
        raise ValueError(f"register count {count} is not in 1..{MAX_READ}")
    if not 0 <= address <= 0x10000 - count:
        raise ValueError(f"registers {address} + {count} are outside 0..65535")
    return _with_crc(struct.pack(">BBHH", unit, READ_HOLDING, address, count))


def write_registers_request(unit: int, address: int, values: Sequence[int]) -> bytes:
    """Frame that writes `values` (16 bits each) by function 16, also for one register.

    :raises ValueError: unit, address, number of values or a value outside its range
    """
    _check_unit(unit)
    count = len(values)
    if not 1 <= count <= MAX_WRITE:
        raise ValueError(f"register count {count} is not in 1..{MAX_WRITE}")
    if not 0 <= address <= 0x10000 - count:
        raise ValueError(f"registers {address} + {count} are outside 0..65535")
    if not all(0 <= value <= 0xFFFF for value in values):
        raise ValueError(f"register values {list(values)} are not all in 0..65535")
    head = struct.pack(">BBHHB", unit, WRITE_MULTIPLE, address, count, 2 * count)
    return _with_crc(head + struct.pack(f">{count}H", *values))


@dataclass(slots=True, frozen=True)
class Frame:
    """One answer with a right CRC.

    `function` is without the exception bit. `data`: for 03 the register bytes, high byte first;
    for 16 address and quantity; empty for an exception, whose code is in `exception`.
    """

    unit: int
    function: int
    data: bytes
    exception: int | None = None
    raw: bytes = b""

    @property
    def registers(self) -> tuple[int, ...]:
        """`data` as 16-bit words, high byte first."""
        return struct.unpack(f">{len(self.data) // 2}H", self.data[: len(self.data) // 2 * 2])


def _frame(raw: bytes) -> Frame:
    unit, function = raw[0], raw[1]
    if function & EXCEPTION_BIT:
        return Frame(unit, function & 0x7F, b"", raw[2], raw)
    first = 3 if _counted(function) else 2
    return Frame(unit, function, raw[first:-2], None, raw)


class RtuResponseParser:
    """Find the answer to one request in the bytes of a link.

    Made from the request frame, so it knows what it expects: the same unit and function, for a
    read the byte count, for a write the echo of address and quantity; or the exception of that
    function. Everything else is passed over, in any amount; `feed` never raises.
    """

    __slots__ = ("_echo", "_search", "byte_count", "function", "unit")

    def __init__(self, request: bytes) -> None:
        if len(request) < 8 or not _sound(request):
            raise ValueError(f"not a Modbus RTU request: {request.hex(' ')}")
        self.unit, self.function, _, count = struct.unpack(">BBHH", request[:6])
        if self.function not in (READ_HOLDING, WRITE_MULTIPLE):
            raise ValueError(f"function {self.function} is not supported")
        self._echo = request[2:6] if self.function == WRITE_MULTIPLE else b""
        self.byte_count = 2 * count if self.function == READ_HOLDING else 0
        self._search = StreamSearch(self.unit, _HEADER, self._length_at, self._valid)

    @property
    def answer_length(self) -> int:
        """Bytes of the whole expected answer."""
        return _WRITE_ECHO_FRAME if self._echo else 5 + self.byte_count

    def __len__(self) -> int:
        """Bytes held for an answer that is not complete yet."""
        return len(self._search)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the expected answers that they complete."""
        return [_frame(raw) for raw in self._search.feed(data)]

    def is_answer(self, frame: Frame) -> bool:
        """Whether `frame`, found otherwise, is an answer that `feed` would return."""
        raw = frame.raw
        return raw[0] == self.unit and self._length_at(raw, 0) == len(raw) and self._valid(raw)

    def damaged(self, data: bytes) -> bytes:
        """The part of `data` (bytes of no sound frame) that looks like the answer, broken."""
        for start in range(len(data) - _HEADER + 1):
            length = self._length_at(data, start) if data[start] == self.unit else 0
            if length and start + length <= len(data):
                return data[start : start + length]
        # Also when the fault lies in the header: as many bytes came as the answer has.
        return data if len(data) == self.answer_length else b""

    def _length_at(self, buffer: bytes | bytearray, start: int) -> int:
        function = buffer[start + 1]
        if function == self.function | EXCEPTION_BIT:
            return _EXCEPTION_FRAME
        if function != self.function:
            return 0
        third = buffer[start + 2]
        if self._echo:
            return _WRITE_ECHO_FRAME if third == self._echo[0] else 0
        return 5 + third if third == self.byte_count else 0

    def _valid(self, raw: bytes) -> bool:
        if self._echo and not raw[1] & EXCEPTION_BIT and raw[2:6] != self._echo:
            return False
        return _sound(raw)


def _counted(function: int) -> bool:
    """Functions whose answer starts with a byte count."""
    return function in (0x01, 0x02, 0x03, 0x04, 0x11, 0x17)


def _any_length(data: bytes, start: int) -> int:
    """Length of the answer that would start here, by its function; 0 when it cannot."""
    function = data[start + 1]
    if function & EXCEPTION_BIT:
        return _EXCEPTION_FRAME
    if _counted(function):
        return 5 + data[start + 2]
    return _WRITE_ECHO_FRAME if function in (0x05, 0x06, 0x0F, 0x10) else 0


def scan(data: bytes) -> tuple[list[Frame], bytes]:
    """All sound answers of whatever unit in `data`, and the bytes that belong to none.

    For telling what arrived instead of the answer; a link uses `RtuResponseParser`.
    """
    frames: list[Frame] = []
    rest = bytearray()
    start = 0
    while start < len(data):
        length = _any_length(data, start) if start + _HEADER <= len(data) else 0
        raw = data[start : start + length]
        if length and len(raw) == length <= MAX_FRAME and _sound(raw):
            frames.append(_frame(raw))
            start += length
        else:
            rest.append(data[start])
            start += 1
    return frames, bytes(rest)
