"""Calendars: China's public holidays as shipped, and which calendar a place has."""

from datetime import date

from freezegun import freeze_time
from odoo.tests import tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestTariffCalendar(BillingCase):
    def test_public_holidays_of_china(self):
        calendar = self.env.ref("prepay_billing.calendar_china")._engine_calendar()
        for day, kind in (
            (date(2025, 1, 26), "workday"),  # Sunday worked for the Spring Festival
            (date(2025, 1, 28), "holiday"),
            (date(2025, 2, 4), "holiday"),
            (date(2025, 2, 5), "workday"),
            (date(2025, 10, 8), "holiday"),
            (date(2025, 10, 11), "workday"),
            (date(2026, 1, 4), "workday"),
            (date(2026, 2, 14), "workday"),
            (date(2026, 2, 23), "holiday"),
            (date(2026, 2, 24), "workday"),
            (date(2026, 5, 9), "workday"),
            (date(2026, 9, 27), "holiday"),
            (date(2026, 10, 10), "workday"),
            (date(2026, 11, 22), "weekend"),
            (date(2026, 11, 23), "workday"),
        ):
            self.assertEqual(calendar.day_type(day), kind, day)
        days = self.env.ref("prepay_billing.calendar_china").day_ids
        off = days.filtered(lambda item: item.day_type == "holiday").mapped("date")
        worked = days.filtered(lambda item: item.day_type == "workday").mapped("date")
        # Days off and make-up workdays of the notices of the State Council.
        self.assertEqual([sum(day.year == year for day in off) for year in (2025, 2026)], [28, 33])
        self.assertEqual([sum(day.year == year for day in worked) for year in (2025, 2026)], [5, 6])

    def test_a_person_is_asked_for_the_coming_year_once(self):
        """The shipped days end with 2026: the notice for 2027 comes out in November 2026."""
        calendar = self.env.ref("prepay_billing.calendar_china")
        calendar.activity_ids.unlink()
        with freeze_time("2026-10-20 04:00"):
            calendar._cron_remind()
        self.assertFalse(calendar.activity_ids, "there is nothing to enter yet")
        with freeze_time("2026-12-05 04:00"):
            self.env.invalidate_all()
            calendar._cron_remind()
            calendar._cron_remind()
            activity = calendar.activity_ids
            self.assertEqual(len(activity), 1)
            self.assertIn("2027", activity.summary)
            self.assertTrue(activity.user_id.has_group("prepay_meter.group_admin"))
            calendar.day_ids = [(0, 0, {"date": "2027-01-01", "day_type": "holiday"})]
            calendar._cron_remind()
            self.assertFalse(calendar.activity_ids)

    def test_the_nearest_calendar_counts(self):
        shipped = self.env.ref("prepay_billing.calendar_china")
        company, plant = self.env["prepay.calendar"].create(
            [
                {"name": "Company", "company_id": self.company.id},
                {
                    "name": "Plant",
                    "company_id": self.company.id,
                    "day_ids": [(0, 0, {"date": "2026-11-23", "day_type": "holiday"})],
                },
            ]
        )
        self.assertEqual(self.room._prepay_calendar(), shipped)
        self.company.prepay_calendar_id = company
        self.assertEqual(self.room._prepay_calendar(), company)
        self.project.calendar_id = plant
        self.assertEqual(self.room.with_user(self.reader)._prepay_calendar(), plant)
        self.assertEqual(plant._engine_calendar().day_type(date(2026, 11, 23)), "holiday")
        self.room.calendar_id = shipped
        self.assertEqual(self.room._prepay_calendar(), shipped)
