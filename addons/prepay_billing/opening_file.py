"""Openings of many rooms as an Excel workbook: its columns, the template, and what the rows become.

One row is one meter. Rows of the same room and tenant are one opening. Nothing is written before every
row is right, and the same file changes nothing when it comes again: rooms that are opened for the same
tenant and presets that say the same are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timezone

from odoo import fields
from odoo.exceptions import UserError, ValidationError
from odoo.tools import mute_logger
from psycopg2 import IntegrityError

from odoo.addons.prepay_meter.workbook import values, writer
from odoo.addons.prepay_meter.workbook.plan import Rows, _path_key
from odoo.addons.prepay_meter.workbook.sheets import Column, Sheet
from odoo.addons.prepay_meter.workbook.values import Bad, key

SHEET = Sheet(
    "openings",
    "Openings",
    "开户",
    (
        Column("room", "Room", "房间", required=True,
               help_en="Path or code of the room", help_zh="房间的路径或编号"),
        Column("meter", "Meter Number", "表号", "identifier", required=True,
               help_en="One row for each meter", help_zh="每块表一行"),
        Column("tenant", "Tenant", "住户", required=True,
               help_en="Name. A known contact with the same phone is used",
               help_zh="姓名。姓名和手机号相同的现有联系人会直接使用"),
        Column("phone", "Phone", "手机号", "identifier"),
        Column("tariff", "Tariff", "价格方案",
               help_en="Empty: the tariff last used at the meter, else that of its building",
               help_zh="不填：该表上次的价格方案，否则为本楼最常用的"),
        Column("register", "Opening Reading (kWh or m³)", "起始表底（度/吨）", "decimal",
               help_en="Empty: the newest reading of the meter",
               help_zh="不填则取表计最新读数"),
        Column("read_at", "Read On", "抄表时间", "moment",
               help_en="Of a reading that is entered; empty: now", help_zh="手工表底的抄表时间，不填为现在"),
        Column("reason", "Why by Hand", "手工抄表原因",
               help_en="For a meter that is offline", help_zh="表计离线时填写"),
        Column("amount", "First Payment (CNY)", "首次充值（元）", "money"),
        Column("method", "Method", "收款方式", "choice", choices="prepay.topup.method"),
        Column("carried", "Carried In (CNY)", "老表金额转入（元）", "money",
               help_en="Money left in the replaced meter", help_zh="被换下的旧表中的剩余金额"),
        Column("preset", "Preset (CNY)", "预置金额（元）", "money",
               help_en="Money preset in the meter, taken off", help_zh="表内预置金额，从账户扣除"),
        Column("overdraft", "Overdraft Limit (CNY)", "透支额度（元）", "money"),
        Column("heads", "Persons", "人数", "whole"),
        Column("overload_w", "Overload Limit (W)", "过载功率（W）", "whole"),
        Column("alarm_1", "Alarm 1 (CNY)", "报警金额1（元）", "money"),
        Column("alarm_2", "Alarm 2 (CNY)", "报警金额2（元）", "money"),
        Column("layout", "Account For", "账户方式", "choice", choices="prepay.opening.layout",
               help_en="Empty: one balance for all meters", help_zh="不填：所有表共用一个余额"),
        Column("policy", "Policy", "停送电策略",
               help_en="Name; empty: as the room, the site or the company",
               help_zh="名称；不填则与房间、园区或公司相同"),
        Column("note", "Note", "备注"),
    ),
)  # fmt: skip
SHEETS = (SHEET,)
#: Columns that belong to the opening, not to the meter; rows of one opening say the same or nothing.
COMMON = {
    "method": "method",
    "overdraft": "overdraft_limit",
    "heads": "heads",
    "layout": "layout",
    "policy": "policy_id",
    "note": "note",
}
#: Columns of a meter that are stored as they are.
PLAIN = ("carried", "preset", "overload_w", "alarm_1", "alarm_2")


def template(env, zh, place=None):
    """A workbook with the free meters of a place, to be filled in; without a place, an empty one."""
    rows = []
    if place:
        meters = env["prepay.meter"].search(
            [
                ("location_id", "child_of", place.id),
                ("location_id.kind", "in", ("room", "public")),
                ("account_id", "=", False),
            ],
            order="location_id, medium, number",
        )
        openings = env["prepay.opening"]
        for meter in meters:
            rows.append(
                {
                    "room": meter.location_id.complete_name,
                    "meter": meter.number,
                    "tariff": openings._usual_tariff(meter).name,
                }
            )
    tariffs = env["prepay.tariff"].search([("company_id", "=", env.company.id)])
    policies = env["prepay.supply.policy"].search([("company_id", "=", env.company.id)])
    lists = {"tariff": tariffs.mapped("name"), "policy": policies.mapped("name")}
    return writer.build(env, zh, {SHEET.key: rows}, SHEETS, lists)


@dataclass
class Item:
    """One opening of the file: its rows in order, each with the values of its meter."""

    room: object
    tenant: str
    phone: str
    rows: list = field(default_factory=list)
    common: dict = field(default_factory=dict)
    #: Values of the fields of a line by meter.
    meters: dict = field(default_factory=dict)
    amounts: dict = field(default_factory=dict)
    record: object = None
    status: str = "new"


class Openings(Rows):
    """What the rows become: ``items``, and everything that is wrong."""

    def __init__(self, env, tables, problems=(), source=""):
        super().__init__(env, tables, problems)
        self.source = source
        self.items = []
        self._index_places()
        self._index_meters()
        self._index_tariffs()
        self._taken = {}
        groups = {}
        for table in tables:
            for row in table.rows:
                parsed = self._parse(table, row)
                if parsed is not None:
                    self._row(groups, table, row, parsed)
        for item in self.items:
            self._compare(item)
        self.sort_problems()

    def counts(self):
        """Number of openings by status."""
        return {
            status: sum(item.status == status for item in self.items)
            for status in ("new", "changed", "same")
        }

    def _index_tariffs(self):
        self.tariffs = defaultdict(list)
        for tariff in self.env["prepay.tariff"].search([("company_id", "=", self.company.id)]):
            self.tariffs[key(tariff.name)].append(tariff)
        self.policies = defaultdict(list)
        policies = self.env["prepay.supply.policy"]
        for policy in policies.search([("company_id", "=", self.company.id)]):
            self.policies[key(policy.name)].append(policy)

    # ---- rows

    def _row(self, groups, table, row, parsed):
        """Put a row to its opening."""
        room = self._room(table, row, parsed["room"])
        meter = self._meter(table, row, parsed["meter"])
        line = self._line(table, row, parsed, meter) if meter else None
        if not room or line is None:
            return
        if meter in self._taken:
            self.bad(
                table,
                row,
                "meter",
                self.env._("The same is in row %s. Keep one of the rows.", self._taken[meter]),
            )
            return
        self._taken[meter] = row.number
        ident = room.id, key(parsed["tenant"]), key(parsed.get("phone", ""))
        if ident not in groups:
            phone = str(parsed.get("phone", ""))
            groups[ident] = Item(room, str(parsed["tenant"]), phone)
            self.items.append(groups[ident])
        item = groups[ident]
        item.rows.append((table, row, meter))
        item.meters[meter] = line
        item.amounts[meter] = parsed.get("amount", 0)
        for name, target in COMMON.items():
            if name not in parsed:
                continue
            value = parsed[name]
            if name == "policy":
                value = self._named(table, row, "policy", self.policies, value)
                if not value:
                    continue
            if item.common.setdefault(target, value) != value:
                self.bad(
                    table,
                    row,
                    name,
                    self.env._(
                        "Another row of the same room says something else. Enter the same in all rows."
                    ),
                )

    def _room(self, table, row, given):
        given = str(given)
        code, path = key(given), _path_key(given)
        place = self.place_by_code.get(code)
        if not place:
            found = self.place_by_path.get(path, [])
            named = [] if found else [
                self.places.browse(target) for _kind, target in self.place_by_name.get(code, ())
            ]  # fmt: skip
            if len(found or named) > 1:
                self.bad(table, row, "room", self._many(given))
                return None
            place = (found or named or [None])[0]
        if not place:
            message = self.env._("There is no place “%s”. Correct the path or the code.", given)
        elif not place.active:
            message = self.env._("This place is archived. Restore it first.")
        elif place.kind not in ("room", "public"):
            message = self.env._("%s is no room. Enter a room or a public area.", given)
        else:
            return place
        self.bad(table, row, "room", message)
        return None

    def _meter(self, table, row, number):
        meter, problem = self._known_meter(number)
        if meter and meter.active:
            return meter
        if meter:
            problem = self.env._("This meter is archived. Restore it first.")
        self.bad(
            table,
            row,
            "meter",
            problem or self.env._("There is no meter “%s”. Correct the number.", number),
        )
        return None

    def _named(self, table, row, name, known, given):
        found = known.get(key(given), [])
        if len(found) == 1:
            return found[0]
        self.bad(
            table,
            row,
            name,
            self.env._("There are several “%s”. Rename one of them.", given)
            if found
            else self.env._("There is no “%s”. Correct the name or leave it empty.", given),
        )
        return None

    def _line(self, table, row, parsed, meter):
        """Values of the fields of a line; None when something is wrong."""
        line = {name: parsed[name] for name in PLAIN if name in parsed}
        right = True
        for name in ("overload_w", "heads"):
            if parsed.get(name, 1) < (1 if name == "heads" else 0):
                self.bad(table, row, name, self.env._("Enter a number above zero."))
                right = False
        if "tariff" in parsed:
            tariff = self._named(table, row, "tariff", self.tariffs, parsed["tariff"])
            if tariff:
                line["tariff_id"] = tariff
            right = right and bool(tariff)
        if "register" in parsed:
            try:
                base = values.thousandths(self.env, parsed["register"])
                if base < 0:
                    raise Bad(self.env._("A register is zero or more."))
            except Bad as error:
                self.bad(table, row, "register", str(error))
                return None
            line["register"] = parsed["register"]
            line["source"] = "manual"
            line["reading_reason"] = parsed.get("reason") or self.source
            if "read_at" in parsed:
                zone = meter.location_id._zone()
                moment = parsed["read_at"].replace(tzinfo=zone)
                line["read_at"] = moment.astimezone(timezone.utc).replace(tzinfo=None)
        elif "read_at" in parsed:
            self.bad(
                table,
                row,
                "register",
                self.env._("A time of reading without the register. Enter the register too."),
            )
            return None
        return line if right else None

    # ---- compared with what is there

    def _compare(self, item):
        """New, changed, the same, or a problem."""
        opened = set()
        presets = self.env["prepay.opening"]
        for table, row, meter in item.rows:
            account = meter.sudo().account_id
            if account:
                partner = account.partner_id
                same = (
                    account.location_id == item.room
                    and key(partner.name) == key(item.tenant)
                    and (not item.phone or key(partner.phone or "") == key(item.phone))
                )
                if same:
                    opened.add(meter)
                else:
                    self.bad(
                        table,
                        row,
                        "meter",
                        self.env._(
                            "The meter belongs to account %s. Close that account first.",
                            account.display_name,
                        ),
                    )
                continue
            preset = self._preset_of(meter)
            if preset and not self._same_tenant(preset, item):
                self.bad(
                    table,
                    row,
                    "meter",
                    self.env._(
                        "The meter stands in preset %(number)s for %(tenant)s. Delete that one, or "
                        "correct the tenant.",
                        number=preset.number,
                        tenant=preset.tenant,
                    ),
                )
            elif preset.state == "queued":
                self.bad(
                    table, row, "meter", self.env._("The room is being opened. Try again later.")
                )
            presets |= preset
        if len(opened) == len(item.rows):
            item.status = "same"
            return
        if opened:
            item.rows = [part for part in item.rows if part[2] not in opened]
            for meter in opened:
                item.meters.pop(meter)
                item.amounts.pop(meter)
        if presets:
            item.record = presets[0]
            item.status = "changed" if self._differs(item) else "same"

    def _preset_of(self, meter):
        lines = self.env["prepay.opening.meter"].search(
            [("meter_id", "=", meter.id), ("opening_id.state", "in", ("draft", "queued"))], limit=1
        )
        return lines.opening_id

    def _same_tenant(self, preset, item):
        phone = preset.tenant_phone or preset.partner_id.phone or ""
        return (
            preset.location_id == item.room
            and key(preset.tenant or "") == key(item.tenant)
            and (not item.phone or key(phone) == key(item.phone))
        )

    def _differs(self, item):
        """Whether the file says something else than the preset."""
        preset = item.record
        lines = {line.meter_id: line for line in preset.line_ids}
        if set(lines) != set(item.meters):
            return True
        opening = self._opening_values(item)
        if any(_unlike(preset[name], value) for name, value in opening.items()):
            return True
        return any(
            _unlike(lines[meter][name], value)
            for meter, line in item.meters.items()
            for name, value in line.items()
        )

    def _opening_values(self, item):
        """Fields of the opening that the file fills."""
        vals = dict(item.common)
        if any(item.amounts.values()):
            vals["amount"] = sum(item.amounts.values())
            vals["water_amount"] = sum(
                amount for meter, amount in item.amounts.items() if meter.medium == "water"
            )
        return vals

    # ---- written

    def try_out(self):
        """Write everything and take it back: what the check list of an opening says becomes a problem
        of its row."""
        if self.problems:
            return
        with mute_logger("odoo.sql_db"):
            savepoint = self.env.cr.savepoint()
            try:
                for item in self.items:
                    if item.status != "same":
                        self._try(item)
            finally:
                savepoint.close(rollback=True)
        self.env.invalidate_all(flush=False)
        self.sort_problems()

    def _try(self, item):
        record = item.record
        try:
            with self.env.cr.savepoint():
                opening = self._store(item)
                self.env.flush_all()
                found = opening._checks()
        except (UserError, ValidationError, IntegrityError) as error:
            table, row, _meter = item.rows[0]
            message = self.env["prepay.opening.batch"]._explain(error)
            self.bad(table, row, "", message)
            item.record = record
            return
        columns = {"room": "room", "tenant": "tenant", "meters": "meter", "tariffs": "tariff",
                   "readings": "register", "money": "amount"}  # fmt: skip
        for code, _label, troubles in found:
            for trouble in troubles:
                meter = getattr(trouble, "meter", None)
                table, row, _meter = next(
                    (part for part in item.rows if part[2] == meter), item.rows[0]
                )
                self.bad(table, row, columns[code], str(trouble))
        item.record = record

    def store(self):
        """Write the presets that are new or changed.

        :return: all presets of the file, also those that were there
        """
        openings = self.env["prepay.opening"]
        for item in self.items:
            if item.status != "same":
                openings |= self._store(item)
            elif item.record:
                openings |= item.record
        return openings

    def _store(self, item):
        openings = self.env["prepay.opening"].with_context(tracking_disable=True)
        vals = {name: _plain(value) for name, value in self._opening_values(item).items()}
        now = fields.Datetime.now()
        commands = [] if not item.record else [fields.Command.clear()]
        for meter, line in item.meters.items():
            known = openings._line_for(meter)
            if "register" in line and "read_at" not in line:
                known["read_at"] = now
            given = {name: _plain(value) for name, value in line.items()}
            commands.append(fields.Command.create({**known, **given}))
        vals["line_ids"] = commands
        if item.record:
            item.record.with_context(tracking_disable=True).write(vals)
            return item.record
        partner = openings._find_tenant(item.tenant, item.phone)
        return openings.create(
            {
                "location_id": item.room.id,
                "partner_id": partner.id,
                "tenant_name": False if partner else item.tenant,
                "tenant_phone": partner.phone or item.phone or False,
                "print_receipt": False,
                **vals,
            }
        )


def _plain(value):
    """A value for the ORM: records as ids, Decimals as the floats that Odoo stores."""
    if hasattr(value, "_name"):
        return value.id
    return (
        float(value) if not isinstance(value, (str, bool)) and hasattr(value, "quantize") else value
    )


def _unlike(stored, given):
    if hasattr(given, "_name"):
        return stored != given
    if hasattr(given, "quantize"):
        return round(stored * 1000) != round(given * 1000)
    return (stored or False) != (given or False)
