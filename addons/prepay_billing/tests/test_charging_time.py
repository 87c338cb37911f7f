from datetime import date, datetime, timedelta
from decimal import Decimal

from odoo.tests import tagged

from .common import BillingCase

#: Midnight of Monday, 7 September 2026, in Shanghai; the tests count days and hours from it.
MONDAY = datetime(2026, 9, 6, 16)
DAY = date(2026, 9, 7)


class ChargingCase(BillingCase):
    """Rooms whose readings are of fixed days, so that hours, days and months are known."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.begin = MONDAY

    def tariff_of(self, **vals):
        tariff = self.env["prepay.tariff"].create(
            {
                "name": "Test",
                "company_id": self.company.id,
                "medium": vals.pop("medium", "electricity"),
            }
        )
        self.env["prepay.tariff.version"].create(
            {"tariff_id": tariff.id, "valid_from": MONDAY - timedelta(days=400), "price": 1, **vals}
        )._approve()
        return tariff

    def two_rates(self, **vals):
        """Peak 1.00 from 8 to 22 o'clock, valley 0.40 otherwise."""
        periods = [(0, "valley"), (8, "peak"), (22, "valley")]
        return self.tariff_of(
            price_ids=vals.pop("price_ids", [(0, 0, {"peak": 1.0, "valley": 0.4, "flat": 0.7})]),
            season_ids=[
                (
                    0,
                    0,
                    {
                        "name": "Year",
                        "period_ids": [
                            (0, 0, {"start": start, "rate": rate}) for start, rate in periods
                        ],
                    },
                )
            ],
            **vals,
        )

    def supply(self, tariff, start=0, kwh=100, **vals):
        """An assignment of a new meter from ``start`` hours after Monday on."""
        number = self.env["prepay.meter"].search_count([]) + 500
        location = vals.pop("location", self.room)
        meter = self._meter(
            f"T-{number}",
            vals.pop("address", f"{number:012d}"),
            location_id=location.id,
            **vals.pop("meter", {}),
        )
        at = MONDAY + timedelta(hours=start)
        account = self.env["prepay.account"].create(
            {
                "partner_id": self.tenant.id,
                "location_id": location.id,
                "supply_ids": [
                    (
                        0,
                        0,
                        {
                            "meter_id": meter.id,
                            "tariff_id": tariff.id,
                            "start_at": at,
                            **vals,
                        },
                    )
                ],
            }
        )
        account.supply_ids.write({"rated_at": at, "rated_value": int(kwh * 1000)})
        return account.supply_ids

    def at(self, hours):
        return MONDAY + timedelta(hours=hours)

    def feed(self, supply, *points, channel="energy"):
        """Readings (hours after Monday, kWh)."""
        self.env["prepay.reading"]._ingest(
            [
                (supply.meter_id.id, channel, self.at(hours), int(Decimal(str(kwh)) * 1000))
                for hours, kwh in points
            ]
        )

    def run_rating(self, hours=0, **options):
        return self.env["prepay.account.meter"]._rate_new_readings(self.at(hours), **options)

    def post(self, hours, **options):
        return self.env["prepay.charge"]._post_due(now=self.at(hours), **options)

    def charges(self, supply, **domain):
        self.env.invalidate_all()
        return self.env["prepay.charge"].search(
            [
                ("supply_id", "=", supply.id),
                *[(name, "=", value) for name, value in domain.items()],
            ],
            order="day, kind, rate, tier, id",
        )

    def exact(self, supply):
        self.env.cr.execute(
            "SELECT COALESCE(sum(exact_amount), 0)::text FROM prepay_charge WHERE supply_id = %s",
            [supply.id],
        )
        return Decimal(self.env.cr.fetchone()[0])

    def entries(self, supply):
        self.env.invalidate_all()
        return supply.account_id.entry_ids.filtered(lambda item: item.kind != "topup").sorted("id")

    def posted(self, supply):
        return -sum((entry._exact_amount() for entry in self.entries(supply)), Decimal(0))


@tagged("post_install", "-at_install")
class TestChargingTime(ChargingCase):
    def test_the_clock_splits_use_into_rates(self):
        supply = self.supply(self.two_rates())
        self.feed(supply, (7, 100), (9, 102))
        self.run_rating()
        found = {
            item.rate: (item.quantity_base, item.exact_amount) for item in self.charges(supply)
        }
        self.assertEqual(found, {"valley": (1000, 0.4), "peak": (1000, 1.0)})

    def test_days_begin_at_midnight_of_the_site(self):
        supply = self.supply(self.tariff_of())
        self.feed(supply, (22, 110), (26, 114))
        self.run_rating()
        days = {item.day: item.quantity_base for item in self.charges(supply)}
        self.assertEqual(days, {DAY: 12_000, DAY + timedelta(days=1): 2_000})

    def test_tiers_count_over_runs_and_begin_anew_each_month(self):
        tariff = self.tariff_of(
            price_ids=[(0, 0, {"upto": 100, "flat": 0.5}), (0, 0, {"upto": 0, "flat": 0.8})]
        )
        supply = self.supply(tariff)
        self.feed(supply, (1, 190))
        self.run_rating()
        self.assertEqual((supply.tier_period, supply.tier_used), ("2026-09", 90_000))
        self.feed(supply, (2, 210))
        self.run_rating()
        found = {item.tier: item.quantity_base for item in self.charges(supply)}
        self.assertEqual(found, {1: 100_000, 2: 10_000})
        october = 24 * 24
        self.feed(supply, (october, 210), (october + 1, 215))
        self.run_rating()
        first = self.charges(supply, day=date(2026, 10, 1))
        self.assertEqual((first.tier, first.quantity_base), (1, 5_000))
        self.assertEqual((supply.tier_period, supply.tier_used), ("2026-10", 5_000))

    def test_tiers_are_wider_with_more_persons(self):
        tariff = self.tariff_of(
            tier_per_head=True,
            price_ids=[(0, 0, {"upto": 10, "flat": 0.5}), (0, 0, {"upto": 0, "flat": 0.8})],
        )
        supply = self.supply(tariff, heads=3)
        self.feed(supply, (1, 135))
        self.run_rating()
        found = {item.tier: item.quantity_base for item in self.charges(supply)}
        self.assertEqual(found, {1: 30_000, 2: 5_000})

    def test_fees_accrue_each_day_without_readings(self):
        tariff = self.tariff_of(
            fee_ids=[
                (0, 0, {"code": "Basic", "amount": 30, "period": "month"}),
                (0, 0, {"code": "Line", "amount": 0.5, "period": "day"}),
            ]
        )
        supply = self.supply(tariff)
        self.run_rating(1)
        fees = self.charges(supply, kind="fee")
        self.assertEqual([item.exact_amount for item in fees], [1, 0.5], "the day that began")
        for hours in (2, 23, 24, 25, 71, 72):
            self.run_rating(hours)
        self.assertEqual(len(self.charges(supply, kind="fee")), 6, "three days, two fees")
        self.assertEqual(self.available(supply.account_id), Decimal("-4.5"))
        self.assertFalse(sum(self.charges(supply).mapped("quantity_base")))
        self.run_rating(24 * 24)
        september = self.charges(supply, tier=1).filtered(lambda item: item.day.month == 9)
        self.assertEqual(sum(item.exact_amount for item in september), 24)

    def test_service_fee_is_a_line_of_its_own(self):
        supply = self.supply(self.tariff_of(service_price=0.1, service_percent=5))
        self.feed(supply, (1, 110))
        self.run_rating()
        self.assertEqual(
            {item.kind: item.exact_amount for item in self.charges(supply)},
            {"usage": 10.0, "service": 1.5},
        )
        self.assertEqual(self.available(supply.account_id), Decimal("-11.5"))

    def test_a_day_is_posted_when_it_is_over_at_its_site(self):
        """At 17:00 UTC the day is over in Shanghai (UTC+8), not in Urumqi's time (UTC+6)."""
        west = self.env["prepay.location"].create(
            {"name": "West", "kind": "project", "own_tz": "Asia/Urumqi"}
        )
        east_supply = self.supply(self.tariff_of())
        west_supply = self.supply(self.tariff_of(), location=west)
        for supply in (east_supply, west_supply):
            self.feed(supply, (20, 110), (24.5, 111))
        self.run_rating()
        self.post(25)
        self.assertEqual(self.charges(east_supply, day=DAY).state, "posted")
        self.assertEqual(self.charges(west_supply, day=DAY).state, "open")
        self.feed(west_supply, (26.5, 112))
        self.run_rating()
        self.post(27)
        self.assertEqual(self.charges(west_supply, day=DAY).state, "posted")

    def test_a_day_waits_some_hours_for_its_last_reading(self):
        supply = self.supply(self.tariff_of())
        self.feed(supply, (20, 110))
        self.run_rating()
        self.assertFalse(self.post(25), "the reading after midnight is still to come")
        self.feed(supply, (25, 111))
        self.run_rating()
        self.post(25.1)
        self.assertEqual(len(self.entries(supply)), 1)
        other = self.supply(self.tariff_of())
        self.feed(other, (20, 110))
        self.run_rating()
        self.assertFalse(self.post(29.9))
        self.assertEqual(self.post(30.1), other, "a silent meter does not keep its day open")

    def test_late_use_is_posted_into_the_open_day_and_names_its_own(self):
        supply = self.supply(self.tariff_of())
        self.feed(supply, (12, 110))
        self.run_rating()
        self.post(31)
        first = self.entries(supply)
        self.assertEqual((len(first), supply.closed_day), (1, DAY))
        self.feed(supply, (60, 158))
        self.run_rating()
        late = self.charges(supply, day=DAY, state="open")
        self.assertEqual(late.quantity_base, 12_000)
        self.post(61)
        self.assertEqual(late.posted_day, DAY + timedelta(days=1))
        self.assertEqual((late.day, late.start_at), (DAY, self.at(12)))
        entry = self.entries(supply) - first
        self.assertEqual(len(entry), 1, "one entry for the open day")
        self.assertIn(str(DAY), entry.reason)
        self.assertEqual(entry.amount, -36)
        self.assertEqual(first.amount, -10)

    def test_nothing_is_posted_into_a_locked_period(self):
        self.company.fiscalyear_lock_date = DAY + timedelta(days=2)
        supply = self.supply(self.tariff_of())
        self.feed(supply, (12, 110), (90, 110))
        self.run_rating()
        self.post(80)
        self.assertFalse(self.entries(supply))
        self.assertEqual(self.available(supply.account_id), Decimal(-10), "accrued all the same")
        self.feed(supply, (97, 110))
        self.run_rating()
        self.post(97)
        charge = self.charges(supply, day=DAY)
        self.assertEqual((charge.state, charge.posted_day), ("posted", DAY + timedelta(days=3)))

    def test_water_by_tiers(self):
        tariff = self.tariff_of(
            medium="water",
            price_ids=[(0, 0, {"upto": 5, "flat": 2}), (0, 0, {"upto": 0, "flat": 4})],
        )
        profile = self.env["prepay.meter.profile"].search([("medium", "=", "water")], limit=1)
        supply = self.supply(
            tariff, meter={"profile_id": profile.id}, address="10000000000001", kwh=0
        )
        self.feed(supply, (1, 8), channel="volume")
        self.run_rating()
        self.assertEqual(self.available(supply.account_id), Decimal(-22))
