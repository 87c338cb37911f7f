"""What a meter point measures: the stored number, the unit and the Odoo label of each channel.

Readings keep the number (two bytes) instead of the name; both sides of the database use this table.
Registers are cumulative counters that may be billed. Electrical parameters (电参量) are momentary
values with a table and a retention of their own. Credit is what a meter that keeps money reports.
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
    kind: str

    @property
    def register(self) -> bool:
        return self.kind == "register"


CHANNELS = (
    Channel(1, "energy", "Energy, total", "Wh", "register"),
    Channel(2, "energy_sharp", "Energy, sharp (rate 1)", "Wh", "register"),
    Channel(3, "energy_peak", "Energy, peak (rate 2)", "Wh", "register"),
    Channel(4, "energy_flat", "Energy, flat (rate 3)", "Wh", "register"),
    Channel(5, "energy_valley", "Energy, valley (rate 4)", "Wh", "register"),
    Channel(6, "energy_deep", "Energy, deep valley (rate 5)", "Wh", "register"),
    Channel(7, "energy_reverse", "Energy, reverse", "Wh", "register"),
    Channel(10, "volume", "Water volume", "L", "register"),
    Channel(20, "power", "Active power", "W", "electrical"),
    Channel(21, "voltage", "Voltage", "mV", "electrical"),
    Channel(22, "current", "Current", "mA", "electrical"),
    Channel(23, "power_a", "Active power, phase A", "W", "electrical"),
    Channel(24, "power_b", "Active power, phase B", "W", "electrical"),
    Channel(25, "power_c", "Active power, phase C", "W", "electrical"),
    Channel(26, "voltage_a", "Voltage, phase A", "mV", "electrical"),
    Channel(27, "voltage_b", "Voltage, phase B", "mV", "electrical"),
    Channel(28, "voltage_c", "Voltage, phase C", "mV", "electrical"),
    Channel(29, "current_a", "Current, phase A", "mA", "electrical"),
    Channel(30, "current_b", "Current, phase B", "mA", "electrical"),
    Channel(31, "current_c", "Current, phase C", "mA", "electrical"),
    Channel(32, "reactive", "Reactive power", "var", "electrical"),
    Channel(33, "power_factor", "Power factor (thousandths)", "‰", "electrical"),
    Channel(34, "frequency", "Frequency", "mHz", "electrical"),
    Channel(40, "relay", "Relay state", "", "state"),
    Channel(41, "battery_low", "Battery low", "", "state"),
    Channel(42, "signal", "Radio signal", "", "state"),
    Channel(43, "clock", "Clock: date and time", "", "state"),
    Channel(44, "clock_date", "Clock: date", "", "state"),
    Channel(45, "clock_time", "Clock: time of day", "", "state"),
    Channel(50, "remaining", "Remaining credit in the meter", "fen", "credit"),
    Channel(51, "overdraft", "Overdraft in the meter", "fen", "credit"),
    Channel(52, "purchase_count", "Purchase count of the meter", "", "credit"),
)
BY_CODE = {channel.code: channel for channel in CHANNELS}
REGISTERS = {channel.code: channel.number for channel in CHANNELS if channel.register}
ELECTRICAL = tuple(channel.code for channel in CHANNELS if channel.kind == "electrical")
SELECTION = [(channel.code, channel.label) for channel in CHANNELS]
REGISTER_SELECTION = [(channel.code, channel.label) for channel in CHANNELS if channel.register]
#: The register that is billed, by medium.
BILLED = {"electricity": "energy", "water": "volume"}
