"""Shorthand of the configuration: one description for many gateways or meters.

A gateway with `count` stands for that many, a meter with `count` and `address_from` for that many
on each of them. `{n}` (or `{n:3}` for three digits) in a name, label or registration is the running
number, from 1; a name without it gets `-1`, `-2` … behind it. Addresses go up by `address_step`
(1); Modbus units begin anew on each gateway, other addresses go on over all of them, as no two of
such meters are alike. `serial_from` numbers the serials of gateways the same way; a port that is
not 0 goes up by one.
"""

import re
from typing import Any

from .checks import whole

RUNNING = re.compile(r"\{n(?::(\d))?\}")
_count = whole(1, 10_000)


def numbered(value: Any, n: int) -> Any:
    """`value` with its texts' {n} replaced."""
    if isinstance(value, str):
        return RUNNING.sub(lambda found: f"{n:0{found[1] or 1}d}", value)
    if isinstance(value, dict):
        return {name: numbered(item, n) for name, item in value.items()}
    return value


def later(first: Any, steps: int) -> str:
    """The number `steps` after `first`, with as many digits.

    :raises ValueError: no number
    """
    text = str(first)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{first!r} is not a number to count from")
    return f"{int(text) + steps:0{len(text)}d}"


def gateways(specs: list) -> list:
    """Descriptions with one gateway and one meter each.

    :raises ValueError: what is wrong with a shorthand
    """
    return [made for spec in specs for made in _gateways(spec)]


def _gateways(spec: Any) -> list:
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        return [spec]
    count = _count("count", spec.get("count", 1))
    made = []
    for index in range(count):
        one = {name: value for name, value in spec.items() if name not in ("count", "meters")}
        if "count" in spec:
            name = spec["name"] if RUNNING.search(spec["name"]) else spec["name"] + "-{n}"
            one = {**numbered(one, index + 1), "name": numbered(name, index + 1)}
        if one.get("port") and index:
            one["port"] += index
        if "serial_from" in one:
            one["serial"] = later(one.pop("serial_from"), index)
        if isinstance(spec.get("meters", []), list):
            one["meters"] = [
                meter
                for each in spec.get("meters", [])
                for meter in _meters(each, index, "count" in spec)
            ]
        else:
            one["meters"] = spec["meters"]
        made.append(one)
    return made


def _meters(spec: Any, gateway: int, many: bool) -> list:
    """Meters of one description on the gateway with this index, which is one of `many` or not."""
    if not isinstance(spec, dict):
        return [spec]
    if not {"count", "address_from"} & spec.keys():
        return [numbered(spec, gateway + 1) if many else spec]
    spec = dict(spec)
    count = _count("count", spec.pop("count", 1))
    step = whole(1, 10_000)("address_step", spec.pop("address_step", 1))
    first = spec.pop("address_from", 1)
    before = gateway * count
    units = str(spec.get("protocol", "")).startswith("modbus_")
    return [
        {
            **numbered(spec, before + index + 1),
            "address": later(first, step * (index if units else before + index)),
        }
        for index in range(count)
    ]
