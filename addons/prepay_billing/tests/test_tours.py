from odoo.tests import HttpCase, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestTours(BillingCase, HttpCase):
    def test_counter_sale(self):
        """The cashier sells on the screen, from the list of accounts to the receipt."""
        self.start_tour("/odoo/prepay-accounts", "prepay_counter_sale", login=self.cashier.login)
        topup = self.account.topup_ids
        self.assertEqual((topup.amount, topup.state, topup.cashier_id), (50, "done", self.cashier))

    def test_shift(self):
        """Open the shift, reverse a wrong sale, count and hand in, in Chinese."""
        self.env["res.lang"]._activate_lang("zh_CN")
        self.env["ir.module.module"].search([("name", "=", "prepay_billing")])._update_translations(
            ["zh_CN"]
        )
        self.cashier.lang = "zh_CN"
        self.start_tour("/odoo/prepay-my-shift", "prepay_shift_open", login=self.cashier.login)
        shift = self.env["prepay.shift"].search([("user_id", "=", self.cashier.id)])
        self.assertEqual((shift.state, shift.opening_float), ("open", 200))
        topup = self.env["prepay.topup"].create(
            {"account_id": self.account.id, "amount": 500, "cashier_id": self.cashier.id}
        )
        topup._credit()
        self.start_tour(
            f"/odoo/prepay-topups/{topup.id}", "prepay_reverse_sale", login=self.cashier.login
        )
        self.assertEqual(topup.state, "reversed")
        self.start_tour("/odoo/prepay-my-shift", "prepay_shift_hand_in", login=self.cashier.login)
        shift.invalidate_recordset()
        self.assertEqual((shift.state, shift.counted_cash, shift.difference), ("closed", 200, 0))

    def test_closing(self):
        """The operator closes an account in Chinese, with a register that was read by hand."""
        self.env["res.lang"]._activate_lang("zh_CN")
        self.operator.group_ids += self.env.ref("prepay_billing.group_cashier")
        self.operator.lang = "zh_CN"
        self.topup(20)
        self.read(105, 1)
        self.start_tour("/odoo/prepay-accounts", "prepay_closing", login=self.operator.login)
        closing = self.env["prepay.closing"].search([("account_id", "=", self.account.id)])
        self.assertEqual((closing.state, closing.amount), ("done", 13.54))
        self.assertEqual(self.account.state, "closed")
