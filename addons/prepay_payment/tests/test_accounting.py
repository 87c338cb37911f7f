from odoo.tests import tagged

from .common import PaymentCase


@tagged("post_install", "-at_install")
class TestAccounting(PaymentCase):
    def balances(self, move):
        return {line.account_id: line.balance for line in move.line_ids}

    def test_online_money_stands_with_the_channel(self):
        self.paid_order(50)
        self.topup(30)
        move = self.env["prepay.ledger.entry"]._post_topups(self.company)
        self.assertEqual(move.state, "posted")
        self.assertEqual(
            self.balances(move),
            {
                self.company.prepay_clearing_account_id: 50,
                self.company.prepay_cash_account_id: 30,
                self.company.prepay_liability_account_id: -80,
            },
        )
        self.assertFalse(self.env["prepay.ledger.entry"]._post_topups(self.company))

    def test_clearing_account_of_the_channel(self):
        account = self.company.prepay_clearing_account_id.copy(
            {"name": "Channel", "code": "101299", "company_ids": [(6, 0, self.company.ids)]}
        )
        self.provider.prepay_clearing_account_id = account
        self.paid_order(50)
        move = self.env["prepay.ledger.entry"]._post_topups(self.company)
        self.assertEqual(self.balances(move)[account], 50)

    def test_no_second_entry_by_a_payment(self):
        order = self.order(50)
        tx = self.attempt(order)
        tx._set_done()
        self.consume()
        tx._post_process()
        self.assertFalse(tx.payment_id)

    def test_clearing_account_is_made_once(self):
        account = self.company.prepay_clearing_account_id
        self.assertTrue(account.reconcile)
        self.assertFalse(self.company._prepay_create_accounting())
        self.assertEqual(self.company.prepay_clearing_account_id, account)
