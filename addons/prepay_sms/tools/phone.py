"""Phone numbers as gateways in mainland China take them."""

import re

_SEPARATORS = re.compile(r"[\s\-().\u00a0]+")
_MAINLAND = re.compile(r"^(?:\+?86|0086)?(1[3-9]\d{9})$", re.ASCII)
_INTERNATIONAL = re.compile(r"^\+[1-9]\d{6,14}$", re.ASCII)


def normalise(number):
    """A mainland mobile number as eleven digits, another one as + and digits, else None.

    >>> normalise("+86 138-0000 0101")
    '13800000101'
    >>> normalise("+852 5123 4567")
    '+85251234567'
    >>> normalise("0755-1234567") is None
    True
    """
    plain = _SEPARATORS.sub("", number or "")
    mainland = _MAINLAND.match(plain)
    if mainland:
        return mainland.group(1)
    return plain if _INTERNATIONAL.match(plain) else None


def mask(number):
    """The number with its middle hidden.

    >>> mask("13800000101")
    '138****0101'
    >>> mask("12345")
    '****'
    """
    if not number:
        return ""
    if len(number) < 9:
        return "****"
    return f"{number[:-8]}****{number[-4:]}"
