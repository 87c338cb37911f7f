import itertools
from decimal import Decimal
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odoo.exceptions import AccessError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ..models.prepay_charge import PrepayCharge
from .test_charging_time import ChargingCase


class Crash(Exception):
    pass


@tagged("post_install", "-at_install")
class TestChargeRun(ChargingCase):
    """Batches, crashes between them, repetition; runs with progress."""

    def plant(self, count=7):
        tariff = self.two_rates(service_price=0.013)
        supplies = [self.supply(tariff) for _index in range(count)]
        for index, supply in enumerate(supplies):
            self.feed(supply, (7 + index, 100.333 + index), (20, 111.117 + index), (26, 120))
        return self.env["prepay.account.meter"].union(*supplies)

    def state(self, supplies):
        """All that is charged and posted, without ids."""
        self.env.invalidate_all()
        found = []
        for supply in supplies:
            charges = self.charges(supply)
            found.append(
                (
                    supply.rated_value,
                    self.exact(supply),
                    supply._residues()[supply.id],
                    [(item.day, item.kind, item.rate, item.state, item.amount) for item in charges],
                    [(item.amount, item.reason[-30:]) for item in self.entries(supply)],
                )
            )
        return found

    def test_any_batch_size_gives_the_same(self):
        supplies = self.plant()
        results = []
        for size in (1, 3, 5000):
            with self.env.cr.savepoint() as savepoint:
                supplies._rate_new_readings(self.at(30), batch=size)
                self.post(31, supplies=supplies, batch=size)
                self.post(31, supplies=supplies, batch=size)
                supplies._rate_new_readings(self.at(31), batch=size)
                results.append(self.state(supplies))
                savepoint.rollback()
                self.env.invalidate_all()
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])
        self.assertTrue(all(entries for *_rest, entries in results[0]))

    def test_posted_at_once_is_the_same_as_posted_afterwards(self):
        """With each run: no charge is open meanwhile, and what is charged and posted is the same."""
        supplies = self.plant()
        supplies[0].closed_day = self.at(30).date()  # later use goes into the next day
        results = []
        for posting, size in (("daily", 5000), ("run", 5000), ("run", 3)):
            with self.env.cr.savepoint() as savepoint:
                self.company.prepay_posting = posting
                supplies._rate_new_readings(self.at(30), batch=size)
                if posting == "daily":
                    self.post(31, supplies=supplies, everything=True)
                results.append(
                    (
                        self.state(supplies),
                        supplies.mapped("closed_day"),
                        [self.links(supply) for supply in supplies],
                    )
                )
                savepoint.rollback()
                self.env.invalidate_all()
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])
        self.assertTrue(all(item[3] == "posted" for row in results[1][0] for item in row[3]))
        self.assertTrue(all(row[3] and row[4] for row in results[1][0]))

    def test_a_batch_looks_past_what_has_nothing_new(self):
        """Assignments without news do not count; a batch takes no more than its size all the same."""
        supplies = self.plant(9).sorted("id")
        supplies[0]._rate_new_readings(self.at(30))
        supplies[3:8]._rate_new_readings(self.at(30))
        expected, after = supplies[1:3].ids + supplies[8].ids, 0
        found = []
        while after is not None:
            ids, after = supplies._rate_batch(after, 2, self.at(30))
            self.assertLessEqual(len(ids), 2)
            found += ids
        self.assertEqual(found, expected)
        self.assertEqual(supplies._rate_batch(0, 2, self.at(30)), ([], None))

    def links(self, supply):
        """Charges with the amount of their wallet entry, and what the entries say of them."""
        entries = self.entries(supply)
        charges = self.charges(supply)
        self.assertEqual(entries.mapped("res_model"), ["prepay.charge"] * len(entries))
        self.assertLessEqual(set(entries.mapped("res_id")), set(charges.ids))
        fields = (
            "account_id",
            "meter_id",
            "company_id",
            "medium",
            "start_at",
            "end_at",
            "quantity",
        )
        return [
            (item.entry_id.amount, item.posted_day, *[item[name] for name in fields])
            for item in charges
        ]

    def test_what_was_open_before_is_posted_with_what_is_new(self):
        supply = self.plant(1)
        supply._rate_new_readings(self.at(21))
        self.assertEqual(set(self.charges(supply).mapped("state")), {"open"})
        self.company.prepay_posting = "run"
        self.feed(supply, (27, 121))
        supply._rate_new_readings(self.at(28))
        self.assertEqual(set(self.charges(supply).mapped("state")), {"open"})
        self.post(28, supplies=supply)
        self.assertEqual(set(self.charges(supply).mapped("state")), {"posted"})
        self.feed(supply, (28, 122))
        supply._rate_new_readings(self.at(29))
        self.assertEqual(set(self.charges(supply).mapped("state")), {"posted"})
        residue = supply._residues()[supply.id]
        self.assertEqual(self.posted(supply) + residue, self.exact(supply))

    def test_nothing_is_posted_at_once_while_a_reading_is_held(self):
        supply = self.plant(1)
        self.company.prepay_posting = "run"
        hold = self.env["prepay.reading.hold"].create(
            {
                "meter_id": supply.meter_id.id,
                "channel": "energy",
                "rule": "spike",
                "first_at": self.at(10),
                "last_at": self.at(10),
                "value": 999_000_000,
            }
        )
        supply._rate_new_readings(self.at(30))
        self.assertEqual(set(self.charges(supply).mapped("state")), {"open"})
        hold.resolution = "disturbance"
        hold.action_reject()
        self.post(30, supplies=supply)
        self.assertEqual(set(self.charges(supply).mapped("state")), {"posted"})

    def test_an_absurd_amount_stays_open_and_is_named(self):
        supply, other = self.plant(2)
        self.company.prepay_posting = "run"
        supply.tariff_id = self.tariff_of(price=99)
        self.feed(supply, (27, 50_000))
        (supply | other)._rate_new_readings(self.at(30))
        self.assertIn("open", self.charges(supply).mapped("state"))
        self.assertIn("1,000,000", supply.problem)
        self.assertEqual(set(self.charges(other).mapped("state")), {"posted"})
        self.assertFalse(other.problem)

    def test_a_run_posts_at_once(self):
        self.company.prepay_posting = "run"
        supplies = self.plant()
        run = self.env["prepay.charge.run"].create({})
        self.cron(batch=3)
        self.assertEqual(run.state, "done")
        self.assertEqual((run.rated_count, run.posted_count), (7, 7))
        self.assertEqual(run.entry_count, len(supplies.account_id.entry_ids))

    def crashing(self, supplies, step, size=2):
        """Run the steps of one stage; every second one is broken off before it is committed."""
        after, crash = 0, True
        while after is not None:
            try:
                with self.env.cr.savepoint():
                    result = step(after, size)
                    if crash:
                        raise Crash
                after = result[1]
            except Crash:
                self.env.invalidate_all()
            crash = not crash

    def test_a_run_that_crashes_in_each_batch_charges_and_posts_once(self):
        supplies = self.plant()
        with self.env.cr.savepoint() as savepoint:
            supplies._rate_new_readings(self.at(30))
            self.post(31, supplies=supplies)
            expected = self.state(supplies)
            savepoint.rollback()
            self.env.invalidate_all()
        self.crashing(supplies, lambda after, size: supplies._rate_batch(after, size, self.at(30)))
        post = self.env["prepay.charge"]._post_batch
        self.crashing(supplies, lambda after, size: post(after, size, False, self.at(31), supplies))
        self.assertEqual(self.state(supplies), expected)

    def test_one_entry_for_each_assignment_day_and_bucket(self):
        supplies = self.plant(3)
        for hours in (30, 55, 80):
            for supply in supplies:
                self.feed(supply, (hours, 120 + hours))
            self.run_rating()
        self.post(82)
        for supply in supplies:
            entries = self.entries(supply)
            self.assertEqual(len(entries), 3)
            charges = self.charges(supply, state="posted")
            self.assertEqual(
                charges.entry_ids, entries.sorted("id", reverse=True) & charges.entry_ids
            )
            for entry in entries:
                linked = charges.filtered(lambda item, entry=entry: item.entry_id == entry)
                self.assertEqual(len(set(linked.mapped("posted_day"))), 1)
                self.assertAlmostEqual(sum(linked.mapped("amount")), -entry.amount, 6)

    def test_rows_locked_by_another_run_are_left_to_it(self):
        """A second connection cannot see this test's rows; it shows that a lock is skipped."""
        self.plant(1)
        self.env.cr.execute("SELECT id FROM prepay_account_meter ORDER BY id LIMIT 1")
        demo = self.env.cr.fetchone()[0]
        with self.registry.cursor() as other:
            other.execute(
                "SELECT id FROM prepay_account_meter WHERE id = %s FOR NO KEY UPDATE", [demo]
            )
            seen = other.fetchall()
            touched = self.run_rating()
            self.assertTrue(touched)
            if seen:
                self.assertNotIn(demo, touched.ids)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.tuples(st.integers(1, 900), st.integers(0, 3000)), min_size=1, max_size=10),
        st.lists(st.booleans(), min_size=10, max_size=10),
        st.integers(0, 40),
        st.sampled_from(["daily", "run"]),
    )
    def test_posted_and_carried_are_the_exact_total(self, steps, cuts, grant, posting):
        """Σ posted + residue = Σ exact = the bill of one run, for rates, tiers and fees (M-11, M-12)."""
        tariff = self.two_rates(
            service_percent=3.7,
            price_ids=[
                (0, 0, {"upto": 2, "peak": 0.9137, "valley": 0.4019, "flat": 1}),
                (0, 0, {"upto": 0, "peak": 1.2101, "valley": 0.7773, "flat": 1}),
            ],
            fee_ids=[(0, 0, {"code": "Basic", "amount": 10, "period": "month"})],
        )
        self.company.prepay_posting = posting
        many, once = self.supply(tariff), self.supply(tariff)
        if grant:
            self.env["prepay.ledger.entry"]._post(
                [
                    {
                        "account": many.account_id,
                        "kind": "grant",
                        "bucket": "granted",
                        "amount": Decimal(grant) / 10,
                        "key": f"grant:{many.account_id.id}",
                        "reason": "allowance",
                    }
                ]
            )
        minutes, register = 0, 100_000
        for (gap, used), cut in zip(steps, itertools.cycle(cuts)):
            minutes, register = minutes + gap, register + used
            for supply in (many, once):
                self.feed(supply, (minutes / 60, Decimal(register) / 1000))
            if cut:
                hours = minutes / 60 + 0.01
                self.env["prepay.account.meter"].browse(many.id)._rate_new_readings(self.at(hours))
                self.post(hours, supplies=many, everything=used % 2 == 0)
        end = minutes / 60 + 48
        (many | once)._rate_new_readings(self.at(end))
        self.post(end, supplies=many | once)
        for supply in (many, once):
            due = sum(Decimal(str(item.amount)) for item in self.charges(supply, state="posted"))
            self.env.cr.execute(
                "SELECT COALESCE(sum(exact_amount), 0)::text FROM prepay_charge "
                "WHERE supply_id = %s AND state = 'posted'",
                [supply.id],
            )
            exact = Decimal(self.env.cr.fetchone()[0])
            residue = supply._residues()[supply.id]
            granted = sum(
                (entry._exact_amount() for entry in self.entries(supply) if entry.kind == "grant"),
                Decimal(0),
            )
            self.assertEqual(self.posted(supply) + granted + residue, exact)
            self.assertEqual(due + residue, exact)
            self.assertLessEqual(abs(residue), Decimal("0.005"))
        self.assertEqual(self.exact(many), self.exact(once))

    # runs

    def cron(self, **options):
        run = self.env["prepay.charge.run"]
        with patch.object(
            type(self.env["ir.cron"]), "_commit_progress", lambda *_args, **_vals: 60
        ):
            return run._cron_charge(**options)

    def test_a_person_starts_a_run_and_sees_it_through(self):
        self.plant()
        action = self.env["prepay.charge.run"].with_user(self.accountant).action_start()
        run = self.env["prepay.charge.run"].browse(action["res_id"])
        self.assertEqual((run.state, run.user_id), ("waiting", self.accountant))
        again = run.with_user(self.accountant).action_start()
        self.assertEqual(again["res_id"], run.id, "the one that waits is enough")
        self.cron(batch=2)
        self.assertEqual(run.state, "done")
        self.assertEqual((run.rated_count, run.progress), (7, 100))
        self.assertGreaterEqual(run.posted_count, 7)
        self.assertGreaterEqual(run.entry_count, 7)
        self.assertTrue(run.started_at and run.finished_at)

    def test_only_money_people_start_runs(self):
        for user in (self.reader, self.operator, self.auditor):
            with self.assertRaises(AccessError):
                self.env["prepay.charge.run"].with_user(user).action_start()

    def test_a_run_out_of_time_goes_on_with_the_next_call(self):
        supplies = self.plant()
        run = self.env["prepay.charge.run"].create({})
        with patch.object(type(self.env["ir.cron"]), "_commit_progress", lambda *_args, **_vals: 0):
            self.env["prepay.charge.run"]._cron_charge(batch=2)
            self.assertEqual((run.state, run.stage), ("running", "rate"))
            self.assertTrue(0 < run.progress < 50)
        self.cron(batch=2)
        self.assertEqual(run.state, "done")
        self.assertTrue(all(supply.rated_value == 120_000 for supply in supplies))

    def test_a_run_that_fails_says_why_and_is_retried(self):
        supplies = self.plant()
        run = self.env["prepay.charge.run"].create({})

        def fail(*_args):
            raise ValueError("disk full")

        with (
            patch.object(PrepayCharge, "_post_rows", fail),
            mute_logger("odoo.addons.prepay_billing.models.prepay_charge_run"),
        ):
            self.cron()
        self.assertEqual((run.state, run.error), ("failed", "disk full"))
        self.assertFalse(self.entries(supplies[0]))
        run.with_user(self.accountant).action_retry()
        self.assertEqual(run.state, "waiting")
        self.cron()
        self.assertEqual((run.state, run.error), ("done", False))
        self.assertEqual(len(self.entries(supplies[0])), 2, "one for each day")

    def test_scheduled_runs_leave_a_record_only_when_they_posted(self):
        runs = self.env["prepay.charge.run"]
        self.cron()
        before = runs.search_count([])
        self.cron()
        self.assertEqual(runs.search_count([]), before)
        self.plant()
        self.cron()
        newest = runs.search([], limit=1)
        self.assertEqual((newest.trigger, newest.state), ("scheduled", "done"))
        self.assertGreaterEqual(newest.entry_count, 7)

    def test_meters_with_problems_are_listed(self):
        supply = self.plant(1)
        self.feed(supply, (40, 5))
        run = self.env["prepay.charge.run"].create({})
        self.cron()
        self.assertGreaterEqual(run.problem_count, 1)
        action = run.action_open_problems()
        found = self.env[action["res_model"]].search([("problem", "!=", False)])
        self.assertIn(supply, found)
