"""The platform of the simulation: a thin shell around the engine, as the models are.

Each public method is a flow of one or more transactions that may die at any point and is then
started again. Rows that a crash leaves behind are all that the next try knows.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import NamedTuple

from . import parts
from .store import Store

UTC = timezone.utc
ZERO = Decimal(0)
CUT_LIFE = timedelta(minutes=10)
ORDER_OPEN = timedelta(minutes=15)


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
    due_since: datetime | None = None
    notice_at: datetime | None = None


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


class Shell:
    """Tables, and the flows that change them."""

    def __init__(self, store: Store, zone, policy, versions, calendar) -> None:
        self.store = store
        self.zone = zone
        self.policy = policy
        self.versions = versions
        self.calendar = calendar
        self.accounts: list[Account] = []
        self.meters: list[Meter] = []
        self.orders: list[Order] = []
        self.inbox: dict[str, object] = {}
        self.handled: dict[str, str] = {}
        self.suspense: dict[str, int] = {}
        self.refunds: dict[str, Refund] = {}
        self.postings: list[tuple] = []
        self.locked = date.min
        self.histories: dict[int, object] = {}
        self._sums: dict[int, tuple] = {}
        self.watch = None  # the judge: sees lines, decisions and switches as they happen

    def restart(self) -> None:
        """Memory is gone."""
        self.histories.clear()
        self._sums.clear()

    # --- readings -------------------------------------------------------------------------

    def read(self, message, now: datetime) -> None:
        """Judge a reading and store it once, or hold it."""
        meter = self.meters[message.meter]
        history = self.histories.get(meter.number) or self._history(meter)
        facts = {
            "at": message.at.replace(tzinfo=None),
            "now": now.replace(tzinfo=None),
            "limits": meter.limits,
            "device_at": message.device_at.replace(tzinfo=None),
        }
        found = parts.quality.assess(history, message.value, **facts)
        if found.lookup:
            around = self._around(meter, found.at)
            found = parts.quality.assess(history, message.value, **facts, around=around)
        at = found.at.replace(tzinfo=UTC)
        if found.accept:
            self.store.put(meter.readings, at, found.value)
        elif found.doubts:
            self.store.put(meter.holds, at, found.doubts[0].rule)
        self.store.commit()
        history.take(found)

    def _history(self, meter: Meter):
        """What the collector remembers, from what is stored."""
        quality = parts.quality
        history = self.histories[meter.number] = quality.History()
        breaks = sorted(meter.baselines)
        if breaks:
            history.broke = breaks[-1].replace(tzinfo=None), *meter.baselines[breaks[-1]]
        newest = sorted(meter.readings)[-quality.RECENT :]
        points = [
            quality.Point(meter.readings[at], at.replace(tzinfo=None))
            for at in newest
            if not breaks or at > breaks[-1]
        ]
        if breaks and len(points) < quality.RECENT:
            begin = breaks[-1].replace(tzinfo=None)
            points.insert(0, quality.Point(meter.baselines[breaks[-1]][1], begin))
        if points:
            history.value, history.at = points[-1]
            history.recent = points
        return history

    def _around(self, meter: Meter, moment: datetime):
        """Stored readings next before, and next at or after a moment."""
        at = moment.replace(tzinfo=UTC)
        before = max((each for each in meter.readings if each < at), default=None)
        after = min((each for each in meter.readings if each >= at), default=None)
        return tuple(
            None
            if each is None
            else parts.quality.Point(meter.readings[each], each.replace(tzinfo=None))
            for each in (before, after)
        )

    def begin_anew(self, meter: Meter, at: datetime, old_end: int, new_start: int) -> None:
        """An operator records that a register began anew; what was held is rejected."""
        if at not in meter.baselines:
            self.store.put(meter.baselines, at, (old_end, new_start))
        self.store.set(meter, holds={})
        self.store.commit()
        self.histories.pop(meter.number, None)

    def reject_holds(self, meter: Meter) -> None:
        self.store.set(meter, holds={})
        self.store.commit()

    # --- usage ----------------------------------------------------------------------------

    def rate(self, meter: Meter, now: datetime) -> None:
        """New readings become open charges; cursor, charges and tiers in one transaction."""
        rating = parts.rating
        stream = [(at, value, value) for at, value in meter.readings.items()]
        stream += [(at, old, new) for at, (old, new) in meter.baselines.items()]
        at, value, tiers = meter.rated_at, meter.rated_value, meter.tiers
        first = meter.first_at
        lines = []
        billed = 0
        for read_at, read_value, next_value in sorted(
            row for row in stream if at is None or row[0] > at
        ):
            if at is not None:
                quantity = rating.usage(value, read_value, meter.limits.modulus)
                interval = rating.Interval(at, read_at, quantity)
                rated = rating.rate(
                    interval,
                    self.versions,
                    self.zone,
                    calendar=self.calendar,
                    tiers=tiers,
                    heads=meter.heads,
                )
                self.watch.rated(interval, rated, tiers, meter)
                lines += rated.lines
                tiers = rated.tiers
                billed += quantity
            at, value = read_at, next_value
            first = first or at
        until = meter.fees_until or meter.start
        due = rating.fees(self.versions, self.zone, until, now)
        self.watch.fees(due, until, now)
        self._add_lines(meter, [*lines, *due])
        self.store.on_commit(self.watch.charged, meter, [*lines, *due])
        self.store.set(
            meter,
            first_at=first,
            rated_at=at,
            rated_value=value,
            tiers=tiers,
            fees_until=now,
            billed=meter.billed + billed,
        )
        self._look_at(self.accounts[meter.account], now)
        self.store.commit()

    def _add_lines(self, meter: Meter, lines) -> None:
        for line in lines:
            key = line.day, line.version_id, line.kind, line.rate, line.tier
            charge = meter.open.get(key)
            if charge is None:
                charge = Charge(line.quantity, line.amount, line.start, line.end)
                self.store.put(meter.open, key, charge)
            else:
                self.store.set(
                    charge,
                    quantity=charge.quantity + line.quantity,
                    amount=parts.rounding.exact_sum((charge.amount, line.amount)),
                    end=max(charge.end, line.end),
                )

    def post_charges(self, meter: Meter, now: datetime, everything: bool = False) -> None:
        """Days that are over go to the wallet, rounded to the fen; the rest is carried on."""
        today = now.astimezone(self.zone).date()
        due = [key for key in sorted(meter.open) if everything or key[0] < today]
        if not due:
            return
        account = self.accounts[meter.account]
        total, residue, exact = ZERO, meter.residue, meter.posted_exact
        for key in due:
            amount, residue = parts.rounding.settle(meter.open[key].amount, residue)
            total += amount
            exact = parts.rounding.exact_sum((exact, meter.open[key].amount))
        if total:
            granted = self.balance(account).granted
            from_granted, from_own = parts.ledger.split_charge(total, granted)
            for bucket, amount in (("granted", from_granted), ("principal", from_own)):
                if amount:
                    self._post(
                        account,
                        "charge",
                        -amount,
                        f"charge:{meter.number}:{meter.postings}:{bucket}",
                        due[-1][0],
                        bucket=bucket,
                        source=meter.number,
                    )
        self._mark_posted(meter, due, residue, exact)
        self._look_at(account, now)
        self.store.commit()

    def _mark_posted(self, meter: Meter, due, residue: Decimal, exact: Decimal) -> None:
        rest = {key: charge for key, charge in meter.open.items() if key not in due}
        self.store.set(
            meter, open=rest, residue=residue, posted_exact=exact, postings=meter.postings + 1
        )

    # --- wallet ---------------------------------------------------------------------------

    def balance(self, account: Account):
        """Summed from the entries; what was summed before is only added to."""
        count, total = self._sums.get(account.number, (0, None))
        if total is None or count > len(account.entries):
            count, total = 0, parts.ledger.Balance(ZERO, ZERO)
        if count < len(account.entries):
            more = parts.ledger.balance(
                parts.ledger.Entry(row.kind, row.amount, row.bucket)
                for row in account.entries[count:]
            )
            total = parts.ledger.Balance(
                total.principal + more.principal, total.granted + more.granted
            )
            self._sums[account.number] = len(account.entries), total
        return total

    def available(self, account: Account) -> Decimal:
        accrued = parts.rounding.exact_sum(
            charge.amount
            for meter in self.meters
            if meter.account == account.number
            for charge in meter.open.values()
        )
        return parts.ledger.available(self.balance(account), account.overdraft, accrued)

    def _post(
        self, account, kind, amount, key, day, *, bucket="principal", reverses=None, source=-1
    ):
        """The one way into a wallet: once for each key, in a period that is open."""
        named = account.keys[reverses] if reverses else None
        parts.ledger.validate_entry(
            kind,
            amount,
            bucket=bucket,
            reverses=named and parts.ledger.Entry(named.kind, named.amount, named.bucket),
        )
        posted_on = max(day, self.locked + timedelta(days=1)) if self.locked != date.min else day
        row = Row(key, kind, bucket, amount, reverses or "", posted_on, source)
        if not self.store.put(account.keys, key, row):
            return
        if reverses:
            self.store.put(account.reversed, reverses, key)
        self.store.append(account.entries, row)
        fen = int(amount.scaleb(2))
        other = {"charge": "revenue", "topup": "cash", "refund": "cash"}.get(kind, "other")
        self.store.append(
            self.postings, (account.company, posted_on, (("liability", -fen), (other, fen)))
        )

    def cash(self, account: Account, key: str, amount: Decimal, kind: str, now: datetime) -> None:
        """Money over the counter, or a grant."""
        bucket = "granted" if kind == "grant" else "principal"
        self._post(account, kind, amount, key, self._day(now), bucket=bucket)
        self._look_at(account, now)
        self.store.commit()

    def reverse(self, account: Account, key: str, now: datetime) -> bool:
        """Undo an entry once; money that is spent cannot be taken back."""
        row = account.keys[key]
        if key in account.reversed or row.kind not in ("topup", "grant"):
            return False
        if getattr(self.balance(account), row.bucket) < row.amount:
            return False
        self._post(
            account,
            "reversal",
            -row.amount,
            f"reversal:{key}",
            self._day(now),
            bucket=row.bucket,
            reverses=key,
        )
        self._look_at(account, now)
        self.store.commit()
        return True

    def transfer(self, source: Account, target: Account, amount: Decimal, key: str, now) -> None:
        """Own money to another wallet of the company; both entries or none (M-08, M-09)."""
        if source.company != target.company or self.balance(source).principal < amount:
            return
        if key in source.keys:
            return
        self._post(source, "transfer", -amount, key, self._day(now))
        self._post(target, "transfer", amount, key, self._day(now))
        self._look_at(source, now)
        self._look_at(target, now)
        self.store.commit()

    # --- payments -------------------------------------------------------------------------

    def notify(self, payment) -> None:
        """Into the inbox, once; the answer is given after the commit."""
        self._receive(payment)
        self.store.commit()

    def _receive(self, payment) -> None:
        self.store.put(self.inbox, payment.key, payment)

    def consume(self, now: datetime) -> None:
        """Each message of the inbox becomes one top-up or one case."""
        for key, payment in list(self.inbox.items()):
            if key not in self.handled:
                self._credit(key, payment, now)
                self.store.commit()

    def _credit(self, key: str, payment, now: datetime) -> None:
        order = self.orders[payment.order] if payment.order is not None else None
        if (
            order is None
            or order.fen != payment.fen
            or order.company != payment.company
            or order.state == "paid"
        ):
            self.store.put(self.suspense, key, payment.fen)
            self.store.append(
                self.postings,
                (
                    payment.company,
                    self._day(now),
                    (("suspense", -payment.fen), ("cash", payment.fen)),
                ),
            )
            self.store.put(self.handled, key, "suspense")
            return
        account = self.accounts[order.account]
        self._post(account, "topup", Decimal(payment.fen).scaleb(-2), key, self._day(now))
        self.store.set(order, state="paid")
        self.store.put(self.handled, key, "topup")
        self._look_at(account, now)

    def ask_refund(self, account: Account, payment, fen: int, now: datetime) -> None:
        """Money leaves the wallet first, under the number that the provider will be told."""
        number = self._refund_number(payment)
        asked = [row for row in self.refunds.values() if row.payment == payment.key]
        running = [row for row in asked if row.state == "asked"]
        given = sum(row.fen for row in asked if row.state != "failed")
        amount = Decimal(fen).scaleb(-2)
        if (
            running
            or given + fen > payment.fen
            or payment.key in account.reversed
            or self.balance(account).principal < amount
        ):
            return
        self.store.put(
            self.refunds, number, Refund(number, account.number, payment.key, fen, "asked")
        )
        self._post(account, "refund", -amount, f"refund:{number}", self._day(now))
        self._look_at(account, now)
        self.store.commit()

    def _refund_number(self, payment) -> str:
        count = sum(row.payment == payment.key for row in self.refunds.values())
        return f"{payment.key}/{count + 1}"

    def send_refund(self, refund: Refund, provider, now: datetime, answered: bool) -> None:
        """Ask the provider, as often as needed, always with the same number."""
        number = self._sent_number(refund)
        self.store.point("before the call")
        result = provider.refund(refund.payment, number, refund.fen, now)
        self.store.point("after the call")
        if not answered:
            return
        if result == "failed":
            account = self.accounts[refund.account]
            self._post(
                account,
                "reversal",
                Decimal(refund.fen).scaleb(-2),
                f"failed:{refund.number}",
                self._day(now),
                reverses=f"refund:{refund.number}",
            )
            self._look_at(account, now)
        self.store.set(refund, state=result)
        self.store.commit()

    def _sent_number(self, refund: Refund) -> str:
        return refund.number

    def lock(self, day: date) -> None:
        """A month is closed: nothing is posted up to its last day."""
        if day > self.locked:
            self.store.set(self, locked=day)
            self.store.commit()

    # --- supply ---------------------------------------------------------------------------

    def _look_at(self, account: Account, now: datetime) -> None:
        """After each change of money: since when it is used up, and power back at once (S-06)."""
        available = self.available(account)
        due = available <= self.policy.cut_at
        if due and account.due_since is None:
            self.store.set(account, due_since=now)
        elif not due and account.due_since is not None:
            self.store.set(account, due_since=None)
        if available > self.policy.alarm2 and account.notice_at is not None:
            self.store.set(account, notice_at=None)
        for meter in self.meters:
            if meter.account == account.number and meter.own and meter.desired == "open":
                self._decide(meter, account, available, now, timedelta(0))

    def warn(self, account: Account, now: datetime, delivered: bool) -> None:
        """The final notice; it counts when the phone has it."""
        if delivered and account.notice_at is None:
            if self.available(account) <= self.policy.alarm2:
                self.store.set(account, notice_at=now)
            self.store.commit()

    def judge(self, meter: Meter, now: datetime, skew: timedelta):
        """The decision of the minute."""
        account = self.accounts[meter.account]
        decision = self._decide(meter, account, self.available(account), now, skew)
        self.store.commit()
        return decision

    def _decide(self, meter, account, available, now, skew):
        evidence = self._evidence(meter, account, available, now, skew)
        decision = parts.supply.decide(self.policy, evidence)
        self.watch.decided(meter, account, decision, now, skew)
        if decision.action:
            self._wish(meter, decision.action, now, decision.checks)
        return decision

    def _evidence(self, meter, account, available, now, skew):
        clock = now + skew
        today = clock.astimezone(self.zone).date()
        return parts.supply.Evidence(
            now=clock,
            tz=self.zone,
            available=available,
            due_since=account.due_since,
            reading_at=meter.rated_at,
            held_readings=len(meter.holds),
            payment_in_flight=self._in_flight(account, now),
            command_in_doubt=any(row.state in ("queued", "sent") for row in meter.commands[-2:]),
            protected=meter.protected,
            notice_at=account.notice_at,
            relay=meter.relay,
            desired=meter.desired,
            cut_by_policy=meter.own,
            operations_today=sum(
                moment.astimezone(self.zone).date() == today for moment in meter.operations[-12:]
            ),
            clock_skew=skew,
            holiday=self.calendar.special.get(today) == "holiday",
        )

    def _in_flight(self, account: Account, now: datetime) -> bool:
        return any(
            order.state == "open"
            and order.account == account.number
            and now - order.at < ORDER_OPEN
            for order in self.orders[-20:]
        ) or any(
            key not in self.handled
            and payment.order is not None
            and self.orders[payment.order].account == account.number
            for key, payment in self.inbox.items()
        )

    def _wish(self, meter: Meter, action: str, now: datetime, checks) -> None:
        """A newer epoch; what waits is overtaken (S-07)."""
        for row in meter.commands[-2:]:
            if row.state in ("queued", "sent"):
                self.store.set(row, state="superseded")
        expires = now + CUT_LIFE if action == "open" else None
        self.store.append(
            meter.commands,
            Command(meter.number, meter.epoch + 1, action, expires, "queued", checks),
        )
        self.store.set(
            meter,
            epoch=meter.epoch + 1,
            desired="open" if action == "open" else "closed",
            own=action == "open",
        )

    def switch(self, meter: Meter, device, now: datetime, link: str) -> None:
        """One look of the collector at the newest command: intent, write, read back.

        link: "good", "mute" (nothing arrives) or "deaf" (it acts, the answer is lost)
        """
        row = meter.commands[-1] if meter.commands else None
        if row is None or row.state not in ("queued", "sent"):
            return
        wanted = row.action != "open"
        if row.state == "sent":
            # In doubt: what did it do? Only then is it written again.
            if link == "mute":
                self._expire(meter, row, now)
                return
            if device.closed == wanted:
                self._confirm(meter, row, device)
                return
        if self._expire(meter, row, now):
            return
        if row.state == "queued":
            self.store.set(row, state="sent")
            self.store.commit()
        self.store.set(meter, operations=[*meter.operations[-20:], now])
        self.store.commit()
        self.store.point("connected")
        if link != "mute":
            self._write(meter, row, device, wanted)
        self.store.point("sent")
        if link == "good":
            self._confirm(meter, row, device)

    def _write(self, meter, row, device, wanted) -> None:
        self.watch.written(meter, row)
        if device.closed != wanted:
            device.closed = wanted
            self.watch.switched(meter, row)

    def _expire(self, meter, row, now) -> bool:
        if row.expires is None or now <= row.expires:
            return False
        if row.state == "sent":
            # It may have acted all the same: the wish stays the policy's own, money closes it.
            self.store.set(meter, relay=None)
        else:
            self.store.set(meter, desired="closed", own=False)
        self.store.set(row, state="expired")
        self.store.commit()
        return True

    def _confirm(self, meter, row, device) -> None:
        self.store.set(row, state="confirmed")
        self.store.set(meter, relay="closed" if device.closed else "open")
        self.store.commit()

    def _day(self, now: datetime) -> date:
        return now.astimezone(self.zone).date()
