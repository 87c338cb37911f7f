from datetime import datetime
from decimal import Decimal
from io import BytesIO

import psycopg2
from odoo.exceptions import AccessError, UserError
from odoo.tests import BaseCase, TransactionCase, new_test_user, tagged
from odoo.tools import mute_logger
from pypdf import PdfReader

from odoo.addons.prepay_billing.capitals import rmb_capitals
from odoo.addons.prepay_billing.report.prepay_receipt import mask_phone

REPORT = "prepay_billing.report_receipt"
#: 241 × 93.1 mm in points.
SLIP = (683.15, 263.91)


@tagged("post_install", "-at_install")
class TestCapitals(BaseCase):
    def test_whole_yuan_end_with_zheng(self):
        self.assertEqual(rmb_capitals(Decimal(100)), "壹佰元整")
        self.assertEqual(rmb_capitals(Decimal("100.00")), "壹佰元整")
        self.assertEqual(rmb_capitals(Decimal(10)), "壹拾元整")
        self.assertEqual(rmb_capitals(Decimal(0)), "零元整")

    def test_jiao_and_fen_end_without(self):
        self.assertEqual(rmb_capitals(Decimal("100.5")), "壹佰元伍角")
        self.assertEqual(rmb_capitals(Decimal("0.5")), "伍角")
        self.assertEqual(rmb_capitals(Decimal("0.05")), "伍分")
        self.assertEqual(rmb_capitals(Decimal("0.15")), "壹角伍分")

    def test_examples_of_the_regulation(self):
        for amount, words in {
            "1409.50": "壹仟肆佰零玖元伍角",
            "6007.14": "陆仟零柒元壹角肆分",
            "1680.32": "壹仟陆佰捌拾元叁角贰分",
            "16409.02": "壹万陆仟肆佰零玖元零贰分",
            "325.04": "叁佰贰拾伍元零肆分",
        }.items():
            with self.subTest(amount):
                self.assertEqual(rmb_capitals(Decimal(amount)), words)

    def test_zeros_inside(self):
        for amount, words in {
            "1001": "壹仟零壹元整",
            "100001": "壹拾万零壹元整",
            "1000000": "壹佰万元整",
            "999999.99": "玖拾玖万玖仟玖佰玖拾玖元玖角玖分",
        }.items():
            with self.subTest(amount):
                self.assertEqual(rmb_capitals(Decimal(amount)), words)

    def test_part_of_a_fen_is_refused(self):
        with self.assertRaises(ValueError):
            rmb_capitals(Decimal("1.005"))


@tagged("post_install", "-at_install")
class TestMaskPhone(BaseCase):
    def test_mobile_number(self):
        for phone in ("13800000101", "138 0000 0101", "+86 138-0000-0101"):
            self.assertEqual(mask_phone(phone), "138****0101")

    def test_short_number_and_none(self):
        self.assertEqual(mask_phone("8888666"), "****66")
        self.assertEqual(mask_phone(False), "")
        self.assertEqual(mask_phone("none"), "")


class ReceiptCommon(TransactionCase):
    """A company in CNY, a room in the zone of Shanghai with one meter, and its cashier."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["res.lang"]._activate_lang("zh_CN")
        cny = cls.env.ref("base.CNY")
        cny.active = True
        cls.company = cls.env["res.company"].create({"name": "Slip Works", "currency_id": cny.id})
        cls.cashier = new_test_user(
            cls.env,
            "receipt_cashier",
            groups="base.group_user,prepay_billing.group_cashier",
            name="Zhao",
            tz="Europe/Berlin",
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
        )
        cls.env = cls.env(
            context={**cls.env.context, "allowed_company_ids": cls.company.ids, "lang": "en_US"}
        )
        site = cls.env["prepay.location"].create(
            {"name": "Plant", "kind": "project", "company_id": cls.company.id}
        )
        cls.room = cls.env["prepay.location"].create({"name": "B-207", "parent_id": site.id})
        cls.tariff = cls.env["prepay.tariff"].create(
            {
                "name": "Dormitory",
                "company_id": cls.company.id,
                "version_ids": [
                    (0, 0, {"valid_from": "2026-01-01 00:00:00", "price": 0.68}),
                    (0, 0, {"valid_from": "2026-03-02 00:00:00", "price": 0.7125}),
                ],
            }
        )
        cls.tenant = cls.env["res.partner"].create(
            {"name": "李秀英", "phone": "13800002207", "lang": "en_US"}
        )
        cls.account = cls._new_account(cls.room, "M-2207")

    @classmethod
    def _new_account(cls, room, meter_number):
        meter = cls.env["prepay.meter"].create(
            {
                "number": meter_number,
                "profile_id": cls.env.ref("prepay_meter.profile_ddsy1352").id,
                "address": "1",
                "location_id": room.id,
            }
        )
        return cls.env["prepay.account"].create(
            {
                "partner_id": cls.tenant.id,
                "location_id": room.id,
                "supply_ids": [
                    (
                        0,
                        0,
                        {
                            "meter_id": meter.id,
                            "tariff_id": cls.tariff.id,
                            "start_at": "2026-01-01 00:00:00",
                        },
                    )
                ],
            }
        )

    def _topup(self, amount, account=None, **values):
        topup = self.env["prepay.topup"].create(
            {
                "account_id": (account or self.account).id,
                "amount": amount,
                "cashier_id": self.cashier.id,
                "paid_at": datetime(2026, 3, 1, 16, 30, 5),
                **values,
            }
        )
        topup._credit()
        return topup

    def _print(self, topups, user=None):
        report = self.env["ir.actions.report"].with_user(user or self.cashier)
        pdf, kind = report.with_context(force_report_rendering=True)._render_qweb_pdf(
            REPORT, self._receipts(topups).ids
        )
        self.assertEqual(kind, "pdf")
        return PdfReader(BytesIO(pdf))

    def _receipts(self, topups):
        return topups._issue_receipt().sudo(False)

    def _text(self, page):
        """Text of a page without spaces: letter spacing prints as spaces."""
        return "".join(page.extract_text().split())

    def assertSlip(self, page):
        self.assertAlmostEqual(float(page.mediabox.width), SLIP[0], delta=0.02)
        self.assertAlmostEqual(float(page.mediabox.height), SLIP[1], delta=0.02)


@tagged("post_install", "-at_install")
class TestReceipt(ReceiptCommon):
    def test_says_what_was_paid(self):
        self._topup(20)
        topup = self._topup(100.5, note="Change 0.50")
        (page,) = self._print(topup).pages
        self.assertSlip(page)
        text = self._text(page)
        for part in (
            "SlipWorks",
            "ElectricitySaleReceipt",
            topup.receipt_number,
            self.account.number,
            "Plant/B-207",
            "李秀英",
            "138****2207",
            "M-2207",
            "Cash",
            "¥100.50",
            "壹佰元伍角",
            "¥20.00",
            "¥120.50",
            "Zhao",
            "Change0.50",
            "StubCopy",
            "CustomerCopy",
            "FinanceCopy",
            "notaninvoice",
        ):
            self.assertIn(part, text)
        self.assertNotIn("13800002207", text)

    def test_time_of_the_place(self):
        """Not of the reader, who is in Berlin."""
        self.assertIn("2026-03-0200:30:05", self._text(self._print(self._topup(10)).pages[0]))
        far = self.env["prepay.location"].create(
            {"name": "West", "own_tz": "Asia/Urumqi", "company_id": self.company.id}
        )
        topup = self._topup(10, self._new_account(far, "M-3"))
        self.assertIn("2026-03-0122:30:05", self._text(self._print(topup).pages[0]))

    def test_price_of_the_moment(self):
        self.assertIn("¥0.68/kWh", self._text(self._print(self._topup(10)).pages[0]))
        later = self._topup(10, paid_at=datetime(2026, 3, 2))
        self.assertIn("¥0.7125/kWh", self._text(self._print(later).pages[0]))

    def test_meters_of_the_moment(self):
        """A meter that came later is not on the slip, not even when it is printed later."""
        topup = self._topup(10)
        other = self._new_account(self.room, "M-NEW").supply_ids
        other.write({"account_id": self.account.id, "start_at": "2026-03-01 17:00:00"})
        text = self._text(self._print(topup).pages[0])
        self.assertIn("M-2207", text)
        self.assertNotIn("M-NEW", text)
        later = self._topup(10, paid_at=datetime(2026, 3, 1, 17))
        self.assertIn("M-2207,M-NEW", self._text(self._print(later).pages[0]))

    def test_one_page_for_each_top_up(self):
        topups = self._topup(1) + self._topup(2) + self._topup(3)
        pages = self._print(topups).pages
        self.assertEqual(len(pages), 3)
        for topup, page, words in zip(topups, pages, ("壹元整", "贰元整", "叁元整")):
            self.assertSlip(page)
            self.assertIn(topup.receipt_number, self._text(page))
            self.assertIn(words, self._text(page))

    def test_long_texts_stay_on_the_page(self):
        self.company.name = "有限责任公司" * 20
        self.company.street = "高新技术产业开发区" * 20
        self.room.name = "宿舍" * 80 + "C-309"
        self.tenant.name = "阿布都克里木" * 20
        topups = self._topup(999999.99, note="备注" * 200) + self._topup(1, note="W" * 500)
        pages = self._print(topups).pages
        self.assertEqual(len(pages), 2)
        for page in pages:
            self.assertSlip(page)
            self.assertIn("C-309", self._text(page))

    def test_language_of_the_tenant(self):
        method = self.env["ir.model.fields.selection"].search(
            [("field_id.model", "=", "prepay.topup"), ("value", "=", "cash")]
        )
        method.with_context(lang="zh_CN").name = "现金"
        form = self.env.ref("prepay_billing.report_receipt_form")
        form.update_field_translations("arch_db", {"zh_CN": {"Receipt No.": "收据编号"}})
        self.assertIn("ReceiptNo.", self._text(self._print(self._topup(10)).pages[0]))
        self.tenant.lang = "zh_CN"
        text = self._text(self._print(self._topup(10)).pages[0])
        self.assertIn("收据编号", text)
        self.assertIn("现金", text)
        self.assertNotIn("ReceiptNo.", text)

    def test_capitals_only_in_yuan(self):
        self.env.cr.execute(
            "UPDATE res_company SET currency_id = %s WHERE id = %s",
            [self.env.ref("base.USD").id, self.company.id],
        )
        self.env.invalidate_all()
        text = self._text(self._print(self._topup(10)).pages[0])
        self.assertIn("$10.00", text)
        self.assertNotIn("拾元整", text)

    def test_a_later_print_says_the_same(self):
        """Tenant, meters, price, company and note have changed since."""
        topup = self._topup(10, note="First")
        before = self._text(self._print(topup).pages[0])
        self.tenant.write({"name": "王五", "phone": "13900000000", "lang": "zh_CN"})
        self.company.write({"name": "Other Works", "phone": "0512-1"})
        self.account.supply_ids.meter_id.number = "M-OTHER"
        topup.note = "Second"
        self.tariff.version_ids.write({"price": 9.99})
        after = self._text(self._print(topup).pages[0])
        self.assertNotEqual(before, after)
        self.assertEqual(before, after.replace("Reprint1", ""))

    def test_prints_are_counted_and_marked(self):
        topup = self._topup(10)
        receipt = self._receipts(topup)
        self.assertEqual(receipt.print_count, 0)
        self.assertNotIn("Reprint", self._text(self._print(topup).pages[0]))
        self.assertIn("Reprint1", self._text(self._print(topup).pages[0]))
        self.assertIn("Reprint2", self._text(self._print(topup).pages[0]))
        self.assertEqual((receipt.print_count, topup.receipt_print_count), (3, 3))
        self.assertEqual(receipt.print_ids.user_id, self.cashier)

    def test_receipts_are_fixed(self):
        receipt = self._receipts(self._topup(10))
        with self.assertRaisesRegex(UserError, "never changes"):
            receipt.sudo().amount = 5
        with self.assertRaisesRegex(UserError, "never deleted"):
            receipt.sudo().unlink()
        for query in ("UPDATE prepay_receipt SET amount = 5", "DELETE FROM prepay_receipt"):
            with (
                self.assertRaisesRegex(psycopg2.errors.CheckViolation, "never changes"),
                mute_logger("odoo.sql_db"),
                self.env.cr.savepoint(),
            ):
                self.env.cr.execute(f"{query} WHERE id = %s", [receipt.id])

    def test_a_document_has_one_receipt_of_a_kind(self):
        topup = self._topup(10)
        receipt = self._receipts(topup)
        self.assertEqual(self._receipts(topup), receipt)
        self.assertEqual(
            (receipt.kind, receipt.amount, receipt.document), ("topup", 10, topup.number)
        )
        self._print(topup)
        found = self.env["prepay.topup"].search(
            [("receipt_number", "=", receipt.number), ("company_id", "=", self.company.id)]
        )
        self.assertEqual(found, topup)

    def test_nothing_prints_before_the_credit(self):
        draft = self.env["prepay.topup"].create({"account_id": self.account.id, "amount": 10})
        with self.assertRaisesRegex(UserError, "not credited yet"):
            draft.action_print_receipt()
        self.assertFalse(self.env["prepay.receipt"].search([("res_id", "=", draft.id)]))

    def test_only_who_may_read_prints(self):
        topup = self._topup(10)
        stranger = new_test_user(
            self.env,
            "receipt_stranger",
            groups="base.group_user,prepay_billing.group_cashier",
            company_id=self.env.ref("base.main_company").id,
            company_ids=[(6, 0, self.env.ref("base.main_company").ids)],
        )
        clerk = new_test_user(self.env, "receipt_clerk", groups="base.group_user")
        for user in (stranger, clerk):
            report = self.env["ir.actions.report"].with_user(user)
            report = report.with_context(
                force_report_rendering=True, allowed_company_ids=user.company_ids.ids
            )
            with self.subTest(user.login), self.assertRaises(AccessError):
                report._render_qweb_pdf(REPORT, self._receipts(topup).ids)

    def test_sale_at_the_counter_prints(self):
        """The whole way of a cashier: sell, then the action that the button returns."""
        counter = self.env["prepay.counter"].with_user(self.cashier)
        sale = counter.sell({"parts": [{"account_id": self.account.id, "amount": "30"}]})
        topup = self.env["prepay.topup"].with_user(self.cashier).browse(sale["topup_ids"])
        action = topup.action_print_receipt()
        self.assertEqual(action["report_name"], REPORT)
        self.assertEqual(action["prepay_engine"], "weasyprint")
        receipt = self.env["prepay.receipt"].browse(action["context"]["active_ids"])
        self.assertEqual(receipt.res_model, "prepay.topup")
        topup = self.env["prepay.topup"].browse(receipt.res_id)
        self.assertIn("叁拾元整", self._text(self._print(topup).pages[0]))

    def test_several_attachments(self):
        """Saved as attachments, each record gets its own file of one page."""
        report = self.env.ref("prepay_billing.action_report_receipt")
        report.attachment = "object.number + '.pdf'"
        topups = self._topup(1) + self._topup(2)
        topups.action_print_receipt()
        self.assertEqual(len(self._print(topups, self.env.user).pages), 2)
        for topup in topups:
            attachment = self.env["ir.attachment"].search(
                [("res_model", "=", "prepay.receipt"), ("res_id", "=", self._receipts(topup).id)]
            )
            (page,) = PdfReader(BytesIO(attachment.raw)).pages
            self.assertIn(topup.receipt_number, self._text(page))
