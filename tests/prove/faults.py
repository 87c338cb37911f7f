"""Known faults, planted one at a time: the simulation must find each of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta, timezone
from decimal import Decimal
from itertools import count
from unittest.mock import patch

from . import parts
from .credits import Credits
from .rows import Row
from .shell import Shell

UTC = timezone.utc


@dataclass(frozen=True)
class Fault:
    """Where it is planted, where it must show, and by which invariants."""

    owner: object
    name: str
    make: Callable  # the right function -> the wrong one
    area: str
    rules: frozenset[str]

    @contextmanager
    def planted(self) -> Iterator[None]:
        with patch.object(self.owner, self.name, self.make(getattr(self.owner, self.name))):
            yield


FAULTS: dict[str, Fault] = {}


def fault(owner: object, name: str, area: str, *rules: str):
    def add(make: Callable) -> Callable:
        FAULTS[make.__name__] = Fault(owner, name, make, area, frozenset(rules))
        return make

    return add


# --- engine: money ----------------------------------------------------------------------


@fault(parts.rounding, "settle", "site", "M-11")
def residue_is_lost(right):
    return lambda exact, residue: (right(exact, residue)[0], Decimal(0))


@fault(parts.rounding, "settle", "site", "M-11")
def rounded_down(right):
    def settle(exact, residue):
        due = exact + residue
        amount = due.quantize(Decimal("0.01"), "ROUND_DOWN")
        return amount, min(due - amount, Decimal("0.005"))

    return settle


@fault(parts.ledger, "split_charge", "site", "M-14")
def own_money_goes_first(_right):
    return lambda amount, _granted: (Decimal(0), amount)


@fault(parts.ledger, "split_charge", "site", "M-08", "M-14", "M-11")
def granted_below_zero(_right):
    return lambda amount, _granted: (amount, Decimal(0))


@fault(parts.ledger, "balance", "site", "M-02")
def balance_forgets_grants(right):
    return lambda entries: right(entry for entry in entries if entry.kind != "grant")


@fault(parts.ledger, "free_money", "site", "M-08")
def usage_of_today_is_paid_out(right):
    return lambda wallet, _accrued: right(wallet, Decimal(0))


@fault(parts.ledger, "free_money", "site", "M-08")
def granted_money_is_paid_out(right):
    def free_money(wallet, accrued):
        return right(parts.ledger.Balance(wallet.total, Decimal(0)), accrued)

    return free_money


@fault(parts.ledger, "free_money", "site", "M-08", "M-14")
def part_of_a_fen_is_paid_out(_right):
    def free_money(wallet, accrued):
        due = max(accrued - wallet.granted, Decimal(0))
        return max((wallet.principal - due).quantize(Decimal("0.01"), "ROUND_UP"), Decimal(0))

    return free_money


@fault(parts.ledger, "free_money", "site", "M-14")
def own_money_is_kept_back(right):
    """Usage takes own money first: what is granted protects nothing."""

    def free_money(wallet, accrued):
        return right(parts.ledger.Balance(wallet.principal, Decimal(0)), accrued)

    return free_money


@fault(parts.ledger, "unused_grants", "site", "M-14", "M-08")
def a_used_grant_lapses_again(right):
    return lambda grants, _used, granted: right(grants, Decimal(0), granted)


@fault(parts.ledger, "unused_grants", "site", "M-14")
def the_newest_grant_is_used_first(right):
    return lambda grants, used, granted: right(list(grants)[::-1], used, granted)[::-1]


@fault(parts.ledger, "unused_grants", "site", "M-08", "M-14")
def more_lapses_than_is_there(right):
    return lambda grants, used, _granted: right(grants, used, Decimal(10**6))


@fault(Shell, "_unposted", "site", "M-14")
def grants_lapse_before_their_usage_is_posted(_right):
    return lambda *_arguments: False


@fault(parts.ledger, "validate_entry", "site", "S-05")
def rent_is_taken_from_the_wallet(_right):
    return lambda *_arguments, **_rest: None


@fault(Shell, "_evidence", "site", "S-05")
def cut_for_rent(right):
    def evidence(self, meter, account, available, now, skew):
        owed = sum(amount for number, amount in self.debts.values() if number == account.number)
        found = right(self, meter, account, available, now, skew)
        if meter.own or not owed:
            return found
        long_ago = now - timedelta(days=3)
        return replace(found, available=-owed, due_since=long_ago, notice_at=long_ago)

    return evidence


# --- engine: rating -----------------------------------------------------------------------


def _lines_changed(change):
    def make(right):
        def rate(interval, versions, tz, **rest):
            rated = right(interval, versions, tz, **rest)
            return rated._replace(lines=change(rated.lines))

        return rate

    return make


@fault(parts.rating, "rate", "site", "R-02", "M-11")
def a_unit_is_lost_at_each_cut(right):
    return _lines_changed(
        lambda lines: (
            lines[:1]
            + tuple(replace(line, quantity=max(0, line.quantity - 1)) for line in lines[1:])
        )
    )(right)


@fault(parts.rating, "rate", "site", "R-02")
def end_of_an_interval_is_not_billed(right):
    return _lines_changed(lambda lines: lines[:-1])(right)


@fault(parts.rating, "rate", "site", "R-06")
def days_in_utc(right):
    return lambda interval, versions, _tz, **rest: right(interval, versions, UTC, **rest)


@fault(parts.rating, "rate", "site", "R-06")
def holidays_are_forgotten(right):
    empty = parts.calendar.Calendar()
    return lambda interval, versions, tz, *, calendar, **rest: right(
        interval, versions, tz, calendar=empty, **rest
    )


@fault(parts.rating, "rate", "site", "R-02", "R-07")
def tiers_begin_anew_each_time(right):
    new = parts.rating.TierState()
    return lambda interval, versions, tz, *, tiers, **rest: right(
        interval, versions, tz, tiers=new, **rest
    )


@fault(parts.rating, "rate", "site", "R-07")
def heads_do_not_count(right):
    return lambda interval, versions, tz, *, heads, **rest: right(interval, versions, tz, **rest)


@fault(parts.rating, "rate", "site", "R-07")
def history_is_priced_anew(right):
    def rate(interval, versions, tz, **rest):
        newest = max(
            (each for each in versions if each.valid_from <= interval.end),
            key=lambda each: each.valid_from,
        )
        return right(interval, (replace(newest, valid_from=versions[0].valid_from),), tz, **rest)

    return rate


@fault(parts.rating, "fees", "site", "M-11", "R-02")
def fees_come_twice(right):
    return lambda *arguments: right(*arguments) * 2


@fault(parts.rating, "usage", "site", "R-02")
def a_roll_over_is_nothing(right):
    def usage(previous, value, modulus=None):
        return right(previous, value, modulus) if value >= previous else value

    return usage


@fault(parts.quality, "_misfit", "site", "R-02", "RatingError")
def any_value_is_believed(_right):
    return lambda *_arguments: None


# --- engine: supply -----------------------------------------------------------------------


def _passes(right):
    return lambda *arguments: replace(right(*arguments), passed=True)


@fault(parts.supply, "_fresh", "site", "S-01")
def cut_on_stale_data(right):
    return _passes(right)


@fault(parts.supply, "_fresh", "cuts", "S-01")
def cut_on_stale_data_of_a_case(right):
    return _passes(right)


@fault(parts.supply, "_elapsed", "site", "S-01", "S-02")
def no_grace_and_no_lead(right):
    return _passes(right)


@fault(parts.supply, "_window", "cuts", "S-03", "policy")
def window_in_utc(right):
    return lambda policy, evidence: right(policy, replace(evidence, tz=UTC))


@fault(parts.supply, "_working_day", "cuts", "S-03")
def cut_on_holidays(right):
    return lambda policy, evidence: right(policy, replace(evidence, holiday=False))


@fault(parts.supply, "_absent", "cuts", "S-01", "S-03", "S-04", "S-07")
def unknown_is_absent(right):
    return lambda code, present, *rest: right(code, bool(present), *rest)


@fault(parts.supply, "_operations", "cuts", "S-10")
def no_room_for_the_restore(right):
    return lambda policy, evidence: right(
        policy, replace(evidence, operations_today=max(0, evidence.operations_today - 1))
    )


@fault(parts.supply, "_clock", "cuts", "S-13")
def cut_by_a_wrong_clock(right):
    return _passes(right)


@fault(parts.supply, "_notice", "cuts", "S-02")
def cut_without_a_notice(right):
    return _passes(right)


@fault(parts.supply, "_night", "cuts", "S-14")
def water_closed_at_night(_right):
    return lambda *_arguments: ()


@fault(parts.supply_batch, "blast_limit", "cuts", "S-09")
def blast_without_limit(_right):
    return lambda meters, *_rest: meters


@fault(parts.supply_batch, "stagger", "cuts", "S-08")
def all_come_back_at_once(_right):
    return lambda restores, *_rest: dict.fromkeys([item.key for item in restores], 0)


@fault(parts.supply, "decide", "site", "S-06")
def power_only_when_rules_allow_a_cut(right):
    def decide(policy, evidence):
        decision = right(policy, evidence)
        late = any(check.code == "fresh" and not check.passed for check in decision.checks)
        return replace(decision, action=None) if decision.action == "close" and late else decision

    return decide


# --- credit in meters ---------------------------------------------------------------------


@fault(parts.credit, "next_step", "credits", "C-01", "C-02", "C-03")
def always_send(_right):
    return lambda *_arguments: parts.credit.Step("send")


@fault(parts.credit, "next_step", "credits", "C-03")
def sent_again_without_a_counter(right):
    def next_step(row, counter, remaining, limit):
        if counter is None:
            return parts.credit.Step("send")
        return right(row, counter, remaining, limit)

    return next_step


@fault(parts.credit, "next_step", "credits", "C-02")
def doubt_is_success(right):
    def next_step(row, *rest):
        return parts.credit.Step("confirm") if row.state == "sent" else right(row, *rest)

    return next_step


@fault(parts.credit, "_first_time", "credits", "C-04")
def hoarding(_right):
    return lambda *_arguments: parts.credit.Step("send")


@fault(parts.credit, "may_send_after_restore", "credits", "C-02", "C-08")
def old_database_sends(_right):
    return lambda *_arguments: True


@fault(Credits, "_closed", "credits", "C-07")
def credit_moves_twice_after_a_crash(_right):
    return lambda *_arguments: False


@fault(Credits, "_base_of", "credits", "C-07", "C-01")
def old_numbers_go_on(_right):
    return lambda _self, meter, _device: meter.base + len(meter.purchases)


@fault(Credits, "_in_doubt", "credits", "C-07")
def exchanged_while_in_doubt(_right):
    return lambda *_arguments: False


# --- relays -------------------------------------------------------------------------------


@fault(parts.driver, "weigh", "site", "S-12")
def the_status_is_proof_enough(right):
    return lambda meter, found: right(meter, {"relay": found["relay"]})


@fault(parts.driver, "weigh", "site", "S-12")
def no_load_is_proof_of_open(right):
    def weigh(meter, found):
        state = "closed" if found["power"] > 5 else "open"
        return parts.driver.RelayEvidence(state, "load", found["power"])

    return weigh


@fault(parts.driver, "weigh", "site", "S-12", "S-06")
def unknown_is_shown_as_closed(right):
    def weigh(meter, found):
        evidence = right(meter, found)
        return replace(evidence, state=evidence.state or "closed")

    return weigh


@fault(Shell, "_note", "site", "S-12", "S-15")
def nobody_is_told(_right):
    return lambda *_arguments: None


@fault(parts.supply, "_checks", "site", "S-15")
def cut_again_by_the_platform(right):
    """Whoever closed a relay by hand is cut anew each minute."""

    def checks(policy, evidence):
        desired = evidence.relay or evidence.desired
        return right(policy, replace(evidence, desired=desired))

    return checks


# --- order of transactions: what the shell, as the models, must do right ---------------------


@fault(Shell, "_mark_posted", "site", "M-11")
def posted_twice_after_a_crash(right):
    """The entry is committed before the charge says so, and the next try has a new key."""

    def mark(self, meter, *rest):
        self.store.set(meter, postings=meter.postings + 1)
        self.store.commit()
        right(self, meter, *rest)

    return mark


@fault(Shell, "_mark_posted", "site", "M-11")
def charge_lost_in_a_crash(right):
    """The residue is committed, the charges stay open."""

    def mark(self, meter, due, residue, exact):
        self.store.set(meter, residue=residue)
        self.store.commit()
        right(self, meter, due, residue, exact)

    return mark


@fault(Shell, "_credit", "site", "M-04", "M-12")
def payment_credited_twice(right):
    def credit(self, key, payment, now):
        order = self.orders[payment.order] if payment.order is not None else None
        if order is None or order.fen != payment.fen or order.company != payment.company:
            right(self, key, payment, now)
            return
        account, amount = self.accounts[order.account], Decimal(payment.fen).scaleb(-2)
        row = Row(key, "topup", "principal", amount, "", self._day(now), -1)
        lines = (("liability", -payment.fen), ("cash", payment.fen))
        self.store.append(account.entries, row)
        self.store.append(self.postings, (account.company, self._day(now), lines))
        self._look_at(account, now)
        self.store.commit()
        self.store.put(self.handled, key, "topup")

    return credit


@fault(Shell, "_sent_number", "site", "M-06")
def refund_number_made_anew(right):
    tries = count()
    return lambda self, refund: f"{right(self, refund)}-{next(tries)}"


@fault(Shell, "_expire", "site", "S-07")
def old_cut_is_sent(_right):
    return lambda *_arguments: False


@fault(Shell, "_look_at", "site", "S-06")
def paid_and_nobody_looks(right):
    def look(self, account, now):
        cut = [meter for meter in self.meters if meter.own]
        for meter in cut:
            meter.own = False
        try:
            right(self, account, now)
        finally:
            for meter in cut:
                meter.own = True

    return look


@fault(Shell, "_look_at", "site", "R-05")
def late_data_date_arrears_back(right):
    def look(self, account, now):
        before = account.due_since
        right(self, account, now)
        if before is None and account.due_since is not None:
            account.due_since -= timedelta(days=3)

    return look


@fault(Shell, "lock", "site", "M-03", "M-02")
def entry_is_changed(_right):
    def lock(self, _day):
        for account in self.accounts:
            for index, row in enumerate(account.entries):
                account.entries[index] = row._replace(amount=row.amount + 1)

    return lock
