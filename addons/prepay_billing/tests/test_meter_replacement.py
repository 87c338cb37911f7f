"""A meter is replaced: the account goes on, use and money are counted once."""

from datetime import timedelta
from decimal import Decimal

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_closing import TenancyCase


@tagged("post_install", "-at_install")
class TestMeterReplacement(TenancyCase):
    def replacement(self, **vals):
        vals = {"new_number": "M-NEW", "new_address": "000000000009", "new_register": 3.2, **vals}
        return (
            self.env["prepay.meter.replacement"]
            .with_user(self.operator)
            .create({"meter_id": self.meter.id, "reason": "display dead", **vals})
        )

    def test_account_goes_on_with_the_new_meter(self):
        self.meter.write({"overload_w": 2500, "poll_minutes": 15, "hoarding_limit_fen": 5000})
        self.env["prepay.meter.parameter"]._request(self.meter, "alarm_1", 2000, reason="policy")
        self.topup(100)
        self.read(105, 1)
        self.rate()
        self.read_ago(110)
        supply = self.account.supply_ids
        replacement = self.replacement()
        self.assertEqual((replacement.account_id, replacement.register), (self.account, 110))
        replacement.action_confirm()
        new = replacement.new_meter_id
        self.assertEqual(
            (new.number, new.address, new.profile_id), ("M-NEW", "000000000009", self.profile)
        )
        self.assertEqual((new.gateway_id, new.location_id), (self.gateway, self.room))
        self.assertEqual(
            (new.overload_w, new.poll_minutes, new.hoarding_limit_fen), (2500, 15, 5000)
        )
        alarm = new.parameter_ids.filtered(lambda row: row.kind == "alarm_1")
        self.assertEqual(alarm.desired, 2000)
        self.assertEqual((self.meter.active, self.meter.gateway_id.id), (False, False))
        self.assertEqual((supply.end_at, supply.rated_value), (replacement.read_at, 110_000))
        following = self.account.supply_ids - supply
        self.assertEqual((following.meter_id, following.tariff_id), (new, self.tariff))
        self.assertEqual((following.rated_at, following.rated_value), (supply.end_at, 3200))
        self.assertEqual(
            (following.tier_used, following.tier_period), (supply.tier_used, supply.tier_period)
        )
        self.assertEqual(following.tier_used, 10_000)
        self.assertEqual(self.available(), Decimal("93.20"))
        # 10 kWh of the old and 2 of the new one
        self.read_ago(5.2, 1, new)
        self.rate()
        self.assertEqual(self.available(), Decimal("91.84"))
        self.assertEqual(following.tier_used, 12_000)
        self.check_ledger()

    def test_spare_is_chosen(self):
        self.read_ago(110)
        spare = self._meter("SPARE", "000000000077", gateway_id=False)
        replacement = self.replacement(
            new_meter_id=spare.id, new_number=False, new_address="000000000078", old_stays="spare"
        )
        replacement.action_confirm()
        self.assertEqual((spare.gateway_id, spare.address), (self.gateway, "000000000078"))
        self.assertEqual(spare.account_id, self.account)
        self.assertTrue(self.meter.active)
        self.assertFalse(self.meter.gateway_id)

    def test_same_address_on_the_gateway(self):
        self.read_ago(110)
        replacement = self.replacement(new_address=self.meter.address)
        replacement.action_confirm()
        self.assertEqual(replacement.new_meter_id.address, "000000000001")

    def test_dead_meter_is_estimated(self):
        self.topup(100)
        at = fields.Datetime.now() - timedelta(days=3)
        self.env["prepay.reading"]._ingest(
            [(self.other.id, "energy", at + timedelta(days=day), 100_000 + 24_000 * day)
             for day in range(2)]
        )  # fmt: skip
        daily = self.env["prepay.reading.daily"]
        daily._mark_new()
        while daily._count_marked():
            daily._roll_up_batch()
        replacement = self.replacement(meter_id=self.other.id)
        replacement.action_estimate()
        self.assertTrue(replacement.estimated)
        self.assertGreater(replacement.register, 124)
        replacement.action_confirm()
        self.assertEqual(replacement.state, "done")

    def test_meter_that_never_counted_is_not_estimated(self):
        with self.assertRaisesRegex(UserError, "no use"):
            self.replacement(meter_id=self.other.id).action_estimate()

    def test_old_meter_needs_its_reading(self):
        with self.assertRaisesRegex(UserError, "Read Now"):
            self.replacement().action_confirm()

    def test_new_meter_must_be_free(self):
        self.read_ago(110)
        self._account(self.other)
        with self.assertRaisesRegex(UserError, "M-2"):
            self.replacement(new_meter_id=self.other.id).action_confirm()

    def test_register_of_the_new_meter_is_checked(self):
        self.read_ago(110)
        self.read_ago(50, 10, self.other)
        with self.assertRaisesRegex(UserError, "below its last reading"):
            self.replacement(new_meter_id=self.other.id, new_register=20).action_confirm()

    def test_credit_in_the_meter_moves_once(self):
        credit = self.env["prepay.meter.credit"]
        self.read_ago(110)
        credit.sudo().create(
            {"meter_id": self.meter.id, "number": 7, "amount_fen": 5000, "state": "confirmed"}
        )
        self.meter.credit_base = 6
        replacement = self.replacement(carried_credit=12.34, new_purchase_count=2)
        replacement.action_confirm()
        moved = credit.search([("meter_id", "=", replacement.new_meter_id.id)])
        self.assertEqual((moved.number, moved.amount_fen, moved.origin), (3, 1234, "exchange"))
        self.assertTrue(replacement.new_meter_id.credit_locked)
        with self.assertRaisesRegex(UserError, "credit has moved"):
            self.reverse(replacement)

    def test_purchase_in_doubt_is_resolved_first(self):
        self.read_ago(110)
        self.env["prepay.meter.credit"].sudo().create(
            {"meter_id": self.meter.id, "number": 1, "amount_fen": 5000, "state": "sent"}
        )
        with self.assertRaisesRegex(UserError, "not settled"):
            self.replacement().action_confirm()

    def test_undo(self):
        self.topup(100)
        self.read_ago(110)
        self.rate()
        before = (self.total(self.account), self.available())
        supply = self.account.supply_ids
        archive = self.meter.read(["gateway_id", "address", "active", "overload_w"])
        replacement = self.replacement()
        replacement.action_confirm()
        new = replacement.new_meter_id
        self.reverse(replacement)
        self.assertEqual(self.account.supply_ids, supply)
        self.assertFalse(supply.end_at)
        self.assertEqual((self.total(self.account), self.available()), before)
        self.assertEqual(
            self.meter.read(["gateway_id", "address", "active", "overload_w"]), archive
        )
        self.assertFalse(new.active)
        self.read_ago(111, 1)
        self.rate()
        self.assertEqual(self.available(), before[1] - Decimal("0.68"))

    def planned(self, hours=1):
        """A dearer tariff that begins some hours from now."""
        dear = self.tariff.copy({"name": "Dear"})
        dear.version_ids.filtered(lambda version: version.state != "approved").state = "approved"
        dear.version_ids.price = 1.68
        later = fields.Datetime.now() + timedelta(hours=hours)
        changes = self.env["prepay.tariff.change"]
        changes._plan(self.account.supply_ids, dear, later, self.env["prepay.batch"])
        return self.account.supply_ids.tariff_change_ids, later

    def test_planned_tariff_change_goes_on_with_the_new_meter(self):
        self.read_ago(110)
        change, later = self.planned()
        supply = self.account.supply_ids
        replacement = self.replacement()
        replacement.action_confirm()
        following = self.account.supply_ids - supply
        self.assertEqual((change.supply_id, change.meter_id), (following, replacement.new_meter_id))
        self.assertEqual(following.tariff_id, self.tariff)
        change._begin(later)
        self.assertEqual((following.tariff_id, change.begun), (change.tariff_id, True))
        self.assertEqual(
            supply.tariff_id, self.tariff, "the old meter keeps what it was charged by"
        )

    def test_change_that_began_after_the_final_reading(self):
        at = self.read_ago(110)
        change, _later = self.planned(-1 / 60)
        self.assertTrue(change.begun)
        replacement = self.replacement()
        replacement.action_confirm()
        following = change.supply_id
        self.assertEqual((following.start_at, following.tariff_id), (at, change.tariff_id))
        start = change.from_at - at
        self.read_ago(13.2, 0, replacement.new_meter_id)
        self.rate()
        charges = self.env["prepay.charge"].search([("supply_id", "=", following.id)])
        by_price = {round(item.price, 2): item.quantity_base for item in charges}
        expected = 10_000 * start.total_seconds() / 300
        self.assertAlmostEqual(by_price[0.68], expected, delta=1)
        self.assertAlmostEqual(by_price[1.68], 10_000 - expected, delta=1)

    def test_undo_takes_the_planned_tariff_change_back(self):
        self.read_ago(110)
        change, later = self.planned()
        supply = self.account.supply_ids
        replacement = self.replacement()
        replacement.action_confirm()
        change._begin(later)
        self.reverse(replacement)
        self.assertEqual((change.supply_id, change.meter_id), (supply, self.meter))
        self.assertEqual(supply.tariff_id, change.tariff_id)

    def test_undo_is_refused_after_use(self):
        self.topup(100)
        self.read_ago(110)
        replacement = self.replacement()
        replacement.action_confirm()
        self.read_ago(5, 1, replacement.new_meter_id)
        self.rate()
        with self.assertRaisesRegex(UserError, "counted use"):
            self.reverse(replacement)

    def test_meter_without_an_account(self):
        self.read_ago(20, meter=self.other)
        replacement = self.replacement(meter_id=self.other.id)
        replacement.action_confirm()
        self.assertFalse(replacement.new_meter_id.supply_ids)
        self.reverse(replacement)
        self.assertTrue(self.other.active)
