from odoo.tests import HttpCase, tagged

from .common_opening import OpeningCase


@tagged("post_install", "-at_install")
class TestOpeningTours(OpeningCase, HttpCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["res.lang"]._activate_lang("zh_CN")
        cls.staff.lang = "zh_CN"

    def test_open_an_account(self):
        """From the list of accounts to the opened account, with keyboard and mouse, in Chinese."""
        self.start_tour("/odoo/prepay-accounts", "prepay_opening", login=self.staff.login)
        account = self.free.account_ids
        self.assertEqual((account.partner_id.name, account.balance), ("李娜", 120))
        self.assertEqual(account.topup_ids.amount, 100)

    def test_open_presets(self):
        """One press opens all presets; the one that cannot be opened shows why."""
        self._meter("P-9", "000000000109", location_id=self._room("C-109").id)
        bad = self.env["prepay.location"].search([("name", "=", "C-109")])
        self.preset(location_id=bad.id)
        self.preset(amount=10)
        self.start_tour("/odoo/prepay-openings", "prepay_opening_many", login=self.staff.login)
        self.assertEqual(self.free.account_ids.balance, 10)
        self.assertFalse(bad.account_ids)
