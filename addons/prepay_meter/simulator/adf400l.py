"""Register map of the users of an Acrel ADF400L / ADF300L multi-user meter (manual V1.2).

Each user is a unit of its own: single-phase (setting `phases` 1) or three-phase (3). Gaps inside
the blocks read zero. How the strong control word is written is not published: its two values are
the settings `strong_open` and `strong_close`, and 0 gives the relay back to the meter's own rules.
The bits of the status word are not published either: 0x0300 was seen on a user with supply. Debt
is in its own register, or with the setting `debt_signed` in a negative remaining amount.
"""

from datetime import datetime

from .credit import BAD_AMOUNT, DONE, REPEATED
from .meter import Meter
from .registers import ILLEGAL_ADDRESS, ILLEGAL_VALUE, pick, place

STATUS_ON, STATUS_OFF = 0x0300, 0x0000
CLOCK = 0x090B  # second and minute, hour and week, day and month, year
TABLES = (range(0x0914, 0x0929), range(0x0929, 0x093E), range(0x093E, 0x0944))
PURCHASE_LOG = range(0x1B00, 0x1B14)
# Where the blocks of a user begin, by phases
LIVE = {1: range(0x0300, 0x031D), 3: range(0x033F, 0x0393)}
RATES = {1: 0x0400, 3: 0x0430}
PREPAID = {1: 0x0500, 3: 0x0536}
TIMES = {1: 0x0600, 3: 0x064E}
LIMITS = {1: 0x0700, 3: 0x0718}
STRONG = {1: 0x0801, 3: 0x0804}


def registers(meter: Meter) -> dict[int, int]:
    phases = meter.phases
    found = dict.fromkeys(LIVE[phases], 0)
    (_live_single if phases == 1 else _live_three)(meter, found)
    shown = [value // 10_000 for value in meter.registers_mwh()]
    place(found, RATES[phases], *shown[1:], size=2)
    _parameters(meter, found)
    place(found, 0x0800, int(phases == 1))
    place(found, STRONG[phases], meter.store.get("strong", 0))
    place(found, 0x0900, int(meter.address), 0x0001, 1)
    place(found, 0x0908, 0 if meter.prepaid else 0x0100)
    at = meter.clock()
    week = at.isoweekday() % 7
    place(found, CLOCK, at.second << 8 | at.minute, at.hour << 8 | week)
    place(found, CLOCK + 2, at.day << 8 | at.month, at.year % 100)
    for table in TABLES:
        place(found, table[0], *(meter.store.get(address, 0) for address in table))
    _purchases(meter, found)
    return found


def _live_single(meter: Meter, found: dict[int, int]) -> None:
    credit = meter.credit
    place(found, 0x0300, meter.voltage_mv // 100, meter.current_ma // 10)
    place(found, 0x0302, meter.power_w, meter.reactive_var, meter.power_factor_milli, 5000)
    place(found, 0x0306, meter.registers_mwh()[0] // 10_000, 0, size=2)
    _money(meter, found, 0x030A)
    place(found, 0x0311, STATUS_ON if meter.relay_closed else STATUS_OFF)
    place(found, 0x0315, 0 if meter.debt_signed else credit.overdrawn, size=2)
    place(found, 0x0317, meter.guard.recovery_s // 10, meter.power_w)
    place(found, 0x0319, meter.registers_mwh()[0] // 10_000, meter.reverse_wh // 10, size=2)


def _live_three(meter: Meter, found: dict[int, int]) -> None:
    each = range(3)
    total = meter.registers_mwh()[0] // 10_000
    place(found, 0x033F, *(meter.phase_voltage_mv(phase) // 100 for phase in each))
    place(found, 0x0342, *(meter.phase_current_ma(phase) // 10 for phase in each))
    place(found, 0x0345, meter.power_w, *(meter.phase_power_w(phase) for phase in each))
    place(found, 0x0349, meter.reactive_var)
    place(found, 0x034D, *[meter.power_factor_milli] * 4)
    place(found, 0x0351, 5000)
    place(found, 0x0352, *(total * share // 100 for share in (40, 33, 27)), size=2)
    place(found, 0x035E, total, 0, size=2)
    _money(meter, found, 0x0362)
    place(found, 0x0369, STATUS_ON if meter.relay_closed else STATUS_OFF)
    place(found, 0x036D, 0 if meter.debt_signed else meter.credit.overdrawn, size=2)
    place(found, 0x036F, meter.guard.recovery_s // 10, meter.power_w)
    place(found, 0x0371, *(meter.phase_voltage_mv(phase) * 1732 // 100_000 for phase in each))
    place(found, 0x038F, total, meter.reverse_wh // 10, size=2)


def _money(meter: Meter, found: dict[int, int], address: int) -> None:
    """Remaining amount, total purchased, purchase count, base amount."""
    left = meter.credit.balance if meter.debt_signed else meter.credit.remaining
    place(found, address, left & 0xFFFFFFFF, meter.credit.cumulative, size=2)
    place(found, address + 4, meter.credit.purchases)


def _parameters(meter: Meter, found: dict[int, int]) -> None:
    credit, guard, phases = meter.credit, meter.guard, meter.phases
    place(found, PREPAID[phases], int(meter.prepaid))
    at = PREPAID[phases] + 1
    place(found, at, *(price // 100 for price in credit.prices), size=2)
    place(found, at + 8, credit.alarm1 & 0xFFFFFFFF, credit.alarm2 & 0xFFFFFFFF, size=2)
    last = credit.log[-1].amount if credit.log else 0
    place(found, at + 12, last, size=2)  # new purchase: amount, count, base
    place(found, at + 14, credit.purchases, 0)
    at = TIMES[phases]
    place(found, at, int(guard.time_control))
    place(found, at + 1, *_from_slots(guard.work_slots), *_from_slots(guard.rest_slots))
    place(found, at + 25, guard.rest_days)
    at = LIMITS[phases]
    place(found, at, int(guard.load_control), min(guard.max_power_w, 0xFFFF), guard.power_step_w)
    place(found, at + 3, guard.pf_limit_milli, guard.trips, guard.trips_allowed)
    place(found, at + 6, guard.recovery_s // 10, meter.store.get("voltage loss", 0))


def _from_slots(slots: list) -> list[int]:
    """Twelve registers of eight times three bytes: switch, hour, minute."""
    raw = b"".join(bytes(slot) for slot in slots).ljust(24, b"\x00")
    return [raw[i] << 8 | raw[i + 1] for i in range(0, 24, 2)]


def _to_slots(written: dict[int, int], start: int, kept: list) -> list:
    old = dict(enumerate(_from_slots(kept), start))
    raw = b"".join({**old, **written}[start + i].to_bytes(2, "big") for i in range(12))
    slots = [tuple(raw[i : i + 3]) for i in range(0, 24, 3)]
    if any(on > 1 or hour > 23 or minute > 59 for on, hour, minute in slots):
        raise ValueError("time control")
    return [slot for slot in slots if any(slot)]


def _purchases(meter: Meter, found: dict[int, int]) -> None:
    """0x1B00 to 0x1B13, one purchase for each address, newest first: its amount.

    The meter answers 20 bytes for each address, in a form that is not published.
    """
    newest = [entry.amount & 0xFFFF for entry in reversed(meter.credit.log)]
    place(found, PURCHASE_LOG[0], *(newest + [0] * 20)[:20])


def is_credit(meter: Meter, written: dict[int, int]) -> bool:
    """Whether a request tops up."""
    return PREPAID[meter.phases] + 13 in written


def write(meter: Meter, written: dict[int, int]) -> int:
    phases, credit, guard = meter.phases, meter.credit, meter.guard
    prepaid, times, limits = PREPAID[phases], TIMES[phases], LIMITS[phases]
    writable = {
        *range(prepaid, prepaid + 17),
        *range(times, times + 26),
        *range(limits, limits + 8),
        STRONG[phases],
        *range(CLOCK, CLOCK + 4),
        *(address for table in TABLES for address in table),
    }
    if written.keys() - writable:
        return ILLEGAL_ADDRESS
    try:
        work = _slots(meter, written, times)
        at = _clock(meter, written)
    except ValueError:
        return ILLEGAL_VALUE
    strong = written.get(STRONG[phases])
    if strong not in (None, 0, meter.strong_open, meter.strong_close):
        return ILLEGAL_VALUE
    if is_credit(meter, written) and (code := _top_up(meter, written, prepaid + 13)):
        return code
    if prepaid in written:
        meter.prepaid = bool(written[prepaid])
    for rate in range(4):
        price = pick(written, prepaid + 1 + 2 * rate, 2)
        if price is not None:
            credit.prices[rate] = price * 100
    for name, address in (("alarm1", prepaid + 9), ("alarm2", prepaid + 11)):
        value = pick(written, address, 2)
        if value is not None:
            setattr(credit, name, value)
    if work:
        guard.work_slots, guard.rest_slots = work
    guard.time_control = bool(written.get(times, guard.time_control))
    guard.rest_days = written.get(times + 25, guard.rest_days)
    guard.load_control = bool(written.get(limits, guard.load_control))
    guard.max_power_w = written.get(limits + 1, guard.max_power_w)
    guard.power_step_w = written.get(limits + 2, guard.power_step_w)
    guard.pf_limit_milli = written.get(limits + 3, guard.pf_limit_milli)
    guard.trips = written.get(limits + 4, guard.trips)
    guard.trips_allowed = written.get(limits + 5, guard.trips_allowed)
    guard.recovery_s = 10 * written.get(limits + 6, guard.recovery_s // 10)
    meter.store["voltage loss"] = written.get(limits + 7, meter.store.get("voltage loss", 0))
    for address in {address for table in TABLES for address in table} & written.keys():
        meter.store[address] = written[address]
    if at:
        meter.set_clock(at)
    if strong is not None:
        _strong_control(meter, strong)
    return 0


def _slots(meter: Meter, written: dict[int, int], times: int) -> tuple[list, list] | None:
    if not any(times + 1 + i in written for i in range(24)):
        return None
    guard = meter.guard
    return (
        _to_slots(written, times + 1, guard.work_slots),
        _to_slots(written, times + 13, guard.rest_slots),
    )


def _clock(meter: Meter, written: dict[int, int]) -> datetime | None:
    """The time that a request sets; all four registers together."""
    if not any(CLOCK + i in written for i in range(4)):
        return None
    packed = pick(written, CLOCK, 4)
    if packed is None:
        raise ValueError("a part of the clock")
    second, minute, hour, _week, day, month, _, year = packed.to_bytes(8, "big")
    return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - local time


def _top_up(meter: Meter, written: dict[int, int], address: int) -> int:
    """Take the new purchase: amount (two registers) and purchase count."""
    amount, number = pick(written, address, 2), pick(written, address + 2)
    if amount is None or number is None:
        meter.refuse("credit", BAD_AMOUNT)
        return ILLEGAL_VALUE
    return 0 if meter.take_credit(amount, number) in (DONE, REPEATED) else ILLEGAL_VALUE


def _strong_control(meter: Meter, word: int) -> None:
    meter.store["strong"] = word
    if not word:
        meter.command("end forced control", meter.end_force())
        return
    trip = word == meter.strong_open
    meter.force_control, meter.force_open = 1, int(trip)
    meter.command("trip" if trip else "close", meter.switch(close=not trip))
