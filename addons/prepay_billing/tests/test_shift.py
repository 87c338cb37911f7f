import base64
import io
from contextlib import closing
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import openpyxl
import psycopg2
from odoo import api, fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.modules.registry import Registry
from odoo.sql_db import db_connect
from odoo.tests import BaseCase, Form, get_db_name, new_test_user, tagged
from odoo.tools import mute_logger

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestShift(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.second = new_test_user(
            cls.env,
            "cashier-2",
            groups="base.group_user,prepay_billing.group_cashier",
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
        )

    def open(self, user=None, opening_float=200):
        return (
            self.env["prepay.shift"]
            .with_user(user or self.cashier)
            .create({"opening_float": opening_float})
        )

    def sell(self, amount, method="cash", cashier=None):
        topup = self.env["prepay.topup"].create(
            {
                "account_id": self.account.id,
                "amount": amount,
                "method": method,
                "cashier_id": (cashier or self.cashier).id,
            }
        )
        topup._credit()
        return topup

    def refund(self, amount, method="cash"):
        refund = (
            self.env["prepay.refund"]
            .with_user(self.cashier)
            .create(
                {
                    "account_id": self.account.id,
                    "amount": amount,
                    "method": method,
                    "reason": "moves out",
                }
            )
        )
        refund.action_submit()
        return refund

    def hand_in(self, shift, counted, **vals):
        shift.action_count()
        shift.write({"counted_cash": counted, **vals})
        shift.action_hand_in()

    def test_day_of_a_cashier(self):
        """Float, sales, a reversal and refunds; what the drawer must hold is what was counted."""
        shift = self.open()
        self.sell(100)
        self.sell(50.5, "card")
        self.sell(30, "wechat_code")
        wrong = self.sell(70)
        wrong.with_user(self.cashier)._reverse("wrong room")
        self.refund(20)
        self.refund(10, "transfer")
        shift.invalidate_recordset()
        totals = {
            line.method: (line.count, line.sales, line.reversals, line.refunds, line.net)
            for line in shift.total_ids
        }
        self.assertEqual(
            totals,
            {
                "cash": (4, 170, -70, -20, 80),
                "card": (1, 50.5, 0, 0, 50.5),
                "wechat_code": (1, 30, 0, 0, 30),
                "transfer": (1, 0, 0, -10, -10),
            },
        )
        self.assertEqual((shift.sales, shift.reversals, shift.refunds), (250.5, -70, -30))
        self.assertEqual((shift.net, shift.count, shift.expected_cash), (150.5, 7, 280))

        shift.action_count()
        self.assertEqual(shift.state, "counting")
        with self.assertRaises(UserError) as caught:
            self.sell(5)
        self.assertIn("being counted", str(caught.exception))
        with Form(shift) as form:
            self.assertEqual(form.difference, -280)
            for line, pieces in ((0, 2), (1, 1), (2, 1), (3, 1)):
                with form.count_ids.edit(line) as count:
                    count.quantity = pieces
            self.assertEqual((form.counted_cash, form.difference), (280, 0))
            self.assertEqual((form.handed_in, form.left_in_drawer), (80, 200))
        shift.action_hand_in()
        self.assertEqual((shift.state, shift.difference), ("closed", 0))
        with self.assertRaises(UserError):
            shift.action_resume()
        with self.assertRaises(AccessError):
            shift.action_confirm()
        shift.with_user(self.accountant).action_confirm()
        self.assertEqual((shift.state, shift.confirmed_by_id), ("confirmed", self.accountant))
        self.assertEqual(self.open(opening_float=0).state, "open")
        self.assertEqual(
            self.env["prepay.shift"].with_user(self.second)._last_left(), 0, "another drawer"
        )

    def test_float_of_the_next_shift_is_what_was_left(self):
        shift = self.open()
        self.sell(100)
        self.hand_in(shift, 300, handed_in=250)
        self.assertEqual(shift.left_in_drawer, 50)
        action = self.env["prepay.shift"].with_user(self.cashier).action_my_shift()
        self.assertFalse(action["res_id"])
        form = Form(
            self.env["prepay.shift"].with_user(self.cashier),
            view="prepay_billing.prepay_shift_view_form_open",
        )
        self.assertEqual(form.opening_float, 50)
        shift = form.save()
        self.assertEqual(shift.action_open_shift()["res_id"], shift.id)

    def test_difference_needs_a_reason(self):
        shift = self.open()
        self.sell(100)
        with self.assertRaises(UserError) as caught:
            self.hand_in(shift, 299.9)
        self.assertIn("-0.10", str(caught.exception))
        self.assertIn("300.00", str(caught.exception))
        self.hand_in(shift, 299.9, difference_reason="coin missing")
        self.assertEqual((shift.state, shift.difference), ("closed", -0.1))
        with self.assertRaises(ValidationError):
            self.hand_in(self.open(self.second, 0), 10, handed_in=11, difference_reason="x")

    def test_handed_in_shift_is_final(self):
        """No reversal, no change, no deletion: the cash is with the accountant."""
        shift = self.open()
        topup = self.sell(100)
        self.hand_in(shift, 300)
        with self.assertRaises(UserError) as caught:
            topup.with_user(self.cashier).action_reverse()
        self.assertIn(shift.number, str(caught.exception))
        for user in (self.cashier, self.accountant):
            with self.assertRaises(UserError):
                shift.with_user(user).write({"counted_cash": 1})
            with self.assertRaises(UserError):
                shift.with_user(user).count_ids[:1].write({"quantity": 1})
        with self.assertRaises(UserError):
            shift.sudo().unlink()
        later = self.open()
        self.assertFalse(later.sudo().total_ids, "an old sale is not in the new shift")
        refund = self.refund(100)
        self.assertEqual(refund.shift_id, later, "afterwards it is a refund of the new shift")

    def test_reversal_goes_to_the_drawer_of_the_sale(self):
        shift = self.open()
        topup = self.sell(40)
        reversal = topup.with_user(self.accountant)._reverse("wrong room")
        self.assertEqual((topup.shift_id, reversal.shift_id), (shift, shift))
        self.assertEqual(shift.expected_cash, 200)

    def test_one_open_shift(self):
        self.open()
        with self.assertRaises(Exception) as caught, self.cr.savepoint():
            self.open()
        self.assertIn("prepay_shift_one_open", str(caught.exception))
        self.open(self.second)

    def test_company_demands_a_shift(self):
        self.assertFalse(self.sell(10).shift_id, "shifts are optional")
        self.company.prepay_require_shift = True
        with self.assertRaises(UserError) as caught:
            self.sell(10)
        self.assertIn("no open shift", str(caught.exception))
        with self.assertRaises(UserError):
            self.refund(5)
        self.assertEqual(self.refund(5, "transfer").state, "done", "not out of the drawer")
        shift = self.open()
        self.assertEqual(self.sell(10).shift_id, shift)
        self.company.prepay_auto_shift = True
        topup = (
            self.env["prepay.topup"]
            .with_user(self.second)
            .sudo()
            .create({"account_id": self.account.id, "amount": 10, "cashier_id": self.second.id})
        )
        topup._credit()
        self.assertEqual(topup.shift_id.user_id, self.second, "opened by the first sale")

    def test_cashiers_see_their_own_shifts(self):
        shift = self.open()
        with self.assertRaises(AccessError):
            shift.with_user(self.second).read(["state"])
        with self.assertRaises(AccessError):
            shift.with_user(self.operator).read(["state"])
        for user in (self.accountant, self.auditor):
            self.assertEqual(shift.with_user(user).state, "open")
        with self.assertRaises(UserError):
            shift.write({"user_id": self.second.id})
        with self.assertRaises(AccessError):
            self.open(self.accountant)

    def test_own_large_hand_in_is_confirmed_by_somebody_else(self):
        both = new_test_user(
            self.env,
            "both",
            groups="base.group_user,prepay_billing.group_cashier,prepay_billing.group_accountant",
            company_id=self.company.id,
            company_ids=[(6, 0, self.company.ids)],
        )
        shift = self.open(both, 0)
        self.sell(600, cashier=both)
        self.hand_in(shift, 600)
        with self.assertRaises(UserError) as caught:
            shift.action_confirm()
        self.assertIn("Somebody else", str(caught.exception))
        shift.with_user(self.accountant).action_confirm()

    def test_resume(self):
        shift = self.open()
        self.sell(100)
        shift.action_count()
        shift.count_ids[0].quantity = 3
        self.assertEqual(shift.counted_cash, 300)
        shift.action_resume()
        self.assertEqual((shift.state, shift.counted_cash, shift.difference), ("open", 0, 0))
        self.assertEqual(self.sell(5).shift_id, shift)

    def test_daily_report(self):
        """The paper and the workbook say what the screen says."""
        shift = self.open()
        self.sell(100)
        self.sell(50.5, "card")
        self.hand_in(shift, 300)
        report = self.env.ref("prepay_billing.action_report_shift").with_user(self.cashier)
        html, _kind = report._render_qweb_html(report.report_name, shift.ids)
        text = html.decode()
        for word in (shift.number, "300.00", "150.50", "壹佰元整", "Zhang Wei"):
            self.assertIn(word, text)
        content, kind = report.with_context(force_report_rendering=True)._render_qweb_pdf(
            report.report_name, shift.ids
        )
        self.assertEqual((kind, content[:5]), ("pdf", b"%PDF-"))
        url = shift.action_export()["url"]
        download = self.env["prepay.download"].browse(int(parse_qs(urlsplit(url).query)["id"][0]))
        book = openpyxl.load_workbook(io.BytesIO(base64.b64decode(download.sudo().data)))
        shifts, methods, vouchers = book.worksheets
        self.assertEqual(shifts.max_row, 2)
        self.assertIn(300, [cell.value for cell in shifts[2]])
        self.assertEqual([methods.cell(row, 7).value for row in (2, 3)], [50.5, 100])
        self.assertEqual(vouchers.max_row, 3)

    def test_day_ends_in_the_zone_of_the_site(self):
        shift = self.open()
        topup = self.sell(10)
        topup.paid_at = fields.Datetime.to_datetime("2026-03-01 16:30:00")  # 00:30 in Shanghai
        self.env.flush_all()
        flow = self.env["prepay.cash.flow"].search([("shift_id", "=", shift.id)])
        self.assertEqual(str(flow.day), "2026-03-02")
        topup.paid_at -= timedelta(hours=1)
        self.env.flush_all()
        flow.invalidate_recordset()
        self.assertEqual(str(flow.day), "2026-03-01")


@tagged("post_install", "-at_install")
class TestShiftConcurrent(BaseCase):
    """Real transactions: sales share the shift, counting waits for them and keeps others out."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = Registry(get_db_name())
        with cls.connection() as cr:
            env = api.Environment(cr, api.SUPERUSER_ID, {})
            cls.company_id = env["res.company"].create({"name": "Shift factory"}).id
            cls.user_id = env.ref("base.user_admin").id
            cls.shift_id = (
                env["prepay.shift"]
                .create({"user_id": cls.user_id, "company_id": cls.company_id})
                .id
            )
            cr.commit()

    @classmethod
    def tearDownClass(cls):
        with cls.connection() as cr:
            cr.execute("DELETE FROM prepay_shift_count WHERE shift_id = %s", [cls.shift_id])
            cr.execute("DELETE FROM prepay_shift WHERE id = %s", [cls.shift_id])
            cr.execute(
                "DELETE FROM mail_message WHERE model = 'prepay.shift' AND res_id = %s",
                [cls.shift_id],
            )
            cr.commit()
        super().tearDownClass()

    @staticmethod
    def connection():
        return closing(db_connect(get_db_name()).cursor())

    def take(self, cr):
        env = api.Environment(cr, api.SUPERUSER_ID, {})
        return env["prepay.shift"]._take(
            env["res.company"].browse(self.company_id), env["res.users"].browse(self.user_id)
        )

    def count(self, cr):
        env = api.Environment(cr, api.SUPERUSER_ID, {})
        env["prepay.shift"].browse(self.shift_id).action_count()
        env.flush_all()

    def test_sales_share_and_counting_waits(self):
        with self.connection() as first, self.connection() as second, self.connection() as third:
            for cr in (first, second, third):
                cr.execute("SET LOCAL lock_timeout = '500ms'")
                cr.execute("SELECT 1 FROM res_company LIMIT 1")  # the view of each begins
            self.assertEqual(self.take(first).id, self.shift_id)
            self.assertEqual(self.take(second).id, self.shift_id, "no sale waits for another")
            with self.connection() as counting, mute_logger("odoo.sql_db"):
                counting.execute("SET LOCAL lock_timeout = '300ms'")
                with self.assertRaises(psycopg2.errors.LockNotAvailable):
                    self.count(counting)
            first.commit()
            second.commit()
            with self.connection() as counting:
                self.count(counting)
                counting.commit()
            with (
                mute_logger("odoo.sql_db"),
                self.assertRaises(psycopg2.errors.SerializationFailure),
            ):
                self.take(third)  # began before: the server repeats it
            third.rollback()
            with self.assertRaises(UserError) as caught:
                self.take(third)
            self.assertIn("being counted", str(caught.exception))
