from odoo.exceptions import UserError
from odoo.tests import tagged

from .common import PaymentCase


@tagged("post_install", "-at_install")
class TestInFlight(PaymentCase):
    """S-01: no cut while a payment may still arrive."""

    def setUp(self):
        super().setUp()
        self.reported(self.meter, "closed")
        self.topup(10)
        self.read(120, 5.9)
        self.rate()
        self.assertLess(self.available(), 0)
        self.account._update_levels()  # grace begins

    def in_flight(self):
        accounts = self.account | self.stranger_account
        return accounts._payment_in_flight()

    def age(self, order, minutes):
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_topup SET create_date = create_date - %s * interval '1 min'"
            " WHERE id = %s",
            [minutes, order.id],
        )
        self.env.invalidate_all()

    def test_nothing_in_flight(self):
        self.assertFalse(self.in_flight())
        self.assertEqual(self.account._evaluate_supply().action, "open")

    def test_pending_order_blocks_the_cut(self):
        order = self.order(50)
        self.assertEqual(self.in_flight(), self.account)
        decision = self.account._decide()[self.meter]
        self.assertEqual(decision.blocked_by, ("payment",))
        self.assertFalse(self.account._evaluate_supply())
        self.age(order, 16)
        self.assertFalse(self.in_flight(), "an order is no supply for ever")
        self.assertEqual(self.account._evaluate_supply().action, "open")

    def test_pending_order_blocks_refund_and_closing(self):
        """What may still arrive belongs to a settlement."""
        self.topup(50)
        user = self._user("pays-out", "prepay_billing.group_accountant")
        refund = (
            self.env["prepay.refund"]
            .with_user(user)
            .create({"account_id": self.account.id, "amount": 10, "reason": "too much"})
        )
        order = self.order(50)
        with self.assertRaisesRegex(UserError, "on its way"):
            refund.action_submit()
        closing = self.env["prepay.closing"].create({"account_id": self.account.id})
        with self.assertRaisesRegex(UserError, "payment"):
            closing._check_account(self.account)
        self.age(order, 16)
        refund.action_submit()
        self.assertEqual(refund.state, "done")
        closing._check_account(self.account)

    def test_unpaid_orders_do_not_buy_power(self):
        for cents in range(21):
            self.age(self.order(10 + cents / 100), 1)
        self.assertFalse(self.in_flight())

    def test_message_not_worked_off_blocks_the_cut(self):
        order = self.order(50)
        self.attempt(order)
        self.age(order, 60)
        self.receive(order)
        self.assertEqual(self.in_flight(), self.account)
        self.consume()
        self.assertFalse(self.in_flight())

    def test_open_case_blocks_the_cut(self):
        order = self.order(50)
        self.attempt(order)
        self.age(order, 60)
        self.receive(order, amount=40)
        self.consume()
        self.assertEqual(self.in_flight(), self.account)
        self.case()._return("sent back")
        self.assertFalse(self.in_flight())

    def test_repayment_does_not_block(self):
        order = self.paid_order(10)
        self.receive(order, transaction_id="R1", amount=-10)
        self.assertFalse(self.in_flight())
        self.consume()
        self.assertFalse(self.in_flight())

    def test_paid_means_power(self):
        cut = self.account._evaluate_supply().command_id
        self.confirm(cut)
        order = self.paid_order(100)
        command = self.meter.command_ids[0]
        self.assertEqual((command.target, command.cause), ("closed", "restore"))
        steps = {step["code"]: step["state"] for step in order._progress()}
        self.assertEqual(
            steps, {"paid": "done", "credited": "done", "command": "done", "confirmed": "active"}
        )
        self.confirm(command)
        self.assertEqual(order._progress()[-1]["state"], "done")

    def test_progress_of_failure(self):
        self.confirm(self.account._evaluate_supply().command_id)
        order = self.paid_order(2)
        self.assertEqual(order._progress()[-1]["code"], "power")
        self.assertEqual(order._progress()[-1]["state"], "failed", "still used up")
        order = self.paid_order(100)
        self.meter.command_ids[0].state = "expired"
        self.assertEqual(order._progress()[-1]["state"], "failed")
        self.meter.command_ids[0].state = "unproven"
        self.assertEqual(order._progress()[-1], {"code": "power", "state": "waiting", "at": False})

    def test_progress_with_the_power_on(self):
        order = self.order(100)
        states = [step["state"] for step in order._progress()]
        self.assertEqual(states, ["active", "waiting", "waiting", "waiting"])
        self.attempt(order)
        self.receive(order)
        self.consume()
        self.assertEqual({step["state"] for step in order._progress()}, {"done"})
        self.reported(self.meter, None)
        self.assertEqual(order._progress()[-1]["state"], "waiting", "nobody knows")
