from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged
from odoo.tools import mute_logger
from psycopg2 import IntegrityError

from .common import MeterCase


@tagged("post_install", "-at_install")
class TestCredit(MeterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.credits = cls.env["prepay.meter.credit"]
        cls.profile.control_ids.filtered(lambda c: c.action == "credit").writable = True
        cls.state(count=4, remaining=500)

    @classmethod
    def state(cls, count=None, remaining=0, overdraft=0, meter=None):
        """What the collector read from the meter."""
        cls.env.flush_all()
        cls.env.cr.execute(
            "UPDATE prepay_meter_state SET purchase_count = %s, remaining_fen = %s, overdraft_fen = %s "
            "WHERE id = %s",
            [count, remaining, overdraft, (meter or cls.meter).state_id.id],
        )
        cls.env.invalidate_all()

    def collector(self, credit, state, **values):
        """What the collector would have written."""
        self.env.flush_all()
        names = {"state": state, **values}
        columns = ", ".join(f"{name} = %s" for name in names)
        self.env.cr.execute(
            f"UPDATE prepay_meter_credit SET {columns} WHERE id = %s",
            [*names.values(), credit.id],
        )
        self.env.invalidate_all()

    def buy(self, amount=1000, meter=None, **values):
        return self.credits._request(meter or self.meter, amount, **values)

    def numbers(self, **wanted):
        rows = self.meter.credit_ids.sorted("number")
        for name, value in wanted.items():
            rows = rows.filtered(lambda row, name=name, value=value: row[name] == value)
        return rows.mapped("number")

    def test_numbers_follow_the_counter_of_the_meter(self):
        first, second = self.buy(), self.buy(2000, reference="TOP-2")
        self.assertEqual((first.number, second.number), (5, 6))
        self.assertEqual((second.amount, second.reference), (20.0, "TOP-2"))
        self.assertEqual(self.meter.credit_base, 4)

    def test_refusals_before_money_is_taken(self):
        with self.assertRaisesRegex(UserError, "Read Now"):
            self.buy(meter=self.other)
        for amount in (0, -1, 100_000_000):
            with self.assertRaisesRegex(ValidationError, str(amount)):
                self.buy(amount)
        self.profile.control_ids.filtered(lambda c: c.action == "credit").writable = False
        with self.assertRaisesRegex(UserError, "takes no credit"):
            self.buy()
        self.assertFalse(self.credits.search([("meter_id", "in", (self.meter + self.other).ids)]))

    def test_hoarding_limit_counts_what_is_on_its_way(self):
        self.meter.hoarding_limit_fen = 10_000
        self.state(count=4, remaining=0, overdraft=500)
        self.buy(8000)
        self.buy(2500)
        with self.assertRaisesRegex(UserError, "100.00"):
            self.buy(1)

    def test_nothing_follows_a_stopped_purchase(self):
        stopped = self.buy()
        self.collector(stopped, "stopped", stop_reason="refused")
        with self.assertRaisesRegex(UserError, "M-1 #5"):
            self.buy()

    def test_rows_are_never_deleted_and_never_written_by_hand(self):
        credit = self.buy()
        with self.assertRaises(UserError):
            credit.unlink()
        for user in (self.operator, self.auditor, self.admin):
            self.assertEqual(credit.with_user(user).number, 5)
            with self.assertRaises(AccessError):
                credit.with_user(user).amount_fen = 1
            with self.assertRaises(AccessError):
                credit.with_user(user).unlink()
        with mute_logger("odoo.sql_db"), self.assertRaises(IntegrityError), self.env.cr.savepoint():
            self.meter.unlink()

    def resolve(self, credit, resolution, count, remaining=5.0, user=None):
        wizards = self.env["prepay.meter.credit.wizard"].with_user(user or self.admin)
        wizards.create(
            {
                "credit_id": credit.id,
                "resolution": resolution,
                "count": count,
                "remaining": remaining,
                "note": "seen at the meter",
            }
        ).action_confirm()

    def test_only_administrators_resolve(self):
        credit = self.buy()
        self.collector(credit, "stopped", stop_reason="in_doubt")
        with self.assertRaises(AccessError):
            self.resolve(credit, "credited", 5, user=self.operator)
        with self.assertRaises(UserError):
            credit.with_user(self.operator)._resolve("credited", "x", 5, 0)
        self.assertEqual(credit.state, "stopped")

    def test_a_person_saw_it_in_the_meter(self):
        credit, later = self.buy(), self.buy()
        self.collector(credit, "stopped", stop_reason="in_doubt", attempts=1)
        event = self.env["prepay.meter.event"].create(
            {"meter_id": self.meter.id, "kind": "credit_stopped", "severity": "alarm"}
        )
        self.resolve(credit, "credited", 5, 15.0)
        self.assertEqual(
            (credit.state, credit.after_count, credit.after_fen, credit.resolved_by_id),
            ("confirmed", 5, 1500, self.admin),
        )
        self.assertTrue(event.cleared_at)
        self.assertEqual(later.state, "queued")
        with self.assertRaisesRegex(UserError, "not stopped"):
            self.resolve(credit, "void", 5)

    def test_send_again_lets_the_counter_decide_what_was_sent(self):
        credit = self.buy()
        self.collector(credit, "stopped", stop_reason="refused", attempts=2)
        self.resolve(credit, "again", 4)
        self.assertEqual((credit.state, credit.attempts, credit.number), ("sent", 0, 5))
        self.collector(credit, "stopped", stop_reason="hoarding", attempts=0)
        self.resolve(credit, "again", 4)
        self.assertEqual(credit.state, "queued", "it was never sent")

    def test_void_closes_the_gap(self):
        credit, second, third = self.buy(), self.buy(2000), self.buy(3000)
        self.collector(credit, "stopped", stop_reason="refused")
        self.resolve(credit, "void", 4)
        self.assertEqual((credit.state, second.number, third.number), ("void", 5, 6))
        self.assertEqual(self.buy().number, 7)

    def test_purchases_sold_elsewhere_fill_the_numbers(self):
        credit, second = self.buy(), self.buy(2000)
        self.collector(credit, "stopped", stop_reason="ahead")
        with self.assertRaisesRegex(UserError, "5 or more"):
            self.resolve(credit, "renumber", 4)
        self.resolve(credit, "renumber", 6)
        self.assertEqual((credit.number, credit.state, second.number), (7, "queued", 8))
        self.assertEqual(self.numbers(origin="foreign", state="confirmed"), [5, 6])
        self.assertEqual(self.numbers(), [5, 6, 7, 8], "no gap")

    def test_exchanged_device_gets_the_old_credit_once(self):
        done, waiting = self.buy(), self.buy(2000, reference="TOP-2")
        self.collector(done, "confirmed")
        created = self.credits._exchange(self.meter, 9, 750, reference="old device 7.50")
        self.assertEqual(
            [(row.series, row.number, row.amount_fen, row.origin) for row in created],
            [(2, 10, 750, "exchange"), (2, 11, 2000, "sale")],
        )
        self.assertEqual((waiting.state, done.state), ("void", "confirmed"))
        self.assertTrue(self.meter.credit_locked, "the new counter is read first")
        self.assertEqual(self.buy().number, 12)
        with mute_logger("odoo.sql_db"), self.assertRaises(IntegrityError), self.env.cr.savepoint():
            self.credits.create(
                {
                    "meter_id": self.meter.id, "series": 2, "number": 13, "amount_fen": 750,
                    "origin": "exchange",
                }
            )  # fmt: skip

    def test_no_exchange_while_a_purchase_is_in_doubt(self):
        credit = self.buy()
        self.collector(credit, "sent", attempts=1)
        with self.assertRaisesRegex(UserError, "M-1 #5"):
            self.credits._exchange(self.meter, 0, 0)
        self.assertEqual(self.meter.credit_series, 1)

    def test_an_empty_exchange_begins_at_the_new_counter(self):
        self.credits._exchange(self.meter, 0, 0)
        self.assertEqual(self.buy().number, 1)

    def test_after_a_restore_every_counter_is_read_first(self):
        self.buy()
        with self.assertRaises(UserError):
            self.meter.with_user(self.operator).action_lock_credit()
        self.assertFalse(self.meter.credit_locked)
        self.meter.with_user(self.admin).action_lock_credit()
        self.assertTrue(self.meter.credit_locked)
