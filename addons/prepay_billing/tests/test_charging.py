import itertools
from datetime import timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odoo.exceptions import UserError, ValidationError
from odoo.tests import tagged

from .common import BillingCase

SERIAL = itertools.count(700_000)


@tagged("post_install", "-at_install")
class TestCharging(BillingCase):
    def test_usage_is_charged_exactly_once(self):
        self.topup(100)
        self.read(110, 1)
        self.read(115.5, 2)
        self.rate()
        self.assertEqual(self.available(), Decimal("100") - Decimal("15.5") * Decimal("0.68"))
        self.assertEqual(sum(self.account.charge_ids.mapped("quantity_base")), 15500)
        self.rate()  # nothing new: nothing changes
        self.assertEqual(self.available(), Decimal("89.46"))

    def test_repeated_and_late_readings_change_nothing(self):
        self.topup(100)
        self.read(110, 1)
        self.read(120, 3)
        self.rate()
        before = self.available()
        self.read(120, 3)
        self.read(115, 2)  # arrives after its neighbours were billed: the total is billed already
        self.rate()
        self.assertEqual(self.available(), before)
        self.read(121, 4)
        self.rate()
        self.assertEqual(self.available(), before - Decimal("0.68"))

    def test_any_batching_of_readings_gives_the_same_bill(self):
        """Rating after each reading or all at once: the same charges (M-12)."""
        second = self._account(self.other)
        steps = [(103.33, 1), (107.77, 2), (109.01, 3), (120.11, 4), (120.11, 5)]
        for kwh, hours in steps:
            self.read(kwh, hours)
            self.rate()
            self.read(kwh, hours, self.other)
        self.rate()
        self.assertEqual(self.available(), self.available(second))

    def test_first_reading_opens_when_no_opening_was_entered(self):
        meter = self._meter("M-9", "000000000009")
        account = self._account(meter)
        account.supply_ids.write({"rated_at": False, "rated_value": 0})
        self.read(500, 1, meter)
        self.rate()
        self.assertFalse(account.charge_ids)
        self.read(501, 2, meter)
        self.rate()
        self.assertEqual(account.charge_ids.quantity_base, 1000)

    def test_price_change_never_reprices_the_past(self):
        self.env["prepay.tariff.version"].create(
            {
                "tariff_id": self.tariff.id,
                "valid_from": self.start + timedelta(hours=2),
                "price": 1.0,
            }
        )
        self.read(104, 4)  # four hours, 4 kWh: half before the change, half after
        self.rate()
        self.assertEqual(self.available(), -(Decimal("2") * Decimal("0.68") + Decimal("2")))
        with self.assertRaises(ValidationError):
            self.env["prepay.tariff.version"].create(
                {
                    "tariff_id": self.tariff.id,
                    "valid_from": self.start + timedelta(hours=3),
                    "price": 0.1,
                }
            )
        with self.assertRaises(UserError):
            self.tariff.version_ids[0].price = 0.1

    def test_usage_without_price_is_named_and_not_charged(self):
        self.tariff.version_ids.unlink()
        self.read(110, 1)
        self.rate()
        self.assertFalse(self.account.charge_ids)
        self.assertTrue(self.account.supply_ids.problem)
        self.env["prepay.tariff.version"].create(
            {
                "tariff_id": self.tariff.id,
                "valid_from": self.start - timedelta(days=1),
                "price": 0.5,
            }
        )
        self.rate()
        self.assertEqual(self.available(), Decimal("-5"))
        self.assertFalse(self.account.supply_ids.problem)

    def test_tariff_of_another_medium_is_refused(self):
        water = self.env["prepay.tariff"].create(
            {"name": "Water", "medium": "water", "company_id": self.company.id}
        )
        with self.assertRaises(ValidationError):
            self.account.supply_ids.tariff_id = water

    def test_posting_moves_accrual_to_the_ledger(self):
        self.topup(100)
        self.read(110, 1)
        self.rate()
        before = self.available()
        self.assertEqual(self.account.accrued, 6.8)
        self.env["prepay.charge"]._post_due(everything=True)
        self.assertEqual(self.account.accrued, 0)
        self.assertEqual(self.available(), before)
        entry = self.account.entry_ids.filtered(lambda item: item.kind == "charge")
        self.assertEqual(entry.amount, -6.8)
        self.assertEqual(self.account.charge_ids.entry_ids, entry)
        self.env["prepay.charge"]._post_due(everything=True)
        self.assertEqual(len(self.account.entry_ids), 2, "a second run posts nothing")

    def test_granted_money_is_used_first(self):
        self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": self.account,
                    "kind": "grant",
                    "bucket": "granted",
                    "amount": Decimal("5"),
                    "key": "grant:test",
                    "reason": "allowance",
                }
            ]
        )
        self.topup(100)
        self.read(110, 1)
        self.rate()
        self.env["prepay.charge"]._post_due(everything=True)
        self.assertEqual((self.account.granted, self.account.balance), (0, 98.2))

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, 5000), min_size=1, max_size=8), st.integers(1, 4))
    def test_posted_amounts_and_residue_are_the_exact_total(self, steps, every):
        """Σ posted + carried residue = Σ exact, however postings are cut (M-11)."""
        meter = self._meter(f"H-{next(SERIAL)}", f"{next(SERIAL):012d}")
        account = self._account(meter)
        register = 100_000
        for index, step in enumerate(steps):
            register += step
            at = self.start + timedelta(minutes=5 * index + 5)
            self.env["prepay.reading"]._ingest([(meter.id, "energy", at, register)])
            self.rate()
            if index % every == 0:
                self.env["prepay.charge"]._post_due(everything=True)
        self.env["prepay.charge"]._post_due(everything=True)
        posted = -sum((entry._exact_amount() for entry in account.entry_ids), Decimal(0))
        residue = account.supply_ids._residues()[account.supply_ids.id]
        self.assertEqual(posted + residue, Decimal(sum(steps)) / 1000 * Decimal("0.68"))
        self.assertLess(abs(residue), Decimal("0.01"))
