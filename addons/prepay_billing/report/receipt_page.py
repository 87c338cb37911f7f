"""Where everything stands on the paper of a receipt: millimetres only, no texts, no Odoo.

A form (continuous paper, A4, A5) is a box of a fixed size that holds a grid of three pairs of label
and value. Rows shrink to one line when there are many, and a table of meters names so many as fit: a
box never grows. A slip grows with its text instead.
"""

from collections import namedtuple

Paper = namedtuple("Paper", "page box left width carbon")

#: Continuous paper 241 mm has sprocket strips of 12.7 mm and is torn every 11 in, 5.5 in or 11/3 in.
PAPERS = {
    "third": Paper((241, 93.1), 93.1, 15, 205, True),
    "half": Paper((241, 139.7), 139.7, 15, 205, True),
    "full": Paper((241, 279.4), 279.4, 15, 205, True),
    "a4_1": Paper((210, 297), 297, 14, 178, False),
    "a4_2": Paper((210, 297), 148.5, 14, 178, False),
    "a4_3": Paper((210, 297), 99, 14, 178, False),
    "a5": Paper((210, 148), 148, 14, 178, False),
    "slip_80": Paper((80, None), None, 4, 72, False),
    "slip_58": Paper((58, None), None, 5, 48, False),
}
#: Pairs of label and value in a row of the grid.
COLUMNS = 3
TOP = 19.5
FOOT = 16.0
_POINT = 25.4 / 72
_LEADING = 1.25


def line_height(font_size):
    """Height of a line in mm of a size in points."""
    return font_size * _LEADING * _POINT


def end(text, width, font_size, lines):
    """The end of a long path, where the room is, that fits into a cell.

    :param float width: of the cell in mm
    :param int lines: 1 or 2; a break may waste two characters
    """
    em = font_size * _POINT
    room = lines * (width / em) - 1.5 * lines
    kept = 0
    for count, character in enumerate(reversed(text)):
        kept += 1 if ord(character) > 0x2E7F else 0.56
        if kept > room:
            return f"…{text[len(text) - count :]}"
    return text


def pack(cells):
    """Rows of cells in their order; the last cell of a row takes what is left of its width.

    :param cells: dicts with ``width`` 1 to 3, or with ``table`` (a row of its own)
    :return: list of rows: a list of cells with ``span``, or the dict of a table
    """
    rows, row, used = [], [], 0

    def close():
        if row:
            row[-1]["span"] += COLUMNS - used
            rows.append(list(row))
            row.clear()

    for cell in cells:
        if "table" in cell:
            close()
            used = 0
            rows.append(cell)
            continue
        width = min(cell["width"], COLUMNS)
        if used + width > COLUMNS:
            close()
            used = 0
        row.append({**cell, "span": width})
        used += width
    close()
    return rows


def plan(paper, font_size, cells):
    """Heights of the rows, so that all of them stay in the box.

    :param str paper: a form of :data:`PAPERS`
    :param cells: see :func:`pack`
    :return: dict with ``rows`` (dicts with ``cells``, ``height``, ``lines``, or ``table``,
        ``shown``, ``more``), ``height`` and ``foot`` in mm, and ``fits``
    """
    available = PAPERS[paper].box - TOP - FOOT
    line = line_height(font_size)
    least, most = line + 0.5, 2 * line + 0.7
    step = line + 0.7
    rows = pack(cells)
    grid = [row for row in rows if isinstance(row, list)]
    weights = [1.25 if any(cell.get("strong") for cell in row) else 1.0 for row in grid]
    tables = [row for row in rows if not isinstance(row, list)]
    # A table has its head and at least one row; what the grid leaves is for the others.
    fixed = sum(2 * step for _table in tables)
    fits = fixed + least * sum(weights) <= available + 0.01
    wanted = sum(max(len(table["table"]) - 1, 0) * step for table in tables)
    height = most
    if weights:
        free = available - fixed - wanted
        height = max(least, min(most, free / sum(weights)))
    spare = max(0, int((available - fixed - height * sum(weights) + 0.01) // step))
    result, weight = [], iter(weights)
    for row in rows:
        if isinstance(row, list):
            tall = height * next(weight)
            lines = 2 if tall >= most - 0.05 else 1
            for cell in row:
                if cell.get("key") == "location":
                    third = PAPERS[paper].width / COLUMNS
                    width = cell["span"] * third - 0.112 * PAPERS[paper].width - 2.4
                    cell["text"] = end(cell["text"], width, font_size, lines)
            result.append({"cells": row, "height": tall, "lines": lines})
            continue
        count = len(row["table"])
        drawn = min(count, 1 + spare)
        spare -= drawn - 1
        shown = count if drawn == count else drawn - 1  # the last line says how many more there are
        result.append(
            {
                **row,
                "shown": shown,
                "more": count - shown,
                "step": step,
                "height": (1 + drawn) * step,
            }
        )
    total = sum(row["height"] for row in result)
    return {"rows": result, "height": total, "foot": TOP + total + 2.5, "fits": fits}
