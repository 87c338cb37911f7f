"""Meter profiles as a JSON file: to pass a meter type on, to keep it under version control.

The file follows the models: every stored scalar field of the profile and of the lists it owns is in
it, in the order of the models, so that a new field needs no change here. Fields that only some
groups may see (passwords) never leave the system. What is empty is left out.
"""

import json

from odoo.exceptions import UserError
from odoo.models import MAGIC_COLUMNS

FORMAT = "prepay.meter.profile"
VERSION = 1
#: A profile has some kilobytes.
MAX_BYTES = 2_000_000
SCALARS = ("char", "text", "integer", "float", "boolean", "selection")
LIMITS = {"int4": 2**31 - 1, "int8": 2**63 - 1}
SKIPPED = {*MAGIC_COLUMNS, "active", "sequence"}


class FileError(UserError):
    """The file cannot be taken; the text names profile, entry and value."""


def scalars(model):
    """Fields of the model that are in the file."""
    return [
        field
        for field in model._fields.values()
        if field.type in SCALARS
        and field.store
        and not field.compute
        and not field.groups
        and field.name not in SKIPPED
    ]


def lists(env):
    """Lists that a profile owns: key in the file → field of the profile."""
    return {
        field.name.removesuffix("_ids") + "s": field
        for field in env["prepay.meter.profile"]._fields.values()
        if field.type == "one2many" and field.copy and not field.compute and not field.groups
    }


def as_data(profile):
    """One profile as the dict that is in the file."""
    data = _values(profile)
    for key, field in lists(profile.env).items():
        data[key] = [_values(line) for line in profile[field.name]]
    return data


def dump(profiles):
    """Text of the file for these profiles, the same for the same content.

    :rtype: str
    """
    head = {"format": FORMAT, "version": VERSION}
    head["profiles"] = [as_data(profile) for profile in profiles.sorted("code")]
    return _pretty(head, 0) + "\n"


def load(env, content):
    """Profiles of a file, with every entry checked against the models.

    :param bytes content: as uploaded
    :return: list of dicts as :func:`as_data` makes them
    :raise FileError: naming profile, entry and value
    """
    if len(content) > MAX_BYTES:
        raise FileError(env._("The file is larger than 2 MB. It is not a file of meter profiles."))
    try:
        data = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise FileError(
            env._(
                "The file is not valid JSON at line %(line)s, column %(column)s: %(reason)s",
                line=error.lineno,
                column=error.colno,
                reason=error.msg,
            )
        ) from None
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise FileError(
            env._("The file is not JSON text in UTF-8. Choose a file that “Export” has made.")
        ) from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FileError(
            env._("This is not a file of meter profiles. Choose a file that “Export” has made.")
        )
    if data.get("version") != VERSION:
        raise FileError(
            env._(
                "The file has version %(version)s; this system reads version %(ours)s. "
                "Export it again from a system of the same age.",
                version=data.get("version"),
                ours=VERSION,
            )
        )
    profiles = data.get("profiles")
    if not isinstance(profiles, list) or not profiles:
        raise FileError(env._("The file has no profiles."))
    seen = set()
    for number, item in enumerate(profiles, 1):
        code = _check_profile(env, item, number)
        if code in seen:
            raise FileError(env._("Profile %s is in the file twice. Keep one of them.", code))
        seen.add(code)
    return profiles


def differences(profile, data):
    """What an update of the profile with ``data`` would change, as lines of text for people."""
    env = profile.env
    old = as_data(profile)
    lines = _changes(profile, old, data)
    for key, field in lists(env).items():
        model = env[field.comodel_name]
        gone = [line for line in old[key] if line not in data.get(key, [])]
        new = [line for line in data.get(key, []) if line not in old[key]]
        for line in gone:
            title = _title(model, line)
            twin = next((item for item in new if _title(model, item) == title), None)
            if twin is None:
                lines.append(f"− {title}")
            else:
                new.remove(twin)
                lines += [f"{title}: {text}" for text in _changes(model, line, twin)]
        lines += [f"+ {_title(model, line)}" for line in new]
        if not gone and not new and old[key] != data.get(key, []):
            lines.append(env._("Another order of: %s", field._description_string(env)))
    return lines


def to_values(env, data):
    """What create() and write() of a profile take; what the file leaves out gets its default."""
    values = _to_write(env["prepay.meter.profile"], data)
    for key, field in lists(env).items():
        model = env[field.comodel_name]
        commands = [(5, 0, 0)]
        for number, line in enumerate(data.get(key, []), 1):
            item = _to_write(model, line)
            if "sequence" in model._fields:
                item["sequence"] = number
            commands.append((0, 0, item))
        values[field.name] = commands
    return values


def translations(env, data):
    """Texts of the profile in other installed languages: field name → {language: text}."""
    installed = {code for code, _name in env["res.lang"].get_installed()}
    return {
        name: {lang: text for lang, text in value.items() if lang in installed}
        for name, value in data.items()
        if isinstance(value, dict)
    }


def _values(record):
    data = {}
    defaults = _defaults(record)
    for field in scalars(record):
        value = _translated(record, field) if field.translate else record[field.name]
        if value or defaults.get(field.name):
            data[field.name] = value
    return data


def _translated(record, field):
    """Plain text; with translations a dict of language → text."""
    source = record.with_context(lang="en_US")[field.name]
    texts = {"en_US": source}
    for code, _name in record.env["res.lang"].get_installed():
        text = record.with_context(lang=code)[field.name]
        if text != source:
            texts[code] = text
    return texts if len(texts) > 1 else source


def _defaults(model):
    return model.default_get([field.name for field in scalars(model)])


def _to_write(model, data):
    defaults = _defaults(model)
    values = {}
    for field in scalars(model):
        value = data.get(field.name, defaults.get(field.name, False))
        values[field.name] = value["en_US"] if isinstance(value, dict) else value
    return values


def _pretty(value, depth):
    """JSON with an indent of two; a dict or list without further levels stays on one line."""
    items = value.values() if isinstance(value, dict) else value
    flat = not any(isinstance(item, (dict, list)) for item in items)
    if not value or (flat and depth > 2):
        return json.dumps(value, ensure_ascii=False)
    blank, end = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_part(item, depth + 1)}" for key, item in value.items()]
        opening, closing = "{}"
    else:
        parts = [_part(item, depth + 1) for item in value]
        opening, closing = "[]"
    return opening + "\n" + ",\n".join(blank + part for part in parts) + "\n" + end + closing


def _part(item, depth):
    if isinstance(item, (dict, list)):
        return _pretty(item, depth)
    return json.dumps(item, ensure_ascii=False)


def _refuse(name):
    raise ValueError(name)


def _check_profile(env, item, number):
    model = env["prepay.meter.profile"]
    where = env._("Profile %s", number)
    if not isinstance(item, dict):
        raise FileError(env._("%s is not an object with entries.", where))
    code = item.get("code")
    if isinstance(code, str) and code.strip():
        where = env._("Profile %s", code)
    owned = lists(env)
    _check_entries(env, model, {k: v for k, v in item.items() if k not in owned}, where)
    for key, field in owned.items():
        lines = item.get(key, [])
        if not isinstance(lines, list):
            raise FileError(env._("%(where)s: “%(entry)s” must be a list.", where=where, entry=key))
        for position, line in enumerate(lines, 1):
            title = f"{where}, {field._description_string(env)} {position}"
            if not isinstance(line, dict):
                raise FileError(env._("%s is not an object with entries.", title))
            comodel = env[field.comodel_name]
            if isinstance(line.get(comodel._rec_name), str):
                title += f" ({_title(comodel, line)})"
            _check_entries(env, comodel, line, title)
    return code


def _check_entries(env, model, data, where):
    fields_ = {field.name: field for field in scalars(model)}
    for name, value in data.items():
        field = fields_.get(name)
        if field is None:
            secret = name in model._fields and model._fields[name].groups
            raise FileError(
                env._(
                    "%(where)s: “%(entry)s” is secret and not imported. Remove it.",
                    where=where,
                    entry=name,
                )
                if secret
                else env._(
                    "%(where)s: the entry “%(entry)s” is not known here. "
                    "Remove it, or import into a newer system.",
                    where=where,
                    entry=name,
                )
            )
        remedy = _remedy(env, field, value)
        if remedy:
            raise FileError(
                env._(
                    "%(where)s, %(field)s: “%(value)s” is not right. %(remedy)s",
                    where=where,
                    field=field._description_string(env),
                    value=value if isinstance(value, str) else json.dumps(value),
                    remedy=remedy,
                )
            )
    for name, field in fields_.items():
        if field.required and data.get(name, _defaults(model).get(name)) in (None, False, ""):
            raise FileError(
                env._(
                    "%(where)s, %(field)s: nothing is entered. Add “%(entry)s”.",
                    where=where,
                    field=field._description_string(env),
                    entry=name,
                )
            )


def _remedy(env, field, value):
    """What to enter instead; empty when the value is right."""
    if field.type == "selection":
        allowed = [key for key, _label in field._description_selection(env)]
        if value in allowed or (value is False and not field.required):
            return ""
        return env._("Enter one of: %s", ", ".join(allowed))
    if field.type == "boolean":
        return "" if isinstance(value, bool) else env._("Enter true or false, without quotes.")
    if field.type in ("integer", "float"):
        largest = LIMITS.get(field.column_type[0], LIMITS["int8"])
        whole = isinstance(value, int) and not isinstance(value, bool)
        if field.type == "float" and isinstance(value, float):
            return ""
        return "" if whole and abs(value) <= largest else env._("Enter a whole number.")
    if field.translate and isinstance(value, dict):
        texts = all(isinstance(text, str) and text for text in value.values())
        right = texts and "en_US" in value
        return "" if right else env._("Enter a text, or texts by language with en_US among them.")
    if value is False and not field.required:
        return ""
    if not isinstance(value, str) or (field.type == "char" and len(value) > 300):
        return env._("Enter a text of up to 300 characters, in quotes.")
    return ""


def _changes(model, old, new):
    lines = []
    defaults = _defaults(model)
    for field in scalars(model):
        before = old.get(field.name, defaults.get(field.name, False))
        after = new.get(field.name, defaults.get(field.name, False))
        if before != after:
            texts = [_text(model.env, field, value) for value in (before, after)]
            lines.append(f"{field._description_string(model.env)}: {' → '.join(texts)}")
    return lines


def _text(env, field, value):
    if isinstance(value, dict):
        return " / ".join(value.values())
    if field.type == "selection":
        return dict(field._description_selection(env)).get(value, "—")
    if field.type == "boolean":
        return env._("yes") if value else env._("no")
    if field.type in ("integer", "float"):
        return str(value or 0)
    return str(value) if value else "—"


def _title(model, line):
    """How people call one line of a list: label of its kind, and its address."""
    field = model._fields[model._rec_name]
    label = _text(model.env, field, line.get(field.name))
    return " ".join(part for part in (label, line.get("address")) if part)
