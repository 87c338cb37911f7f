"""Flows of money: wallets, payments, refunds, grants."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from . import parts
from .rows import ZERO, Account, Allowance, Refund, Row


class Wallets:
    """The part of the platform that moves money."""

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

    def _accrued(self, account: Account) -> Decimal:
        return parts.rounding.exact_sum(
            charge.amount
            for meter in self.meters
            if meter.account == account.number
            for charge in meter.open.values()
        )

    def available(self, account: Account) -> Decimal:
        return parts.ledger.available(
            self.balance(account), account.overdraft, self._accrued(account)
        )

    def _free(self, account: Account) -> Decimal:
        return parts.ledger.free_money(self.balance(account), self._accrued(account))

    def demand(self, account: Account, kind: str, amount: Decimal, key: str, now) -> None:
        """The office knows of another debt, and asks to take it out of the wallet."""
        self.store.put(self.debts, key, (account.number, amount))
        self.store.commit()
        try:
            self._post(account, kind, -amount, key, self._day(now))
        except parts.errors.LedgerError:
            return
        self._look_at(account, now)
        self.store.commit()

    def allow(self, account: Account, key: str, amount: Decimal, last: date, now) -> None:
        """An allowance for some days; what is left of it after the last of them is cleared."""
        self.store.put(account.allowances, key, Allowance(amount, last))
        self._post(account, "grant", amount, key, self._day(now), bucket="granted")
        self._look_at(account, now)
        self.store.commit()

    def clear_unused(self, account: Account, now: datetime) -> None:
        """All allowances of a wallet at once, when they are over and their usage is posted: what was
        used since the first of them is theirs alone."""
        due = {key: row for key, row in account.allowances.items() if not row.closed}
        last = max((row.last for row in due.values()), default=None)
        if last is None or last >= self._day(now) or self._unposted(account, last):
            return
        keys = list(account.keys)
        since = [account.keys[key] for key in keys[keys.index(min(due, key=keys.index)) :]]
        used = -sum(
            (row.amount for row in since if row.kind == "charge" and row.bucket == "granted"), ZERO
        )
        granted = self.balance(account).granted
        left = parts.ledger.unused_grants([row.amount for row in due.values()], used, granted)
        for (key, row), rest in zip(due.items(), left):
            if rest:
                self._post(
                    account, "expiry", -rest, f"expiry:{key}", self._day(now), bucket="granted"
                )
            self.store.set(row, closed=True)
        self._look_at(account, now)
        self.store.commit()

    def _unposted(self, account: Account, last: date) -> bool:
        return any(
            key[0] <= last
            for meter in self.meters
            if meter.account == account.number
            for key in meter.open
        )

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
        granted = row.bucket == "granted"
        left = self.balance(account).granted if granted else self._free(account)
        if left < row.amount:
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
        if source.company != target.company or self._free(source) < amount:
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
            or self._free(account) < amount
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
