"""Credit in meters: purchases, a meter that may not answer, crashes, and databases put back.

C-01 to C-05, C-08. The meter keeps its counter and its money whatever happens to the platform.
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
                id=number, base=first, purchases={}, gate=False, checked=True
            )
        self.sends: dict[tuple[int, int], int] = {}
        self.backup = None
        self.lost: dict[int, dict[int, int]] = {number: {} for number in self.meters}
        self.paid = dict.fromkeys(self.meters, 0)

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
        elif self.backup:
            self._restore_backup()
        self._check(meter)
        if number % 30 == 29:
            self._finish()

    def _buy(self, meter) -> None:
        fen = self.chance.choice((100, 1000, 5000, 20_000))
        if self._open(meter) is None and not meter.gate:
            self.trace.append(f"meter {meter.id}: purchase of {fen}")
            self.store.run("purchase", self._insert, meter, fen)
            self.paid[meter.id] += fen

    def _insert(self, meter, fen) -> None:
        number = meter.base + len(meter.purchases) + 1
        if self._open(meter) is None:
            self.store.put(
                meter.purchases,
                number,
                SimpleNamespace(number=number, amount=fen, state="queued", sends=0),
            )
            self.store.commit()

    def _open(self, meter):
        """The purchase that is not settled, if any: the next one waits for it."""
        if not meter.purchases:
            return None
        last = meter.purchases[meter.base + len(meter.purchases)]
        return last if last.state in ("queued", "sent", "stopped") else None

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
        settled = meter.base + len(meter.purchases) - (1 if row else 0)
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
            row = SimpleNamespace(number=number, amount=amount, state=state, sends=0)
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
