"""Amounts as text, for screens that must not see binary fractions."""

from .engine.rounding import to_fen


def amount_text(amount):
    """CNY (Decimal) with two decimals, half a fen away from zero; zero without a sign."""
    return f"{to_fen(amount):.2f}"


def price_text(price):
    """A price (Decimal) without trailing zeros."""
    return f"{price.normalize():f}"
