"""Fixtures of tests that store many readings: old months, and crons that run in one transaction."""

from datetime import datetime, timedelta
from unittest.mock import patch

from odoo import fields

from odoo.addons.prepay_meter import storage

from .common import MeterCase


class ReadingCase(MeterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # A commit would end the transaction that is rolled back after the test.
        cls.classPatch(type(cls.env["ir.cron"]), "_commit_progress", cls._no_commit)
        today = fields.Date.today()
        #: First days of a month that is old enough to be compacted, and of the month after it.
        cls.month = fields.Date.subtract(today.replace(day=1), months=4)
        cls.next_month = storage.next_month(cls.month)
        storage.create_month(cls.env.cr, "raw", cls.month)
        cls.begin = datetime.combine(cls.month, datetime.min.time())

    def _no_commit(self, *args, **options):
        return float("inf")

    def feed(self, meter, start, values, minutes=60, channel="energy", source="poll"):
        """Store values of a register, one every so many minutes."""
        rows = [
            (meter.id, channel, start + timedelta(minutes=minutes * index), value)
            for index, value in enumerate(values)
        ]
        return self.env["prepay.reading"]._ingest(rows, source)

    def compact(self):
        return self.env["prepay.reading.partition"]._cron_maintain()

    def tables(self, kind):
        return {
            month: attached
            for _kind, _name, month, attached in storage.partitions(self.env.cr, kind)
        }

    def readings(self, meter, **more):
        """(moment, value, id, source) of all readings of a meter, as users see them."""
        found = self.env["prepay.reading"].search(
            [("meter_id", "=", meter.id), *more.get("domain", [])], order="read_at, id"
        )
        return [(item.read_at, item.value, item.id, item.source) for item in found]

    def roll_up(self):
        self.env["prepay.reading.daily"]._cron_roll_up()

    def days(self, meter, channel="energy"):
        """Consumption by day."""
        found = self.env["prepay.reading.daily"].search(
            [("meter_id", "=", meter.id), ("channel", "=", channel)], order="day"
        )
        return {item.day: item.consumption for item in found}

    def months(self, meter, channel="energy"):
        """Consumption by month."""
        self.env["prepay.reading.monthly"].invalidate_model()
        found = self.env["prepay.reading.monthly"].search(
            [("meter_id", "=", meter.id), ("channel", "=", channel)], order="month"
        )
        return {item.month: item.consumption for item in found}

    def settle(self, name, value):
        self.env["ir.config_parameter"].sudo().set_param(name, value)

    def holding(self, method):
        return patch.object(type(self.env["prepay.reading"]), "_may_compact_before", method)
