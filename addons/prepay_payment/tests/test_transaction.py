from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import PaymentCase

TX = "odoo.addons.payment.models.payment_transaction"


@tagged("post_install", "-at_install")
class TestTransaction(PaymentCase):
    """Whatever payment provider of Odoo: a confirmed transaction credits its order once."""

    def setUp(self):
        super().setUp()
        self.named = self.order(50)
        self.tx = self.attempt(self.named)

    def provider_says(self, amount, currency="CNY", state="done"):
        """What a provider addon makes of a verified notification."""
        tx = type(self.tx)
        data = {"amount": amount, "currency_code": currency}
        self.patch(tx, "_extract_amount_data", lambda _tx, _data: data)
        self.patch(tx, "_apply_updates", lambda tx, _data: getattr(tx, f"_set_{state}")())
        self.tx._process(self.tx.provider_code, {"reference": self.tx.reference})
        self.env.flush_all()

    def test_done_credits_once_whatever_is_repeated(self):
        self.tx._set_pending()
        self.consume()
        self.assertEqual(self.available(), 0)
        for _ in range(3):
            self.tx._set_done()
            self.tx._post_process()
            self.consume()
        message = self.named.inbox_id
        self.assertEqual(self.messages(), message)
        self.assertEqual(
            (message.provider, message.merchant, message.transaction_id),
            (self.provider.code, str(self.provider.id), self.tx.reference),
        )
        self.assertEqual(self.available(), 50)
        self.assertTrue(self.tx.is_post_processed)

    def test_two_attempts_that_both_succeed(self):
        second = self.attempt(self.named)
        self.assertNotEqual(second.reference, self.tx.reference)
        self.tx._set_done()
        second._set_done()
        self.consume()
        self.assertEqual(self.available(), 50)
        self.assertEqual(self.case().reason, "double_payment")
        self.assertEqual(self.named.transaction_id, self.tx, "the one that paid")

    def test_cancelled_then_paid(self):
        self.tx._set_canceled()
        self.tx._post_process()
        self.assertEqual(self.named.state, "cancelled")
        self.tx._set_done()
        self.consume()
        self.assertEqual((self.tx.state, self.named.state), ("done", "done"))
        self.assertEqual(self.available(), 50)

    def test_another_attempt_keeps_the_order_open(self):
        self.attempt(self.named)
        self.tx._set_canceled()
        self.tx._post_process()
        self.assertEqual(self.named.state, "pending")

    def test_right_amount(self):
        self.provider_says(50)
        self.consume()
        self.assertEqual(self.available(), 50)

    def wrong(self, amount=500, currency="CNY"):
        """Never credited, never lost, in no state, however often it comes."""
        for _ in range(2):
            with mute_logger(TX):
                self.provider_says(amount, currency)
            self.consume()
        self.assertEqual(self.tx.state, "error")
        self.assertEqual(self.available(), 0)
        case = self.case()
        self.assertEqual((case.amount, case.currency), (amount, currency))
        return case

    def test_wrong_amount(self):
        self.assertEqual(self.wrong().reason, "amount")

    def test_wrong_amount_after_cancel(self):
        self.tx._set_canceled()
        self.wrong()

    def test_wrong_amount_after_error(self):
        self.tx._set_error("declined")
        self.wrong()

    def test_wrong_currency(self):
        self.assertEqual(self.wrong(50, "USD").reason, "currency")

    def test_no_amount_at_all(self):
        self.wrong(0)

    def test_wrong_amount_is_not_authorized(self):
        self.provider_says(5, state="authorized")
        self.assertEqual(self.tx.state, "error")

    def test_resolved_case_closes_the_transaction(self):
        case = self.wrong(49)
        case._credit(self.account, "credited what came")
        self.env.flush_all()
        self.assertEqual((self.tx.state, self.available()), ("done", 49))
        self.tx._post_process()
        self.consume()
        self.assertEqual(self.available(), 49)

    def test_repayment_opens_a_case(self):
        self.tx._set_done()
        self.consume()
        repayment = self.tx._create_child_transaction(50, is_refund=True)
        repayment._set_done()
        repayment._post_process()
        self.consume()
        case = self.case()
        self.assertEqual((case.reason, case.amount), ("refund", -50))
        self.assertFalse(repayment.payment_id)
        self.assertEqual(self.available(), 50)

    def test_partly_captured(self):
        """What came is told apart from what was ordered."""
        if self.provider.support_manual_capture:
            self.tx._set_authorized()
        part = self.tx._create_child_transaction(30)
        part._set_done()
        rest = self.tx._create_child_transaction(20)
        rest._set_canceled()
        self.tx._post_process()
        self.consume()
        self.assertEqual((self.case().reason, self.case().amount), ("amount", 30))

    def test_state_alone_is_no_payment(self):
        """Accounting users may write transactions: that moves no money of tenants."""
        self.tx.with_user(self.accountant).write({"state": "done"})
        self.tx._post_process()
        self.consume()
        self.assertFalse(self.messages())
        self.assertEqual(self.available(), 0)

    def test_other_transactions_stay_as_they_are(self):
        tx = self.attempt(self.named, prepay_topup_id=False, reference="S00042")
        tx._set_pending()
        tx._set_canceled()
        with mute_logger(TX):
            tx._set_done()
        self.assertEqual(tx.state, "cancel")
        self.assertFalse(self.messages())
