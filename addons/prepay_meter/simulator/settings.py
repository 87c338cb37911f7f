"""Settings of a simulated meter by name, from the configuration or while it runs; its state as
plain data."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from .load import ConstantLoad, make_load
from .meter import Meter

PROTOCOLS = ("dlt645", "modbus_ddsy1352")


def _whole(low: int, high: int) -> Callable[[Meter, str, Any], int]:
    def check(_meter: Meter, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} {value!r} is not a whole number of {low}..{high}")
        return value

    return check


def _flag(_meter: Meter, name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value!r} is neither true nor false")
    return value


def _text(_meter: Meter, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is no text")
    return value


def _speed(_meter: Meter, name: str, value: Any) -> Fraction:
    try:
        speed = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        speed = Fraction(-1)
    if not 0 <= speed <= 1_000_000:
        raise ValueError(f"{name} {value!r} is not a number of 0..1000000")
    return speed


def _closed(_meter: Meter, name: str, value: Any) -> bool:
    if value not in ("closed", "open"):
        raise ValueError(f"{name} {value!r} is neither closed nor open")
    return value == "closed"


def _password(_meter: Meter, name: str, value: Any) -> bytes:
    try:
        password = bytes.fromhex(value)
    except (TypeError, ValueError):
        password = b""
    if len(password) != 4:
        raise ValueError(f"{name} {value!r} is not level and password in eight hex digits")
    return password


def _put_faults(meter: Meter, changes: dict) -> None:
    meter.faults.update(changes)
    if not meter.faults.hold_reads_after_write:
        meter.held = False


def _put_press(meter: Meter, pressed: bool) -> None:
    if pressed:
        meter.press_button()


def _set(name: str) -> Callable[[Meter, Any], None]:
    return lambda meter, value: setattr(meter, name, value)


SETTINGS: dict[str, tuple[Callable[[Meter, str, Any], Any], Callable[[Meter, Any], None]]] = {
    # name: (check and convert, apply)
    "label": (_text, _set("label")),
    "load": (lambda meter, _, value: make_load(value, meter.address), _set("load")),
    "power_w": (_whole(0, 100_000), lambda meter, value: _set("load")(meter, ConstantLoad(value))),
    "speed": (_speed, _set("speed")),
    "energy_wh": (_whole(0, 10**9), Meter.set_energy),
    "relay": (_closed, Meter.force_relay),
    "relay_delay_ms": (_whole(0, 600_000), _set("relay_delay_ms")),
    "clock_offset_s": (_whole(-(10**9), 10**9), _set("clock_offset_s")),
    "password": (_password, _set("password")),
    "control_readable": (_flag, _set("control_readable")),
    "button_needed": (_flag, _set("button_needed")),
    "keep_power": (_flag, Meter.set_keep_power),
    "press_button": (_flag, _put_press),
    "preamble": (_whole(0, 16), _set("preamble")),
    "faults": (lambda meter, _, value: meter.faults.checked(value), _put_faults),
}


def change(meter: Meter, changes: Any) -> None:
    """Apply settings by name; all or none.

    :raises ValueError: an unknown name or a bad value
    """
    if not isinstance(changes, dict):
        raise ValueError(f"settings {changes!r} are not an object")
    todo = []
    for name, value in changes.items():
        if name not in SETTINGS:
            raise ValueError(f"setting {name!r} is none of {', '.join(SETTINGS)}")
        check, put = SETTINGS[name]
        todo.append((put, check(meter, name, value)))
    meter.advance()
    for put, value in todo:
        put(meter, value)


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
    digits = address.isascii() and address.isdigit()
    if protocol == "dlt645" and not (digits and len(address) == 12):
        raise ValueError(f"DL/T 645 address {address!r} has not 12 digits")
    if protocol == "modbus_ddsy1352" and not (digits and 1 <= int(address) <= 247):
        raise ValueError(f"Modbus unit {address!r} is not a number of 1..247")
    meter = Meter(protocol, address, gateway)
    change(meter, settings)
    meter.movements.clear()  # the first position of the relay is no movement
    return meter


def state(meter: Meter) -> dict:
    """State for people and tests; `energy_wh` is what the total register shows."""
    meter.advance()
    return {
        "key": meter.key,
        "address": meter.address,
        "label": meter.label,
        "protocol": meter.protocol,
        "gateway": meter.gateway,
        "energy_wh": meter.registers_mwh()[0] // 1000,
        "true_energy_mwh": meter.energy_mwh,
        "power_w": meter.power_w,
        "voltage_mv": meter.voltage_mv,
        "current_ma": meter.current_ma,
        "relay": "closed" if meter.relay_closed else "open",
        "commanded": "closed" if meter.commanded_closed else "open",
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
