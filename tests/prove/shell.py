"""The platform of the simulation: a thin shell around the engine, as the models are.

Each public method is a flow of one or more transactions that may die at any point and is then
started again. Rows that a crash leaves behind are all that the next try knows.
"""

from datetime import date, datetime, timezone
from decimal import Decimal

from . import parts
from .relays import Relays
from .rows import ZERO, Account, Charge, Meter, Order, Refund
from .store import Store
from .wallets import Wallets

UTC = timezone.utc


class Shell(Wallets, Relays):
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
        self.debts: dict[str, tuple[int, Decimal]] = {}
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

    def _day(self, now: datetime) -> date:
        return now.astimezone(self.zone).date()
