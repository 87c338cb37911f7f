"""A tenant moves: the wallet is not touched, use is counted up to and from the readings."""

from decimal import Decimal

from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_closing import TenancyCase


@tagged("post_install", "-at_install")
class TestRoomChange(TenancyCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.target = cls.env["prepay.location"].create(
            {"name": "B-102", "kind": "room", "parent_id": cls.project.id}
        )
        cls.other.location_id = cls.target

    def change(self, **vals):
        return (
            self.env["prepay.room.change"]
            .with_user(self.operator)
            .create({"account_id": self.account.id, "target_location_id": self.target.id, **vals})
        )

    def test_free_room(self):
        self.topup(100)
        self.read_ago(110)
        self.read_ago(50, meter=self.other)
        change = self.change()
        self.assertEqual(change.line_ids.meter_id, self.meter | self.other)
        entries = self.account.entry_ids
        change.action_confirm()
        self.assertEqual(self.account.location_id, self.target)
        self.assertEqual(self.account.meter_ids, self.other)
        self.assertFalse(self.meter.account_id)
        posted = self.account.entry_ids - entries
        self.assertEqual((posted.kind, posted.amount), ("charge", -6.80))
        self.assertEqual(self.available(), Decimal("93.20"))
        following = self.other.supply_ids
        self.assertEqual((following.tariff_id, following.rated_value), (self.tariff, 50_000))
        self.assertEqual(following.tier_used, 10_000, "tiers go with the tenant")
        self.read_ago(52, 1, self.other)
        self.read_ago(120, 1)  # nobody's use
        self.rate()
        self.assertEqual(self.available(), Decimal("91.84"))
        self.check_ledger()

    def test_two_tenants_change_places(self):
        tenant = self.env["res.partner"].create({"name": "Li Na"})
        second = self._account(self.other, partner_id=tenant.id, location_id=self.target.id)
        self.topup(100)
        self.topup(50, second)
        self.read_ago(110)
        self.read_ago(105, meter=self.other)
        accounts = self.account | second
        worth = self.total(accounts)
        change = self.change()
        self.assertEqual(change.swap_account_id, second)
        change.action_confirm()
        self.assertEqual((self.account.location_id, second.location_id), (self.target, self.room))
        self.assertEqual((self.meter.account_id, self.other.account_id), (second, self.account))
        self.assertEqual(self.total(accounts), worth - Decimal("10.20"))
        self.assertEqual(self.available(), Decimal("93.20"))
        self.assertEqual(self.available(second), Decimal("46.60"))
        self.read_ago(111, 1)
        self.rate()
        self.assertEqual(self.available(second), Decimal("45.92"))
        self.assertEqual(self.available(), Decimal("93.20"))
        self.check_ledger()

    def test_manual_readings_of_both_rooms(self):
        self.topup(100)
        self.read(105, 1)
        change = self.change()
        with self.assertRaisesRegex(UserError, "Read Now|too old"):
            change.action_confirm()
        for line, register in zip(change.line_ids.sorted("id"), (109, 7)):
            line.write(
                {
                    "source": "manual",
                    "register": register,
                    "read_at": self.now,
                    "reading_reason": "offline",
                }
            )
        change.action_confirm()
        self.assertEqual(self.available(), Decimal("93.88"))
        self.assertEqual(self.other.supply_ids.rated_value, 7000)
        self.assertEqual(self.other.last_value, 7000)

    def test_room_without_a_meter(self):
        empty = self.env["prepay.location"].create(
            {"name": "B-103", "kind": "room", "parent_id": self.project.id}
        )
        self.read_ago(110)
        with self.assertRaisesRegex(UserError, "no meter"):
            self.change(target_location_id=empty.id).action_confirm()

    def test_undo(self):
        self.topup(100)
        self.read_ago(110)
        self.rate()
        self.read_ago(50, meter=self.other)
        supply = self.account.supply_ids
        before = (self.total(self.account), self.available())
        change = self.change()
        change.action_confirm()
        self.reverse(change)
        self.assertEqual((self.account.location_id, self.account.supply_ids), (self.room, supply))
        self.assertEqual((self.total(self.account), self.available()), before)
        self.assertFalse(self.other.account_id)
        self.read_ago(111, 1)
        self.rate()
        self.assertEqual(self.available(), before[1] - Decimal("0.68"))

    def test_undo_is_refused_after_use(self):
        self.topup(100)
        self.read_ago(110)
        self.read_ago(50, meter=self.other)
        change = self.change()
        change.action_confirm()
        self.read_ago(51, 1, self.other)
        self.rate()
        with self.assertRaisesRegex(UserError, "counted use"):
            self.reverse(change)
