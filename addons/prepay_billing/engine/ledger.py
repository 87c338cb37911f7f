"""Wallet ledger: kinds of entries, their signs and buckets, balances.

Amounts are CNY as `Decimal` with at most two decimals; positive is money of the tenant, and
negative is money taken. An entry never changes (M-03): a mistake is undone by an entry of the
opposite amount. A wallet has two buckets: `principal`, which the tenant has paid and may get
back, and `granted`, which was given (allowance, bonus) and is only ever consumed (M-14).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from types import MappingProxyType

from .errors import LedgerError
from .rounding import FEN, exact_sum, to_fen

PRINCIPAL = "principal"
GRANTED = "granted"

# One entry above this is a typing mistake or an attack, never a dormitory's money.
AMOUNT_LIMIT = Decimal(1_000_000)

_ZERO = Decimal(0)
_REVERSAL = "reversal"
_CORRECTION = "correction"


@dataclass(frozen=True, slots=True)
class Kind:
    """Rule of a kind: sign 1 (only positive), -1 (only negative) or 0 (either), and the buckets
    that it may touch."""

    sign: int
    buckets: tuple[str, ...]


_BOTH = (PRINCIPAL, GRANTED)

ENTRY_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "opening": Kind(1, _BOTH),  # taken over from a former system
        "topup": Kind(1, (PRINCIPAL,)),
        "grant": Kind(1, (GRANTED,)),
        "expiry": Kind(-1, (GRANTED,)),  # what is left of a grant when its time is over
        "charge": Kind(-1, _BOTH),
        "refund": Kind(-1, (PRINCIPAL,)),  # granted money is never paid out
        "transfer": Kind(0, (PRINCIPAL,)),  # nor handed on
        "adjustment": Kind(0, _BOTH),
        _CORRECTION: Kind(0, _BOTH),  # difference of a later settlement, may name its entry
        _REVERSAL: Kind(0, _BOTH),  # exactly the opposite of the entry that it names
    }
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the rules need to know of one ledger entry."""

    kind: str
    amount: Decimal
    bucket: str = PRINCIPAL


@dataclass(frozen=True, slots=True)
class Balance:
    """Sums of the entries of one wallet by bucket, CNY."""

    principal: Decimal
    granted: Decimal

    @property
    def total(self) -> Decimal:
        """Principal and granted money together, CNY."""
        return exact_sum((self.principal, self.granted))


def validate_entry(
    kind: str, amount: Decimal, *, bucket: str = PRINCIPAL, reverses: Entry | None = None
) -> None:
    """Refuse an entry that breaks a rule of its kind; `reverses` is the entry that it names.

    Raises LedgerError with one of these codes:
    "kind_unknown", "bucket_invalid"; "amount_invalid" (not a finite Decimal), "amount_absurd"
    (beyond one million either way), "amount_decimals" (part of a fen), "amount_zero",
    "amount_sign"; "reverses_missing", "reverses_unexpected" (only a reversal and a correction
    name another entry), "reversal_reversed" (a reversal is final), "reversal_differs" (not the
    opposite amount in the same bucket).
    """
    rule = ENTRY_KINDS.get(kind)
    if rule is None:
        raise LedgerError("kind_unknown", f"no kind of entry: {kind!r}", kind=kind)
    if bucket not in rule.buckets:
        raise LedgerError(
            "bucket_invalid", f"{kind} never touches bucket {bucket!r}", kind=kind, bucket=bucket
        )
    problem = _amount_problem(amount, rule.sign)
    if problem:
        raise LedgerError(
            problem, f"{kind} of {amount!r} refused ({problem})", kind=kind, amount=amount
        )
    if reverses is None and kind != _REVERSAL:
        return
    problem = _reference_problem(Entry(kind, amount, bucket), reverses)
    if problem:
        raise LedgerError(
            problem,
            f"{kind} of {amount} in {bucket}, naming {reverses}, refused ({problem})",
            kind=kind,
            amount=amount,
            bucket=bucket,
            reverses=reverses,
        )


def balance(entries: Iterable[Entry]) -> Balance:
    """Sums by bucket. Entries in any order give the same balance (M-12)."""
    amounts: dict[str, list[Decimal]] = {PRINCIPAL: [], GRANTED: []}
    for entry in entries:
        amounts[entry.bucket].append(entry.amount)
    return Balance(exact_sum(amounts[PRINCIPAL]), exact_sum(amounts[GRANTED]))


def available(wallet: Balance, overdraft: Decimal, accrued: Decimal) -> Decimal:
    """What supply may still use, CNY: balance + overdraft limit - usage not yet posted.

    `overdraft` and `accrued` are given as positive amounts; the result may be negative.
    """
    return exact_sum((wallet.total, overdraft, accrued.copy_negate()))


def free_money(wallet: Balance, accrued: Decimal) -> Decimal:
    """Own money that may leave the wallet by refund or transfer, CNY, never below 0.

    Usage not yet posted (`accrued`, positive) takes granted money first, then own money. Overdraft
    is for supply only and never paid out (M-08), granted money neither (M-14).
    """
    due = exact_sum((accrued, max(wallet.granted, _ZERO).copy_negate()))
    # Part of a fen that is used already belongs to the usage.
    left = exact_sum((wallet.principal, max(due, _ZERO).copy_negate()))
    return max(left.quantize(FEN, ROUND_FLOOR), _ZERO)


def unused_grants(grants: Sequence[Decimal], used: Decimal, granted: Decimal) -> list[Decimal]:
    """What is left of each grant of one wallet, CNY: the oldest is used first.

    `grants` are amounts from old to new, `used` is the usage since the first of them (positive),
    `granted` the present balance of the bucket: nothing is left beyond it.
    """
    left, room = [], max(granted, _ZERO)
    for amount in grants:
        taken = min(amount, max(used, _ZERO))
        used = exact_sum((used, taken.copy_negate()))
        rest = min(exact_sum((amount, taken.copy_negate())), room)
        room = exact_sum((room, rest.copy_negate()))
        left.append(rest)
    return left


def split_charge(amount: Decimal, granted: Decimal) -> tuple[Decimal, Decimal]:
    """Share a charge between buckets: (from granted, from principal), both >= 0, CNY.

    `amount` is the charge as a positive amount (0 is allowed), `granted` the balance of that
    bucket. Granted money goes first, because the tenant cannot get it back; consumption always
    posts (M-08), so principal takes the rest, whatever it holds. A granted balance below zero
    (a grant undone after its use) gives nothing.

    Raises LedgerError: "amount_invalid", "amount_absurd", "amount_decimals", "amount_sign",
    "granted_invalid" (no finite Decimal of whole fen).
    """
    if not isinstance(granted, Decimal) or not granted.is_finite() or to_fen(granted) != granted:
        raise LedgerError(
            "granted_invalid", f"granted balance is no amount: {granted!r}", granted=granted
        )
    problem = _amount_problem(amount, 1)
    if problem and problem != "amount_zero":
        raise LedgerError(problem, f"charge of {amount!r} refused ({problem})", amount=amount)
    from_granted = min(amount, max(granted, _ZERO))
    return from_granted, exact_sum((amount, from_granted.copy_negate()))


def _amount_problem(amount: Decimal, sign: int) -> str | None:
    if not isinstance(amount, Decimal) or not amount.is_finite():
        return "amount_invalid"
    if amount.copy_abs() > AMOUNT_LIMIT:
        return "amount_absurd"
    if to_fen(amount) != amount:
        return "amount_decimals"
    if not amount:
        return "amount_zero"
    if (sign > 0 > amount) or (sign < 0 < amount):
        return "amount_sign"
    return None


def _reference_problem(entry: Entry, reverses: Entry | None) -> str | None:
    if reverses is None:
        return "reverses_missing" if entry.kind == _REVERSAL else None
    if entry.kind == _CORRECTION:
        return None
    if entry.kind != _REVERSAL:
        return "reverses_unexpected"
    if reverses.kind == _REVERSAL:
        return "reversal_reversed"
    if entry.amount != reverses.amount.copy_negate() or entry.bucket != reverses.bucket:
        return "reversal_differs"
    return None
