"""What the two protocols of the simulator have in common: requests, answers, wire faults."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .meter import Meter

NOISE = bytes.fromhex("00 FF 70 69 6E 67 68 01")
"""A heartbeat and a false start, as transparent gateways mix them in."""


@dataclass(slots=True, frozen=True)
class Answer:
    """Bytes for the wire, and how much later than usual they come."""

    raw: bytes
    late_ms: int = 0


class Bus:
    """The serial line behind one gateway with the meters on it."""

    def __init__(self) -> None:
        self.meters: dict[str, Meter] = {}

    def answer(self, request: bytes) -> list[Answer]:
        """What the meters on the line answer to one request frame."""
        raise NotImplementedError

    def take_request(self, buffer: bytearray) -> bytes | None:
        """Remove and return the next request frame, None when it is not complete."""
        raise NotImplementedError

    def silence(self, meter: Meter, writing: bool) -> bool:
        """Count a request to `meter`; whether it must not answer at all."""
        if writing:
            meter.writes += 1
        else:
            meter.reads += 1
        meter.advance()
        return meter.faults.silent or (meter.held and not writing)

    def after_command(self, meter: Meter, action: str, result: str) -> None:
        """Keep an obeyed relay command; arm the silence that may follow it."""
        meter.record(action, result)
        if meter.faults.hold_reads_after_write:
            meter.held = True

    def on_wire(
        self, meter: Meter, commanded: bool, encode: Callable[[bool], bytes], checksum: int
    ) -> Iterable[Answer]:
        """The answer with the faults of the line.

        `encode(other)` builds the frame, under another address when `other`; `checksum` is the
        position of the byte that a wrong checksum spoils.
        """
        faults = meter.faults
        if commanded and faults.no_ack:
            return
        raw = bytearray(encode(faults.other_address))
        if faults.bad_checksum:
            raw[checksum] ^= 0x5A
        yield Answer((NOISE if faults.noise else b"") + bytes(raw), faults.late_ms)
