from io import BytesIO

from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from pypdf import PdfReader

from odoo.addons.prepay_meter.report.prepay_label import qr_path

from .common import MeterCase

REPORT = "prepay_meter.report_labels"
MM = 72 / 25.4


@tagged("post_install", "-at_install")
class TestLabels(MeterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env = cls.env(user=cls.operator)

    def wizard(self, meters=None, **vals):
        wizards = self.env["prepay.label.wizard"]
        return wizards.create({"meter_ids": [(6, 0, (meters or self.meter).ids)], **vals})

    def pages(self, wizard):
        action = wizard.action_print()
        self.assertEqual((action["report_name"], action["prepay_engine"]), (REPORT, "weasyprint"))
        report = self.env["ir.actions.report"].with_context(force_report_rendering=True)
        pdf, kind = report._render_qweb_pdf(REPORT, wizard.ids)
        self.assertEqual(kind, "pdf")
        return PdfReader(BytesIO(pdf)).pages

    def assertSize(self, page, width, height):
        self.assertAlmostEqual(float(page.mediabox.width), width * MM, delta=0.5)
        self.assertAlmostEqual(float(page.mediabox.height), height * MM, delta=0.5)

    def text(self, page):
        return "".join(page.extract_text().split())

    def test_sheet_of_24(self):
        (page,) = self.pages(self.wizard(self.meter + self.other))
        self.assertSize(page, 210, 297)
        text = self.text(page)
        for part in ("M-1", "M-2", "B-101·Plant", "000000000001", "GW"):
            self.assertIn(part, text)

    def test_used_labels_and_copies(self):
        first, second = self.pages(self.wizard(skip=23, copies=2))
        self.assertEqual(self.text(first).count("M-1"), 1)
        self.assertEqual(self.text(second).count("M-1"), 1)

    def test_roll(self):
        pages = self.pages(self.wizard(self.meter + self.other, layout="roll", skip=5))
        self.assertEqual(len(pages), 2)
        for page, number in zip(pages, ("M-1", "M-2")):
            self.assertSize(page, 50, 30)
            self.assertIn(number, self.text(page))

    def test_long_texts_stay_on_their_label(self):
        self.room.sudo().name = "宿舍" * 60
        self.meter.sudo().number = "9" * 60
        self.assertEqual(len(self.pages(self.wizard(layout="roll"))), 1)

    def test_meters_of_places(self):
        wizards = self.env["prepay.label.wizard"]
        wizard = wizards.with_context(
            active_model="prepay.location", active_ids=self.project.ids
        ).create({})
        self.assertEqual(wizard.label_count, 2)
        self.assertIn("M-2", self.text(self.pages(wizard)[0]))
        wizard = wizards.with_context(active_model="prepay.meter", active_ids=self.other.ids)
        self.assertEqual(wizard.create({}).meter_ids, self.other)
        with self.assertRaisesRegex(UserError, "Choose meters or places"):
            wizards.create({}).action_print()

    def test_code(self):
        self.assertEqual(self.meter._label_code(), f"PREPAY:M:{self.company.id}:M-1")
        code = qr_path(self.meter._label_code())
        self.assertGreaterEqual(code["size"], 25 + 4)
        self.assertIn("M4 4h1v1h-1z", code["path"], "the corner of the finder pattern")
        self.assertNotIn("M3 ", code["path"], "quiet zone")

    def test_rights(self):
        with self.assertRaises(AccessError):
            self.wizard().with_user(self.reader).read(["layout"])
        wizard = self.wizard()
        report = self.env["ir.actions.report"].with_user(self.reader)
        with self.assertRaises(AccessError):
            report.with_context(force_report_rendering=True)._render_qweb_pdf(REPORT, wizard.ids)
