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

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from . import dlt645, modbus
from .errors import DeviceError, Outcome

KEPT_BYTES = 1024
"""So many of the latest bytes are kept to tell what arrived instead of the answer."""


@dataclass(slots=True, frozen=True)
class Reply:
    """The answer to one request.

    `address`: Modbus unit as decimal text, or the twelve digits of a DL/T 645 meter (the real
    ones when the request went to a wildcard). `data`: register bytes of a Modbus read; what
    follows the data identifier of a DL/T 645 read; else what the protocol returns. `error` is
    set when the device refused. `more`: a DL/T 645 answer that goes on in a following frame.
    `raw` is the whole frame.
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


class _ModbusExchange(Exchange):
    __slots__ = ("_parser",)

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self._parser = modbus.RtuResponseParser(request)

    def _search(self, data: bytes) -> Reply | None:
        for frame in self._parser.feed(data):
            error = None
            if frame.exception is not None:
                meaning = modbus.EXCEPTIONS.get(frame.exception, "unknown exception")
                error = DeviceError(frame.exception, meaning)
            return Reply(str(frame.unit), frame.function, frame.data, error, False, frame.raw)
        return None

    def _explain(self, seen: bytes) -> list[Stray]:
        frames, rest = modbus.scan(seen)
        strays = [self._stray(frame) for frame in frames if not self._parser.is_answer(frame)]
        damaged = self._parser.damaged(rest)
        if damaged:
            strays.append(Stray(Outcome.CRC, f"wrong CRC: {damaged.hex(' ').upper()}"))
        return strays

    def _stray(self, frame: modbus.Frame) -> Stray:
        if frame.unit != self._parser.unit:
            detail = f"answer of unit {frame.unit}, expected {self._parser.unit}"
            return Stray(Outcome.WRONG_UNIT, detail)
        shown = frame.raw.hex(" ").upper()
        return Stray(Outcome.MALFORMED, f"answer to another request: {shown}")


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
                code = frame.error_code or 0
                error, payload = DeviceError(code, dlt645.error_meaning(code)), b""
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
        shown = frame.raw.hex(" ").upper()
        return Stray(Outcome.MALFORMED, f"answer to another request: {shown}")


def modbus_read(unit: int, address: int, count: int) -> Exchange:
    """Read `count` holding registers from `address` on; the reply has them in `registers`.

    :raises ValueError: outside what the protocol allows
    """
    return _ModbusExchange(modbus.read_registers_request(unit, address, count))


def modbus_write(unit: int, address: int, values: Sequence[int]) -> Exchange:
    """Write registers from `address` on; a reply without error is the meter's echo, no proof.

    :raises ValueError: outside what the protocol allows
    """
    return _ModbusExchange(modbus.write_registers_request(unit, address, values))


def dlt645_read(address: str, di: str) -> Exchange:
    """Read one data identifier (eight hex digits); the reply's data is what follows it.

    :raises ValueError: bad address or identifier
    """
    return _Dlt645Exchange(dlt645.read_request(address, di))


def dlt645_read_address() -> Exchange:
    """Ask the only meter on a line for its address; the reply has it in `address`."""
    return _Dlt645Exchange(dlt645.read_address_request())


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
