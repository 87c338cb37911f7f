from odoo.tests import HttpCase, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestShiftTours(BillingCase, HttpCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["res.lang"]._activate_lang("zh_CN")
        cls.cashier.lang = "zh_CN"

    def test_shift(self):
        """Open the shift, reverse a wrong sale, count and hand in, in Chinese."""
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
        self.accountant.lang = "zh_CN"
        self.start_tour("/odoo/prepay-shifts", "prepay_shift_receive", login=self.accountant.login)
        shift.invalidate_recordset()
        self.assertEqual((shift.state, shift.confirmed_by_id), ("confirmed", self.accountant))
