from decimal import Decimal

import psycopg2
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..models import prepay_payment_inbox
from .common import PaymentCase


@tagged("post_install", "-at_install")
class TestInbox(PaymentCase):
    def test_paid_order_is_credited(self):
        order = self.order(50)
        self.assertEqual((order.state, order.method), ("pending", "online"))
        self.assertRegex(order.order_ref, r"^[0-9A-Z]{14,32}$")
        tx = self.attempt(order)
        self.assertTrue(self.receive(order))
        self.consume()
        message = order.inbox_id
        self.assertEqual((order.state, order.amount), ("done", 50))
        self.assertEqual((message.state, message.topup_id), ("credited", order))
        self.assertEqual(order.paid_at, message.received_at)
        self.assertTrue(order.number, "a receipt number like every top-up")
        self.assertFalse(order.cashier_id)
        receipt = order._issue_receipt()
        self.assertEqual((receipt.kind, receipt.amount), ("topup", 50))
        self.assertEqual(receipt.snapshot["external_number"], "4200000001")
        self.assertEqual(self.available(), 50)
        self.assertEqual((tx.state, tx.provider_reference), ("done", "4200000001"))
        self.assertFalse(self.cases.search([("inbox_id", "in", self.messages().ids)]))

    def test_ten_repetitions_credit_once(self):
        order = self.order(50)
        self.attempt(order)
        self.assertEqual(
            [self.receive(order) for _ in range(10)], [True] + [False] * 9, "stored once"
        )
        self.consume()
        self.assertFalse(self.receive(order), "and once for ever")
        self.consume()
        self.assertEqual(self.available(), 50)
        self.assertFalse(self.cases.search([("inbox_id", "in", self.messages().ids)]))

    def test_order_of_arrival_does_not_matter(self):
        orders = [self.order(amount) for amount in (10, 20, 30)]
        for order in orders:
            self.attempt(order)
        for order in reversed(orders):
            self.receive(order, transaction_id=f"T{order.id}")
            self.receive(order, transaction_id=f"T{order.id}", paid=False)
        self.consume()
        self.assertEqual({order.state for order in orders}, {"done"})
        self.assertEqual(self.available(), 60)

    def test_message_without_money_changes_nothing(self):
        order = self.order(50)
        self.attempt(order)
        self.receive(order, paid=False)
        self.consume()
        self.assertEqual(self.messages().state, "ignored")
        self.assertEqual(order.state, "pending")

    def test_late_success_after_cancel(self):
        order = self.order(50)
        self.attempt(order)
        order._cancel_order()
        self.assertEqual(order.state, "cancelled")
        self.receive(order)
        self.consume()
        self.assertEqual((order.state, self.available()), ("done", 50))

    def suspended(self, reason, order, **vals):
        self.receive(order, **vals)
        self.consume()
        case = self.case()
        self.assertEqual((case.reason, case.state), (reason, "open"))
        self.assertEqual(case.inbox_id.state, "suspense")
        self.assertEqual(self.available(), 0)
        return case

    def test_unknown_order(self):
        case = self.suspended("unknown_order", None)
        self.assertFalse(case.account_id)

    def test_message_without_order(self):
        self.suspended("unknown_order", None, order_reference=None)

    def test_wrong_amount(self):
        order = self.order(50)
        self.attempt(order)
        case = self.suspended("amount", order, amount=Decimal("49.99"))
        self.assertEqual((case.order_id, case.account_id), (order, self.account))
        self.assertEqual(case.amount, 49.99)

    def test_wrong_currency(self):
        order = self.order(50)
        self.attempt(order)
        self.suspended("currency", order, currency="USD")

    def test_other_merchant(self):
        order = self.order(50)
        self.attempt(order)
        self.suspended("other_merchant", order, merchant="1900000109")

    def test_channel_that_was_not_asked(self):
        self.suspended("other_merchant", self.order(50))

    def test_closed_account(self):
        order = self.order(50)
        self.attempt(order)
        self.account.state = "closed"
        self.suspended("account_closed", order)

    def test_paid_back_by_the_channel(self):
        order = self.paid_order(50)
        self.receive(order, transaction_id="R1", amount=Decimal(-50))
        self.consume()
        self.assertEqual(self.case().reason, "refund")
        self.assertEqual(self.available(), 50)

    def test_double_payment(self):
        order = self.paid_order(50)
        self.receive(order, transaction_id="4200000002")
        self.consume()
        self.assertEqual(self.case().reason, "double_payment")
        self.assertEqual(self.available(), 50)

    def test_second_company(self):
        """Money that another company's merchant account received is that company's."""
        order = self.order(50)
        self.attempt(order)
        second = self.env["res.company"].create({"name": "Second factory"})
        provider = self._provider(second)
        self.receive(order, company=second, merchant=provider._prepay_merchant())
        self.consume()
        case = self.case()
        self.assertEqual((case.reason, case.company_id), ("other_merchant", second))
        self.assertFalse(case.account_id, "nothing of the first company is named")
        self.assertFalse(self.cases.with_user(self.accountant).search([]))

    def test_attempt_in_another_company_does_not_open_its_merchant(self):
        second = self.env["res.company"].create({"name": "Second factory"})
        order = self.order(50)
        self.attempt(order, self._provider(second))
        self.assertFalse(order._merchants())

    def test_one_bad_message_does_not_hold_up_the_others(self):
        bad, good = self.order(50), self.order(20)
        self.attempt(bad)
        self.attempt(good)
        self.receive(bad, transaction_id="B1")
        self.receive(good, transaction_id="G1")
        topups = type(self.env["prepay.topup"])
        credit = topups._credit

        def fail(topup):
            if topup == bad:
                raise ValueError("boom")
            return credit(topup)

        self.patch(topups, "_credit", fail)
        with mute_logger("odoo.addons.prepay_payment.models.prepay_payment_inbox"):
            self.consume()
        case = self.case()
        self.assertEqual((case.reason, case.detail), ("failed", "boom"))
        self.assertEqual((bad.state, good.state), ("pending", "done"))

    def test_conflict_begins_again(self):
        """A counter sale that holds the receipt numbers delays the batch, nothing more."""
        order = self.order(50)
        self.attempt(order)
        self.receive(order)
        consume, seen = type(self.inbox)._consume_batch, []

        def conflict(inbox, limit):
            seen.append(limit)
            if len(seen) < 3:
                raise psycopg2.errors.LockNotAvailable
            return consume(inbox, limit)

        self.patch(type(self.inbox), "_consume_batch", conflict)
        self.patch(self.env.cr, "rollback", lambda: None)
        self.patch(prepay_payment_inbox.time, "sleep", lambda _seconds: None)
        self.consume()
        self.assertEqual(seen, [20, 1, 1, 1], "again, one by one, until nothing is left")
        self.assertEqual(order.state, "done")

    def test_conflict_for_ever_fails_loudly(self):
        def conflict(_inbox, _limit):
            raise psycopg2.errors.LockNotAvailable

        self.patch(type(self.inbox), "_consume_batch", conflict)
        self.patch(self.env.cr, "rollback", lambda: None)
        self.patch(prepay_payment_inbox.time, "sleep", lambda _seconds: None)
        with self.assertRaises(psycopg2.OperationalError):
            self.consume()

    def test_messages_are_append_only(self):
        order = self.paid_order()
        message = order.inbox_id
        for statement in (
            "UPDATE prepay_payment_inbox SET amount = 500 WHERE id = %s",
            "UPDATE prepay_payment_inbox SET payload = 'x' WHERE id = %s",
            "UPDATE prepay_payment_inbox SET state = 'new' WHERE id = %s",
            "DELETE FROM prepay_payment_inbox WHERE id = %s",
        ):
            with (
                self.assertRaises(psycopg2.errors.CheckViolation),
                mute_logger("odoo.sql_db"),
                self.env.cr.savepoint(),
            ):
                self.env.cr.execute(statement, [message.id])

    def test_no_credit_without_a_message(self):
        order = self.order(50)
        with (
            self.assertRaises(psycopg2.errors.CheckViolation),
            mute_logger("odoo.sql_db"),
            self.env.cr.savepoint(),
        ):
            order._credit()
            self.env.flush_all()
        self.assertEqual(self.available(), 0)

    def test_message_credits_one_topup(self):
        order = self.paid_order(50)
        with (
            self.assertRaises(psycopg2.errors.UniqueViolation),
            mute_logger("odoo.sql_db"),
            self.env.cr.savepoint(),
        ):
            self.order(20).inbox_id = order.inbox_id
            self.env.flush_all()

    def test_pending_orders_are_cancelled_after_a_day(self):
        old, young = self.order(50), self.order(20)
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_topup SET create_date = create_date - interval '25 h' WHERE id = %s",
            [old.id],
        )
        self.env.invalidate_all()
        self.env["prepay.topup"]._gc_pending_orders()
        self.assertEqual((old.state, young.state), ("cancelled", "pending"))
