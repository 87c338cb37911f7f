"""Credit kept in a prepaid meter: money bought, money used, numbered purchases."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime

UNIT = 36 * 10**16
"""Watt-nanoseconds times price (0.0001 CNY a kWh) in one fen; the same for L/h and m³."""
KEPT_PURCHASES = 20

DONE = "done"
REPEATED = "repeated"
BAD_NUMBER = "refused: purchase number"
HOARDING = "refused: hoarding limit"
BAD_AMOUNT = "refused: amount"


@dataclass(slots=True, frozen=True)
class Purchase:
    """One purchase as the meter took it; amounts in fen, `at` by the meter's clock."""

    at: datetime
    number: int
    amount: int
    before: int
    after: int
    energy_wh: int


class Credit:
    """Account in the meter. Amounts are fen; prices 0.0001 CNY for each kWh or m³."""

    def __init__(self) -> None:
        self.prices = [6800] * 4  # rates 1 to 4
        self.alarm1 = 2000
        self.alarm2 = 1000
        self.overdraft_limit = 0
        self.hoarding_limit = 0  # 0 is none
        self.cut_below = 0  # the relay opens when no more than this is left
        self.cut_at_alarm2 = False  # ADF400L: it opens at the second alarm
        self.purchases = 0  # number of the last purchase
        self.bought = 0
        self.cumulative = 0  # of all purchases
        self.opened = False
        self.log: deque[Purchase] = deque(maxlen=KEPT_PURCHASES)
        self._spent = 0  # in units of 1 / UNIT fen

    @property
    def balance(self) -> int:
        """Remaining amount, negative in debt; a fen is used when it is used up."""
        return self.bought - self._spent // UNIT

    @property
    def remaining(self) -> int:
        return max(0, self.balance)

    @property
    def overdrawn(self) -> int:
        return max(0, -self.balance)

    @property
    def exhausted(self) -> bool:
        """Whether the meter has to cut by itself."""
        if self.cut_at_alarm2:
            return self.balance <= self.alarm2
        return self.balance + self.overdraft_limit <= self.cut_below

    def set_balance(self, amount: int) -> None:
        """Put the remaining amount by hand, without a purchase."""
        self.bought = amount
        self._spent = 0

    def spend(self, quantity: int, rate: int) -> None:
        """Use `quantity` (watt-nanoseconds) in a rate of 1 to 4."""
        self._spent += quantity * self.prices[rate - 1]

    def take(self, amount: int, number: int, at: datetime, energy_wh: int) -> str:
        """Credit a purchase once: its number must be the last one plus one.

        The last purchase sent again changes nothing and is answered as done.
        """
        if self.log and (number, amount) == (self.purchases, self.log[-1].amount):
            return REPEATED
        if number != self.purchases + 1:
            return BAD_NUMBER
        if amount <= 0:
            return BAD_AMOUNT
        before = self.balance
        if self.hoarding_limit and before + amount > self.hoarding_limit:
            return HOARDING
        self.bought += amount
        self.cumulative += amount
        self.purchases = number
        self.opened = True
        self.log.append(Purchase(at, number, amount, before, self.balance, energy_wh))
        return DONE

    def dump(self) -> dict:
        return {
            "bought": self.bought,
            "spent": self._spent,
            "purchases": self.purchases,
            "cumulative": self.cumulative,
            "last": self.log[-1].amount if self.log else 0,
            "last_at": self.log[-1].at.isoformat() if self.log else "",
        }

    def restore(self, state: dict) -> None:
        self.bought, self._spent = int(state["bought"]), int(state["spent"])
        self.purchases, self.cumulative = int(state["purchases"]), int(state["cumulative"])
        if state["last_at"]:  # a repeat of the last purchase stays harmless
            at, amount = datetime.fromisoformat(state["last_at"]), int(state["last"])
            self.log.append(Purchase(at, self.purchases, amount, 0, 0, 0))
