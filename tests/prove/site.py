"""A site in faults: steps by chance, and every invariant after each of them."""

import random
from collections import Counter, deque
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from zoneinfo import ZoneInfo

from . import bill, parts
from .ending import Ending
from .judge import Judge
from .rows import Account, Meter, Order
from .shell import Shell
from .store import Store, need
from .world import Device, Message, Payment, Provider

UTC = timezone.utc
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ZONES = [
    ZoneInfo(name)
    for name in ("Asia/Shanghai", "Asia/Shanghai", "Europe/Berlin", "Asia/Kathmandu", "UTC")
] + [ZoneInfo("America/Sao_Paulo")]
# A leap day, ends of months and years, both changes of summer time, one of them at midnight.
BEGINS = [
    datetime(2024, 2, 26, tzinfo=UTC),
    datetime(2026, 12, 28, tzinfo=UTC),
    datetime(2026, 3, 27, tzinfo=UTC),
    datetime(2026, 10, 23, tzinfo=UTC),
    datetime(2018, 11, 2, tzinfo=UTC),
    datetime(2019, 2, 14, tzinfo=UTC),
    datetime(2026, 9, 28, tzinfo=UTC),
]
SKEWS = [
    timedelta(seconds=second) for second in (0, 0, 0, 0, 0, 0, 0, 0, 4, -5, 6, -7200, 3 * 86_400)
]
DRIFTS = [timedelta(seconds=second) for second in (0, 0, 0, 50, -200, 290, 4000, -86_400)]
ALWAYS = {"window_start": None, "window_end": None}
DAYS = 40
OTHER_DEBTS = ("rent", "fee", "wage", "discipline")


class Site(Judge, Ending):
    """Two companies, three wallets, four meters."""

    name = "site"

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(f"site {seed}")
        self.store = Store(chance, 0.35)
        self.trace: deque[str] = deque(maxlen=60)
        self.zone = chance.choice(ZONES)
        self.now = self.begin = chance.choice(BEGINS) + timedelta(minutes=chance.randrange(1440))
        self.versions = bill.versions_of(chance, self.begin, DAYS)
        self.calendar = bill.calendar_of(chance, self.begin, DAYS)
        policy = parts.supply.Policy(
            notice_lead=chance.choice((timedelta(0), timedelta(0), HOUR, DAY)),
            cut_at=chance.choice((Decimal(0), Decimal(-5))),
            restore_above=chance.choice((Decimal(0), Decimal(1))),
            working_days_only=chance.random() < 0.3,
            **chance.choice(({}, ALWAYS, ALWAYS)),
        )
        self.shell = Shell(self.store, self.zone, policy, self.versions, self.calendar)
        self.shell.watch = self
        self.provider = Provider(chance)
        self.devices = [self._device() for _ in range(4)]
        self.shell.accounts = [
            Account(number, number // 2, chance.choice((Decimal(0), Decimal(10))))
            for number in range(3)
        ]
        self.shell.meters = [self._meter(number) for number in range(4)]
        self.line: list[Message] = []
        self.notices: list[Payment] = []
        self.truth: dict[tuple[int, datetime], int] = {}
        self.breaks: dict[int, tuple] = {}
        self.skew = timedelta(0)
        self.decisions = self.cuts = self.restores = 0
        self.count = 0
        # What the judge knows of its own.
        self.known = Counter()  # entries seen of each wallet
        self.fen = Counter()  # (wallet, bucket)
        self.charged_exact = Counter()  # meter: exact CNY times SCALE
        self.charged_fen = Counter()  # meter: what its charges took
        self.topups: set[str] = set()
        self.hands: dict[int, int] = {}  # meter closed by hand: epoch of the cut that it ended
        self.bridged: dict[int, tuple] = {}  # load at an open relay: since when, how many looks
        self.cashed: dict[str, int] = {}
        self.allowed: dict[str, tuple] = {}  # allowance: (wallet, fen, last day)
        self.lots: dict[int, dict[str, int]] = {0: {}, 1: {}, 2: {}}  # allowance: what is left, fen
        self.cleared: dict[str, int] = {}
        self.mixed: set[int] = set()  # wallets where other granted money paid meanwhile
        self.owed = Counter()  # fen of rent, fines and wages of the people of a wallet
        self.seen_postings = 0
        self.ledger = Counter()  # (company, account of the general ledger)
        self.due_since: dict[int, datetime] = {}
        self.notified: dict[int, datetime] = {}

    @property
    def crashes(self):
        return self.store.crashes

    def _device(self) -> Device:
        chance = self.chance
        modulus = chance.choice((10_000_000, 100_000_000))
        near_end = chance.random() < 0.3
        register = chance.randrange(modulus - 30_000, modulus) if near_end else 400_000
        rate = chance.choice((2200, 8800))
        return Device(register, modulus, rate, power=rate // 2)

    def _meter(self, number: int) -> Meter:
        device = self.devices[number]
        limits = parts.quality.Limits(max_rate=device.rate, modulus=device.modulus)
        return Meter(
            number,
            (0, 0, 1, 2)[number],
            limits,
            self.chance.choice((1, 4)),
            self.begin,
            protected=number == 1 and self.chance.random() < 0.5,
            tiers=parts.rating.TierState(),
            proof=SimpleNamespace(
                profile=SimpleNamespace(load_limit_w=5, relay_proof=self._proof_of(device))
            ),
        )

    def _proof_of(self, device) -> str:
        device.echoes = self.chance.random() < 0.3
        return "control" if device.echoes else self.chance.choice(("status", "status", "load"))

    def step(self, number: int) -> None:
        self.count = number
        pick = self.chance.random()
        for limit, action in ACTIONS:  # noqa: B007
            if pick < limit:
                break
        action(self)
        self._check()
        if number % 250 == 249:
            self._check_all()

    def run(self, flow: str, call, *arguments):
        return self.store.run(flow, call, *arguments, restart=self.shell.restart)

    def say(self, text: str, *values: object) -> None:
        self.trace.append(f"{self.now:%m-%d %H:%M} " + (text % values if values else text))

    # --- what happens ---------------------------------------------------------------------

    def tick(self) -> None:
        chance = self.chance
        away = chance.random() < 0.01 and not self.breaks
        span = HOUR * chance.randrange(30, 240) if away else MINUTE * chance.randrange(1, 50)
        if away:
            self.say("line is down for %s", span)
            late = self.now + span
            for _ in range(8):
                self._pass(span / 8)
                for number in range(len(self.devices)):
                    self.line.append(self._message(number)._replace(due=late))
        else:
            self._pass(span)
        for number in range(len(self.devices)):
            if chance.random() < 0.8:
                self._send(number)
        if chance.random() < 0.15:
            self.skew = chance.choice(SKEWS)
            self.say("clock of the platform: %s off", self.skew)
        for number, (moment, *_rest) in list(self.breaks.items()):
            if self.now - moment > 10 * HOUR:
                self._begin_anew(number)
        self.deliver()

    def _pass(self, span: timedelta) -> None:
        self.now += span + timedelta(microseconds=self.chance.randrange(1, 999_999))
        for device in self.devices:
            device.flow(span)
            if self.chance.random() < 0.3:
                device.power = self.chance.choice((0, 3, device.rate // 9, device.rate))

    def _message(self, number: int) -> Message:
        device = self.devices[number]
        message = Message(self.now, number, device.register, self.now, self.now + device.drift)
        self.truth[number, message.at] = self.truth[number, message.device_at] = device.used
        return message

    def _send(self, number: int) -> None:
        """A reading, and what the line does to it."""
        chance = self.chance
        message = self._message(number)
        fate = chance.random()
        if fate < 0.08:
            return
        if fate < 0.10:
            message = self._corrupted(message)
        elif fate < 0.25:
            message = message._replace(due=self.now + MINUTE * chance.randrange(600))
        self.line.append(message)
        if fate > 0.85:
            self.line.append(message._replace(due=self.now + HOUR * chance.randrange(30)))

    def _corrupted(self, message: Message) -> Message:
        """A value that no meter can have: wrong bits that passed the checksum."""
        meter = self.shell.meters[message.meter]
        if len(meter.readings) < 2 or message.meter in self.breaks:
            return message
        newest = max(meter.readings)
        last = meter.readings[newest]
        chance = self.chance
        wrong = [last + meter.limits.max_rate * 24 * 60, message.value * 1000]
        if meter.baselines and max(meter.baselines) > newest:
            last = 0
        if last > 1000:
            wrong += [last - chance.randrange(1, 500), -5]
        value = chance.choice(wrong)
        self.say("meter %s: reading corrupted to %s", message.meter, value)
        return message._replace(value=value, device_at=message.at)

    def deliver(self) -> None:
        due = [message for message in self.line if message.due <= self.now]
        if not due:
            return
        self.line = [message for message in self.line if message.due > self.now]
        self.chance.shuffle(due)
        for message in due:
            self.say("meter %s: %s of %s", message.meter, message.value, message.at)
            self.run("reading", self.shell.read, message, self.now)

    def disturb(self) -> None:
        """Something of a meter changes: its clock, its register, the meter itself."""
        number = self.chance.randrange(4)
        device, meter = self.devices[number], self.shell.meters[number]
        if self.chance.random() < 0.5:
            device.drift = self.chance.choice(DRIFTS)
            self.say("clock of meter %s: %s off", number, device.drift)
        elif number not in self.breaks and len(meter.readings) > 3:
            low = 200_000 < device.register < device.modulus * 85 // 100
            last = max(meter.readings)
            if not low or meter.readings[last] < 200_000 or self.now - last > 20 * HOUR:
                return
            if meter.baselines and max(meter.baselines) > last:
                return
            if any(message.meter == number for message in self.line):
                return
            new = self.chance.choice((0, 0, 50, 7000))
            moment = max([self.now, *meter.readings]) + timedelta(microseconds=1)
            self.truth[number, moment] = device.used
            self.breaks[number] = moment, device.register, new
            self.say("meter %s begins anew: %s -> %s", number, device.register, new)
            device.register = new

    def operate(self) -> None:
        """An operator deals with what is held."""
        number = self.chance.randrange(4)
        meter = self.shell.meters[number]
        if number in self.breaks:
            self._begin_anew(number)
        elif meter.holds:
            self.run("reject", self.shell.reject_holds, meter)

    def _begin_anew(self, number: int) -> None:
        moment, old_end, new_start = self.breaks.pop(number)
        self.say("operator: meter %s begins anew", number)
        self.run(
            "baseline",
            self.shell.begin_anew,
            self.shell.meters[number],
            moment,
            old_end,
            new_start,
        )

    def rate(self) -> None:
        for meter in self.shell.meters:
            self.run("rate", self.shell.rate, meter, self.now)

    def post(self) -> None:
        meter = self.chance.choice(self.shell.meters)
        self.run("post", self.shell.post_charges, meter, self.now, self.chance.random() < 0.1)

    def lock(self) -> None:
        today = self.now.astimezone(self.zone).date()
        if today.day < 6:
            self.run("lock", self.shell.lock, today.replace(day=1) - DAY)

    def order(self) -> None:
        chance = self.chance
        account = chance.choice(self.shell.accounts)
        fen = chance.choice((1, 100, 300, 1000, 3000))
        owed = self.shell.policy.restore_above - self.shell.available(account)
        if owed > 0 and chance.random() < 0.6:
            fen += int(owed * 100)
        order = Order(account.number, account.company, fen, self.now)
        self.shell.orders.append(order)
        if chance.random() < 0.85:
            self._pay(len(self.shell.orders) - 1, order)

    def _pay(self, number: int, order: Order) -> None:
        """Paid, mostly right; the provider tells it sometimes, late, or several times."""
        chance = self.chance
        fen, target, company = order.fen, number, order.company
        fate = chance.random()
        if fate < 0.04:
            fen += chance.choice((1, -1, 99 * fen))
        elif fate < 0.06:
            target = None
        elif fate < 0.08:
            company = 1 - company
        for _ in range(2 if fate > 0.97 else 1):
            key = f"tx{len(self.provider.payments)}"
            payment = Payment(key, company, target, max(fen, 1), self.now)
            self.provider.payments[key] = payment
            self.say("paid %s: %s fen for order %s", key, payment.fen, target)
            self.notices += [payment] * chance.choice((0, 1, 1, 1, 2, 3))

    def notify(self) -> None:
        if self.notices:
            payment = self.notices.pop(self.chance.randrange(len(self.notices)))
            self.say("notice of %s", payment.key)
            self.run("notify", self.shell.notify, payment)

    def consume(self) -> None:
        self.run("consume", self.shell.consume, self.now)

    def reconcile(self) -> None:
        """The bill of the provider: what no notice told."""
        for payment in self.provider.payments.values():
            if payment.key not in self.shell.inbox:
                self.run("notify", self.shell.notify, payment)

    def cash(self) -> None:
        chance = self.chance
        account = chance.choice(self.shell.accounts)
        kind = chance.choice(("topup", "grant", "grant"))
        fen = chance.choice((10, 50, 300))
        key = f"{kind}{len(self.cashed)}"
        self.cashed[key] = fen
        self.say("%s of %s fen for %s", kind, fen, account.number)
        self.run(
            "cash",
            self.shell.cash,
            account,
            key,
            Decimal(fen).scaleb(-2),
            kind,
            self.now,
        )

    def reverse(self) -> None:
        account = self.chance.choice(self.shell.accounts)
        keys = [row.key for row in account.entries[-30:] if row.key in self.cashed]
        if keys:
            key = self.chance.choice(keys)
            self.say("reversal of %s", key)
            self.run("reverse", self.shell.reverse, account, key, self.now)

    def allow(self) -> None:
        chance = self.chance
        account = chance.choice(self.shell.accounts)
        key, fen = f"allowance{self.count}", chance.choice((5, 80, 500))
        last = self.now.astimezone(self.zone).date() + DAY * chance.choice((0, 0, 0, 1, 2))
        self.allowed[key] = account.number, fen, last
        self.say("allowance of %s fen for %s until %s", fen, account.number, last)
        amount = Decimal(fen).scaleb(-2)
        self.run("allow", self.shell.allow, account, key, amount, last, self.now)

    def expire(self) -> None:
        account = self.chance.choice(self.shell.accounts)
        expected = self.expected_expiry(account)
        self.run("expire", self.shell.clear_unused, account, self.now)
        self.check_expiry(account, expected)

    def demand(self) -> None:
        """Debts that are none of the supply: never taken from the wallet, never a cause to cut."""
        chance = self.chance
        account = chance.choice(self.shell.accounts)
        kind, fen = chance.choice(OTHER_DEBTS), chance.choice((1000, 90_000))
        self.owed[account.number] += fen
        self.say("%s of %s fen asked of %s", kind, fen, account.number)
        amount, key = Decimal(fen).scaleb(-2), f"{kind}{self.count}"
        self.run("demand", self.shell.demand, account, kind, amount, key, self.now)

    def transfer(self) -> None:
        chance = self.chance
        source, target = chance.sample(self.shell.accounts, 2)
        fen, free = chance.randrange(1, 2000), self.free_fen(source)
        if chance.random() < 0.3:
            fen = max(1, free + chance.choice((0, 0, 1)))
        amount = Decimal(fen).scaleb(-2)
        before = len(source.entries)
        self.run(
            "transfer",
            self.shell.transfer,
            source,
            target,
            amount,
            f"transfer{self.count}",
            self.now,
        )
        need(
            fen > free or source.company != target.company or len(source.entries) > before,
            "M-14",
            "%s fen of %s are free, %s are kept back",
            free,
            source.number,
            fen,
        )

    def refund(self) -> None:
        chance = self.chance
        asked = [row for row in self.shell.refunds.values() if row.state == "asked"]
        if asked:
            row = chance.choice(asked)
            self.say("refund %s", row)
            self.run(
                "refund",
                self.shell.send_refund,
                row,
                self.provider,
                self.now,
                chance.random() < 0.8,
            )
            return
        paid = [
            payment
            for key, payment in self.provider.payments.items()
            if self.shell.handled.get(key) == "topup"
        ]
        if paid:
            payment = chance.choice(paid[-10:])
            account = self.shell.accounts[self.shell.orders[payment.order].account]
            fen = chance.randint(1, payment.fen)
            self.run("ask refund", self.shell.ask_refund, account, payment, fen, self.now)

    def warn(self) -> None:
        account = self.chance.choice(self.shell.accounts)
        self.run("notice", self.shell.warn, account, self.now, self.chance.random() < 0.8)

    def judge(self) -> None:
        for meter in self.shell.meters:
            self.run("decide", self.shell.judge, meter, self.now, self.skew)

    def switch(self) -> None:
        meter = self.chance.choice(self.shell.meters)
        link = self.chance.choice(("good", "good", "mute", "deaf"))
        self.run("relay", self.shell.switch, meter, self.devices[meter.number], self.now, link)

    def look(self) -> None:
        meter = self.chance.choice(self.shell.meters)
        device = self.devices[meter.number]
        before = meter.relay, meter.contradictions
        self.run("look", self.shell.look, meter, device, self.now)
        self.looked(meter, device, before)

    def by_hand(self) -> None:
        """The people on site close a relay themselves: it needs nothing of the platform (S-15)."""
        meter = self.chance.choice(self.shell.meters)
        device = self.devices[meter.number]
        last = meter.commands[-1] if meter.commands else None
        if not device.closed and last.action == "open" and last.state == "confirmed":
            self.say("meter %s: closed by hand", meter.number)
            device.closed = True
            self.hands[meter.number] = last.epoch

    def tamper(self) -> None:
        """Contacts are welded, a relay is bypassed, or both are put right."""
        device = self.chance.choice(self.devices)
        device.welded = self.chance.random() < 0.2
        device.bypassed = self.chance.random() < 0.2
        self.say("relays: %s", self.devices)


_WEIGHTS = [
    (25, Site.tick),
    (14, Site.rate),
    (6, Site.post),
    (12, Site.judge),
    (14, Site.switch),
    (3, Site.order),
    (8, Site.notify),
    (6, Site.consume),
    (1, Site.reconcile),
    (2, Site.cash),
    (2, Site.reverse),
    (2, Site.transfer),
    (2.5, Site.allow),
    (3, Site.expire),
    (0.5, Site.demand),
    (4, Site.refund),
    (8, Site.warn),
    (1, Site.disturb),
    (5, Site.operate),
    (0.5, Site.lock),
    (6, Site.look),
    (4, Site.by_hand),
    (1, Site.tamper),
]
_TOTAL = sum(weight for weight, _action in _WEIGHTS)
ACTIONS = [
    (sum(weight for weight, _action in _WEIGHTS[: index + 1]) / _TOTAL, action)
    for index, (_weight, action) in enumerate(_WEIGHTS)
]
