"""Sharing an amount by weights so that the parts sum to it exactly."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from .errors import LedgerError
from .rounding import to_fen


def allocate(amount: Decimal, weights: Sequence[int | Decimal | Fraction]) -> list[Decimal]:
    """Parts of `amount` (CNY, whole fen, of either sign) in proportion to the weights.

    Each part is whole fen and differs from its exact share by less than one fen; the parts sum to
    the amount exactly. Fen left over go to the largest remainders, among equal ones to the first:
    the same input always gives the same parts. A weight of 0 gets nothing.

    Raises LedgerError: "amount_invalid", "amount_decimals" (part of a fen), "weights_invalid"
    (none, negative, or all zero).
    """
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise LedgerError("amount_invalid", f"no amount to share: {amount!r}", amount=amount)
    if to_fen(amount) != amount:
        raise LedgerError("amount_decimals", f"{amount} is not whole fen", amount=amount)
    shares = [Fraction(weight) for weight in weights]
    total = sum(shares)
    if any(share < 0 for share in shares) or not total:
        raise LedgerError("weights_invalid", "weights must be positive", weights=tuple(weights))
    fen = int(amount.copy_abs() * 100)
    exact = [fen * share / total for share in shares]
    parts = [int(part) for part in exact]
    order = sorted(range(len(parts)), key=lambda index: (parts[index] - exact[index], index))
    for index in order[: fen - sum(parts)]:
        parts[index] += 1
    sign = -1 if amount < 0 else 1
    return [Decimal(sign * part).scaleb(-2) for part in parts]
