"""Modbus frames, RTU and TCP, for reading registers (03, 04) and writing them (16).

An RTU frame is unit, function, data, CRC-16 with the low byte first. RTU has no length field and
no transaction number: an answer is recognised by unit, function, byte count and CRC alone. A late
answer to an earlier request of the same shape can therefore not be told apart from the right one
by its bytes; whoever owns the link waits after a time-out until such an answer cannot come any
more, or closes the link.

Modbus TCP puts a header in front instead (transaction, protocol 0, length, unit) and has no CRC.
The transaction number tells a late answer from the right one.
"""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .stream import StreamSearch

READ_HOLDING = 0x03
READ_INPUT = 0x04
WRITE_MULTIPLE = 0x10
READS = (READ_HOLDING, READ_INPUT)
EXCEPTION_BIT = 0x80

MAX_READ = 125
MAX_WRITE = 123
MAX_FRAME = 256
MAX_TCP_FRAME = 260

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
_MBAP = 6  # transaction, protocol and length, before the unit


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC_TABLE = _crc_table()
#: The same for two bytes at a time, the first one low: half the steps.
_CRC_PAIRS = array(
    "H",
    (
        _CRC_TABLE[low] >> 8 ^ _CRC_TABLE[(_CRC_TABLE[low] ^ high) & 0xFF]
        for high in range(256)
        for low in range(256)
    ),
)


def crc16(data: bytes | bytearray, crc: int = 0xFFFF) -> int:
    """CRC-16/MODBUS of `data`, or of what gave `crc` and then `data`.

    Over a frame with its own CRC (low byte first) the result is 0.

    >>> crc16(bytes.fromhex("010330010006")).to_bytes(2, "little").hex()
    '9b08'
    """
    for pair in _pairs(len(data) // 2).unpack_from(data):
        crc = _CRC_PAIRS[crc ^ pair]
    if len(data) % 2:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ data[-1]) & 0xFF]
    return crc


@lru_cache(maxsize=1024)
def _pairs(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}H")


def _sound(frame: bytes) -> bool:
    return crc16(frame[:-2]) == frame[-2] | frame[-1] << 8


def _with_crc(body: bytes) -> bytes:
    return body + struct.pack("<H", crc16(body))


def _check_unit(unit: int) -> None:
    # 0 is broadcast and gets no answer, 248 to 255 are reserved.
    if not 1 <= unit <= 247:
        raise ValueError(f"Modbus unit {unit} is not in 1..247")


@lru_cache(maxsize=8192)
def read_registers_request(
    unit: int, address: int, count: int, function: int = READ_HOLDING
) -> bytes:
    """Frame that reads `count` holding (03) or input (04) registers from `address` on.

    :raises ValueError: unit, address, count or function outside what the protocol allows
    """
    _check_unit(unit)
    if function not in READS:
        raise ValueError(f"function {function} does not read registers, expected 3 or 4")
    if not 1 <= count <= MAX_READ:
        raise ValueError(f"register count {count} is not in 1..{MAX_READ}")
    if not 0 <= address <= 0x10000 - count:
        raise ValueError(f"registers {address} + {count} are outside 0..65535")
    return _with_crc(struct.pack(">BBHH", unit, function, address, count))


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


def tcp_request(request: bytes, transaction: int) -> bytes:
    """The RTU frame `request` framed as Modbus TCP, under a transaction number.

    :raises ValueError: no RTU frame, or the number is not in 0..65535
    """
    if not 0 <= transaction <= 0xFFFF:
        raise ValueError(f"transaction {transaction} is not in 0..65535")
    return transaction.to_bytes(2, "big") + _tcp_rest(request)


@lru_cache(maxsize=8192)
def _tcp_rest(request: bytes) -> bytes:
    """What follows the transaction number."""
    if len(request) < 4 or not _sound(request):
        raise ValueError(f"not a Modbus RTU request: {request.hex(' ')}")
    return struct.pack(">HH", 0, len(request) - 2) + request[:-2]


def is_whole_answer(request: bytes, data: bytes) -> bool:
    """Whether `data` is exactly the normal answer to the read request `request`."""
    size = len(data) - 5
    return (
        size == 2 * (request[4] << 8 | request[5])
        and data[2] == size
        and data[1] == request[1]
        and data[0] == request[0]
        and request[1] in READS
        and _sound(data)
    )


def is_whole_tcp_answer(request: bytes, data: bytes) -> bool:
    """Whether `data` is exactly the normal answer to the Modbus TCP read request `request`."""
    size = len(data) - 9
    return (
        size == 2 * (request[10] << 8 | request[11])
        and data[:4] == request[:4]
        and data[4] << 8 | data[5] == size + 3
        and data[6:8] == request[6:8]
        and data[8] == size
        and request[7] in READS
    )


@dataclass(slots=True, frozen=True)
class Frame:
    """One answer; over RTU with a right CRC.

    `function` is without the exception bit. `data`: for 03 and 04 the register bytes, high byte
    first; for 16 address and quantity; empty for an exception, whose code is in `exception`.
    `transaction` is None over RTU.
    """

    unit: int
    function: int
    data: bytes
    exception: int | None = None
    raw: bytes = b""
    transaction: int | None = None

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
        if self.function not in (*READS, WRITE_MULTIPLE):
            raise ValueError(f"function {self.function} is not supported")
        self._echo = request[2:6] if self.function == WRITE_MULTIPLE else b""
        self.byte_count = 2 * count if self.function in READS else 0
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

    def match(self, raw: bytes) -> Frame | None:
        """The answer, when `raw` is exactly it."""
        if len(raw) < _EXCEPTION_FRAME or raw[0] != self.unit:
            return None
        if self._length_at(raw, 0) != len(raw) or not self._valid(raw):
            return None
        return _frame(raw)

    def is_answer(self, frame: Frame) -> bool:
        """Whether `frame`, found otherwise, is an answer that `feed` would return."""
        return self.match(frame.raw) is not None

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


class TcpResponseParser:
    """Find the answer to one Modbus TCP request in the bytes of a link.

    Taken is only an answer with the transaction number and the unit of the request, and with the
    byte count or echo that belongs to it. Everything else is passed over; `feed` never raises.
    """

    __slots__ = ("_echo", "_expected", "_search", "function", "transaction", "unit")

    def __init__(self, request: bytes) -> None:
        self.transaction, protocol, length = struct.unpack(">HHH", request[:_MBAP].ljust(_MBAP))
        body = request[_MBAP:]
        if protocol or length != len(body):
            raise ValueError(f"not a Modbus TCP request: {request.hex(' ')}")
        rtu = RtuResponseParser(_with_crc(body))
        self.unit, self.function = rtu.unit, rtu.function
        self._echo = body[2:6] if self.function == WRITE_MULTIPLE else b""
        normal = 6 if self._echo else 3 + rtu.byte_count
        head = bytes((self.unit, self.function))
        refused = bytes((self.unit, self.function | EXCEPTION_BIT))
        start = struct.pack(">HH", self.transaction, 0)
        # What the frames that can be the answer begin with, and how long each is.
        self._expected = {
            start + struct.pack(">H", normal) + head: _MBAP + normal,
            start + struct.pack(">H", 3) + refused: _MBAP + 3,
        }
        self._search = StreamSearch(start[0], _MBAP + 2, self._length_at, self._valid)

    def __len__(self) -> int:
        """Bytes held for an answer that is not complete yet."""
        return len(self._search)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the expected answers that they complete."""
        return [_tcp_frame(raw) for raw in self._search.feed(data)]

    def is_answer(self, frame: Frame) -> bool:
        """Whether `frame`, found otherwise, is an answer that `feed` would return."""
        return self._length_at(frame.raw, 0) == len(frame.raw) and self._valid(frame.raw)

    def _length_at(self, buffer: bytes | bytearray, start: int) -> int:
        return self._expected.get(bytes(buffer[start : start + _MBAP + 2]), 0)

    def _valid(self, raw: bytes) -> bool:
        # There is no checksum: byte count and echo must fit as well.
        if raw[7] & EXCEPTION_BIT:
            return True
        if self._echo:
            return raw[8:] == self._echo
        return raw[8] == len(raw) - 9


def _tcp_frame(raw: bytes) -> Frame:
    frame = _frame(raw[_MBAP:] + b"\0\0")
    transaction = int.from_bytes(raw[:2], "big")
    return Frame(frame.unit, frame.function, frame.data, frame.exception, raw, transaction)


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


def answer_at(data: bytes, start: int = 0) -> Frame | None:
    """The sound RTU answer of whatever unit that starts there; None when there is none."""
    length = _any_length(data, start) if start + _HEADER <= len(data) else 0
    raw = data[start : start + length]
    if length and len(raw) == length <= MAX_FRAME and _sound(raw):
        return _frame(raw)
    return None


def scan(data: bytes) -> tuple[list[Frame], bytes]:
    """All sound answers of whatever unit in `data`, and the bytes that belong to none.

    For telling what arrived instead of the answer; a link uses `RtuResponseParser`.
    """
    frames: list[Frame] = []
    rest = bytearray()
    start = 0
    while start < len(data):
        frame = answer_at(data, start)
        if frame:
            frames.append(frame)
            start += len(frame.raw)
        else:
            rest.append(data[start])
            start += 1
    return frames, bytes(rest)


def scan_tcp(data: bytes) -> list[Frame]:
    """All answers in `data` that look like Modbus TCP, whatever unit and transaction.

    For telling what arrived instead of the answer. Without a checksum a frame is told by the
    protocol number and by a length that fits its function.
    """
    frames: list[Frame] = []
    start = 0
    while start + _MBAP + 3 <= len(data):
        protocol, length = struct.unpack(">HH", data[start + 2 : start + _MBAP])
        end = start + _MBAP + length
        if protocol == 0 and end <= len(data) and length + 2 == _any_length(data, start + _MBAP):
            frames.append(_tcp_frame(data[start:end]))
            start = end
        else:
            start += 1
    return frames
