"""Exact products of price and quantity, and settlement of exact amounts to fen.

Money is CNY as `Decimal`; a posted amount has two decimals (fen), an exact amount as
many as price and quantity need. Only `to_fen` and `settle` round; everything else traps
inexact results, so an amount that does not fit is refused and never shortened. The decimal
context of the caller plays no part.
"""

from collections.abc import Iterable
from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

from .errors import RoundingError

FEN = Decimal("0.01")
HALF_FEN = Decimal("0.005")

# 60 digits: a price of 19 digits times a quantity of 18 with 12 more decimals from the
# unit needs 49. The default context has 28 and would round without a word.
_DIGITS = 60
_EXACT = Context(prec=_DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
_ROUND = Context(prec=_DIGITS, traps=[InvalidOperation], rounding=ROUND_HALF_UP)


def exact_amount(price: Decimal, quantity: int, unit: int) -> Decimal:
    """Price (CNY per `unit` base units) times quantity (base units), exact, in CNY.

    Raises RoundingError("amount_precision") when the result has no exact decimal form within
    60 digits (one third, for instance).
    """
    try:
        return _EXACT.divide(_EXACT.multiply(price, Decimal(quantity)), Decimal(unit))
    except DecimalException:
        raise RoundingError(
            "amount_precision",
            f"{price} x {quantity} / {unit} has no exact decimal value within {_DIGITS} digits",
            price=price,
            quantity=quantity,
            unit=unit,
        ) from None


def exact_product(price: Decimal, factor: Decimal) -> Decimal:
    """The product of two finite numbers of at most 30 digits each, exact."""
    return _EXACT.multiply(price, factor)


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """Sum without rounding, whatever decimal context the caller has; 0 when there is none.

    Raises RoundingError("amount_precision"), also for an amount that is no number.
    """
    total = Decimal(0)
    for amount in amounts:
        try:
            total = _EXACT.add(total, amount)
        except DecimalException:
            raise RoundingError(
                "amount_precision",
                f"{total} + {amount} has no exact sum within {_DIGITS} digits",
                total=total,
                amount=amount,
            ) from None
    return total


def to_fen(amount: Decimal) -> Decimal:
    """The amount with two decimals, half a fen away from zero; zero without a sign."""
    rounded = _ROUND.quantize(amount, FEN)
    # -0.001 becomes -0.00, which would print with its sign.
    return rounded if rounded else rounded.copy_abs()


def settle(exact: Decimal, residue: Decimal) -> tuple[Decimal, Decimal]:
    """Round what is due to fen and carry the rest: (amount to post, new residue), CNY.

    `exact` is the unrounded amount, of either sign; `residue` is what the previous call
    on the same series (meter, account, ...) left over, 0 at its start. Always
    ``amount + new residue == exact + residue`` and ``|new residue| <= 0.005``; so, over any
    number of postings, their sum plus the last residue is the exact total, and their sum
    differs from the rounded exact total by at most one fen (M-11: 0.01 CNY per
    meter-month). The amount never has the opposite sign of `exact`: a charge cannot turn
    into a gift of one fen.

    Half a fen is rounded away from zero (ROUND_HALF_UP): this is the 四舍五入 that a tenant
    repeats on a pocket calculator, and it is the same for a charge and for its mirror image.
    The usual objection, that it drifts upwards, does not apply here, because the residue
    takes every rounding back at the next posting.

    An entry is undone by posting its opposite, not by settling the negative exact amount:
    what has been posted is the fact.

    Raises RoundingError: "amount_invalid" (not a finite Decimal), "residue_range" (not a
    Decimal from -0.005 to 0.005), "amount_precision" (more than 60 digits).
    """
    if not isinstance(exact, Decimal) or not exact.is_finite():
        raise RoundingError(
            "amount_invalid", f"amount is no finite Decimal: {exact!r}", exact=exact
        )
    if not isinstance(residue, Decimal) or not residue.is_finite() or residue.copy_abs() > HALF_FEN:
        raise RoundingError(
            "residue_range",
            f"residue is no Decimal within half a fen: {residue!r}",
            residue=residue,
        )
    if not exact:
        # A residue of exactly half a fen would be rounded again: days without usage would
        # take a fen and give it back in turns.
        return to_fen(exact), residue
    due = exact_sum((exact, residue))
    try:
        amount = to_fen(due)
    except InvalidOperation:
        raise RoundingError(
            "amount_precision", f"{due} in fen needs more than {_DIGITS} digits", exact=exact
        ) from None
    return amount, exact_sum((due, amount.copy_negate()))
