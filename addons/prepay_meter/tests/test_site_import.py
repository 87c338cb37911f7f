"""Sites as a workbook: what comes in, what is refused and why, and that it goes out unchanged."""

import base64
import io
import zipfile
from datetime import date, datetime, timedelta
from decimal import Decimal

import openpyxl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import BaseCase, tagged

from odoo.addons.prepay_meter.workbook import plan, reader, values, writer

from .common import MeterCase

PLACE = ["Place", "Kind", "Code", "Time Zone", "Address", "Notes"]
GATEWAY = ["Name", "Place", "Link", "Address", "Port", "Identity"]
METER = ["Meter Number", "Place", "Profile", "Gateway", "Communication Address"]
PROPERTY = settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
READING = ["Meter Number", "Channel", "Read On", "Register (kWh or m³)"]


def book(**sheets):
    """A workbook of lists of rows; a sheet is named by its key, ``_`` stands for a blank."""
    result = openpyxl.Workbook()
    result.remove(result.active)
    for title, rows in sheets.items():
        page = result.create_sheet(title.replace("_", " "))
        for row in rows:
            page.append(row)
    return result


def content(workbook):
    output = io.BytesIO()
    workbook.save(output)
    return output.getvalue()


class ImportCase(MeterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.colleague = cls._user("colleague-t", "prepay_meter.group_admin")
        cls.env = cls.env(user=cls.admin)

    def wizard(self, data, **vals):
        if not isinstance(data, bytes):
            data = content(data)
        wizards = self.env["prepay.site.import.wizard"]
        return wizards.create(
            {"data": base64.b64encode(data), "filename": "x.xlsx", "language": "en", **vals}
        )

    def check(self, data, **vals):
        wizard = self.wizard(data, **vals)
        wizard.action_check()
        return wizard

    def counts(self, wizard):
        return {
            line["sheet"]: (line["new"], line["changed"], line["same"])
            for line in wizard.outcome["counts"]
        }

    def bring_in(self, data):
        wizard = self.check(data)
        self.assertEqual(wizard.outcome["problems"], [])
        wizard.action_import()
        return self.counts(wizard)

    def refused(self, data, message, row=None):
        """Exactly one problem, with these words, in this row."""
        wizard = self.check(data)
        problems = wizard.outcome["problems"]
        self.assertEqual(len(problems), 1, problems)
        self.assertRegex(problems[0]["message"], message)
        if row:
            self.assertEqual(problems[0]["row"], row)
        with self.assertRaises(UserError):
            wizard.action_import()
        return problems[0]

    def no_file(self, data, message):
        with self.assertRaisesRegex(UserError, message):
            self.check(data)

    def find(self, model, **terms):
        domain = [(name, "=", value) for name, value in terms.items()]
        return self.env[model].search([*domain, ("company_id", "=", self.company.id)])


@tagged("post_install", "-at_install")
class TestSiteImport(ImportCase):
    def site(self):
        return book(
            Places=[
                PLACE,
                ["Works / Block A / A-101", "Room", "A-101"],
                ["Works", "project", None, "Asia/Urumqi", "1 Road"],
                ["Works / Block A", "Building"],
            ],
            Gateways=[
                [*GATEWAY, "Time-out (ms)"],
                ["Cabinet 1", "Works / Block A", "tcp_serial", "10.0.0.1", 26, None, 1500],
                ["DTU 1", "A-101", "4G DTU that dials in", None, None, 866123456789012],
            ],
            Meters=[
                [*METER, "Guaranteed Supply", "Reading Interval (min)"],
                ["E-1", "A-101", "DLT645-2007", "Cabinet 1", 123456789, "yes", 15.5],
                ["E-2", "Works / Block A / A-101", "ddsy1352", "DTU 1", "07", None, None],
            ],
            Opening_Registers=[
                READING,
                ["E-1", None, datetime(2026, 3, 1, 8), 1234.567],
                ["E-1", "Energy, peak (rate 2)", "2026年3月1日 8时", "1,000.5"],
                ["E-2", "energy", "2026/3/1", 0],
            ],
        )

    def test_a_whole_site(self):
        counts = self.bring_in(self.site())
        self.assertEqual(
            counts,
            {
                "Places": (3, 0, 0),
                "Gateways": (2, 0, 0),
                "Meters": (2, 0, 0),
                "Opening Registers": (3, 0, 0),
            },
        )
        room = self.find("prepay.location", code="A-101")
        self.assertEqual(room.complete_name, "Works / Block A / A-101")
        self.assertEqual((room.tz, room.kind), ("Asia/Urumqi", "room"))
        self.assertEqual(room.parent_id.kind, "building")
        gateway = self.find("prepay.gateway", name="DTU 1")
        self.assertEqual((gateway.dial_in_id, gateway.link), ("866123456789012", "dtu"))
        first = self.find("prepay.meter", number="E-1")
        self.assertEqual(first.address, "000123456789", "leading zeros that Excel dropped are back")
        self.assertEqual((first.gateway_id.name, first.poll_minutes), ("Cabinet 1", 15.5))
        self.assertTrue(first.is_protected)
        self.assertEqual(first.last_value, 1234567)
        readings = self.env["prepay.reading"].search([("meter_id", "=", first.id)])
        self.assertEqual(
            {(item.channel, item.read_at, item.value, item.source) for item in readings},
            {
                ("energy", datetime(2026, 3, 1, 2), 1234567, "manual"),
                ("energy_peak", datetime(2026, 3, 1, 2), 1000500, "manual"),
            },
            "08:00 in Urumqi",
        )
        second = self.find("prepay.meter", number="E-2")
        self.assertEqual((second.address, second.profile_id.code), ("7", "DDSY1352"))

    def test_twice_changes_nothing(self):
        self.bring_in(self.site())
        counts = self.bring_in(self.site())
        self.assertEqual(
            counts,
            {
                "Places": (0, 0, 3),
                "Gateways": (0, 0, 2),
                "Meters": (0, 0, 2),
                "Opening Registers": (0, 0, 3),
            },
        )

    def test_export_comes_back_unchanged(self):
        self.bring_in(self.site())
        self.env["prepay.reading"]._ingest(
            [(self.meter.id, "energy", datetime(2026, 3, 2, 1, 2, 3, 456789), 7)]
        )
        for zh in (False, True):
            with self.subTest(zh=zh):
                data = writer.export(self.env, zh)
                pages = openpyxl.load_workbook(io.BytesIO(data))
                self.assertEqual(pages.sheetnames[0], "位置" if zh else "Places")
                wizard = self.check(data)
                self.assertEqual(wizard.outcome["problems"], [])
                for new, changed, same in self.counts(wizard).values():
                    self.assertEqual((new, changed), (0, 0))
                    self.assertTrue(same)

    def test_what_is_empty_stays(self):
        self.gateway.write({"timeout_ms": 3000})
        self.meter.write({"overload_w": 2000})
        counts = self.bring_in(
            book(
                Gateways=[GATEWAY, ["GW", "Plant", "tcp_serial", "10.9.9.9"]],
                Meters=[
                    [*METER, "Overload Limit (W)"],
                    ["M-1", "B-101", "DLT645-2007", None, "000000000001", None],
                ],
            )  # fmt: skip
        )
        self.assertEqual(counts, {"Gateways": (0, 1, 0), "Meters": (0, 0, 1)})
        self.assertEqual((self.gateway.host, self.gateway.timeout_ms), ("10.9.9.9", 3000))
        self.assertEqual((self.meter.overload_w, self.meter.gateway_id), (2000, self.gateway))

    def test_code_moves_and_renames_a_place(self):
        self.room.code = "R1"
        self.bring_in(
            book(
                Places=[
                    PLACE,
                    ["Plant / New Block", "building"],
                    ["Plant / New Block / B-102", None, "R1"],
                ]
            )
        )
        self.assertEqual(self.room.complete_name, "Plant / New Block / B-102")
        self.assertEqual(self.room.meter_ids, self.meter + self.other)

    def test_chinese_headings_and_values(self):
        self.bring_in(
            book(
                位置=[
                    ["说明：带星号的必填"],
                    ["位置*", "类型", "编号 "],
                    ["Plant／二号楼", "楼栋", "Ｂ２"],
                ],
                表计=[
                    ["表号 *", "位置", "型号", "网关", "通信地址"],
                    [" Ｍ－９ ", "B2", "dlt645-2007", "gw", "００００００００００９９"],
                ],
                起始表底=[
                    ["表号", "抄表时间", "示数（度/吨）"],
                    ["M-9", "2026-03-01", "１２．５"],
                ],
            )
        )
        meter = self.find("prepay.meter", number="M-9")
        self.assertEqual((meter.address, meter.last_value), ("000000000099", 12500))
        self.assertEqual(meter.location_id.complete_name, "Plant / 二号楼")

    def test_merged_cells_and_titles(self):
        rows = [["Meters of block B"], [], METER]
        for number in (10, 11, 12):
            place = "B-101" if number == 10 else None
            rows.append([f"M-{number}", place, "DLT645-2007", None, f"{number:012}"])
        data = book(Meters=rows)
        data["Meters"].merge_cells("A1:E1")
        data["Meters"].merge_cells("B4:B6")
        self.assertEqual(self.bring_in(data), {"Meters": (3, 0, 0)})
        self.assertEqual(self.find("prepay.meter", number="M-12").location_id, self.room)

    def test_numbers_with_lost_zeros_find_their_meters(self):
        self.meter.number = "000777"
        counts = self.bring_in(book(Opening_Registers=[READING, [777, None, "20260301", 5]]))
        self.assertEqual(counts, {"Opening Registers": (1, 0, 0)})
        self.assertEqual(self.meter.last_value, 5000)

    def test_formulas_with_results(self):
        """Stored results count; written by a spreadsheet, as openpyxl computes nothing."""
        data = content(book(Opening_Registers=[READING, ["M-1", None, "2026-03-01", 12]]))
        data = _replace(data, "xl/worksheets/sheet1.xml", b"<v>12</v>", b"<f>6+6</f><v>12</v>")
        self.bring_in(data)
        self.assertEqual(self.meter.last_value, 12000)

    def test_report_of_problems_can_be_corrected_and_comes_back(self):
        data = book(
            Meters=[
                METER,
                ["M-7", "Nowhere", "DLT645-2007", None, "7"],
                ["=1+1", "B-101", "DLT645-2007", None, "000000000008"],
            ]
        )
        data["Meters"]["A3"].data_type = "s"
        wizard = self.check(data)
        self.assertEqual(wizard.problem_count, 2)
        self.assertIn("all 12 digits", str(wizard.summary))
        wizard.action_report()
        download = self.env["prepay.download"].search([], order="id desc", limit=1)
        self.assertEqual(download.name, "x-problems.xlsx")
        pages = openpyxl.load_workbook(io.BytesIO(base64.b64decode(download.data)))
        self.assertEqual(pages.sheetnames, ["List of Problems", "Meters"])
        listed = [[cell.value for cell in row] for row in pages["List of Problems"].rows]
        self.assertEqual([row[1] for row in listed[1:]], [2, 2])
        page = pages["Meters"]
        self.assertEqual(page["F1"].value, "Problems")
        self.assertIn("Nowhere", page["F2"].value)
        self.assertEqual(page["B2"].fill.fgColor.rgb, "FFFFC7CE")
        self.assertNotEqual(page["B3"].fill.fgColor.rgb, "FFFFC7CE")
        self.assertEqual((page["A3"].value, page["A3"].data_type), ("=1+1", "s"), "never a formula")
        page["B2"], page["E2"] = "B-101", "000000000007"
        self.assertEqual(self.bring_in(pages), {"Meters": (2, 0, 0)})

    def test_template(self):
        for zh, title in ((False, "Opening Registers"), (True, "起始表底")):
            pages = openpyxl.load_workbook(io.BytesIO(writer.template(self.env, zh)))
            self.assertEqual(len(pages.sheetnames), 5)
            self.assertIn(title, pages.sheetnames)
            meters = pages["表计" if zh else "Meters"]
            self.assertEqual(meters["A1"].value, "表号 *" if zh else "Meter Number *")
            self.assertEqual(meters.column_dimensions["E"].width > 10, True)
            rules = meters.data_validations.dataValidation
            self.assertTrue(any("$" in rule.formula1 for rule in rules))
            wizard = self.check(content(pages))
            self.assertEqual(wizard.state, "ready", wizard.outcome)

    def test_all_or_nothing(self):
        data = self.site()
        data["Meters"]["E3"] = "999"
        wizard = self.check(data)
        self.assertEqual(wizard.state, "wrong")
        self.assertFalse(self.find("prepay.location", code="A-101"))
        data["Meters"]["E3"] = "7"
        wizard = self.check(data)
        self.assertEqual(wizard.state, "ready")
        self.assertFalse(self.find("prepay.location", code="A-101"), "a check writes nothing")

    def test_changed_since_the_check(self):
        wizard = self.check(self.site())
        self._meter("E-1", "000000000055", active=False)
        with self.assertRaisesRegex(UserError, "changed since the check.*row 2.*archived"):
            wizard.action_import()

    def test_other_companies_are_not_seen(self):
        main = self.env.ref("base.main_company")
        foreign = (
            self.env["prepay.location"]
            .sudo()
            .create({"name": "Elsewhere", "kind": "project", "company_id": main.id, "code": "EW"})
        )
        problem = self.refused(
            book(Places=[PLACE, ["Elsewhere / Shed"]]), "There is no place “Elsewhere”", 2
        )
        self.assertEqual(problem["column"], "A Place")
        self.bring_in(book(Places=[PLACE, ["Elsewhere", "project"]]))
        self.assertEqual(foreign.company_id, main)
        self.assertTrue(self.find("prepay.location", name="Elsewhere"))

    def test_only_administrators(self):
        for user in (self.reader, self.operator, self.auditor):
            with self.subTest(user.login), self.assertRaises(AccessError):
                self.env["prepay.site.import.wizard"].with_user(user).create({})

    def test_files_of_others_stay_private(self):
        wizard = self.wizard(self.site())
        with self.assertRaises(AccessError):
            wizard.with_user(self.colleague).read(["data"])

    def test_a_thousand_meters(self):
        rows = [[f"T-{n}", "B-101", "DLT645-2007", "GW", n] for n in range(10, 1010)]
        registers = [[f"T-{n}", None, "2026-03-01 08:00", n / 8] for n in range(10, 1010)]
        counts = self.bring_in(book(Meters=[METER, *rows], Opening_Registers=[READING, *registers]))
        self.assertEqual(counts, {"Meters": (1000, 0, 0), "Opening Registers": (1000, 0, 0)})
        self.assertEqual(self.find("prepay.meter", number="T-17").last_value, 2125)


def _replace(data, name, old, new):
    """The same archive with one part changed."""
    output = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(output, "w") as target:
        for part in source.infolist():
            body = source.read(part)
            if part.filename == name:
                assert old in body, (old, body)
                body = body.replace(old, new)
            target.writestr(part.filename, body, zipfile.ZIP_DEFLATED)
    return output.getvalue()


@tagged("post_install", "-at_install")
class TestBadWorkbooks(ImportCase):
    """One trap each. The words say what to do."""

    def one_meter(self, **changes):
        row = {"number": "N-1", "place": "B-101", "profile": "DLT645-2007", "gateway": "GW",
               "address": "000000000077", **changes}  # fmt: skip
        return book(Meters=[METER, list(row.values())])

    def reading(self, *rows):
        return book(Opening_Registers=[READING, *rows])

    # files

    def test_old_excel(self):
        self.no_file(b"\xd0\xcf\x11\xe0" + bytes(600), "old .xls file or one with a password")

    def test_csv_in_gbk_named_xlsx(self):
        self.no_file("表号,位置\n1,甲\n".encode("gbk") * 300, "text file \\(CSV\\)")
        self.no_file("表号,位置\n1,甲\n".encode(), "text file \\(CSV\\)")

    def test_web_page(self):
        self.no_file(b"<html><table><tr><td>1</td></tr></table></html>", "web page")

    def test_nothing_and_noise(self):
        self.no_file(b"", "Choose a file")
        self.no_file(bytes(range(128, 256)) * 9, "not an Excel workbook")

    def test_zip_that_is_none(self):
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w") as archive:
            archive.writestr("a.txt", "x")
        self.no_file(output.getvalue(), "zip file, not an Excel workbook")

    def test_damaged(self):
        data = content(self.one_meter())
        self.no_file(data[: len(data) // 2], "damaged or protected")
        self.no_file(_replace(data, "xl/workbook.xml", b"<sheets>", b"<sheets"), "damaged")
        self.no_file(_replace(data, "xl/worksheets/sheet1.xml", b"</sheetData>", b""), "is damaged")

    def test_zip_bomb(self):
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/workbook.xml", "")
            with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
                for _index in range(310):
                    part.write(bytes(1_000_000))
        self.assertLess(len(output.getvalue()), 1_000_000)
        self.no_file(output.getvalue(), "more than 300 MB")

    def test_many_parts(self):
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w") as archive:
            for number in range(2100):
                archive.writestr(f"xl/{number}.xml", "")
        self.no_file(output.getvalue(), "more than 300 MB")

    def test_entities(self):
        data = content(self.one_meter())
        bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><worksheet '
        self.no_file(
            _replace(data, "xl/worksheets/sheet1.xml", b"<worksheet ", bomb), "XML entities"
        )

    def test_too_large(self):
        self.no_file(b"PK" + bytes(reader.MAX_BYTES), "larger than 20 MB")

    def test_too_many_rows(self):
        pages = openpyxl.Workbook(write_only=True)
        page = pages.create_sheet("Opening Registers")
        page.append(READING)
        for _index in range(reader.MAX_ROWS + 1):
            page.append(["M-1", None, "2026-03-01", 1])
        self.no_file(content(pages), "more than 100,000 rows")

    def test_row_far_away(self):
        """A forged row number must not make us count to a thousand million."""
        data = _replace(
            content(self.one_meter()),
            "xl/worksheets/sheet1.xml",
            b'<row r="2"',
            b'<row r="999999999"',
        )
        self.no_file(data, "more rows than Excel allows|damaged")

    def test_forged_size_of_a_sheet(self):
        """Some writers state a wrong size; no row may be lost for it."""
        data = content(self.one_meter(address="1"))
        name = "xl/worksheets/sheet1.xml"
        data = _replace(data, name, b'<dimension ref="A1:E2"', b'<dimension ref="A1"')
        self.refused(data, "all 12 digits", 2)

    def test_unknown_sheets(self):
        self.no_file(book(Sheet1=[METER]), "No sheet of this file is known: Sheet1")

    def test_two_sheets_of_one_kind(self):
        self.no_file(book(Meters=[METER], 表计=[METER]), "two sheets")

    # headings

    def test_no_headings(self):
        self.refused(book(Meters=[["a", "b"], ["c", "d"]]), "No row of headings")

    def test_missing_column(self):
        problem = self.refused(
            book(Meters=[METER[:-1], ["N", "B-101", "DLT645-2007", "GW"]]), "column is missing"
        )
        self.assertIn("Communication Address", problem["column"])

    def test_unknown_column(self):
        self.refused(
            book(Meters=[[*METER, "Colour"], ["N", "B-101", "DLT645-2007", None, "000000000077", "red"]]),
            "not known",
            1,
        )  # fmt: skip

    def test_column_twice(self):
        self.refused(
            book(Meters=[[*METER, "表号"], ["N", "B-101", "DLT645-2007", None, "000000000077", "N"]]),
            "there twice",
        )  # fmt: skip

    def test_value_without_heading(self):
        self.refused(
            book(Meters=[METER, ["N", "B-101", "DLT645-2007", None, "000000000077", None, "lost"]]),
            "without a heading",
        )

    # cells

    def test_digits_lost_in_short_form(self):
        self.refused(self.one_meter(address="1.23E+11"), "Digits were lost", 2)

    def test_float_of_many_digits(self):
        self.refused(self.one_meter(number=1.2345678901234567e19), "only 15 digits")

    def test_float_is_whole(self):
        self.bring_in(self.one_meter(address=1.23e11))
        self.assertEqual(self.find("prepay.meter", number="N-1").address, "123000000000")

    def test_text_with_too_few_digits(self):
        """Typed as text: nobody knows which digits are missing."""
        self.refused(self.one_meter(address="77"), "all 12 digits")

    def test_decimals_in_a_number(self):
        self.refused(self.one_meter(number=12.5), "with decimals")

    def test_date_instead_of_a_number(self):
        self.refused(self.one_meter(number=datetime(2026, 3, 1)), "made a date of it")

    def test_logical_value(self):
        self.refused(self.one_meter(number=True), "logical value")

    def test_failed_formula(self):
        self.refused(self.one_meter(gateway="#N/A"), "formula in this cell fails")

    def test_formula_without_result(self):
        self.refused(self.reading(["M-1", None, "2026-03-01", "=1+2"]), "no stored result", 2)

    def test_merged_sideways(self):
        data = self.one_meter(gateway=None)
        data["Meters"].merge_cells("C2:D2")
        self.refused(data, "merged with the next column", 2)

    def test_required_cell_is_blank(self):
        self.refused(self.one_meter(profile=" \u3000\u200b"), "Nothing is entered", 2)

    def test_very_long_text(self):
        self.refused(self.one_meter(number="9" * 201), "longer than 200")

    # places

    def test_place_without_its_building(self):
        self.refused(book(Places=[PLACE, ["Plant / C / C-1"]]), "no place “Plant / C”", 2)

    def test_empty_name_in_a_path(self):
        self.refused(book(Places=[PLACE, ["Plant //C"]]), "none empty")

    def test_place_twice(self):
        self.refused(book(Places=[PLACE, ["Plant/C"], [" plant / Ｃ "]]), "same is in row 2", 3)

    def test_code_of_another_place(self):
        self.project.code = "P"
        self.refused(
            book(Places=[PLACE, ["Plant / B-101", None, "P"]]), "belongs to the place Plant"
        )

    def test_bad_kind_and_zone(self):
        self.refused(book(Places=[PLACE, ["Plant / C", "castle"]]), "Enter one of: Project")
        self.refused(book(Places=[PLACE, ["Plant / C", "room", None, "Moon"]]), "Asia/Shanghai")

    def test_several_places_of_one_name(self):
        other = self.env["prepay.location"].create({"name": "Q", "parent_id": self.project.id})
        for parent in (self.project, other):
            self.env["prepay.location"].create({"name": "Twin", "parent_id": parent.id})
        self.refused(self.one_meter(place="Twin"), "several “Twin”")

    def test_archived_place(self):
        self.env["prepay.location"].create(
            {"name": "Old", "parent_id": self.project.id, "active": False}
        )
        self.refused(self.one_meter(place="Plant / Old"), "archived")

    # gateways

    def test_gateway_without_address(self):
        self.refused(book(Gateways=[GATEWAY, ["G", "Plant", "tcp_serial"]]), "needs an address")
        self.refused(
            book(Gateways=[GATEWAY, ["G", "Plant", "dtu", "1.2.3.4"]]), "needs its identity"
        )

    def test_two_gateways_at_one_address(self):
        self.refused(
            book(Gateways=[GATEWAY, ["G", "Plant", "tcp_serial", "127.0.0.1", 9]]), "“GW” already"
        )
        rows = [[name, "Plant", "dtu", None, None, "4711"] for name in ("G1", "G2")]
        self.refused(book(Gateways=[GATEWAY, *rows]), "“G1” already", 3)

    def test_identity_of_another_company(self):
        main = self.env.ref("base.main_company")
        place = (
            self.env["prepay.location"]
            .sudo()
            .create({"name": "X", "kind": "project", "company_id": main.id})
        )
        self.env["prepay.gateway"].sudo().create(
            {"name": "Secret", "location_id": place.id, "link": "dtu", "dial_in_id": "4711"}
        )
        problem = self.refused(
            book(Gateways=[GATEWAY, ["G", "Plant", "dtu", None, None, "4711"]]), "another company"
        )
        self.assertNotIn("Secret", problem["message"])

    def test_port_out_of_range(self):
        self.refused(
            book(Gateways=[GATEWAY, ["G", "Plant", "tcp_serial", "h", 70000]]), "from 1 to 65535"
        )
        self.refused(
            book(Gateways=[GATEWAY, ["G", "Plant", "tcp_serial", "h", "x"]]), "not a number"
        )
        self.refused(
            book(Gateways=[GATEWAY, ["G", "Plant", "tcp_serial", "h", 1.5]]), "whole number"
        )

    # meters

    def test_unknown_place_profile_and_gateway(self):
        self.refused(self.one_meter(place="Z-9"), "no place “Z-9”")
        self.refused(self.one_meter(profile="XYZ"), "no meter profile.*DLT645-2007")
        self.refused(self.one_meter(gateway="G9"), "no gateway “G9”")

    def test_address_twice_on_one_gateway(self):
        self.refused(self.one_meter(address="000000000001"), "Meter M-1 of the same gateway")

    def test_meter_twice(self):
        rows = [["N", "B-101", "DLT645-2007", None, f"00000000008{n}"] for n in range(2)]
        self.refused(book(Meters=[METER, *rows]), "same is in row 2", 3)

    def test_archived_meter(self):
        self.other.active = False
        self.refused(self.one_meter(number="M-2"), "archived")

    def test_lost_zeros_of_several_meters(self):
        self._meter("0055", "000000000091")
        self._meter("00055", "000000000092")
        self.refused(self.reading([55, None, "2026-03-01", 1]), "several meters may be meant")

    def test_one_bad_row_does_not_spoil_others(self):
        """A gateway that is wrong is not reported again for each of its meters."""
        self.refused(
            book(
                Gateways=[GATEWAY, ["G", "Plant", "carrier pigeon", "h", 26]],
                Meters=[METER, ["N", "B-101", "DLT645-2007", "G", "000000000077"]],
                Opening_Registers=[READING, ["N", None, "2026-03-01", 1]],
            ),
            "Enter one of",
        )

    def test_place_inside_itself(self):
        self.env["prepay.location"].create({"name": "S", "parent_id": self.room.id})
        self.room.code = "R"
        self.refused(
            book(Places=[PLACE, ["Plant / B-101 / S / X", None, "R"]]), "part of itself", 2
        )

    def test_rules_of_the_models_speak(self):
        """What only the database refuses is reported with its row, not as a crash."""
        self.gateway.copy({"name": "GW2", "port": 10})
        rows = [["GW", "Plant", "tcp_serial", "127.0.0.1", 10]]
        rows += [["GW2", "Plant", "tcp_serial", "127.0.0.1", 9]]
        wizard = self.check(book(Gateways=[GATEWAY, *rows]))
        messages = {(item["row"], item["message"]) for item in wizard.outcome["problems"]}
        already = "Another gateway of this company already uses this address and port."
        self.assertEqual(messages, {(2, already), (3, already)})
        self.assertEqual(self.gateway.port, 9)

    # registers

    def test_register_goes_back(self):
        rows = [["M-1", None, f"2026-03-0{day}", value] for day, value in ((1, 10), (2, 9))]
        self.refused(self.reading(*rows), "from 10.0 to 9.0", 3)
        self.env["prepay.reading"]._ingest([(self.meter.id, "energy", datetime(2026, 3, 5), 5000)])
        self.refused(self.reading(["M-1", None, "2026-03-04", 6]), "from 6.0 to 5.0")

    def test_stored_reading_is_not_changed(self):
        self.env["prepay.reading"]._ingest(
            [(self.meter.id, "energy", datetime(2026, 2, 28, 16), 5000)]
        )
        self.refused(self.reading(["M-1", None, "2026-03-01", 6]), "stored as 5.0")

    def test_future_and_ambiguous_dates(self):
        later = fields.Datetime.now() + timedelta(days=2)
        self.refused(self.reading(["M-1", None, later, 1]), "in the future")
        self.refused(self.reading(["M-1", None, "03/04/2026", 1]), "year-month-day")
        self.refused(self.reading(["M-1", None, "2026-02-30", 1]), "year-month-day")
        self.refused(self.reading(["M-1", None, 12, 1]), "year-month-day")

    def test_bad_quantities(self):
        self.refused(self.reading(["M-1", None, "2026-03-01", -1]), "not below zero")
        self.refused(self.reading(["M-1", None, "2026-03-01", 1.2345]), "at most three decimals")
        self.refused(self.reading(["M-1", None, "2026-03-01", "ten"]), "not a number")
        self.refused(self.reading(["M-1", None, "2026-03-01", "1,23"]), "not a number")
        self.refused(self.reading(["M-1", None, "2026-03-01", 1_000_000]), "rolls over")

    def test_register_of_another_medium(self):
        self.refused(self.reading(["M-1", "volume", "2026-03-01", 1]), "no such register")

    def test_same_moment_twice(self):
        self.refused(
            self.reading(["M-1", None, "2026-03-01", 1], ["M-1", None, date(2026, 3, 1), 1]),
            "same is in row 2",
        )


@tagged("post_install", "-at_install")
class TestCells(BaseCase):
    """Pure rules of single cells; the environment is only asked to translate."""

    class Words:
        @staticmethod
        def _(text, *args, **kwargs):
            return text % (args or kwargs) if args or kwargs else text

    @PROPERTY
    @given(st.decimals(min_value=0, max_value=10**9, places=3))
    def test_three_decimals_survive_a_float(self, number):
        cell = values.decimal(self.Words, float(number))
        self.assertEqual(values.thousandths(self.Words, cell), int(number * 1000))

    @PROPERTY
    @given(st.text())
    def test_any_text_is_taken_or_refused_with_words(self, text):
        for kind in (values.text, values.identifier, values.decimal, values.whole, values.yes_no,
                     values.moment):  # fmt: skip
            try:
                kind(self.Words, text)
            except values.Bad as error:
                self.assertTrue(str(error))

    @PROPERTY
    @given(
        st.one_of(
            st.integers(),
            st.floats(allow_nan=True),
            st.booleans(),
            st.datetimes(),
            st.dates(),
            st.times(),
        )  # fmt: skip
    )
    def test_any_cell_is_taken_or_refused_with_words(self, cell):
        for kind in (values.text, values.identifier, values.decimal, values.whole, values.yes_no,
                     values.moment):  # fmt: skip
            try:
                kind(self.Words, cell)
            except values.Bad as error:
                self.assertTrue(str(error))

    @PROPERTY
    @given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 1, 1)))
    def test_written_moments_are_read(self, moment):
        moment = moment.replace(fold=0)
        self.assertEqual(values.moment(self.Words, moment.isoformat(" ")), moment)
        self.assertEqual(values.moment(self.Words, moment.isoformat()), moment)

    def test_moments(self):
        for cell, result in (
            ("2026.3.1", datetime(2026, 3, 1)),
            ("2026年3月1日 8时30分", datetime(2026, 3, 1, 8, 30)),
            ("2026/03/01 08:30:15", datetime(2026, 3, 1, 8, 30, 15)),
            ("２０２６－０３－０１", datetime(2026, 3, 1)),
            (20260301, datetime(2026, 3, 1)),
            (46082.5, datetime(2026, 3, 1, 12)),
        ):
            self.assertEqual(values.moment(self.Words, cell), result, cell)

    def test_sums_of_a_spreadsheet(self):
        self.assertEqual(values.decimal(self.Words, 0.1 + 0.2), Decimal("0.3"))
        self.assertEqual(values.decimal(self.Words, 12345.670000000002), Decimal("12345.67"))

    def test_paths(self):
        self.assertEqual(plan._split("A／B / C"), ["A/B", "C"])
        self.assertEqual(plan._split("A/B"), ["A", "B"])
