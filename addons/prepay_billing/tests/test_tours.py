from odoo.tests import HttpCase, tagged

from .test_counter import CounterCase


@tagged("post_install", "-at_install")
class TestTours(CounterCase, HttpCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["res.lang"]._activate_lang("zh_CN")
        cls.cashier.write({"lang": "zh_CN", "prepay_print_sale": False})

    def sales(self):
        return [(topup.amount, topup.state, topup.method) for topup in self.account.topup_ids]

    def test_counter_sale(self):
        """The cashier sells with the mouse, from the list of accounts to the new balance."""
        self.start_tour("/odoo/prepay-accounts", "prepay_counter_sale", login=self.cashier.login)
        self.assertEqual(self.sales(), [(50, "done", "cash")])
        self.assertEqual(self.account.topup_ids.cashier_id, self.cashier)

    def test_counter_keyboard(self):
        """Keys only: a refusal, cash with change, a second press, kilowatt-hours; six strokes at most."""
        self.reported(self.meter, "closed")
        self.start_tour("/odoo/prepay-counter", "prepay_counter_keyboard", login=self.cashier.login)
        self.assertEqual(
            self.sales(), [(6.8, "done", "cash"), (50, "done", "card"), (50, "done", "cash")]
        )

    def test_counter_water_and_power(self):
        """One sale for the two accounts of a room, in a narrow window."""
        self.water()
        neighbour = self.room.copy({"name": "B-102", "code": False})
        self.env["prepay.account"].create(
            {"partner_id": self.tenant.id, "location_id": neighbour.id}
        )
        self.browser_size = "600x900"
        self.start_tour("/odoo/prepay-counter", "prepay_counter_water", login=self.cashier.login)
        topups = self.env["prepay.topup"].search([("location_id", "=", self.room.id)])
        self.assertEqual(sorted(topups.mapped("amount")), [20, 30])
        self.assertEqual(len(set(topups.mapped("sale_key"))), 1)

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

    def test_counter_reverse(self):
        """A wrong sale is taken back from the list of the last sales at the counter."""
        topup = self.env["prepay.topup"].create(
            {"account_id": self.account.id, "amount": 70, "cashier_id": self.cashier.id}
        )
        topup._credit()
        self.start_tour("/odoo/prepay-accounts", "prepay_counter_reverse", login=self.cashier.login)
        self.assertEqual((topup.state, topup.reversal_id.reason), ("reversed", "房间选错"))

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
