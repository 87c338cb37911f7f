"""Two people close the same account at once: one closing, one refund."""

import threading
from contextlib import closing
from datetime import datetime, timedelta

from odoo import api
from odoo.exceptions import UserError
from odoo.modules.registry import Registry
from odoo.service.model import retrying
from odoo.sql_db import db_connect
from odoo.tests import BaseCase, get_db_name, tagged
from odoo.tools import mute_logger


@tagged("post_install", "-at_install")
class TestClosingConcurrent(BaseCase):
    """Real commits: what the class makes is deleted again."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = Registry(get_db_name())
        now = datetime.now().replace(microsecond=0)
        with closing(db_connect(get_db_name()).cursor()) as cr:
            env = api.Environment(cr, api.SUPERUSER_ID, {})
            company = env["res.company"].create({"name": "Two closers"})
            env = api.Environment(cr, api.SUPERUSER_ID, {"allowed_company_ids": company.ids})
            room = env["prepay.location"].create(
                {"name": "D-1", "kind": "room", "own_tz": "Asia/Shanghai", "company_id": company.id}
            )
            meter = env["prepay.meter"].create(
                {
                    "number": "TWO-1",
                    "address": "000000000555",
                    "profile_id": env.ref("prepay_meter.profile_dlt645").id,
                    "location_id": room.id,
                }
            )
            tariff = env["prepay.tariff"].create(
                {
                    "name": "Two",
                    "company_id": company.id,
                    "version_ids": [(0, 0, {"valid_from": now - timedelta(days=9), "price": 1})],
                }
            )
            tenant = env["res.partner"].create({"name": "Two tenant"})
            account = env["prepay.account"].create(
                {
                    "partner_id": tenant.id,
                    "location_id": room.id,
                    "supply_ids": [
                        (
                            0,
                            0,
                            {
                                "meter_id": meter.id,
                                "tariff_id": tariff.id,
                                "start_at": now - timedelta(hours=3),
                                "opening_register": 100,
                            },
                        )
                    ],
                }
            )
            env["prepay.reading"]._ingest(
                [(meter.id, "energy", now - timedelta(minutes=2), 110_000)]
            )
            topup = env["prepay.topup"].create({"account_id": account.id, "amount": 30})
            topup._credit()
            document = env["prepay.closing"].create({"account_id": account.id})
            env.flush_all()
            cls.ids = {
                "account": account.id,
                "document": document.id,
                "meter": meter.id,
                "company": company.id,
            }
            cr.commit()

    def confirm(self, results):
        with closing(db_connect(get_db_name()).cursor()) as cr:
            env = api.Environment(
                cr, api.SUPERUSER_ID, {"allowed_company_ids": [self.ids["company"]]}
            )
            document = env["prepay.closing"].browse(self.ids["document"])
            self.gate.wait()
            try:
                retrying(document.action_confirm, env)
                cr.commit()
                results.append("done")
            except UserError as error:
                cr.rollback()
                results.append(str(error))

    def test_two_at_once(self):
        self.gate = threading.Barrier(4)
        results = []
        threads = [
            threading.Thread(target=self.confirm, args=(results,), daemon=True)
            for _index in range(4)
        ]
        with mute_logger("odoo.sql_db", "odoo.service.model"):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        self.assertEqual(len(results), 4)
        self.assertEqual(results.count("done"), 1, results)
        with closing(db_connect(get_db_name()).cursor()) as cr:
            cr.execute(
                "SELECT count(*), sum(amount) FROM prepay_refund WHERE account_id = %s",
                [self.ids["account"]],
            )
            self.assertEqual(cr.fetchone(), (1, 20))
            cr.execute(
                "SELECT sum(amount), count(*) FILTER (WHERE kind = 'charge') "
                "FROM prepay_ledger_entry WHERE account_id = %s",
                [self.ids["account"]],
            )
            self.assertEqual(cr.fetchone(), (0, 1))

    @classmethod
    def tearDownClass(cls):
        account, company = cls.ids["account"], cls.ids["company"]
        with closing(db_connect(get_db_name()).cursor()) as cr:
            cr.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
            for table, column, value in (
                ("prepay_closing_line", "closing_id", cls.ids["document"]),
                ("prepay_closing", "id", cls.ids["document"]),
                ("prepay_receipt", "company_id", company),
                ("prepay_receipt_series", "company_id", company),
                ("prepay_refund", "account_id", account),
                ("prepay_topup", "account_id", account),
                ("prepay_charge", "account_id", account),
                ("prepay_ledger_entry", "account_id", account),
                ("prepay_wallet_guard", "account_id", account),
                ("prepay_account_meter", "account_id", account),
                ("prepay_account", "id", account),
                ("prepay_reading_data", "meter_id", cls.ids["meter"]),
                ("prepay_meter", "id", cls.ids["meter"]),
                ("prepay_location", "company_id", company),
            ):
                cr.execute(f"DELETE FROM {table} WHERE {column} = %s", [value])
            cr.execute(
                "DELETE FROM prepay_tariff_version WHERE tariff_id IN "
                "(SELECT id FROM prepay_tariff WHERE company_id = %s)",
                [company],
            )
            cr.execute("DELETE FROM prepay_tariff WHERE company_id = %s", [company])
            cr.commit()
        super().tearDownClass()
