"""A site in faults: steps by chance, and every invariant after each of them."""

import random
from collections import Counter, deque
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from . import bill, parts
from .shell import Account, Meter, Order, Shell
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
SCALE = 10**18
DAYS = 40


class Site:
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
        self.cashed: dict[str, int] = {}
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
        )

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

    def transfer(self) -> None:
        chance = self.chance
        source, target = chance.sample(self.shell.accounts, 2)
        amount = Decimal(chance.randrange(1, 2000)).scaleb(-2)
        self.run(
            "transfer",
            self.shell.transfer,
            source,
            target,
            amount,
            f"transfer{self.count}",
            self.now,
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

    # --- what the judge sees --------------------------------------------------------------

    def rated(self, interval, rated, before, meter) -> None:
        bill.check_rated(
            interval, rated, self.versions, self.zone, self.calendar, before, meter.heads
        )

    def fees(self, lines, start, end) -> None:
        bill.check_fees(lines, self.versions, self.zone, start, end)

    def charged(self, meter, lines) -> None:
        for line in lines:
            self.charged_exact[meter.number] += _scaled(line.amount)

    def decided(self, meter, account, decision, now, skew) -> None:
        self.decisions += 1
        policy = self.shell.policy
        if decision.action == "close":
            self.restores += 1
            need(
                meter.own and self.shell.available(account) > policy.restore_above,
                "S-06",
                "power without money for meter %s",
                meter.number,
            )
        if decision.action != "open":
            return
        self.cuts += 1
        self.say("cut of meter %s", meter.number)
        self._judge_cut(meter, account, now, skew)

    def _judge_cut(self, meter, account, now, skew) -> None:
        """By what is true, not by the evidence that the platform made of it."""
        policy, name = self.shell.policy, f"meter {meter.number}"
        # Window and day are those of a clock that S-13 allows: judged below to be that near the truth.
        local = (now + skew).astimezone(self.zone)
        need(self.shell.available(account) <= policy.cut_at, "S-01", "%s has money", name)
        need(abs(skew.total_seconds()) <= 5, "S-13", "%s cut by a wrong clock: %s", name, skew)
        need(
            self._fresh(meter, now),
            "S-01",
            "%s cut on readings that end at %s",
            name,
            meter.rated_at,
        )
        since = self.due_since.get(account.number)
        need(
            since is not None and now - since >= policy.grace,
            "S-01",
            "%s cut within the grace, due since %s",
            name,
            since,
        )
        if policy.window_start is not None:
            need(10 <= local.hour < 16, "S-03", "%s cut at %s", name, local)
        if policy.working_days_only:
            day = local.date()
            need(
                day.weekday() < 5 and self.calendar.special.get(day) != "holiday",
                "S-03",
                "%s cut on %s",
                name,
                day,
            )
        told = self.notified.get(account.number)
        need(
            told is not None and now - told >= policy.notice_lead,
            "S-02",
            "%s cut, told %s",
            name,
            told,
        )
        need(not meter.protected, "S-04", "%s is protected", name)
        need(not meter.holds, "R-03", "%s cut with held readings", name)
        need(
            not any(
                order.state == "open"
                and order.account == account.number
                and now - order.at < 15 * MINUTE
                for order in self.shell.orders
            ),
            "S-01",
            "%s cut with an open order",
            name,
        )
        today = sum(
            moment.astimezone(self.zone).date() == local.date()
            for moment in self.devices[meter.number].operations
        )
        need(
            today + 2 <= policy.max_operations_per_day, "S-10", "%s switched %s times", name, today
        )

    def _fresh(self, meter, now) -> bool:
        """A true reading of the last hour was billed; clocks of meters may be five minutes off."""
        return meter.rated_at is not None and abs(now - meter.rated_at) <= HOUR + 5 * MINUTE

    def written(self, meter, row) -> None:
        need(
            row is meter.commands[-1],
            "S-07",
            "meter %s: command %s is overtaken",
            meter.number,
            row,
        )
        need(
            row.expires is None or self.now <= row.expires,
            "S-07",
            "meter %s: a cut that ended at %s is sent",
            meter.number,
            row.expires,
        )

    def switched(self, meter, row) -> None:
        operations = self.devices[meter.number].operations
        operations.append(self.now)
        self.say("meter %s: relay is %s", meter.number, row.action)
        today = self.now.astimezone(self.zone).date()
        count = sum(moment.astimezone(self.zone).date() == today for moment in operations[-12:])
        need(count <= 6, "S-10", "meter %s switched %s times on %s", meter.number, count, today)
        if row.action == "open":
            need(
                row.checks and all(check.passed for check in row.checks), "S-13", "no reason to cut"
            )

    # --- invariants -----------------------------------------------------------------------

    def _check(self) -> None:
        for account in self.shell.accounts:
            self._check_wallet(account)
        self._check_ledger()
        for meter in self.shell.meters:
            self._check_meter(meter)

    def _check_wallet(self, account) -> None:
        number, entries = account.number, account.entries
        need(len(entries) >= self.known[number], "M-03", "entries of %s vanished", number)
        for row in entries[self.known[number] :]:
            self._check_entry(account, row)
        self.known[number] = len(entries)
        balance = self.shell.balance(account)
        need(
            _fen(balance.principal) == self.fen[number, "principal"]
            and _fen(balance.granted) == self.fen[number, "granted"],
            "M-02",
            "balance of %s is %s, its entries sum up to %s",
            number,
            balance,
            self.fen,
        )
        available = self.shell.available(account)
        policy = self.shell.policy
        # What the judge remembers of the arrears and of notices.
        if available > policy.cut_at:
            self.due_since.pop(number, None)
        else:
            self.due_since.setdefault(number, self.now)
        if account.notice_at is None:
            self.notified.pop(number, None)
        else:
            self.notified.setdefault(number, self.now)
        for meter in self.shell.meters:
            if meter.account == number:
                need(
                    not (
                        meter.own and meter.desired == "open" and available > policy.restore_above
                    ),
                    "S-06",
                    "wallet %s has %s, meter %s stays cut",
                    number,
                    available,
                    meter.number,
                )

    def _check_entry(self, account, row) -> None:
        number, fen = account.number, _fen(row.amount)
        self.say("wallet %s: %s", number, row)
        self.fen[number, row.bucket] += fen
        left = self.fen[number, row.bucket]
        need(row.posted_on > self.shell.locked, "M-10", "%s posted in a closed month", row)
        need(row.bucket == "principal" or left >= 0, "M-08", "granted money below zero: %s", row)
        if row.kind == "charge":
            self.charged_fen[row.source] -= fen
            granted = self.fen[number, "granted"]
            need(fen < 0, "M-08", "charge that gives: %s", row)
            need(
                row.bucket == "granted" or granted == 0,
                "M-14",
                "own money taken while %s fen are granted: %s",
                granted,
                row,
            )
        elif row.kind == "topup" and row.key not in self.cashed:
            payment = self.provider.payments.get(row.key)
            need(payment, "M-13", "nobody paid for %s", row)
            order = self.shell.orders[payment.order]
            need(row.key not in self.topups, "M-04", "payment %s was credited twice", row.key)
            self.topups.add(row.key)
            need(
                fen == payment.fen == order.fen and order.account == number,
                "M-05",
                "%s credited, %s paid, order of %s",
                row,
                payment,
                order,
            )
            need(
                order.company == payment.company == account.company,
                "M-09",
                "%s of another company",
                payment,
            )
        elif row.kind in ("topup", "grant"):
            key = ("cash", row.key)
            need(key not in self.topups, "M-04", "%s was posted twice", row)
            self.topups.add(key)
            need(
                self.cashed[row.key] == fen, "M-13", "%s, receipt of %s", row, self.cashed[row.key]
            )
        elif row.kind == "transfer":
            key = ("transfer", row.key, number)
            need(key not in self.topups, "M-12", "%s was posted twice", row)
            self.topups.add(key)
            need(fen > 0 or left >= 0, "M-08", "transfer below zero: %s", row)
        elif row.kind == "refund":
            need(left >= 0, "M-08", "refund below zero: %s", row)
            refund = self.shell.refunds.get(row.key.partition(":")[2])
            need(refund and refund.fen == -fen, "M-13", "%s without its request", row)
        elif row.kind == "reversal":
            named = account.keys[row.reverses]
            key = ("reversal", row.reverses)
            need(key not in self.topups, "M-03", "%s reversed twice", named)
            self.topups.add(key)
            need(
                _fen(named.amount) == -fen and named.bucket == row.bucket,
                "M-03",
                "%s is not the opposite of %s",
                row,
                named,
            )
            need(fen > 0 or left >= 0, "M-08", "reversal below zero: %s", row)

    def _check_ledger(self) -> None:
        shell = self.shell
        for company, _day, lines in shell.postings[self.seen_postings :]:
            need(len(lines) >= 2, "M-01", "one line: %s", lines)
            need(sum(fen for _account, fen in lines) == 0, "M-01", "unbalanced: %s", lines)
            for account, fen in lines:
                need(isinstance(fen, int), "M-01", "no whole fen: %s", lines)
                self.ledger[company, account] += fen
        self.seen_postings = len(shell.postings)
        for company in (0, 1):
            owed = sum(
                self.fen[account.number, bucket]
                for account in shell.accounts
                if account.company == company
                for bucket in ("principal", "granted")
            )
            need(
                owed == -self.ledger[company, "liability"],
                "M-07",
                "company %s owes %s in wallets, %s in the books",
                company,
                owed,
                -self.ledger[company, "liability"],
            )
        cases = sum(shell.suspense.values())
        booked = -sum(self.ledger[company, "suspense"] for company in (0, 1))
        need(cases == booked, "M-07", "%s fen in cases, %s in the books", cases, booked)

    def _check_meter(self, meter) -> None:
        number = meter.number
        if meter.rated_at is not None:
            used = self.truth[number, meter.rated_at] - self.truth[number, meter.first_at]
            need(
                meter.billed == used,
                "R-02",
                "meter %s: %s billed, %s used",
                number,
                meter.billed,
                used,
            )
        exact = _scaled(meter.posted_exact) + sum(
            _scaled(charge.amount) for charge in meter.open.values()
        )
        need(
            exact == self.charged_exact[number],
            "M-11",
            "meter %s: exact charges of %s, rated %s",
            number,
            exact,
            self.charged_exact[number],
        )
        posted = self.charged_fen[number] * (SCALE // 100)
        need(
            posted + _scaled(meter.residue) == _scaled(meter.posted_exact),
            "M-11",
            "meter %s: posted %s fen and residue %s, exact %s",
            number,
            self.charged_fen[number],
            meter.residue,
            meter.posted_exact,
        )
        need(
            abs(posted - _scaled(meter.posted_exact)) <= SCALE // 100,
            "M-11",
            "meter %s is off by more than a fen",
            number,
        )

    def _check_all(self) -> None:
        """What takes longer: whole ledgers, all payments and refunds."""
        shell = self.shell
        for account in shell.accounts:
            for bucket in ("principal", "granted"):
                total = sum(_fen(row.amount) for row in account.entries if row.bucket == bucket)
                need(
                    total == self.fen[account.number, bucket],
                    "M-03",
                    "entries of %s changed",
                    account.number,
                )
        refunds = Counter()
        for row in shell.refunds.values():
            if row.state == "done":
                refunds[row.payment] += row.fen
        for key, payment in self.provider.payments.items():
            sent = sum(payment.refunds.values())
            need(sent <= payment.fen, "M-06", "%s: more back than paid", payment)
            need(len(payment.refunds) <= 50, "M-06", "%s: more than 50 parts", payment)
            for number, fen in payment.refunds.items():
                row = shell.refunds.get(number)
                need(row and row.fen == fen, "M-06", "refund %s was never asked for", number)
                need(row.state != "failed", "M-06", "refund %s was carried out and undone", row)
            need(refunds[key] <= sent, "M-06", "%s: refunds %s, sent %s", key, refunds[key], sent)
            need(
                not (key in self.topups and key in shell.suspense),
                "M-04",
                "%s credited and in a case",
                key,
            )

    # --- the end: everything accepted is finished, or in a visible case ---------------------

    def finish(self) -> None:
        self.say("all lines are good again")
        shell = self.shell
        for _ in range(3):
            self.now += 12 * HOUR
            self.deliver()
        for number in list(self.breaks):
            self._begin_anew(number)
        for meter in shell.meters:
            self.run("reject", shell.reject_holds, meter)
            self.run("rate", shell.rate, meter, self.now)
            self.run("post", shell.post_charges, meter, self.now, True)
        self.reconcile()
        self.consume()
        for row in list(shell.refunds.values()):
            if row.state == "asked":
                self.run("refund", shell.send_refund, row, self.provider, self.now, True)
        self._check()
        self._check_all()
        for key in self.provider.payments:
            need(
                (key in self.topups) != (key in shell.suspense),
                "M-04",
                "payment %s became neither money nor a case",
                key,
            )
        for key in self.cashed:
            need(("cash", key) in self.topups, "M-13", "receipt %s without an entry", key)
        for meter in shell.meters:
            device = self.devices[meter.number]
            for _ in range(4):
                self.run("relay", shell.switch, meter, device, self.now, "good")
            need(
                device.closed or meter.own,
                "S-06",
                "meter %s is dark without a wish",
                meter.number,
            )
            if shell.available(shell.accounts[meter.account]) > shell.policy.restore_above:
                need(device.closed, "S-06", "meter %s: paid, and dark", meter.number)
        self._again_in_any_order()
        for account in shell.accounts:
            self._close(account)

    def _again_in_any_order(self) -> None:
        """M-12: the same notices in another order, several times, give the same balances."""
        sums = []
        for _ in range(2):
            shell = Shell(self.store, self.zone, self.shell.policy, self.versions, self.calendar)
            shell.watch = self
            shell.accounts = [
                Account(account.number, account.company, account.overdraft)
                for account in self.shell.accounts
            ]
            shell.orders = [
                Order(order.account, order.company, order.fen, order.at)
                for order in self.shell.orders
            ]
            told = list(self.provider.payments.values()) * 2
            self.chance.shuffle(told)
            for index, payment in enumerate(told):
                self.store.run("notify", shell.notify, payment, restart=shell.restart)
                if index % 5 == 0:
                    self.store.run("consume", shell.consume, self.now, restart=shell.restart)
            self.store.run("consume", shell.consume, self.now, restart=shell.restart)
            sums.append(
                (
                    [shell.balance(account) for account in shell.accounts],
                    sum(shell.suspense.values()),
                )
            )
        need(sums[0] == sums[1], "M-12", "order of notices matters: %s", sums)

    def _close(self, account) -> None:
        """M-14: what was paid and not used goes back whole, what was granted lapses."""
        shell, number = self.shell, account.number
        before = self.fen[number, "principal"]

        def close():
            balance = shell.balance(account)
            if balance.granted:
                shell._post(
                    account,
                    "adjustment",
                    -balance.granted,
                    "lapse",
                    shell._day(self.now),
                    bucket="granted",
                )
            if balance.principal > 0:
                shell.refunds["close"] = None
                shell._post(account, "transfer", -balance.principal, "close", shell._day(self.now))
            self.store.commit()

        self.run("close", close)
        shell.refunds.pop("close", None)
        self._check_wallet(account)
        need(self.fen[number, "granted"] == 0, "M-14", "granted money is left in %s", number)
        need(
            self.fen[number, "principal"] == min(before, 0),
            "M-14",
            "%s had %s, %s is left",
            number,
            before,
            self.fen[number, "principal"],
        )


def _fen(amount: Decimal) -> int:
    return int(amount.scaleb(2))


def _scaled(amount: Decimal) -> int:
    """Exact CNY as an integer."""
    scaled = amount * SCALE
    whole = int(scaled)
    need(whole == scaled, "M-11", "%s has too many decimals", amount)
    return whole


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
    (4, Site.refund),
    (8, Site.warn),
    (1, Site.disturb),
    (5, Site.operate),
    (0.5, Site.lock),
]
_TOTAL = sum(weight for weight, _action in _WEIGHTS)
ACTIONS = [
    (sum(weight for weight, _action in _WEIGHTS[: index + 1]) / _TOTAL, action)
    for index, (_weight, action) in enumerate(_WEIGHTS)
]
