"""Fixtures shared by the billing tests: a priced room whose meter belongs to a tenant's account."""

from datetime import datetime, timedelta
from decimal import Decimal

from odoo.addons.prepay_meter.tests.common import MeterCase


class BillingCase(MeterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["res.currency"].search([("name", "=", "CNY"), ("active", "=", False)]).active = True
        cls.company.currency_id = cls.env.ref("base.CNY")
        cls.cashier = cls._user("cashier-t", "prepay_billing.group_cashier")
        cls.accountant = cls._user("accountant-t", "prepay_billing.group_accountant")
        cls.policy = cls.env["prepay.supply.policy"].create(
            {
                "name": "Any time",
                "company_id": cls.company.id,
                "any_time": True,
                "working_days_only": False,
                "notice_required": False,
                "grace_minutes": 0,
                "evidence_minutes": 60,
            }
        )
        cls.company.prepay_policy_id = cls.policy
        cls.start = datetime.now().replace(microsecond=0) - timedelta(hours=6)
        cls.tariff = cls.env["prepay.tariff"].create(
            {
                "name": "Flat",
                "company_id": cls.company.id,
                "version_ids": [
                    (0, 0, {"valid_from": cls.start - timedelta(days=300), "price": 0.68})
                ],
            }
        )
        cls.tenant = cls.env["res.partner"].create({"name": "Zhang Wei", "phone": "13800000001"})
        cls.account = cls._account(cls.meter)

    @classmethod
    def _account(cls, meter, **vals):
        return cls.env["prepay.account"].create(
            {
                "partner_id": cls.tenant.id,
                "location_id": cls.room.id,
                "supply_ids": [
                    (
                        0,
                        0,
                        {
                            "meter_id": meter.id,
                            "tariff_id": cls.tariff.id,
                            "start_at": cls.start,
                            "opening_register": 100.0,
                        },
                    )
                ],
                **vals,
            }
        )

    def topup(self, amount, account=None):
        topup = self.env["prepay.topup"].create(
            {"account_id": (account or self.account).id, "amount": amount}
        )
        topup._credit()
        return topup

    def read(self, kwh, hours, meter=None):
        """A reading of ``kwh`` on the register, ``hours`` after the start."""
        at = self.start + timedelta(hours=hours)
        self.env["prepay.reading"]._ingest(
            [((meter or self.meter).id, "energy", at, int(Decimal(str(kwh)) * 1000))]
        )

    def rate(self):
        return self.env["prepay.account.meter"]._rate_new_readings()

    def available(self, account=None):
        account = account or self.account
        return account._available()[account.id]
