from odoo.tests import HttpCase, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestTours(BillingCase, HttpCase):
    def test_counter_sale(self):
        """The cashier sells on the screen, from the list of accounts to the receipt."""
        self.start_tour("/odoo/prepay-accounts", "prepay_counter_sale", login=self.cashier.login)
        topup = self.account.topup_ids
        self.assertEqual((topup.amount, topup.state, topup.cashier_id), (50, "done", self.cashier))
