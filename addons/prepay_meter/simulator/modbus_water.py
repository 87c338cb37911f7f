"""Register map of a simulated Modbus water meter with a valve; a map of our own.

| Address | Registers | Access | Meaning |
|---|---|---|---|
| 0x0000 | 2, U32, high word first | R | total, L |
| 0x0002 | 1, U16 | R | flow, L/h |
| 0x0010 | 1 | R | valve: 0 open, 1 closed, 2 moving, 3 fault |
| 0x0011 | 1 | R/W | valve control: 0x0055 open, 0x0099 close; reads what was written last |
| 0x0012 | 1 | R | battery: 0 good, 1 low |

Functions 03 and 04 read the same registers, 16 writes.
"""

from .meter import Meter
from .registers import ILLEGAL_ADDRESS, ILLEGAL_VALUE, place

VALVE = {"open": 0, "closed": 1, "opening": 2, "closing": 2, "fault": 3}
CONTROL = 0x0011
OPEN, CLOSE = 0x0055, 0x0099


def registers(meter: Meter) -> dict[int, int]:
    found: dict[int, int] = {}
    place(found, 0x0000, meter.registers_mwh()[0] // 1000, size=2)
    place(found, 0x0002, meter.power_w)
    place(found, 0x0010, VALVE[meter.valve], meter.store.get(CONTROL, OPEN))
    place(found, 0x0012, int(meter.faults.low_battery))
    return found


def write(meter: Meter, written: dict[int, int]) -> int:
    if set(written) != {CONTROL}:
        return ILLEGAL_ADDRESS
    value = written[CONTROL]
    if value not in (OPEN, CLOSE):
        return ILLEGAL_VALUE
    meter.store[CONTROL] = value
    opening = value == OPEN
    meter.command("open valve" if opening else "close valve", meter.switch(close=opening))
    return 0


def is_credit(meter: Meter, written: dict[int, int]) -> bool:
    """The meter has no credit."""
    return False
