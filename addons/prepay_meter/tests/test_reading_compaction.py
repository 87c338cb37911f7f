from contextlib import closing
from datetime import timedelta

import psycopg2
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.sql_db import db_connect
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.prepay_meter import storage
from odoo.addons.prepay_meter.models import prepay_reading_partition

from .common_reading import ReadingCase


@tagged("post_install", "-at_install")
class TestReadingCompaction(ReadingCase):
    def test_readings_are_the_same_before_and_after(self):
        values = [10_000 + 250 * index for index in range(28 * 24)]
        self.feed(self.meter, self.begin, values)
        self.feed(self.meter, self.begin, values, channel="energy_peak")
        big = [2**31 - 500 + 300 * index for index in range(24)]  # across the border of four bytes
        self.feed(self.other, self.begin, big, source="late")
        self.feed(self.other, self.begin + timedelta(minutes=7), [5], channel="volume")
        before = self.readings(self.meter), self.readings(self.other)
        self.compact()
        self.env.invalidate_all()
        self.assertNotIn(self.month, self.tables("raw"))
        self.assertTrue(self.tables("day")[self.month])
        self.assertEqual(self.readings(self.meter), before[0])
        self.assertEqual(self.readings(self.other), before[1])
        self.assertEqual(len(before[0]), 2 * len(values))
        ids = [row[2] for row in before[0] + before[1]]
        self.assertEqual(len(set(ids)), len(ids), "ids are unique")
        self.assertLess(max(ids), 2**53, "exact in a browser")

    def test_month_is_restartable_day_by_day(self):
        self.feed(self.meter, self.begin, range(0, 24 * 28 * 10, 10))
        before = self.readings(self.meter)
        partition = self.env["prepay.reading.partition"]
        calls = []

        def stop_after_ten(cron, processed=0, **more):
            calls.append(processed)
            return 0 if len(calls) == 10 else float("inf")

        self.patch(type(self.env["ir.cron"]), "_commit_progress", stop_after_ten)
        self.compact()
        self.assertIn(self.month, self.tables("raw"), "not exchanged yet")
        self.assertEqual(self.tables("day"), {self.month: False})
        self.assertEqual(partition.search([("kind", "=", "day")]).state, "filling")
        self.assertEqual(self.readings(self.meter), before, "each reading is seen once meanwhile")
        # What arrives now for a day that is copied already must not be lost.
        self.feed(self.meter, self.begin + timedelta(minutes=30), [5], source="late")
        self.feed(self.meter, self.begin, [0])  # a repetition
        self.patch(type(self.env["ir.cron"]), "_commit_progress", self._no_commit)
        self.compact()
        self.env.invalidate_all()
        self.assertNotIn(self.month, self.tables("raw"))
        after = self.readings(self.meter)
        self.assertEqual(len(after), len(before) + 1)
        self.assertEqual(after[1][:2], (self.begin + timedelta(minutes=30), 5))
        self.assertEqual(after[1][3], "late")

    def test_repetition_and_late_data_of_a_compacted_month(self):
        """Replays change nothing (R-01); data that was missing joins the arrays at the next run."""
        self.feed(self.meter, self.begin, range(0, 1000, 10))
        self.compact()
        self.assertEqual(self.feed(self.meter, self.begin, range(0, 1000, 10)), 0)
        late = self.begin + timedelta(minutes=30)
        self.assertEqual(self.feed(self.meter, late, [5], source="late"), 1)
        self.assertEqual(self.feed(self.meter, late, [6], source="late"), 0)
        before = self.readings(self.meter)
        self.assertEqual(len(before), 101)
        self.compact()
        self.env.invalidate_all()
        self.assertEqual(self.readings(self.meter), before)
        self.env.cr.execute("SELECT count(*) FROM prepay_reading_default")
        self.assertEqual(self.env.cr.fetchone()[0], 0)
        self.assertEqual(self.feed(self.meter, late, [7], source="late"), 0)
        older = fields.Datetime.subtract(self.begin, years=2)  # a month that never had a table
        self.feed(self.meter, older, [1, 2, 3])
        self.compact()
        self.assertIn(older.date().replace(day=1), self.tables("day"))
        self.assertEqual(len(self.readings(self.meter)), 104)

    def test_nothing_young_or_needed_is_compacted(self):
        self.feed(self.meter, self.begin, [1, 2, 3])
        with self.holding(lambda model, day: self.month):
            self.compact()
            self.assertIn(self.month, self.tables("raw"), "somebody still needs it")
        self.settle("prepay_meter.compact_days", 3650)
        self.compact()
        self.assertIn(self.month, self.tables("raw"), "younger than the setting")
        self.settle("prepay_meter.compact_days", 35)
        self.compact()
        self.assertNotIn(self.month, self.tables("raw"))
        self.assertIn(fields.Date.today().replace(day=1), self.tables("raw"))

    def test_a_copy_that_differs_is_not_used(self):
        self.feed(self.meter, self.begin, [1, 2, 3])
        partition = self.env["prepay.reading.partition"]
        copy = type(partition)._copy

        def wrong(model, *arguments):
            count, total, check = copy(model, *arguments)
            return count, total, check + 1

        self.patch(type(partition), "_copy", wrong)
        with self.assertRaises(UserError), self.env.cr.savepoint():
            self.compact()
        self.assertIn(self.month, self.tables("raw"))

    def test_a_month_that_is_not_whole_begins_anew(self):
        self.feed(self.meter, self.begin, [1, 2, 3])
        partition = self.env["prepay.reading.partition"]
        name = storage.KINDS["raw"].name(self.month)
        target = storage.KINDS["day"].name(self.month)
        partition._prepare(name, target, self.month)
        partition._compact_day(name, target, self.month)
        self.env.cr.execute(f"DELETE FROM {target}")
        with mute_logger("odoo.addons.prepay_meter.models.prepay_reading_partition"):
            self.compact()
        self.assertEqual(self.tables("day"), {})
        self.compact()
        self.assertEqual([row[1] for row in self.readings(self.meter)], [1, 2, 3])
        self.assertNotIn(self.month, self.tables("raw"))

    def test_readers_are_not_waited_for(self):
        """A long report keeps the exchange out; nothing is lost and the next run does it."""
        self.feed(self.meter, self.begin, [1, 2, 3])
        self.patch(prepay_reading_partition, "LOCK_TIMEOUT", "50ms")
        with closing(db_connect(self.env.cr.dbname).cursor()) as reader:
            reader.execute("LOCK TABLE ONLY prepay_reading_data IN ACCESS SHARE MODE")
            with mute_logger("odoo.sql_db"):
                self.compact()
            self.assertIn(self.month, self.tables("raw"))
            self.assertEqual(len(self.readings(self.meter)), 3)
        self.compact()
        self.assertNotIn(self.month, self.tables("raw"))
        self.assertEqual(len(self.readings(self.meter)), 3)

    def test_compacted_readings_are_append_only(self):
        self.feed(self.meter, self.begin, [1, 2, 3])
        self.compact()
        for statement in (
            "UPDATE prepay_reading_day SET high = 1",
            "DELETE FROM prepay_reading_day",
        ):
            with (
                mute_logger("odoo.sql_db"),
                self.assertRaises(psycopg2.errors.CheckViolation),
                self.env.cr.savepoint(),
            ):
                self.env.cr.execute(f"{statement} WHERE meter_id = %s", [self.meter.id])

    def test_search_group_and_read_over_both(self):
        self.feed(self.meter, self.begin, range(0, 24 * 3 * 10, 10))
        self.compact()
        now = fields.Datetime.now().replace(microsecond=0)
        self.feed(self.meter, now - timedelta(hours=2), [5000, 5010])
        reading = self.env["prepay.reading"].with_user(self.reader)
        newest = reading.search([("meter_id", "=", self.meter.id)], limit=3, order="read_at desc")
        self.assertEqual(newest.mapped("value"), [5010, 5000, 710])
        page = reading.search([("meter_id", "=", self.meter.id)], limit=2, offset=2)
        self.assertEqual(page.mapped("value"), [710, 700])
        self.env.invalidate_all()
        old = reading.browse(newest[2].id)
        self.assertEqual((old.meter_id, old.location_id), (self.meter, self.room))
        self.assertEqual(old.quantity, 0.71)
        domain = [
            ("location_id", "child_of", self.project.id),
            ("read_at", ">=", self.begin + timedelta(days=1)),
            ("read_at", "<", self.begin + timedelta(days=2)),
            ("channel", "=", "energy"),
        ]
        self.assertEqual(len(reading.search(domain)), 24)
        self.assertEqual(len(reading.search(domain, limit=5)), 5)
        groups = reading._read_group(
            [("meter_id", "=", self.meter.id), ("read_at", "<", self.next_month)],
            ["read_at:day", "building_id"],
            ["value:max", "__count"],
        )
        self.assertEqual([row[2:] for row in groups], [(230, 24), (470, 24), (710, 24)])
        self.assertEqual(groups[0][1], self.project)
        self.assertFalse(reading.search([("id", "=", newest[2].id + 1)]))
        self.assertEqual(reading.search([("id", "in", newest.ids)], order="read_at desc"), newest)
        self.assertEqual(reading.search_count([("meter_id", "=", self.meter.id)]), 74)

    def test_one_register_in_a_range(self):
        """What billing reads: single and compacted readings by one function, bounds as promised."""
        self.feed(self.meter, self.begin, range(0, 480, 10))
        self.compact()
        self.feed(self.meter, self.begin + timedelta(minutes=30), [5], source="late")

        def stream(after, until):
            self.env.cr.execute(
                "SELECT read_at, value FROM prepay_readings(%s, 1, %s, %s) ORDER BY read_at",
                [self.meter.id, after, until],
            )
            return [value for _at, value in self.env.cr.fetchall()]

        hour = timedelta(hours=1)
        self.assertEqual(stream(self.begin, self.begin + 2 * hour), [5, 10, 20])
        self.assertEqual(stream(self.begin - hour, self.begin), [0])
        self.assertEqual(stream(self.begin + 23 * hour, self.begin + 25 * hour), [240, 250])
        self.assertEqual(len(stream("-infinity", "infinity")), 49)

    def test_months_are_archived_and_restored(self):
        self.feed(self.meter, self.begin, [1, 2, 3])
        self.compact()
        parts = self.env["prepay.reading.partition"].with_user(self.admin)
        old = parts.search([("kind", "=", "day"), ("month", "=", self.month)])
        raw = parts.search([("kind", "=", "raw")], limit=1)
        with self.assertRaises(UserError):
            raw.action_archive()
        with self.assertRaises(UserError):
            old.with_user(self.auditor).action_archive()
        with self.assertRaises(AccessError):
            old.with_user(self.reader).read(["name"])
        with self.holding(lambda model, day: self.month), self.assertRaises(UserError):
            old.action_archive()
        old.action_archive()
        self.env.invalidate_all()
        self.assertEqual(old.state, "archived")
        self.assertFalse(self.readings(self.meter))
        self.assertEqual(
            self.feed(self.meter, self.begin, [1]), 0, "a replay of an archived reading"
        )
        with self.assertRaises(UserError):
            old.action_archive()
        old.action_restore()
        self.env.invalidate_all()
        self.assertEqual(len(self.readings(self.meter)), 3)

    def test_months_are_archived_by_the_setting(self):
        self.feed(self.meter, self.begin, [1, 2, 3])
        self.compact()
        self.assertTrue(self.tables("day")[self.month], "by default nothing is archived")
        self.settle("prepay_meter.archive_months", 12)
        self.compact()
        self.assertTrue(self.tables("day")[self.month])
        self.settle("prepay_meter.archive_months", 2)
        with self.holding(lambda model, day: self.month):
            self.compact()
            self.assertTrue(self.tables("day")[self.month])
        self.compact()
        self.assertFalse(self.tables("day")[self.month])


@tagged("post_install", "-at_install")
class TestReadingElectrical(ReadingCase):
    def measure(self, at, **values):
        self.env.cr.execute(
            "INSERT INTO prepay_reading_electrical_data (read_at, meter_id, power, voltage, current, "
            "power_factor, frequency) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [at, self.meter.id, *[values.get(name) for name in (
                "power", "voltage", "current", "power_factor", "frequency")]],
        )  # fmt: skip

    def test_values_are_shown_in_units_of_people(self):
        at = fields.Datetime.now().replace(microsecond=0)
        self.measure(at, power=1500, voltage=231_400, current=6_480, power_factor=998,
                     frequency=50_010)  # fmt: skip
        self.measure(at, power=9)
        self.measure(at - timedelta(hours=1), power=500)
        model = self.env["prepay.reading.electrical"].with_user(self.reader)
        newest, older = model.search([("location_id", "=", self.room.id)])
        self.assertEqual((newest.read_at, newest.power, newest.voltage), (at, 1500, 231.4))
        self.assertEqual((newest.current, newest.power_factor), (6.48, 0.998))
        self.assertEqual(newest.frequency, 50.01)
        self.assertEqual(older.voltage, 0)
        self.env.invalidate_all()
        self.assertEqual(model.browse(older.id).power, 500)
        groups = model._read_group([], ["meter_id"], ["power:avg", "voltage:avg"])
        self.assertEqual(groups, [(self.meter, 1000, 231.4)])
        with self.assertRaises(AccessError):
            newest.write({"power": 1})

    def test_old_months_are_forgotten(self):
        storage.create_month(self.env.cr, "electrical", self.month)
        self.measure(self.begin, power=1)
        stray = fields.Datetime.subtract(self.begin, years=3)
        self.measure(stray, power=2)
        now = fields.Datetime.now().replace(microsecond=0)
        self.measure(now, power=3)
        self.settle("prepay_meter.electrical_days", 0)
        self.compact()
        model = self.env["prepay.reading.electrical"]
        self.assertEqual(len(model.search([])), 3, "0 keeps them for ever")
        self.settle("prepay_meter.electrical_days", 400)
        self.compact()
        self.assertEqual(len(model.search([])), 2)
        self.settle("prepay_meter.electrical_days", 60)
        self.compact()
        self.env.invalidate_all()
        self.assertEqual(model.search([]).power, 3)
        self.assertNotIn(self.month, self.tables("electrical"))
        self.assertIn(now.date().replace(day=1), self.tables("electrical"))
