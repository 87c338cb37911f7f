"""Terms of our addons: fresh exports against the files in `i18n/`.

The exports are made by Odoo from an installed database. `check` fails on a
missing, empty or fuzzy Chinese term and on a stale template; `merge` brings
the files up to date and keeps what is translated.
Usage: python -m tools.lint.terms check|merge EXPORTS_FOLDER ODOO_ADDONS_FOLDER
"""

import re
import sys
from pathlib import Path

import polib

from .findings import ADDONS, Finding, addon_names, finish

LANGUAGE = "zh_CN"
# Odoo's own wording for what every model has: Created on, Display Name …
MEMORY = ("base", "mail", "web", "portal", "account")
PLACEHOLDER = re.compile(r"%(?:\([\w.]+\))?[sdfrxi]|%%|\{[\w.]*\}")


def check(exports: Path) -> int:
    found = []
    for addon in addon_names():
        fresh = _fresh(exports, addon)
        folder = ADDONS / addon / "i18n"
        template, chinese = folder / f"{addon}.pot", folder / f"{LANGUAGE}.po"
        if not fresh:
            continue
        found += _check_template(template, fresh)
        found += _check_chinese(chinese, fresh)
    return finish("translations", found)


def _check_template(path: Path, fresh: dict) -> list[Finding]:
    todo = "./prepay i18n exports it anew"
    if not path.exists():
        return [Finding(str(path), 0, "missing", todo)]
    old = {entry.msgid for entry in polib.pofile(str(path))}
    found = [Finding(str(path), 0, f"lacks {_short(term)}", todo) for term in set(fresh) - old]
    gone = old - set(fresh)
    return found + [Finding(str(path), 0, f"still has {_short(term)}", todo) for term in gone]


def _check_chinese(path: Path, fresh: dict) -> list[Finding]:
    if not path.exists():
        return [Finding(str(path), 0, "missing", "./prepay i18n makes it; then translate it")]
    found = []
    entries = {entry.msgid: entry for entry in polib.pofile(str(path)) if not entry.obsolete}
    for term in fresh:
        entry = entries.get(term)
        if entry is None:
            wrong, todo, line = "lacks", "./prepay i18n adds it; then translate it", 0
        elif not entry.msgstr:
            wrong, todo, line = "does not translate", "translate it", entry.linenum
        elif entry.fuzzy:
            wrong, todo, line = "marks as fuzzy", "correct it and remove the mark", entry.linenum
        elif _places(term) != _places(entry.msgstr):
            wrong, todo, line = "has other placeholders in", "use the same ones", entry.linenum
        else:
            continue
        found.append(Finding(str(path), line, f"{wrong} {_short(term)}", todo))
    for term in set(entries) - set(fresh):
        todo = "./prepay i18n removes it"
        found.append(Finding(str(path), entries[term].linenum, f"still has {_short(term)}", todo))
    return found


def _places(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text))


def merge(exports: Path, core: Path) -> int:
    """Write the template and merge the Chinese file; list what is left to do."""
    memory = _memory(core)
    left = []
    for addon in addon_names():
        fresh = _fresh(exports, addon)
        if not fresh:
            continue
        folder = ADDONS / addon / "i18n"
        folder.mkdir(exist_ok=True)
        template, chinese = folder / f"{addon}.pot", folder / f"{LANGUAGE}.po"
        new = polib.pofile(str(exports / f"{addon}.pot"))
        if not template.exists() or _content(polib.pofile(str(template))) != _content(new):
            new.save(str(template))
        merged, todo = _merged(chinese, new, memory)
        merged.save(str(chinese))
        left += [(chinese, entry) for entry in todo]
        print(f"{addon}: {len(fresh)} terms, {len(todo)} to translate")
    for path, entry in left:
        print(f"{path.parent.parent.name}: {_short(entry.msgid)}")
    return 0


def _merged(path: Path, new: polib.POFile, memory: dict) -> tuple[polib.POFile, list]:
    known = {}
    if path.exists():
        known = {e.msgid: e for e in polib.pofile(str(path)) if e.msgstr and not e.obsolete}
    result = polib.POFile()
    result.metadata = {**new.metadata, "Language": LANGUAGE}
    # Dates would change the file at each run.
    for name in ("POT-Creation-Date", "PO-Revision-Date"):
        result.metadata.pop(name, None)
    todo = []
    for entry in new:
        old = known.get(entry.msgid)
        text = old.msgstr if old else memory.get(entry.msgid, "")
        flags = [*entry.flags, *(["fuzzy"] if old and old.fuzzy else [])]
        fields = {"comment": entry.comment, "occurrences": entry.occurrences, "flags": flags}
        merged = polib.POEntry(msgid=entry.msgid, msgstr=text, **fields)
        result.append(merged)
        if not text or merged.fuzzy:
            todo.append(merged)
    return result, todo


def _memory(core: Path) -> dict[str, str]:
    memory: dict[str, str] = {}
    for addon in reversed(MEMORY):
        path = core / addon / "i18n" / f"{LANGUAGE}.po"
        if path.exists():
            memory |= {e.msgid: e.msgstr for e in polib.pofile(str(path)) if e.translated()}
    return memory


def _fresh(exports: Path, addon: str) -> dict:
    path = exports / f"{addon}.pot"
    if not path.exists() or not path.stat().st_size:
        return {}
    return {entry.msgid: entry for entry in polib.pofile(str(path))}


def _content(file: polib.POFile) -> list:
    return [(entry.msgid, entry.comment, entry.occurrences) for entry in file]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) < 80 else flat[:77] + "…")


if __name__ == "__main__":
    command, folder, odoo = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    sys.exit(check(folder) if command == "check" else merge(folder, odoo))
