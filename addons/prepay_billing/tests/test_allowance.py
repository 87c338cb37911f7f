from datetime import date, timedelta
from decimal import Decimal

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import new_test_user, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestAllowance(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.second_room = cls.env["prepay.location"].create(
            {"name": "B-102", "kind": "room", "parent_id": cls.project.id}
        )
        cls.mate = cls._account(cls.other)

    def plan(self, **vals):
        return self.env["prepay.allowance"].create(
            {
                "name": "Free energy",
                "company_id": self.company.id,
                "location_id": self.project.id,
                "basis": "quantity",
                "quantity": 20,
                "per": "account",
                "date_from": "2026-01-01",
                **vals,
            }
        )

    def granted(self, account=None):
        account = account or self.account
        return account._money()[account.id][1]

    def test_quantity_at_the_present_price_exactly_once(self):
        plan = self.plan()
        drafts = plan._draft(date(2026, 5, 20))
        self.assertEqual(drafts.mapped("amount"), [13.6, 13.6])
        self.assertEqual(self.granted(), 0, "a preview posts nothing")
        grants = plan._grant(date(2026, 5, 20))
        self.assertEqual(set(grants.mapped("state")), {"granted"})
        self.assertEqual(self.granted(), Decimal("13.60"))
        self.assertFalse(plan._grant(date(2026, 5, 31)), "the period has been granted")
        self.assertEqual(self.granted(), Decimal("13.60"))
        plan._grant(date(2026, 6, 1))
        self.assertEqual(self.granted(), Decimal("27.20"))
        entry = grants[0].entry_id
        self.assertEqual((entry.kind, entry.bucket), ("grant", "granted"))
        self.assertIn("Free energy", entry.reason)
        self.assertEqual(entry.action_open_document()["res_id"], grants[0].id)

    def test_room_shares_and_persons(self):
        plan = self.plan(basis="money", amount=10.01, per="room")
        self.assertEqual(
            {account: share for account, (_heads, share) in plan._shares().items()},
            {self.account: Decimal("5.01"), self.mate: Decimal("5.00")},
        )
        self.mate.location_id = self.second_room
        self.assertEqual(
            [share for _heads, share in plan._shares().values()], [Decimal("10.01")] * 2
        )
        plan.per = "person"
        heads, share = plan._shares()[self.account]
        self.assertEqual((heads, share), (self.account._heads(), Decimal("10.01") * heads))

    def test_used_before_own_money_and_rest_cleared(self):
        """Own money is never touched by the clearing."""
        self.topup(50)
        plan = self.plan()
        grant = plan._grant(date(2026, 5, 1)).filtered(lambda item: item.account_id == self.account)
        self.read(110, 1)
        self.rate()
        self.env["prepay.charge"]._post_due(everything=True)
        plan._clear_unused(date(2026, 5, 31))
        self.assertEqual(self.granted(), Decimal("6.80"), "the period is not over")
        self.assertEqual(grant.state, "granted")
        plan._clear_unused(date(2026, 6, 1))
        self.assertEqual((grant.state, grant.cleared), ("closed", 6.8))
        self.assertEqual(self.account._money()[self.account.id][:2], (50, 0))
        entry = grant.expiry_entry_id
        self.assertEqual((entry.kind, entry.bucket, entry.amount), ("expiry", "granted", -6.8))
        before = self.account.entry_ids
        plan._clear_unused(date(2026, 7, 1))
        self.assertEqual(self.account.entry_ids, before, "a second run clears nothing")

    def test_open_usage_delays_the_clearing(self):
        plan = self.plan(
            date_from=date.today().replace(day=1),
            period="term",
            date_to=date.today() + timedelta(days=1),
        )
        grant = plan._grant(date.today()).filtered(lambda item: item.account_id == self.account)
        self.read(110, 1)
        self.rate()
        plan._clear_unused(date.today() + timedelta(days=3))
        self.assertEqual(grant.state, "granted", "usage of the term is not posted yet")
        self.env["prepay.charge"]._post_due(everything=True)
        plan._clear_unused(date.today() + timedelta(days=3))
        self.assertEqual((grant.state, grant.cleared), ("closed", 6.8))

    def test_kept_grants_stay(self):
        plan = self.plan(unused="kept")
        plan._grant(date(2026, 5, 1))
        plan._clear_unused(date(2026, 9, 1))
        self.assertEqual(self.granted(), Decimal("13.60"))

    def test_once_and_term(self):
        once = self.plan(period="once", date_from="2026-03-01")
        self.assertEqual(len(once._grant(date(2026, 3, 5))), 2)
        self.assertFalse(once._grant(date(2026, 8, 5)))
        term = self.plan(period="term", date_from="2026-03-01", date_to="2026-07-10")
        self.assertEqual(term._grant(date(2026, 3, 5)).mapped("date_to"), [date(2026, 7, 10)] * 2)
        with self.assertRaises(UserError) as caught:
            term._grant(date(2026, 7, 11))
        self.assertIn("does not hold", str(caught.exception))
        with self.assertRaises(ValidationError):
            self.plan(period="term")

    def test_scheduled_run(self):
        plan = self.plan()
        with self.enter_registry_test_mode():
            self.env.ref("prepay_billing.ir_cron_allowances").method_direct_trigger()
            self.env.ref("prepay_billing.ir_cron_allowances").method_direct_trigger()
        self.assertEqual(self.granted(), Decimal("13.60"))
        self.assertEqual(len(plan.grant_ids), 2)

    def test_who_may_grant(self):
        plan = self.plan()
        for user in (self.cashier, self.operator):
            with self.assertRaises(AccessError):
                plan.with_user(user).action_grant()
        plan.with_user(self.accountant).action_preview()
        self.assertEqual(set(plan.grant_ids.mapped("state")), {"draft"})
        plan.with_user(self.accountant).action_grant()
        self.assertEqual(plan.grant_ids.entry_id.user_id, self.accountant)

    def test_above_the_limit_a_second_person_approves(self):
        second = new_test_user(
            self.env,
            "accountant-2-t",
            groups="base.group_user,prepay_billing.group_accountant",
            company_id=self.company.id,
            company_ids=[(6, 0, self.company.ids)],
        )
        self.company.prepay_four_eyes_limit = 500
        plan = self.plan(basis="money", amount=250)
        self.assertEqual(plan.state, "active", "500 in a period is the limit")
        plan = plan.with_user(self.accountant)
        plan.amount = 250.01
        self.assertEqual(plan.state, "waiting")
        self.assertEqual(plan.action_grant()["tag"], "display_notification")
        self.assertFalse(plan._grant(date(2026, 5, 20)))
        self.assertEqual(self.granted(), 0)
        with self.assertRaises(UserError):
            plan.action_approve()
        with self.assertRaises(AccessError):
            plan.write({"state": "active", "approved_id": second.id})
        plan.with_user(second).action_approve()
        self.assertEqual((plan.state, plan.approved_id), ("active", second))
        with self.assertRaises(UserError):
            plan.with_user(second).action_approve()
        plan._grant(date(2026, 5, 20))
        self.assertEqual(self.granted(), Decimal("250.01"))
        plan.name = "Another name"
        self.assertEqual(plan.approved_id, second, "a name is no term")
        plan.with_user(second).per = "person"
        self.assertEqual((plan.state, plan.requested_id), ("waiting", second))
        self.assertFalse(plan.approved_id)
        self.assertFalse(plan._grant(date(2026, 6, 20)))

    def test_rooms_that_come_later_take_a_plan_above_the_limit(self):
        self.company.prepay_four_eyes_limit = 25
        plan = self.plan(basis="money", amount=12)
        self.assertEqual(plan.state, "active")
        self.assertEqual(len(plan._grant(date(2026, 5, 1))), 2)
        self._account(self._meter("M-900", "000000000900"))
        self.assertFalse(plan._grant(date(2026, 5, 2)), "36 in this month")
        self.assertEqual(plan.state, "waiting")
        self.assertEqual(set(plan.grant_ids.mapped("state")), {"granted", "draft"})
