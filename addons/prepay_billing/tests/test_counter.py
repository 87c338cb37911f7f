from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestCounter(BillingCase):
    def sale(self, user=None, **vals):
        wizard = self.env["prepay.sale.wizard"].with_user(user or self.cashier)
        return wizard.create({"account_id": self.account.id, "amount": 50, **vals})

    def test_cashier_sells(self):
        with Form(self.env["prepay.sale.wizard"].with_user(self.cashier)) as form:
            form.account_id = self.account.with_user(self.cashier)
            form.amount = 50
            form.received = 100
            self.assertEqual(form.change, 50)
            self.assertEqual(form.available_after, 50)
        action = form.record.action_sell()
        self.assertEqual(action["report_name"], "prepay_billing.report_receipt")
        topup = self.account.topup_ids
        self.assertEqual((topup.state, topup.cashier_id, topup.amount), ("done", self.cashier, 50))
        self.assertEqual((topup.balance_before, topup.balance_after), (0, 50))
        self.assertEqual(topup.entry_id.user_id, self.cashier)
        self.assertEqual(self.account.available, 50)

    def test_refused_sale_takes_no_number(self):
        first = int(self.topup(1).number[-6:])
        with self.assertRaises(UserError):
            self.sale(amount=-1).action_sell()
        self.assertEqual(int(self.topup(1).number[-6:]), first + 1)

    def test_refusals(self):
        for vals, words in (
            ({"amount": 0}, "above zero"),
            ({"amount": -5}, "above zero"),
            ({"amount": 5001}, "largest sale"),
            ({"amount": 50, "received": 20}, "less than the amount"),
        ):
            with self.assertRaises(UserError) as caught:
                self.sale(**vals).action_sell()
            self.assertIn(words, str(caught.exception))
        self.account.state = "closed"
        with self.assertRaises(UserError) as caught:
            self.sale().action_sell()
        self.assertIn("closed", str(caught.exception))
        self.assertFalse(self.account.topup_ids, "nothing half done")

    def test_second_press_is_asked_about(self):
        self.sale().action_sell()
        again = self.sale()
        with self.assertRaises(UserError) as caught:
            again.action_sell()
        self.assertIn("Sell Once More", str(caught.exception))
        again.confirm_duplicate = True
        again.action_sell()
        self.assertEqual(self.account.available, 100)

    def test_only_cashiers_sell(self):
        for user in (self.operator, self.auditor, self.accountant):
            with self.assertRaises(AccessError):
                self.sale(user)
        with self.assertRaises(AccessError):
            self.env["prepay.topup"].with_user(self.cashier).create(
                {"account_id": self.account.id, "amount": 9}
            )

    def test_crediting_twice_credits_once(self):
        topup = self.topup(30)
        topup._credit()
        topup.state = "draft"  # as after a crash that lost the state but not the posting
        topup._credit()
        self.assertEqual(self.account.available, 30)

    def test_credited_topup_cannot_be_deleted(self):
        with self.assertRaises(UserError):
            self.topup(30).unlink()

    def test_search_by_room_name_phone_meter(self):
        search = self.env["prepay.account"].with_user(self.cashier).name_search
        for words in ("B-101", "Zhang", "13800000001", "M-1", self.account.number):
            self.assertIn(self.account.id, [found[0] for found in search(words)], words)
