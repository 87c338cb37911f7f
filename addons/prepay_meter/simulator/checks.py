"""Checks of settings: each takes the name and the value, and returns what is kept."""

from collections.abc import Callable
from datetime import date
from fractions import Fraction
from typing import Any

Check = Callable[[str, Any], Any]


def whole(low: int, high: int) -> Check:
    def check(name: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{name} {value!r} is not a whole number of {low}..{high}")
        return value

    return check


def number(low: float, high: float) -> Check:
    """Exact number from a number or a text such as "1/60"."""

    def check(name: str, value: Any) -> Fraction:
        try:
            found = Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            found = Fraction(low) - 1
        if not low <= found <= high:
            raise ValueError(f"{name} {value!r} is not a number of {low}..{high}")
        return found

    return check


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value!r} is neither true nor false")
    return value


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is no text")
    return value


def one_of(*choices: str) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in choices:
            raise ValueError(f"{name} {value!r} is none of {', '.join(map(repr, choices))}")
        return value

    return check


def hex_bytes(low: int, high: int) -> Check:
    def check(name: str, value: Any) -> bytes:
        try:
            raw = bytes.fromhex(value)
        except (TypeError, ValueError):
            raw = None
        if raw is None or not low <= len(raw) <= high:
            raise ValueError(f"{name} {value!r} is not {low} to {high} bytes in hex digits")
        return raw

    return check


def list_of(check: Check, low: int = 0, high: int = 1000) -> Check:
    def check_all(name: str, value: Any) -> list:
        if not isinstance(value, list) or not low <= len(value) <= high:
            raise ValueError(f"{name} {value!r} is not a list of {low} to {high}")
        return [check(name, item) for item in value]

    return check_all


def day(name: str, value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} {value!r} is not a date such as 2026-12-31") from None


def host_port(name: str, value: Any) -> tuple[str, int]:
    """Address to dial, `host:port`."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{name} {value!r} is not host:port")
    return host, int(port)
