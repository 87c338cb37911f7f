from datetime import datetime, timedelta, timezone
from decimal import Decimal

from odoo.exceptions import ValidationError
from odoo.tests import tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestSupply(BillingCase):
    def setUp(self):
        super().setUp()
        self.reported(self.meter, "closed")

    def use_up(self):
        """The balance goes below zero on a fresh reading."""
        self.topup(10)
        self.read(120, 5.9)
        self.rate()
        self.env["prepay.account.meter"].flush_model()
        self.assertLess(self.available(), 0)

    def evaluate(self):
        return self.account._evaluate_supply()

    def decide(self):
        return self.account._decide()[self.meter]

    def test_cut_with_evidence_then_restore(self):
        self.use_up()
        decision = self.evaluate()
        self.assertEqual(decision.action, "open")
        self.assertTrue(all(check["passed"] for check in decision.evidence["checks"]))
        self.assertEqual(decision.command_id.cause, "arrears")
        self.assertEqual(self.account.level, "cut")
        self.assertFalse(self.evaluate(), "one cut only")
        self.confirm(decision.command_id)
        self.topup(100)
        command = self.meter.command_ids[0]
        self.assertEqual((command.target, command.cause), ("closed", "restore"))
        self.assertFalse(self.account.due_since)
        self.assertEqual(self.account.level, "normal")

    def test_payment_voids_a_cut_that_is_still_queued(self):
        self.use_up()
        cut = self.evaluate().command_id
        self.topup(100)
        self.assertEqual(self.meter.desired_relay, "closed")
        self.assertGreater(self.meter.desired_epoch, cut.epoch, "the queued cut can never run")

    def blocked(self, code):
        self.use_up()
        self.assertFalse(self.evaluate())
        self.assertIn(code, self.decide().blocked_by)
        self.assertFalse(self.meter.command_ids)

    def test_no_cut_during_grace(self):
        self.policy.grace_minutes = 30
        self.blocked("grace")

    def test_no_cut_on_an_old_reading(self):
        self.policy.evidence_minutes = 5
        self.blocked("fresh")

    def test_no_cut_of_a_guaranteed_meter(self):
        self.meter.write({"is_protected": True, "protected_reason": "medical device"})
        self.blocked("protected")

    def test_no_cut_of_a_guaranteed_account(self):
        self.account.is_protected = True
        self.blocked("protected")

    def test_no_cut_without_a_delivered_notice(self):
        self.policy.notice_required = True
        self.blocked("notice")

    def test_no_cut_with_a_held_reading(self):
        self.env["prepay.reading.hold"].create(
            {
                "meter_id": self.meter.id,
                "channel": "energy",
                "rule": "spike",
                "first_at": self.start,
                "last_at": self.start,
                "value": 1,
            }
        )
        self.blocked("held")

    def test_no_cut_with_a_command_in_doubt(self):
        self.meter._request_relay("closed", "operator", "test")
        self.use_up()
        self.assertFalse(self.evaluate())
        self.assertIn("command", self.decide().blocked_by)

    def test_no_cut_outside_the_window(self):
        """Windows are local to the site: 10:00–16:00 in Shanghai is 02:00–08:00 UTC."""
        self.policy.write({"any_time": False, "window_start": 10, "window_end": 16})
        self.use_up()
        day = datetime.now(timezone.utc).replace(minute=30)
        inside = self.account._decide(day.replace(hour=3))[self.meter]
        outside = self.account._decide(day.replace(hour=12))[self.meter]
        self.assertNotIn("window", inside.blocked_by)
        self.assertIn("window", outside.blocked_by)

    def test_without_policy_nobody_is_cut(self):
        self.company.prepay_policy_id = False
        self.use_up()
        self.assertFalse(self.evaluate())

    def test_operators_cut_is_not_undone_by_money(self):
        self.confirm(self.meter._request_relay("open", "operator", "repair"))
        self.topup(100)
        self.assertEqual(self.meter.desired_relay, "open")

    def expired_cut(self):
        """A cut that nobody carried out in time, as the collector marks it."""
        cut = self.evaluate().command_id
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_meter_command SET state = 'expired' WHERE id = %s", [cut.id]
        )
        self.env.invalidate_all()
        return cut

    def test_unproven_expired_cut_is_closed_when_money_comes(self):
        """A cut that expired in doubt may have moved the relay: paid means power (S-06)."""
        self.use_up()
        self.expired_cut()
        self.topup(100)
        self.assertEqual(self.meter.desired_relay, "closed")

    def test_expired_cut_is_decided_anew(self):
        self.use_up()
        cut = self.expired_cut()
        self.assertEqual(self.evaluate().command_id.epoch, cut.epoch + 1)

    def test_overdraft_counts(self):
        self.account.overdraft_limit = 100
        self.use_up_with_overdraft()
        self.assertFalse(self.evaluate())
        self.assertEqual(self.account.level, "arrears", "the own money is used up")

    def use_up_with_overdraft(self):
        self.topup(10)
        self.read(120, 5.9)
        self.rate()
        self.assertEqual(self.available(), Decimal("96.4"))

    def test_crossing_is_told_once(self):
        messages = self.account.message_ids
        self.topup(10)
        self.account._evaluate_supply()
        self.account._evaluate_supply()
        told = (self.account.message_ids - messages).filtered(
            lambda message: "10.00" in message.body
        )
        self.assertEqual(len(told), 1)

    def test_preview_table_names_every_check(self):
        self.use_up()
        html = str(self.account.checks_html)
        for words in ("Balance used up", "Grace over", "No payment in flight", "Clock difference"):
            self.assertIn(words, html)

    def test_bad_policies_are_refused_with_the_remedy(self):
        for vals, words in (
            ({"alarm1": 5, "alarm2": 20}, "above alarm 1"),
            ({"cut_at": 5, "restore_above": 0}, "below the amount"),
            ({"any_time": False, "window_start": 10, "window_end": 10}, "window is empty"),
            ({"grace_minutes": -1}, "negative"),
            ({"window_start": 25}, "hours lie between"),
        ):
            with self.assertRaises(ValidationError) as caught, self.env.cr.savepoint():
                self.policy.write(vals)
            self.assertIn(words, str(caught.exception))

    def test_cron_rates_posts_and_decides(self):
        self.company.prepay_posting = "run"
        self.topup(10)
        self.read(120, 5.9)
        with self.enter_registry_test_mode():
            self.env.ref("prepay_billing.ir_cron_rate_and_supply").method_direct_trigger()
        self.env.invalidate_all()
        self.assertEqual(self.account.level, "cut")
        self.assertEqual(self.meter.desired_relay, "open")
        self.assertEqual(self.account.accrued, 0)
        self.assertTrue(self.account.due_since + timedelta(minutes=5) > self.start)
