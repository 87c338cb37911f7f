from decimal import Decimal

from odoo.tests import tagged

from .test_charging_time import ChargingCase


@tagged("post_install", "-at_install")
class TestChargingRegisters(ChargingCase):
    """Registers of all kinds: of rates, rolling over, replaced, held, missing."""

    def baseline(self, supply, hours, old_kwh, new_kwh, channel="energy"):
        self.env["prepay.reading.baseline"].create(
            {
                "meter_id": supply.meter_id.id,
                "channel": channel,
                "at": self.at(hours),
                "old_end": old_kwh * 1000,
                "new_start": new_kwh * 1000,
                "reason": "replaced",
            }
        )

    def feed_rates(self, supply, hours, total, peak, valley):
        self.feed(supply, (hours, total))
        self.feed(supply, (hours, peak), channel="energy_peak")
        self.feed(supply, (hours, valley), channel="energy_valley")

    # rate registers

    def test_rate_registers_say_the_rates(self):
        supply = self.supply(self.two_rates(), rate_source="meter")
        self.feed_rates(supply, 0, 100, 60, 40)
        self.feed_rates(supply, 9, 110, 69, 41)
        self.run_rating()
        found = {item.rate: item.quantity_base for item in self.charges(supply)}
        self.assertEqual(found, {"peak": 9_000, "valley": 1_000}, "not by the clock")
        self.feed_rates(supply, 10, 112, 70, 42)
        self.run_rating()
        found = {item.rate: item.quantity_base for item in self.charges(supply)}
        self.assertEqual(found, {"peak": 10_000, "valley": 2_000})
        self.assertEqual(supply.rated_value, 112_000)

    def test_any_batching_of_rate_registers_gives_the_same_bill(self):
        points = [(0, 100, 60, 40), (9, 110, 69, 41), (12, 115, 73, 42), (30, 120, 75, 45)]
        one, many = (self.supply(self.two_rates(), rate_source="meter") for _index in range(2))
        for point in points:
            self.feed_rates(one, *point)
            self.run_rating()
            self.feed_rates(many, *point)
        self.run_rating()
        self.assertEqual(self.exact(one), self.exact(many))
        self.assertEqual(self.exact(one), Decimal(15) * 1 + Decimal(5) * Decimal("0.4"))

    def test_rate_registers_that_do_not_add_up_are_not_charged(self):
        supply = self.supply(self.two_rates(), rate_source="meter")
        self.feed_rates(supply, 0, 100, 60, 40)
        self.feed_rates(supply, 9, 110, 62, 41)
        self.run_rating()
        self.assertFalse(self.charges(supply))
        self.assertIn("10.0", supply.problem)
        self.assertEqual(supply.rated_at, self.at(0))

    def test_a_total_alone_waits_for_the_rate_registers(self):
        supply = self.supply(self.two_rates(), rate_source="meter")
        self.feed_rates(supply, 0, 100, 60, 40)
        self.feed(supply, (5, 105))
        self.run_rating()
        self.assertFalse(self.charges(supply))
        self.feed_rates(supply, 9, 110, 69, 41)
        self.run_rating()
        self.assertEqual(sum(self.charges(supply).mapped("quantity_base")), 10_000)

    def test_swap_with_rate_registers(self):
        supply = self.supply(self.two_rates(), rate_source="meter")
        self.feed_rates(supply, 0, 100, 60, 40)
        for channel, old, new in (
            ("energy", 104, 0),
            ("energy_peak", 63, 0),
            ("energy_valley", 41, 0),
        ):
            self.baseline(supply, 4, old, new, channel)
        self.feed_rates(supply, 9, 10, 8, 2)
        self.run_rating()
        found = {item.rate: item.quantity_base for item in self.charges(supply)}
        self.assertEqual(found, {"peak": 11_000, "valley": 3_000})

    # replaced, rolled over

    def test_change_of_the_current_transformer(self):
        """20:1 until hour 4, then 30:1: the closing value of the old ratio, the opening of the new."""
        supply = self.supply(self.tariff_of(), kwh=2000)
        self.feed(supply, (2, 2040))
        self.baseline(supply, 4, 2060, 3090)
        self.feed(supply, (6, 3120))
        self.run_rating()
        self.assertEqual(self.exact(supply), 90)
        self.assertEqual(supply.rated_value, 3_120_000)

    def test_a_register_that_rolls_over_goes_on(self):
        modulus = self.profile.modulus
        self.assertTrue(modulus, "the profile says where its register begins anew")
        top = modulus / 1000
        supply = self.supply(self.tariff_of(), kwh=top - 5)
        self.feed(supply, (1, top - 1), (2, 3))
        self.run_rating()
        self.assertEqual(self.exact(supply), 8)

    def test_a_register_that_fell_is_named_and_not_charged(self):
        supply = self.supply(self.tariff_of())
        self.feed(supply, (1, 110), (2, 50), (3, 51))
        self.run_rating()
        self.assertEqual(self.exact(supply), 10)
        self.assertIn("110.0", supply.problem)
        other = self.supply(self.tariff_of())
        self.feed(other, (1, 101))
        self.run_rating()
        self.assertEqual(self.exact(other), 1, "others do not wait for it")

    # held

    def test_nothing_is_posted_while_a_reading_is_held(self):
        supply = self.supply(self.tariff_of())
        self.feed(supply, (10, 110))
        hold = self.env["prepay.reading.hold"].create(
            {
                "meter_id": supply.meter_id.id,
                "channel": "energy",
                "rule": "spike",
                "previous_at": self.at(5),
                "first_at": self.at(8),
                "last_at": self.at(8),
                "value": 999_000_000,
            }
        )
        self.feed(supply, (30, 130))
        self.run_rating()
        self.assertFalse(self.post(72))
        self.assertFalse(self.entries(supply))
        self.assertEqual(self.available(supply.account_id), Decimal(-30), "it is accrued")
        hold.resolution = "disturbance"
        hold.action_reject()
        self.post(72)
        self.assertEqual(self.posted(supply), 30)

    def test_what_was_used_before_a_held_reading_is_posted(self):
        supply = self.supply(self.tariff_of())
        self.feed(supply, (10, 110), (24, 124), (47, 130))
        self.env["prepay.reading.hold"].create(
            {
                "meter_id": supply.meter_id.id,
                "channel": "energy",
                "rule": "spike",
                "previous_at": self.at(24),
                "first_at": self.at(26),
                "last_at": self.at(26),
                "value": 999_000_000,
            }
        )
        self.run_rating()
        self.post(96)
        self.assertEqual(self.posted(supply), 24)

    # missing

    def estimate(self, supply, start, end, before, kwh):
        return self.env["prepay.reading.estimate"].create(
            {
                "meter_id": supply.meter_id.id,
                "channel": "energy",
                "start_at": self.at(start),
                "end_at": self.at(end),
                "start_value": before * 1000,
                "value": kwh * 1000,
                "method": "person",
                "reason": "line cut",
            }
        )

    def silent(self, **vals):
        """A meter that was read at hour 10 for the last time, and its estimate for hour 30."""
        self.company.prepay_charge_estimates = True
        supply = self.supply(self.tariff_of(**vals))
        self.feed(supply, (10, 110))
        self.run_rating()
        self.estimate(supply, 10, 30, 110, 130)
        self.run_rating()
        return supply

    def test_an_estimate_is_charged_only_where_the_company_wants_it(self):
        supply = self.supply(self.tariff_of())
        self.feed(supply, (10, 110))
        self.run_rating()
        self.estimate(supply, 10, 30, 110, 130)
        self.run_rating()
        self.assertEqual(self.exact(supply), 10)

    def test_an_estimate_is_provisional_and_moves_no_reading(self):
        supply = self.silent()
        estimated = self.charges(supply, provisional=True)
        self.assertEqual(sum(estimated.mapped("quantity_base")), 20_000)
        self.assertEqual(supply.rated_value, 110_000)
        self.assertEqual(supply.provisional_until, self.at(30))
        before = self.exact(supply)
        self.run_rating()
        self.assertEqual(self.exact(supply), before, "charged once")

    def settle(self, true_kwh):
        supply = self.silent()
        self.post(72)
        self.assertEqual(self.posted(supply), 30)
        self.feed(supply, (30, true_kwh), (34, true_kwh + 4))
        self.run_rating()
        return supply

    def test_a_true_reading_settles_by_one_signed_difference(self):
        for true_kwh in (140, 118):
            supply = self.settle(true_kwh)
            difference = self.charges(supply).filtered("settles_id")
            self.assertEqual(set(difference.settles_id.mapped("provisional")), {True})
            self.assertEqual(sum(difference.mapped("quantity_base")), (true_kwh - 130) * 1000)
            self.assertEqual(self.exact(supply), true_kwh + 4 - 100)
            self.assertFalse(supply.provisional_until)
            before = self.entries(supply)
            self.post(100)
            self.assertEqual(self.posted(supply), true_kwh + 4 - 100)
            self.assertEqual(len(self.entries(supply) - before), 1, "one difference")

    def test_readings_inside_the_gap_wait_for_its_end(self):
        supply = self.silent()
        self.feed(supply, (20, 112))
        self.run_rating()
        self.assertEqual(supply.rated_at, self.at(10))
        self.feed(supply, (31, 125))
        self.run_rating()
        self.assertEqual(self.exact(supply), 25)

    def test_a_longer_estimate_replaces_the_first(self):
        supply = self.silent()
        self.estimate(supply, 10, 40, 110, 135)
        self.run_rating()
        self.assertEqual(self.exact(supply), 35)
        self.feed(supply, (45, 150))
        self.run_rating()
        self.assertEqual(self.exact(supply), 50)
        self.assertFalse(supply.provisional_until)

    def test_tiers_are_those_of_true_use_after_an_estimate(self):
        tiers = [(0, 0, {"upto": 25, "flat": 1}), (0, 0, {"upto": 0, "flat": 2})]
        supply = self.silent(price_ids=tiers)
        self.assertEqual(self.exact(supply), 35, "10 + 15 in the first tier, 5 in the second")
        self.feed(supply, (30, 112), (31, 130))
        self.run_rating()
        self.assertEqual(self.exact(supply), 35)
        self.assertEqual(supply.tier_used, 30_000)

    def test_granted_money_taken_too_much_comes_back_as_granted(self):
        supply = self.silent()
        account = supply.account_id
        self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": account,
                    "kind": "grant",
                    "bucket": "granted",
                    "amount": Decimal(25),
                    "key": f"grant:{account.id}",
                    "reason": "allowance",
                }
            ]
        )
        self.post(72)
        self.env.invalidate_all()
        self.assertEqual((account.granted, account.balance), (0, -5))
        self.feed(supply, (30, 110))
        self.run_rating()
        self.post(100)
        self.env.invalidate_all()
        self.assertEqual(account.granted + account.balance, 15)
        self.assertLessEqual(account.balance, 0, "granted money never becomes the tenant's own")
