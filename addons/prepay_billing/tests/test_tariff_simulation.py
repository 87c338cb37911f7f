"""The simulator: a month of real readings by two tariffs, through the rating engine."""

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from .common import BillingCase

ZONE = ZoneInfo("Asia/Shanghai")


@tagged("post_install", "-at_install")
class TestTariffSimulation(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = (date.today().replace(day=1) - timedelta(days=1)).replace(day=1)
        cls.month = f"{cls.first:%Y-%m}"
        cls.hours = cls.env["prepay.tariff"].create(
            {
                "name": "Hours",
                "company_id": cls.company.id,
                "version_ids": [
                    (
                        0,
                        0,
                        {
                            "valid_from": cls.start - timedelta(days=300),
                            "service_price": 0.01,
                            "price_ids": [
                                (0, 0, {"sequence": 1, "upto": 100, "peak": 1, "valley": 0.4}),
                                (0, 0, {"sequence": 2, "upto": 0, "peak": 1.5, "valley": 0.6}),
                            ],
                            "season_ids": [
                                (
                                    0,
                                    0,
                                    {
                                        "period_ids": [
                                            (0, 0, {"start": 0, "rate": "valley"}),
                                            (0, 0, {"start": 8, "rate": "peak"}),
                                        ]
                                    },
                                )
                            ],
                            "fee_ids": [(0, 0, {"code": "Access", "amount": 1, "period": "day"})],
                        },
                    )
                ],
            }
        )

    def _read(self, day, hour, kwh):
        at = datetime.combine(self.first + timedelta(days=day), time(hour), ZONE)
        self.env["prepay.reading"]._ingest(
            [
                (
                    self.meter.id,
                    "energy",
                    at.astimezone(timezone.utc).replace(tzinfo=None),
                    kwh * 1000,
                )
            ]
        )

    def _two_days(self):
        """30 kWh by night and 60 kWh by day, twice: 180 kWh."""
        value = 1000
        self._read(0, 0, value)
        for day in (0, 1):
            self._read(day, 8, value + 30)
            self._read(day + 1, 0, value + 90)
            value += 90

    def _simulate(self, **vals):
        simulation = (
            self.env["prepay.tariff.simulation"]
            .with_user(self.accountant)
            .create(
                {
                    "meter_id": self.meter.id,
                    "month": self.month,
                    "other_tariff_id": self.hours.id,
                    **vals,
                }
            )
        )
        simulation.action_simulate()
        return simulation

    def test_two_tariffs_side_by_side(self):
        self._two_days()
        simulation = self._simulate()
        self.assertEqual(simulation.tariff_id, self.tariff)  # the meter's own
        self.assertAlmostEqual(simulation.quantity, 180)
        self.assertAlmostEqual(simulation.total, 180 * 0.68)
        # Day 1: 30 valley, 60 peak in tier 1. Day 2: 10 valley in tier 1, 20 above; 60 peak above.
        other = Decimal("12") + 60 + 4 + 12 + 90 + Decimal("1.80") + 2
        self.assertAlmostEqual(simulation.other_total, float(other))
        self.assertAlmostEqual(simulation.difference, float(other) - 122.40)
        lines = simulation.line_ids.filtered(
            lambda line: line.side == "second" and line.kind == "usage"
        )
        self.assertEqual(
            [(line.rate, line.tier, line.quantity, line.price) for line in lines],
            [
                ("valley", 1, 30, 0.4),
                ("peak", 1, 60, 1.0),
                ("valley", 1, 10, 0.4),
                ("valley", 2, 20, 0.6),
                ("peak", 2, 60, 1.5),
            ],
        )
        self.assertIn("Usage, tier 2, Valley", simulation.summary)
        self.assertIn("Readings from", simulation.note)
        domain = simulation.action_intervals()["domain"]
        found = self.env["prepay.tariff.simulation.line"].search(domain)
        self.assertEqual(found, simulation.line_ids)
        simulation.action_simulate()
        self.assertEqual(len(found.exists()), 0)  # the second run replaces the first
        self.assertAlmostEqual(simulation.total, 180 * 0.68)

    def test_usage_over_the_turn_of_the_month_counts_by_its_days(self):
        self._read(-1, 0, 1000)
        self._read(1, 0, 1020)  # 10 kWh on each of the two days
        self.assertAlmostEqual(self._simulate().quantity, 10)

    def test_tiers_by_the_year_are_filled_from_january_on(self):
        year = self.hours.version_ids
        year.write({"tier_period": "year"})
        if self.first.month == 1:
            self.first = self.first + timedelta(days=31)
            self.month = f"{self.first:%Y-%m}"
        self._read(-20, 0, 900)
        self._read(-10, 0, 1000)
        self._two_days()
        simulation = self._simulate()
        tiers = simulation.line_ids.filtered(
            lambda line: line.side == "second" and line.kind == "usage" and line.quantity
        ).mapped("tier")
        self.assertEqual(set(tiers), {2})

    def test_a_draft_is_shown_as_if_it_had_held(self):
        self._two_days()
        draft = self.env["prepay.tariff.version"].create(
            {
                "tariff_id": self.tariff.id,
                "valid_from": datetime.now() + timedelta(days=30),
                "price": 1,
                "state": "draft",
            }
        )
        action = draft.action_simulate()
        context = action["context"]
        self.assertEqual(context["default_other_version_id"], draft.id)
        simulation = self._simulate(
            other_tariff_id=self.tariff.id, other_version_id=context["default_other_version_id"]
        )
        self.assertAlmostEqual(simulation.other_total, 180)
        self.assertEqual(draft.state, "draft")
        self.assertFalse(self.env["prepay.charge"].search([("meter_id", "=", self.meter.id)]))

    def test_what_cannot_be_simulated_says_why(self):
        with self.assertRaisesRegex(UserError, "no usage in .* Choose another month"):
            self._simulate()
        self._two_days()
        late = self.env["prepay.tariff"].create(
            {
                "name": "Late",
                "company_id": self.company.id,
                "version_ids": [(0, 0, {"valid_from": datetime.now(), "price": 1})],
            }
        )
        with self.assertRaisesRegex(UserError, "no approved price at the beginning"):
            self._simulate(other_tariff_id=late.id)
        water = self.env["prepay.tariff"].create(
            {"name": "Water", "medium": "water", "company_id": self.company.id}
        )
        with self.assertRaisesRegex(UserError, "not of the same kind"):
            self._simulate(other_tariff_id=water.id)
        with self.assertRaises(AccessError):
            self.env["prepay.tariff.simulation"].with_user(self.cashier).create(
                {"meter_id": self.meter.id, "other_tariff_id": self.hours.id}
            )

    def test_another_tariff_drops_the_price_of_the_old_one(self):
        form = Form(self.env["prepay.tariff.simulation"].with_user(self.accountant))
        form.meter_id = self.meter
        self.assertEqual(form.tariff_id, self.tariff)
        form.other_tariff_id = self.hours
        form.other_version_id = self.hours.version_ids
        form.other_tariff_id = self.tariff
        self.assertFalse(form.other_version_id)
