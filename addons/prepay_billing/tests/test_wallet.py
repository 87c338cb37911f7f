from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, new_test_user, tagged

from odoo.addons.prepay_billing.engine.ledger import Balance, free_money, unused_grants

from .common import BillingCase

FEN = st.decimals(min_value=-1000, max_value=1000, places=2)
MONEY = st.decimals(min_value=0, max_value=1000, places=2)
PROPERTY = settings(max_examples=200, deadline=None, database=None)


@given(FEN, FEN, MONEY)
@PROPERTY
def test_free_money_is_never_granted_money(principal, granted, accrued):
    free = free_money(Balance(principal, granted), accrued)
    assert Decimal(0) <= free <= max(principal, Decimal(0))
    # After it is paid out, the usage can still be paid.
    if free:
        assert principal - free + max(granted, Decimal(0)) - accrued >= 0


def test_free_money_cases():
    for principal, granted, accrued, expected in (
        ("100", "0", "0", "100"),
        ("100", "50", "60", "90"),
        ("100", "50", "50.001", "99.99"),
        ("-1", "50", "0", "0"),
        ("10", "-5", "3", "7"),
    ):
        wallet = Balance(Decimal(principal), Decimal(granted))
        assert free_money(wallet, Decimal(accrued)) == Decimal(expected)


@given(st.lists(MONEY, max_size=5), MONEY, FEN)
@PROPERTY
def test_unused_grants_are_what_is_left(grants, used, granted):
    left = unused_grants(grants, used, granted)
    assert all(Decimal(0) <= part <= whole for part, whole in zip(left, grants))
    assert sum(left) == min(max(sum(grants) - used, Decimal(0)), max(granted, Decimal(0)))


@tagged("post_install", "-at_install")
class TestWallet(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.second = new_test_user(
            cls.env,
            "accountant-2",
            groups="base.group_user,prepay_billing.group_accountant",
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
        )
        cls.target = cls._account(cls.other)

    def transfer(self, amount, user=None, **vals):
        return (
            self.env["prepay.transfer"]
            .with_user(user or self.accountant)
            .create(
                {
                    "account_id": self.account.id,
                    "target_id": self.target.id,
                    "amount": amount,
                    "reason": "moved to another room",
                    **vals,
                }
            )
        )

    def adjust(self, amount, user=None, **vals):
        return (
            self.env["prepay.wallet.adjustment"]
            .with_user(user or self.accountant)
            .create(
                {"account_id": self.account.id, "amount": amount, "reason": "counted wrong", **vals}
            )
        )

    def opening(self, amount):
        """Money taken over from a former system."""
        return self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": self.account,
                    "kind": "opening",
                    "amount": Decimal(amount),
                    "key": f"test:opening:{len(self.account.entry_ids)}",
                    "reason": "test",
                }
            ]
        )

    def test_state_and_approver_are_not_filled_in_by_hand(self):
        """A client that writes what only the buttons write would approve its own request."""
        transfer = self.transfer(10)
        for vals in ({"state": "done"}, {"requested_id": self.second.id}, {"number": "X"}):
            with self.assertRaises(AccessError):
                transfer.write(vals)
        with self.assertRaises(AccessError):
            self.transfer(10, state="waiting")

    def test_checkpoint_and_later_entries(self):
        self.topup(40)
        checkpoints = self.env["prepay.wallet.checkpoint"]
        newest = self.account.entry_ids[0].id
        checkpoints._fold(newest)
        checkpoint = checkpoints.search([("account_id", "=", self.account.id)])
        self.assertEqual((checkpoint.upto_id, checkpoint.principal), (newest, 40))
        self.topup(2.5)
        self.assertEqual(self.available(), Decimal("42.50"))
        checkpoints._fold(newest)
        self.assertEqual(self.available(), Decimal("42.50"), "folding twice adds nothing")
        self.assertFalse(self.env["prepay.ledger.entry"]._audit_money()["M-02"])

    def test_transfer_moves_exactly_once(self):
        self.topup(100)
        transfer = self.transfer(60)
        transfer.action_submit()
        self.assertEqual(transfer.state, "done")
        self.assertEqual((self.available(), self.available(self.target)), (40, 60))
        with self.assertRaises(UserError):
            transfer.action_submit()
        entries = transfer._entries()
        self.assertEqual(entries.mapped("amount"), [-60, 60])
        for entry in entries:
            self.assertEqual(entry.user_id, self.accountant)
            self.assertIn("moved to another room", entry.reason)
            self.assertEqual(entry.action_open_document()["res_id"], transfer.id)
        with self.assertRaises(UserError):
            transfer.amount = 50
        with self.assertRaises(UserError):
            transfer.unlink()

    def test_transfer_takes_own_money_only(self):
        """Neither granted money, nor overdraft, nor what is used already."""
        self.topup(20)
        self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": self.account, "kind": "grant", "bucket": "granted",
                    "amount": Decimal(30), "key": "test:grant", "reason": "test",
                }
            ]
        )  # fmt: skip
        self.account.overdraft_limit = 100
        self.read(150, 1)
        self.rate()
        self.assertEqual(self.account.accrued, 34)
        with self.assertRaises(UserError) as caught:
            self.transfer(20).action_submit()
        self.assertIn("16.00", str(caught.exception))
        self.assertIn("Zhang Wei", str(caught.exception))
        self.transfer(16).action_submit()
        self.assertEqual(self.available(), Decimal(100))

    def test_transfer_is_undone_once_with_what_is_left(self):
        self.topup(100)
        transfer = self.transfer(60)
        transfer.action_submit()
        wizard = self.env["prepay.wallet.operation"].with_user(self.accountant)
        action = transfer.action_reverse()
        wizard = wizard.with_context(**action["context"]).create({"reason": "wrong room"})
        wizard.action_confirm()
        self.assertEqual(transfer.state, "reversed")
        self.assertEqual((self.available(), self.available(self.target)), (100, 0))
        with self.assertRaises(UserError):
            transfer._reverse("again")
        spent = self.transfer(60)
        spent.action_submit()
        self.transfer(60, account_id=self.target.id, target_id=self.account.id).action_submit()
        with self.assertRaises(UserError) as caught:
            spent._reverse("gone")
        self.assertIn("is left", str(caught.exception))

    def test_large_amounts_need_two_people(self):
        self.topup(1000)
        for document in (self.transfer(500.01), self.adjust(-500.01)):
            document.action_submit()
            self.assertEqual(document.state, "waiting")
            self.assertFalse(document._entries())
            with self.assertRaises(UserError) as caught:
                document.action_approve()
            self.assertIn("Somebody else", str(caught.exception))
            with self.assertRaises(AccessError):
                document.with_user(self.cashier).action_approve()
        document.with_user(self.second).action_approve()
        self.assertEqual((document.state, document.approved_id), ("done", self.second))
        self.assertEqual(self.available(), Decimal("499.99"))
        with self.assertRaises(UserError):
            document.with_user(self.second)._reverse("by the one who posted")
        document._reverse("by another")
        self.assertEqual(self.available(), Decimal(1000))
        refused = self.adjust(501)
        refused.action_submit()
        refused.with_user(self.second).action_refuse()
        self.assertEqual(refused.state, "refused")
        self.company.prepay_four_eyes_limit = 1000
        small = self.adjust(501)
        small.action_submit()
        self.assertEqual(small.state, "done")

    def test_reversal_of_an_entry(self):
        """A wrong entry: the opposite once, while its money is there."""
        entry = self.opening(50)
        action = entry.action_reverse()
        with Form(
            self.env["prepay.wallet.adjustment"]
            .with_user(self.accountant)
            .with_context(**action["context"])
        ) as form:
            form.reason = "typed 50 for 5"
        form.record.action_submit()
        self.assertEqual(self.available(), Decimal(0))
        entry.invalidate_recordset()
        self.assertEqual(entry.reversed_by_id.reverses_id, entry)
        self.assertEqual(entry.reversed_by_id.reason, "typed 50 for 5")
        again = self.adjust(-50, entry_id=entry.id)
        with self.assertRaises(UserError) as caught:
            again.action_submit()
        self.assertIn("already", str(caught.exception))
        spent = self.opening(50)
        self.transfer(50).action_submit()
        with self.assertRaises(UserError) as caught:
            self.adjust(-50, entry_id=spent.id).action_submit()
        self.assertIn("is left", str(caught.exception))
        with self.assertRaises(ValidationError):
            self.adjust(-49, entry_id=spent.id)
        sold = self.topup(5).entry_id
        with self.assertRaises(UserError) as caught:
            self.adjust(-5, entry_id=sold.id).action_submit()
        self.assertIn("Open its document", str(caught.exception), "a sale is reversed itself")
        moved = self.target.entry_ids[0]
        with self.assertRaises(UserError) as caught:
            self.adjust(-50, account_id=self.target.id, entry_id=moved.id).action_submit()
        self.assertIn("Open its document", str(caught.exception))

    def test_frozen_account(self):
        """No money leaves; supply, top-ups and consumption go on."""
        self.topup(50)
        self.account.with_user(self.accountant)._freeze(True, "quarrel about the deposit")
        note = self.account.message_ids[0]
        self.assertIn("quarrel about the deposit", note.body)
        self.assertEqual(note.author_id, self.accountant.partner_id)
        for vals in ({}, {"account_id": self.target.id, "target_id": self.account.id}):
            with self.assertRaises(UserError) as caught:
                self.transfer(10, **vals).action_submit()
            self.assertIn("frozen", str(caught.exception))
        self.topup(5)
        self.read(110, 1)
        self.rate()
        self.env["prepay.charge"]._post_due(everything=True)
        self.assertEqual(self.available(), Decimal("48.20"))
        self.assertEqual(self.account.level, "normal")
        with self.assertRaises(AccessError):
            self.account.with_user(self.cashier)._freeze(False, "no")
        self.account.with_user(self.accountant)._freeze(False, "settled")
        self.transfer(10).action_submit()
        self.assertEqual(self.available(self.target), Decimal(10))

    def test_temporary_overdraft(self):
        self.account.overdraft_limit = 5
        with self.assertRaises(ValidationError):
            self.account.temporary_overdraft = 20
        today = fields.Datetime.now().astimezone(self.room._zone()).date()
        for until, expected in ((0, 25), (1, 25), (-1, 5)):
            self.account.write(
                {
                    "temporary_overdraft": 20,
                    "temporary_until": today + timedelta(days=until),
                    "overdraft_reason": "wages come late",
                }
            )
            self.assertEqual(self.available(), expected)
            self.assertEqual((self.account.overdraft, self.account.available), (expected,) * 2)

    def test_separate_balances_of_a_room(self):
        water = self._meter(
            "W-1", "00000000000009", profile_id=self.env.ref("prepay_meter.profile_cjt188").id
        )
        with self.assertRaises(ValidationError) as caught:
            self.account.medium = "water"
        self.assertIn("M-1", str(caught.exception))
        tariff = self.env["prepay.tariff"].create(
            {
                "name": "Water", "company_id": self.company.id, "medium": "water",
                "version_ids": [(0, 0, {"valid_from": self.start, "price": 3})],
            }
        )  # fmt: skip
        self.account.medium = "electricity"
        supply = {"meter_id": water.id, "tariff_id": tariff.id}
        with self.assertRaises(ValidationError):
            self.account.supply_ids = [(0, 0, supply)]
        account = self.env["prepay.account"].create(
            {
                "partner_id": self.tenant.id, "location_id": self.room.id, "medium": "water",
                "supply_ids": [(0, 0, supply)],
            }
        )  # fmt: skip
        self.topup(10)
        self.assertEqual((self.available(), self.available(account)), (10, 0))

    def test_running_balance(self):
        for amount in (10, 20, 30):
            self.topup(amount)
        self.adjust(-5).action_submit()
        entries = self.account.entry_ids.sorted("id")
        self.assertEqual(entries.mapped("running_balance"), [10, 30, 60, 55])

    def test_companies_are_apart(self):
        other = self.env["res.company"].create({"name": "Other"})
        room = self.env["prepay.location"].create(
            {"name": "X", "kind": "room", "company_id": other.id}
        )
        foreign = self.env["prepay.account"].create(
            {"partner_id": self.tenant.id, "location_id": room.id}
        )
        self.topup(50)
        with self.assertRaises(UserError):
            self.transfer(10, user=self.env.user, target_id=foreign.id)

    def test_audit_passes_and_names_what_is_wrong(self):
        self.topup(50)
        self.transfer(20).action_submit()
        entry = self.opening(5)
        self.adjust(-5, entry_id=entry.id).action_submit()
        audit = self.env["prepay.wallet.audit"]
        found = self.env["prepay.ledger.entry"]._audit_money()
        mine = [self.account.id, self.target.id]
        self.assertFalse([row for rows in found.values() for row in rows if row[0] in mine])
        action = audit.with_user(self.auditor).action_audit()
        passed = audit.browse(action["res_id"])
        self.assertEqual((passed.state, passed.problem_count), ("passed", 0))
        self.assertEqual(passed.user_id, self.auditor)
        with self.assertRaises(AccessError):
            audit.with_user(self.cashier).action_audit()
        self.env["prepay.wallet.checkpoint"]._fold(self.account.entry_ids[0].id)
        bad = (
            "INSERT INTO prepay_ledger_entry (account_id, company_id, kind, bucket, amount, key, at, "
            "reason, user_id, res_model, res_id, reverses_id) VALUES "
        )
        row = "(%s, %s, '%s', '%s', %s, 'bad:%s', now(), 'x', 1, 'prepay.transfer', 0, %s)"
        first = self.account.entry_ids[-1].id
        values = [
            ("M-01", self.company.id, "topup", "granted", 1, "NULL"),
            ("M-01 transfer", self.company.id, "transfer", "principal", 3, "NULL"),
            ("M-03", self.company.id, "reversal", "principal", -1, first),
            ("M-08", self.company.id, "refund", "principal", -5000, "NULL"),
            ("M-09", self.env.ref("base.main_company").id, "topup", "principal", 1, "NULL"),
        ]
        for rule, company, kind, bucket, amount, reverses in values:
            self.env.cr.execute(
                bad + row % (self.account.id, company, kind, bucket, amount, rule, reverses)
            )
        self.env.cr.execute(
            "UPDATE prepay_wallet_checkpoint SET principal = principal + 1 WHERE account_id = %s",
            [self.account.id],
        )
        found = self.env["prepay.ledger.entry"]._audit_money()
        for rule in (*(value[0] for value in values), "M-02"):
            self.assertIn(self.account.id, [row[0] for row in found[rule]], rule)
        failed = audit._run()
        self.assertEqual(failed.state, "failed")
        self.assertIn("M-02 · ", failed.details)
        self.assertIn(self.auditor.partner_id, failed.message_ids.notified_partner_ids)

    def test_trigger_switched_off_is_found(self):
        self.env.cr.execute("ALTER TABLE prepay_ledger_entry DISABLE TRIGGER USER")
        found = self.env["prepay.ledger.entry"]._audit_money()
        self.assertIn((None, "trigger"), found["M-03"])

    def test_who_may_move_money(self):
        for model in ("prepay.transfer", "prepay.wallet.adjustment", "prepay.shared.cost"):
            for user in (self.cashier, self.auditor, self.operator, self.admin):
                for operation in ("write", "create", "unlink"):
                    self.assertFalse(self.env[model].with_user(user).has_access(operation))
            self.assertTrue(self.env[model].with_user(self.accountant).has_access("create"))
        for model in ("prepay.wallet.checkpoint", "prepay.wallet.guard", "prepay.wallet.audit"):
            for user in (self.accountant, self.auditor, self.admin):
                self.assertFalse(self.env[model].with_user(user).has_access("write"))
