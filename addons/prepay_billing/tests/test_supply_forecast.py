"""Days left of an account: stored in batches, shown, and a threshold of the policy."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal

from odoo.tests import tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestSupplyForecast(BillingCase):
    def spend(self, days, per_day, account=None):
        """Charges of the last days, as rating would have written them."""
        supply = (account or self.account).supply_ids
        today = datetime.now(timezone.utc).astimezone(self.room._zone()).date()
        self.env.flush_all()
        for ago in range(1, days + 1):
            self.env.cr.execute(
                """
                INSERT INTO prepay_charge (supply_id, account_id, meter_id, company_id, medium, day, version_id,
                                           rate, tier, start_at, end_at, quantity_base, price, exact_amount,
                                           state, kind)
                VALUES (%s, %s, %s, %s, 'electricity', %s, %s, 'flat', 1, %s, %s, 1000, 1, %s, 'posted', 'usage')
                """,
                [
                    supply.id,
                    supply.account_id.id,
                    supply.meter_id.id,
                    supply.company_id.id,
                    today - timedelta(days=ago),
                    self.tariff.version_ids.id,
                    datetime(2025, 1, 1),
                    datetime(2025, 1, 2),
                    per_day,
                ],
            )
        self.env.invalidate_all()

    def midnight(self):
        """The last midnight of the site: no part of the day is used."""
        now = datetime.now(timezone.utc).astimezone(self.room._zone())
        return now.replace(hour=0, minute=0, second=0, microsecond=0)

    def test_days_left_and_suggestion(self):
        self.spend(21, 4)
        self.topup(50)
        self.account._update_forecast(self.midnight())
        self.assertEqual(self.account.days_left, 12.5)
        self.assertEqual(self.account.daily_use, 4)
        self.assertEqual(self.account.suggested_amount, 70)
        self.assertEqual(self.account.days_left_text, "about 12 days")

    def test_unknown_is_shown_as_unknown(self):
        self.topup(50)
        self.account._update_forecast(self.midnight())
        self.assertFalse(self.account.days_left_text)
        self.assertEqual(self.account.level, "normal")

    def test_alarms_by_days_left(self):
        """Fifty yuan are no low balance in money, but at twenty a day they last less than three days."""
        self.spend(21, 20)
        self.topup(50)
        self.account._update_forecast()
        self.account._evaluate_supply()
        self.assertEqual(self.account.level, "alarm1")
        self.topup(50)
        self.assertEqual(self.account.level, "normal", "five days: the money of now counts")
        self.policy.write({"alarm1_days": 7, "alarm2_days": 6})
        self.account._evaluate_supply()
        self.assertEqual(self.account.level, "alarm2")

    def test_alarms_by_the_last_top_up(self):
        self.policy.write({"alarm1": 0, "alarm2": 0, "alarm1_percent": 30})
        self.topup(100)
        self.read(120, 1)
        self.read(205, 5.9)
        self.rate()
        self.account._evaluate_supply()
        self.assertEqual(self.available(), Decimal("28.6"))
        self.assertEqual(self.account.level, "alarm1")

    def test_nightly_run_takes_each_account_once(self):
        self.spend(21, 4)
        self.topup(50)
        with self.enter_registry_test_mode():
            self.env.ref("prepay_billing.ir_cron_forecast").method_direct_trigger()
        self.env.invalidate_all()
        self.assertTrue(self.account.forecast_at)
        self.assertEqual(self.account.daily_use, 4)
        self.assertFalse(
            self.env["prepay.account"].search([("state", "=", "open"), ("forecast_at", "=", False)])
        )
