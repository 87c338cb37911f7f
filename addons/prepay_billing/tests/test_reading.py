from datetime import datetime, timedelta
from decimal import Decimal

from odoo import fields
from odoo.tests import tagged

from odoo.addons.prepay_meter import storage

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestReading(BillingCase):
    """What billing and the store of readings owe each other."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classPatch(type(cls.env["ir.cron"]), "_commit_progress", cls._no_commit)

    def _no_commit(self, *args, **options):
        return float("inf")

    def baseline(self, hours, old_kwh, new_kwh):
        return self.env["prepay.reading.baseline"].create(
            {
                "meter_id": self.meter.id,
                "channel": "energy",
                "at": self.start + timedelta(hours=hours),
                "old_end": old_kwh * 1000,
                "new_start": new_kwh * 1000,
                "reason": "replaced",
            }
        )

    def test_use_is_charged_across_a_new_baseline(self):
        """100 → 110 on the old meter, read at 112 when it was taken off; 5 → 8 on the new one."""
        self.topup(100)
        self.read(110, 1)
        self.rate()
        self.baseline(2, 112, 5)
        self.read(8, 3)
        self.rate()
        self.assertEqual(self.available(), Decimal("100") - 15 * Decimal("0.68"))
        self.assertFalse(self.account.supply_ids.problem)
        self.assertEqual(self.account.supply_ids.rated_value, 8_000)
        self.baseline(4, 8, 0)
        self.read(1, 5)
        self.rate()
        self.assertEqual(self.available(), Decimal("100") - 16 * Decimal("0.68"))

    def test_one_run_or_many_give_the_same_bill(self):
        self.topup(100)
        self.read(110, 1)
        self.baseline(2, 112, 5)
        self.read(8, 3)
        self.rate()
        self.assertEqual(self.available(), Decimal("100") - 15 * Decimal("0.68"))

    def test_readings_are_rated_from_the_arrays_too(self):
        """What was compacted before a person entered its account is billed all the same."""
        month = fields.Date.subtract(fields.Date.today().replace(day=1), months=4)
        storage.create_month(self.env.cr, "raw", month)
        begin = datetime.combine(month, datetime.min.time())
        rows = [
            (self.other.id, "energy", begin + timedelta(hours=hour), 100_000 + 250 * hour)
            for hour in range(60)
        ]
        self.env["prepay.reading"]._ingest(rows)
        self.env["prepay.reading.partition"]._cron_maintain()
        parts = {month for _k, _n, month, _a in storage.partitions(self.env.cr, "day")}
        self.assertIn(month, parts)
        account = self._account(self.other)
        account.supply_ids.write({"start_at": begin, "rated_at": begin, "rated_value": 100_000})
        self.rate()
        quantity = sum(account.charge_ids.mapped("quantity_base"))
        self.assertEqual(quantity, 59 * 250)

    def test_compacting_waits_for_billing(self):
        today = fields.Date.today()
        month = fields.Date.subtract(today.replace(day=1), months=4)
        storage.create_month(self.env.cr, "raw", month)
        reading = self.env["prepay.reading"]
        self.assertEqual(reading._may_compact_before(today), today, "nothing waits to be rated")
        begin = datetime.combine(month, datetime.min.time())
        supply = self.account.supply_ids
        supply.write({"start_at": begin, "rated_at": begin, "rated_value": 100_000})
        at = begin + timedelta(days=10)
        reading._ingest([(self.meter.id, "energy", at, 101_000)])
        self.assertEqual(reading._may_compact_before(today), at.date())
        self.env["prepay.reading.partition"]._cron_maintain()
        raw = {month for _k, _n, month, _a in storage.partitions(self.env.cr, "raw")}
        self.assertIn(month, raw)
        self.rate()
        self.assertEqual(reading._may_compact_before(today), today)
        self.env["prepay.reading.partition"]._cron_maintain()
        raw = {month for _k, _n, month, _a in storage.partitions(self.env.cr, "raw")}
        self.assertNotIn(month, raw)
        # A closed account that is billed to its end holds nothing up.
        self.read(105, 1)
        supply.write({"end_at": self.start, "rated_at": self.start})
        self.assertEqual(reading._may_compact_before(today), today)
