"""Rows compared with the database: what is new, what changes, and everything that is wrong.

An empty cell, or a column that is not there, leaves what is stored; for something new it gives the
default. What is found again by its key (place by code or path, gateway by name, meter by number,
register by meter, channel and time) is changed, everything else is new. Nothing is ever removed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytz
from odoo import fields
from odoo.tools import SQL

from ..channels import BILLED, BY_CODE
from . import sheets as definition
from . import values
from .reader import Problem
from .values import Bad, key

ADDRESS_DIGITS = {"dlt645": 12, "cjt188": 14}
ZONES = {key(name): name for name in pytz.all_timezones}
#: A clock of a computer may be so far ahead.
FUTURE = timedelta(minutes=10)


@dataclass
class Item:
    """What one row becomes. References are (kind, key) until everything above is written."""

    row: object
    table: object
    ident: str
    record: object = None
    values: dict = field(default_factory=dict)
    refs: dict = field(default_factory=dict)
    depth: int = 0
    stored: bool = False

    @property
    def status(self):
        if self.stored:
            return "same"
        if not self.record:
            return "new"
        return "changed" if self.values or self.refs else "same"


class Rows:
    """Rows of a workbook on their way into values, whatever they are about."""

    def __init__(self, env, tables, problems=()):
        self.env = env
        self.company = env.company
        self.tables = {table.sheet.key: table for table in tables}
        self.problems = list(problems)
        self._choices = {}
        self._languages = [code for code, _name in env["res.lang"].get_installed()]

    def sort_problems(self):
        """Problems in the order of the file."""
        order = [table.title for table in self.tables.values()]
        self.problems.sort(
            key=lambda item: (order.index(item.sheet) if item.sheet in order else -1, item.row)
        )

    def bad(self, table, row, name, message):
        self.problems.append(
            Problem(
                table.title,
                row.number,
                table.heading(name) if name else "",
                table.letter(name) if name else "",
                row.cells.get(name, ""),
                message,
            )
        )

    # ---- cells

    def _parse(self, table, row):
        """Cells of a row as values; None when something is missing or wrong."""
        parsed, right = {}, True
        for column in table.sheet.columns:
            cell = row.cells.get(column.key)
            if cell is None:
                if column.required and column.key in table.columns.values():
                    self.bad(table, row, column.key, self.env._("Nothing is entered. Fill it in."))
                    right = False
                continue
            try:
                parsed[column.key] = self._value(column, cell)
            except Bad as error:
                self.bad(table, row, column.key, str(error))
                right = False
        if not right:
            self._remember_bad(table, parsed)
        required = {column.key for column in table.sheet.columns if column.required}
        return parsed if right and required <= parsed.keys() else None

    def _value(self, column, cell):
        if column.kind == "choice":
            return self._choice(column, cell)
        if column.kind == "zone":
            found = ZONES.get(key(values.text(self.env, cell)))
            if not found:
                raise Bad(self.env._("Enter a time zone such as Asia/Shanghai."))
            return found
        return getattr(values, column.kind)(self.env, cell)

    def _choice(self, column, cell):
        if column.choices not in self._choices:
            self._choices[column.choices] = choices(self.env, column.choices, self._languages)
        known = self._choices[column.choices]
        word = key(values.text(self.env, cell))
        if word not in known:
            model, _dot, name = column.choices.rpartition(".")
            labels = self.env[model]._fields[name]._description_selection(self.env)
            raise Bad(self.env._("Enter one of: %s", "; ".join(label for _code, label in labels)))
        return known[word]

    def _remember_bad(self, table, parsed):
        """A row is wrong; what refers to it may look it up."""

    def _index_places(self):
        self.places = self.env["prepay.location"].with_context(active_test=False)
        self.places = self.places.search([("company_id", "=", self.company.id)])
        self.place_by_path = defaultdict(list)
        self.place_by_code, self.place_by_name = {}, defaultdict(set)
        for place in self.places:
            path = _path_key(place.complete_name)
            self.place_by_path[path].append(place)
            self.place_by_name[key(place.name)].add(("id", place.id))
            if place.code:
                self.place_by_code[key(place.code)] = place

    def _index_meters(self):
        self.meters = self.env["prepay.meter"].with_context(active_test=False)
        self.meters = self.meters.search([("company_id", "=", self.company.id)])
        self.meter_by_number = {key(meter.number): meter for meter in self.meters}
        self.meter_by_digits = defaultdict(list)
        for meter in self.meters:
            self.meter_by_digits[key(meter.number).lstrip("0")].append(meter)

    def _known_meter(self, number):
        """The stored meter with the number; leading zeros that Excel dropped are found again."""
        found = self.meter_by_number.get(key(number))
        if found is None and number.numeric:
            candidates = self.meter_by_digits.get(key(number).lstrip("0"), [])
            if len(candidates) == 1:
                return candidates[0], ""
            if candidates:
                return None, self.env._(
                    "Leading zeros were lost, and several meters may be meant: %s. "
                    "Format the column as text and enter all digits.",
                    ", ".join(meter.number for meter in candidates[:5]),
                )
        return found, ""

    def _twice(self, item):
        return self.env._("The same is in row %s. Keep one of the rows.", item.row.number)

    def _many(self, name):
        return self.env._(
            "There are several “%s”. Give a code or the full path, or rename one of them.", name
        )


class Plan(Rows):
    """The outcome: ``items`` by sheet, ``problems`` in the order of the file."""

    def __init__(self, env, tables, problems=()):
        super().__init__(env, tables, problems)
        self.items = {sheet.key: [] for sheet in definition.SHEETS}
        self.bad_places, self.new_places, self.new_codes = set(), {}, {}
        self._index_places()
        self._index_gateways()
        self.profiles = {
            key(profile.code): profile for profile in env["prepay.meter.profile"].search([])
        }
        self.new_meters, self.bad_meters = {}, set()
        self.new_meter_digits = defaultdict(list)
        self._index_meters()
        for name, method in (
            ("places", self._place),
            ("gateways", self._gateway),
            ("meters", self._meter),
            ("readings", self._reading),
        ):
            for row in self.tables[name].rows if name in self.tables else ():
                parsed = self._parse(self.tables[name], row)
                if parsed is not None:
                    method(self.tables[name], row, parsed)
            if name == "places":
                self._check_parents()
            elif name == "gateways":
                self._check_links()
            elif name == "meters":
                self._check_addresses()
        self._check_registers()
        self.sort_problems()

    def counts(self):
        """Number of rows by sheet and status, for the sheets of the file."""
        return {
            name: {
                status: sum(item.status == status for item in self.items[name])
                for status in ("new", "changed", "same")
            }
            for name in self.tables
        }

    def _remember_bad(self, table, parsed):
        """Rows that refer to a bad row are not bad themselves."""
        if table.sheet is definition.PLACES and "path" in parsed:
            self.bad_places |= {_path_key(parsed["path"]), key(parsed.get("code", ""))}
        elif table.sheet is definition.GATEWAYS and "name" in parsed:
            self.bad_gateways.add(key(parsed["name"]))
        elif table.sheet is definition.METERS and "number" in parsed:
            self.bad_meters.add(key(parsed["number"]))

    # ---- places

    def _place(self, table, row, parsed):
        path, code = _path_key(parsed["path"]), key(parsed.get("code", ""))
        if not path or not all(path.split(" / ")):
            return self.bad(
                table, row, "path", self.env._("Enter names with “/” between them, none empty.")
            )
        if path in self.new_places:
            return self.bad(table, row, "path", self._twice(self.new_places[path]))
        if code and code in self.new_codes:
            return self.bad(table, row, "code", self._twice(self.new_codes[code]))
        found = self.place_by_path.get(path, [])
        by_code = self.place_by_code.get(code) if code else None
        if len(found) > 1 and not by_code:
            return self.bad(table, row, "path", self._many(parsed["path"]))
        place = by_code or (found[0] if found else None)
        if by_code and found and by_code not in found:
            return self.bad(
                table,
                row,
                "code",
                self.env._(
                    "The code belongs to the place %s. Correct code or path.",
                    by_code.complete_name,
                ),
            )
        if place and not place.active:
            return self.bad(
                table, row, "path", self.env._("This place is archived. Restore it first.")
            )
        item = Item(row, table, path, place)
        self.new_places[path] = item
        if code:
            self.new_codes[code] = item
        names = _split(parsed["path"])
        item.depth = len(names)
        if not place or _path_key(place.complete_name) != path:
            # The name of a known place with “/” inside is not taken apart.
            self._compare(item, "name", names[-1])
            self.place_by_name[key(names[-1])].add(("path", path))
            above = " / ".join(map(_path_key, names[:-1]))
            if above:
                item.refs["parent_id"] = ("place", above)
            elif place and place.parent_id:
                item.values["parent_id"] = False
            if not place:
                item.values["company_id"] = self.company.id
        if not place and "kind" not in parsed:
            parsed["kind"] = "room"
        for name in ("kind", "code", "own_tz", "address", "note"):
            if name in parsed:
                self._compare(item, name, str(parsed[name]))
        return self.items["places"].append(item)

    def _check_parents(self):
        for item in self.items["places"]:
            _kind, above = item.refs.get("parent_id", ("", ""))
            if not above or above in self.new_places or above in self.bad_places:
                continue
            found = self.place_by_path.get(above, [])
            if len(found) == 1:
                parent = found[0]
                if item.record and f"/{item.record.id}/" in f"/{parent.parent_path}":
                    self.bad(
                        item.table,
                        item.row,
                        "path",
                        self.env._("A place cannot be part of itself. Correct the path."),
                    )
                elif item.record and item.record.parent_id == parent:
                    del item.refs["parent_id"]
                else:
                    item.refs["parent_id"] = ("id", parent.id)
            else:
                name = " / ".join(_split(item.row.cells["path"])[:-1])
                self.bad(
                    item.table,
                    item.row,
                    "path",
                    self._many(name)
                    if found
                    else self.env._("There is no place “%s”. Add a row for it.", name),
                )

    def _find_place(self, item, given):
        """Reference to a place given by code, path or a name that is there once."""
        path, code = _path_key(given), key(given)
        if code in self.new_codes:
            target = self.new_codes[code]
            return ("id", target.record.id) if target.record else ("place", target.ident)
        if code in self.place_by_code:
            return self._live(item, self.place_by_code[code])
        if path in self.new_places:
            target = self.new_places[path]
            return ("id", target.record.id) if target.record else ("place", path)
        found = self.place_by_path.get(path, [])
        if len(found) == 1:
            return self._live(item, found[0])
        if path in self.bad_places or code in self.bad_places:
            return None
        named = self.place_by_name.get(code, ()) if not found else ()
        if len(named) == 1:
            kind, target = next(iter(named))
            if kind == "path":
                return ("place", target)
            return self._live(item, self.places.browse(target))
        if found or named:
            return self.bad(item.table, item.row, "place", self._many(given))
        return self.bad(
            item.table,
            item.row,
            "place",
            self.env._(
                "There is no place “%s”. Add it to the sheet of places, or correct it.", given
            ),
        )

    def _live(self, item, place):
        if place.active:
            return ("id", place.id)
        return self.bad(
            item.table, item.row, "place", self.env._("This place is archived. Restore it first.")
        )

    # ---- gateways

    def _index_gateways(self):
        self.gateways = self.env["prepay.gateway"].with_context(active_test=False)
        self.gateways = self.gateways.search([("company_id", "=", self.company.id)])
        self.gateway_by_name = defaultdict(list)
        for gateway in self.gateways:
            self.gateway_by_name[key(gateway.name)].append(gateway)
        self.new_gateways, self.bad_gateways = {}, set()

    def _gateway(self, table, row, parsed):
        name = key(parsed["name"])
        if name in self.new_gateways:
            return self.bad(table, row, "name", self._twice(self.new_gateways[name]))
        found = self.gateway_by_name.get(name, [])
        if len(found) > 1:
            return self.bad(table, row, "name", self._many(parsed["name"]))
        if found and not found[0].active:
            return self.bad(
                table, row, "name", self.env._("This gateway is archived. Restore it first.")
            )
        item = Item(row, table, name, found[0] if found else None)
        self.new_gateways[name] = item
        self._compare(item, "name", parsed["name"], same=key)
        self._refer(item, "location_id", self._find_place(item, parsed["place"]))
        for column in ("link", "host", "port", "dial_in_id", "registration", "registration_hex",
                       "heartbeat", "heartbeat_s", "mqtt_form", "product_key", "timeout_ms",
                       "inter_frame_ms"):  # fmt: skip
            if column in parsed:
                given = parsed[column]
                self._compare(item, column, str(given) if isinstance(given, str) else given)
        wanted = "host" if self._get(item, "link") in ("tcp_serial", "tcp_modbus") else "dial_in_id"
        if not self._get(item, wanted):
            self.bad(
                table,
                row,
                wanted,
                self.env._("A gateway of this link needs an address.")
                if wanted == "host"
                else self.env._("A gateway of this link needs its identity."),
            )
        for column, low, high in (
            ("port", 1, 65535),
            ("timeout_ms", 50, 60000),
            ("inter_frame_ms", 0, 5000),
            ("heartbeat_s", 1, 86400),
        ):
            self._range(item, column, low, high)
        return self.items["gateways"].append(item)

    def _check_links(self):
        """No two gateways at one address, none with the identity of another."""
        taken = {}
        replaced = {item.record.id for item in self.items["gateways"] if item.record}
        others = self.env["prepay.gateway"].sudo().search([("id", "not in", list(replaced))])
        for gateway in others:
            for mark in self._marks(gateway.company_id.id, gateway.__getitem__):
                taken[mark] = gateway.name if gateway.company_id == self.company else ""
        for item in self.items["gateways"]:
            for mark in self._marks(self.company.id, lambda name, item=item: self._get(item, name)):
                if mark in taken:
                    self.bad(
                        item.table,
                        item.row,
                        "dial_in_id" if mark[0] == "identity" else "host",
                        self.env._("Gateway “%s” already has it. Each has its own.", taken[mark])
                        if taken[mark]
                        else self.env._("A gateway of another company already has it."),
                    )
                else:
                    taken[mark] = self._get(item, "name")

    def _marks(self, company, get):
        if get("link") in ("tcp_serial", "tcp_modbus"):
            yield ("address", company, get("host"), get("port") or 26)
        if get("dial_in_id"):
            yield ("identity", get("link"), get("dial_in_id"))

    # ---- meters

    def _meter(self, table, row, parsed):
        number = parsed["number"]
        meter, problem = self._known_meter(number)
        if problem:
            return self.bad(table, row, "number", problem)
        ident = key(meter.number if meter else number)
        if ident in self.new_meters:
            return self.bad(table, row, "number", self._twice(self.new_meters[ident]))
        if meter and not meter.active:
            return self.bad(
                table, row, "number", self.env._("This meter is archived. Restore it first.")
            )
        item = Item(row, table, ident, meter)
        self.new_meters[ident] = item
        self.new_meter_digits[ident.lstrip("0")].append(item)
        if not meter:
            item.values["number"] = str(number)
        self._refer(item, "location_id", self._find_place(item, parsed["place"]))
        profile = self.profiles.get(key(parsed["profile"]))
        if profile is None:
            self.bad(
                table,
                row,
                "profile",
                self.env._(
                    "There is no meter profile with this code. Known are: %s.",
                    ", ".join(item.code for item in self.profiles.values()),
                ),
            )
        else:
            self._refer(item, "profile_id", ("id", profile.id))
            self._address(item, profile, parsed["address"])
        if "gateway" in parsed:
            self._refer(item, "gateway_id", self._find_gateway(item, parsed["gateway"]))
        if "poll_minutes" in parsed:
            minutes = parsed["poll_minutes"].quantize(Decimal("0.01"))
            stored = Decimal(str(meter.poll_minutes)) if meter else None
            if minutes != stored:
                item.values["poll_minutes"] = float(minutes)
            self._range(item, "poll_minutes", 0.02, 44640)
        for column in ("overload_w", "malicious_step_w", "is_protected", "protected_reason"):
            if column in parsed:
                self._compare(item, column, parsed[column])
        for column in ("overload_w", "malicious_step_w"):
            self._range(item, column, 0, 10_000_000)
        return self.items["meters"].append(item)

    def _address(self, item, profile, address):
        digits = ADDRESS_DIGITS.get(profile.protocol)
        text = str(address)
        if digits and address.numeric and len(text) < digits:
            # A number has no leading zeros; the protocol says how many there were.
            text = text.zfill(digits)
        elif profile.protocol == "modbus" and text.isdecimal():
            text = str(int(text))
        remedy = self.env["prepay.meter"]._address_remedy(profile.protocol, text)
        if remedy:
            return self.bad(item.table, item.row, "address", remedy)
        return self._compare(item, "address", text)

    def _find_gateway(self, item, given):
        name = key(given)
        if name in self.new_gateways:
            target = self.new_gateways[name]
            return ("id", target.record.id) if target.record else ("gateway", name)
        found = self.gateway_by_name.get(name, [])
        if len(found) == 1 and found[0].active:
            return ("id", found[0].id)
        if name in self.bad_gateways:
            return None
        if len(found) > 1:
            return self.bad(item.table, item.row, "gateway", self._many(given))
        return self.bad(
            item.table,
            item.row,
            "gateway",
            self.env._("This gateway is archived. Restore it first.")
            if found
            else self.env._(
                "There is no gateway “%s”. Add it to the sheet of gateways, or correct it.", given
            ),
        )

    def _check_addresses(self):
        """No two meters of a gateway at one address."""
        replaced = {item.record.id for item in self.items["meters"] if item.record}
        taken = {
            (("id", meter.gateway_id.id), meter.address): meter.number
            for meter in self.meters
            if meter.active and meter.gateway_id and meter.id not in replaced
        }
        for item in self.items["meters"]:
            gateway = item.refs.get("gateway_id")
            if not gateway and item.record and item.record.gateway_id:
                gateway = ("id", item.record.gateway_id.id)
            address = self._get(item, "address")
            if not gateway or not address:
                continue
            other = taken.setdefault((gateway, address), self._get(item, "number"))
            if other != self._get(item, "number"):
                self.bad(
                    item.table,
                    item.row,
                    "address",
                    self.env._(
                        "Meter %(meter)s of the same gateway already has the address %(address)s.",
                        meter=other,
                        address=address,
                    ),
                )

    # ---- opening registers

    def _reading(self, table, row, parsed):
        target = self._meter_of_reading(table, row, parsed["meter"])
        if target is None:
            return None
        medium, zone = self._meter_facts(target)
        channel = parsed.get("channel") or BILLED[medium]
        if (channel == "volume") != (medium == "water"):
            return self.bad(
                table,
                row,
                "channel",
                self.env._(
                    "A meter of this kind has no such register. Leave it empty for the total."
                ),
            )
        try:
            value = values.thousandths(self.env, parsed["value"])
        except Bad as error:
            return self.bad(table, row, "value", str(error))
        if value < 0 or value >= 2**60:
            return self.bad(table, row, "value", self.env._("A register is not below zero."))
        at = parsed["read_at"].replace(tzinfo=zone).astimezone(timezone.utc).replace(tzinfo=None)
        if at > fields.Datetime.now() + FUTURE:
            return self.bad(
                table, row, "read_at", self.env._("This is in the future. Enter when it was read.")
            )
        if at.year < 1990:
            return self.bad(table, row, "read_at", self.env._("This is too long ago."))
        item = Item(row, table, f"{target.ident}/{channel}/{at}", None)
        item.values = {"meter": target, "channel": channel, "read_at": at, "value": value}
        return self.items["readings"].append(item)

    def _meter_of_reading(self, table, row, number):
        ident = key(number)
        if ident in self.new_meters:
            return self.new_meters[ident]
        meter, problem = self._known_meter(number)
        if not meter and number.numeric and not problem:
            candidates = self.new_meter_digits.get(ident.lstrip("0"), [])
            if len(candidates) == 1:
                return candidates[0]
        if meter:
            return self.new_meters.get(key(meter.number)) or Item(
                None, None, key(meter.number), meter
            )
        if ident in self.bad_meters:
            return None
        return self.bad(
            table,
            row,
            "meter",
            problem
            or self.env._(
                "There is no meter “%s”. Add it to the sheet of meters, or correct it.", number
            ),
        )

    def _meter_facts(self, target):
        """Medium and time zone of a meter that may not be stored yet."""
        kind, profile = target.refs.get("profile_id", ("", 0))
        profiles = self.env["prepay.meter.profile"]
        profile = profiles.browse(profile) if kind else target.record and target.record.profile_id
        medium = profile.medium if profile else "electricity"
        kind, place = target.refs.get("location_id", ("", 0))
        if not kind and target.record:
            kind, place = "id", target.record.location_id.id
        return medium, self._zone(kind, place)

    def _zone(self, kind, place):
        """Time zone of a place; a planned one has its own, or that of the planned place above."""
        while kind == "place":
            item = self.new_places.get(place)
            if item is None:
                break
            if self._get(item, "own_tz"):
                return ZoneInfo(self._get(item, "own_tz"))
            kind, place = item.refs.get("parent_id", ("", 0))
        if kind == "id":
            record = self.places.browse(place)
            item = self.new_places.get(_path_key(record.complete_name))
            own = item and item.values.get("own_tz")
            return ZoneInfo(own) if own else record._zone()
        return ZoneInfo("Asia/Shanghai")

    def _check_registers(self):
        """A register never goes back; what is stored is never changed."""
        groups = defaultdict(list)
        for item in self.items["readings"]:
            target = item.values["meter"]
            groups[target.ident, item.values["channel"]].append(item)
        stored = self._stored_registers()
        for (_ident, channel), items in groups.items():
            target = items[0].values["meter"]
            known = stored.get((target.record.id, channel), {}) if target.record else {}
            modulus = self._modulus(target)
            given = {}
            for item in items:
                at, value = item.values["read_at"], item.values["value"]
                if at in given:
                    self.bad(item.table, item.row, "read_at", self._twice(given[at]))
                    continue
                given[at] = item
                if modulus and value >= modulus:
                    self.bad(
                        item.table,
                        item.row,
                        "value",
                        self.env._(
                            "The register of this meter rolls over at %s. Enter less.",
                            modulus / 1000,
                        ),
                    )
                if at in known and known[at] != value:
                    self.bad(
                        item.table,
                        item.row,
                        "value",
                        self.env._(
                            "A reading of this moment is stored as %s and cannot be changed. "
                            "Enter another time.",
                            known[at] / 1000,
                        ),
                    )
                elif at in known:
                    item.stored = True
            self._check_order(given, known)

    def _check_order(self, given, known):
        line = [(at, value, None) for at, value in known.items() if at not in given]
        line += [(at, item.values["value"], item) for at, item in given.items()]
        line.sort(key=lambda entry: entry[0])
        for (_before, low, first), (_after, high, second) in zip(line, line[1:]):
            wrong = second or first
            if high < low and wrong and not wrong.stored:
                self.bad(
                    wrong.table,
                    wrong.row,
                    "value",
                    self.env._(
                        "The register would go from %(before)s to %(after)s. A later value is never smaller.",
                        before=low / 1000,
                        after=high / 1000,
                    ),
                )

    def _stored_registers(self):
        """Stored readings at, just before and just after the given moments, by meter and channel."""
        wanted = [
            (
                item.values["meter"].record.id,
                BY_CODE[item.values["channel"]].number,
                item.values["read_at"],
            )  # fmt: skip
            for item in self.items["readings"]
            if item.values["meter"].record
        ]
        stored = defaultdict(dict)
        for start in range(0, len(wanted), 5000):
            meters, numbers, moments = zip(*wanted[start : start + 5000])
            rows = self.env.execute_query(
                SQL(
                    """
                    SELECT w.meter_id, w.channel, r.read_at, r.value
                      FROM unnest(%s::int[], %s::int[], %s::timestamp[]) w(meter_id, channel, at),
                   LATERAL (
                            (SELECT read_at, value FROM prepay_reading_data d
                              WHERE d.meter_id = w.meter_id AND d.channel = w.channel AND d.read_at <= w.at
                           ORDER BY read_at DESC LIMIT 2)
                             UNION
                            (SELECT read_at, value FROM prepay_reading_data d
                              WHERE d.meter_id = w.meter_id AND d.channel = w.channel AND d.read_at > w.at
                           ORDER BY read_at LIMIT 1)
                           ) r
                    """,
                    list(meters),
                    list(numbers),
                    list(moments),
                )
            )
            codes = {channel.number: code for code, channel in BY_CODE.items()}
            for meter, number, at, value in rows:
                stored[meter, codes[number]][at] = value
        return stored

    def _modulus(self, target):
        kind, profile = target.refs.get("profile_id", ("", 0))
        if kind:
            return self.env["prepay.meter.profile"].browse(profile).modulus
        return target.record.profile_id.modulus if target.record else 0

    # ---- shared

    def _compare(self, item, name, value, same=None):
        """Keep the value when it is not the stored one."""
        stored = item.record[name] if item.record else None
        if item.record and same:
            changed = same(stored or "") != same(value)
        else:
            changed = (stored or False) != (value or False) if item.record else True
        if changed:
            item.values[name] = value

    def _refer(self, item, name, target):
        if target and not (item.record and target == ("id", item.record[name].id)):
            item.refs[name] = target

    def _get(self, item, name):
        """Value of a field after the import."""
        if name in item.values:
            return item.values[name]
        return item.record[name] if item.record else False

    def _range(self, item, name, low, high):
        if name in item.values and not low <= item.values[name] <= high:
            self.bad(
                item.table,
                item.row,
                name,
                self.env._("Enter a number from %(low)s to %(high)s.", low=low, high=high),
            )


def choices(env, spec, languages):
    """What may be entered for a selection: code or label in any installed language → code."""
    model, _dot, name = spec.rpartition(".")
    known = {}
    for lang in {"en_US", *languages}:
        labels = env[model]._fields[name]._description_selection(env(context={"lang": lang}))
        for code, label in labels:
            known.setdefault(key(label), code)
    for code, _label in env[model]._fields[name]._description_selection(env):
        known[key(code)] = code
    return known


def _split(path):
    """Names of a path; “/” with blanks around it divides, without blanks only when there is none with."""
    plain = values.clean(str(path)).replace("／", "/")
    parts = plain.split(" / ") if " / " in plain else plain.split("/")
    return [part.strip() for part in parts]


def _path_key(path):
    return " / ".join(key(part) for part in _split(path))
