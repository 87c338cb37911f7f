from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from .common import PaymentCase


@tagged("post_install", "-at_install")
class TestSuspense(PaymentCase):
    def setUp(self):
        super().setUp()
        self.receive()
        self.consume()
        self.unknown = self.case()

    def resolve(self, user=None, outcome="credit", account=None, case=None):
        wizard = (
            self.env["prepay.suspense.wizard"]
            .with_user(user or self.accountant)
            .create(
                {
                    "suspense_id": (case or self.unknown).id,
                    "outcome": outcome,
                    "account_id": (account or self.account).id if outcome == "credit" else False,
                    "reason": "The tenant showed the receipt",
                }
            )
        )
        wizard.action_resolve()
        self.env.cr.flush()  # the chatter is written before the commit

    def test_accountant_credits(self):
        self.resolve()
        case, topup = self.unknown, self.unknown.topup_id
        self.assertEqual((case.state, case.resolved_by_id), ("credited", self.accountant))
        self.assertEqual((topup.account_id, topup.amount), (self.account, 50))
        self.assertEqual((topup.method, topup.inbox_id), ("online", case.inbox_id))
        self.assertEqual(topup.entry_id.user_id, self.accountant)
        self.assertEqual((case.inbox_id.state, case.inbox_id.topup_id), ("credited", topup))
        self.assertEqual(self.available(), 50)
        self.assertIn(
            "The tenant showed the receipt",
            case.message_ids.sudo().tracking_value_ids.mapped("new_value_char"),
        )

    def test_credited_once(self):
        self.resolve()
        for outcome in ("credit", "return"):
            with self.assertRaises(UserError) as caught:
                self.resolve(outcome=outcome)
            self.assertIn("resolved already", str(caught.exception))
        self.assertEqual(self.available(), 50)

    def test_accountant_marks_as_returned(self):
        self.resolve(outcome="return")
        self.assertEqual((self.unknown.state, self.unknown.topup_id.id), ("returned", False))
        self.assertEqual(self.unknown.inbox_id.state, "suspense")
        self.assertEqual(self.available(), 0)

    def test_only_accountants_resolve(self):
        for user in (self.cashier, self.auditor, self.operator, self.admin, self.portal_user):
            with self.assertRaises(AccessError):
                self.resolve(user)

    def test_a_case_changes_only_by_its_resolution(self):
        case = self.unknown.with_user(self.accountant)
        for vals in ({"state": "returned"}, {"amount": 500}, {"account_id": self.account.id}):
            with self.assertRaises(AccessError):
                case.write(vals)
        case.message_post(body="Called the tenant")
        with self.assertRaises(AccessError):
            case.unlink()

    def test_closed_account_and_other_company_are_refused(self):
        self.account.state = "closed"
        with self.assertRaises(UserError) as caught:
            self.resolve()
        self.assertIn("closed", str(caught.exception))
        second = self.env["res.company"].create({"name": "Second factory"})
        self.env.user.company_ids += second
        self.receive(company=second, merchant="other")
        self.consume()
        foreign = self.cases.search([("company_id", "=", second.id)])
        with self.assertRaises(AccessError):
            self.resolve(case=foreign)
        with self.assertRaises(UserError):
            foreign._credit(self.stranger_account, "reason")

    def test_foreign_currency_and_repayment_cannot_be_credited(self):
        self.receive(transaction_id="U1", currency="USD")
        self.receive(transaction_id="R1", amount=-5)
        self.consume()
        for case in self.cases.search(
            [("id", "!=", self.unknown.id), ("company_id", "=", self.company.id)]
        ):
            with self.assertRaises(UserError):
                self.resolve(case=case)
            self.resolve(outcome="return", case=case)
        self.assertEqual(self.available(), 0)

    def test_buttons_open_the_wizard(self):
        order = self.order(50)
        self.attempt(order)
        self.receive(order, transaction_id="A1", amount=49)
        self.consume()
        case = self.cases.search([("order_id", "=", order.id)]).with_user(self.accountant)
        context = case.action_credit()["context"]
        self.assertEqual(context["default_account_id"], self.account.id)
        self.assertEqual(case.action_return()["context"]["default_outcome"], "return")
        self.assertEqual(case.display_name, "Amount differs · 49.00 CNY")
