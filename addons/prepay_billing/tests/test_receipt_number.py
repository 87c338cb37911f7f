"""Numbers of receipts with several connections to the same database."""

import threading
from contextlib import closing
from unittest.mock import patch

from odoo import api
from odoo.modules.registry import Registry
from odoo.service.model import retrying
from odoo.sql_db import db_connect
from odoo.tests import BaseCase, get_db_name, tagged
from odoo.tools import mute_logger

from odoo.addons.prepay_billing.models.prepay_receipt import PrepayReceipt

SALES, CASHIERS = 100, 20


@tagged("post_install", "-at_install")
class TestReceiptNumber(BaseCase):
    """Real commits: the class makes accounts of a company and deletes them with all their rows."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = Registry(get_db_name())
        with cls.connection() as cr:
            env = api.Environment(cr, api.SUPERUSER_ID, {})
            company = env["res.company"].create({"name": "Receipts at once"})
            room = env["prepay.location"].create(
                {"name": "R-1", "kind": "room", "own_tz": "Asia/Shanghai", "company_id": company.id}
            )
            tenant = env["res.partner"].create({"name": "Receipts tenant"})
            accounts = env["prepay.account"].create(
                [{"partner_id": tenant.id, "location_id": room.id} for _index in range(CASHIERS)]
            )
            cls.company_id, cls.room_id, cls.tenant_id = company.id, room.id, tenant.id
            cls.account_ids = accounts.ids
            cr.commit()

    @classmethod
    def tearDownClass(cls):
        with cls.connection() as cr:
            for table in ("prepay_receipt", "prepay_ledger_entry"):
                cr.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            topups = "SELECT id FROM prepay_topup WHERE account_id = ANY(%s)"
            accounts = [cls.account_ids]
            cr.execute("DELETE FROM prepay_receipt WHERE account_id = ANY(%s)", accounts)
            cr.execute(
                f"DELETE FROM mail_message WHERE model = 'prepay.topup' AND res_id IN ({topups})",
                accounts,
            )
            cr.execute(
                "DELETE FROM mail_message WHERE model = 'prepay.account' AND res_id = ANY(%s)",
                accounts,
            )
            cr.execute("DELETE FROM prepay_topup WHERE account_id = ANY(%s)", accounts)
            cr.execute("DELETE FROM prepay_ledger_entry WHERE account_id = ANY(%s)", accounts)
            for table in ("prepay_receipt", "prepay_ledger_entry"):
                cr.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            cr.execute("DELETE FROM prepay_receipt_series WHERE company_id = %s", [cls.company_id])
            cr.execute("DELETE FROM prepay_wallet_checkpoint WHERE account_id = ANY(%s)", accounts)
            cr.execute("DELETE FROM prepay_account WHERE id = ANY(%s)", accounts)
            cr.execute("DELETE FROM prepay_location WHERE id = %s", [cls.room_id])
            cr.execute("DELETE FROM res_partner WHERE id = %s", [cls.tenant_id])
            cr.commit()
        super().tearDownClass()

    @staticmethod
    def connection():
        return closing(db_connect(get_db_name()).cursor())

    def sell(self, cr, account_id, amount=10):
        env = api.Environment(cr, api.SUPERUSER_ID, {})
        topup = env["prepay.topup"].create({"account_id": account_id, "amount": amount})
        topup._credit()
        return topup

    def serials(self):
        """Numbers of the company's sales, in the order of the receipts."""
        with self.connection() as cr:
            cr.execute(
                "SELECT serial FROM prepay_receipt WHERE company_id = %s AND kind = 'topup' ORDER BY id",
                [self.company_id],
            )
            return [row[0] for row in cr.fetchall()]

    def assertWithoutGaps(self, serials):
        self.assertNotIn(None, serials)
        self.assertEqual(sorted(serials), list(range(1, len(serials) + 1)))
        with self.connection() as cr:
            series = api.Environment(cr, api.SUPERUSER_ID, {})["prepay.receipt.series"].search(
                [("company_id", "=", self.company_id), ("kind", "=", "topup")]
            )
            self.assertEqual((series.last, series.missing, series.pending), (len(serials), 0, 0))

    def test_hundred_sales_at_once(self):
        """With rollbacks among them: no gap, no double, no failed sale."""
        before, start, errors = len(self.serials()), threading.Event(), []

        def cashier(index):
            try:
                start.wait()
                for sale in range(SALES // CASHIERS):
                    with self.connection() as cr:
                        self.sell(cr, self.account_ids[index])
                        cr.rollback()  # a sale that failed after its receipt was issued
                        self.sell(cr, self.account_ids[index], 10 + sale)
                        cr.commit()
            except Exception as error:
                errors.append(error)

        workers = [threading.Thread(target=cashier, args=(index,)) for index in range(CASHIERS)]
        for worker in workers:
            worker.start()
        start.set()
        for worker in workers:
            worker.join()
        self.assertFalse(errors)
        self.assertEqual(len(self.serials()), before + SALES)
        self.assertWithoutGaps(self.serials())

    def test_crash_between_commit_and_number(self):
        """The scheduled action, or the next sale, gives the number that a crash left out."""
        with self.connection() as cr, patch.object(PrepayReceipt, "_after_commit"):
            self.sell(cr, self.account_ids[0])
            cr.commit()
        self.assertIn(None, self.serials())
        with self.connection() as cr:
            api.Environment(cr, api.SUPERUSER_ID, {})["prepay.receipt"]._cron_number()
            cr.commit()
        self.assertWithoutGaps(self.serials())
        with self.connection() as cr, patch.object(PrepayReceipt, "_after_commit"):
            self.sell(cr, self.account_ids[0])
            cr.commit()
        with self.connection() as cr:
            self.sell(cr, self.account_ids[1])
            cr.commit()
        self.assertEqual(self.serials(), sorted(self.serials()), "in the order of the sales")
        self.assertWithoutGaps(self.serials())

    def test_numbering_that_is_rolled_back_gives_its_numbers_again(self):
        with self.connection() as cr, patch.object(PrepayReceipt, "_after_commit"):
            self.sell(cr, self.account_ids[0])
            cr.commit()
        with self.connection() as cr:
            api.Environment(cr, api.SUPERUSER_ID, {})["prepay.receipt"]._number_pending()
            cr.rollback()
        self.assertIn(None, self.serials())
        with self.connection() as cr:
            api.Environment(cr, api.SUPERUSER_ID, {})["prepay.receipt"]._number_pending()
            cr.commit()
        self.assertWithoutGaps(self.serials())

    def test_a_print_with_an_old_view_is_repeated(self):
        """A print that began before another transaction gave numbers never doubles one."""
        with self.connection() as cr, patch.object(PrepayReceipt, "_after_commit"):
            self.sell(cr, self.account_ids[0])
            topup_id = self.sell(cr, self.account_ids[1]).id
            cr.commit()
        with self.connection() as old:
            env = api.Environment(old, api.SUPERUSER_ID, {})
            receipt = env["prepay.receipt"].search(
                [("res_model", "=", "prepay.topup"), ("res_id", "=", topup_id)]
            )
            self.assertFalse(receipt.serial)
            with self.connection() as cr:
                api.Environment(cr, api.SUPERUSER_ID, {})["prepay.receipt"]._number_pending()
                cr.commit()
            with mute_logger("odoo.sql_db", "odoo.service.model"):
                retrying(receipt._ensure_numbers, env)
            self.assertTrue(receipt.serial)
        self.assertWithoutGaps(self.serials())

    def test_a_blocked_step_does_not_fail_the_sale(self):
        """Somebody holds the series: the sale is safe, its number comes later."""
        with self.connection() as holder:
            holder.execute("LOCK TABLE prepay_receipt_series IN SHARE ROW EXCLUSIVE MODE")
            with (
                self.connection() as cr,
                mute_logger("odoo.sql_db", "odoo.addons.prepay_billing.models.prepay_receipt"),
                patch("odoo.addons.prepay_billing.models.prepay_receipt.LOCK_TIMEOUT", "50ms"),
            ):
                self.sell(cr, self.account_ids[0])
                cr.commit()
            self.assertIn(None, self.serials())
        with self.connection() as cr:
            api.Environment(cr, api.SUPERUSER_ID, {})["prepay.receipt"]._cron_number()
            cr.commit()
        self.assertWithoutGaps(self.serials())

    def test_each_kind_and_year_counts_for_itself(self):
        rows = [("refund", 2026), ("refund", 2027), ("closing", 2026), ("refund", 2026)]
        with self.connection() as cr:
            env = api.Environment(cr, api.SUPERUSER_ID, {})
            company = env["res.company"].browse(self.company_id)
            receipts = env["prepay.receipt"].create(
                [
                    {
                        "kind": kind,
                        "year": year,
                        "res_model": "res.company",
                        "res_id": 1000 + index,
                        "company_id": company.id,
                        "currency_id": company.currency_id.id,
                        "issued_at": "2026-06-01 00:00:00",
                    }
                    for index, (kind, year) in enumerate(rows)
                ]
            )
            receipts._number_pending()
            self.assertEqual(
                receipts.mapped("number"),
                ["T2026-000001", "T2027-000001", "X2026-000001", "T2026-000002"],
            )
            cr.rollback()
