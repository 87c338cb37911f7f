"""No fen comes or goes with a change of tenancy, whatever the amounts; two at once are one."""

from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odoo.tests import tagged

from .test_closing import TenancyCase

FEN = st.integers(min_value=1, max_value=40_000)
WH = st.integers(min_value=0, max_value=60_000)


@tagged("post_install", "-at_install")
class TestTenancyMoney(TenancyCase):
    def within(self, check):
        """Run a case and take it back."""
        savepoint = self.env.cr.savepoint()
        try:
            check()
        finally:
            savepoint.close(rollback=True)
            self.env.invalidate_all()

    def parts(self, accounts):
        """Own, granted, accrued of all accounts, and what was paid in and out at the counter."""
        money = accounts._money().values()
        entries = self.env["prepay.ledger.entry"].search([("account_id", "in", accounts.ids)])

        def total(*kinds):
            return sum(
                (Decimal(f"{entry.amount:.2f}") for entry in entries if entry.kind in kinds),
                Decimal(0),
            )

        return (
            sum(own + granted for own, granted, _accrued in money),
            sum(accrued for _own, _granted, accrued in money),
            total("topup"),
            total("refund"),
            total("charge", "correction"),
            total("transfer"),
            total("grant", "expiry"),
        )

    def balanced(self, accounts):
        """What is in the wallets is what was paid in, paid out, given, lapsed and used."""
        held, _accrued, paid_in, paid_out, used, moved, given = self.parts(accounts)
        reversals = sum(
            Decimal(f"{entry.amount:.2f}")
            for entry in accounts.entry_ids.filtered(lambda entry: entry.kind == "reversal")
        )
        self.assertEqual(moved, 0)
        self.assertEqual(held, paid_in + paid_out + used + given + reversals)

    def use(self, accounts):
        """Exact use that was charged or accrued, and what was posted of it."""
        self.env.cr.execute(
            "SELECT COALESCE(SUM(exact_amount), 0)::text, "
            "COALESCE(SUM(amount) FILTER (WHERE state = 'posted'), 0)::text, "
            "COALESCE(SUM(quantity_base) FILTER (WHERE kind = 'usage'), 0)::text "
            "FROM prepay_charge WHERE account_id = ANY(%s)",
            [accounts.ids],
        )
        return tuple(map(Decimal, self.env.cr.fetchone()))

    @settings(
        max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(paid=FEN, granted=st.integers(min_value=0, max_value=2_000), first=WH, rest=WH)
    def test_closing_and_undo(self, paid, granted, first, rest):
        def check():
            self.company.prepay_four_eyes_limit = 10_000
            self.topup(Decimal(paid) / 100)
            if granted:
                self.env["prepay.ledger.entry"]._post(
                    [
                        {
                            "account": self.account,
                            "kind": "grant",
                            "bucket": "granted",
                            "amount": Decimal(granted) / 100,
                            "key": f"grant-{paid}-{granted}",
                            "reason": "subsidy",
                        }
                    ]
                )
            self.read_ago(Decimal(100_000 + first) / 1000, 20)
            self.rate()
            self.read_ago(Decimal(100_000 + first + rest) / 1000, 5)
            closing = self.env["prepay.closing"].create({"account_id": self.account.id})
            shown = (closing.result, closing.expected)
            closing.action_confirm()
            self.assertEqual(shown[1], abs(closing.amount))
            self.assertEqual(self.money(), (0, 0, 0))
            self.balanced(self.account)
            exact, posted, used = self.use(self.account)
            self.assertEqual(used, first + rest)
            self.assertLessEqual(abs(exact - posted), Decimal("0.005"))
            self.assertEqual(posted - exact, Decimal(str(closing.remainder)))
            if closing.topup_id:
                return
            closing._reverse("property")
            self.balanced(self.account)
            own, given, _accrued = self.money()
            self.assertEqual(own + given, Decimal(paid) / 100 + Decimal(granted) / 100 - posted)

        self.within(check)

    @settings(
        max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(paid=FEN, used=WH, way=st.sampled_from(["refund", "move"]))
    def test_handover(self, paid, used, way):
        def check():
            self.company.prepay_four_eyes_limit = 10_000
            self.topup(Decimal(paid) / 100)
            self.read_ago(Decimal(100_000 + used) / 1000, 5)
            owes = Decimal(paid) / 100 < Decimal(used) * Decimal("0.00068")
            tenant = self.env["res.partner"].create({"name": "Next"})
            handover = self.env["prepay.handover"].create(
                {
                    "account_id": self.account.id,
                    "new_partner_id": tenant.id,
                    "way": "refund" if owes else way,
                    "consent": True,
                }
            )
            handover.action_confirm()
            both = self.account | handover.new_account_id
            self.assertEqual(self.money(), (0, 0, 0))
            self.balanced(both)
            self.assertEqual(self.use(both)[2], used)

        self.within(check)
