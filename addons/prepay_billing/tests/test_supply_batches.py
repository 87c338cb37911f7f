"""Many cuts at once: blast limit, approval, spread restores, undo, preview, and the cost of it all."""

import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestSupplyBatches(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.boss = new_test_user(
            cls.env,
            "boss-t",
            groups="base.group_user,prepay_meter.group_operator,prepay_billing.group_accountant",
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
        )
        cls.company.prepay_blast_user_id = cls.boss
        cls.accounts = cls.env["prepay.account"]
        for number in range(10):
            meter = cls._meter(f"S-{number}", f"{100 + number:012}")
            cls.accounts += cls._account(meter)
        for account in cls.accounts | cls.account:
            topup = cls.env["prepay.topup"].create({"account_id": account.id, "amount": 30})
            topup._credit()

    def use_up(self, accounts):
        """These accounts owe for fresh usage."""
        for account in accounts:
            self.topup(10, account)
            self.read(180, 5.9, account.meter_ids)
            self.reported(account.meter_ids, "closed")
        self.rate()

    def batch(self):
        return self.env["prepay.supply.batch"].search([("company_id", "=", self.company.id)])

    def cut(self, accounts):
        self.use_up(accounts)
        return accounts._evaluate_supply()

    def test_few_cuts_go_on_and_form_a_batch(self):
        decisions = self.cut(self.accounts[:3])
        self.assertEqual(decisions.mapped("action"), ["open"] * 3)
        batch = self.batch()
        self.assertEqual((batch.state, batch.cut_count), ("done", 3))
        self.assertEqual(batch.site_id, self.project)

    def test_more_than_the_limit_stops_and_asks_a_person(self):
        """S-09: twelve meters in the site, so three at once; four stop all four."""
        self.assertFalse(self.cut(self.accounts[:4]))
        batch = self.batch()
        self.assertEqual((batch.state, batch.held_count), ("waiting", 4))
        self.assertIn("4 meters", batch.reason)
        self.assertEqual(batch.activity_ids.user_id, self.boss)
        self.assertFalse(self.accounts.meter_ids.command_ids)

    def test_asked_once_and_one_who_pays_ends_no_question(self):
        self.cut(self.accounts[:4])
        self.topup(50, self.accounts[0])
        self.assertFalse(
            self.accounts._evaluate_supply(), "three would pass, but a person was asked"
        )
        self.assertEqual(len(self.batch()), 1)
        self.assertEqual(len(self.batch().activity_ids), 1)

    def test_after_approval_the_rest_goes_on_with_all_its_checks(self):
        self.cut(self.accounts[:5])
        self.topup(50, self.accounts[0])
        batch = self.batch()
        batch.with_user(self.boss).action_approve()
        off = self.accounts.meter_ids.filtered(lambda meter: meter.desired_relay == "open")
        self.assertEqual(off, self.accounts[1:5].meter_ids, "who has paid meanwhile is not cut")
        self.assertEqual((batch.state, batch.cut_count), ("approved", 4))
        self.assertEqual(batch.decided_by_id, self.boss)
        self.assertFalse(batch.activity_ids)

    def test_after_refusal_nobody_is_cut(self):
        self.cut(self.accounts[:5])
        self.batch().with_user(self.boss).action_refuse()
        self.assertFalse(self.accounts._evaluate_supply())
        self.assertEqual(len(self.batch()), 1)

    def test_a_question_that_nobody_answers_lapses_and_is_asked_again(self):
        self.cut(self.accounts[:4])
        batch = self.batch()
        now = fields.Datetime.now()
        self.assertAlmostEqual(
            batch.valid_until, now + timedelta(hours=12), delta=timedelta(minutes=5)
        )
        batch._lapse()
        self.assertEqual(batch.state, "waiting", "its time is not over")
        batch.valid_until = now - timedelta(seconds=1)
        with self.assertRaises(UserError):
            batch.with_user(self.boss).action_approve()
        with patch.object(
            type(self.env["ir.cron"]), "_commit_progress", lambda *_args, **_vals: 60
        ):
            self.env["prepay.account"]._cron_rate_and_supply()
        self.assertEqual(batch.state, "lapsed")
        self.assertFalse(batch.activity_ids)
        self.assertFalse(self.accounts.meter_ids.command_ids, "silence is no approval")
        again = self.batch() - batch
        self.assertEqual((again.state, again.held_count), ("waiting", 4))
        self.assertEqual(again.activity_ids.user_id, self.boss)

    def test_a_question_lapses_with_the_window(self):
        self.policy.write({"any_time": False, "window_start": 9, "window_end": 16.5})
        batches, meters = self.env["prepay.supply.batch"], [*self.accounts[:2].meter_ids]
        for now, until in (
            (datetime(2026, 11, 23, 3), datetime(2026, 11, 23, 8, 30)),
            (datetime(2026, 11, 23, 8, 30), datetime(2026, 11, 24, 8, 30)),
        ):
            self.assertEqual(batches._asked_until(self.project, meters, now), until)

    def test_cuts_of_the_last_ten_minutes_count(self):
        self.assertEqual(len(self.cut(self.accounts[:2])), 2)
        self.assertFalse(self.cut(self.accounts[2:4]))
        self.assertEqual(self.batch().mapped("state"), ["waiting", "done"])

    def test_the_limit_is_a_setting(self):
        self.company.write({"prepay_blast_percent": 100, "prepay_blast_count": 5})
        self.assertEqual(len(self.cut(self.accounts[:5])), 5)

    def test_readers_approve_nothing(self):
        self.cut(self.accounts[:4])
        with self.assertRaises(UserError):
            self.batch().with_user(self.reader).action_approve()

    def test_a_decided_batch_is_not_decided_again(self):
        self.cut(self.accounts[:4])
        self.batch().action_refuse()
        with self.assertRaises(UserError):
            self.batch().action_approve()

    def undo(self, batch, **vals):
        wizard = (
            self.env["prepay.supply.undo.wizard"]
            .with_user(self.boss)
            .create(
                {"decision_ids": [(6, 0, batch.decision_ids.ids)], "reason": "Wrong price", **vals}
            )
        )
        return wizard, wizard.action_undo()

    def approved_cuts(self, count):
        self.cut(self.accounts[:count])
        self.batch().with_user(self.boss).action_approve()
        return self.batch()

    def test_undo_brings_all_back_spread_and_keeps_the_policy_away(self):
        batch = self.approved_cuts(8)
        wizard, _done = self.undo(batch)
        meters = self.accounts[:8].meter_ids
        self.assertEqual(set(meters.mapped("desired_relay")), {"closed"})
        commands = meters.mapped(lambda meter: meter.command_ids[0])
        self.assertEqual(set(commands.mapped("cause")), {"operator"})
        self.assertEqual(set(commands.mapped("reason")), {"Wrong price"})
        waits = sorted(
            (command.not_before - command.requested_at).total_seconds() if command.not_before else 0
            for command in commands
        )
        self.assertEqual(sum(wait < 1 for wait in waits), 1, "a tenth of twelve meters at once")
        for before, after in zip(waits[1:], waits[2:]):
            self.assertGreaterEqual(after - before, 59, "one a minute")
        self.assertEqual((batch.state, batch.undo_reason), ("undone", "Wrong price"))
        self.assertTrue(all(batch.decision_ids.mapped("undone")))
        self.assertFalse(self.accounts._evaluate_supply(), "not cut again for a day")
        checks = self.accounts[0].sudo()._decide()[self.accounts[0].meter_ids]
        self.assertIn("protected", checks.blocked_by)
        self.accounts.write({"no_cut_until": False})
        decision = self.accounts[0].sudo()._decide()[self.accounts[0].meter_ids]
        self.assertNotIn("protected", decision.blocked_by)

    def test_undo_leaves_what_is_no_cut_any_more(self):
        batch = self.approved_cuts(4)
        self.topup(80, self.accounts[0])
        epoch = self.accounts[0].meter_ids.desired_epoch
        self.undo(batch)
        self.assertEqual(self.accounts[0].meter_ids.desired_epoch, epoch)
        with self.assertRaises(UserError):
            self.undo(batch)

    def test_undo_needs_a_reason_and_an_operator(self):
        batch = self.approved_cuts(4)
        with self.assertRaises(UserError):
            self.undo(batch, reason=" ")
        with self.assertRaises(UserError):
            self.undo(batch, hours=0)
        with self.assertRaises(AccessError):
            self.env["prepay.supply.undo.wizard"].with_user(self.reader).create(
                {"reason": "x", "decision_ids": [(6, 0, batch.decision_ids.ids)]}
            )

    def test_a_single_payment_is_never_delayed(self):
        self.approved_cuts(8)
        self.topup(80, self.accounts[3])
        command = self.accounts[3].meter_ids.command_ids[0]
        self.assertEqual((command.target, command.cause), ("closed", "restore"))
        self.assertFalse(command.not_before)

    def test_many_at_once_come_back_spread(self):
        """A policy that is changed for all brings them back as a crowd (S-08)."""
        self.approved_cuts(6)
        self.accounts.overdraft_limit = 100
        decisions = self.accounts._evaluate_supply()
        self.assertEqual(decisions.mapped("action"), ["close"] * 6)
        waiting = decisions.command_id.filtered("not_before")
        self.assertEqual(len(waiting), 5)

    def preview(self, at=None, **vals):
        wizard = self.env["prepay.supply.preview"].with_user(self.reader).create(
            {"at": at or datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0), **vals}
        )  # fmt: skip
        action = wizard.action_show()
        return (
            self.env["prepay.supply.preview.line"].with_user(self.reader).search(action["domain"])
        )

    def test_preview_says_who_would_be_cut_and_why_not(self):
        self.use_up(self.accounts[:3])
        self.accounts[1].write({"is_protected": True, "protected_reason": "medical device"})
        self.topup(50, self.accounts[2])
        before = self.env["prepay.supply.decision"].search_count([])
        lines = self.preview()
        found = {line.account_id: line for line in lines}
        self.assertEqual(set(found), set(self.accounts[:2]))
        self.assertEqual(found[self.accounts[0]].outcome, "cut")
        self.assertIn("Every check passes", found[self.accounts[0]].reasons)
        self.assertEqual(found[self.accounts[1]].outcome, "protected")
        self.assertIn("medical device", found[self.accounts[1]].reasons)
        self.assertEqual(self.env["prepay.supply.decision"].search_count([]), before)
        self.assertFalse(self.accounts.meter_ids.command_ids)

    def test_preview_of_tonight_takes_the_hours_and_the_grace_as_they_will_be(self):
        self.policy.write(
            {"any_time": False, "window_start": 10, "window_end": 16, "grace_minutes": 60}
        )
        self.use_up(self.accounts[:1])
        day = (datetime.now(timezone.utc) + timedelta(days=1)).replace(
            minute=0, second=0, microsecond=0, tzinfo=None
        )
        inside, outside = self.preview(day.replace(hour=3)), self.preview(day.replace(hour=12))
        self.assertEqual(inside.outcome, "cut")
        self.assertEqual(outside.outcome, "blocked")
        self.assertIn("Outside the hours", outside.reasons)

    def test_preview_tells_what_would_wait_for_a_person(self):
        self.use_up(self.accounts[:4])
        lines = self.preview(location_id=self.project.id)
        self.assertEqual(set(lines.mapped("outcome")), {"waits"})
        self.assertIn("allowed are 3", lines[0].reasons)

    def test_preview_can_show_everybody(self):
        self.use_up(self.accounts[:1])
        lines = self.preview(everything=True)
        self.assertEqual(len(lines), 11)
        self.assertIn("Not due", lines.filtered(lambda line: line.outcome == "not_due")[0].reasons)

    def test_evidence_of_a_cut_answers_the_invariant(self):
        """S-01 as a query: no arrears cut without fresh evidence, notice, hours; none in flight."""
        decision = self.cut(self.accounts[:1])
        self.assertTrue(decision.final_notice_ok)
        self.assertTrue(decision.window_ok)
        self.assertFalse(decision.protected)
        self.assertFalse(decision.inflight)
        self.assertEqual(decision.evidence_at, self.accounts[0].supply_ids.rated_at)
        codes = {check["code"]: check["value"] for check in decision.evidence["checks"]}
        self.assertLessEqual(
            {"due", "fresh", "grace", "window", "notice", "protected", "payment", "weather"},
            set(codes),
        )
        self.env.flush_all()
        self.env.cr.execute(
            """
            SELECT count(*) FROM prepay_supply_decision d JOIN prepay_meter_command c ON c.id = d.command_id
             WHERE c.target = 'open' AND c.cause = 'arrears' AND d.company_id = %s
               AND ((d.evidence_at >= d.decided_at - interval '60 min') IS NOT TRUE
                    OR d.final_notice_ok IS NOT TRUE OR d.window_ok IS NOT TRUE
                    OR d.protected IS NOT FALSE OR d.inflight IS NOT FALSE)
            """,
            [self.company.id],
        )
        self.assertEqual(self.env.cr.fetchone()[0], 0)

    def test_statements_do_not_grow_with_the_accounts(self):
        self.use_up(self.accounts)
        self.accounts._update_levels()
        self.accounts.location_id.mapped("company_id.partner_id.lang")
        counts = []
        for accounts in (self.accounts[:2], self.accounts[:2], self.accounts):
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            accounts._decide(acting=True)
            counts.append(self.env.cr.sql_log_count - before)
        self.assertLessEqual(counts[2], counts[1], "the first time also fills the caches")

    def clones(self, record, count, changes):
        """Copies of a row by one statement.

        :param changes: by column: a list with a value for each copy, or an expression of its number n
        :return: their ids
        """
        self.env.flush_all()
        table = record._table
        self.env.cr.execute(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_name = %s AND table_schema = current_schema AND column_name <> 'id'",
            [table],
        )
        columns = [row[0] for row in self.env.cr.fetchall()]
        lists = {name: value for name, value in changes.items() if isinstance(value, list)}
        values = ", ".join(
            f"(%({name})s::int[])[n]" if name in lists else changes.get(name, f"t.{name}")
            for name in columns
        )
        self.env.cr.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} t, "
            "generate_series(1, %(count)s) n WHERE t.id = %(id)s RETURNING id",
            {**lists, "count": count, "id": record.id},
        )
        return [row[0] for row in self.env.cr.fetchall()]

    def test_many_accounts_are_decided_quickly(self):
        """Tens of thousands a second; the figure is printed, the limit leaves room for slow machines."""
        self.env.flush_all()
        many = 20000
        states = self.clones(self.meter.state_id, many, {})
        meters = self.clones(
            self.meter, many, {"state_id": states, "number": "'L-' || n", "address": "'L' || n"}
        )
        owners = self.clones(self.account, many, {"number": "'L-' || n"})
        supply = self.account.supply_ids
        self.clones(
            supply, many, {"account_id": owners, "meter_id": meters, "rated_at": "start_at"}
        )
        accounts = self.env["prepay.account"].browse(owners)
        for table in ("account", "account_meter", "meter", "meter_state"):
            self.env.cr.execute(f"ANALYZE prepay_{table}")  # as the server does by itself
        accounts.sudo()._update_levels()
        self.env.invalidate_all()
        policies = accounts._engine_policies()
        money = accounts._supply_money(policies)
        begin = time.perf_counter()
        accounts._update_levels(policies, money)
        levels = time.perf_counter() - begin
        begin = time.perf_counter()
        none_due = accounts._decide(
            acting=True,
            policies=policies,
            money={key: value._replace(available=Decimal(50)) for key, value in money.items()},
        )
        normal = time.perf_counter() - begin
        begin = time.perf_counter()
        all_due = accounts._decide(acting=True, policies=policies, money=money)
        due = time.perf_counter() - begin
        print(
            f"{many} accounts: levels {many / levels:,.0f}/s, decisions {many / normal:,.0f}/s when "
            f"there is money, {many / due:,.0f}/s when all are due"
        )
        self.assertFalse(none_due)
        self.assertEqual(len(all_due), many)
        self.assertGreater(many / normal, 10000)
        self.assertGreater(many / due, 1500)
