"""The project's own checks find what they are for."""

import polib

from tools.lint import sources, terms


def write(path, *entries):
    file = polib.POFile()
    for term, text, *flags in entries:
        file.append(polib.POEntry(msgid=term, msgstr=text, flags=flags))
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(str(path))


def check(tmp_path, monkeypatch, chinese, template=("Room", "%(n)s rooms")):
    monkeypatch.setattr(terms, "ADDONS", tmp_path / "addons")
    monkeypatch.setattr(terms, "addon_names", lambda: ["prepay_x"])
    printed = []
    monkeypatch.setattr(terms, "finish", lambda name, found: printed.extend(found))
    write(tmp_path / "exports" / "prepay_x.pot", ("Room", ""), ("%(n)s rooms", ""))
    folder = tmp_path / "addons" / "prepay_x" / "i18n"
    write(folder / "prepay_x.pot", *((term, "") for term in template))
    write(folder / "zh_CN.po", *chinese)
    terms.check(tmp_path / "exports")
    return sorted(found.wrong for found in printed)


def test_complete(tmp_path, monkeypatch):
    assert check(tmp_path, monkeypatch, [("Room", "房间"), ("%(n)s rooms", "%(n)s 间")]) == []


def test_missing_empty_fuzzy_placeholder_and_stale(tmp_path, monkeypatch):
    assert check(tmp_path, monkeypatch, [("Room", "")]) == [
        "does not translate 'Room'",
        "lacks '%(n)s rooms'",
    ]
    found = check(tmp_path, monkeypatch, [("Room", "房间", "fuzzy"), ("%(n)s rooms", "%(m)s 间")])
    assert found == ["has other placeholders in '%(n)s rooms'", "marks as fuzzy 'Room'"]
    complete = [("Room", "房间"), ("%(n)s rooms", "%(n)s 间")]
    found = check(tmp_path, monkeypatch, [*complete, ("Old", "旧")], ("Room", "Old"))
    assert found == ["lacks '%(n)s rooms'", "still has 'Old'", "still has 'Old'"]


def test_references(tmp_path):
    view = tmp_path / "view.xml"
    view.write_text(
        '<field name="a" ref="stock.picking_type"/>\n'
        '<button name="%(mrp.action_x)d" groups="base.group_user,!sale.group_a"/>\n'
        '<field name="b" eval="[(4, ref(\'hr.group_b\'))]"/>\n'
        '<field name="c" ref="own_id"/>\n'
    )
    found = {name for name, _ in sources.module_references(view)}
    assert found == {"stock", "mrp", "base", "sale", "hr"}
