"""Credit kept in a meter: what may be done with one numbered purchase, as a pure function.

A purchase carries its amount and a number n; the meter takes a number once, and its counter shows
the number it took last. So every doubt is settled by reading the counter (C-01 to C-04, C-08):
n or more means taken, n - 1 means not taken and the same n may be sent (again), anything else stops
and a person looks. Money is in fen.
"""

from __future__ import annotations

from dataclasses import dataclass

QUEUED, SENT, CONFIRMED, STOPPED, VOID = "queued", "sent", "confirmed", "stopped", "void"

#: Why a purchase stops and waits for a person.
REASONS = {
    "ahead": "the meter counted purchases that are not ours",
    "behind": "the meter counted fewer purchases than were confirmed",
    "hoarding": "more credit than the meter may hold",
    "in_doubt": "it is not known whether the meter took it, and the meter has no counter",
    "refused": "the meter refused it",
    "unreadable": "the credit in the meter cannot be read",
}


@dataclass(frozen=True, slots=True)
class Purchase:
    """One purchase of a meter: its number, amount in fen and state."""

    number: int
    amount_fen: int
    state: str = QUEUED


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: "send" (also again, with the same number), "confirm" or "stop" with a reason."""

    action: str
    reason: str = ""


def next_step(
    row: Purchase, counter: int | None, remaining: int | None, hoarding_limit: int
) -> Step:
    """Decide about the oldest purchase of a meter that is not settled.

    :param counter: number of the last purchase that the meter took, read just now and by two equal
        reads; None only when the meter type has no counter at all
    :param remaining: credit in the meter, debt negative, in fen; None when it has no such value
    :param hoarding_limit: most credit that the meter may hold, in fen; 0 for no limit
    """
    if row.state not in (QUEUED, SENT):
        raise ValueError(f"purchase {row.number} is {row.state}: nothing is to be done")
    in_doubt = row.state == SENT
    if counter is None:
        return Step("stop", "in_doubt") if in_doubt else _first_time(row, remaining, hoarding_limit)
    if counter >= row.number:
        # What was never sent cannot have been taken: somebody else sold, or the database is old.
        return Step("confirm") if in_doubt else Step("stop", "ahead")
    if counter < row.number - 1:
        return Step("stop", "behind")
    return Step("send") if in_doubt else _first_time(row, remaining, hoarding_limit)


def _first_time(row: Purchase, remaining: int | None, hoarding_limit: int) -> Step:
    if hoarding_limit > 0:
        if remaining is None:
            return Step("stop", "unreadable")
        if remaining + row.amount_fen > hoarding_limit:
            return Step("stop", "hoarding")
    return Step("send")


def may_send_after_restore(counter: int | None, expected: int, in_doubt: bool) -> bool:
    """Whether the counter agrees with the rows of a database that may be older than the meter (C-08).

    :param expected: number of the last confirmed purchase, or the counter at which the series began
    :param in_doubt: whether the next number was sent and not settled
    """
    return counter is not None and (counter == expected or (in_doubt and counter == expected + 1))
