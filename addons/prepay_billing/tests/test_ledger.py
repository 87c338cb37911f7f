from datetime import timedelta, timezone
from decimal import Decimal

import psycopg2
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestLedger(BillingCase):
    def posting(self, **vals):
        return {
            "account": self.account,
            "kind": "topup",
            "amount": Decimal("10.00"),
            "key": "test:1",
            "reason": "test",
            **vals,
        }

    def test_same_key_posts_once(self):
        first = self.env["prepay.ledger.entry"]._post([self.posting()])
        again = self.env["prepay.ledger.entry"]._post([self.posting()])
        self.assertEqual(first, again)
        self.assertEqual(self.available(), Decimal("10"))

    def test_entries_never_change(self):
        """The database itself refuses, for every role (M-03)."""
        entry = self.env["prepay.ledger.entry"]._post([self.posting()])
        for statement in (
            "UPDATE prepay_ledger_entry SET amount = 99 WHERE id = %s",
            "UPDATE prepay_ledger_entry SET reason = 'x', move_id = NULL WHERE id = %s",
            "DELETE FROM prepay_ledger_entry WHERE id = %s",
        ):
            with (
                mute_logger("odoo.sql_db"),
                self.assertRaises(psycopg2.errors.CheckViolation),
                self.env.cr.savepoint(),
            ):
                self.env.cr.execute(statement, [entry.id])

    def test_refusals_name_account_value_and_remedy(self):
        cases = [
            ({"amount": Decimal("0")}, "zero"),
            ({"amount": Decimal("-5")}, "sign"),
            ({"amount": Decimal("1.005")}, "two decimals"),
            ({"amount": Decimal("2000000")}, "1,000,000"),
        ]
        for vals, words in cases:
            with self.assertRaises(UserError) as caught:
                self.env["prepay.ledger.entry"]._post([self.posting(**vals)])
            self.assertIn(words, str(caught.exception))
            self.assertIn("Zhang Wei", str(caught.exception))

    def test_reversal_cancels_exactly_and_only_once(self):
        entry = self.env["prepay.ledger.entry"]._post([self.posting()])
        reversal = self.posting(
            kind="reversal", amount=Decimal("-10.00"), key="test:r", reverses=entry
        )
        self.env["prepay.ledger.entry"]._post([reversal])
        self.assertEqual(self.available(), Decimal(0))
        with (
            mute_logger("odoo.sql_db"),
            self.assertRaises(psycopg2.IntegrityError),
            self.env.cr.savepoint(),
        ):
            self.env["prepay.ledger.entry"]._post([{**reversal, "key": "test:r2"}])

    def test_balance_equals_sum_of_entries(self):
        """M-02 by SQL."""
        self.topup(33.33)
        self.read(110, 1)
        self.rate()
        self.env["prepay.charge"]._post_due(everything=True)
        available = self.available()
        self.env.cr.execute(
            "SELECT sum(amount)::text FROM prepay_ledger_entry WHERE account_id = %s",
            [self.account.id],
        )
        self.assertEqual(Decimal(self.env.cr.fetchone()[0]), available)

    def test_who_may_see_entries(self):
        entry = self.env["prepay.ledger.entry"]._post([self.posting()])
        for user in (self.cashier, self.accountant, self.auditor):
            self.assertEqual(entry.with_user(user).read(["amount"])[0]["amount"], 10)
            for operation in ("write", "create", "unlink"):
                self.assertFalse(entry.with_user(user).has_access(operation))
        with self.assertRaises(AccessError):
            entry.with_user(self.operator).read(["amount"])

    def test_general_ledger_follows(self):
        accounts = self._accounting()
        first, second = self.topup(50), self.topup(25.5)
        move = self.env["prepay.ledger.entry"]._post_topups(self.company)
        self.assertEqual(move.state, "posted")
        self.assertEqual(
            {line.account_id: line.balance for line in move.line_ids},
            {accounts[0]: 75.5, accounts[1]: -75.5},
        )
        self.assertEqual((first.entry_id | second.entry_id).move_id, move)
        self.assertEqual(move.prepay_entry_count, 2)
        self.assertFalse(
            self.env["prepay.ledger.entry"]._post_topups(self.company), "nothing is posted twice"
        )

    def test_company_without_accounts_keeps_the_money_waiting(self):
        """Money that was received is never refused; it reaches the general ledger later."""
        topup = self.topup(50)
        with self.enter_registry_test_mode():
            self.env.ref("prepay_billing.ir_cron_general_ledger").method_direct_trigger()
        self.assertEqual(topup.state, "done")
        self.assertFalse(topup.move_id)
        self.assertIn("Prepayment Liability", self.company.prepay_ledger_problem)
        self.assertEqual(self.available(), Decimal("50"))

    def test_locked_period_is_never_posted_into(self):
        """The entry goes to the first open day and names the day of the money (M-10)."""
        self._accounting()
        locked = fields.Date.today() + timedelta(days=1)
        self.company.fiscalyear_lock_date = locked
        topup = self.topup(50)
        move = self.env["prepay.ledger.entry"]._post_topups(self.company)
        self.assertEqual(topup.move_id, move)
        self.assertEqual(move.state, "posted")
        self.assertGreater(move.date, locked)
        day = topup.paid_at.replace(tzinfo=timezone.utc).astimezone(self.room._zone()).date()
        self.assertIn(str(day), move.line_ids[0].name)

    def _accounting(self):
        account = self.env["account.account"].with_company(self.company)
        cash = account.create({"name": "Cash", "code": "100100", "account_type": "asset_cash"})
        liability = account.create(
            {"name": "Prepaid", "code": "220400", "account_type": "liability_current"}
        )
        self.company._prepay_create_accounting()
        self.assertEqual(self.company.prepay_liability_account_id, liability)
        self.assertEqual(self.company.prepay_cash_account_id, cash)
        self.assertTrue(self.company.prepay_journal_id)
        return cash, liability
