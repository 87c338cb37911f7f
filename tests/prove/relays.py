"""Flows of supply: notices, decisions, wishes, commands to relays and what is read back."""

from datetime import datetime, timedelta

from . import parts
from .rows import Account, Command, Meter

CUT_LIFE = timedelta(minutes=10)
ORDER_OPEN = timedelta(minutes=15)
#: Looks that find load behind an open relay, before somebody is called.
ALARM_AFTER = 2


class Relays:
    """The part of the platform that switches."""

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
            if self._confirm(meter, row, device):
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
        device.told = wanted
        if device.closed != wanted and (wanted or not device.welded):
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

    def _confirm(self, meter, row, device) -> bool:
        """Done is what was read back, not what was answered (S-12)."""
        proven = parts.driver.weigh(meter.proof, device.answer()).state
        if proven != ("open" if row.action == "open" else "closed"):
            return False
        self.watch.proven(meter, proven)
        self.store.set(row, state="confirmed")
        self.store.set(meter, relay=proven)
        self.store.commit()
        return True

    def look(self, meter: Meter, device, now: datetime) -> None:
        """A poll of the relay: what is proven is stored, else "unknown"; what changed by itself is told."""
        found = parts.driver.weigh(meter.proof, device.answer())
        self.watch.proven(meter, found.state)
        count = meter.contradictions + 1 if found.contradiction else 0
        if count == ALARM_AFTER:
            self._note(meter, now, "load_when_open")
        row = meter.commands[-1] if meter.commands else None
        settled = row is not None and row.state == "confirmed"
        if settled and (meter.relay, found.state) == ("open", "closed"):
            self._note(meter, now, "closed_by_hand")
        self.store.set(meter, relay=found.state, contradictions=count)
        self.store.commit()

    def _note(self, meter: Meter, now: datetime, event: str) -> None:
        self.store.append(meter.journal, (now, event))
