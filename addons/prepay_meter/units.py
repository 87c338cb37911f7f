"""Stored integers as people read them: kWh, m³, V, A, yuan."""

from __future__ import annotations

from decimal import Decimal

from .channels import BY_CODE

#: Base unit → (unit for people, how many base units make one, decimals shown).
HUMAN = {
    "Wh": ("kWh", 1000, 3),
    "L": ("m³", 1000, 3),
    "W": ("W", 1, 0),
    "mV": ("V", 1000, 3),
    "mA": ("A", 1000, 3),
    "var": ("var", 1, 0),
    "‰": ("", 1000, 3),
    "mHz": ("Hz", 1000, 3),
    "fen": ("¥", 100, 2),
}


def human(channel: str, value: int) -> str:
    """Value of a channel in the unit that people use, such as ``12.340 kWh``.

    :param channel: code of :mod:`channels`; of an unknown one the number is returned as it is
    :param value: in the base unit of the channel (Wh, L, W, mV, mA, fen …)
    """
    unit = BY_CODE[channel].unit if channel in BY_CODE else ""
    if unit not in HUMAN:
        return str(value)
    name, factor, decimals = HUMAN[unit]
    number = f"{Decimal(value) / factor:,.{decimals}f}"
    return f"{number} {name}".rstrip()
