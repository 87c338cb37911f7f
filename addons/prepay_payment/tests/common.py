"""Fixtures shared by the payment tests: two tenants with portal logins and a payment provider."""

from decimal import Decimal
from unittest.mock import patch

from odoo.tests import new_test_user

from odoo.addons.prepay_billing.tests.common import BillingCase


class PaymentCase(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company.prepay_cash_account_id = cls.env["account.account"].create(
            {
                "name": "Cash",
                "code": "100101",
                "account_type": "asset_cash",
                "company_ids": [(6, 0, cls.company.ids)],
            }
        )
        cls.company._prepay_create_accounting()
        cls.portal_user = cls._portal("tenant-t", cls.tenant)
        cls.stranger = cls.env["res.partner"].create({"name": "Li Na"})
        cls.stranger_user = cls._portal("stranger-t", cls.stranger)
        cls.stranger_account = cls._account(cls.other, partner_id=cls.stranger.id)
        cls.provider = cls._provider(cls.company)
        cls.other_companies = (cls.env["res.company"].search([]) - cls.company).ids
        cls.inbox = cls.env["prepay.payment.inbox"]
        cls.cases = cls.env["prepay.suspense"]

    @classmethod
    def _portal(cls, login, partner):
        return new_test_user(
            cls.env,
            login,
            groups="base.group_portal",
            partner_id=partner.id,
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
            tz="Asia/Shanghai",
        )

    @classmethod
    def _provider(cls, company):
        """The demo provider where it is installed, else one without a protocol of its own."""
        providers = cls.env["payment.provider"].sudo()
        provider = providers.search([("code", "=", "demo"), ("company_id", "=", company.id)])
        if not provider:
            method = cls.env.ref("payment.payment_method_unknown")
            provider = providers.create(
                {"name": "Plain", "company_id": company.id, "payment_method_ids": method.ids}
            )
        provider.write({"state": "test", "is_published": True})
        provider.with_context(active_test=False).payment_method_ids.active = True
        return provider

    @classmethod
    def order(cls, amount=50, account=None):
        return (account or cls.account)._order_online(Decimal(str(amount)))

    @classmethod
    def attempt(cls, order, provider=None, **vals):
        """An attempt to pay an order, as the transaction route makes it."""
        provider = provider or cls.provider
        reference = cls.env["payment.transaction"]._compute_reference(
            provider.code, prefix=order.order_ref
        )
        tx = cls.env["payment.transaction"].create(
            {
                "provider_id": provider.id,
                "payment_method_id": provider.payment_method_ids[0].id,
                "reference": reference,
                "amount": order.amount,
                "currency_id": order.currency_id.id,
                "partner_id": order.partner_id.id,
                "operation": "online_direct",
                "prepay_topup_id": order.id,
                **vals,
            }
        )
        order.transaction_id = tx
        return tx

    def receive(self, order=None, **vals):
        """A verified message; by default the right one for ``order``."""
        values = {
            "company": self.company,
            "provider": self.provider.code,
            "merchant": self.provider._prepay_merchant(),
            "transaction_id": "4200000001",
            "order_reference": order.order_ref if order else "PT0",
            "amount": Decimal(str(order.amount)) if order else Decimal(50),
            "currency": "CNY",
            "paid": True,
            "payload": "{}",
        }
        self.env.flush_all()
        return self.inbox._receive({**values, **vals})

    def consume(self):
        cron = type(self.env["ir.cron"])
        with patch.object(cron, "_commit_progress", lambda *_args, **_kwargs: 60):
            self.inbox._cron_consume()
        self.env.flush_all()

    def paid_order(self, amount=50):
        order = self.order(amount)
        self.attempt(order)
        self.receive(order, transaction_id=f"T{order.id}")
        self.consume()
        return order

    def messages(self):
        """The messages that these tests received, not those of demo data."""
        return self.inbox.search([("company_id", "not in", self.other_companies)])

    def case(self):
        """The only suspense case."""
        return self.cases.search([("inbox_id", "in", self.messages().ids)]).ensure_one()
