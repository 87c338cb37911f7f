"""Credit in meters: purchases, a meter that may not answer, crashes, and databases put back.

C-01 to C-04, C-07, C-08. The meter keeps its counter and its money whatever happens to the platform.
"""

import copy
import random
from types import SimpleNamespace

from . import parts
from .store import Store, need

LIMIT = 50_000  # fen a meter may hold


class Device:
    """A meter: takes each number once when it has a counter, everything when it has none."""

    def __init__(self, counted: bool, counter: int, honest: bool) -> None:
        self.counted, self.counter = counted, counter
        self.remaining = 0
        self.honest = honest  # refuses what it took already
        self.taken: list[tuple[int, int]] = []

    def take(self, number: int, fen: int) -> None:
        if self.counted:
            if number != self.counter + 1 and self.honest:
                return
            self.counter = number
        self.taken.append((number, fen))
        self.remaining += fen


class Credits:
    """Three meters of each sort; one purchase, one attempt or one fault in each step."""

    name = "credits"

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(f"credits {seed}")
        self.store = Store(self.chance, 0.5)
        self.decisions = self.cuts = self.restores = 0
        self.trace: list[str] = []
        self.devices = {}
        self.meters = {}
        for number in range(4):
            counted = number != 3
            first = self.chance.choice((0, 0, 17)) if counted else 0
            self.devices[number] = Device(counted, first, self.chance.random() < 0.5)
            self.meters[number] = SimpleNamespace(
                id=number,
                base=first,
                purchases={},
                gate=False,
                checked=True,
                series=1,
                closed=[],
            )
        self.sends: dict[tuple[int, int], int] = {}
        self.backup = None
        self.lost: dict[int, dict[int, int]] = {number: {} for number in self.meters}
        self.paid = dict.fromkeys(self.meters, 0)
        self.taken = dict.fromkeys(self.meters, 0)  # fen that devices took that are gone
        self.moved = dict.fromkeys(self.meters, 0)  # fen that were left in them
        self.mounted = {number: device.counter for number, device in self.devices.items()}

    @property
    def crashes(self):
        return self.store.crashes

    def step(self, number: int) -> None:
        pick = self.chance.random()
        meter = self.meters[self.chance.randrange(len(self.meters))]
        if pick < 0.80 and self._open(meter) is None:
            self._buy(meter)
        elif pick < 0.80:
            self.store.run("credit", self._work, meter)
        elif pick < 0.95:
            self._use(meter)
        elif pick < 0.97:
            self.store.run("reconcile", self._reconcile, meter)
        elif pick < 0.985:
            self.backup = copy.deepcopy(self.meters)
            self.trace.append("backup")
        elif self.backup and pick < 0.993:
            self._restore_backup()
        elif pick > 0.993:
            self._replace(meter)
        self._check(meter)
        if number % 30 == 29:
            self._finish()

    def _buy(self, meter) -> None:
        fen = self.chance.choice((100, 1000, 5000, 20_000))
        if self._open(meter) is None and not meter.gate:
            self.trace.append(f"meter {meter.id}: purchase of {fen}")
            self.store.run("purchase", self._insert, meter, fen)
            self.paid[meter.id] += fen
            # A lost number that the meter never took is free; the payment bill shows its money,
            # and that is paid back.
            self.paid[meter.id] -= self.lost[meter.id].pop(max(meter.purchases), 0)

    def _insert(self, meter, fen) -> None:
        number = meter.base + len(meter.purchases) + 1
        if self._open(meter) is None:
            self.store.put(
                meter.purchases,
                number,
                SimpleNamespace(number=number, amount=fen, state="queued", sends=0, origin="sale"),
            )
            self.store.commit()

    def _open(self, meter):
        """The purchase that is not settled, if any: the next one waits for it."""
        if not meter.purchases:
            return None
        unsettled = ("queued", "sent", "stopped")
        rows = (row for _number, row in sorted(meter.purchases.items()) if row.state in unsettled)
        return next(rows, None)

    def _work(self, meter) -> None:
        """One attempt: read, decide, commit the intent, send, read back."""
        self._reconcile(meter)
        row, device = self._open(meter), self.devices[meter.id]
        if row is None or row.state == "stopped":
            return
        if device.counted and self.chance.random() < 0.15:
            self.trace.append(f"meter {meter.id}: no answer")
            return
        purchase = parts.credit.Purchase(row.number, row.amount, row.state)
        counter = device.counter if device.counted else None
        step = parts.credit.next_step(purchase, counter, device.remaining, LIMIT)
        self.trace.append(f"meter {meter.id}: {purchase}, counter {counter}: {step}")
        if step.action == "confirm":
            self.store.set(row, state="confirmed")
            self.store.commit()
        elif step.action == "stop":
            self.store.set(row, state="stopped")
            self.store.commit()
        else:
            self._send(meter, row, device)

    def _send(self, meter, row, device) -> None:
        if row.state == "queued":
            self.store.set(row, state="sent")
            self.store.commit()
        self.store.point("connected")
        key = meter.id, row.number
        self.sends[key] = self.sends.get(key, 0) + 1
        need(
            device.counted or self.sends[key] == 1,
            "C-03",
            "meter %s without a counter: number %s sent again",
            *key,
        )
        fate = self.chance.random()
        if fate < 0.75:
            device.take(row.number, row.amount)
        self.store.point("sent")
        if fate < 0.5:
            self.store.point("answered")
            self.store.set(row, state="confirmed")
            self.store.commit()

    def _replace(self, meter) -> None:
        """Another device is mounted; the old one is read and taken away (C-07)."""
        if meter.gate or self._in_doubt(meter):
            return
        old = self.devices[meter.id]
        new = Device(old.counted, self.chance.choice((0, 5)) if old.counted else 0, old.honest)
        self.trace.append(f"meter {meter.id}: device exchanged, {old.remaining} fen left")
        # What was sold before lives on in the new series: an older database knows nothing of it.
        self.backup = None
        self.store.run("exchange", self._exchange, meter, old, new, meter.series)
        self.devices[meter.id], self.mounted[meter.id] = new, new.counter
        self.taken[meter.id] += sum(fen for _number, fen in old.taken)
        self.moved[meter.id] += max(0, old.remaining)
        known = {row.number for row in meter.closed[-1]}
        self.paid[meter.id] -= sum(
            fen for number, fen in self.lost[meter.id].items() if number not in known
        )
        self.lost[meter.id] = {}
        self.sends = {key: count for key, count in self.sends.items() if key[0] != meter.id}

    def _in_doubt(self, meter) -> bool:
        row = self._open(meter)
        return row is not None and row.state in ("sent", "stopped")

    def _exchange(self, meter, old, new, series) -> None:
        """The series is closed, what is left and what was never sent begins the next one."""
        if self._closed(meter, series):
            return
        wanted = [(max(0, old.remaining), "exchange")] if old.remaining > 0 else []
        for row in list(meter.purchases.values()):
            if row.state in ("queued", "sent"):
                wanted.append((row.amount, "sale"))
                self.store.set(row, state="moved")
        rows = {
            number: SimpleNamespace(
                number=number, amount=fen, state="queued", sends=0, origin=origin
            )
            for number, (fen, origin) in enumerate(wanted, self._base_of(meter, new) + 1)
        }
        self.store.append(meter.closed, list(meter.purchases.values()))
        self.store.set(
            meter, base=self._base_of(meter, new), purchases=rows, series=meter.series + 1
        )
        self.store.commit()

    def _closed(self, meter, series) -> bool:
        return meter.series != series

    def _base_of(self, _meter, device) -> int:
        return device.counter if device.counted else 0

    def _use(self, meter) -> None:
        device = self.devices[meter.id]
        used = self.chance.choice((10, 500, 4000))
        device.remaining -= used

    def _restore_backup(self) -> None:
        """The database as it was; meters are ahead of it. What it lost is known to the provider."""
        self.trace.append("database of an earlier time is put back")
        for number, meter in self.meters.items():
            before = self.backup[number]
            for purchase in list(meter.purchases.values()):
                if purchase.number not in before.purchases:
                    self.lost[number][purchase.number] = purchase.amount
        self.meters = copy.deepcopy(self.backup)
        self.backup = None
        for meter in self.meters.values():
            meter.gate = True

    def _reconcile(self, meter) -> None:
        """C-08: nothing is sent until the counter agrees; else a person brings the rows up to date."""
        if not meter.gate:
            return
        device = self.devices[meter.id]
        row = self._open(meter)
        in_doubt = row is not None and row.state == "sent"
        settled = row.number - 1 if row else meter.base + len(meter.purchases)
        counter = device.counter if device.counted else None
        if not parts.credit.may_send_after_restore(counter, settled, in_doubt):
            self._enter_lost(meter, device)
        self.store.set(meter, gate=False)
        self.store.commit()

    def _enter_lost(self, meter, device) -> None:
        """A person enters what the payment bills show and the meter says it took."""
        # What was not taken may be sent anew: here a person has compared the money in the meter.
        self.sends = {key: count for key, count in self.sends.items() if key[0] != meter.id}
        lost = self.lost[meter.id]
        taken = {number for number, _fen in device.taken}
        for number, amount in sorted(lost.items()):
            state = "confirmed" if number in taken else "queued"
            row = SimpleNamespace(number=number, amount=amount, state=state, sends=0, origin="sale")
            self.store.put(meter.purchases, number, row)
        for number, row in sorted(meter.purchases.items()):
            if number in taken and row.state != "confirmed":
                self.store.set(row, state="confirmed")
            elif number not in taken and row.state == "sent" and not device.counted:
                self.store.set(row, state="stopped")

    def _finish(self) -> None:
        """A person looks at what stopped; then everything that was paid is in the meter once."""
        for meter in self.meters.values():
            device = self.devices[meter.id]
            if meter.gate:
                self.store.run("reconcile", self._reconcile, meter)
            self.store.run("person", self._person, meter, device)
            self._check(meter)

    def _person(self, meter, device) -> None:
        row = self._open(meter)
        if row is not None and row.state == "stopped":
            taken = any(number == row.number for number, _fen in device.taken)
            if taken or not device.counted or device.remaining + row.amount > LIMIT:
                # Taken, or paid back: a number that a counter never saw is used again.
                if taken:
                    self.store.set(row, state="confirmed")
                elif not device.counted:
                    self.store.set(row, state="void")
                else:
                    return
            else:
                self.store.set(row, state="queued")
            self.store.commit()

    def _check(self, meter) -> None:
        meter = self.meters[meter.id]
        device = self.devices[meter.id]
        numbers = [number for number, _fen in device.taken]
        need(
            len(numbers) == len(set(numbers)),
            "C-01",
            "meter %s took a number twice: %s",
            meter.id,
            numbers,
        )
        need(
            list(meter.purchases)
            == list(range(meter.base + 1, meter.base + 1 + len(meter.purchases)))
            or sorted(meter.purchases)
            == list(range(meter.base + 1, meter.base + 1 + len(meter.purchases))),
            "C-01",
            "numbers of meter %s have gaps: %s",
            meter.id,
            list(meter.purchases),
        )
        doubts = [row.number for row in meter.purchases.values() if row.state == "sent"]
        need(len(doubts) <= 1, "C-01", "meter %s: several in doubt: %s", meter.id, doubts)
        taken = dict(device.taken)
        known = {**self.lost[meter.id], **{n: r.amount for n, r in meter.purchases.items()}}
        for number, fen in taken.items():
            need(
                known.get(number) == fen,
                "C-02",
                "meter %s took number %s of %s fen, sold: %s",
                meter.id,
                number,
                fen,
                known.get(number),
            )
        if not meter.gate:
            confirmed = [row.number for row in meter.purchases.values() if row.state == "confirmed"]
            for number in confirmed:
                need(
                    number in taken,
                    "C-02",
                    "number %s of meter %s is confirmed, not taken",
                    number,
                    meter.id,
                )
            for row in meter.purchases.values():
                need(
                    row.state != "queued" or row.number not in taken,
                    "C-08",
                    "meter %s has number %s already, it would be sold again",
                    meter.id,
                    row.number,
                )
        need(
            device.remaining <= LIMIT,
            "C-04",
            "meter %s holds %s fen, limit %s",
            meter.id,
            device.remaining,
            LIMIT,
        )
        self._check_exchange(meter, device)

    def _check_exchange(self, meter, device) -> None:
        """C-07: what was left in a device moves once, and every fen that was sold is in one series."""
        number = meter.id
        taken = self.taken[number] + sum(fen for _number, fen in device.taken)
        need(
            taken <= self.paid[number] + self.moved[number],
            "C-07",
            "devices of meter %s took %s fen, %s were sold and %s were left in old ones",
            number,
            taken,
            self.paid[number],
            self.moved[number],
        )
        need(
            not device.counted or meter.base == self.mounted[number],
            "C-07",
            "meter %s begins at %s, its device at %s",
            number,
            meter.base,
            self.mounted[number],
        )
        rows = [row for series in (*meter.closed, meter.purchases.values()) for row in series]
        total = sum(row.amount for row in rows if row.state != "moved")
        total += sum(fen for key, fen in self.lost[number].items() if key not in meter.purchases)
        need(
            total == self.paid[number] + self.moved[number],
            "C-07",
            "meter %s: %s fen in its series, %s were sold and %s left in old devices",
            number,
            total,
            self.paid[number],
            self.moved[number],
        )
