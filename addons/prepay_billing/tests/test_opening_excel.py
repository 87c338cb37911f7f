"""Openings of a building from Excel: the template, every kind of bad row, and that a file works once."""

import base64
import io
from datetime import timedelta
from decimal import Decimal

import openpyxl
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from odoo.addons.prepay_meter.workbook import reader

from .. import opening_file
from .common_opening import OpeningCase

HEAD = ["Room", "Meter Number", "Tenant", "Phone", "First Payment (CNY)", "Carried In (CNY)"]


@tagged("post_install", "-at_install")
class TestOpeningExcel(OpeningCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.second = cls._room("C-102")
        cls.long = cls._meter("000000012345", "000000000102", location_id=cls.second.id)
        cls.newest(cls.long, 55)

    def book(self, *rows, head=HEAD, title="Openings"):
        book = openpyxl.Workbook()
        page = book.active
        page.title = title
        for row in (head, *rows):
            page.append(row)
        return book

    def wizard(self, book, **vals):
        output = io.BytesIO()
        book.save(output)
        wizards = self.env["prepay.opening.import.wizard"].with_user(self.staff)
        return wizards.create(
            {
                "data": base64.b64encode(output.getvalue()),
                "filename": "building.xlsx",
                "language": "en",
                **vals,
            }
        )

    def good(self):
        return self.book(
            ["Plant / C-101", "P-1", "Li Na", "13900000002", 50, 12.5],
            ["Plant / C-101", "W-1", "Li Na", "13900000002", 20, None],
            ["C-102", "000000012345", "Wang Fang", 13900000003, 30, None],
        )

    def problems(self, book, **vals):
        """Problems of a file, and that nothing of it was written."""
        before = self.env["prepay.opening"].search_count([])
        tenants = self.env["res.partner"].search_count([])
        wizard = self.wizard(book, **vals)
        wizard.action_check()
        self.assertEqual(wizard.state, "wrong")
        with self.assertRaises(UserError):
            wizard.action_open()
        self.assertEqual(self.env["prepay.opening"].search_count([]), before)
        self.assertEqual(self.env["res.partner"].search_count([]), tenants)
        return {
            (item["row"], item["column"]): item["message"] for item in wizard.outcome["problems"]
        }

    def opened(self):
        return self.env["prepay.account"].search(
            [("location_id", "in", (self.free + self.second).ids)]
        )

    # what works

    def test_template_is_filled_in(self):
        """Rooms and free meters of the building, in the language of the file; it comes back empty."""
        for zh, heading, title in ((True, "房间 *", "开户"), (False, "Room *", "Openings")):
            content = opening_file.template(self.env, zh, self.project)
            page = openpyxl.load_workbook(io.BytesIO(content))[title]
            rows = list(page.iter_rows(values_only=True))
            self.assertEqual(rows[0][0], heading)
            self.assertEqual(
                {row[1] for row in rows[1:]}, {"P-1", "W-1", "000000012345", "M-2"}
            )  # M-1 has an account
            tables, problems, _ignored = reader.read(self.env, content, opening_file.SHEETS)
            found = opening_file.Openings(self.env, tables, problems)
            self.assertEqual({item.column.rstrip(" *") for item in found.problems},
                             {"住户" if zh else "Tenant"})  # fmt: skip

    def test_presets(self):
        wizard = self.wizard(self.good())
        wizard.action_check()
        self.assertEqual(wizard.state, "ready", wizard.outcome)
        self.assertIn(">2<", str(wizard.summary).replace(" ", "").replace("\n", ""))
        action = wizard.action_preset()
        presets = self.env["prepay.opening"].search(action["domain"], order="id")
        self.assertEqual(presets.mapped("state"), ["draft", "draft"])
        first, second = presets
        self.assertEqual((first.amount, first.carried), (70, 12.5))
        self.assertEqual(first.line_ids.meter_id, self.power + self.water)
        self.assertEqual((second.tenant_name, second.tenant_phone), ("Wang Fang", "13900000003"))
        self.assertFalse(self.opened())

    def test_open_at_once(self):
        wizard = self.wizard(self.good())
        wizard.action_check()
        action = wizard.action_open()
        batch = self.env["prepay.opening.batch"].browse(action["res_id"])
        self.assertEqual(
            (batch.done_count, batch.failed_count), (2, 0), batch.opening_ids.mapped("problem")
        )
        money = sorted(self.available(account) for account in self.opened())
        self.assertEqual(money, [Decimal(30), Decimal("82.50")])

    def test_same_file_twice(self):
        """A second time changes no preset, and after the opening there is nothing left to do."""
        for _repeat in range(2):
            wizard = self.wizard(self.good())
            wizard.action_check()
            wizard.action_preset()
        self.assertEqual(
            wizard.outcome["counts"], [{"sheet": "Openings", "new": 0, "changed": 0, "same": 2}]
        )
        presets = self.env["prepay.opening"].search(
            [("state", "=", "draft"), ("company_id", "=", self.company.id)]
        )
        self.assertEqual(len(presets), 2)
        presets.with_user(self.staff).action_open_many()
        again = self.wizard(self.good())
        again.action_check()
        self.assertEqual(again.outcome["counts"][0]["same"], 2)
        with self.assertRaisesRegex(UserError, "opened already"):
            again.action_open()
        self.assertEqual(len(self.opened()), 2)
        self.assertEqual(len(self.opened().topup_ids), 2)

    def test_changed_file_changes_the_preset(self):
        self.wizard(self.good()).action_preset()
        book = self.good()
        book.active["E4"] = 35
        wizard = self.wizard(book)
        wizard.action_check()
        self.assertEqual(wizard.outcome["counts"][0]["changed"], 1)
        wizard.action_preset()
        presets = self.env["prepay.opening"].search([("location_id", "=", self.second.id)])
        self.assertEqual(presets.mapped("amount"), [35])

    def test_chinese_headings_and_two_balances(self):
        head = [
            "房间",
            "表号",
            "住户",
            "首次充值（元）",
            "账户方式",
            "收款方式",
            "起始表底（度/吨）",
            "人数",
        ]
        book = self.book(
            ["C-101", "P-1", "李娜", 50, "medium", "transfer", 1240, 4],
            ["C-101", "W-1", "李娜", 20, None, None, None, None],
            head=head,
            title="开户",
        )
        wizard = self.wizard(book)
        wizard.action_check()
        self.assertEqual(wizard.state, "ready", wizard.outcome)
        wizard.action_open()
        accounts = self.opened()
        self.assertEqual(
            {item.medium: self.available(item) for item in accounts},
            {"electricity": Decimal(50), "water": Decimal(20)},
        )
        self.assertEqual(set(accounts.topup_ids.mapped("method")), {"transfer"})
        power = accounts.supply_ids.filtered(lambda item: item.medium == "electricity")
        self.assertEqual((power.rated_value, power.heads), (1_240_000, 4))

    # what Excel does to numbers

    def test_meter_number_as_a_number(self):
        """Leading zeros that Excel dropped are found again, when only one meter can be meant."""
        book = self.book(["C-102", 12345.0, "Wang Fang", 13900000003.0, 30, None])
        wizard = self.wizard(book)
        wizard.action_check()
        self.assertEqual(wizard.state, "ready", wizard.outcome)
        wizard.action_preset()
        preset = self.env["prepay.opening"].search([("location_id", "=", self.second.id)])
        self.assertEqual(preset.line_ids.meter_id, self.long)
        self.assertEqual(preset.tenant_phone, "13900000003")
        self._meter("00012345", "000000000103", location_id=self.second.id)
        found = self.problems(self.book(["C-102", 12345.0, "Wang", None, None, None]))
        self.assertIn("Leading zeros were lost", found[2, "B Meter Number"])

    def test_short_form_of_long_numbers(self):
        found = self.problems(self.book(["C-102", "1.2345E+11", "Wang", None, None, None]))
        self.assertIn("Digits were lost", found[2, "B Meter Number"])

    def test_merged_cells_and_formulas(self):
        """Merged downwards is read as people read it; a formula without a result is refused."""
        book = self.book(
            ["C-101", "P-1", "Li Na", None, 10, None],
            [None, "W-1", None, None, None, None],
        )
        book.active.merge_cells("A2:A3")
        book.active.merge_cells("C2:C3")
        wizard = self.wizard(book)
        wizard.action_check()
        self.assertEqual(wizard.state, "ready", wizard.outcome)
        self.assertEqual(wizard.outcome["counts"][0]["new"], 1)
        found = self.problems(self.book(["C-101", "P-1", "Li Na", None, "=5+5", None]))
        self.assertIn("formula", found[2, "E First Payment (CNY)"])
        book = self.book(["C-101", "P-1", "Li Na", None, 10, None])
        book.active.merge_cells("B2:C2")
        self.assertIn("merged", self.problems(book)[2, "B Meter Number"])

    def test_amounts(self):
        found = self.problems(
            self.book(
                ["C-101", "P-1", "Li Na", None, 10.005, None],
                ["C-101", "W-1", "Li Na", None, -5, "ten"],
            )
        )
        self.assertIn("two decimals", found[2, "E First Payment (CNY)"])
        self.assertIn("zero or more", found[3, "E First Payment (CNY)"])
        self.assertIn("not a number", found[3, "F Carried In (CNY)"])

    # what does not fit

    def test_every_bad_row_is_listed(self):
        found = self.problems(
            self.book(
                ["Nowhere", "P-1", "Li Na", None, None, None],
                ["Plant", "W-1", "Li Na", None, None, None],
                ["C-101", "X-9", "Li Na", None, None, None],
                ["C-101", "P-1", None, None, None, None],
                ["B-101", "M-1", "Somebody", None, None, None],
                ["C-102", "000000012345", "Wang", None, None, None],
                ["C-102", "000000012345", "Wang", None, None, None],
            )
        )
        self.assertIn("no place “Nowhere”", found[2, "A Room"])
        self.assertIn("no room", found[3, "A Room"])
        self.assertIn("no meter “X-9”", found[4, "B Meter Number"])
        self.assertIn("Fill it in", found[5, "C Tenant"])
        self.assertIn(self.account.number, found[6, "B Meter Number"])
        self.assertIn("row 7", found[8, "B Meter Number"])

    def test_check_list_of_the_opening_speaks_for_its_row(self):
        """What only the opening itself knows stands at the right row and column too."""
        self.company.prepay_max_topup = 100
        self.newest(self.long, 56, minutes=0)
        stale = self._meter("P-3", "000000000103", location_id=self.second.id)
        found = self.problems(
            self.book(
                ["C-101", "P-1", "Li Na", None, 101, None],
                ["C-101", "000000012345", "Li Na", None, None, None],
                ["C-102", stale.number, "Wang", None, None, None],
            )
        )
        self.assertIn("largest sale", found[2, "E First Payment (CNY)"])
        self.assertIn("not in this room", found[3, "B Meter Number"])
        self.assertIn("no reading yet", found[4, "Opening Reading (kWh or m³)"])

    def test_preset_of_another_tenant(self):
        preset = self.preset(tenant_name="First")
        found = self.problems(self.book(["C-101", "P-1", "Second", None, None, None]))
        self.assertIn(preset.number, found[2, "B Meter Number"])

    def test_readings_by_hand(self):
        head = [
            "Room",
            "Meter Number",
            "Tenant",
            "Opening Reading (kWh or m³)",
            "Read On",
            "Why by Hand",
        ]
        late = (self.now + timedelta(days=2)).replace(microsecond=0)
        found = self.problems(
            self.book(
                ["C-101", "P-1", "Li Na", 1.5555, None, None],
                ["C-101", "W-1", "Li Na", None, late, None],
                ["C-102", "000000012345", "Wang", 60, late, "door locked"],
                head=head,
            )
        )
        self.assertIn("three decimals", found[2, "D Opening Reading (kWh or m³)"])
        self.assertIn("without the register", found[3, "D Opening Reading (kWh or m³)"])
        found = self.problems(
            self.book(["C-102", "000000012345", "Wang", 60, late, "door locked"], head=head)
        )
        self.assertIn("in the future", found[2, "D Opening Reading (kWh or m³)"])

    def test_report(self):
        wizard = self.wizard(self.book(["Nowhere", "P-1", "Li Na", None, None, None]))
        wizard.action_check()
        url = wizard.action_report()["url"]
        self.assertIn("/web/content", url)

    def test_no_workbook(self):
        wizard = self.wizard(self.good())
        wizard.data = base64.b64encode(b"Room,Meter")
        with self.assertRaisesRegex(UserError, "CSV"):
            wizard.action_check()

    def test_readers_import_nothing(self):
        with self.assertRaises(AccessError):
            self.env["prepay.opening.import.wizard"].with_user(self.reader).create({})
