"""Arithmetic of stays. A stay is [check-in, check-out): on the day of check-out the bed is free.

Dates are those of the room's site; an open end is None.
"""

from datetime import date


def overlap(stay, other):
    """Both stays have a day in common. A stay that ends on its first day has none.

    >>> a, b = date(2026, 3, 1), date(2026, 4, 1)
    >>> overlap((a, b), (b, None)), overlap((a, None), (b, None)), overlap((a, None), (b, b))
    (False, True, False)
    """
    start = max(stay[0], other[0])
    end = min(stay[1] or date.max, other[1] or date.max)
    return start < end


def peak(stays):
    """The largest number of stays on one day.

    >>> a, b, c = date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1)
    >>> peak([(a, b), (b, c), (b, None)]), peak([]), peak([(a, a)])
    (2, 0, 0)
    """
    steps = sorted(
        step
        for start, end in stays
        if end is None or start < end
        for step in ((start, 1), (end or date.max, -1))
    )
    most = count = 0
    for _day, change in steps:  # who leaves on a day comes before who moves in
        count += change
        most = max(most, count)
    return most
