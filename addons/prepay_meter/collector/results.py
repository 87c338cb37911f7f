"""What polls and messages come to, as plain data for the sink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from time import time

from .config import Meter


def utcnow() -> datetime:
    """Now as Odoo stores it: naive UTC in whole seconds."""
    global _moment, _second
    second = int(time())
    if second != _second:
        # Thousands of messages a second ask for it.
        _moment = datetime.fromtimestamp(second, timezone.utc).replace(tzinfo=None)
        _second = second
    return _moment


_moment, _second = datetime(1970, 1, 1), 0  # noqa: DTZ001 (naive UTC)


@dataclass(slots=True)
class PollResult:
    """What one poll or message of one meter showed.

    ``readings``: (channel number, value in Wh or L); ``values``: everything else by channel code;
    ``total``: the billed register among them;
    ``at``: time of the values, ``seen``: when they arrived (both naive UTC); ``source``: 1 polled,
    2 late.
    """

    meter: Meter
    at: datetime
    readings: Sequence[tuple[int, int]] = ()
    values: dict[str, int | str | None] = field(default_factory=dict)
    held: Sequence[dict] = ()
    error: str | None = None
    online: bool = True
    source: int = 1
    seen: datetime | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something for the journal; ``meter_id`` or ``gateway_id`` says of what."""

    kind: str
    detail: str
    meter_id: int | None = None
    gateway_id: int | None = None
    severity: str = "warning"
