from datetime import timedelta
from decimal import Decimal

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestReversal(BillingCase):
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

    def sell(self, amount, cashier=None, **vals):
        topup = self.env["prepay.topup"].create(
            {
                "account_id": self.account.id,
                "amount": amount,
                "cashier_id": (cashier or self.cashier).id,
                **vals,
            }
        )
        topup._credit()
        return topup

    def refused(self, topup, user=None):
        topup = topup.with_user(user or self.cashier)
        with self.assertRaises(UserError) as caught:
            topup.action_reverse()
        with self.assertRaises(UserError) as again:
            topup._reverse("typed wrong")
        self.assertEqual(str(caught.exception), str(again.exception))
        return str(caught.exception)

    def test_seller_takes_back_a_wrong_sale(self):
        first = self.sell(30)
        wrong = self.sell(500)
        action = wrong.with_user(self.cashier).action_reverse()
        wizard = (
            self.env["prepay.wallet.operation"]
            .with_user(self.cashier)
            .with_context(**action["context"])
            .create({"reason": "typed 500 for 50"})
        )
        self.assertEqual((wizard.topup_id, wizard.last_topup_id), (wrong, wrong))
        self.assertEqual((wizard.amount, wizard.last_amount), (500, 500))
        self.assertFalse(wizard.needs_approval)
        result = wizard.action_confirm()
        self.assertTrue(result["close_on_report_download"])
        reversal = wrong.reversal_id
        self.assertEqual((wrong.state, reversal.state), ("reversed", "done"))
        self.assertEqual(wrong.reversed_by_id, self.cashier)
        self.assertTrue(wrong.reversed_at)
        self.assertEqual(self.available(), Decimal(30))
        entry = reversal._entries()
        self.assertFalse(entry, "only a reversal")
        reversed_entry = wrong.entry_id.reversed_by_id
        self.assertEqual(reversed_entry.amount, -500)
        self.assertEqual(reversed_entry.user_id, self.cashier)
        self.assertEqual((reversal.balance_before, reversal.balance_after), (530, 30))
        values = reversal._receipt_values()
        self.assertEqual(values["amount"], "-500.00")
        self.assertTrue(values["reversed_number"])
        self.assertIn("reversed already", self.refused(wrong))
        with self.assertRaises(UserError):
            wrong.unlink()
        wizard = wizard.new({"operation": "reverse", "document": f"prepay.topup,{first.id}"})
        self.assertEqual(wizard.last_topup_id, first, "a reversed sale is not the last one")

    def test_paper_names_the_receipt_of_the_sale(self):
        topup = self.sell(30)
        reversal = topup.with_user(self.cashier)._reverse("wrong room")
        sold, taken_back = topup._issue_receipt(), reversal._issue_receipt()
        self.assertEqual(taken_back.reversed_id, sold)
        report = self.env["report.prepay_billing.report_receipt"]
        html = self.env["ir.qweb"]._render(
            "prepay_billing.report_receipt", report._get_report_values(taken_back.ids)
        )
        self.assertTrue(sold.number)
        self.assertIn(sold.number, str(html))

    def test_paper_of_a_sale_names_registers_of_now_and_of_last_time(self):
        self.meter.ratio = 20
        self.read(110, 1)
        first = self.sell(30)
        self.read(115, 2)
        self.env.invalidate_all()  # as in the next request
        reversal = first.with_user(self.cashier)._reverse("wrong room")
        second = self.sell(20)
        for document, registers, remaining in (
            (first, ("100.00", "110.00"), "0.00"),
            (reversal, ("110.00", "115.00"), None),
            (second, ("115.00", "115.00"), "0.00"),
        ):
            values = document._issue_receipt().snapshot
            (meter,) = values["meters"]
            self.assertEqual((meter["last_register"], meter["register"]), registers)
            self.assertEqual((meter["ratio"], values["last_remaining"]), ("20", remaining))

    def test_not_the_last_sale_is_shown(self):
        first, last = self.sell(30), self.sell(20)
        reversal = first.with_user(self.cashier)._reverse("wrong room")
        self.assertEqual(reversal.last_topup_id, last)
        self.assertEqual(reversal.last_amount, 20)

    def test_only_on_the_same_local_day(self):
        topup = self.sell(30)
        zone = self.room._zone()
        now = fields.Datetime.context_timestamp(
            topup.with_context(tz=zone.key), fields.Datetime.now()
        )
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        offset = now.utcoffset()
        topup.paid_at = midnight - offset  # the first second of the day of the site
        topup.with_user(self.cashier)._check_reversible()
        topup.paid_at -= timedelta(seconds=1)
        self.assertIn("same day", self.refused(topup))

    def test_money_used_since(self):
        topup = self.sell(30)
        self.read(120, 1)  # 20 kWh at 0.68: 13.60
        self.rate()
        message = self.refused(topup)
        self.assertIn("16.40", message)
        self.assertIn(topup.number, message)
        # Other money of the account covers the use.
        self.sell(20)
        topup.with_user(self.cashier)._reverse("wrong room")
        self.assertEqual(self.available(), Decimal("6.40"))

    def test_money_paid_out_or_moved_since(self):
        topup = self.sell(30)
        refund = self.env["prepay.refund"].create(
            {"account_id": self.account.id, "amount": 10, "reason": "x"}
        )
        refund.action_submit()
        self.assertIn("used already", self.refused(topup))

    def test_frozen_account(self):
        topup = self.sell(30)
        self.account.with_user(self.accountant)._freeze(True, "dispute")
        with self.assertRaises(UserError) as caught:
            topup.with_user(self.cashier)._reverse("x")
        self.assertIn("frozen", str(caught.exception))

    def test_sale_of_another_cashier_needs_an_accountant(self):
        topup = self.sell(30)
        reversal = topup.with_user(self.second)._reverse("wrong room")
        self.assertEqual((reversal.state, topup.state), ("waiting", "done"))
        self.assertEqual(reversal._after_reversal()["tag"], "display_notification")
        self.assertIn("waits", self.refused(topup))
        with self.assertRaises(AccessError):
            reversal.action_approve()
        reversal.with_user(self.accountant).action_approve()
        self.assertEqual((reversal.state, topup.state), ("done", "reversed"))
        self.assertEqual(self.available(), Decimal(0))
        # An accountant who asks is the second person already.
        other = self.sell(40)
        other.with_user(self.accountant)._reverse("wrong room")
        self.assertEqual(other.state, "reversed")

    def test_above_the_limit_another_person_approves(self):
        topup = self.sell(500.01)
        reversal = topup.with_user(self.cashier)._reverse("typed wrong")
        self.assertEqual(reversal.state, "waiting")
        reversal.with_user(self.accountant).action_refuse()
        self.assertEqual((reversal.state, topup.state), ("refused", "done"))
        again = topup.with_user(self.cashier)._reverse("typed wrong")
        self.read(130, 1)  # used while it waited
        self.rate()
        with self.assertRaises(UserError) as caught:
            again.with_user(self.accountant).action_approve()
        self.assertIn("used already", str(caught.exception))

    def test_money_of_a_channel_is_refunded(self):
        by_code = self.sell(30, method="wechat_code")
        by_code.capture_state = "captured"
        self.assertIn("Refund the money", self.refused(by_code))
        by_code.capture_state = False  # charged by another device: the cashier gives it back there
        by_code.with_user(self.cashier)._reverse("wrong room")
        self.assertEqual(by_code.state, "reversed")

    def test_invoice_blocks(self):
        topup = self.sell(30)
        self.patch(type(topup), "_has_invoice", lambda topup: True)
        self.assertIn("invoice", self.refused(topup))

    def test_who_may(self):
        topup = self.sell(30)
        with self.assertRaises(AccessError):
            topup.with_user(self.operator)._reverse("x")
        reversal = topup.with_user(self.cashier)._reverse("x")
        with self.assertRaises(AccessError):
            self.env["prepay.reversal"].with_user(self.cashier).create(
                {"topup_id": topup.id, "reason": "past the rules"}
            )
        with self.assertRaises(UserError):
            reversal.with_user(self.accountant)._reverse("undo")

    def test_supply_follows(self):
        """The money is gone: a room that lives on it is at zero again."""
        topup = self.sell(30)
        topup.with_user(self.cashier)._reverse("wrong room")
        self.assertNotEqual(self.account.level, "normal")
