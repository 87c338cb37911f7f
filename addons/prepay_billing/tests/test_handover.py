"""One tenant follows another: the registers are shared, the money goes one way, once."""

from datetime import timedelta
from decimal import Decimal

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_closing import TenancyCase


@tagged("post_install", "-at_install")
class TestHandover(TenancyCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.next = cls.env["res.partner"].create({"name": "Li Na"})

    def handover(self, **vals):
        return (
            self.env["prepay.handover"]
            .with_user(self.operator)
            .create({"account_id": self.account.id, "new_partner_id": self.next.id, **vals})
        )

    def test_paid_out(self):
        self.topup(100)
        at = self.read_ago(110)
        handover = self.handover()
        self.assertEqual(handover.expected, 93.20)
        handover.action_confirm()
        new = handover.new_account_id
        self.assertEqual(
            (new.partner_id, new.location_id, new.state), (self.next, self.room, "open")
        )
        self.assertEqual(self.account.state, "closed")
        self.assertEqual((self.money(), self.money(new)), ((0, 0, 0), (0, 0, 0)))
        self.assertEqual(handover.refund_id.amount, 93.20)
        old, following = self.account.supply_ids, new.supply_ids
        self.assertEqual((old.end_at, old.rated_value), (at, 110_000))
        self.assertEqual((following.start_at, following.rated_value), (at, 110_000))
        self.assertEqual((following.tier_used, following.tariff_id), (0, self.tariff))
        self.read_ago(111, 1)
        self.rate()
        self.assertEqual(self.money(new)[2], Decimal("0.68"))
        self.assertEqual(self.money(), (0, 0, 0))
        self.check_ledger()

    def test_planned_tariff_change_goes_on(self):
        self.read_ago(110)
        changes = self.env["prepay.tariff.change"]
        later = fields.Datetime.now() + timedelta(hours=1)
        dear = self.tariff.copy({"name": "Dear"})
        supply = self.account.supply_ids
        changes._plan(supply, dear, later, self.env["prepay.batch"])
        change = supply.tariff_change_ids
        handover = self.handover()
        handover.action_confirm()
        following = handover.new_account_id.supply_ids
        self.assertEqual(change.supply_id, following)
        self.reverse(handover)
        self.assertEqual(change.supply_id, supply)

    def test_money_moves_with_consent_only(self):
        self.topup(100)
        self.read_ago(110)
        handover = self.handover(way="move", keep_tiers=True)
        with self.assertRaisesRegex(UserError, "consent"):
            handover.action_confirm()
        handover.consent = True
        handover.action_confirm()
        new = handover.new_account_id
        self.assertEqual(self.money(new)[0], Decimal("93.20"))
        self.assertEqual(self.money(), (0, 0, 0))
        self.assertEqual(new.supply_ids.tier_used, self.account.supply_ids.tier_used)
        self.assertGreater(new.supply_ids.tier_used, 0)
        self.assertEqual(len(new.entry_ids), 1)
        with self.assertRaisesRegex(UserError, "confirmed already"):
            handover.action_confirm()
        self.check_ledger()

    def test_debt_never_moves(self):
        self.read_ago(110)
        handover = self.handover(way="move", consent=True)
        with self.assertRaisesRegex(UserError, "arrears"):
            handover.action_confirm()
        handover.way = "refund"
        handover.action_confirm()
        self.assertEqual(handover.topup_id.amount, 6.80)
        self.assertEqual(self.money(handover.new_account_id), (0, 0, 0))

    def test_same_tenant_is_refused(self):
        self.read_ago(110)
        with self.assertRaisesRegex(UserError, "tenant already"):
            self.handover(new_partner_id=self.tenant.id).action_confirm()

    def test_register_zero_is_a_register(self):
        self.account.supply_ids.sudo().write(
            {"rated_value": 0, "rated_at": self.start, "opening_register": 0}
        )
        self.read_ago(0)
        handover = self.handover()
        handover.action_confirm()
        following = handover.new_account_id.supply_ids
        self.assertEqual((following.rated_at, following.rated_value), (following.start_at, 0))
        self.read_ago(1, 1)
        self.rate()
        self.assertEqual(self.money(handover.new_account_id)[2], Decimal("0.68"))

    def test_undo(self):
        for way in ("refund", "move"):
            with self.subTest(way=way):
                self.topup(100)
                self.read_ago(110, 5 if way == "refund" else 2)
                self.rate()
                before = (self.total(self.account), self.available())
                handover = self.handover(way=way, consent=True)
                handover.action_confirm()
                self.reverse(handover)
                new = handover.new_account_id
                self.assertEqual((self.account.state, new.state), ("open", "closed"))
                self.assertEqual((self.total(self.account), self.available()), before)
                self.assertEqual(self.money(new), (0, 0, 0))
                self.assertFalse(new.supply_ids)
                self.assertEqual(self.meter.account_id, self.account)
        self.check_ledger()

    def test_undo_is_refused_after_a_topup_or_use(self):
        self.topup(100)
        self.read_ago(110)
        handover = self.handover()
        handover.action_confirm()
        self.read_ago(111, 1)
        self.rate()
        with self.assertRaisesRegex(UserError, "counted use"):
            self.reverse(handover)
        self.topup(5, handover.new_account_id)
        with self.assertRaisesRegex(UserError, "after it"):
            self.reverse(handover)
