"""The end of a site: everything accepted is finished, or in a visible case; wallets are closed."""

from datetime import timedelta

from .rows import Account, Order
from .shell import Shell
from .store import need

HOUR = timedelta(hours=1)


class Ending:
    """The part of a site that brings all to an end."""

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
            device.welded = device.bypassed = device.echoes = False
            meter.proof.profile.relay_proof = "status"
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
                    "expiry",
                    -balance.granted,
                    "expiry:close",
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
