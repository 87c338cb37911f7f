from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from .common import PaymentCase


@tagged("post_install", "-at_install")
class TestAccess(PaymentCase):
    def test_matrix(self):
        """(model, user, operations allowed)"""
        none, read, write = set(), {"read"}, {"read", "write"}
        matrix = (
            ("prepay.payment.inbox", self.accountant, read),
            ("prepay.payment.inbox", self.auditor, read),
            ("prepay.payment.inbox", self.admin, read),
            ("prepay.payment.inbox", self.cashier, none),
            ("prepay.payment.inbox", self.operator, none),
            ("prepay.payment.inbox", self.portal_user, none),
            ("prepay.payment.inbox", self.env.ref("base.public_user"), none),
            ("prepay.suspense", self.accountant, write),
            ("prepay.suspense", self.auditor, read),
            ("prepay.suspense", self.admin, read),
            ("prepay.suspense", self.cashier, none),
            ("prepay.suspense", self.operator, none),
            ("prepay.suspense", self.portal_user, none),
            ("prepay.suspense", self.env.ref("base.public_user"), none),
            ("prepay.account", self.portal_user, read),
            ("prepay.topup", self.portal_user, read),
            ("prepay.ledger.entry", self.portal_user, none),
            ("prepay.account", self.env.ref("base.public_user"), none),
            ("prepay.topup", self.env.ref("base.public_user"), none),
        )
        for model, user, allowed in matrix:
            found = {
                operation
                for operation in ("read", "write", "create", "unlink")
                if self.env[model].with_user(user).has_access(operation)
            }
            self.assertEqual(found, allowed, f"{model} {user.login}")

    def test_tenants_see_their_own(self):
        mine, theirs = self.order(50), self.order(20, self.stranger_account)
        for user, account, order in (
            (self.portal_user, self.account, mine),
            (self.stranger_user, self.stranger_account, theirs),
        ):
            self.assertEqual(self.env["prepay.account"].with_user(user).search([]), account)
            self.assertEqual(self.env["prepay.topup"].with_user(user).search([]), order)
        with self.assertRaises(AccessError):
            theirs.with_user(self.portal_user).read(["amount"])
        with self.assertRaises(AccessError):
            self.stranger_account.with_user(self.portal_user)._order_online(50)

    def test_tenants_do_not_see_the_machinery(self):
        order = self.paid_order().with_user(self.portal_user)
        for field in ("inbox_id", "transaction_id", "transaction_ids"):
            with self.assertRaises(AccessError):
                order.read([field])

    def test_transaction_links_are_not_writable(self):
        tx = self.attempt(self.order(50)).with_user(self.accountant)
        for vals in (
            {"prepay_topup_id": self.order(70).id},
            {"prepay_message": {"paid": True}},
            {"prepay_inbox_id": False},
        ):
            with self.assertRaises(AccessError):
                tx.write(vals)

    def test_other_companies_messages_are_hidden(self):
        self.receive()
        self.consume()
        second = self.env["res.company"].create({"name": "Second factory"})
        outsider = self._user("outsider-t", "prepay_billing.group_accountant")
        outsider.write({"company_ids": [(6, 0, second.ids)], "company_id": second.id})
        for model in (self.inbox, self.cases):
            self.assertTrue(model.with_user(self.accountant).search([]))
            theirs = model.with_user(outsider).with_context(allowed_company_ids=second.ids)
            self.assertFalse(theirs.search([]))

    def test_online_is_no_method_of_the_counter(self):
        counter = self.env["prepay.counter"].with_user(self.cashier)
        with self.assertRaises(UserError) as caught:
            counter._sell([(self.account.with_user(self.cashier), 50)], "online")
        self.assertEqual(caught.exception.context["field"], "method")
        methods = [method["code"] for method in counter.setup()["methods"]]
        self.assertNotIn("online", methods)
        self.assertIn("cash", methods)

    def test_screens_open_for_those_who_may(self):
        self.receive()
        self.consume()
        order = self.paid_order()
        for user in (self.accountant, self.auditor, self.cashier):
            Form(order.with_user(user), view="prepay_billing.prepay_topup_view_form")
        for user in (self.accountant, self.auditor):
            Form(self.case().with_user(user))
            Form(order.inbox_id.with_user(user))
