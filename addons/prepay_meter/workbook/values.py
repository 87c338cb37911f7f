"""One cell of a workbook into one value. Excel changes what people type; this module knows how.

Each function takes the cell as openpyxl gives it and returns the value, or raises :class:`Bad` with
what to do. None stands for an empty cell and never comes here.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation

from openpyxl.utils.datetime import from_excel

#: What Excel shows when a formula fails.
ERRORS = {"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#GETTING_DATA"}
#: Excel keeps so many digits of a number.
DIGITS = 15
YES = {"yes", "y", "true", "1", "x", "√", "✓", "是", "有"}
NO = {"no", "n", "false", "0", "-", "否", "无"}
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_MOMENT = re.compile(
    r"(?P<year>\d{4})\s*[-/.年]\s*(?P<month>\d{1,2})\s*[-/.月]\s*(?P<day>\d{1,2})\s*日?"
    r"(?:[T\s]*(?P<hour>\d{1,2})\s*[:时点]\s*(?P<minute>\d{1,2})?\s*分?"
    r"(?:\s*[:]?\s*(?P<second>\d{1,2})(?:\.(?P<part>\d{1,6}))?\s*秒?)?)?"
)
_COMPACT = re.compile(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)")
#: Days of Excel's calendar that stand for the years 2000 to 2100.
_SERIAL = (36526, 73415)


class Bad(ValueError):
    """The cell cannot be taken; the text says what to enter."""


class NoResult(str):
    """A formula of which the file holds no result."""

    __slots__ = ()


class Identifier(str):
    """A number, address or code. ``numeric``: the cell was a number, so leading zeros are lost."""

    __slots__ = ("numeric",)

    def __new__(cls, value, numeric=False):
        self = super().__new__(cls, value)
        self.numeric = numeric
        return self


def blank(cell):
    """Whether nothing can be seen in the cell."""
    return cell is None or (isinstance(cell, str) and not clean(cell))


def clean(value: str) -> str:
    """Text without blanks around it and without characters that nobody sees."""
    return " ".join(value.translate(_INVISIBLE).split())


def key(value: str) -> str:
    """What two texts have in common that people take for the same (full width, case, blanks)."""
    return clean(unicodedata.normalize("NFKC", str(value))).casefold()


def text(env, cell):
    """Free text; numbers as people see them."""
    if isinstance(cell, bool):
        return "1" if cell else "0"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 10**DIGITS else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ") if cell.time() != time() else cell.date().isoformat()
    if isinstance(cell, (date, time)):
        return cell.isoformat()
    _refuse_error(env, cell)
    result = clean(str(cell))
    if len(result) > 2000:
        raise Bad(env._("The text is longer than 2,000 characters. Shorten it."))
    return result


def identifier(env, cell):
    """A number of a device, an address or a code, with what Excel may have done to it."""
    if isinstance(cell, (datetime, date, time, timedelta)):
        raise Bad(
            env._("Excel has made a date of it. Format the column as text and enter it again.")
        )
    if isinstance(cell, bool):
        raise Bad(env._("This is a logical value. Enter the digits as text."))
    if isinstance(cell, float) and not cell.is_integer():
        raise Bad(
            env._("This is a number with decimals. Format the column as text and enter it again.")
        )
    if isinstance(cell, (int, float)):
        if abs(cell) >= 10**DIGITS:
            raise Bad(
                env._(
                    "Excel keeps only 15 digits of a number. Format the column as text and enter it again."
                )
            )
        return Identifier(int(cell), numeric=True)
    _refuse_error(env, cell)
    result = clean(unicodedata.normalize("NFKC", cell)).lstrip("'").strip()
    if _SCIENTIFIC.fullmatch(result):
        raise Bad(
            env._(
                "Digits were lost in this short form. Format the column as text and enter all digits."
            )
        )
    if re.fullmatch(r"\d+\.0+", result):
        return Identifier(result.partition(".")[0], numeric=True)
    if len(result) > 200:
        raise Bad(env._("The text is longer than 200 characters. Shorten it."))
    return Identifier(result)


def decimal(env, cell):
    """A number as Decimal, never by way of binary fractions."""
    if isinstance(cell, (bool, datetime, date, time, timedelta)):
        raise Bad(env._("This is not a number. Enter digits with a point for decimals."))
    if isinstance(cell, (int, float)) and not abs(cell) < 10**DIGITS:
        raise Bad(env._("This is not a number that Excel keeps exactly. Enter fewer digits."))
    if isinstance(cell, int):
        return Decimal(cell)
    if isinstance(cell, float):
        number = Decimal(repr(cell))
        # Sums of a spreadsheet end in …0000000001: what nobody sees is rounded away.
        rounded = number.quantize(Decimal("0.000001")) if abs(number) < 10**12 else number
        return rounded.normalize() if abs(rounded - number) < Decimal("0.0000001") else number
    _refuse_error(env, cell)
    result = clean(unicodedata.normalize("NFKC", cell)).replace(" ", "")
    if _GROUPED.fullmatch(result):
        result = result.replace(",", "")
    try:
        number = Decimal(result)
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or abs(number) >= 10**DIGITS:
        raise Bad(env._("This is not a number. Enter digits with a point for decimals."))
    return number


def whole(env, cell):
    """A whole number that fits into four bytes."""
    number = decimal(env, cell)
    if number != int(number) or abs(number) >= 2**31:
        raise Bad(env._("Enter a whole number."))
    return int(number)


def money(env, cell):
    """CNY as Decimal, zero or more, with at most two decimals."""
    number = decimal(env, cell)
    if number < 0:
        raise Bad(env._("An amount is zero or more. Enter it without a sign."))
    if number != number.quantize(Decimal("0.01")):
        raise Bad(env._("Enter yuan with at most two decimals."))
    return number


def thousandths(env, number):
    """kWh or m³ as Wh or L."""
    result = number * 1000
    if result != int(result):
        raise Bad(env._("Enter at most three decimals."))
    return int(result)


def yes_no(env, cell):
    """A logical value."""
    if isinstance(cell, bool):
        return cell
    word = key(text(env, cell))
    if word in YES or word in NO:
        return word in YES
    raise Bad(env._("Enter yes or no."))


def moment(env, cell):
    """Date and time as naive datetime at the place; a date alone is midnight."""
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime.combine(cell, time())
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        if _SERIAL[0] <= cell <= _SERIAL[1]:
            return from_excel(cell)
        found = _COMPACT.fullmatch(str(cell))
    elif isinstance(cell, str):
        _refuse_error(env, cell)
        plain = clean(unicodedata.normalize("NFKC", cell))
        found = _MOMENT.fullmatch(plain) or _COMPACT.fullmatch(plain)
    else:
        found = None
    result = found and _built(found.groupdict())
    if result:
        return result
    raise Bad(env._("Enter a date as year-month-day, with the time if needed: 2026-03-01 08:00."))


def _built(part):
    """The moment of the parts of a text; None when there is no such day or time."""
    numbers = [
        int(part.get(name) or 0) for name in ("year", "month", "day", "hour", "minute", "second")
    ]
    micro = int((part.get("part") or "0").ljust(6, "0"))
    try:
        return datetime(*numbers, micro)  # noqa: DTZ001 - the caller knows the zone of the place
    except ValueError:
        return None


def _refuse_error(env, cell):
    if isinstance(cell, NoResult):
        raise Bad(
            env._(
                "The formula has no stored result. Replace it by its value (copy, paste as values)."
            )
        )
    if isinstance(cell, str) and cell.strip() in ERRORS:
        raise Bad(env._("The formula in this cell fails. Enter the value itself."))
