from odoo.tests import HttpCase, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestTours(BillingCase, HttpCase):
    def test_counter_sale(self):
        """The cashier sells on the screen, from the list of accounts to the receipt."""
        self.start_tour("/odoo/prepay-accounts", "prepay_counter_sale", login=self.cashier.login)
        topup = self.account.topup_ids
        self.assertEqual((topup.amount, topup.state, topup.cashier_id), (50, "done", self.cashier))

    def test_receipt_layout(self):
        """A field is switched off and is gone in the preview, without code."""
        layout = self.env["prepay.receipt.layout"].create(
            {"name": "Tour layout", "company_id": self.company.id, "sequence": -1}
        )
        admin = self._user("layout-t", "prepay_meter.group_admin")
        self.start_tour("/odoo/prepay-receipt-layouts", "prepay_receipt_layout", login=admin.login)
        phone = layout.field_ids.filtered(lambda line: line.key == "phone")
        self.assertFalse(phone.shown)
