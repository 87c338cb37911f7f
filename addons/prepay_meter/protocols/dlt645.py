"""DL/T 645-2007 frames: building requests and parsing answers.

A frame is `68`, six address bytes, `68`, control, length, data, checksum, `16`, behind any number
of `FE` bytes. The address is twelve decimal digits, low byte first; each data byte is sent with
33h added; the checksum is the sum of all bytes from the first `68`, modulo 256. `FE`, `68` and
`16` may occur inside, so frames are cut by length and checksum only.
"""

from dataclasses import dataclass
from datetime import datetime

from .stream import StreamSearch

SECURITY = 0x03
"""Prepayment: opening an account, credit, clearing it."""
BROADCAST_TIME = 0x08
READ = 0x11
READ_NEXT = 0x12
READ_ADDRESS = 0x13
WRITE = 0x14
RELAY = 0x1C

REPLY = 0x80
ERROR = 0x40
MORE = 0x20
FUNCTION = 0x1F

TRIP = 0x1A
CLOSE_ALLOWED = 0x1B
"""The customer closes the relay with the button of the meter."""
CLOSE = 0x1C
ALARM = 0x2A
ALARM_OFF = 0x2B
KEEP_POWER = 0x3A
KEEP_POWER_OFF = 0x3B

ERROR_BITS = (
    "other error",
    "no such data",
    "wrong password or not authorised",
    "baud rate cannot be changed",
    "too many year zones",
    "too many day slots",
    "too many tariffs",
)
"""Meaning of the bits of the error byte, from bit 0."""

SECURITY_ERROR_BITS = (
    "other error",
    "credit was taken before",
    "verification of the security module failed",
    "identity not authenticated",
    "customer number does not match",
    "wrong purchase number",
    "more credit than may be held",
    "address is not in order",
)
"""Bits of the two error bytes of control 03; from State-Grid meters, needs a bench meter."""
CREDIT_TAKEN_BEFORE = 0x02
"""In the code of such an error: the purchase number was credited already, nothing was added."""

N1 = {
    "trip": TRIP,
    "close_allowed": CLOSE_ALLOWED,
    "close": CLOSE,
    "alarm": ALARM,
    "alarm_off": ALARM_OFF,
    "keep_power": KEEP_POWER,
    "keep_power_off": KEEP_POWER_OFF,
}
"""Relay command bytes by the name that a profile uses."""

OPEN_ACCOUNT = "070101FF"
CREDIT = "070102FF"
CLEAR_CREDIT = "070103FF"
CREDIT_ENCODINGS = ("bcd", "binary")
"""How amount and purchase number are written: packed decimal, or binary; both low byte first."""

STATUS_WORD_3 = "04000503"

BROADCAST = "999999999999"
WILDCARD = "AAAAAAAAAAAA"
MAX_DATA = 200
"""Longest data field of a read answer; a write has at most 50."""
_WITH_DI = (READ, READ_NEXT, WRITE, SECURITY)
_HEADER = 10  # 68, address, 68, control, length
_OVERHEAD = 12
_START = 0x68
_END = 0x16
_SHIFT = 0x33


def error_meaning(code: int) -> str:
    """What the error byte of an answer says, all its bits."""
    meanings = [text for bit, text in enumerate(ERROR_BITS) if code >> bit & 1]
    return ", ".join(meanings) or "unspecified error"


def security_error_meaning(code: int) -> str:
    """What the two error bytes of an answer to control 03 say, low byte first."""
    meanings = [text for bit, text in enumerate(SECURITY_ERROR_BITS) if code >> bit & 1]
    return ", ".join(meanings) or "unspecified error"


def _pairs(address: str) -> list[str]:
    return [address[index : index + 2] for index in range(0, len(address), 2)]


def address_to_wire(address: str) -> bytes:
    """Six address bytes in wire order; `AA` stands for any two digits.

    >>> address_to_wire("810000760162").hex()
    '620176000081'

    :raises ValueError: not twelve digits or AA pairs
    """
    pairs = _pairs(address.upper())
    if len(address) != 12 or not all(
        pair == "AA" or (pair.isascii() and pair.isdigit()) for pair in pairs
    ):
        raise ValueError(f"{address!r} is not a meter address of 12 digits")
    return bytes.fromhex("".join(reversed(pairs)))


def address_from_wire(raw: bytes) -> str:
    """Twelve characters as people read the address."""
    return raw[::-1].hex().upper()


def _is_address(raw: bytes | bytearray) -> bool:
    """Decimal digits, or AA wildcards."""
    return all(byte == 0xAA or (byte >> 4 <= 9 and byte & 0x0F <= 9) for byte in raw)


def di_to_wire(di: str) -> bytes:
    """Data identifier, written as eight hex digits, in wire order.

    >>> di_to_wire("0001FF00").hex()
    '00ff0100'

    :raises ValueError: not eight hex digits
    """
    try:
        raw = bytes.fromhex(di)
    except ValueError:
        raw = b""
    if len(di) != 8 or len(raw) != 4:
        raise ValueError(f"{di!r} is not a data identifier of 8 hex digits")
    return raw[::-1]


def _shift(data: bytes, by: int) -> bytes:
    return bytes((byte + by) & 0xFF for byte in data)


def build(address: str, control: int, data: bytes = b"", preamble: int = 0) -> bytes:
    """Complete frame; `data` is plain, the 33h is added here. `preamble` counts `FE` bytes.

    :raises ValueError: bad address, control or data length
    """
    if len(data) > MAX_DATA:
        raise ValueError(f"{len(data)} data bytes, at most {MAX_DATA} are allowed")
    if not 0 <= control <= 0xFF:
        raise ValueError(f"control {control} is not one byte")
    body = b"\x68" + address_to_wire(address) + bytes((_START, control, len(data)))
    body += _shift(data, _SHIFT)
    return b"\xfe" * preamble + body + bytes((sum(body) & 0xFF, _END))


def read_request(address: str, di: str, preamble: int = 4) -> bytes:
    """Frame that reads the data identifier `di` (control 11)."""
    return build(address, READ, di_to_wire(di), preamble)


def read_next_request(address: str, di: str, sequence: int, preamble: int = 4) -> bytes:
    """Frame that reads what follows an answer with `more` (control 12).

    `sequence` counts the frames of one answer: 1 for the first one that follows.

    :raises ValueError: bad address or identifier, sequence not in 1..255
    """
    if not 1 <= sequence <= 255:
        raise ValueError(f"sequence {sequence} is not in 1..255")
    return build(address, READ_NEXT, di_to_wire(di) + bytes((sequence,)), preamble)


def _local_time(when: datetime) -> bytes:
    """Second to year, two digits each, as the frames carry a time."""
    if when.tzinfo is not None:
        raise ValueError("the time must be the meter's local time, without a zone")
    if not 2000 <= when.year <= 2099:
        raise ValueError(f"year {when.year} is not in 2000..2099")
    return bytes.fromhex(when.strftime("%S%M%H%d%m%y"))


def broadcast_time_request(when: datetime, preamble: int = 4) -> bytes:
    """Frame that sets the clock of all meters on a line (control 08); none of them answers.

    A meter takes it once a day and only for a small difference. `when` is the meters' local time
    without a zone.

    :raises ValueError: a zone, or a year outside 2000..2099
    """
    return build(BROADCAST, BROADCAST_TIME, _local_time(when), preamble)


def read_address_request(preamble: int = 4) -> bytes:
    """Frame that asks the only meter on a line for its address (control 13)."""
    return build(WILDCARD, READ_ADDRESS, b"", preamble)


def _check_rights(address: str, password: bytes, operator: bytes) -> None:
    # Broadcast and wildcard writes would reach meters nobody named, and get no or a mixed answer.
    if "A" in address.upper() or address == "9" * 12:
        raise ValueError(f"a write needs the address of one meter, not {address!r}")
    if len(password) != 4 or len(operator) != 4:
        raise ValueError("password (level and 3 bytes) and operator code have 4 bytes each")


def write_request(
    address: str, di: str, password: bytes, operator: bytes, value: bytes, preamble: int = 4
) -> bytes:
    """Frame that writes `value` to `di` (control 14); see `relay_request` for the rights."""
    _check_rights(address, password, operator)
    return build(address, WRITE, di_to_wire(di) + password + operator + value, preamble)


def relay_request(
    address: str,
    n1: int,
    password: bytes,
    operator: bytes,
    valid_until: datetime | None = None,
    n2: int = 0,
    preamble: int = 4,
) -> bytes:
    """Frame for relay, alarm and keep-power (control 1C, 16 data bytes).

    `password` is the level PA and three bytes, `operator` four bytes, both in wire order.
    `valid_until` is the meter's local time without a zone; None sends zeros, which meters take
    as "no limit". The meter refuses a time that its own clock has passed.

    :raises ValueError: not the address of one meter, wrong lengths, a zone or a year that the
        frame cannot carry
    """
    _check_rights(address, password, operator)
    limit = bytes(6) if valid_until is None else _local_time(valid_until)
    data = password + operator + bytes((n1, n2)) + limit
    return build(address, RELAY, data, preamble)


def credit_request(
    address: str,
    di: str,
    amount_fen: int,
    number: int,
    password: bytes,
    operator: bytes,
    encoding: str = "bcd",
    preamble: int = 4,
) -> bytes:
    """Frame that opens an account, adds credit or clears it (control 03), in plain form.

    `di`: `OPEN_ACCOUNT`, `CREDIT` or `CLEAR_CREDIT`. `number` counts the purchases of a meter: it
    takes a number once, so a repeated frame adds nothing. Amount (fen) and number have four bytes
    each, behind password and operator code; an empty `password` leaves its four bytes out.
    Encoding and rights are settings of a meter type that need a bench meter; meters with a
    security module take no plain form at all.

    :raises ValueError: not the address of one meter, wrong lengths, a number that does not fit
    """
    _check_rights(address, password or bytes(4), operator)
    if encoding not in CREDIT_ENCODINGS:
        raise ValueError(f"unknown encoding {encoding!r}, expected bcd or binary")
    top = 10**8 if encoding == "bcd" else 1 << 32
    if not (0 <= amount_fen < top and 0 <= number < top):
        raise ValueError(f"amount {amount_fen} or purchase number {number} is not in 0..{top - 1}")
    if encoding == "bcd":
        fields = [bytes.fromhex(f"{value:08d}")[::-1] for value in (amount_fen, number)]
    else:
        fields = [value.to_bytes(4, "little") for value in (amount_fen, number)]
    data = di_to_wire(di) + password + operator + b"".join(fields)
    return build(address, SECURITY, data, preamble)


@dataclass(slots=True, frozen=True)
class StatusWord3:
    """Status word 3 (`STATUS_WORD_3`): what the relay does and what it was told to do.

    `relay` and `command` are "open" (supply off) or "closed". They differ while the meter waits:
    for its delay, or because keep-power holds the supply. The older text of the standard has
    nothing above bit 4, so everything but `relay` needs a bench meter. The two account bits are
    given as sent: what 1 means differs between meters.
    """

    relay: str
    command: str
    alarm: bool
    """Warning before a trip."""
    prepaid: str
    """One of `PREPAID_TYPES`."""
    keep_power: bool
    supply: str
    """One of `SUPPLIES`."""
    programming: bool
    identity_ok: bool
    day_slot_set: int
    year_zone_set: int
    price_set: int
    step_set: int
    local_account_bit: int
    remote_account_bit: int

    @property
    def waiting(self) -> bool:
        return self.relay != self.command


RELAY_STATES = ("closed", "open")
SUPPLIES = ("main", "auxiliary", "battery")
PREPAID_TYPES = ("none", "energy", "money")


def status_word_3(raw: bytes) -> StatusWord3:
    """Decode the two bytes of status word 3, low byte first.

    :raises ValueError: another length, or reserved values (as in FF filler)
    """
    if len(raw) != 2:
        raise ValueError(f"{len(raw)} bytes of status word 3, expected 2")
    word = int.from_bytes(raw, "little")
    supply, prepaid = word >> 1 & 3, word >> 8 & 3
    if supply == 3 or prepaid == 3:
        raise ValueError(f"status word 3 {word:04X} has reserved values")
    return StatusWord3(
        relay=RELAY_STATES[word >> 4 & 1],
        command=RELAY_STATES[word >> 6 & 1],
        alarm=bool(word >> 7 & 1),
        prepaid=PREPAID_TYPES[prepaid],
        keep_power=bool(word >> 12 & 1),
        supply=SUPPLIES[supply],
        programming=bool(word >> 3 & 1),
        identity_ok=bool(word >> 13 & 1),
        day_slot_set=word & 1,
        year_zone_set=word >> 5 & 1,
        price_set=word >> 10 & 1,
        step_set=word >> 11 & 1,
        local_account_bit=word >> 14 & 1,
        remote_account_bit=word >> 15 & 1,
    )


@dataclass(slots=True, frozen=True)
class Frame:
    """One frame with a right checksum, request or answer; `data` is without the 33h."""

    address: str
    control: int
    data: bytes
    raw: bytes = b""

    @property
    def function(self) -> int:
        return self.control & FUNCTION

    @property
    def is_reply(self) -> bool:
        return bool(self.control & REPLY)

    @property
    def is_error(self) -> bool:
        return self.control & (REPLY | ERROR) == REPLY | ERROR

    @property
    def more(self) -> bool:
        """The answer goes on in a following frame (control 12)."""
        return bool(self.control & MORE)

    @property
    def error_code(self) -> int | None:
        """The error byte; None when this is no error, 0 when the meter sent none.

        An error of control 03 can have two bytes, low byte first.
        """
        if not self.is_error:
            return None
        return int.from_bytes(self.data[: 2 if self.function == SECURITY else 1], "little")

    @property
    def error_text(self) -> str:
        """What the error says; empty when this is no error."""
        if not self.is_error:
            return ""
        if self.function == SECURITY and len(self.data) > 1:
            return security_error_meaning(self.error_code or 0)
        return error_meaning(self.error_code or 0)

    @property
    def di(self) -> str:
        """Data identifier as eight hex digits; empty when there is none."""
        if self.function not in _WITH_DI or self.is_error or len(self.data) < 4:
            return ""
        return self.data[3::-1].hex().upper()


def _frame(raw: bytes) -> Frame:
    data = _shift(raw[_HEADER:-2], -_SHIFT)
    return Frame(address_from_wire(raw[1:7]), raw[8], data, raw)


def _length_at(buffer: bytes | bytearray, start: int) -> int:
    """Length of the frame that may start here, 0 when none can; ten bytes must be there."""
    if buffer[start] != _START or buffer[start + 7] != _START:
        return 0
    if buffer[start + 9] > MAX_DATA or not _is_address(buffer[start + 1 : start + 7]):
        return 0
    return _OVERHEAD + buffer[start + 9]


def _sound(raw: bytes) -> bool:
    return raw[-1] == _END and sum(raw[:-2]) & 0xFF == raw[-2]


class Parser:
    """All frames of a byte stream, in order, whoever sends them.

    Cut by length and checksum; after a failure the search goes on one byte later. A false start
    can hold back what follows until its length has arrived: call `flush` when the line has been
    quiet for the 500 ms that may lie between two bytes. `feed` never raises and holds at most
    one frame. `rejected` counts candidates with a wrong checksum or end, `last_rejected` is the
    latest of them.
    """

    __slots__ = ("_buffer", "last_rejected", "rejected")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.rejected = 0
        self.last_rejected = b""

    def __len__(self) -> int:
        """Bytes held for a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the frames that they complete."""
        self._buffer += data
        return self._parse(final=False)

    def flush(self) -> list[Frame]:
        """The line is quiet: give up an incomplete frame and return those behind its start."""
        return self._parse(final=True)

    def _parse(self, final: bool) -> list[Frame]:
        buffer = self._buffer
        frames: list[Frame] = []
        start = buffer.find(_START)
        while start >= 0:
            known = start + _HEADER <= len(buffer)
            length = _length_at(buffer, start) if known else 0
            complete = length and start + length <= len(buffer)
            if not final and (not known or (length and not complete)):
                break
            step = 1
            if complete:
                raw = bytes(buffer[start : start + length])
                if _sound(raw):
                    frames.append(_frame(raw))
                    step = length
                else:
                    self.rejected += 1
                    self.last_rejected = raw
            start = buffer.find(_START, start + step)
        del buffer[: start if start >= 0 else len(buffer)]
        return frames


class ReplyParser:
    """Find the answers of one meter to one function in the bytes of a link.

    Unlike `Parser` nothing is held back by a false start. Made from the request frame; a request
    to a wildcard address takes the answer of any address that fits the wildcard.
    """

    __slots__ = ("_pairs", "_search", "_sequence", "address", "di", "function")

    def __init__(self, request: bytes) -> None:
        frames = Parser().feed(request)
        if len(frames) != 1 or frames[0].is_reply:
            raise ValueError(f"not a DL/T 645 request: {request.hex(' ')}")
        self.address = frames[0].address
        self.function = frames[0].function
        self.di = frames[0].di
        self._sequence = frames[0].data[4:] if self.function == READ_NEXT else b""
        self._pairs = _pairs(self.address)
        self._search = StreamSearch(_START, _HEADER, self._length_at, _sound)

    def __len__(self) -> int:
        """Bytes held for an answer that is not complete yet."""
        return len(self._search)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the answers of the meter that they complete.

        A read answer carries its data identifier, one that follows also its sequence: one that
        differs is not returned.
        """
        frames = [_frame(raw) for raw in self._search.feed(data)]
        return [frame for frame in frames if self.is_answer(frame)]

    def is_address(self, address: str) -> bool:
        """Whether an answer of `address` can be meant for the request."""
        # The answer carries a real address; AA in it would be the echo of a wildcard request.
        if "A" not in self.address:
            return address == self.address
        return len(address) == 12 and all(
            have != "AA" and want in (have, "AA")
            for have, want in zip(_pairs(address), self._pairs, strict=True)
        )

    def is_answer(self, frame: Frame) -> bool:
        """Whether `frame` is of the meter asked and has the shape of the answer."""
        if not frame.is_reply or frame.function != self.function:
            return False
        if not self.is_address(frame.address):
            return False
        if frame.is_error:
            return True
        if self.function == READ:
            return frame.di == self.di
        if self.function == READ_NEXT:
            data = frame.data[4:]
            return frame.di == self.di and data[-1:] == self._sequence != b""
        if self.function == SECURITY:
            # Some meters say what was credited, others nothing.
            return not frame.data or frame.di == self.di
        # A write or relay answer is empty, read-address answers with the address.
        return len(frame.data) == (6 if self.function == READ_ADDRESS else 0)

    def _length_at(self, buffer: bytes | bytearray, start: int) -> int:
        length = _length_at(buffer, start)
        control = buffer[start + 8]
        if not length or not control & REPLY or control & FUNCTION != self.function:
            return 0
        return length if self.is_address(address_from_wire(buffer[start + 1 : start + 7])) else 0
