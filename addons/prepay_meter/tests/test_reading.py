from datetime import datetime, timedelta

import psycopg2
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

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
        end = (start + timedelta(days=32)).replace(day=1)
        reading._create_partition(f"prepay_reading_{start:%Y_%m}", start, end)
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

    def hold(self, rule="spike", value=9000):
        return self.env["prepay.reading.hold"].create(
            {
                "meter_id": self.meter.id,
                "channel": "energy",
                "rule": rule,
                "first_at": datetime(2026, 3, 2),
                "last_at": datetime(2026, 3, 2),
                "previous_value": 1000,
                "value": value,
            }
        )

    def test_hold_is_accepted_with_a_reason(self):
        hold = self.hold().with_user(self.operator)
        with self.assertRaises(UserError):
            hold.action_accept()
        hold.resolution = "checked on site"
        hold.action_accept()
        self.assertEqual((hold.state, hold.resolved_by_id), ("accepted", self.operator))
        self.assertEqual(self.rows(self.meter).value, 9000)
        with self.assertRaises(UserError):
            hold.action_reject()

    def test_falling_register_can_only_be_rejected(self):
        hold = self.hold("decrease", 500)
        hold.resolution = "meter was reset"
        with self.assertRaises(UserError):
            hold.action_accept()
        hold.action_reject()
        self.assertEqual(hold.state, "rejected")
        self.assertFalse(self.rows(self.meter))
