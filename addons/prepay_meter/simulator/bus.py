"""What the protocols of the simulator have in common: requests, answers, wire faults."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .meter import Meter

NOISE = bytes.fromhex("00 FF 70 69 6E 67 68 01")
"""A heartbeat and a false start, as transparent gateways mix them in."""


@dataclass(slots=True, frozen=True)
class Answer:
    """Bytes for the wire, and how much later than usual they come.

    The line is busy for `slow_ms`, and free again for `late_ms`.
    """

    raw: bytes
    late_ms: int = 0
    slow_ms: int = 0


class Bus:
    """The serial line behind one gateway with the meters on it."""

    CHECKSUM = -1
    """Position of the byte that a wrong checksum spoils."""

    def __init__(self) -> None:
        self.meters: dict[str, Meter] = {}

    def answer(self, request: bytes) -> list[Answer]:
        """What the meters on the line answer to one request frame."""
        raise NotImplementedError

    def take_request(self, buffer: bytearray) -> bytes | None:
        """Remove and return the next request frame, None when it is not complete."""
        raise NotImplementedError

    def value_of(self, raw: bytearray) -> range:
        """Positions of an answer's value."""
        raise NotImplementedError

    def seal(self, raw: bytearray) -> None:
        """Put the checksum right after the value was changed."""
        raise NotImplementedError

    def silence(self, meter: Meter, writing: bool) -> bool:
        """Count a request to `meter`; whether it must not answer at all."""
        meter.advance()
        faults = meter.faults
        if not meter.powered or meter.dice.randrange(1000) < faults.loss_permille:
            return True
        if writing:
            meter.writes += 1
        else:
            meter.reads += 1
        return faults.silent or (meter.held and not writing)

    def on_wire(
        self, meter: Meter, request: bytes, commanded: bool, encode: Callable[[bool], bytes]
    ) -> Iterable[Answer]:
        """The answer with the faults of the line.

        `encode(other)` builds the frame, under another address when `other`.
        """
        faults, dice = meter.faults, meter.dice
        if commanded and faults.no_ack:
            return
        raw = bytearray(encode(faults.other_address))
        if dice.randrange(1000) < faults.bad_data_permille and (value := self.value_of(raw)):
            raw[dice.choice(value)] ^= 1 << dice.randrange(8)
            self.seal(raw)
        if dice.randrange(1000) < faults.flip_permille:
            raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        if faults.clash:  # on the line a 0 wins over a 1
            raw = bytearray(byte & dice.randrange(256) for byte in raw)
        if faults.bad_checksum:
            raw[self.CHECKSUM] ^= 0x5A
        if faults.half_frame:
            del raw[len(raw) // 2 :]
        before = (request if faults.echo else b"") + (NOISE if faults.noise else b"")
        for _ in range(1 + faults.repeats):
            yield Answer(before + bytes(raw), faults.late_ms, faults.slow_ms)
