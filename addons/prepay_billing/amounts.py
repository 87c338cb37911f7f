"""Amounts where binary fractions must not be seen: as text for screens, exact from what was typed."""

from decimal import Decimal

from odoo.exceptions import UserError

from .engine.rounding import to_fen


def amount_text(amount):
    """CNY (Decimal) with two decimals, half a fen away from zero; zero without a sign."""
    return f"{to_fen(amount):.2f}"


def price_text(price):
    """A price (Decimal) without trailing zeros."""
    return f"{price.normalize():f}"


def exact(amount):
    """A Monetary as Decimal, CNY."""
    return Decimal(f"{amount or 0:.2f}")


def two_decimals(record, vals, names):
    """Refuse parts of a fen before they are rounded away.

    :raises UserError: names the field and the value
    """
    for name in names:
        value = vals.get(name)
        if value and abs(value - round(value, 2)) > 1e-9:
            raise UserError(
                record.env._(
                    "%(field)s: %(value)s has more than two decimals. Enter yuan with at most two "
                    "decimals.",
                    field=record._fields[name]._description_string(record.env),
                    value=value,
                )
            )
