"""What is true at a site: meters, gateways, phones, a payment provider. No crash undoes it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple


class Message(NamedTuple):
    """A reading on its way: when it arrives, the meter, the register at a moment of two clocks."""

    due: datetime
    meter: int
    value: int
    at: datetime
    device_at: datetime


@dataclass
class Device:
    """A meter with its relay. `used` counts for ever, whatever the register does."""

    register: int
    modulus: int
    rate: int  # most base units in an hour
    used: int = 0
    power: int = 0
    closed: bool = True
    drift: timedelta = timedelta(0)
    rest: int = 0
    operations: list[datetime] = field(default_factory=list)
    welded: bool = False  # takes commands, does not open
    bypassed: bool = False  # draws power whatever the relay does
    echoes: bool = False  # reports what it was told, not what its contacts do
    told: bool = True

    @property
    def load(self) -> int:
        return self.power if self.closed or self.bypassed else 0

    def answer(self) -> dict:
        """What a poll reads."""
        closed = self.told if self.echoes else self.closed
        return {"relay": "closed" if closed else "open", "power": self.load}

    def flow(self, span: timedelta) -> None:
        """Time passes."""
        if self.closed or self.bypassed:
            amount = self.power * (span // timedelta(seconds=1)) + self.rest
            units, self.rest = divmod(amount, 3600)
            self.used += units
            self.register = (self.register + units) % self.modulus


@dataclass
class Payment:
    """One transaction at the provider."""

    key: str
    company: int
    order: int | None
    fen: int
    paid_at: datetime
    refunds: dict[str, int] = field(default_factory=dict)
    refund_times: list[datetime] = field(default_factory=list)


class Provider:
    """Knows what was paid; a refund number is carried out once."""

    def __init__(self, chance) -> None:
        self.chance = chance
        self.payments: dict[str, Payment] = {}

    def refund(self, key: str, number: str, fen: int, now: datetime) -> str:
        payment = self.payments[key]
        if number in payment.refunds:
            return "done"
        if self.chance.random() < 0.1 or sum(payment.refunds.values()) + fen > payment.fen:
            return "failed"
        payment.refunds[number] = fen
        payment.refund_times.append(now)
        return "done"
