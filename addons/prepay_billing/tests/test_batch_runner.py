"""What becomes of the lines of a batch operation while it runs: results, retry, cancel, undo."""

from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from odoo.addons.prepay_billing.batch_kinds import KINDS
from odoo.addons.prepay_billing.models import prepay_batch_run

from .common_opening import OpeningCase
from .test_batch import BatchCase


class RunnerCase(BatchCase):
    def launch(self, kind, **vals):
        batch = self.batch(kind, **vals)
        batch.action_confirm()
        self.run_round()
        return batch

    def states(self, batch):
        return {line.meter_id.number: (line.state, line.result) for line in batch.line_ids}

    def answer(self, line, state, detail=None):
        """What the collector writes of a command or parameter."""
        table = "prepay_meter_command" if line.command_id else "prepay_meter_parameter"
        record = line.command_id or line.parameter_id
        self.sql(
            f"UPDATE {table} SET state = %s, detail = %s WHERE id = %s", state, detail, record.id
        )


@tagged("post_install", "-at_install")
class TestBatchRunner(RunnerCase):
    def test_each_line_has_its_own_command(self):
        batch = self.launch("off")
        self.assertEqual((batch.state, batch.sent_count), ("running", 3))
        for line in batch.line_ids:
            self.assertEqual(line.command_id, line.meter_id.command_ids)
            self.assertEqual(line.command_id.create_uid, self.operator)
            self.assertEqual(line.command_id.reason, f"{batch.number} · Test")
        self.run_round()
        self.assertEqual(len(self.meter.command_ids), 1)
        first, second, third = batch.line_ids
        self.answer(first, "confirmed")
        self.answer(second, "expired", "no answer")
        # The form shows it before the scheduled action has written it down.
        batch.invalidate_recordset()
        self.assertEqual((batch.done_count, batch.failed_count, batch.sent_count), (1, 1, 1))
        self.run_round()
        self.answer(third, "unproven")
        self.run_round()
        self.assertEqual(
            [(line.state, line.result, line.detail) for line in batch.line_ids],
            [
                ("done", "confirmed", False),
                ("failed", "expired", "no answer"),
                ("done", "unproven", False),
            ],
        )
        self.assertEqual((batch.state, batch.progress), ("done", 100))
        self.assertTrue(batch.finished_at)

    def test_parameters(self):
        batch = self.launch("alarm_1", amount=20.5)
        first, second, third = batch.line_ids
        self.assertEqual(first.parameter_id.desired, 2050)
        self.answer(first, "synced")
        self.answer(second, "refused", "exception 2")
        self.env["prepay.meter.parameter"]._request(third.meter_id, "alarm_1", 100)
        self.run_round()
        self.assertEqual(
            sorted(self.states(batch).values()),
            [("done", "confirmed"), ("failed", "refused"), ("failed", "superseded")],
        )
        self.assertEqual(batch.state, "done")

    def test_what_the_platform_does_is_done(self):
        self.profile.control_ids.filtered(lambda control: control.action == "overload").unlink()
        batch = self.launch("overload", power_w=800)
        self.run_round()
        self.assertEqual(set(self.states(batch).values()), {("done", "platform")})
        self.assertEqual(self.meter.overload_w, 800)

    def test_readings(self):
        batch = self.launch("read")
        self.sql(
            "UPDATE prepay_meter_state SET last_read_at = now() AT TIME ZONE 'UTC', last_value = 123450"
            " WHERE id = %s",
            self.meter.state_id.id,
        )
        self.sql(
            "UPDATE prepay_meter_state SET missed_polls = 1, last_error = 'no reply' WHERE id = %s",
            self.other.state_id.id,
        )
        self.run_round()
        self.assertEqual(
            self.states(batch),
            {"M-1": ("done", "confirmed"), "M-2": ("failed", "no_answer"), "M-3": ("sent", False)},
        )
        self.assertEqual(self.line(batch, self.meter).detail, "123.45 kWh")
        self.assertEqual(self.line(batch, self.other).detail, "no reply")
        self.sql("UPDATE prepay_batch_line SET sent_at = sent_at - interval '11 minutes'")
        self.run_round()
        self.assertEqual(self.line(batch, self.third).result, "timeout")

    def test_readings_are_asked_for_again(self):
        batch = self.launch("read")
        asked = []
        with patch.object(
            prepay_batch_run.ReadNow, "ask", lambda _env, ids: asked.append(sorted(ids))
        ):
            self.run_round()
            self.assertFalse([ids for ids in asked if ids])
            self.sql("UPDATE prepay_batch_line SET sent_at = sent_at - interval '1 minute'")
            self.sql("UPDATE prepay_batch SET asked_at = asked_at - interval '1 minute'")
            self.run_round()
        self.assertEqual(asked[-1], sorted(batch.line_ids.meter_id.ids))

    def test_failed_settings_again(self):
        rows = self.env["prepay.meter.parameter"]._request(
            self.meter + self.other, "alarm_1", 100, reason="x"
        )
        self.sql(
            "UPDATE prepay_meter_parameter SET state = 'refused' WHERE id = %s",
            rows.filtered(lambda row: row.meter_id == self.meter).id,
        )
        batch = self.launch("resend")
        self.assertEqual(
            {line.meter_id.number: line.skip or line.state for line in batch.line_ids},
            {"M-1": "sent", "M-2": "nothing_failed", "M-3": "nothing_failed"},
        )
        self.sql("UPDATE prepay_meter_parameter SET state = 'synced' WHERE id = ANY(%s)", rows.ids)
        self.run_round()
        self.assertEqual(self.line(batch, self.meter).state, "done")

    def test_guarantee_ends_by_itself(self):
        until = fields.Datetime.now() + timedelta(hours=2)
        batch = self.launch("guarantee_on", guarantee_until=until)
        self.assertEqual(batch.line_ids.mapped("target_text"), ["on"] * 3)
        self.assertTrue(self.meter.is_protected)
        self.assertEqual(self.meter.protected_until, until)
        self.run_round()
        self.assertTrue(self.meter.is_protected)
        self.sql(
            "UPDATE prepay_meter SET protected_until = now() AT TIME ZONE 'UTC' - interval '1 minute'"
            " WHERE id = %s",
            self.meter.id,
        )
        self.run_round()
        self.assertFalse(self.meter.is_protected)
        self.assertFalse(self.meter.protected_until)
        self.assertTrue(self.other.is_protected)

    def test_policy(self):
        mild = self.policy.copy({"name": "Mild"})
        batch = self.launch("policy", policy_id=mild.id)
        self.assertEqual(self.account.policy_id, mild)
        self.assertEqual(self.line(batch, self.meter).result, "recorded")
        self.assertEqual(batch.state, "done")
        undo = self.env["prepay.batch"].browse(batch.action_undo()["res_id"])
        self.assertEqual(self.line(undo, self.meter).target_text, "as its place")
        undo.action_confirm()
        self.run_round()
        self.assertFalse(self.account.policy_id)

    def test_what_changed_since_the_preview_counts(self):
        """A meter that was guaranteed meanwhile is not switched off."""
        batch = self.batch("off")
        batch.action_confirm()
        self.other.is_protected = True
        self.run_round()
        self.assertEqual(
            {line.meter_id.number: line.skip or line.state for line in batch.line_ids},
            {"M-1": "sent", "M-2": "protected", "M-3": "sent"},
        )
        self.assertFalse(self.other.command_ids)

    def test_scheduled(self):
        batch = self.batch("on", start_at=fields.Datetime.now() + timedelta(hours=1))
        batch.action_confirm()
        self.run_round()
        self.assertEqual(batch.state, "queued")
        self.assertFalse(self.meter.command_ids)
        self.sql("UPDATE prepay_batch SET start_at = now() AT TIME ZONE 'UTC' - interval '1 s'")
        self.run_round()
        self.assertEqual(batch.state, "running")
        self.assertTrue(self.meter.command_ids)

    def test_one_that_cannot_be_started_stops_no_other(self):
        batch = self.batch("off")
        batch.action_confirm()
        relay = type(self.env["prepay.meter"])._request_relay
        bad = self.other

        def request(meters, *arguments):
            if bad in meters:
                raise UserError("It burns")
            return relay(meters, *arguments)

        with patch.object(type(self.env["prepay.meter"]), "_request_relay", request):
            self.run_round()
        self.assertEqual(
            self.states(batch),
            {"M-1": ("sent", False), "M-2": ("failed", "error"), "M-3": ("sent", False)},
        )
        self.assertEqual(self.line(batch, bad).detail, "It burns")

    def test_so_many_at_a_gateway_at_a_time(self):
        with patch.object(prepay_batch_run, "WINDOW", 2):
            batch = self.launch("off")
            self.assertEqual((batch.sent_count, batch.waiting_count), (2, 1))
            self.run_round()
            self.assertEqual((batch.sent_count, batch.waiting_count), (2, 1))
            self.answer(batch.line_ids[0], "confirmed")
            self.run_round()
        self.assertEqual((batch.done_count, batch.sent_count, batch.waiting_count), (1, 2, 0))


@tagged("post_install", "-at_install")
class TestBatchAfterwards(RunnerCase):
    def test_retry_of_the_failed(self):
        batch = self.launch("off")
        for line, state in zip(batch.line_ids, ("confirmed", "expired", "expired")):
            self.answer(line, state)
        self.run_round()
        before = batch.line_ids.command_id
        batch.action_retry()
        self.run_round()
        self.assertEqual([line.state for line in batch.line_ids], ["done", "sent", "sent"])
        self.assertEqual(batch.line_ids.mapped("tries"), [1, 2, 2])
        self.assertEqual(len(batch.line_ids.command_id - before), 2)
        for line in batch.line_ids[1:]:
            self.answer(line, "confirmed")
        self.run_round()
        self.assertEqual((batch.state, batch.failed_count), ("done", 0))
        with self.assertRaisesRegex(UserError, "has failed"):
            batch.action_retry()

    def test_cancel_takes_back_what_no_meter_has_got(self):
        self.meter._request_relay("closed", "operator", "before")
        self.sql("UPDATE prepay_meter_command SET state = 'confirmed'")
        with patch.object(prepay_batch_run, "WINDOW", 2):
            batch = self.launch("off")
        first, second, last = batch.line_ids
        self.answer(second, "sent")
        batch.action_cancel()
        self.assertEqual(
            [(line.state, line.result) for line in batch.line_ids],
            [("cancelled", "withdrawn"), ("sent", False), ("cancelled", False)],
        )
        self.assertEqual(first.command_id.state, "superseded")
        self.assertEqual(first.meter_id.desired_relay, "closed")
        self.assertFalse(last.command_id)
        self.assertEqual(batch.state, "running")
        self.answer(second, "confirmed")
        self.run_round()
        self.assertEqual((batch.state, batch.done_count), ("cancelled", 1))

    def test_cancel_before_it_began(self):
        batch = self.batch("off", start_at=fields.Datetime.now() + timedelta(hours=1))
        batch.action_confirm()
        batch.action_cancel()
        self.assertEqual(batch.state, "cancelled")
        self.assertEqual(set(batch.line_ids.mapped("state")), {"cancelled"})
        with self.assertRaisesRegex(UserError, "is over and cannot be cancelled"):
            batch.action_cancel()

    def test_cancel_parameters(self):
        self.env["prepay.meter.parameter"]._request(self.meter, "alarm_1", 500)
        batch = self.launch("alarm_1", amount=20)
        batch.action_cancel()
        line = self.line(batch, self.meter)
        self.assertEqual((line.state, line.result), ("cancelled", "withdrawn"))
        self.assertEqual(line.parameter_id.desired, 500)
        # Nothing was wished of the others before: what is on its way goes on.
        self.assertEqual(self.line(batch, self.other).state, "sent")

    def test_undo_of_switching(self):
        self.meter._request_relay("closed", "operator", "before")
        self.third._request_relay("open", "operator", "before")
        self.hear(self.third, "open")
        batch = self.launch("off")
        self.assertEqual(self.line(batch, self.third).skip, "same")
        for line in batch.line_ids.filtered("command_id"):
            self.confirm(line.command_id)
        self.run_round()
        self.assertTrue(batch.undoable)
        self.other._request_relay("closed", "operator", "somebody else")
        undo = self.env["prepay.batch"].browse(batch.action_undo()["res_id"])
        self.assertEqual(undo.state, "ready")
        self.assertEqual(
            {line.meter_id.number: (line.target_text, line.skip) for line in undo.line_ids},
            {"M-1": ("On", False), "M-2": ("On", "newer")},
        )
        undo.action_confirm()
        self.run_round()
        self.assertEqual(self.meter.desired_relay, "closed")
        self.assertEqual(undo.undo_of_id, batch)

    def test_undo_of_switching_on_may_need_a_second_person(self):
        self.company.prepay_batch_power_limit = 1
        for meter in self.meter + self.other:
            meter._request_relay("open", "operator", "before")
        self.hear(self.meter + self.other, "open")
        batch = self.launch("on")
        for line in batch.line_ids.filtered("command_id"):
            self.confirm(line.command_id)
        self.run_round()
        undo = self.env["prepay.batch"].browse(batch.action_undo()["res_id"])
        self.assertTrue(undo.needs_approval)

    def test_undo_of_parameters(self):
        self.meter.overload_w = 800
        batch = self.launch("overload", power_w=1200)
        for line in batch.line_ids:
            self.answer(line, "synced")
        self.run_round()
        undo = self.env["prepay.batch"].browse(batch.action_undo()["res_id"])
        self.assertEqual(
            {line.meter_id.number: (line.target_text, line.skip) for line in undo.line_ids},
            {
                "M-1": ("800 W", False),
                "M-2": ("no limit", "no_former"),
                "M-3": ("no limit", "no_former"),
            },
        )
        undo.action_confirm()
        self.run_round()
        self.assertEqual(self.meter.overload_w, 800)

    def test_what_cannot_be_undone(self):
        for kind in ("read", "clock", "release", "resend"):
            self.assertFalse(KINDS[kind].undoable)
        batch = self.launch("read")
        with self.assertRaisesRegex(UserError, "cannot be undone"):
            batch.action_undo()


@tagged("post_install", "-at_install")
class TestBatchOpen(OpeningCase):
    def test_presets_are_opened_one_by_one(self):
        good = self.preset(amount=100)
        self.line(good, self.power).write({"overload_w": 2500})
        bad_room = self._room("C-102")
        bad_meter = self._meter("P-2", "000000000102", location_id=bad_room.id)
        self.newest(bad_meter, 5)
        bad = self.preset(location_id=bad_room.id, tenant_name=False, tenant_phone=False)
        batch = self.env["prepay.batch"].with_user(self.staff).create({"kind": "open"})
        batch.action_preview()
        self.assertEqual(
            {line.meter_id.number: line.skip for line in batch.line_ids},
            {"M-1": "opened", "M-2": "no_preset", "P-1": False, "P-2": False, "W-1": False},
        )
        batch.action_confirm()
        with patch.object(
            type(self.env["ir.cron"]), "_commit_progress", lambda *_args, **_vals: 60
        ):
            self.env["prepay.batch"]._cron_run(seconds=0)
        self.env.invalidate_all()
        self.assertEqual((good.state, bad.state), ("done", "draft"))
        self.assertEqual(good.opened_by_id, self.staff)
        self.assertEqual(
            {
                line.meter_id.number: (line.state, line.result)
                for line in batch.line_ids.filtered(lambda line: line.state != "skipped")
            },
            {"P-1": ("done", "recorded"), "P-2": ("failed", "error"), "W-1": ("done", "recorded")},
        )
        failed = batch.line_ids.filtered(lambda line: line.state == "failed")
        self.assertIn("tenant", failed.detail)
        self.assertEqual(batch.state, "done")
