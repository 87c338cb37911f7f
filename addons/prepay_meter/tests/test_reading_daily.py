from datetime import datetime, timedelta

from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.tests import tagged

from .common_reading import ReadingCase


@tagged("post_install", "-at_install")
class TestReadingDaily(ReadingCase):
    def local(self, day, hour=0, minute=0):
        """Naive UTC of a time of day in Shanghai, ``day`` days after the first of the test month."""
        midnight = datetime.combine(self.month, datetime.min.time()) - timedelta(hours=8)
        return midnight + timedelta(days=day, hours=hour, minutes=minute)

    def read(self, day, hour, value, minute=0, **more):
        self.feed(more.pop("meter", self.meter), self.local(day, hour, minute), [value], **more)

    def at(self, day):
        return self.month + timedelta(days=day)

    def test_days_are_those_of_the_site(self):
        self.read(0, 23, 1_000, 30)
        self.read(1, 0, 1_400)
        self.read(1, 12, 2_000)
        self.read(1, 23, 2_500, 59)
        self.read(2, 0, 2_600)
        self.roll_up()
        self.assertEqual(self.days(self.meter), {self.at(0): 0, self.at(1): 1_500, self.at(2): 100})
        day = self.env["prepay.reading.daily"].search(
            [("meter_id", "=", self.meter.id), ("day", "=", self.at(1))]
        )
        self.assertEqual((day.first_at, day.first_value), (self.local(1), 1_400))
        self.assertEqual((day.last_at, day.last_value), (self.local(1, 23, 59), 2_500))
        self.assertEqual((day.count, day.quantity), (3, 1.5))
        self.assertEqual(day.building_id, self.project)

    def test_late_readings_change_their_day_and_the_next(self):
        self.read(0, 12, 1_000)
        self.read(3, 12, 4_000)
        self.roll_up()
        self.assertEqual(self.days(self.meter), {self.at(0): 0, self.at(3): 3_000})
        self.read(2, 12, 3_000, source="late")
        self.roll_up()
        self.assertEqual(
            self.days(self.meter), {self.at(0): 0, self.at(2): 2_000, self.at(3): 1_000}
        )
        self.read(0, 13, 1_500, source="late")
        self.roll_up()
        self.assertEqual(
            self.days(self.meter), {self.at(0): 500, self.at(2): 1_500, self.at(3): 1_000}
        )
        self.assertEqual(self.months(self.meter), {self.month: 3_000})

    def test_repeated_runs_change_nothing(self):
        self.feed(self.meter, self.begin, range(0, 24 * 100, 100))
        self.roll_up()
        rolled = self.days(self.meter)
        self.assertEqual(sum(rolled.values()), 2_300)
        self.assertEqual(self.months(self.meter), {self.month: 2_300})
        self.env.cr.execute("SELECT ctid, * FROM prepay_reading_daily_data")
        rows = self.env.cr.fetchall()
        self.settle("prepay_meter.rollup_until", False)
        self.roll_up()
        self.env.cr.execute("SELECT ctid, * FROM prepay_reading_daily_data")
        self.assertEqual(self.env.cr.fetchall(), rows, "not even written again")
        self.assertEqual(self.months(self.meter), {self.month: 2_300})

    def test_run_in_pieces(self):
        for meter in (self.meter, self.other):
            for channel in ("energy", "energy_peak"):
                self.feed(meter, self.begin, range(0, 72 * 100, 100), channel=channel)
        daily = self.env["prepay.reading.daily"]
        daily._mark_new()
        done = []
        while count := daily._roll_up_batch(limit=3):
            done.append(count)
            self.assertLessEqual(count, 3)
        self.assertEqual(sum(self.days(self.meter).values()), 7_100)
        self.assertEqual(sum(self.days(self.other, "energy_peak").values()), 7_100)
        self.assertEqual(daily._count_marked(), 0)

    def test_roll_over_and_long_silence(self):
        modulus = self.profile.modulus
        self.read(0, 12, modulus - 5_000)
        self.read(0, 13, 1_000)
        late = self.local(50, 12)
        self.feed(self.meter, late, [9_000])
        self.roll_up()
        self.assertEqual(list(self.days(self.meter).values()), [6_000, 8_000])

    def test_compacted_days_are_rolled_up_from_the_arrays(self):
        self.feed(self.meter, self.begin, range(0, 72 * 100, 100))
        self.roll_up()
        rolled = self.days(self.meter)
        self.compact()
        self.env.cr.execute("DELETE FROM prepay_reading_daily_data")
        self.env.cr.execute(
            "INSERT INTO prepay_reading_dirty SELECT d.day, %s, 1 FROM unnest(%s::date[]) d(day)",
            [self.meter.id, list(rolled)],
        )
        self.roll_up()
        self.env.invalidate_all()
        self.assertEqual(self.days(self.meter), rolled)

    def test_new_baseline_is_counted_across(self):
        self.read(0, 12, 900_000)
        self.read(1, 12, 910_000)
        self.roll_up()
        self.env["prepay.reading.baseline"].create(
            {
                "meter_id": self.meter.id,
                "channel": "energy",
                "at": self.local(2, 9),
                "old_end": 912_000,
                "new_start": 50,
                "reason": "replaced",
            }
        )
        self.assertEqual((self.meter.last_value, self.meter.last_read_at), (50, self.local(2, 9)))
        self.read(2, 12, 1_050)
        self.read(3, 12, 3_050)
        self.roll_up()
        self.assertEqual(
            self.days(self.meter),
            {self.at(0): 0, self.at(1): 10_000, self.at(2): 3_000, self.at(3): 2_000},
        )
        with self.assertRaises(ValidationError):
            self.env["prepay.reading.baseline"].create(
                {
                    "meter_id": self.meter.id,
                    "channel": "energy",
                    "at": self.local(3, 11),
                    "old_end": 3_000,
                    "new_start": 0,
                    "reason": "too late",
                }
            )

    def test_months_are_the_sums_of_their_days(self):
        start = self.local(27, 23)
        self.feed(self.meter, start, range(0, 24 * 20 * 100, 100))
        self.roll_up()
        days, months = self.days(self.meter), self.months(self.meter)
        self.assertEqual(len(months), 2)
        for month, consumption in months.items():
            self.assertEqual(
                consumption,
                sum(value for day, value in days.items() if day.replace(day=1) == month),
            )
        groups = (
            self.env["prepay.reading.monthly"]
            .with_user(self.reader)
            ._read_group([("channel", "=", "energy")], ["building_id"], ["quantity:sum"])
        )
        self.assertEqual(groups, [(self.project, sum(days.values()) / 1000)])

    def test_month_by_building_for_users_of_the_company(self):
        self.feed(self.meter, self.begin, range(0, 24 * 28 * 100, 100))
        self.feed(self.other, self.begin, [0, 500], channel="volume")
        self.roll_up()
        daily = self.env["prepay.reading.daily"].with_user(self.reader)
        groups = daily._read_group(
            [("channel", "=", "energy")], ["day:month", "building_id"], ["quantity:sum"]
        )
        self.assertEqual([row[1:] for row in groups], [(self.project, 67.1)])
        record = daily.search([("channel", "=", "volume")])
        self.assertEqual(record.consumption, 500)
        self.env.invalidate_all()
        self.assertEqual(daily.browse(record.id).meter_id, self.other)
        with self.assertRaises(AccessError):
            record.write({"consumption": 1})
        stranger_company = self.env["res.company"].create({"name": "Other factory"})
        stranger = self._user("stranger-t", "prepay_meter.group_user")
        stranger.write(
            {"company_ids": [(6, 0, stranger_company.ids)], "company_id": stranger_company.id}
        )
        alien = daily.with_user(stranger).with_context(allowed_company_ids=stranger_company.ids)
        self.assertFalse(alien.search([]))

    def test_estimate_is_superseded_by_a_reading(self):
        estimate = self.env["prepay.reading.estimate"].create(
            {
                "meter_id": self.meter.id,
                "channel": "energy",
                "start_at": self.local(0),
                "end_at": self.local(5),
                "start_value": 1_000,
                "value": 6_000,
                "method": "average",
                "reason": "no answer",
            }
        )
        self.read(4, 0, 5_000)
        self.roll_up()
        self.assertEqual(estimate.state, "current", "the reading lies before its end")
        self.assertEqual(estimate.quantity, 5)
        self.read(5, 0, 5_500)
        self.read(6, 0, 7_000)
        self.roll_up()
        self.assertEqual(estimate.state, "superseded")
        self.assertEqual((estimate.true_at, estimate.true_value), (self.local(5), 5_500))
        self.assertEqual(
            fields.Datetime.to_datetime(
                self.env["ir.config_parameter"].sudo().get_param("prepay_meter.rollup_until")
            ).microsecond,
            0,
        )
