"""The ratio of a meter changes: use before keeps its ratio, use after has the new one."""

from decimal import Decimal

from odoo.exceptions import UserError
from odoo.tests import tagged

from .test_closing import TenancyCase


@tagged("post_install", "-at_install")
class TestRatioChange(TenancyCase):
    def change(self, **vals):
        vals = {"ratio_after": 60, "new_register": 6600, **vals}
        return (
            self.env["prepay.ratio.change"]
            .with_user(self.operator)
            .create({"meter_id": self.meter.id, "reason": "more load", **vals})
        )

    def test_use_before_keeps_its_ratio(self):
        self.topup(1000)
        self.read(105, 1)
        self.rate()
        self.read_ago(110)
        supply = self.account.supply_ids
        change = self.change()
        self.assertEqual((change.register, change.ratio_before), (110, 1))
        change.action_confirm()
        self.assertEqual((self.meter.ratio, change.state), (60, "done"))
        self.assertEqual(self.account.supply_ids, supply)
        self.assertFalse(supply.end_at)
        self.assertEqual(self.available(), Decimal("993.20"))
        self.read_ago(6720, 1)  # 120 kWh with the new ratio
        self.rate()
        self.assertEqual(self.available(), Decimal("993.20") - 120 * Decimal("0.68"))
        self.assertEqual(supply.tier_used, 130_000)
        self.check_ledger()

    def test_type_with_another_scale(self):
        self.read_ago(110)
        profile = self.profile.copy()
        change = self.change(new_profile_id=profile.id)
        change.action_confirm()
        self.assertEqual(self.meter.profile_id, profile)

    def test_newer_reading_is_taken_over_first(self):
        self.read_ago(110, 30)
        change = self.change()
        self.read_ago(111, 5)
        self.assertEqual(change.action_confirm()["tag"], "display_notification")
        self.assertEqual((change.state, change.register), ("draft", 111))

    def test_same_ratio_is_refused(self):
        self.read_ago(110)
        with self.assertRaisesRegex(UserError, "ratio 1 already"):
            self.change(ratio_after=1).action_confirm()

    def test_undo_leads_back(self):
        self.topup(1000)
        self.read_ago(110)
        change = self.change()
        change.action_confirm()
        self.reverse(change)
        self.assertEqual((self.meter.ratio, self.meter.last_value), (1, 110_000))
        self.read_ago(112, 1)
        self.rate()
        self.assertEqual(self.available(), 1000 - 12 * Decimal("0.68"))

    def test_undo_is_refused_after_a_reading(self):
        self.read_ago(110)
        change = self.change()
        change.action_confirm()
        self.read_ago(6610, 1)
        with self.assertRaisesRegex(UserError, "was read on"):
            self.reverse(change)
