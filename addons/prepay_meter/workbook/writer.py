"""Workbooks: the template, everything of a company, and a report of problems."""

from __future__ import annotations

import io
from collections import defaultdict
from datetime import datetime, timezone
from decimal import Decimal

import xlsxwriter

from . import sheets as definition

#: Nothing that a cell holds may become a formula or a link.
OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "nan_inf_to_errors": True,
    "default_date_format": "yyyy-mm-dd hh:mm:ss",
}
#: Rows for which the template offers lists of allowed values.
OFFERED = 5_000


def template(env, zh):
    """An empty workbook with headings, lists of allowed values and a sheet of explanations."""
    return build(env, zh, {sheet.key: () for sheet in definition.SHEETS})


def export(env, zh):
    """Everything of the present company, in a form that can be imported again unchanged."""
    return build(env, zh, _content(env))


def report(tables, problems, zh):
    """The rows as they were given, bad cells marked, with the problems beside them and as a list."""
    output = io.BytesIO()
    book = xlsxwriter.Workbook(output, OPTIONS)
    head = book.add_format({"bold": True, "bg_color": "#DDEBF7", "border": 1})
    red = book.add_format({"bg_color": "#FFC7CE", "font_color": "#9C0006"})
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    listed = book.add_worksheet(definition.PROBLEM_SHEET[zh])
    titles = (
        ("工作表", "行", "列", "值", "问题")
        if zh
        else ("Sheet", "Row", "Column", "Value", "Problem")
    )
    listed.write_row(0, 0, titles, head)
    listed.set_column(0, 3, 20)
    listed.set_column(4, 4, 90, wrap)
    for line, problem in enumerate(problems, 1):
        column = " ".join(part for part in (problem.letter, problem.column) if part)
        _put(listed, line, 0, problem.sheet)
        _put(listed, line, 1, problem.row)
        _put(listed, line, 2, column)
        _put(listed, line, 3, problem.value)
        _put(listed, line, 4, problem.message)
    for table in tables:
        _report_sheet(book, table, problems, zh, red, head)
    book.close()
    return output.getvalue()


def _report_sheet(book, table, problems, zh, red, head):
    page = book.add_worksheet(table.title)
    by_row = defaultdict(list)
    for problem in problems:
        if problem.sheet == table.title:
            by_row[problem.row].append(problem)
    letters = {index: table.letter(name) for index, name in table.columns.items()}
    last = max(max(table.columns, default=0), *(len(cells) - 1 for cells in table.raw.values()))
    while last and all(len(cells) <= last or cells[last] is None for cells in table.raw.values()):
        last -= 1
    old = {
        index
        for index, cell in enumerate(table.raw[table.header])
        if str(cell) in definition.PROBLEMS
    }
    for number, cells in table.raw.items():
        bad = {problem.letter for problem in by_row[number]}
        for index, cell in enumerate(cells[: last + 1]):
            if index not in old:
                style = red if letters.get(index, "?") in bad else None
                _put(page, number - 1, index, cell, head if number == table.header else style)
        if by_row[number] and number != table.header:
            text = "; ".join(
                f"{item.column}: {item.message}" if item.column else item.message
                for item in by_row[number]
            )
            _put(page, number - 1, last + 1, text, red)
    _put(page, table.header - 1, last + 1, definition.PROBLEMS[zh], head)
    page.freeze_panes(table.header, 0)
    page.set_column(0, last, 18)
    page.set_column(last + 1, last + 1, 80)


def build(env, zh, content, sheets=definition.SHEETS, lists=None):
    """A workbook of sheets with their rows and a sheet of explanations.

    :param dict content: rows as dicts of column keys, by key of the sheet
    :param dict lists: further choices: column key → list of texts
    """
    output = io.BytesIO()
    book = xlsxwriter.Workbook(output, OPTIONS)
    head = book.add_format({"bold": True, "bg_color": "#DDEBF7", "border": 1})
    formats = {
        "identifier": book.add_format({"num_format": "@"}),
        "text": book.add_format({"num_format": "@"}),
        "moment": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        "decimal": book.add_format({"num_format": "0.###"}),
        "money": book.add_format({"num_format": "0.00"}),
    }
    pages = {sheet.key: book.add_worksheet(sheet.label(zh)) for sheet in sheets}
    offers = _help(env, book, zh, head, sheets, lists or {})
    for sheet in sheets:
        page = pages[sheet.key]
        page.freeze_panes(1, 0)
        for index, column in enumerate(sheet.columns):
            star = " *" if column.required else ""
            page.write_string(0, index, column.label(zh) + star, head)
            page.set_column(index, index, 40 if column.key == "path" else 20,
                            formats.get(column.kind))  # fmt: skip
            if column.key in offers.get(sheet.key, {}):
                page.data_validation(
                    1, index, OFFERED, index,
                    {"validate": "list", "source": offers[sheet.key][column.key],
                     "error_type": "warning"},
                )  # fmt: skip
        labels = {
            column.key: _labels(env, column, zh) for column in sheet.columns if column.choices
        }
        for line, row in enumerate(content[sheet.key], 1):
            for index, column in enumerate(sheet.columns):
                cell = row.get(column.key)
                if column.kind == "yes_no" or not (cell is None or cell is False or cell == ""):
                    if column.choices:
                        cell = labels[column.key].get(cell, cell)
                    elif column.kind == "yes_no":
                        cell = ("是" if zh else "yes") if cell else ("否" if zh else "no")
                    _put(page, line, index, cell, formats.get(column.kind))
    book.close()
    return output.getvalue()


def _labels(env, column, zh):
    """Labels of a selection in the language of the file, when it is installed."""
    model, _dot, name = column.choices.rpartition(".")
    lang = "zh_CN" if zh else "en_US"
    if lang not in dict(env["res.lang"].get_installed()):
        lang = "en_US"
    env = env(context={**env.context, "lang": lang})
    return dict(env[model]._fields[name]._description_selection(env))


def _help(env, book, zh, head, sheets, further):
    """Explanations of all columns and lists of allowed values.

    :return: sheet key → column key → address of its list, for cells that offer a choice
    """
    page = book.add_worksheet(definition.HELP[zh])
    page.set_column(0, 1, 24)
    page.set_column(2, 2, 10)
    page.set_column(3, 3, 90)
    notes = (
        (
            "带 * 的列必填。空单元格表示不修改，新建时使用默认值。",
            "全部工作表检查无误后才会写入；同一文件再次导入不会产生变化。",
            "表号、地址等请保持文本格式，以免丢失前导零。",
        )
        if zh
        else (
            "Columns with * are required. An empty cell changes nothing; something new gets the default.",
            "Nothing is written before all sheets are right. Importing a file twice changes nothing.",
            "Keep meter numbers and addresses as text, so that no leading zero is lost.",
        )
    )
    for line, note in enumerate(notes):
        page.write_string(line, 0, note)
    line = len(notes) + 1
    page.write_row(
        line,
        0,
        ("工作表", "列", "必填", "说明") if zh else ("Sheet", "Column", "Required", "Meaning"),
        head,
    )
    lists, offers = [], defaultdict(dict)
    for sheet in sheets:
        for column in sheet.columns:
            line += 1
            page.write_string(line, 0, sheet.label(zh))
            page.write_string(line, 1, column.label(zh))
            page.write_string(line, 2, "*" if column.required else "")
            page.write_string(line, 3, column.help(zh))
            if column.choices:
                lists.append((sheet, column, list(_labels(env, column, zh).values())))
            elif column.kind == "yes_no":
                lists.append((sheet, column, ["是", "否"] if zh else ["yes", "no"]))
            elif column.key in further:
                lists.append((sheet, column, further[column.key]))
            elif column.key == "profile":
                codes = env["prepay.meter.profile"].search([]).mapped("code")
                lists.append((sheet, column, codes))
    line += 2
    name = definition.HELP[zh]
    for index, (sheet, column, words) in enumerate(lists):
        place = 5 + index
        page.set_column(place, place, 28)
        page.write_string(0, place, f"{sheet.label(zh)}: {column.label(zh)}", head)
        for row, word in enumerate(words, 1):
            page.write_string(row, place, word)
        letter = xlsxwriter.utility.xl_col_to_name(place)
        offers[sheet.key][column.key] = f"='{name}'!${letter}$2:${letter}${max(len(words), 1) + 1}"
    return offers


def _put(page, row, column, cell, style=None):
    """One cell; texts stay texts, whatever they begin with."""
    if cell is None or cell == "":
        page.write_blank(row, column, None, style)
    elif isinstance(cell, bool):
        page.write_boolean(row, column, cell, style)
    elif isinstance(cell, datetime):
        page.write_datetime(row, column, cell, style)
    elif isinstance(cell, (int, float, Decimal)):
        page.write_number(row, column, cell, style)
    else:
        page.write_string(row, column, str(cell)[:32000], style)


def _content(env):
    """Rows of all sheets for the present company."""
    company = [("company_id", "=", env.company.id)]
    places = env["prepay.location"].search(company, order="complete_name, id")
    times = defaultdict(int)
    for place in places:
        times[place.complete_name] += 1

    def reference(place):
        clear = times[place.complete_name] == 1 or not place.code
        return place.complete_name if clear else place.code

    gateways = env["prepay.gateway"].search(company, order="name, id")
    meters = env["prepay.meter"].search(company, order="number, id")
    return {
        "places": [
            {"path": place.complete_name}
            | {name: place[name] for name in ("kind", "code", "own_tz", "address", "note")}
            for place in places
        ],
        "gateways": [
            {column.key: gateway[column.key] for column in definition.GATEWAYS.columns
             if column.key in gateway._fields}
            | {"place": reference(gateway.location_id)}
            for gateway in gateways
        ],
        "meters": [
            {
                "number": meter.number,
                "place": reference(meter.location_id),
                "profile": meter.profile_id.code,
                "gateway": meter.gateway_id.name,
                "address": meter.address,
                "poll_minutes": meter.poll_minutes,
                "overload_w": meter.overload_w,
                "malicious_step_w": meter.malicious_step_w,
                "is_protected": meter.is_protected,
                "protected_reason": meter.protected_reason,
            }
            for meter in meters
        ],
        "readings": list(_registers(env, meters)),
    }  # fmt: skip


def _registers(env, meters):
    """Registers that people entered: they opened the books of these meters."""
    readings = env["prepay.reading"].search(
        [("meter_id", "in", meters.ids), ("source", "=", "manual")], order="meter_id, read_at, id"
    )
    for reading in readings:
        zone = reading.meter_id.location_id._zone()
        local = reading.read_at.replace(tzinfo=timezone.utc).astimezone(zone).replace(tzinfo=None)
        yield {
            "meter": reading.meter_id.number,
            "channel": reading.channel,
            # Excel's moments are floats; parts of a second are kept as text.
            "read_at": local.isoformat(" ") if local.microsecond else local,
            "value": Decimal(reading.value) / 1000,
        }
