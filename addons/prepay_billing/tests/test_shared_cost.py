from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odoo.exceptions import UserError, ValidationError
from odoo.tests import new_test_user, tagged

from odoo.addons.prepay_billing.engine.allocation import allocate
from odoo.addons.prepay_billing.engine.errors import LedgerError

from .common import BillingCase

PROPERTY = settings(max_examples=300, deadline=None, database=None)
AMOUNTS = st.decimals(min_value=-100_000, max_value=100_000, places=2)
WEIGHTS = st.lists(st.integers(min_value=0, max_value=10_000), min_size=1, max_size=30).filter(any)


@given(AMOUNTS, WEIGHTS)
@PROPERTY
def test_parts_sum_exactly_and_are_fair(amount, weights):
    parts = allocate(amount, weights)
    assert sum(parts) == amount
    total = sum(weights)
    for part, weight in zip(parts, weights):
        assert part.as_tuple().exponent == -2
        assert abs(part * total - amount * weight) < Decimal("0.01") * total
        assert weight or not part
    assert parts == allocate(amount, weights)


@given(AMOUNTS, WEIGHTS, st.integers(min_value=1, max_value=50))
@PROPERTY
def test_parts_depend_on_proportions_only(amount, weights, factor):
    assert allocate(amount, weights) == allocate(amount, [weight * factor for weight in weights])


@pytest.mark.parametrize(
    ("amount", "weights", "parts"),
    [
        ("10", [1, 1, 1], ["3.34", "3.33", "3.33"]),
        ("-10", [1, 1, 1], ["-3.34", "-3.33", "-3.33"]),
        ("0.02", [1, 1, 1], ["0.01", "0.01", "0"]),
        ("0.05", [5, 3, 0, 1], ["0.03", "0.02", "0", "0"]),
        ("0.01", [1, 2], ["0", "0.01"]),
        ("0", [1, 2], ["0", "0"]),
    ],
)
def test_remainders(amount, weights, parts):
    assert allocate(Decimal(amount), weights) == list(map(Decimal, parts))


@pytest.mark.parametrize(
    ("amount", "weights", "code"),
    [
        (Decimal("0.001"), [1], "amount_decimals"),
        (Decimal("NaN"), [1], "amount_invalid"),
        (1.5, [1], "amount_invalid"),
        (Decimal(1), [], "weights_invalid"),
        (Decimal(1), [0, 0], "weights_invalid"),
        (Decimal(1), [2, -1], "weights_invalid"),
    ],
)
def test_refused(amount, weights, code):
    with pytest.raises(LedgerError) as caught:
        allocate(amount, weights)
    assert caught.value.code == code
    assert caught.value.values


@tagged("post_install", "-at_install")
class TestSharedCost(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.second = new_test_user(
            cls.env,
            "accountant-2",
            groups="base.group_user,prepay_billing.group_accountant",
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
        )
        cls.corridor = cls.env["prepay.location"].create(
            {"name": "Corridor", "kind": "public", "parent_id": cls.project.id}
        )
        cls.public = cls._meter("P-1", "000000000101", location_id=cls.corridor.id)
        rooms = cls.env["prepay.location"].create(
            [
                {"name": f"B-20{number}", "kind": "room", "parent_id": cls.project.id, "area": area}
                for number, area in ((1, 20), (2, 30.5))
            ]
        )
        cls.room.area = 10
        cls.meters = cls._meter("M-3", "000000000103") | cls.other
        cls.accounts = cls.account | cls.env["prepay.account"].union(
            *(cls._account(meter, location_id=room.id) for meter, room in zip(cls.meters, rooms))
        )
        cls.day = cls.start.date()

    def document(self, **vals):
        return (
            self.env["prepay.shared.cost"]
            .with_user(self.accountant)
            .create(
                {
                    "location_id": self.project.id,
                    "date_from": self.day - timedelta(days=2),
                    "date_to": self.day + timedelta(days=2),
                    "source": "amount",
                    "amount": 100,
                    "reason": "corridor light",
                    **vals,
                }
            )
        )

    def parts(self, document):
        document.action_calculate()
        amounts = {line.account_id: line.amount for line in document.line_ids}
        self.assertEqual(
            sum((line._exact_amount() for line in document.line_ids), Decimal(0)),
            document._exact_amount(),
        )
        return [amounts.get(account, 0) for account in self.accounts]

    def used(self, **quantities):
        """Readings whose differences are the quantities, kWh, rolled up by days."""
        meters = {"public": self.public, "first": self.meter, "second": self.meters[0]}
        for name, quantity in quantities.items():
            self.read(1000, 0.5, meters[name])
            self.read(1000 + quantity, 2, meters[name])
        daily = self.env["prepay.reading.daily"]
        daily._mark_new()
        while daily._roll_up_batch():
            pass

    def test_rules(self):
        self.assertEqual(self.parts(self.document()), [33.34, 33.33, 33.33])
        self.assertEqual(self.parts(self.document(rule="area")), [16.53, 33.06, 50.41])
        self.assertEqual(self.parts(self.document(rule="people")), [33.34, 33.33, 33.33])
        self.used(first=10, second=30)
        self.assertEqual(self.parts(self.document(rule="use")), [25, 75, 0])

    def test_public_meter_and_loss(self):
        self.used(public=100, first=10, second=30)
        vals = {"meter_id": self.public.id, "tariff_id": self.tariff.id, "amount": 0}
        document = self.document(source="meter", **vals)
        self.assertEqual(self.parts(document), [22.67, 22.67, 22.66])
        self.assertEqual((document.quantity, document.price, document.amount), (100, 0.68, 68))
        below = {"sub_meter_ids": [(6, 0, (self.meter | self.meters[0]).ids)]}
        loss = self.document(source="loss", **vals, **below)
        self.parts(loss)
        self.assertEqual((loss.quantity, loss.amount), (60, 40.8))
        turned = {**vals, "meter_id": self.meter.id, "sub_meter_ids": [(6, 0, self.public.ids)]}
        with self.assertRaises(UserError) as caught:
            self.document(source="loss", **turned).action_calculate()
        self.assertIn("M-1", str(caught.exception))

    def test_approved_by_another_posted_and_reversed(self):
        self.topup(50)
        document = self.document(amount=10)
        document.action_calculate()
        document.action_submit()
        self.assertEqual((document.state, self.available()), ("waiting", 50))
        with self.assertRaises(UserError):
            document.action_approve()
        document.with_user(self.second).action_approve()
        self.assertEqual(
            [self.available(account) for account in self.accounts],
            [Decimal("46.66"), Decimal("-3.33"), Decimal("-3.33")],
        )
        entry = document._entries()[0]
        self.assertEqual((entry.kind, entry.user_id), ("charge", self.second))
        self.assertIn("corridor light", entry.reason)
        self.assertEqual(entry.action_open_document()["res_id"], document.id)
        with self.assertRaises(UserError):
            document.with_user(self.second).action_approve()
        with self.assertRaises(UserError):
            document.line_ids[0].document_id.write({"amount": 5})
        document._reverse("wrong month")
        self.assertEqual([self.available(account) for account in self.accounts], [50, 0, 0])
        with self.assertRaises(UserError):
            document._reverse("again")

    def test_not_reversed_once_something_followed(self):
        document = self.document(amount=10)
        document.action_calculate()
        document.action_submit()
        document.with_user(self.second).action_approve()
        self.accounts[1].state = "closed"
        with self.assertRaises(UserError) as caught:
            document._reverse("late")
        self.assertIn("closed", str(caught.exception))

    def test_granted_money_goes_first(self):
        self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": self.account, "kind": "grant", "bucket": "granted",
                    "amount": Decimal(2), "key": "test:grant", "reason": "test",
                }
            ]
        )  # fmt: skip
        document = self.document(amount=10)
        document.action_calculate()
        document.action_submit()
        document.with_user(self.second).action_approve()
        own, granted, _accrued = self.account._money()[self.account.id]
        self.assertEqual((own, granted), (Decimal("-1.34"), 0))

    def test_refusals(self):
        document = self.document()
        with self.assertRaises(UserError) as caught:
            document.action_submit()
        self.assertIn("Calculate again", str(caught.exception))
        document.action_calculate()
        document.amount = 90
        with self.assertRaises(UserError):
            document.action_submit()
        with self.assertRaises(ValidationError):
            self.document(source="meter")
        with self.assertRaises(UserError) as caught:
            self.document(rule="use").action_calculate()
        self.assertIn("another rule", str(caught.exception))

    def test_a_meter_is_shared_once_for_a_period(self):
        self.used(public=100)
        vals = {"source": "meter", "meter_id": self.public.id, "tariff_id": self.tariff.id}
        first, second = self.document(**vals), self.document(**vals)
        for document in (first, second):
            document.action_calculate()
        first.action_submit()
        first.with_user(self.second).action_approve()
        with self.assertRaises(UserError) as caught:
            second.action_submit()
        self.assertIn(first.number, str(caught.exception))
