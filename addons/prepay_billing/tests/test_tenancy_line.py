"""The register at a change of tenants: what is taken from the meter, and what a person may type."""

from datetime import timedelta

from odoo import fields
from odoo.exceptions import UserError

from .common import BillingCase


class TestTenancyLine(BillingCase):
    def setUp(self):
        super().setUp()
        self.read(100, 0)
        self.read(101, 1)
        self.now = fields.Datetime.now()

    def line(self, **vals):
        return self.env["prepay.tenancy.line"].new(
            {"meter_id": self.meter.id, "read_at": self.now, "source": "manual", **vals}
        )

    def typed(self, register, **vals):
        return self.line(register=register, reading_reason="offline", **vals)

    def refused(self, line, *words):
        with self.assertRaises(UserError) as caught:
            line._check_register()
        for word in (self.meter.number, *words):
            self.assertIn(word, str(caught.exception))

    def test_typed_register_becomes_a_reading(self):
        line = self.typed(103.457)
        line._check_register()
        self.assertEqual(line._register_base(), 103_457)
        line._store_readings()
        line._store_readings()
        readings = self.env["prepay.reading"].search(
            [("meter_id", "=", self.meter.id), ("read_at", "=", self.now)]
        )
        self.assertEqual(readings.mapped("value"), [103_457])
        self.assertEqual(readings.source, "manual")
        self.assertEqual(self.meter.last_value, 103_457)

    def test_register_never_goes_back(self):
        self.refused(self.typed(100.9), "101.000", "100.900")
        self.refused(self.typed(-1))

    def test_register_never_jumps(self):
        """5 hours at 20 kW and a fifth more are 120 kWh."""
        self.profile.max_power_w = 20_000
        self.typed(215)._check_register()
        self.refused(self.typed(235), "235.000", "decimal point")
        self.refused(self.typed(103_000))

    def test_register_rolls_over(self):
        self.profile.modulus = 1_000_000_000
        self.read(999_990, 2, self.other)
        self.typed(3, meter_id=self.other.id)._check_register()

    def test_water_has_no_rated_power(self):
        meter = self._meter(
            "W-1", "00000000000001", profile_id=self.env.ref("prepay_meter.profile_cjt188").id
        )
        self.typed(5000, meter_id=meter.id)._check_register()

    def test_future_is_refused(self):
        self.refused(self.typed(102, read_at=self.now + timedelta(hours=1)), "future")

    def test_typed_between_two_readings(self):
        middle = self.start + timedelta(minutes=30)
        self.typed(100.5, read_at=middle)._check_register()
        self.refused(self.typed(101.5, read_at=middle))
        self.refused(self.typed(99.5, read_at=middle))
        self.refused(self.typed(100.9, read_at=self.start + timedelta(hours=1)), "101.000")

    def test_offline_needs_a_photo_or_a_reason(self):
        self.refused(self.line(register=102), "photo")
        self.refused(self.line(register=102, reading_reason="  "), "photo")
        self.line(register=102, photo=b"iVBORw0KGgo=")._check_register()
        self.line(register=102, reading_reason="gateway broken")._check_register()
        self.reported(self.meter, "closed")
        self.line(register=102)._check_register()

    def test_reading_of_the_meter(self):
        def taken():  # a refusal rolls back, and with it goes what is not stored
            line = self.line(read_at=False, source="meter")
            self.assertEqual(line.reading_state, "none")
            line.action_take_reading()
            line._compute_reading_state()  # nothing triggers fields of an abstract model
            return line

        self.refused(self.line(read_at=False, source="meter"), "Read Now")
        line = taken()
        self.assertEqual((line._register_base(), line.reading_state), (101_000, "old"))
        self.refused(line, "too old")
        at = self.now - timedelta(minutes=5)
        self.env["prepay.reading"]._ingest([(self.meter.id, "energy", at, 102_345)], "late")
        line = taken()
        self.assertEqual((line.read_at, line.register), (at, 102.345))
        self.assertEqual(line.reading_state, "fresh")
        line._check_register()

    def test_reading_of_the_meter_is_not_invented(self):
        self.refused(self.line(register=102, source="meter"), "no reading")

    def test_waiting_for_the_meter(self):
        line = self.line(source="meter", read_at=self.now, asked_at=self.now + timedelta(seconds=1))
        self.assertEqual(line.reading_state, "waiting")

    def test_read_now_without_a_collector_is_said(self):
        with self.assertRaisesRegex(UserError, "collector"):
            self.line(source="meter").action_read_now()

    def test_typing_makes_it_manual(self):
        line = self.line(source="meter", read_at=False, register=102.5)
        line._onchange_register()
        self.assertEqual(line.source, "manual")
        self.assertTrue(line.read_at)
        line = self.line(source="meter", register=101.0)
        line._onchange_register()
        self.assertEqual(line.source, "meter")
