"""One request and the search for its answer, the same for every protocol.

The owner of a link sends `request`, feeds what arrives until `feed` returns a `Reply`, and when
its patience ends asks `failure` why there was none:

    exchange = modbus_read(unit=3, address=0x0000, count=17)
    await link.write(exchange.request)
    while (reply := exchange.feed(await link.read())) is None:
        ...
    # on time-out: reason, detail = exchange.failure()

A reply is never taken from another unit or address, function, byte count, data identifier or
echo. What the bytes cannot show is a late answer to an equal request; so after a time-out the
link is kept quiet until such an answer cannot come any more, or it is closed, and a relay counts
as switched only when its state was read back.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from . import acrel4g, cjt188, dlt645, modbus
from .dtu import Cleaner
from .errors import DeviceError, Outcome

KEPT_BYTES = 1024
"""So many of the latest bytes are kept to tell what arrived instead of the answer."""


@dataclass(slots=True)
class Reply:
    """The answer to one request.

    `address`: Modbus unit as decimal text, or the digits of a DL/T 645 (twelve) or CJ/T 188
    (fourteen) meter, the real ones when the request went to a wildcard. `data`: register bytes of
    a Modbus read; what follows the data identifier of a DL/T 645 read, or identifier and serial
    number of a CJ/T 188 answer; else what the protocol returns. `error` is set when the device
    refused. `more`: a DL/T 645 answer that goes on in a following frame, see `join`. `raw` is the
    whole frame.
    """

    address: str
    function: int
    data: bytes = b""
    error: DeviceError | None = None
    more: bool = False
    raw: bytes = b""

    @property
    def outcome(self) -> Outcome:
        return Outcome.EXCEPTION if self.error else Outcome.OK

    @property
    def registers(self) -> tuple[int, ...]:
        """`data` as 16-bit words, high byte first."""
        words = len(self.data) // 2
        return tuple(int.from_bytes(self.data[2 * i : 2 * i + 2], "big") for i in range(words))


@dataclass(slots=True, frozen=True)
class Stray:
    """Something that arrived while waiting and was not the answer."""

    reason: Outcome
    detail: str


class Exchange:
    """A request that was or will be sent once, and the state of the search for its answer."""

    __slots__ = ("_seen", "count", "reply", "request")

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.reply: Reply | None = None
        self.count = 0  # bytes received in all
        self._seen = bytearray()

    def feed(self, data: bytes) -> Reply | None:
        """Take bytes as they arrive; return the reply once, when it is complete. Never raises."""
        if self.reply is not None:
            return None
        self.count += len(data)
        self._seen += data[-KEPT_BYTES:]
        if len(self._seen) > KEPT_BYTES:
            del self._seen[:-KEPT_BYTES]
        self.reply = self._search(data)
        return self.reply

    def ignoring(self, *foreign: bytes) -> "Exchange":
        """This exchange, which also finds the answer when `foreign` bytes lie inside it.

        For the heartbeats and registrations that a 4G DTU puts between the pieces of an answer.
        The bytes as they came are searched first, so an answer that happens to hold the same
        bytes is still found. Call it before the first `feed`.
        """
        return _Ignoring(self, foreign)

    @property
    def received(self) -> bytes:
        """The latest bytes received, for a trace; at most `KEPT_BYTES`."""
        return bytes(self._seen)

    @property
    def strays(self) -> list[Stray]:
        """What else arrived so far, as far as it can be told from the bytes kept."""
        # Some gateways send the request back to us: that is no fault of the meter.
        echo = self.request.lstrip(b"\xfe")
        return self._explain(self.received.replace(echo, b""))

    def failure(self) -> tuple[Outcome, str]:
        """Why there is no reply: the most telling stray, else a time-out."""
        strays = self.strays
        for reason in (Outcome.CRC, Outcome.WRONG_UNIT, Outcome.MALFORMED):
            for stray in strays:
                if stray.reason is reason:
                    return reason, stray.detail
        if not self.count:
            return Outcome.TIMEOUT, "no answer"
        shown = self.received[-24:].hex(" ").upper()
        return Outcome.TIMEOUT, f"{self.count} bytes, no answer among them: {shown}"

    def _search(self, data: bytes) -> Reply | None:
        raise NotImplementedError

    def _explain(self, seen: bytes) -> list[Stray]:
        raise NotImplementedError


class _Ignoring(Exchange):
    __slots__ = ("_cleaned", "_cleaner", "_inner")

    def __init__(self, inner: Exchange, foreign: Sequence[bytes]) -> None:
        super().__init__(inner.request)
        self._inner = inner
        self._cleaned = copy.deepcopy(inner)
        self._cleaner = Cleaner(foreign)

    def _search(self, data: bytes) -> Reply | None:
        return self._inner.feed(data) or self._cleaned.feed(self._cleaner.feed(data))

    def _explain(self, seen: bytes) -> list[Stray]:
        return self._inner._explain(seen)


class ModbusExchange(Exchange):
    """A Modbus request over RTU; `over_tcp` and `tunnelled` give the same request elsewhere."""

    __slots__ = ("_made",)

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self._made: modbus.RtuResponseParser | None = None

    @property
    def _parser(self) -> modbus.RtuResponseParser:
        if self._made is None:
            self._made = modbus.RtuResponseParser(self.request)
        return self._made

    def feed(self, data: bytes) -> Reply | None:
        if not self.count and modbus.is_whole_answer(self.request, data):
            # The usual case costs no parser: the answer, all of it and nothing else.
            self.count = len(data)
            raw = bytes(data)
            self.reply = Reply(str(raw[0]), raw[1], raw[3:-2], None, False, raw)
            return self.reply
        return super().feed(data)

    def _search(self, data: bytes) -> Reply | None:
        for frame in self._parser.feed(data):
            return _modbus_reply(frame)
        return None

    def over_tcp(self, transaction: int) -> Exchange:
        """The same request as Modbus TCP; only an answer with that transaction number is taken.

        Count `transaction` up with every request of a connection, modulo 65536.

        :raises ValueError: the number is not in 0..65535
        """
        return _ModbusTcpExchange(modbus.tcp_request(self.request, transaction))

    def tunnelled(self, serial: str | None) -> Exchange:
        """The same request for an Acrel 4G meter that dialled in (`7B 7B 90 …`).

        An answer with another serial number is not taken; None takes any. A write that is answered
        with the serial number only has a reply without data: taken, without any proof.
        """
        return _TunnelExchange(self.request, serial)

    def _explain(self, seen: bytes) -> list[Stray]:
        frames, rest = modbus.scan(seen)
        strays = [self._stray(frame) for frame in frames if not self._parser.is_answer(frame)]
        damaged = self._parser.damaged(rest)
        if damaged:
            strays.append(Stray(Outcome.CRC, f"wrong CRC: {damaged.hex(' ').upper()}"))
        return strays

    def _stray(self, frame: modbus.Frame) -> Stray:
        return _modbus_stray(frame, self._parser.unit)


def _modbus_reply(frame: modbus.Frame) -> Reply:
    error = None
    if frame.exception is not None:
        meaning = modbus.EXCEPTIONS.get(frame.exception, "unknown exception")
        error = DeviceError(frame.exception, meaning)
    return Reply(str(frame.unit), frame.function, frame.data, error, False, frame.raw)


def _modbus_stray(frame: modbus.Frame, unit: int) -> Stray:
    if frame.unit != unit:
        return Stray(Outcome.WRONG_UNIT, f"answer of unit {frame.unit}, expected {unit}")
    return _another(frame.raw)


def _another(raw: bytes) -> Stray:
    return Stray(Outcome.MALFORMED, f"answer to another request: {raw.hex(' ').upper()}")


class _ModbusTcpExchange(Exchange):
    __slots__ = ("_made",)

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self._made: modbus.TcpResponseParser | None = None

    @property
    def _parser(self) -> modbus.TcpResponseParser:
        if self._made is None:
            self._made = modbus.TcpResponseParser(self.request)
        return self._made

    def feed(self, data: bytes) -> Reply | None:
        if not self.count and modbus.is_whole_tcp_answer(self.request, data):
            self.count = len(data)
            raw = bytes(data)
            self.reply = Reply(str(raw[6]), raw[7], raw[9:], None, False, raw)
            return self.reply
        return super().feed(data)

    def _search(self, data: bytes) -> Reply | None:
        for frame in self._parser.feed(data):
            return _modbus_reply(frame)
        return None

    def _explain(self, seen: bytes) -> list[Stray]:
        frames = modbus.scan_tcp(seen)
        return [self._stray(frame) for frame in frames if not self._parser.is_answer(frame)]

    def _stray(self, frame: modbus.Frame) -> Stray:
        if frame.transaction != self._parser.transaction:
            detail = (
                f"answer to transaction {frame.transaction}, expected {self._parser.transaction}"
            )
            return Stray(Outcome.MALFORMED, detail)
        return _modbus_stray(frame, self._parser.unit)


class _TunnelExchange(Exchange):
    __slots__ = ("_answer", "_parser", "_serial")

    def __init__(self, request: bytes, serial: str | None) -> None:
        super().__init__(acrel4g.tunnel_request(request))
        self._answer = modbus.RtuResponseParser(request)
        self._parser = acrel4g.Parser()
        self._serial = serial

    def _search(self, data: bytes) -> Reply | None:
        for frame in self._parser.feed(data):
            reply = self._reply(frame)
            if reply is not None:
                return reply
        return None

    def _reply(self, frame: acrel4g.Frame) -> Reply | None:
        message = acrel4g.parse(frame)
        if not isinstance(message, acrel4g.TunnelAnswer) or not self._is_meter(message):
            return None
        if not message.answer:
            if self._answer.function != modbus.WRITE_MULTIPLE:
                return None
            return Reply(str(self._answer.unit), self._answer.function, raw=frame.raw)
        answer = self._answer.match(message.answer)
        return replace(_modbus_reply(answer), raw=frame.raw) if answer else None

    def _is_meter(self, message: acrel4g.TunnelAnswer) -> bool:
        return self._serial is None or message.serial in (None, self._serial)

    def _explain(self, seen: bytes) -> list[Stray]:
        strays = []
        for frame in acrel4g.Parser().feed(seen):
            seen = seen.replace(frame.raw, b"")
            # Logins, heartbeats and pushed readings may come at any time.
            if frame.command == acrel4g.TUNNEL and self._reply(frame) is None:
                strays.append(self._stray(frame))
        damaged = _TUNNEL_FRAME.search(seen)
        if damaged:
            strays.append(Stray(Outcome.CRC, f"wrong CRC: {damaged[0].hex(' ').upper()}"))
        return strays

    def _stray(self, frame: acrel4g.Frame) -> Stray:
        message = acrel4g.parse(frame)
        if not isinstance(message, acrel4g.TunnelAnswer):
            return _another(frame.raw)
        if not self._is_meter(message):
            detail = f"answer of meter {message.serial}, expected {self._serial}"
            return Stray(Outcome.WRONG_UNIT, detail)
        answer = modbus.answer_at(message.answer)
        return _modbus_stray(answer, self._answer.unit) if answer else _another(frame.raw)


_TUNNEL_FRAME = re.compile(rb"\{\{\x90.*?\}\}", re.DOTALL)


class _Dlt645Exchange(Exchange):
    __slots__ = ("_parser",)

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self._parser = dlt645.ReplyParser(request)

    def _search(self, data: bytes) -> Reply | None:
        for frame in self._parser.feed(data):
            error = None
            payload = frame.data[4:] if frame.di else frame.data
            if frame.is_error:
                error, payload = DeviceError(frame.error_code or 0, frame.error_text), b""
            elif frame.function == dlt645.READ_NEXT:
                payload = payload[:-1]  # the sequence number
            return Reply(frame.address, frame.function, payload, error, frame.more, frame.raw)
        return None

    def _explain(self, seen: bytes) -> list[Stray]:
        parser = dlt645.Parser()
        frames = parser.feed(seen) + parser.flush()
        strays = [self._stray(frame) for frame in frames if not self._parser.is_answer(frame)]
        if parser.rejected:
            shown = parser.last_rejected.hex(" ").upper()
            strays.append(Stray(Outcome.CRC, f"wrong checksum: {shown}"))
        return strays

    def _stray(self, frame: dlt645.Frame) -> Stray:
        if not self._parser.is_address(frame.address):
            detail = f"answer of meter {frame.address}, expected {self._parser.address}"
            return Stray(Outcome.WRONG_UNIT, detail)
        if frame.di and self._parser.di and frame.di != self._parser.di:
            detail = f"answer for data {frame.di}, expected {self._parser.di}"
            return Stray(Outcome.MALFORMED, detail)
        return _another(frame.raw)


class _Cjt188Exchange(Exchange):
    __slots__ = ("_parser",)

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self._parser = cjt188.ReplyParser(request)

    def _search(self, data: bytes) -> Reply | None:
        for frame in self._parser.feed(data):
            error, payload = None, frame.payload
            if frame.is_error:
                meaning = f"refused, status {payload.hex(' ').upper() or 'missing'}"
                error, payload = DeviceError(int.from_bytes(payload[:2], "little"), meaning), b""
            return Reply(frame.address, frame.function, payload, error, False, frame.raw)
        return None

    def _explain(self, seen: bytes) -> list[Stray]:
        frames = cjt188.Parser().feed(seen)
        strays = [self._stray(frame) for frame in frames if not self._parser.is_answer(frame)]
        for frame in frames:
            seen = seen.replace(frame.raw, b"")
        damaged = self._parser.damaged(seen)
        if damaged:
            strays.append(Stray(Outcome.CRC, f"wrong checksum: {damaged.hex(' ').upper()}"))
        return strays

    def _stray(self, frame: cjt188.Frame) -> Stray:
        if not self._parser.is_meter(frame):
            detail = (
                f"answer of meter {frame.address}, type {frame.meter_type:02X},"
                f" expected {self._parser.address}, type {self._parser.meter_type:02X}"
            )
            return Stray(Outcome.WRONG_UNIT, detail)
        if frame.di_wire and frame.di_wire != self._parser.di_wire:
            have, want = (di.hex(" ").upper() for di in (frame.di_wire, self._parser.di_wire))
            hint = ", the other byte order" if frame.di_wire[::-1] == self._parser.di_wire else ""
            return Stray(Outcome.MALFORMED, f"answer for data {have}, expected {want}{hint}")
        return _another(frame.raw)


def modbus_read(
    unit: int, address: int, count: int, function: int = modbus.READ_HOLDING
) -> ModbusExchange:
    """Read `count` holding (function 3) or input (4) registers from `address` on.

    The reply has them in `registers`.

    :raises ValueError: outside what the protocol allows
    """
    return ModbusExchange(modbus.read_registers_request(unit, address, count, function))


def modbus_write(unit: int, address: int, values: Sequence[int]) -> ModbusExchange:
    """Write registers from `address` on; a reply without error is the meter's echo, no proof.

    :raises ValueError: outside what the protocol allows
    """
    return ModbusExchange(modbus.write_registers_request(unit, address, values))


def dlt645_read(address: str, di: str) -> Exchange:
    """Read one data identifier (eight hex digits); the reply's data is what follows it.

    A reply with `more` goes on: ask on with `dlt645_read_next` and put it together with `join`.

    :raises ValueError: bad address or identifier
    """
    return _Dlt645Exchange(dlt645.read_request(address, di))


def dlt645_read_next(address: str, di: str, sequence: int) -> Exchange:
    """Read what follows an answer with `more`; `sequence` is 1 for the first that follows.

    :raises ValueError: bad address or identifier, sequence not in 1..255
    """
    return _Dlt645Exchange(dlt645.read_next_request(address, di, sequence))


def join(replies: Sequence[Reply]) -> Reply:
    """One reply of an answer that came in several frames:

        replies = [await ask(dlt645_read(address, di))]
        while replies[-1].more:
            replies.append(await ask(dlt645_read_next(address, di, len(replies))))
        reply = join(replies)

    A refusal on the way is returned as it came. The standard's sequence ends the loop: 255 frames.

    :raises ValueError: no replies, one of another meter, or an answer that is not complete
    """
    for reply in replies:
        if reply.error:
            return reply
    if not replies or replies[-1].more or not all(reply.more for reply in replies[:-1]):
        raise ValueError("the answer is not complete")
    if len({reply.address for reply in replies}) > 1:
        raise ValueError("the answer comes from more than one meter")
    return replace(
        replies[0],
        data=b"".join(reply.data for reply in replies),
        more=False,
        raw=b"".join(reply.raw for reply in replies),
    )


def dlt645_read_address() -> Exchange:
    """Ask the only meter on a line for its address; the reply has it in `address`."""
    return _Dlt645Exchange(dlt645.read_address_request())


def dlt645_write(address: str, di: str, data: bytes, password: bytes, operator: bytes) -> Exchange:
    """Write `data` to a data identifier; for password and operator see `dlt645_relay`.

    A reply without error says that the meter took it: read it back.

    :raises ValueError: not the address of one meter, bad identifier or lengths
    """
    return _Dlt645Exchange(dlt645.write_request(address, di, password, operator, data))


def dlt645_broadcast_time(when: datetime) -> bytes:
    """The bytes that set the clocks of all meters on a line; nobody answers, so send them only.

    `when` is the meters' local time without a zone.

    :raises ValueError: a zone, or a year outside 2000..2099
    """
    return dlt645.broadcast_time_request(when)


def dlt645_relay(
    address: str,
    n1: int,
    password: bytes,
    operator: bytes,
    valid_until: datetime | None = None,
) -> Exchange:
    """Relay command `n1` (`dlt645.TRIP`, `CLOSE_ALLOWED`, `CLOSE`, `KEEP_POWER`, ...).

    `password`: level PA and three bytes; `operator`: four bytes; both in wire order.
    `valid_until`: the meter's local time without zone, None for no limit. A reply without error
    says that the meter took the command, not that the relay moved.

    :raises ValueError: bad address or lengths
    """
    return _Dlt645Exchange(
        dlt645.relay_request(address, n1, password, operator, valid_until),
    )


def dlt645_credit(
    address: str,
    amount_fen: int,
    number: int,
    password: bytes,
    operator: bytes,
    open_account: bool = False,
    encoding: str = "bcd",
) -> Exchange:
    """Add `amount_fen` to the credit that the meter holds, as purchase `number`; needs a bench meter.

    `open_account` is for the first purchase of an account. A meter takes each number once, so the
    same request can be repeated. A reply without error says "taken": read balance and purchase
    count back. An error with the bit `dlt645.CREDIT_TAKEN_BEFORE` says the same of an earlier one.

    :raises ValueError: not the address of one meter, bad lengths, a number that does not fit
    """
    di = dlt645.OPEN_ACCOUNT if open_account else dlt645.CREDIT
    return _Dlt645Exchange(
        dlt645.credit_request(address, di, amount_fen, number, password, operator, encoding)
    )


def dlt645_clear_credit(
    address: str, password: bytes, operator: bytes, encoding: str = "bcd"
) -> Exchange:
    """Set credit and purchase count of a meter to zero; see `dlt645_credit`."""
    di = dlt645.CLEAR_CREDIT
    return _Dlt645Exchange(dlt645.credit_request(address, di, 0, 0, password, operator, encoding))


def cjt188_read(
    meter_type: int, address: str, di: str, serial: int, di_order: str = "high_first"
) -> Exchange:
    """Read one data identifier (four hex digits, high byte first) of a CJ/T 188 meter.

    `serial` (0..255) comes back in the answer; count it up, so that a late answer is told apart.
    `di_order`: how the meter wants the identifier on the wire, "high_first" or "low_first".

    :raises ValueError: bad address, identifier, order or serial number
    """
    return _Cjt188Exchange(cjt188.read_request(meter_type, address, di, serial, di_order))


def cjt188_write(
    meter_type: int,
    address: str,
    di: str,
    data: bytes,
    serial: int,
    di_order: str = "high_first",
) -> Exchange:
    """Write `data` to a data identifier; the reply's data are the status bytes.

    :raises ValueError: not the address of one meter, bad identifier, order, serial or length
    """
    request = cjt188.write_request(meter_type, address, di, data, serial, di_order)
    return _Cjt188Exchange(request)


def cjt188_valve(
    meter_type: int, address: str, open: bool, serial: int, di_order: str = "high_first"
) -> Exchange:
    """Open or close the valve. A reply without error says "taken": it travels for 5 to 30 s.

    :raises ValueError: not the address of one meter, bad order or serial number
    """
    return _Cjt188Exchange(cjt188.valve_request(meter_type, address, open, serial, di_order))


def cjt188_read_address(
    meter_type: int = cjt188.ANY_TYPE, serial: int = 0, di_order: str = "high_first"
) -> Exchange:
    """Ask the only meter on a line for its address; the reply has it in `address`."""
    return _Cjt188Exchange(cjt188.read_address_request(meter_type, serial, di_order))
