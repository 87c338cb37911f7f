"""What a meter point measures: the stored number, the unit and the Odoo label of each channel.

Readings keep the number (two bytes) instead of the name; both sides of the database use this table.
Registers are cumulative counters that may be billed; quantities are momentary values.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of value. ``unit`` is the integer base unit in which it is stored."""

    number: int
    code: str
    label: str
    unit: str
    register: bool


CHANNELS = (
    Channel(1, "energy", "Energy, total", "Wh", True),
    Channel(2, "energy_sharp", "Energy, sharp (rate 1)", "Wh", True),
    Channel(3, "energy_peak", "Energy, peak (rate 2)", "Wh", True),
    Channel(4, "energy_flat", "Energy, flat (rate 3)", "Wh", True),
    Channel(5, "energy_valley", "Energy, valley (rate 4)", "Wh", True),
    Channel(6, "energy_deep", "Energy, deep valley (rate 5)", "Wh", True),
    Channel(10, "volume", "Water volume", "L", True),
    Channel(20, "power", "Active power", "W", False),
    Channel(21, "voltage", "Voltage", "mV", False),
    Channel(22, "current", "Current", "mA", False),
    Channel(40, "relay", "Relay state", "", False),
)
BY_CODE = {channel.code: channel for channel in CHANNELS}
SELECTION = [(channel.code, channel.label) for channel in CHANNELS]
REGISTER_SELECTION = [(channel.code, channel.label) for channel in CHANNELS if channel.register]
#: The register that is billed, by medium.
BILLED = {"electricity": "energy", "water": "volume"}
