from odoo.tests import HttpCase, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestReceiptTours(BillingCase, HttpCase):
    def test_receipt_layout(self):
        """A field is switched off and is gone in the preview, without code."""
        layout = self.env["prepay.receipt.layout"].create(
            {"name": "Tour layout", "company_id": self.company.id, "sequence": -1}
        )
        admin = self._user("layout-t", "prepay_meter.group_admin")
        self.start_tour("/odoo/prepay-receipt-layouts", "prepay_receipt_layout", login=admin.login)
        phone = layout.field_ids.filtered(lambda line: line.key == "phone")
        self.assertFalse(phone.shown)
