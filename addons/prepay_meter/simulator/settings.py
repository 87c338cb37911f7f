"""Settings of a simulated meter by name, from the configuration or while it runs; its state as
plain data."""

from collections.abc import Callable
from random import Random
from typing import Any

from .checks import Check, flag, hex_bytes, list_of, number, one_of, text, whole
from .load import ConstantLoad, make_load
from .meter import Meter

UNITS = "Modbus unit"
ADDRESSES = {
    # protocol: (what its addresses are called, digits; 0 is a number of 1..247)
    "dlt645": ("DL/T 645 address", 12),
    "cjt188": ("CJ/T 188 address", 14),
    "modbus_ddsy1352": (UNITS, 0),
    "modbus_dtsy1352": (UNITS, 0),
    "modbus_adf300l": (UNITS, 0),
    "modbus_adf400l": (UNITS, 0),
    "modbus_water": (UNITS, 0),
}
PROTOCOLS = tuple(ADDRESSES)
WH = whole(0, 10**12)
MS = whole(0, 600_000)
FEN = whole(-(10**9), 10**9)

Apply = Callable[[Meter, Any], None]


def _set(name: str) -> Apply:
    """Put the value into an attribute, `part.name` of a part of the meter."""
    part, _, last = name.rpartition(".")
    return lambda meter, value: setattr(getattr(meter, part) if part else meter, last, value)


def _closed(name: str, value: Any) -> bool:
    if value not in ("closed", "open"):
        raise ValueError(f"{name} {value!r} is neither closed nor open")
    return value == "closed"


def _password(name: str, value: Any) -> bytes:
    try:
        return hex_bytes(4, 4)(name, value)
    except ValueError:
        raise ValueError(
            f"{name} {value!r} is not level and password in eight hex digits"
        ) from None


def _prices(name: str, value: Any) -> list[int]:
    """One price or four, in 0.0001 CNY for each kWh or m³."""
    each = whole(0, 99_999_999)
    return [each(name, value)] * 4 if type(value) is int else list_of(each, 4, 4)(name, value)


def _heater(name: str, value: Any) -> tuple[int, int]:
    known = {"power_w": whole(0, 100_000), "minutes": whole(1, 10_000)}
    if not isinstance(value, dict) or value.keys() != known.keys():
        raise ValueError(f"{name} {value!r} is not an object of power_w and minutes")
    return tuple(check(key, value[key]) for key, check in known.items())


def _slots(name: str, value: Any) -> list[tuple[int, int, int]]:
    """At most eight of [1 on or 0 off, hour, minute]."""
    found = list_of(list_of(whole(0, 59), 3, 3), 0, 8)(name, value)
    if any(on > 1 or hour > 23 for on, hour, _ in found):
        raise ValueError(f"{name} {value!r} is not a list of [0 or 1, hour, minute]")
    return [tuple(slot) for slot in found]


def _credit_fields(name: str, value: Any) -> tuple[str, ...]:
    known = one_of("password", "operator", "amount", "amount_bin", "number", "number_bin")
    return tuple(list_of(known, 1, 6)(name, value))


def _put_faults(meter: Meter, changes: dict) -> None:
    meter.faults.update(changes)
    if not meter.faults.hold_reads_after_write:
        meter.held = False


def _put_script(meter: Meter, steps: list[tuple[int, list]]) -> None:
    def work(todo: list) -> Callable[[], None]:
        return lambda: _apply(meter, todo)

    meter.schedule([(milliseconds, work(todo)) for milliseconds, todo in steps])


def _script(meter: Meter, name: str, value: Any) -> list[tuple[int, list]]:
    """Steps of {"at_s": seconds from now, settings and faults by name}."""
    if not isinstance(value, list):
        raise ValueError(f"{name} {value!r} is not a list")
    steps = []
    for step in value:
        if not isinstance(step, dict) or "at_s" not in step or "script" in step:
            raise ValueError(f"{name}: {step!r} is not an object with at_s and settings")
        changes = dict(step)
        at = number(0, 10**7)("at_s", changes.pop("at_s"))
        steps.append((int(at * 1000), checked(meter, changes)))
    return steps


def _when(of: Apply) -> Apply:
    """Do it when the value is true: a button."""
    return lambda meter, pressed: of(meter, pressed) if pressed else None


SETTINGS: dict[str, tuple[Check, Apply]] = {
    # name: (check and convert, apply)
    "label": (text, _set("label")),
    "number": (text, _set("number")),
    "power_w": (whole(0, 100_000), lambda meter, value: _set("load")(meter, ConstantLoad(value))),
    "speed": (number(0, 1_000_000), _set("speed")),
    "energy_wh": (WH, Meter.set_energy),
    "reverse_wh": (WH, _set("reverse_wh")),
    "phases": (whole(1, 3), _set("phases")),
    "heater": (_heater, lambda meter, value: meter.plug_in(*value)),
    "powered": (flag, Meter.set_power),
    # Relay or valve
    "relay": (_closed, Meter.force_relay),
    "relay_delay_ms": (MS, _set("relay_delay_ms")),
    "valve_travel_ms": (MS, _set("relay_delay_ms")),
    "button_needed": (flag, _set("button_needed")),
    "press_button": (flag, _when(lambda meter, _: meter.press_button())),
    "close_locally": (flag, _when(lambda meter, _: meter.close_locally())),
    "keep_power": (flag, Meter.set_keep_power),
    # Clock
    "clock_offset_s": (whole(-(10**9), 10**9), Meter.set_clock_offset),
    "clock_drift_ppm": (whole(-(10**6), 10**6), Meter.set_clock_drift),
    # Credit; amounts in fen, prices in 0.0001 CNY
    "prepaid": (flag, _set("prepaid")),
    "balance_fen": (FEN, lambda meter, value: meter.credit.set_balance(value)),
    "prices_e4": (_prices, _set("credit.prices")),
    "purchases": (whole(0, 65_535), _set("credit.purchases")),
    "alarm1_fen": (FEN, _set("credit.alarm1")),
    "alarm2_fen": (FEN, _set("credit.alarm2")),
    "overdraft_fen": (FEN, _set("credit.overdraft_limit")),
    "hoarding_fen": (FEN, _set("credit.hoarding_limit")),
    "cut_below_fen": (FEN, _set("credit.cut_below")),
    # What the meter does by itself
    "load_control": (flag, _set("guard.load_control")),
    "max_power_w": (whole(0, 100_000), _set("guard.max_power_w")),
    "power_step_w": (whole(0, 100_000), _set("guard.power_step_w")),
    "pf_limit_milli": (whole(0, 1000), _set("guard.pf_limit_milli")),
    "trips_allowed": (whole(0, 65_535), _set("guard.trips_allowed")),
    "recovery_s": (whole(0, 655_350), _set("guard.recovery_s")),
    "time_control": (flag, _set("guard.time_control")),
    "work_slots": (_slots, _set("guard.work_slots")),
    "rest_slots": (_slots, _set("guard.rest_slots")),
    "rest_days": (whole(0, 127), _set("guard.rest_days")),
    # DL/T 645 and CJ/T 188
    "preamble": (whole(0, 16), _set("preamble")),
    "password": (_password, _set("password")),
    "frame_data": (whole(8, 200), _set("frame_data")),
    "broadcast_limit_s": (whole(0, 10**9), _set("broadcast_limit_s")),
    "credit_fields": (_credit_fields, _set("credit_fields")),
    "credit_error_bytes": (whole(1, 2), _set("credit_error_bytes")),
    "repeat_refused": (flag, _set("repeat_refused")),
    "water_type": (whole(0x10, 0x19), _set("water_type")),
    "di_order": (one_of("901F", "1F90", "both"), _set("di_order")),
    "valve_mask": (whole(1, 0xFFFF), _set("valve_mask")),
    "battery_mask": (whole(0, 0xFFFF), _set("battery_mask")),
    "layout": (one_of("standard", "ultrasonic"), _set("layout")),
    # Modbus
    "control_readable": (flag, _set("control_readable")),
    "debt_signed": (flag, _set("debt_signed")),
    "strong_open": (whole(0, 0xFFFF), _set("strong_open")),
    "strong_close": (whole(0, 0xFFFF), _set("strong_close")),
    # Faults
    "fault_seed": (text, lambda meter, value: setattr(meter, "dice", Random(value))),
}
SETTINGS["volume_l"] = SETTINGS["energy_wh"]
SETTINGS["flow_lh"] = SETTINGS["power_w"]

SETTINGS_OF_METER: dict[str, tuple[Callable[[Meter, str, Any], Any], Apply]] = {
    # The check needs the meter.
    "load": (lambda meter, _, value: make_load(value, meter.key), _set("load")),
    "faults": (lambda meter, _, value: meter.faults.checked(value), _put_faults),
    "script": (_script, _put_script),
}
NAMES = (*SETTINGS, *SETTINGS_OF_METER)


def checked(meter: Meter, changes: Any) -> list[tuple[Apply, Any]]:
    """Settings by name as work to be done on `meter`.

    :raises ValueError: an unknown name or a bad value
    """
    if not isinstance(changes, dict):
        raise ValueError(f"settings {changes!r} are not an object")
    todo = []
    for name, value in changes.items():
        if name in SETTINGS:
            check, put = SETTINGS[name]
            todo.append((put, check(name, value)))
        elif name in SETTINGS_OF_METER:
            check_meter, put = SETTINGS_OF_METER[name]
            todo.append((put, check_meter(meter, name, value)))
        else:
            raise ValueError(f"setting {name!r} is none of {', '.join(NAMES)}")
    return todo


def _apply(meter: Meter, todo: list[tuple[Apply, Any]]) -> None:
    for put, value in todo:
        put(meter, value)


def change(meter: Meter, changes: Any) -> None:
    """Apply settings by name; all or none.

    :raises ValueError: an unknown name or a bad value
    """
    todo = checked(meter, changes)
    meter.advance()
    _apply(meter, todo)


def new_meter(spec: Any, gateway: str) -> Meter:
    """Meter from its description: protocol, address and any settings.

    :raises ValueError: what is wrong with the description
    """
    if not isinstance(spec, dict):
        raise ValueError(f"meter {spec!r} is not an object")
    settings = dict(spec)
    protocol, address = settings.pop("protocol", None), str(settings.pop("address", ""))
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r} is none of {', '.join(PROTOCOLS)}")
    called, size = ADDRESSES[protocol]
    digits = address.isascii() and address.isdigit()
    if size and not (digits and len(address) == size):
        raise ValueError(f"{called} {address!r} has not {size} digits")
    if not size and not (digits and 1 <= int(address) <= 247):
        raise ValueError(f"{called} {address!r} is not a number of 1..247")
    meter = Meter(protocol, address if size else str(int(address)), gateway)
    change(meter, settings)
    meter.movements.clear()  # the first position of the relay is no movement
    return meter


def state(meter: Meter) -> dict:
    """State for people and tests; registers are what the meter shows."""
    meter.advance()
    found = {
        "key": meter.key,
        "address": meter.address,
        "number": meter.number,
        "label": meter.label,
        "protocol": meter.protocol,
        "medium": meter.medium,
        "gateway": meter.gateway,
        "powered": meter.powered,
        "relay": "closed" if meter.relay_closed else "open",
        "commanded": "closed" if meter.commanded_closed else "open",
        "own_trip": meter.own_trip,
        "keep_power": meter.keep_power,
        "waits_for_button": meter.waits_for_button,
        "held": meter.held,
        "speed": float(meter.speed),
        "load": meter.load.describe(),
        "clock": meter.clock().isoformat(timespec="seconds"),
        "reads": meter.reads,
        "writes": meter.writes,
        "faults": meter.faults.active(),
        "commands": [entry.as_dict() for entry in meter.commands],
        "movements": [entry.as_dict() for entry in meter.movements],
    }
    if meter.medium == "water":
        found |= {
            "volume_l": meter.registers_mwh()[0] // 1000,
            "true_volume_ml": meter.energy_mwh,
            "flow_lh": meter.power_w,
            "valve": meter.valve,
        }
    else:
        found |= {
            "energy_wh": meter.registers_mwh()[0] // 1000,
            "true_energy_mwh": meter.energy_mwh,
            "power_w": meter.power_w,
            "voltage_mv": meter.voltage_mv,
            "current_ma": meter.current_ma,
            "power_factor_milli": meter.power_factor_milli,
        }
    if meter.prepaid:
        credit = meter.credit
        found["credit"] = {
            "balance_fen": credit.balance,
            "purchases": credit.purchases,
            "prices_e4": credit.prices,
            "alarm1_fen": credit.alarm1,
            "alarm2_fen": credit.alarm2,
            "taken": [
                {
                    "at": entry.at.isoformat(timespec="seconds"),
                    "number": entry.number,
                    "amount_fen": entry.amount,
                    "before_fen": entry.before,
                    "after_fen": entry.after,
                }
                for entry in credit.log
            ],
        }
    return found
