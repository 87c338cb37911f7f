"""Rows of the platform's tables. What is true of a meter or a payment is in `world.py`."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

ZERO = Decimal(0)


class Row(NamedTuple):
    """An entry of the ledger. It never changes."""

    key: str
    kind: str
    bucket: str
    amount: Decimal
    reverses: str
    posted_on: date
    source: int  # meter of a charge, else -1


@dataclass(eq=False)
class Account:
    number: int
    company: int
    overdraft: Decimal
    entries: list[Row] = field(default_factory=list)
    keys: dict[str, Row] = field(default_factory=dict)
    reversed: dict[str, str] = field(default_factory=dict)
    allowances: dict[str, "Allowance"] = field(default_factory=dict)
    due_since: datetime | None = None
    notice_at: datetime | None = None


@dataclass(eq=False)
class Allowance:
    amount: Decimal
    last: date
    closed: bool = False


@dataclass(eq=False)
class Command:
    meter: int
    epoch: int
    action: str
    expires: datetime | None
    state: str = "queued"
    checks: tuple = ()


@dataclass(eq=False)
class Charge:
    quantity: int
    amount: Decimal
    start: datetime
    end: datetime


@dataclass(eq=False)
class Meter:
    """A meter, its assignment to an account, and what is known of its relay."""

    number: int
    account: int
    limits: object
    heads: int
    start: datetime
    protected: bool = False
    readings: dict[datetime, int] = field(default_factory=dict)
    holds: dict[datetime, str] = field(default_factory=dict)
    baselines: dict[datetime, tuple[int, int]] = field(default_factory=dict)
    rated_at: datetime | None = None
    rated_value: int = 0
    first_at: datetime | None = None
    fees_until: datetime | None = None
    tiers: object = None
    open: dict[tuple, Charge] = field(default_factory=dict)
    residue: Decimal = ZERO
    postings: int = 0
    posted_exact: Decimal = ZERO
    billed: int = 0
    desired: str = "closed"
    own: bool = False
    epoch: int = 0
    relay: str | None = "closed"
    proof: object = None  # how its profile proves the relay
    contradictions: int = 0
    journal: list[tuple] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    operations: list[datetime] = field(default_factory=list)


@dataclass(eq=False)
class Order:
    account: int
    company: int
    fen: int
    at: datetime
    state: str = "open"


@dataclass(eq=False)
class Refund:
    number: str
    account: int
    payment: str
    fen: int
    state: str = "asked"
