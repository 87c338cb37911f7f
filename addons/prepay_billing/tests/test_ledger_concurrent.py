"""Checkpoints and guarded debits with several connections to the same database."""

import threading
import time
from contextlib import closing
from decimal import Decimal

import psycopg2
from odoo import api
from odoo.exceptions import UserError
from odoo.modules.registry import Registry
from odoo.service.model import retrying
from odoo.sql_db import db_connect
from odoo.tests import BaseCase, get_db_name, tagged
from odoo.tools import mute_logger


@tagged("post_install", "-at_install")
class TestLedgerConcurrent(BaseCase):
    """Real commits: the class makes an account and deletes it with all its rows."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = Registry(get_db_name())
        with cls.connection() as cr:
            env = api.Environment(cr, api.SUPERUSER_ID, {})
            company = env["res.company"].create({"name": "Concurrent factory"})
            room = env["prepay.location"].create(
                {"name": "C-1", "kind": "room", "own_tz": "Asia/Shanghai", "company_id": company.id}
            )
            tenant = env["res.partner"].create({"name": "Concurrent tenant"})
            accounts = env["prepay.account"].create(
                [{"partner_id": tenant.id, "location_id": room.id} for _index in range(2)]
            )
            cls.account_id, cls.other_id = accounts.ids
            cls.rows = {
                "prepay_location": room.ids,
                "res_partner": tenant.ids,
                "prepay_account": accounts.ids,
            }
            cls.company_id = company.id
            cr.commit()

    @classmethod
    def tearDownClass(cls):
        with cls.connection() as cr:
            cr.execute("ALTER TABLE prepay_ledger_entry DISABLE TRIGGER USER")
            ids = [cls.account_id, cls.other_id]
            cr.execute("DELETE FROM prepay_transfer WHERE account_id = ANY(%s)", [ids])
            cr.execute("DELETE FROM prepay_ledger_entry WHERE account_id = ANY(%s)", [ids])
            cr.execute("ALTER TABLE prepay_ledger_entry ENABLE TRIGGER USER")
            cr.execute("DELETE FROM prepay_wallet_checkpoint")
            cr.execute("DELETE FROM prepay_wallet_guard WHERE account_id = ANY(%s)", [ids])
            cr.execute(
                "DELETE FROM mail_message WHERE model = 'prepay.account' AND res_id = ANY(%s)",
                [ids],
            )
            cr.execute("DELETE FROM prepay_account WHERE id = ANY(%s)", [ids])
            cr.execute(
                "DELETE FROM prepay_location WHERE id = ANY(%s)", [cls.rows["prepay_location"]]
            )
            cr.commit()
        super().tearDownClass()

    @staticmethod
    def connection():
        return closing(db_connect(get_db_name()).cursor())

    def post(self, cr, amount, key, kind="topup"):
        env = api.Environment(cr, api.SUPERUSER_ID, {})
        return env["prepay.ledger.entry"]._post(
            [
                {
                    "account": env["prepay.account"].browse(self.account_id),
                    "kind": kind,
                    "amount": Decimal(amount),
                    "key": key,
                    "reason": "test",
                }
            ]
        )

    def balance(self):
        with self.connection() as cr:
            env = api.Environment(cr, api.SUPERUSER_ID, {})
            account = env["prepay.account"].browse(self.account_id)
            cr.execute(
                "SELECT COALESCE(SUM(amount), 0)::text FROM prepay_ledger_entry WHERE account_id = %s",
                [self.account_id],
            )
            total = Decimal(cr.fetchone()[0])
            own, granted, _accrued = account._money()[self.account_id]
            self.assertEqual(own + granted, total, "checkpoint and later entries are all entries")
            return total

    def fold(self):
        """As the scheduled action does it: look, end the transaction, add up."""
        with self.connection() as cr:
            checkpoints = api.Environment(cr, api.SUPERUSER_ID, {})["prepay.wallet.checkpoint"]
            horizon = checkpoints._complete_horizon()
        if horizon is not None:
            with self.connection() as cr:
                checkpoints = api.Environment(cr, api.SUPERUSER_ID, {})["prepay.wallet.checkpoint"]
                checkpoints._fold(horizon)
                cr.commit()
        return horizon

    def test_late_commit_is_never_lost(self):
        """An entry with a small number that is committed after greater ones."""
        before = self.balance()
        with self.connection() as slow, self.connection() as quick:
            self.post(slow, "1.11", f"late:slow:{time.time_ns()}")
            self.post(quick, "2.22", f"late:quick:{time.time_ns()}")
            quick.commit()
            self.assertIsNone(self.fold(), "a posting is under way: nothing is certain")
            self.assertEqual(self.balance(), before + Decimal("2.22"))
            slow.commit()
        self.assertEqual(self.balance(), before + Decimal("3.33"))
        self.assertIsNotNone(self.fold())
        self.assertEqual(self.balance(), before + Decimal("3.33"))
        with self.connection() as cr:
            cr.execute(
                "SELECT upto_id, (SELECT MAX(id) FROM prepay_ledger_entry WHERE account_id = %s) "
                "FROM prepay_wallet_checkpoint WHERE account_id = %s",
                [self.account_id, self.account_id],
            )
            upto, newest = cr.fetchone()
            self.assertGreaterEqual(upto, newest, "nothing is left to add up")

    def test_balance_holds_while_checkpoints_are_made(self):
        """Top-ups from several connections, and checkpoints made without a pause."""
        before, stop, made, errors = self.balance(), threading.Event(), [0], []

        def topups(worker):
            try:
                with self.connection() as cr:
                    for index in range(25):
                        self.post(cr, "0.10", f"storm:{worker}:{index}:{before}:{time.time_ns()}")
                        cr.commit()
            except Exception as error:
                errors.append(error)

        def folds():
            while not stop.is_set():
                made[0] += self.fold() is not None

        folder = threading.Thread(target=folds)
        workers = [threading.Thread(target=topups, args=(number,)) for number in range(4)]
        folder.start()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        stop.set()
        folder.join()
        self.assertFalse(errors, "a top-up never conflicts")
        self.fold()
        self.assertEqual(self.balance(), before + Decimal("10.00"))
        self.assertGreater(made[0], 0)

    def debit(self, amount, index, start, results):
        """A transfer as a request of the server does it, with its retries."""
        with self.connection() as cr:
            env = api.Environment(cr, api.SUPERUSER_ID, {})

            def move():
                transfer = env["prepay.transfer"].create(
                    {
                        "account_id": self.account_id,
                        "target_id": self.other_id,
                        "amount": amount,
                        "reason": f"debit {index}",
                    }
                )
                transfer.action_submit()
                return transfer.state

            start.wait()
            try:
                results.append(retrying(move, env))
            except UserError as error:
                results.append("refused" if "is left" in str(error) else str(error))
            except psycopg2.Error as error:
                results.append(str(error))

    def test_debits_never_overdraw(self):
        """Balance 100 and many debits of 10 at once: exactly 10 pass, the others are refused."""
        with self.connection() as cr:
            self.post(cr, Decimal(100) - self.balance(), f"start:{time.time_ns()}", "adjustment")
            cr.commit()
        results, start = [], threading.Event()
        workers = [
            threading.Thread(target=self.debit, args=(10, index, start, results))
            for index in range(24)
        ]
        with mute_logger("odoo.sql_db", "odoo.service.model"):
            for worker in workers:
                worker.start()
            start.set()
            for worker in workers:
                worker.join()
        self.assertEqual(sorted(results), ["done"] * 10 + ["refused"] * 14)
        self.assertEqual(self.balance(), Decimal(0))

    def test_two_old_views_never_debit_twice(self):
        """The second debit began before the first ended: the database refuses its old view."""
        with self.connection() as cr:
            self.post(cr, Decimal(10) - self.balance(), f"two:{time.time_ns()}", "adjustment")
            cr.commit()
        with self.connection() as one, self.connection() as two:
            guards = [
                api.Environment(cr, api.SUPERUSER_ID, {})["prepay.wallet.guard"]
                for cr in (one, two)
            ]
            two.execute("SELECT 1")  # its view begins here
            account = guards[0].env["prepay.account"].browse(self.account_id)
            guards[0]._check_debits({account: Decimal(10)})
            self.post(one, "-10", f"two:out:{time.time_ns()}", "transfer")
            one.commit()
            account = guards[1].env["prepay.account"].browse(self.account_id)
            with (
                mute_logger("odoo.sql_db"),
                self.assertRaises(psycopg2.errors.SerializationFailure),
            ):
                guards[1]._check_debits({account: Decimal(10)})
