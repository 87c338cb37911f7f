"""A store with transactions, and a process that may die at every point of them.

Work is lost unless it was committed. The flows of one process run one after the other; what runs
at the same time in the product is two steps here, in any order.
"""

import random
from collections import Counter


class Crash(Exception):
    """The process died here."""


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


def need(condition: object, rule: str, detail: str = "", *values: object) -> None:
    """Fail with the invariant that is broken; the text is only made when it is needed."""
    if not condition:
        raise Broken(rule, detail % values if values else detail)


class Store:
    """Rows are plain objects; a transaction remembers how to undo what it wrote."""

    def __init__(self, chance: random.Random, crash_rate: float) -> None:
        self.chance = chance
        self.crash_rate = crash_rate
        self.crashes: Counter[tuple[str, str]] = Counter()
        self.passed = 0
        self._undo: list[tuple] = []
        self._later: list[tuple] = []
        self._flow = ""
        self._armed = 0
        self._lengths: dict[str, int] = {}
        self._count = 0

    def run(self, flow: str, call, *arguments, restart=None):
        """Run a flow to its end: it dies at random points and is started again each time."""
        while True:
            self._flow, self._count = flow, 0
            dies = self.chance.random() < self.crash_rate
            # Points that were seen, and one more: a flow may be longer than it was so far.
            self._armed = self.chance.randint(1, self._lengths.get(flow, 3) + 1) if dies else 0
            try:
                result = call(*arguments)
            except Crash:
                self.rollback()
                if restart:
                    restart()
                continue
            finally:
                self._armed = 0
            need(not self._undo, "store", "%s ended in the middle of a transaction", flow)
            self._lengths[flow] = max(self._count, self._lengths.get(flow, 0))
            return result

    def point(self, name: str) -> None:
        """A place where the process may die."""
        self.passed += 1
        self._count += 1
        if self._armed:
            self._armed -= 1
            if not self._armed:
                self.crashes[self._flow, name] += 1
                raise Crash

    def set(self, row: object, **values: object) -> None:
        for name, value in values.items():
            self._undo.append((setattr, row, name, getattr(row, name)))
            setattr(row, name, value)
        self.point("row written")

    def put(self, table: dict, key: object, row: object) -> bool:
        """INSERT … ON CONFLICT DO NOTHING; whether the row is new."""
        if key in table:
            return False
        table[key] = row
        self._undo.append((table.pop, key))
        self.point("row inserted")
        return True

    def append(self, table: list, row: object) -> None:
        table.append(row)
        self._undo.append((table.pop,))
        self.point("row appended")

    def on_commit(self, call, *arguments) -> None:
        """For what watches the store: told when, and only when, the transaction is committed."""
        self._later.append((call, *arguments))

    def commit(self) -> None:
        self.point("before commit")
        self._undo.clear()
        for call, *arguments in self._later:
            call(*arguments)
        self._later.clear()
        self.point("after commit")

    def rollback(self) -> None:
        self._later.clear()
        while self._undo:
            call, *arguments = self._undo.pop()
            call(*arguments)
