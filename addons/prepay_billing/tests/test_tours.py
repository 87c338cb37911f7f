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
