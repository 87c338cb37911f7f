"""Credit in the meter: never twice, never lost, whatever breaks on the way (C-01 to C-04, C-08, F02, F37).

The collector's own `deliver` runs against a meter and a book in memory; a fault strikes at any of its
steps. A person who resolves what stopped looks at the meter and says what is true.
"""

import copy
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from odoo.addons.prepay_meter import credit as rules
from odoo.addons.prepay_meter.collector.link import NoReply
from odoo.addons.prepay_meter.collector.settings import MAX_SENDINGS, Held, deliver
from odoo.addons.prepay_meter.protocols.errors import DeviceError, Outcome

LIMIT = 100_000


@pytest.mark.parametrize(
    ("state", "counter", "remaining", "limit", "action", "reason"),
    [
        ("queued", 4, 0, 0, "send", ""),
        ("queued", 5, 0, 0, "stop", "ahead"),
        ("queued", 6, 0, 0, "stop", "ahead"),
        ("queued", 3, 0, 0, "stop", "behind"),
        ("sent", 4, 0, 0, "send", ""),
        ("sent", 5, 0, 0, "confirm", ""),
        ("sent", 6, 0, 0, "confirm", ""),
        ("sent", 3, 0, 0, "stop", "behind"),
        ("queued", None, 0, 0, "send", ""),
        ("sent", None, 0, 0, "stop", "in_doubt"),
        ("queued", 4, 99_000, LIMIT, "send", ""),
        ("queued", 4, 99_001, LIMIT, "stop", "hoarding"),
        ("queued", 4, -500, LIMIT, "send", ""),
        ("queued", 4, None, LIMIT, "stop", "unreadable"),
        ("sent", 4, 99_001, LIMIT, "send", ""),  # it was allowed when it was first sent
    ],
)
def test_next_step(state, counter, remaining, limit, action, reason):
    row = rules.Purchase(5, 1000, state)
    assert rules.next_step(row, counter, remaining, limit) == rules.Step(action, reason)


@pytest.mark.parametrize("state", ["confirmed", "stopped", "void"])
def test_nothing_is_to_be_done_for_what_is_settled(state):
    with pytest.raises(ValueError, match=state):
        rules.next_step(rules.Purchase(5, 1000, state), 4, 0, 0)


class Crash(BaseException):
    """The process is killed here."""


@dataclass
class Row:
    uid: int
    number: int
    amount: int
    state: str = "queued"
    attempts: int = 0
    by_person: bool = False


@dataclass
class Database:
    rows: list = field(default_factory=list)
    base: int = 0
    locked: bool = False

    def expected(self) -> int:
        return max((r.number for r in self.rows if r.state == "confirmed"), default=self.base)

    def first(self):
        """The purchase whose turn it is."""
        waiting = [r for r in self.rows if r.state in ("queued", "sent", "stopped")]
        row = min(waiting, key=lambda r: r.number, default=None)
        return row if row is not None and row.state != "stopped" else None


@dataclass
class Device:
    """A meter that takes each number once; `repeats_ok`: it answers a repeat as done."""

    counter: int = 0
    remaining: int = 0
    counts: bool = True
    repeats_ok: bool = True
    taken: list = field(default_factory=list)

    def take(self, uid, number, amount) -> bool:
        if not self.counts:
            self.taken.append(uid)
            self.remaining += amount
            return True
        if number == self.counter + 1:
            self.counter, self.remaining = number, self.remaining + amount
            self.taken.append(uid)
            return True
        return number == self.counter and self.repeats_ok


class Line:
    """What `deliver` asks of device and database; fault number `at` strikes at step `at`."""

    def __init__(self, device, database, row, at=-1, fault=""):
        self.device, self.database, self.row = device, database, row
        self.at, self.fault, self.step = at, fault, 0

    def _fault(self):
        now = self.fault if self.step == self.at else ""
        self.step += 1
        if now == "crash before":
            raise Crash
        return now

    async def look(self):
        fault = self._fault()
        if fault == "crash after":
            raise Crash
        if fault == "lost":
            raise NoReply(Outcome.TIMEOUT, "no answer")
        if fault == "corrupt":
            raise NoReply(Outcome.MALFORMED, "two reads differ")
        return Held(self.device.counter if self.device.counts else None, self.device.remaining)

    async def send(self, number, amount):
        fault = self._fault()
        if fault == "corrupt":
            raise NoReply(Outcome.TIMEOUT, "the request was lost")
        if fault == "refused":
            return DeviceError(4, "not authorised")
        if fault == "ignored":
            return None
        taken = self.device.take(self.row.uid, number, amount)
        if fault == "crash after":
            raise Crash
        if fault == "lost":
            raise NoReply(Outcome.TIMEOUT, "the reply was lost")
        return None if taken else DeviceError(0x20, "wrong purchase number")

    def _commit(self, change):
        fault = self._fault()
        change()
        if fault == "crash after":
            raise Crash

    async def unlock(self):
        self._commit(lambda: setattr(self.database, "locked", False))

    async def mark_sent(self, held):
        row, database = self.row, self.database
        if database.locked or row.state not in ("queued", "sent"):
            return False

        def change():
            row.state = "sent"
            row.attempts += 1

        self._commit(change)
        return True

    async def confirm(self, held):
        self._commit(lambda: setattr(self.row, "state", "confirmed"))

    async def stop(self, reason, held, detail):
        assert reason in rules.REASONS
        self._commit(lambda: setattr(self.row, "state", "stopped"))


def run(device, database, at=-1, fault="", limit=0):
    """One turn of the collector; a crash ends it as a lost connection does."""
    row = database.first()
    if row is None:
        return
    line = Line(device, database, row, at, fault)
    work = deliver(
        {
            "number": row.number, "amount_fen": row.amount, "state": row.state, "attempts": row.attempts,
            "locked": database.locked, "expected": database.expected(), "hoarding": limit,
        },
        line,
        line,
    )  # fmt: skip
    try:
        work.send(None)
    except (StopIteration, NoReply, Crash):
        pass
    else:
        raise AssertionError("the work waits for something that is not there")
    finally:
        work.close()


def resolve(device, database, row):
    """A person looks at the meter and says what is true; True when the row is void."""
    row.by_person, row.attempts = True, 0
    if row.uid in device.taken:
        row.state = "confirmed"
    elif not device.counts or device.counter == row.number - 1:
        row.state = "queued"
    elif device.counter >= row.number:
        shift = device.counter - row.number + 1
        for later in database.rows:
            if later.state == "queued" and later.number > row.number:
                later.number += shift
        for number in range(row.number, row.number + shift):
            database.rows.append(Row(-1, number, 0, "confirmed", by_person=True))
        row.number += shift
        row.state = "queued"
    else:
        row.state = "void"
        for later in database.rows:
            if later.state == "queued" and later.number > row.number:
                later.number -= 1


class Credit(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.device, self.database = Device(), Database()
        self.backup = copy.deepcopy(self.database)
        self.uid = 0

    def in_doubt(self):
        return any(row.state == "sent" for row in self.database.rows)

    def has(self, state):
        return any(row.state == state for row in self.database.rows)

    @rule(amount=st.integers(1, 50_000))
    def buy(self, amount):
        if self.has("stopped"):
            return
        numbers = [r.number for r in self.database.rows if r.state != "void"]
        self.uid += 1
        number = max(numbers, default=self.database.base) + 1
        self.database.rows.append(Row(self.uid, number, amount))

    @rule(
        at=st.integers(0, 6),
        fault=st.sampled_from(
            ["", "crash before", "crash after", "lost", "corrupt", "refused", "ignored"]
        ),
    )
    def work(self, at, fault):
        run(self.device, self.database, at, fault)

    @rule()
    def work_in_peace(self):
        run(self.device, self.database)

    @rule(repeats_ok=st.booleans())
    def other_firmware(self, repeats_ok):
        self.device.repeats_ok = repeats_ok

    # Nobody else moves the counter while a purchase is in doubt, or the database is older than that:
    # then the counter proves nothing, and only a person at the meter can tell.

    @precondition(lambda self: not self.in_doubt() and not self.database.locked)
    @rule(times=st.integers(1, 3))
    def sold_elsewhere(self, times):
        self.device.counter += times
        self.make_backup()

    @precondition(lambda self: not self.in_doubt() and not self.database.locked)
    @rule()
    def counter_lost(self):
        self.device.counter = max(0, self.device.counter - 1)
        self.make_backup()

    @rule()
    def make_backup(self):
        self.backup = copy.deepcopy(self.database)

    @rule()
    def restore(self):
        """The database of some time ago; the meter goes on, and each counter is read first (C-08)."""
        self.database = copy.deepcopy(self.backup)
        self.database.locked = True

    @precondition(lambda self: self.has("stopped"))
    @rule()
    def person(self):
        for row in [row for row in self.database.rows if row.state == "stopped"]:
            resolve(self.device, self.database, row)

    @invariant()
    def never_twice(self):
        assert len(self.device.taken) == len(set(self.device.taken))

    @invariant()
    def confirmed_is_taken(self):
        for row in self.database.rows:
            if row.state == "confirmed" and not row.by_person:
                assert row.uid in self.device.taken

    @invariant()
    def numbers_have_no_gap_and_one_doubt(self):
        numbers = sorted(r.number for r in self.database.rows if r.state != "void")
        if numbers:
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert sum(row.state == "sent" for row in self.database.rows) <= 1

    def teardown(self):
        """When nothing breaks any more, all that was bought is in the meter once, or void."""
        for _turn in range(400):
            for row in [row for row in self.database.rows if row.state == "stopped"]:
                resolve(self.device, self.database, row)
            if self.database.first() is None:
                break
            run(self.device, self.database)
        for row in self.database.rows:
            if row.uid < 0:
                continue
            assert row.state in ("confirmed", "void"), row
            taken = self.device.taken.count(row.uid)
            assert taken == (1 if row.state == "confirmed" else 0), row


TestCredit = Credit.TestCase
TestCredit.settings = settings(
    max_examples=1000,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


FAULTS = ("crash before", "crash after", "lost", "corrupt", "refused", "ignored")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", range(6))
def test_a_fault_at_each_step(at, fault):
    device, database = Device(counter=4), Database([Row(1, 5, 1000)], base=4)
    run(device, database, at, fault)
    for row in database.rows:
        if row.state == "stopped":
            assert fault == "refused"
            resolve(device, database, row)
    for _turn in range(3):
        run(device, database)
    assert database.rows[0].state == "confirmed"
    assert (device.counter, device.taken, device.remaining) == (5, [1], 1000)


@pytest.mark.parametrize("fault", ["crash before", "crash after", "lost", "corrupt"])
@pytest.mark.parametrize("at", range(4))
def test_without_a_counter_nothing_in_doubt_is_sent_again(at, fault):
    device, database = Device(counts=False), Database([Row(1, 1, 1000)])
    run(device, database, at, fault)
    for _turn in range(5):
        run(device, database)
    row = database.rows[0]
    assert device.taken.count(1) <= 1
    if row.state == "confirmed":
        assert device.taken == [1]
    else:
        assert row.state == "stopped"


def test_a_meter_that_answers_and_never_counts_stops():
    device, database = Device(counter=4), Database([Row(1, 5, 1000)], base=4)
    for _turn in range(MAX_SENDINGS + 2):
        run(device, database, 2, "ignored")
    assert database.rows[0].state == "stopped"
    assert database.rows[0].attempts == MAX_SENDINGS


def test_a_hoarding_limit_stops_before_the_meter_is_asked():
    device = Device(counter=4, remaining=99_500)
    database = Database([Row(1, 5, 1000)], base=4)
    run(device, database, limit=LIMIT)
    assert database.rows[0].state == "stopped"
    assert not device.taken


def test_after_a_restore_a_meter_that_is_ahead_gets_nothing():
    device, database = (
        Device(counter=7, taken=[9]),
        Database([Row(1, 5, 1000)], base=4, locked=True),
    )
    run(device, database)
    assert (database.rows[0].state, database.locked, device.taken) == ("stopped", True, [9])
