"""Transparent 4G DTUs that dial in: who is calling, and a stream without their own packets.

A DTU announces itself with a registration packet (IMEI, ICCID, own text or own bytes): on
connecting, before every packet, or both. It also sends heartbeats. Neither has a frame, and TCP
cuts and joins everything. A heartbeat that is a Modbus answer of some unit needs no treatment: an
exchange passes over it and names it as a stray.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KINDS = ("imei", "iccid", "ascii", "hex")
REGISTRATIONS = ("connect", "each", "both")
"""When a DTU registers: on connecting, before each packet, or both."""

PING = b"ping"
"""Heartbeat of some DTUs; others send whatever bytes they are set to."""

MAX_REGISTRATION = 256
"""The identity must begin and end within so many bytes; the longest known packet has 80."""
MAX_IDENTITY = 80
MIN_FOREIGN = 2
"""Single bytes are not cut out of a stream: every answer holds all of them. Parsers pass over
them anyway."""


def identity_to_wire(kind: str, identity: str) -> bytes:
    """Bytes by which a DTU tells its identity, as they are set on it.

    :raises ValueError: unknown kind, or no identity of that kind
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r} of identity, expected one of {', '.join(KINDS)}")
    try:
        raw = bytes.fromhex(identity) if kind == "hex" else identity.strip().encode("ascii")
    except ValueError:
        raw = b""
    sound = {"imei": rb"\d{15}", "iccid": rb"\d{6}[0-9A-Fa-f]{12,14}", "ascii": rb"[ -~]+"}
    if kind in sound and not re.fullmatch(sound[kind], raw):
        raw = b""
    if not 4 <= len(raw) <= MAX_IDENTITY:
        raise ValueError(
            f"{identity!r} is not an identity of kind {kind}: 15 digits for imei, 18 to 20 for "
            f"iccid, 4 to {MAX_IDENTITY} characters or bytes for the others"
        )
    return raw


def heartbeat_to_wire(text: str) -> bytes:
    """Bytes of a heartbeat as it is set: text such as `ping`, or bytes as `hex:00FF`.

    >>> heartbeat_to_wire("hex:00FF")
    b'\\x00\\xff'

    :raises ValueError: no hex digits, or characters outside ASCII
    """
    if text[:4].lower() == "hex:":
        return bytes.fromhex(text[4:])
    return text.encode("ascii")


def foreign(identity: bytes, registration: str, heartbeat: bytes = b"") -> tuple[bytes, ...]:
    """What of a DTU's own bytes can lie between the pieces of an answer, for `Cleaner`.

    :raises ValueError: unknown `registration`
    """
    if registration not in REGISTRATIONS:
        raise ValueError(f"unknown registration {registration!r}, expected connect, each or both")
    packets = (heartbeat,) if registration == "connect" else (heartbeat, identity)
    return tuple(packet for packet in packets if len(packet) >= MIN_FOREIGN)


@dataclass(slots=True, frozen=True)
class Identity:
    """Who called. `known` is False for a pattern that nobody registered: show it, do not serve it.

    `rest` is what arrived behind it.
    """

    identity: str
    known: bool
    rest: bytes = b""


class KnownIdentities:
    """What the registered DTUs send (`identity_to_wire`), with the name of each. Make it once."""

    __slots__ = ("_lengths", "_names", "_sorted")

    def __init__(self, names: Mapping[bytes, str]) -> None:
        self._names = {wire: name for wire, name in names.items() if wire}
        self._lengths = sorted({len(wire) for wire in self._names}, reverse=True)
        self._sorted = sorted(self._names)

    def first(self, head: bytes) -> tuple[int, bytes, str] | None:
        """Place, bytes and name of the one that begins first in `head`, there the longest."""
        for start in range(len(head)):
            for length in self._lengths:
                wire = head[start : start + length]
                if wire in self._names:
                    return start, wire, self._names[wire]
        return None

    def may_go_on(self, tail: bytes) -> bool:
        """Whether one is longer than `tail` and begins with it."""
        place = bisect_right(self._sorted, tail)
        return place < len(self._sorted) and self._sorted[place].startswith(tail)


class Registration:
    """Find out who dialled in, from the first bytes of a connection.

    Of the known identities the one that begins first wins, of two that begin together the longer.
    While bytes may still come that make it a longer one, the answer waits: call `flush` when the
    line has been quiet, and at the time-out for registrations. Then also an IMEI or ICCID that is
    not known is reported.

    `feed` never raises and keeps at most `MAX_REGISTRATION` bytes; `failed` is set when those did
    not hold an identity.
    """

    __slots__ = ("_buffer", "_known", "failed", "found")

    def __init__(self, known: KnownIdentities) -> None:
        self._known = known
        self._buffer = bytearray()
        self.found: Identity | None = None
        self.failed = False

    def __len__(self) -> int:
        """Bytes held."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Identity | None:
        """Take the next bytes; return the identity once, when it is certain."""
        if self.found or self.failed:
            return None
        self._buffer += data
        return self._decide(final=len(self._buffer) >= MAX_REGISTRATION)

    def flush(self) -> Identity | None:
        """The line is quiet: decide by what has arrived, once."""
        return None if self.found or self.failed else self._decide(final=True)

    def _decide(self, final: bool) -> Identity | None:
        # What lies behind the limit must not count, else the result depends on the cutting.
        head = bytes(self._buffer[:MAX_REGISTRATION])
        first = self._known.first(head)
        if first:
            start, wire, name = first
            if not final and any(self._known.may_go_on(head[at:]) for at in range(start + 1)):
                return None
            self.found = Identity(name, True, bytes(self._buffer[start + len(wire) :]))
        elif final:
            self.found = self._pattern(head)
            self.failed = self.found is None and len(head) >= MAX_REGISTRATION
        if self.found or self.failed:
            self._buffer.clear()
        return self.found

    def _pattern(self, head: bytes) -> Identity | None:
        match = _PATTERN.search(head)
        if match is None:
            return None
        rest = bytes(self._buffer[match.end() :])
        return Identity(match[0].decode("ascii"), False, rest)


_PATTERN = re.compile(
    # An IMEI has 15 digits, an ICCID 18 to 20 and begins with 89; nothing of the kind around it.
    rb"(?<![0-9A-Za-z])(?:89\d{4}[0-9A-Fa-f]{12,14}|\d{15})(?![0-9A-Za-z])"
)


class Cleaner:
    """A stream without the heartbeats and registration packets in it.

    Removed is each place where one of `foreign` stands, the longest when several do, wherever it
    stands: also between two pieces of an answer, and also where an answer happens to hold the same
    bytes. So give an exchange both, by `Exchange.ignoring`. What may be the beginning of one is
    held back until the next bytes come; `flush` when the line is quiet.
    """

    __slots__ = ("_buffer", "_first", "_foreign", "removed")

    def __init__(self, foreign: Iterable[bytes]) -> None:
        wanted = {bytes(item) for item in foreign if len(item) >= MIN_FOREIGN}
        self._foreign = sorted(wanted, key=lambda item: (-len(item), item))
        firsts = b"".join(re.escape(item[:1]) for item in self._foreign)
        self._first = re.compile(b"[" + firsts + b"]") if firsts else None
        self._buffer = bytearray()
        self.removed = 0
        """How many were removed."""

    def __len__(self) -> int:
        """Bytes held back."""
        return len(self._buffer)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return those that are certainly not foreign."""
        self._buffer += data
        return self._clean(final=False)

    def flush(self) -> bytes:
        """The line is quiet: return what was held back, if it is not foreign."""
        return self._clean(final=True)

    def _clean(self, final: bool) -> bytes:
        data, clean, at = bytes(self._buffer), bytearray(), 0
        while at < len(data):
            match = self._first.search(data, at) if self._first else None
            start = match.start() if match else len(data)
            clean += data[at:start]
            at = start
            if at == len(data) or (not final and self._may_go_on(data[at:])):
                break
            item = next((item for item in self._foreign if data.startswith(item, at)), b"")
            self.removed += bool(item)
            if not item:
                clean.append(data[at])
            at += len(item) or 1
        del self._buffer[:at]
        return bytes(clean)

    def _may_go_on(self, tail: bytes) -> bool:
        return any(len(item) > len(tail) and item.startswith(tail) for item in self._foreign)
