"""Prices on the screen: a new one, its approval, the simulator."""

from datetime import timedelta

from odoo.tests import HttpCase, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestTariffTours(BillingCase, HttpCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hours = cls.env["prepay.tariff"].create(
            {
                "name": "By the hour",
                "company_id": cls.company.id,
                "version_ids": [
                    (
                        0,
                        0,
                        {
                            "valid_from": cls.start - timedelta(days=300),
                            "purchase_price": 0.6,
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
                        },
                    )
                ],
            }
        )

    def test_a_new_price_and_its_approval(self):
        other = self._account(self.other)
        other.supply_ids.tariff_id = self.hours
        self.read(101, 1, self.other)
        self.rate()
        self.start_tour("/odoo/prepay-tariffs", "prepay_tariff_change", login=self.accountant.login)
        draft = self.hours.version_ids.filtered(lambda version: version.state == "waiting")
        self.assertEqual(draft.price_ids[0].peak, 1.25)
        self.assertEqual(draft.submitted_by_id, self.accountant)
        self.start_tour(
            f"/odoo/prepay-prices/{draft.id}", "prepay_tariff_approve", login=self.admin.login
        )
        self.assertEqual((draft.state, draft.decided_by_id), ("approved", self.admin))

    def test_simulator(self):
        self.read(100, -20)
        self.read(130, 6)
        self.start_tour(
            "/odoo/prepay-simulator", "prepay_tariff_simulation", login=self.accountant.login
        )
        simulation = self.env["prepay.tariff.simulation"].search([])
        self.assertGreater(simulation.quantity, 0)
        self.assertTrue(simulation.other_total)
