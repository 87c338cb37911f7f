"""Acrel 4G meters that dial in: frames `7B 7B`, command, body, CRC, `7D 7D` over TCP.

The CRC is that of Modbus, low byte first, over command and body. There is no length field, and
`7D 7D` may occur in the body: a frame ends at the first `7D 7D` in front of which the CRC fits.
The serial number is the only identity of a meter and is sent in clear, so anyone can claim one:
whoever listens keeps a list of known serials and one link for each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from . import modbus, values

PARAMETERS = 0x82
LOGIN = 0x84
SET_SERVER = 0x88
ALARM = 0x89
TUNNEL = 0x90
DATA = 0x91
TIME = 0x93
HEARTBEAT = 0x94
SERVER_TUNNEL = 0x97

HEAD = b"\x7b\x7b"
TAIL = b"\x7d\x7d"
MAX_FRAME = 8192
"""Longer frames are not looked for."""
MAX_STARTS = 16
"""So many `7B 7B` may wait for their end; of more, the oldest is given up."""
_SHORTEST = 7
_SERIAL = 20
_ICCID = 30
_LOGIN = 58


# --- frames ---


@dataclass(slots=True, frozen=True)
class Frame:
    """One frame with a right CRC."""

    command: int
    body: bytes
    raw: bytes = b""


def build(command: int, body: bytes = b"") -> bytes:
    """Complete frame.

    :raises ValueError: the command is not one byte, or the frame is longer than `MAX_FRAME`
    """
    if not 0 <= command <= 0xFF:
        raise ValueError(f"command {command} is not one byte")
    if len(body) + _SHORTEST > MAX_FRAME:
        raise ValueError(f"{len(body)} bytes are too long for a frame")
    content = bytes((command,)) + body
    return HEAD + content + modbus.crc16(content).to_bytes(2, "little") + TAIL


class Parser:
    """All frames of a byte stream, in order of their end.

    Every `7B 7B` is a possible start, so bytes that only look like one hold nothing back; of
    frames that end together the longest wins. The result does not depend on how the stream was
    cut. `feed` never raises and holds at most `MAX_FRAME` bytes besides the piece just fed.
    """

    __slots__ = ("_buffer", "_next", "_starts")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._next = 0  # first position not yet looked at
        self._starts: list[_Start] = []

    def __len__(self) -> int:
        """Bytes held for frames that are not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the frames that they complete."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        head, tail = buffer.find(HEAD, self._next), buffer.find(TAIL, self._next)
        while head >= 0 or tail >= 0:
            if tail < 0 or 0 <= head < tail:
                self._starts.append(_Start(head))
                del self._starts[:-MAX_STARTS]
                head = buffer.find(HEAD, head + 1)
                continue
            found = self._ended(tail)
            if found is None:
                tail = buffer.find(TAIL, tail + 1)
                continue
            end = tail + len(TAIL)
            raw = bytes(buffer[found:end])
            frames.append(Frame(raw[2], raw[3:-4], raw))
            self._starts.clear()
            self._next = end
            head, tail = buffer.find(HEAD, end), buffer.find(TAIL, end)
        self._forget()
        return frames

    def _ended(self, tail: int) -> int | None:
        """Start of the frame whose `7D 7D` is at `tail`, the longest one."""
        for start in self._starts:
            length = tail + len(TAIL) - start.at
            if _SHORTEST <= length <= MAX_FRAME and start.crc_to(self._buffer, tail) == 0:
                return start.at
        return None

    def _forget(self) -> None:
        """Drop the bytes that no frame needs any more."""
        length = len(self._buffer)
        self._starts = [start for start in self._starts if length - start.at < MAX_FRAME]
        # The last byte can be the first half of a head or tail.
        self._next = max(self._next, length - 1)
        drop = min([start.at for start in self._starts], default=self._next)
        del self._buffer[:drop]
        self._next -= drop
        for start in self._starts:
            start.move(drop)


class _Start:
    """A `7B 7B` that may start a frame, with the CRC of what follows it up to `_known`."""

    __slots__ = ("_crc", "_known", "at")

    def __init__(self, at: int) -> None:
        self.at = at
        self._known = at + len(HEAD)
        self._crc = 0xFFFF

    def crc_to(self, buffer: bytearray, end: int) -> int:
        if end > self._known:
            self._crc = modbus.crc16(buffer[self._known : end], self._crc)
            self._known = end
        return self._crc

    def move(self, by: int) -> None:
        self.at -= by
        self._known -= by


# --- what a meter sends ---


@dataclass(slots=True, frozen=True)
class Login:
    """`rssi` is the modem's signal number; a changed ICCID means another SIM card."""

    serial: str
    iccid: str
    rssi: int
    versions: tuple[str, ...]
    interval_minutes: int


@dataclass(slots=True, frozen=True)
class TimeRequest:
    serial: str


@dataclass(slots=True, frozen=True)
class Heartbeat:
    pass


@dataclass(slots=True, frozen=True)
class Entry:
    """One meter in a data frame: its address there, such as `1-1`, and its Modbus answer."""

    address: str
    answer: modbus.Frame


@dataclass(slots=True, frozen=True)
class Data:
    """Pushed readings. Without `serial` only to be believed on a link that is identified.

    `ignored` says what of the frame could not be used.
    """

    serial: str | None
    entries: tuple[Entry, ...]
    ignored: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class TunnelAnswer:
    """`answer` is the RTU answer; empty when the meter sent its serial only, as after a write."""

    serial: str | None
    answer: bytes


@dataclass(slots=True, frozen=True)
class Unknown:
    command: int
    reason: str


Message = Login | TimeRequest | Heartbeat | Data | TunnelAnswer | Unknown


def parse(frame: Frame) -> Message:
    """What a frame from a meter says. Never raises: what cannot be used becomes `Unknown`."""
    try:
        if frame.command == LOGIN:
            return _login(frame.body)
        if frame.command == TIME:
            return TimeRequest(_serial(frame.body))
        if frame.command == HEARTBEAT:
            return Heartbeat()
        if frame.command == DATA:
            return _data(frame.body)
        if frame.command == TUNNEL:
            return _tunnel_answer(frame.body)
    except ValueError as error:
        return Unknown(frame.command, str(error))
    return Unknown(frame.command, f"command {frame.command:02X} is not handled")


def _text(raw: bytes) -> str | None:
    """Printable ASCII padded with zero bytes; None when it is something else."""
    text = raw.rstrip(b"\0")
    return text.decode("ascii") if all(0x21 <= byte <= 0x7E for byte in text) else None


def _serial(raw: bytes) -> str:
    text = _text(raw) if len(raw) == _SERIAL else None
    if not text:
        raise ValueError(f"no serial number in {raw[:_SERIAL].hex(' ').upper() or 'nothing'}")
    return text


def _login(body: bytes) -> Login:
    if len(body) != _LOGIN:
        raise ValueError(f"login of {len(body)} bytes, expected {_LOGIN}")
    rest = body[_SERIAL + _ICCID :]
    versions = tuple(f"{rest[at]}.{rest[at + 1]}" for at in (1, 3, 5))
    iccid = _text(body[_SERIAL : _SERIAL + _ICCID]) or ""
    return Login(_serial(body[:_SERIAL]), iccid, rest[0], versions, rest[7])


def _data(body: bytes) -> Data:
    serial, at = None, 0
    if not body.startswith(b"[["):
        serial, at = _serial(body[:_SERIAL]), _SERIAL
    entries: list[Entry] = []
    ignored: list[str] = []
    at = body.find(b"[[", at)
    while at >= 0:
        at += 2
        while not body.startswith(b"]]", at):
            entry, end = _entry(body, at)
            if entry is None:
                ignored.append(f"no reading at byte {at}")
                break
            entries.append(entry)
            at = end
        at = body.find(b"[[", at)
    if not entries:
        raise ValueError("data without a reading")
    return Data(serial, tuple(entries), tuple(ignored))


def _entry(body: bytes, at: int) -> tuple[Entry | None, int]:
    """The reading at `at` and where it ends. Cut by its byte count: `))` can occur in it."""
    start = body.find(b"((", at, at + 34)
    address = _text(body[at:start]) if start > at else None
    answer = modbus.answer_at(body, start + 2) if address else None
    end = start + 2 + len(answer.raw) if answer else 0
    if answer is None or not address or body[end : end + 2] != b"))":
        return None, 0
    return Entry(address, answer), end + 2


def _is_answer(raw: bytes) -> bool:
    answer = modbus.answer_at(raw)
    return answer is not None and answer.raw == raw


def _tunnel_answer(body: bytes) -> TunnelAnswer:
    if _is_answer(body):
        return TunnelAnswer(None, body)
    serial, rest = _serial(body[:_SERIAL]), body[_SERIAL:]
    if rest and not _is_answer(rest):
        raise ValueError("no Modbus answer behind the serial number")
    return TunnelAnswer(serial, rest)


# --- what a meter pushes ---

BLOCK_SCALES = {
    "voltage": Decimal(100),
    "current": Decimal(10),
    "power": Decimal(1),
    "reactive": Decimal(1),
    "power_factor": Decimal(1),
}
"""Base units of one step (0.1 V, 0.01 A, 1 W, 1 var, 0.001); inferred, needs a bench meter."""
_WH = Decimal(10)  # 0.01 kWh
_REGISTERS = {
    "energy": 42,
    "energy_sharp": 46,
    "energy_peak": 50,
    "energy_flat": 54,
    "energy_valley": 58,
}
_MOMENTARY = (
    ("voltage", "u16", 2, ("voltage_a", "voltage_b", "voltage_c")),
    ("current", "u16", 8, ("current_a", "current_b", "current_c")),
    ("power", "i16", 14, ("power_a", "power_b", "power_c", "power")),
    ("reactive", "i16", 28, ("reactive",)),
    ("power_factor", "i16", 36, ("power_factor",)),
)
RATES_4 = 0x60
RATES_8 = 0x90


@dataclass(slots=True, frozen=True)
class Block:
    """The register block that a meter pushes, by channel in base units.

    `registers`: energy in Wh. `uncertain`: voltages, currents and powers, whose place and scale
    were not proven on a meter: show them, never bill or cut by them. `time` is the meter's local
    time, None when it is not valid. `pt` and `ct` are the ratios as sent, not proven either.
    """

    registers: dict[str, int]
    uncertain: dict[str, int] = field(default_factory=dict)
    time: datetime | None = None
    pt: int = 0
    ct: int = 0


def decode_block(data: bytes, scales: Mapping[str, Decimal] = BLOCK_SCALES) -> Block:
    """Decode pushed registers; the layout follows from their number of bytes (0x60 or 0x90).

    :raises ValueError: another number of bytes
    """
    if len(data) not in (RATES_4, RATES_8):
        raise ValueError(f"pushed block of {len(data)} bytes, expected {RATES_4} or {RATES_8}")
    registers = {
        channel: values.decode(data, "u32", _WH, offset) for channel, offset in _REGISTERS.items()
    }
    uncertain = {
        channel: values.decode(data, encoding, scales[kind], offset + 2 * index)
        for kind, encoding, offset, channels in _MOMENTARY
        for index, channel in enumerate(channels)
    }
    if len(data) == RATES_8:
        registers["energy_deep"] = values.decode(data, "u32", _WH, 96)
        time = data[80:86]
    else:
        time = data[80:83] + data[84:87]  # without the day of the week
    pt, ct = values.decode(data, "u16", offset=38), values.decode(data, "u16", offset=40)
    return Block(registers, uncertain, _time(time), pt, ct)


def _time(raw: bytes) -> datetime | None:
    try:
        return datetime(2000 + raw[0], *raw[1:])  # noqa: DTZ001 - local to the meter
    except ValueError:
        return None


# --- what the server sends ---


def login_reply() -> bytes:
    return build(LOGIN)


def data_reply() -> bytes:
    return build(DATA)


def time_reply(when: datetime, sunday: int = 0) -> bytes:
    """The server's local time. Samples differ in the day of the week: Sunday is 0 or 1.

    :raises ValueError: a zone, or a year outside 2000..2099
    """
    if when.tzinfo is not None:
        raise ValueError("the time must be local, without a zone")
    if not 2000 <= when.year <= 2099:
        raise ValueError(f"year {when.year} is not in 2000..2099")
    week = when.isoweekday() % 7 + sunday
    parts = (when.year - 2000, when.month, when.day, week, when.hour, when.minute, when.second)
    return build(TIME, bytes(parts))


def tunnel_request(rtu: bytes) -> bytes:
    """A Modbus RTU request for the meter; see `ModbusExchange.tunnelled` for the answer."""
    return build(TUNNEL, rtu)


# --- the meter's side, for simulated meters ---


def _padded(text: str, size: int) -> bytes:
    raw = text.encode("ascii")
    if len(raw) > size or _text(raw) != text:
        raise ValueError(f"{text!r} is not at most {size} printable characters")
    return raw.ljust(size, b"\0")


def login(
    serial: str,
    iccid: str = "",
    rssi: int = 0,
    versions: Sequence[tuple[int, int]] = ((1, 0), (1, 0), (1, 0)),
    interval_minutes: int = 30,
) -> bytes:
    """:raises ValueError: a value that does not fit into its field"""
    if len(versions) != 3:
        raise ValueError(f"{len(versions)} versions, expected 3")
    rest = bytes((rssi, *(part for version in versions for part in version), interval_minutes))
    return build(LOGIN, _padded(serial, _SERIAL) + _padded(iccid, _ICCID) + rest)


def time_request(serial: str) -> bytes:
    return build(TIME, _padded(serial, _SERIAL))


def heartbeat() -> bytes:
    return build(HEARTBEAT)


def data(serial: str | None, entries: Sequence[tuple[str, bytes]]) -> bytes:
    """`entries`: address such as `1-1`, and RTU answer."""
    head = b"" if serial is None else _padded(serial, _SERIAL)
    sections = [b"[[" + address.encode("ascii") + b"((" + rtu + b"))]]" for address, rtu in entries]
    return build(DATA, head + b"".join(sections))


def tunnel_answer(serial: str | None, rtu: bytes = b"") -> bytes:
    return build(TUNNEL, (b"" if serial is None else _padded(serial, _SERIAL)) + rtu)
