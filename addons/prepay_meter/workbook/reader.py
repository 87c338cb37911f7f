"""A workbook into rows. What is no workbook, too large or set as a trap is refused with the reason."""

from __future__ import annotations

import io
import re
import zipfile
from collections import namedtuple
from dataclasses import dataclass, field
from itertools import islice, zip_longest

import openpyxl
from odoo.exceptions import UserError
from openpyxl.utils import column_index_from_string, get_column_letter

from . import sheets as definition
from .values import NoResult, blank, key

MAX_BYTES = 20_000_000
#: Of all parts of the file, unpacked. Declared sizes hold: zipfile reads no byte more.
MAX_UNPACKED = 300_000_000
MAX_PARTS = 2_000
MAX_ROWS = 100_000
MAX_COLUMNS = 60
#: Rows of a sheet of Excel.
LAST_ROW = 1_048_576
MAX_MERGED = 5_000
#: So many first rows may hold titles before the row of headings.
TITLES = 15

#: One thing to correct. ``column`` is the heading, ``letter`` its place; both may be empty.
Problem = namedtuple("Problem", "sheet row column letter value message")


@dataclass
class Row:
    """One row of data: its number in the file and its cells by key of the column."""

    number: int
    cells: dict


@dataclass
class Table:
    """One sheet that was recognised."""

    sheet: definition.Sheet
    title: str
    header: int
    columns: dict[int, str]
    rows: list[Row] = field(default_factory=list)
    #: All cells as they stand, for the report of problems.
    raw: dict[int, tuple] = field(default_factory=dict)

    def letter(self, name):
        place = next((index for index, known in self.columns.items() if known == name), None)
        return get_column_letter(place + 1) if place is not None else ""

    def heading(self, name):
        place = next((index for index, known in self.columns.items() if known == name), None)
        cell = self.raw[self.header][place] if place is not None else ""
        return str(cell or "").strip() or self.sheet.column(name).en


class FileRefused(UserError):
    """Nothing in the file can be read; the text says why and what to do."""


def read(env, content, sheets=definition.SHEETS):
    """Recognised sheets of a workbook.

    :param bytes content: the file as uploaded
    :param sheets: what the file may hold
    :return: (list of tables, list of problems, titles of sheets that were left out)
    :raise FileRefused: when the file as a whole cannot be taken
    """
    merged, has_formulas = _inspect(env, content)
    book = _open(env, content, data_only=True)
    formulas = _open(env, content, data_only=False) if has_formulas else None
    tables, problems, ignored = [], [], []
    left = MAX_ROWS
    titles = _names(sheets)
    for worksheet in book.worksheets:
        title = worksheet.title
        sheet = titles.get(key(title))
        if sheet is None:
            if key(title) not in map(key, (*definition.HELP, *definition.PROBLEM_SHEET)):
                ignored.append(title)
            continue
        if any(table.sheet is sheet for table in tables):
            raise FileRefused(
                env._("There are two sheets for “%s”. Put all rows into one of them.", sheet.en)
            )
        rows = _cells(env, worksheet, formulas and formulas[title])
        table, left = _table(env, sheet, title, rows, left, problems)
        if table is None:
            continue
        _spread(env, table, merged.get(worksheet._worksheet_path, ()), problems)
        _take_rows(env, table, problems)
        tables.append(table)
    if not tables and not problems:
        raise FileRefused(
            env._(
                "No sheet of this file is known: %(found)s. Its sheets must be named %(wanted)s; "
                "begin with the template.",
                found=", ".join(ignored) or "—",
                wanted=", ".join(f"“{sheet.en}”/“{sheet.zh}”" for sheet in sheets),
            )
        )
    return tables, problems, ignored


def _inspect(env, content):
    """Refuse what is not a workbook or unpacks too far; find merged cells and formulas."""
    if len(content) > MAX_BYTES:
        raise FileRefused(env._("The file is larger than 20 MB. Divide it into several files."))
    if not content.startswith(b"PK"):
        raise FileRefused(_not_a_workbook(env, content))
    merged, formulas, unpacked = {}, False, 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            unpacked = sum(part.file_size for part in parts)
            if len(parts) > MAX_PARTS or unpacked > MAX_UNPACKED:
                raise FileRefused(
                    env._("The file unpacks to more than 300 MB. Divide it into several files.")
                )
            names = archive.namelist()
            if "xl/workbook.xml" not in names and not any("workbook" in name for name in names):
                raise FileRefused(
                    env._("This is a zip file, not an Excel workbook. Save it as .xlsx.")
                )
            for part in parts:
                if not part.filename.endswith((".xml", ".rels")):
                    continue
                found, has_formula = _scan(env, archive, part)
                merged[part.filename] = found
                if part.filename.startswith("xl/worksheets/"):
                    formulas |= has_formula
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        # RuntimeError: the archive is encrypted.
        raise FileRefused(
            env._("The file is damaged or protected (%s). Save it again as .xlsx.", error)
        ) from None
    return merged, formulas


def _scan(env, archive, part):
    """Merged cells of one part of the archive, and whether there are formulas in it."""
    ranges, has_formula, tail, first = [], False, b"", True
    with archive.open(part) as stream:
        while block := stream.read(1 << 20):
            data = tail + block
            if first and re.search(rb"<!(DOCTYPE|ENTITY)", data):
                raise FileRefused(
                    env._(
                        "The file defines XML entities, which no spreadsheet does. It is refused."
                    )
                )
            has_formula = has_formula or re.search(rb"<(\w+:)?f[\s>/]", data) is not None
            ranges += re.findall(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]+\d+:[A-Z]+\d+)"', data)
            # A tag that the border of two blocks cuts; found ranges are not found again.
            cut = data.rfind(b"<")
            tail, first = (data[cut:] if len(data) - cut < 500 else b""), False
    return list(dict.fromkeys(ranges))[:MAX_MERGED], has_formula


def _not_a_workbook(env, content):
    """Say what the file is instead."""
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        return env._(
            "This is an old .xls file or one with a password. Save it as .xlsx without a password."
        )
    head = content[:4000]
    for encoding in ("utf-8-sig", "gb18030", "utf-16"):
        try:
            # A character may be cut at the end of the piece.
            plain = content.decode(encoding) if len(content) < 4000 else head[:-8].decode(encoding)
        except UnicodeDecodeError:
            continue
        if "<html" in plain.lower() or "<table" in plain.lower():
            return env._(
                "This is a web page with the ending of Excel. Open it and save it as .xlsx."
            )
        if plain.isprintable() or any(mark in plain for mark in ",;\t\n"):
            return env._(
                "This is a text file (CSV), not an Excel workbook. Open it in Excel and save it as .xlsx."
            )
    return env._("This is not an Excel workbook. Save the table as .xlsx.")


def _open(env, content, data_only):
    try:
        return openpyxl.load_workbook(
            io.BytesIO(content), read_only=True, data_only=data_only, keep_links=False
        )
    except Exception as error:
        # The library raises whatever a damaged part leads to: KeyError, ValueError, ParseError …
        raise FileRefused(
            env._("The file is damaged (%s). Open it in Excel and save it again as .xlsx.", error)
        ) from error


def _names(items):
    names = {}
    for item in items:
        for name in (item.en, item.zh, item.key):
            names.setdefault(_heading(name), item)
    return names


def _heading(cell):
    """A heading without the star of required columns and without its unit."""
    plain = key(cell).replace("*", " ").strip()
    return re.sub(r"\s*\([^()]*\)$", "", plain)


def _cells(env, worksheet, formulas):
    """Rows of a sheet as (number, tuple)."""
    try:
        # The size that a sheet states may be wrong; rows beyond it would be lost.
        worksheet.reset_dimensions()
        if formulas:
            formulas.reset_dimensions()
        values = worksheet.iter_rows(values_only=True, max_col=MAX_COLUMNS)
        others = formulas.iter_rows(values_only=True, max_col=MAX_COLUMNS) if formulas else None
        for number, cells in enumerate(values, 1):
            if number > LAST_ROW:
                raise FileRefused(
                    env._("Sheet “%s” has more rows than Excel allows.", worksheet.title)
                )
            if others is not None:
                pairs = zip_longest(cells, next(others, ()))
                cells = tuple(
                    NoResult(formula)
                    if cell is None and isinstance(formula, str) and formula.startswith("=")
                    else cell
                    for cell, formula in pairs
                )
            yield number, cells
    except FileRefused:
        raise
    except Exception as error:
        raise FileRefused(
            env._(
                "Sheet “%(sheet)s” is damaged (%(reason)s). Open the file in Excel and save it again.",
                sheet=worksheet.title,
                reason=error,
            )  # fmt: skip
        ) from error


def _table(env, sheet, title, rows, left, problems):
    """Find the row of headings and keep the rows below it."""
    known = _names(sheet.columns)
    required = {column.key for column in sheet.columns if column.required}
    skipped = set(map(key, definition.PROBLEMS))
    raw = {}
    for number, cells in islice(rows, TITLES):
        raw[number] = cells
        found = {
            index: known[_heading(cell)].key
            for index, cell in enumerate(cells)
            if isinstance(cell, str) and _heading(cell) in known
        }
        if len(set(found.values()) & required) * 2 > len(required) or len(set(found.values())) > 2:
            break
    else:
        found = {}
    filled = any(not blank(cell) for cells in raw.values() for cell in cells)
    if not found:
        if filled:
            problems.append(
                Problem(
                    title,
                    1,
                    "",
                    "",
                    "",
                    env._(
                        "No row of headings was found. The sheet needs the columns: %s.",
                        ", ".join(
                            f"{column.en}/{column.zh}"
                            for column in sheet.columns
                            if column.required
                        ),  # fmt: skip
                    ),
                )
            )
        return None, left
    table = Table(sheet, title, number, found, raw=raw)
    for index, cell in enumerate(cells):
        letter = get_column_letter(index + 1)
        if index in found:
            if list(found.values()).index(found[index]) != list(found).index(index):
                problems.append(
                    Problem(
                        title,
                        number,
                        str(cell),
                        letter,
                        cell,
                        env._("This column is there twice. Remove one of them."),
                    )  # fmt: skip
                )
        elif not blank(cell) and key(str(cell)) not in skipped:
            problems.append(
                Problem(
                    title,
                    number,
                    str(cell),
                    letter,
                    cell,
                    env._(
                        "This column is not known. Remove it or correct its heading; known are: %s.",
                        ", ".join(f"{column.en}/{column.zh}" for column in sheet.columns),
                    ),
                )  # fmt: skip
            )
    for name in required - set(found.values()):
        column = sheet.column(name)
        problems.append(
            Problem(
                title,
                number,
                f"{column.en}/{column.zh}",
                "",
                "",
                env._("This column is missing. Add it."),
            )  # fmt: skip
        )
    for number, cells in rows:
        if all(blank(cell) for cell in cells):
            continue
        left -= 1
        if left < 0:
            raise FileRefused(
                env._("The file has more than 100,000 rows. Divide it into several files.")
            )
        raw[number] = cells
    return table, left


def _spread(env, table, merged, problems):
    """Cells merged downwards all get their value, as people read them; sideways is a problem."""
    for item in merged:
        first, last = (re.fullmatch(r"([A-Z]+)(\d+)", part) for part in item.decode().split(":"))
        left, right = (column_index_from_string(part[1]) - 1 for part in (first, last))
        top, bottom = int(first[2]), int(last[2])
        if bottom <= table.header or left not in table.columns:
            continue
        value = table.raw.get(top, ())[left] if top in table.raw else None
        if right > left:
            if not blank(value):
                problems.append(
                    Problem(
                        table.title,
                        top,
                        table.heading(table.columns[left]),
                        get_column_letter(left + 1),
                        value,
                        env._("This cell is merged with the next column. Undo the merge."),
                    )  # fmt: skip
                )
            continue
        for number in range(top + 1, min(bottom, top + MAX_ROWS) + 1):
            cells = table.raw.get(number)
            # A row that is otherwise empty stays empty.
            if cells is not None and blank(cells[left]):
                table.raw[number] = (*cells[:left], value, *cells[left + 1 :])


def _take_rows(env, table, problems):
    unnamed = set()
    for number in sorted(table.raw):
        if number <= table.header:
            continue
        cells = {}
        for index, cell in enumerate(table.raw[number]):
            if blank(cell):
                continue
            if index in table.columns:
                cells[table.columns[index]] = cell
            elif index not in unnamed and blank(table.raw[table.header][index]):
                unnamed.add(index)
                problems.append(
                    Problem(
                        table.title,
                        number,
                        "",
                        get_column_letter(index + 1),
                        cell,
                        env._("There is a value in a column without a heading. Remove it."),
                    )  # fmt: skip
                )
        if cells:
            table.rows.append(Row(number, cells))
