"""The judge of a site: what it sees happen, and every invariant after each step.

It keeps its own books in fen and exact integers, and knows what is true of meters and people.
"""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

from . import bill
from .store import need

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SCALE = 10**18
LOAD = 5  # W that a relay may leak
#: What may move money of a wallet.
KINDS = ["topup", "grant", "expiry", "charge", "refund", "transfer", "adjustment", "reversal"]


class Judge:
    """The part of a site that judges."""

    # --- what the judge sees --------------------------------------------------------------

    def rated(self, interval, rated, before, meter) -> None:
        bill.check_rated(
            interval, rated, self.versions, self.zone, self.calendar, before, meter.heads
        )

    def fees(self, lines, start, end) -> None:
        bill.check_fees(lines, self.versions, self.zone, start, end)

    def charged(self, meter, lines) -> None:
        for line in lines:
            self.charged_exact[meter.number] += scaled(line.amount)

    def decided(self, meter, account, decision, now, skew) -> None:
        self.decisions += 1
        policy = self.shell.policy
        if decision.action == "close":
            self.restores += 1
            self.hands.pop(meter.number, None)
            need(
                meter.own and self.shell.available(account) > policy.restore_above,
                "S-06",
                "power without money for meter %s",
                meter.number,
            )
        if decision.action != "open":
            return
        need(
            meter.number not in self.hands,
            "S-15",
            "meter %s was closed by hand and is cut again",
            meter.number,
        )
        self.cuts += 1
        self.say("cut of meter %s", meter.number)
        need(
            not self.owed[account.number] or self.money(account) <= scaled(policy.cut_at),
            "S-05",
            "meter %s has money, cut for other debts of %s fen",
            meter.number,
            self.owed[account.number],
        )
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
            since is None or account.due_since >= since,
            "R-05",
            "%s cut for arrears that were not known before %s",
            name,
            since,
        )
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

    def proven(self, meter, state) -> None:
        """S-12: what is called proven agrees with the load that flows at that moment."""
        device = self.devices[meter.number]
        need(
            state != "open" or device.load <= LOAD,
            "S-12",
            "meter %s is shown open, %s W flow",
            meter.number,
            device.load,
        )
        need(
            state != "closed" or device.load > LOAD or device.answer()["relay"] == "closed",
            "S-12",
            "meter %s is shown closed, nothing says so",
            meter.number,
        )
        need(
            state is not None
            or device.load <= LOAD
            or (device.answer()["relay"] == "open" and device.load > LOAD),
            "S-12",
            "meter %s draws %s W, its relay is not known",
            meter.number,
            device.load,
        )

    def looked(self, meter, device, before) -> None:
        """S-12: load behind an open relay is told; S-15: so is a hand, as soon as it can be seen."""
        number, told = meter.number, [event for at, event in meter.journal if at == self.now]
        bridged = device.answer()["relay"] == "open" and device.load > LOAD
        since, looks = self.bridged.pop(number, (self.now, 0))
        if bridged:
            self.bridged[number] = since, looks + 1
        need(
            looks == 0
            or not bridged
            or any(at >= since and event == "load_when_open" for at, event in meter.journal),
            "S-12",
            "meter %s: %s looks found load behind an open relay, nobody was told",
            number,
            looks + 1,
        )
        need(bridged or "load_when_open" not in told, "S-12", "meter %s: false alarm", number)
        if number in self.hands and before[0] == "open" and meter.relay == "closed":
            need("closed_by_hand" in told, "S-15", "meter %s was closed by hand, unseen", number)

    def written(self, meter, row) -> None:
        need(
            row.action != "open" or row.epoch != self.hands.get(meter.number),
            "S-15",
            "meter %s was closed by hand, its cut is sent again",
            meter.number,
        )
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
            fen_of(balance.principal) == self.fen[number, "principal"]
            and fen_of(balance.granted) == self.fen[number, "granted"],
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
        number, fen = account.number, fen_of(row.amount)
        self.say("wallet %s: %s", number, row)
        self.fen[number, row.bucket] += fen
        left = self.fen[number, row.bucket]
        need(row.posted_on > self.shell.locked, "M-10", "%s posted in a closed month", row)
        need(row.kind in KINDS, "S-05", "%s is no matter of the supply", row)
        need(row.bucket == "principal" or left >= 0, "M-08", "granted money below zero: %s", row)
        if row.kind in ("transfer", "refund", "reversal") and row.bucket == "principal" and fen < 0:
            need(self._covered(account), "M-08", "%s takes money that is used already", row)
        if row.kind == "charge":
            self.charged_fen[row.source] -= fen
            if row.bucket == "granted":
                self._take_of_lots(number, -fen)
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
        elif row.kind == "grant" and row.key in self.allowed:
            need(self.allowed[row.key][:2] == (number, fen), "M-13", "%s was not asked for", row)
            need(row.key not in self.lots[number], "M-04", "%s was posted twice", row)
            self.lots[number][row.key] = fen
        elif row.kind == "expiry":
            need(row.bucket == "granted", "M-14", "own money lapses: %s", row)
            key = row.key.partition(":")[2]
            need(key not in self.cleared, "M-14", "%s lapses twice", key)
            need(key in (*self.lots[number], "close"), "M-14", "%s of another wallet", row)
            if key != "close":
                self.cleared[key] = -fen
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
                fen_of(named.amount) == -fen and named.bucket == row.bucket,
                "M-03",
                "%s is not the opposite of %s",
                row,
                named,
            )
            need(fen > 0 or left >= 0, "M-08", "reversal below zero: %s", row)

    # --- money that is free, and money that lapses ----------------------------------------

    def accrued(self, account) -> int:
        """Usage that was rated and not posted yet, CNY times SCALE."""
        return sum(
            self.charged_exact[meter.number] - scaled(meter.posted_exact)
            for meter in self.shell.meters
            if meter.account == account.number
        )

    def _own_left(self, account) -> int:
        """Own money without what usage takes of it, CNY times SCALE."""
        fen, unit = self.fen, SCALE // 100
        due = self.accrued(account) - fen[account.number, "granted"] * unit
        return fen[account.number, "principal"] * unit - max(0, due)

    def _covered(self, account) -> bool:
        return self._own_left(account) >= 0

    def free_fen(self, account) -> int:
        """What the people of a wallet may take out of it."""
        return max(0, self._own_left(account) // (SCALE // 100))

    def money(self, account) -> int:
        """What supply may still use, by the books of the judge, CNY times SCALE."""
        fen = self.fen[account.number, "principal"] + self.fen[account.number, "granted"]
        return fen * (SCALE // 100) + scaled(account.overdraft) - self.accrued(account)

    def _take_of_lots(self, number: int, fen: int) -> None:
        """Usage takes of the oldest allowance first, then of money that never lapses."""
        lots = self.lots[number]
        for key, left in lots.items():
            lots[key] = left - min(left, fen)
            fen -= min(left, fen)
        if lots and fen:
            self.mixed.add(number)

    def expected_expiry(self, account) -> dict[str, int] | None:
        """What must lapse now of each allowance; None while nothing may."""
        number = account.number
        running = {key: left for key, left in self.lots[number].items() if key not in self.cleared}
        if not running:
            return None
        last = max(self.allowed[key][2] for key in running)
        days = [
            key[0] for meter in self.shell.meters if meter.account == number for key in meter.open
        ]
        if last >= self.now.astimezone(self.zone).date() or any(day <= last for day in days):
            return None
        room = self.fen[number, "granted"]
        for key, left in running.items():
            running[key] = min(left, room)
            room -= running[key]
        return running

    def check_expiry(self, account, expected) -> None:
        self._check_wallet(account)
        if expected is None:
            late = [key for key in self.lots[account.number] if key in self.cleared]
            need(not late, "M-14", "%s lapsed before their time", late)
            return
        for key, fen in expected.items():
            lapsed = self.cleared.setdefault(key, 0)
            # Money that never lapses paid between two allowances: the rule says who gains then.
            need(
                lapsed == fen or account.number in self.mixed,
                "M-14",
                "%s: %s fen lapsed, %s were left",
                key,
                lapsed,
                fen,
            )
            del self.lots[account.number][key]
        lapsed = sum(self.cleared[key] for key in expected)
        need(lapsed <= sum(expected.values()), "M-14", "%s lapsed of %s", lapsed, expected)
        self.mixed.discard(account.number)

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
        exact = scaled(meter.posted_exact) + sum(
            scaled(charge.amount) for charge in meter.open.values()
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
            posted + scaled(meter.residue) == scaled(meter.posted_exact),
            "M-11",
            "meter %s: posted %s fen and residue %s, exact %s",
            number,
            self.charged_fen[number],
            meter.residue,
            meter.posted_exact,
        )
        need(
            abs(posted - scaled(meter.posted_exact)) <= SCALE // 100,
            "M-11",
            "meter %s is off by more than a fen",
            number,
        )

    def _check_all(self) -> None:
        """What takes longer: whole ledgers, all payments and refunds."""
        shell = self.shell
        for account in shell.accounts:
            for bucket in ("principal", "granted"):
                total = sum(fen_of(row.amount) for row in account.entries if row.bucket == bucket)
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


def fen_of(amount: Decimal) -> int:
    return int(amount.scaleb(2))


def scaled(amount: Decimal) -> int:
    """Exact CNY as an integer."""
    scaled = amount * SCALE
    whole = int(scaled)
    need(whole == scaled, "M-11", "%s has too many decimals", amount)
    return whole
