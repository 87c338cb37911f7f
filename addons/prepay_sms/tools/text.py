"""Texts with names in braces: checked when saved, filled in without evaluating anything."""

import re

_FIELD = re.compile(r"\{([^{}]*)\}")
_SINGLE, _PART = 70, 67


def problem_of(text, allowed):
    """What is wrong with a text, as (code, detail), or None.

    >>> problem_of("Room {room}: {amount} CNY", {"room", "amount"})
    >>> problem_of("Room {rom}", {"room"})
    ('unknown', 'rom')
    >>> problem_of("{room.__class__}", {"room"})
    ('unknown', 'room.__class__')
    >>> problem_of("Room {room", {"room"})
    ('brace', '{room')
    """
    for name in _FIELD.findall(text):
        if name not in allowed:
            return "unknown", name
    rest = _FIELD.sub("", text)
    stray = re.search(r"[{}].{0,15}", rest, re.DOTALL)
    return ("brace", stray.group()) if stray else None


def fill(text, values):
    """The text with its names replaced; a name without a value stays as it is.

    Values are put in as they are: braces inside them mean nothing.

    >>> fill("Room {room}: {amount}", {"room": "{amount}", "amount": "5.00"})
    'Room {amount}: 5.00'
    """
    return _FIELD.sub(lambda match: str(values.get(match.group(1), match.group())), text)


def parts_of(text):
    """How many SMS carry the text: 70 UTF-16 units in one, else 67 in each.

    >>> parts_of("a" * 70), parts_of("a" * 71), parts_of("")
    (1, 2, 0)
    """
    units = len(text.encode("utf-16-be")) // 2
    return min(units, 1) if units <= _SINGLE else -(-units // _PART)


def plain(value, limit=200):
    r"""A foreign text as the database takes it: no zero bytes, no half surrogates, not too long.

    >>> plain("no\x00 \ud800credit"), plain(None), plain(7)
    ('no credit', '', '7')
    """
    if value is None:
        return ""
    return str(value).replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")[:limit]
