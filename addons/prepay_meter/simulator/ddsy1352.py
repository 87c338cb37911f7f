"""Register maps of Acrel DDSY1352 (single-phase) and DTSY1352 (three-phase) meters.

Manual of the DDSY1352, register page. The DTSY1352 has the same energy registers; its
instantaneous values have no public address and are not here. Tariff tables (date table 6, day
tables 21 registers each) are kept as they are written. 0x0038 CT ratio, 0x0057 force control,
0x0058 forced position (1 trips).
"""

from .meter import Meter
from .registers import ILLEGAL_ADDRESS, ILLEGAL_VALUE, place

CT_RATIO, FORCE_CONTROL, FORCE_OPEN = 0x0038, 0x0057, 0x0058
TABLES = {
    # phases: registers of date table, day table 1, day table 2
    1: (range(0x2000, 0x2006), range(0x2006, 0x201B), range(0x201B, 0x2030)),
    3: (range(0x0028, 0x002E), range(0x2000, 0x2015), range(0x2015, 0x202A)),
}


def _tables(meter: Meter) -> set[int]:
    return {address for table in TABLES[meter.phases] for address in table}


def registers(meter: Meter) -> dict[int, int]:
    found: dict[int, int] = {}
    # 0x0000 total, 0x0002 to 0x0008 the rates, 0.01 kWh
    place(found, 0x0000, *(value // 10_000 for value in meter.registers_mwh()), size=2)
    place(found, 0x000A, 0)  # code
    if meter.phases == 1:
        apparent = meter.power_w * 1000 // meter.power_factor_milli
        place(found, 0x000B, meter.voltage_mv // 100, meter.current_ma // 10, meter.power_w)
        place(found, 0x000E, 0, apparent, meter.power_factor_milli)
    place(found, CT_RATIO, meter.store.get(CT_RATIO, 1))
    place(found, 0x5030, 0, size=2)  # rate 5
    for address in _tables(meter):
        found[address] = meter.store.get(address, 0)
    if meter.control_readable:
        place(found, FORCE_CONTROL, meter.force_control, meter.force_open)
    return found


def write(meter: Meter, written: dict[int, int]) -> int:
    control = {address: value for address, value in written.items() if address in (0x57, 0x58)}
    kept = {address: value for address, value in written.items() if address not in control}
    if kept.keys() - _tables(meter) - {CT_RATIO}:
        return ILLEGAL_ADDRESS
    if any(value not in (0, 1) for value in control.values()):
        return ILLEGAL_VALUE
    meter.store |= kept
    if control:
        meter.force_control = control.get(FORCE_CONTROL, meter.force_control)
        meter.force_open = control.get(FORCE_OPEN, meter.force_open)
        # Without forced control the meter decides itself: in metering mode it supplies.
        trip = bool(meter.force_control and meter.force_open)
        name = ("trip" if trip else "close") if meter.force_control else "end forced control"
        obey = meter.switch(close=not trip) if meter.force_control else meter.end_force()
        meter.command(name, obey)
    return 0


def is_credit(meter: Meter, written: dict[int, int]) -> bool:
    """No public register takes credit."""
    return False
