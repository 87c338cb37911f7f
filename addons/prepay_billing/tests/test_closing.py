"""Closing an account: the last use is charged, the money goes to zero once, and back when undone."""

from datetime import datetime, timedelta
from decimal import Decimal

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from .common import BillingCase


class TenancyCase(BillingCase):
    """Meters of the tests are read five minutes ago at the latest."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.operator.group_ids += cls.env.ref("prepay_billing.group_cashier")
        cls.company.prepay_four_eyes_limit = 500
        cls.now = datetime.now().replace(microsecond=0)

    def read_ago(self, kwh, minutes=5, meter=None):
        at = self.now - timedelta(minutes=minutes)
        self.env["prepay.reading"]._ingest(
            [((meter or self.meter).id, "energy", at, int(Decimal(str(kwh)) * 1000))]
        )
        return at

    def total(self, accounts=None):
        """Own and granted money less what is used and not posted, of all these accounts."""
        accounts = accounts or self.env["prepay.account"].search([])
        return sum(own + granted - used for own, granted, used in accounts._money().values())

    def money(self, account=None):
        account = account or self.account
        return account._money()[account.id]

    def check_ledger(self):
        """No rule of the ledger is broken."""
        found = self.env["prepay.ledger.entry"]._audit_money()
        self.assertFalse({rule: rows for rule, rows in found.items() if rows})

    def reverse(self, document, reason="typing mistake"):
        operation = (
            self.env["prepay.wallet.operation"]
            .with_user(self.env.user if document.env.su else document.env.user)
            .create(
                {
                    "operation": "reverse",
                    "document": f"{document._name},{document.id}",
                    "reason": reason,
                }
            )
        )
        operation.action_confirm()


@tagged("post_install", "-at_install")
class TestClosing(TenancyCase):
    def closing(self, account=None, user=None, **vals):
        return (
            self.env["prepay.closing"]
            .with_user(user or self.operator)
            .create({"account_id": (account or self.account).id, **vals})
        )

    def test_refund(self):
        """Used: 100 to 112.345 kWh at 0.68, of which only some was charged before."""
        self.topup(100)
        self.read(105, 1)
        self.rate()
        self.env["prepay.charge"]._post_due(everything=True)
        self.read(108, 2)
        self.rate()
        at = self.read_ago("112.345")
        closing = self.closing()
        self.assertEqual(closing.line_ids.meter_id, self.meter)
        self.assertEqual((closing.line_ids.register, closing.line_ids.read_at), (112.345, at))
        # exact: 100 - 12.345 x 0.68 = 91.6054
        self.assertEqual((closing.result, closing.expected), ("refund", 91.61))
        self.assertFalse(closing.settlement_problem)
        self.assertIn("112.345", closing.settlement_html)
        self.assertEqual(self.account.state, "open", "shown, not done")
        self.assertFalse(self.account.supply_ids.end_at)
        closing.action_confirm()
        supply = self.account.supply_ids
        self.assertEqual((closing.state, self.account.state), ("done", "closed"))
        self.assertEqual(self.account.closed_on, fields.Date.today())
        self.assertEqual((supply.end_at, supply.rated_at, supply.rated_value), (at, at, 112_345))
        self.assertEqual(self.money(), (0, 0, 0))
        refund = closing.refund_id
        self.assertEqual((refund.state, refund.amount, refund.method), ("done", 91.61, "cash"))
        self.assertEqual(refund.requested_id, self.operator)
        self.assertEqual(refund.source_id, closing.sudo())
        self.assertEqual(closing.amount, 91.61)
        # what was charged, what was paid out and the fraction that is left over are what was paid
        exact = Decimal(100) - Decimal("12.345") * Decimal("0.68")
        left = Decimal(str(closing.remainder))
        self.assertEqual(Decimal("91.61") + left, exact)
        self.assertFalse(self.meter.account_id)
        self.assertTrue(self.account.company_id)
        self.check_ledger()

    def test_second_press_and_second_document(self):
        self.topup(10)
        self.read_ago(101)
        closing = self.closing()
        closing.action_confirm()
        with self.assertRaisesRegex(UserError, closing.number):
            closing.action_confirm()
        with self.assertRaisesRegex(UserError, "confirmed"):
            closing.cut_power = True
        with self.assertRaisesRegex(UserError, "confirmed"):
            closing.line_ids.register = 105
        with self.assertRaisesRegex(UserError, "draft"):
            closing.unlink()
        self.assertEqual(len(self.env["prepay.refund"].search([])), 1)

    def test_collects_arrears(self):
        self.topup(1)
        self.read_ago(110)  # 10 kWh cost 6.80
        closing = self.closing(collect_method="card")
        self.assertEqual((closing.result, closing.expected), ("collect", 5.80))
        closing.action_confirm()
        topup = closing.topup_id
        self.assertEqual((topup.amount, topup.method, topup.state), (5.80, "card", "done"))
        self.assertEqual(closing.amount, -5.80)
        self.assertEqual(self.money(), (0, 0, 0))
        self.check_ledger()

    def test_nothing_open(self):
        self.topup(Decimal("6.80"))
        self.read_ago(110)
        closing = self.closing()
        self.assertEqual(closing.result, "none")
        closing.action_confirm()
        self.assertFalse(closing.refund_id or closing.topup_id or closing.transfer_id)
        self.assertEqual(self.account.state, "closed")

    def test_granted_money_lapses(self):
        self.topup(10)
        self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": self.account,
                    "kind": "grant",
                    "bucket": "granted",
                    "amount": Decimal(20),
                    "key": "grant-test",
                    "reason": "subsidy",
                }
            ]
        )
        self.read_ago(110)  # 6.80 of the granted money
        closing = self.closing()
        self.assertEqual(closing.expected, 10)
        closing.action_confirm()
        self.assertEqual((closing.amount, closing.lapsed), (10, 13.20))
        self.assertEqual(self.money(), (0, 0, 0))
        lapse = self.account.entry_ids.filtered(lambda entry: entry.kind == "expiry")
        self.assertEqual((lapse.amount, lapse.bucket), (-13.20, "granted"))
        self.check_ledger()

    def test_moves_to_another_account(self):
        target = self._account(self.other)
        self.topup(50)
        self.read_ago(110)
        self.read_ago(100, meter=self.other)
        before = self.total()
        closing = self.closing(way="move", target_id=target.id)
        closing.action_confirm()
        self.assertEqual(self.money(), (0, 0, 0))
        self.assertEqual(self.money(target)[0], Decimal("43.20"))
        self.assertEqual(closing.transfer_id.state, "done")
        self.assertEqual(before - Decimal("6.80"), self.total())
        self.check_ledger()

    def test_debt_moves_only_when_the_other_account_has_the_money(self):
        target = self._account(self.other)
        self.read_ago(110)
        closing = self.closing(way="move", target_id=target.id)
        with self.assertRaises(UserError) as caught:  # which rolls back
            closing.action_confirm()
        self.assertIn("cannot be taken out", str(caught.exception))
        self.assertEqual(self.account.state, "open")
        self.topup(7, target)
        closing.action_confirm()
        self.assertEqual((self.money(), self.money(target)[0]), ((0, 0, 0), Decimal("0.20")))

    def test_offline_meter_is_read_by_hand(self):
        self.topup(20)
        self.read(105, 1)
        closing = self.closing()
        self.assertIn("too old", closing.settlement_problem)
        with self.assertRaisesRegex(UserError, "too old"):
            closing.action_confirm()
        line = closing.line_ids
        now = fields.Datetime.now()
        line.write({"register": 109.5, "read_at": now, "source": "manual"})
        self.assertIn("photo", closing.settlement_problem)
        line.reading_reason = "gateway burnt"
        self.assertFalse(closing.settlement_problem)
        # 9.5 x 0.68 = 6.46
        self.assertEqual(closing.expected, 13.54)
        self.assertEqual(self.meter.last_value, 105_000, "nothing is stored before")
        closing.action_confirm()
        self.assertEqual(self.meter.last_value, 109_500)
        self.assertEqual(self.account.supply_ids.rated_value, 109_500)
        self.assertEqual(self.money(), (0, 0, 0))

    def test_form_shows_the_settlement_live(self):
        self.topup(20)
        self.read(105, 1)
        form = Form(self.env["prepay.closing"].with_user(self.operator))
        form.account_id = self.account
        self.assertFalse(form.result)
        with form.line_ids.edit(0) as line:
            line.register = 109.5
            line.reading_reason = "read on site"
            self.assertEqual(line.source, "manual")
        self.assertEqual((form.result, form.expected), ("refund", 13.54))
        with form.line_ids.edit(0) as line:
            line.register = 110
        self.assertEqual(form.expected, 13.20)
        closing = form.save()
        closing.action_confirm()
        self.assertEqual(closing.refund_id.amount, 13.20)

    def test_use_charged_beyond_the_reading_takes_the_newer_one(self):
        self.topup(20)
        self.read_ago(105, 30)
        closing = self.closing()
        self.assertEqual(closing.line_ids.register, 105)
        self.read_ago(106, 5)
        self.rate()
        action = closing.action_confirm()
        self.assertEqual(action["tag"], "display_notification")
        self.assertEqual((closing.state, closing.line_ids.register), ("draft", 106))
        closing.action_confirm()
        self.assertEqual(closing.amount, 15.92)

    def test_typed_reading_before_what_is_charged_is_refused(self):
        self.topup(20)
        self.read_ago(106, 5)
        self.rate()
        closing = self.closing()
        closing.line_ids.write(
            {
                "source": "manual",
                "register": 105,
                "read_at": self.now - timedelta(minutes=20),
                "reading_reason": "noted",
            }
        )
        with self.assertRaisesRegex(UserError, "charged until"):
            closing.action_confirm()

    def test_held_reading_is_resolved_first(self):
        self.topup(20)
        at = self.read_ago(106, 5)
        self.env["prepay.reading.hold"].sudo().create(
            {
                "meter_id": self.meter.id,
                "channel": "energy",
                "rule": "spike",
                "first_at": at,
                "last_at": at,
                "value": 999_000,
            }
        )
        with self.assertRaisesRegex(UserError, "held reading"):
            self.closing().action_confirm()

    def test_frozen_account_is_refused(self):
        self.topup(20)
        self.read_ago(106)
        closing = self.closing()
        self.account.with_user(self.accountant)._freeze(True, "court order")
        with self.assertRaisesRegex(UserError, "court order"):
            closing.action_confirm()
        self.assertEqual(self.account.state, "open")

    def test_payment_on_its_way_is_refused(self):
        self.read_ago(106)
        self.env["prepay.topup"].create({"account_id": self.account.id, "amount": 5})
        with self.assertRaisesRegex(UserError, "on its way"):
            self.closing().action_confirm()

    def test_large_refund_needs_two_people(self):
        self.topup(1000)
        self.read_ago(100.5)
        closing = self.closing()
        closing.action_confirm()
        self.assertEqual((closing.state, self.account.state), ("waiting", "open"))
        asked = closing.sudo().activity_ids
        self.assertIn(self.accountant, asked.user_id)
        self.assertNotIn(self.operator, asked.user_id)
        self.assertIn(closing.number, asked[0].summary)
        with self.assertRaises(AccessError):
            closing.action_approve()
        self.operator.group_ids += self.env.ref("prepay_billing.group_accountant")
        with self.assertRaisesRegex(UserError, "Somebody else"):
            closing.action_approve()
        self.read_ago(102, 1)
        self.rate()
        accountant = closing.with_user(self.accountant)
        accountant.action_approve()
        self.assertEqual(closing.state, "waiting", "a newer reading is shown first")
        accountant.action_approve()
        self.assertEqual((closing.state, closing.amount), ("done", 998.64))
        self.assertEqual(closing.refund_id.requested_id, self.operator)
        self.assertEqual(closing.refund_id.approved_id, self.accountant)
        self.assertFalse(closing.sudo().activity_ids)

    def test_power_of_the_empty_room(self):
        self.topup(20)
        self.read_ago(106)
        closing = self.closing(cut_power=True)
        closing.action_confirm()
        command = self.meter.command_ids
        self.assertEqual((command.target, command.cause), ("open", "closing"))
        self.reverse(closing)
        self.assertEqual(self.meter.desired_relay, "closed")

    def test_two_meters(self):
        water = self._meter(
            "W-1", "00000000000001", profile_id=self.env.ref("prepay_meter.profile_cjt188").id
        )
        tariff = self.env["prepay.tariff"].create(
            {
                "name": "Water",
                "company_id": self.company.id,
                "medium": "water",
                "version_ids": [
                    (0, 0, {"valid_from": self.start - timedelta(days=300), "price": 3.5})
                ],
            }
        )
        self.account.supply_ids = [
            (0, 0, {"meter_id": water.id, "tariff_id": tariff.id, "start_at": self.start,
                    "opening_register": 5})
        ]  # fmt: skip
        self.topup(50)
        self.read_ago(110)
        self.env["prepay.reading"]._ingest(
            [(water.id, "volume", self.now - timedelta(minutes=3), 7000)]
        )
        closing = self.closing()
        self.assertEqual(closing.expected, 36.20)
        closing.action_confirm()
        self.assertEqual(self.money(), (0, 0, 0))
        self.assertEqual(
            [line["used"] for line in closing.settlement["lines"]], ["10.000", "2.000"]
        )

    def test_undo_restores_the_account(self):
        self.topup(100)
        self.read(105, 1)
        self.rate()
        self.read_ago(110)
        self.rate()
        before = (self.total(self.account), self.available())
        closing = self.closing()
        closing.action_confirm()
        self.assertEqual(self.total(self.account), 0)
        self.reverse(closing)
        self.assertEqual((closing.state, self.account.state), ("undone", "open"))
        self.assertFalse(self.account.closed_on)
        self.assertEqual((self.total(self.account), self.available()), before)
        self.assertEqual(closing.refund_id.state, "reversed")
        self.assertFalse(self.account.supply_ids.end_at)
        with self.assertRaisesRegex(UserError, "nothing to undo"):
            closing._reverse("again")
        # the supply goes on: one kWh more costs 0.68
        self.read_ago(111, 1)
        self.rate()
        self.assertEqual(self.available(), before[1] - Decimal("0.68"))
        self.closing().action_confirm()
        self.assertEqual(self.money(), (0, 0, 0))
        self.check_ledger()

    def test_undo_of_a_mistyped_reading(self):
        """1,090 instead of 109: charges and register are taken back, no fen and no Wh is lost."""
        self.company.prepay_four_eyes_limit = 5000
        self.profile.max_power_w = 1_000_000
        self.topup(1000)
        self.read(105, 1)
        self.rate()
        before = (self.total(self.account), self.available())
        cursor = self.account.supply_ids.read(["tier_used", "tier_period", "rated_value"])[0]
        closing = self.closing()
        closing.line_ids.write(
            {
                "source": "manual",
                "register": 1090,
                "read_at": self.now - timedelta(minutes=2),
                "reading_reason": "offline",
            }
        )
        closing.action_confirm()
        self.assertEqual(closing.amount, 326.80)
        self.reverse(closing)
        self.assertEqual((self.total(self.account), self.available()), before)
        self.assertEqual(
            self.account.supply_ids.read(["tier_used", "tier_period", "rated_value"])[0], cursor
        )
        self.assertEqual(self.meter.last_value, 105_000)
        self.read_ago(109, 0)
        self.rate()
        self.assertEqual(self.available(), before[1] - 4 * Decimal("0.68"))
        again = self.closing()
        again.action_confirm()
        self.assertEqual(again.amount, 993.88)
        self.check_ledger()

    def test_undo_is_refused_when_something_followed(self):
        self.topup(100)
        self.read_ago(110)
        closing = self.closing()
        closing.action_confirm()
        other = self._account(self.meter, partner_id=self.tenant.copy().id)
        with self.assertRaisesRegex(UserError, other.number):
            self.reverse(closing)
        other.supply_ids.sudo().unlink()
        self.topup(5)
        with self.assertRaisesRegex(UserError, "after it"):
            self.reverse(closing)
        self.assertEqual(closing.state, "done")

    def test_who_may_close(self):
        self.topup(10)
        self.read_ago(101)
        for user in (self.cashier, self.auditor, self.reader):
            with self.assertRaises(AccessError):
                self.closing(user=user)
        closing = self.closing()
        with self.assertRaises(AccessError):
            closing.with_user(self.accountant).action_confirm()
        closing.with_user(self.cashier).read(["number", "amount"])
        with self.assertRaises(AccessError):
            closing.with_user(self.reader).read(["number"])

    def test_nobody_fills_in_the_approval_by_hand(self):
        self.topup(1000)
        self.read_ago(100.5)
        closing = self.closing()
        for vals in ({"state": "done"}, {"approved_id": self.accountant.id}, {"amount": 5}):
            with self.assertRaises(AccessError):
                closing.write(vals)

    def test_undo_keeps_what_was_collected(self):
        self.topup(1)
        self.read_ago(110)
        closing = self.closing()
        closing.action_confirm()
        self.reverse(closing)
        self.assertEqual(self.account.state, "open")
        self.assertEqual((self.money(), closing.topup_id.state), ((0, 0, 0), "done"))

    def test_receipt(self):
        self.topup(20)
        self.read_ago(106)
        closing = self.closing()
        closing.action_confirm()
        values = closing._receipt_values()
        self.assertEqual((values["amount"], values["order_number"]), ("-15.92", closing.number))
        self.assertEqual(values["meters"][0]["register"], "106.000")
        self.assertEqual(values["items"][0]["amount"], "-4.08")
        receipt = self.env["prepay.receipt"].search([("res_model", "=", "prepay.closing")])
        self.assertEqual((receipt.kind, receipt.amount), ("closing", -15.92))
