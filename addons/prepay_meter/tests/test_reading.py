from datetime import datetime, timedelta

import psycopg2
from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.prepay_meter import storage

from .common import MeterCase


@tagged("post_install", "-at_install")
class TestReading(MeterCase):
    def rows(self, meter):
        return self.env["prepay.reading"].search([("meter_id", "=", meter.id)], order="read_at")

    def test_repeated_ingest_changes_nothing(self):
        rows = [
            (self.meter.id, "energy", datetime(2026, 3, 1, hour), 1000 * hour) for hour in range(5)
        ]
        self.assertEqual(self.env["prepay.reading"]._ingest(rows), 5)
        self.assertEqual(self.env["prepay.reading"]._ingest(rows), 0)
        self.assertEqual(self.rows(self.meter).mapped("value"), [0, 1000, 2000, 3000, 4000])
        self.assertEqual(self.meter.last_value, 4000)

    def test_late_reading_does_not_move_the_newest_state_back(self):
        self.env["prepay.reading"]._ingest([(self.meter.id, "energy", datetime(2026, 3, 2), 5000)])
        self.env["prepay.reading"]._ingest([(self.meter.id, "energy", datetime(2026, 3, 1), 4000)])
        self.assertEqual(
            (self.meter.last_value, self.meter.last_read_at), (5000, datetime(2026, 3, 2))
        )
        self.assertEqual(len(self.rows(self.meter)), 2)

    def test_values_beyond_four_bytes(self):
        self.env["prepay.reading"]._ingest(
            [(self.meter.id, "energy", datetime(2026, 3, 1), 42_949_672_950)]
        )
        reading = self.rows(self.meter)
        self.assertEqual(reading.value, 42_949_672_950)
        self.assertEqual(reading.quantity, 42_949_672.95)

    def test_table_is_append_only_even_by_sql(self):
        self.env["prepay.reading"]._ingest([(self.meter.id, "energy", datetime(2026, 3, 1), 1000)])
        for statement in (
            "UPDATE prepay_reading_data SET value = 1",
            "DELETE FROM prepay_reading_data",
        ):
            with (
                mute_logger("odoo.sql_db"),
                self.assertRaises(psycopg2.errors.CheckViolation),
                self.env.cr.savepoint(),
            ):
                self.env.cr.execute(f"{statement} WHERE meter_id = %s", [self.meter.id])

    def test_partitions_exist_ahead_and_take_over_default_rows(self):
        reading = self.env["prepay.reading"]
        far = datetime.now() + timedelta(days=400)
        reading._ingest([(self.meter.id, "energy", far, 1)])
        start = far.date().replace(day=1)
        storage.create_month(self.env.cr, "raw", start)
        self.env.cr.execute(
            "SELECT tableoid::regclass::text FROM prepay_reading_data WHERE meter_id = %s",
            [self.meter.id],
        )
        self.assertEqual(self.env.cr.fetchone()[0], f"prepay_reading_{start:%Y_%m}")
        reading._cron_create_partitions()  # a second run finds everything done
        self.env.cr.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'prepay_reading_data'::regclass"
        )
        self.assertGreaterEqual(self.env.cr.fetchone()[0], 5)

    def test_search_group_and_rights(self):
        self.env["prepay.reading"]._ingest(
            [(self.meter.id, "energy", datetime(2026, 3, day), 1000 * day) for day in (1, 2, 3)]
        )
        reading = self.env["prepay.reading"].with_user(self.operator)
        groups = reading._read_group(
            [("meter_id", "=", self.meter.id)], ["read_at:day"], ["value:max"]
        )
        self.assertEqual([value for _day, value in groups], [1000, 2000, 3000])
        with self.assertRaises(AccessError):
            reading.create({"meter_id": self.meter.id})
