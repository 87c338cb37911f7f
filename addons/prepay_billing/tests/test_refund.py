from datetime import timedelta
from decimal import Decimal

from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, new_test_user, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestRefund(BillingCase):
    def refund(self, amount, user=None, **vals):
        return (
            self.env["prepay.refund"]
            .with_user(user or self.cashier)
            .create(
                {"account_id": self.account.id, "amount": amount, "reason": "moves out", **vals}
            )
        )

    def refused(self, amount, **vals):
        with self.assertRaises(UserError) as caught:
            self.refund(amount, **vals).action_submit()
        return str(caught.exception)

    def test_cashier_pays_out_own_money(self):
        self.topup(100)
        self.read(150, 1)  # 50 kWh at 0.68
        self.rate()
        with Form(
            self.env["prepay.refund"]
            .with_user(self.cashier)
            .with_context(default_account_id=self.account.id)
        ) as form:
            form.amount = 66
            form.reason = "moves out"
        refund = form.record
        self.assertEqual(refund.available, 66)
        refund.action_submit()
        self.assertEqual(refund.state, "done")
        self.assertEqual(self.available(), Decimal(0))
        entry = refund._entries()
        self.assertEqual((entry.kind, entry.amount, entry.user_id), ("refund", -66, self.cashier))
        self.assertEqual((refund.balance_before, refund.balance_after), (66, 0))
        self.assertEqual(refund.requested_id, self.cashier)
        receipt = self.env["prepay.receipt"].search(
            [("res_model", "=", "prepay.refund"), ("res_id", "=", refund.id)]
        )
        self.assertEqual(receipt.kind, "refund")
        with self.assertRaises(UserError):
            refund.action_submit()
        with self.assertRaises(UserError):
            refund.amount = 1
        self.assertEqual(len(self.account.entry_ids.filtered(lambda e: e.kind == "refund")), 1)

    def test_refused(self):
        self.topup(100)
        self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": self.account, "kind": "grant", "bucket": "granted",
                    "amount": Decimal(50), "key": "test:grant", "reason": "test",
                }
            ]
        )  # fmt: skip
        self.account.overdraft_limit = 30
        message = self.refused("100.01")
        self.assertIn("100.00", message, "neither granted money nor the overdraft is paid out")
        self.assertIn("Zhang Wei", message)
        for amount in (0, -5):
            with self.assertRaises(Exception) as caught, self.cr.savepoint():
                self.refund(amount)
                self.env.flush_all()
            self.assertIn("prepay_refund_amount_positive", str(caught.exception))
        with self.assertRaises(ValidationError) as caught:
            self.refund(10.125)
        self.assertIn("10.125", str(caught.exception))
        self.account.with_user(self.accountant)._freeze(True, "dispute")
        self.assertIn("frozen", self.refused(10))
        self.account.with_user(self.accountant)._freeze(False, "settled")
        self.assertEqual(self.available(), 180)

    def test_above_the_limit_another_person_approves(self):
        self.topup(1000)
        other = self._user("accountant-2", "prepay_billing.group_accountant")
        refund = self.refund(500.01)
        refund.action_submit()
        self.assertEqual((refund.state, self.available()), ("waiting", 1000))
        asked = refund.sudo().activity_ids
        self.assertLessEqual(self.accountant + other, asked.user_id)
        self.assertEqual(len(asked), len(asked.user_id), "one for each accountant")
        self.assertNotIn(self.cashier, asked.user_id)
        self.assertIn(refund.number, asked[0].summary)
        self.assertIn("500.01", asked[0].summary)
        with self.assertRaises(UserError):
            refund.action_print_receipt()
        with self.assertRaises(AccessError):
            refund.action_approve()
        own = self.refund(600, user=self.accountant)
        own.action_submit()
        with self.assertRaises(UserError) as caught:
            own.action_approve()
        self.assertIn("Somebody else", str(caught.exception))
        refund.with_user(self.accountant).action_approve()
        self.assertEqual((refund.state, refund.approved_id), ("done", self.accountant))
        self.assertFalse(refund.sudo().activity_ids)
        self.assertEqual(refund.requested_id, self.cashier)
        self.assertEqual(self.available(), Decimal("499.99"))
        asked = own.sudo().activity_ids
        self.assertIn(other, asked.user_id)
        self.assertNotIn(own.requested_id, asked.user_id, "who asked is not asked")
        own.action_refuse()
        self.assertFalse(own.sudo().activity_ids)
        self.assertEqual(own.state, "refused", "who asked may withdraw")
        # Used meanwhile: the approval looks again.
        late = self.refund(499.99)
        late.action_submit()
        self.assertEqual(late.state, "done")
        self.company.prepay_four_eyes_limit = 0
        self.topup(10)
        waiting = self.refund(10)
        waiting.action_submit()
        self.env["prepay.refund"].browse(late.id)
        self.account.with_user(self.accountant)._freeze(True, "dispute")
        with self.assertRaises(UserError):
            waiting.with_user(self.accountant).action_approve()

    def test_who_may(self):
        self.topup(10)
        with self.assertRaises(AccessError):
            self.refund(5, user=self.operator)
        refund = self.refund(5)
        with self.assertRaises(AccessError):
            refund.write({"state": "done"})
        other = self.env["res.company"].create({"name": "Other"})
        stranger = new_test_user(
            self.env,
            "cashier-other",
            groups="base.group_user,prepay_billing.group_cashier",
            company_id=other.id,
            company_ids=[(6, 0, other.ids)],
        )
        with self.assertRaises(AccessError):
            refund.with_user(stranger).read(["amount"])

    def test_reversal_of_a_refund_on_its_day(self):
        self.topup(50)
        refund = self.refund(20)
        refund.action_submit()
        wizard = self.env["prepay.wallet.operation"].with_user(self.accountant)
        action = refund.with_user(self.accountant).action_reverse()
        wizard.with_context(**action["context"]).create({"reason": "wrong room"}).action_confirm()
        self.assertEqual((refund.state, self.available()), ("reversed", 50))
        old = self.refund(20)
        old.action_submit()
        old.sudo().posted_at = fields.Datetime.now() - timedelta(days=1, hours=1)
        with self.assertRaises(UserError) as caught:
            old.with_user(self.accountant)._reverse("late")
        self.assertIn("another day", str(caught.exception))
