from datetime import timedelta

from freezegun import freeze_time
from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, tagged

from .common import MeterCase

HOURS = [{"days": [0, 1, 2, 3, 4, 5, 6], "times": [["05:50", "on"], ["23:00", "off"]]}]


class ParameterCase(MeterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.parameters = cls.env["prepay.meter.parameter"]
        water = cls.env.ref("prepay_meter.profile_cjt188")
        cls.water = cls._meter("W-1", "00000000000001", profile_id=water.id)

    def parameter(self, kind, meter=None):
        return (meter or self.meter).parameter_ids.filtered(lambda row: row.kind == kind)

    def collector(self, row, state, **values):
        """What the collector would have written."""
        self.env.flush_all()
        names = {"state": state, **values}
        columns = ", ".join(f"{name} = %s" for name in names)
        self.env.cr.execute(
            f"UPDATE prepay_meter_parameter SET {columns}, reported_at = now() AT TIME ZONE 'UTC' "
            "WHERE id = %s",
            [*names.values(), row.id],
        )
        self.env.invalidate_all()


@tagged("post_install", "-at_install")
class TestParameter(ParameterCase):
    def test_who_does_it(self):
        request = self.parameters._request
        self.assertEqual(request(self.meter, "alarm_1", 2000).state, "queued")
        self.assertEqual(request(self.meter, "guarantee", 1).state, "queued")
        overload = request(self.meter, "overload", 3000)
        self.assertEqual(overload.state, "platform", "the profile does not release it")
        self.assertTrue(overload.not_before, "yet it can be read")
        self.assertEqual(request(self.meter, "time_control", document=HOURS).state, "platform")
        self.assertEqual(
            request(self.meter, "tariff", document=[["00:00", 4], ["07:00", 2]]).state, "impossible"
        )
        self.assertEqual(request(self.meter, "release", 1).state, "impossible")
        self.assertEqual(request(self.water, "guarantee", 1).state, "platform")

    def test_newest_wish_has_the_next_epoch_and_starts_anew(self):
        first = self.parameters._request(self.meter, "alarm_1", 2000, reason="one")
        self.collector(first, "refused", attempts=2, detail="no")
        second = self.parameters._request(self.meter, "alarm_1", 1000, reason="two")
        self.assertEqual(second, first)
        self.assertEqual(
            (second.epoch, second.desired, second.state, second.attempts, second.detail),
            (2, 1000, "queued", 0, False),
        )
        self.assertEqual(second.desired_by_id, self.env.user)

    def test_wrong_wishes_are_refused_in_words(self):
        request = self.parameters._request
        with self.assertRaisesRegex(UserError, "W-1"):
            request(self.meter + self.water, "overload", 3000)
        with self.assertRaisesRegex(ValidationError, "-1"):
            request(self.meter, "alarm_1", -1)
        with self.assertRaisesRegex(ValidationError, "24:00"):
            request(
                self.meter, "time_control", document=[{"days": [0], "times": [["24:00", "on"]]}]
            )
        self.assertFalse(self.meter.parameter_ids)

    def test_platform_and_meter_know_the_same_limit(self):
        self.parameters._request(self.meter, "overload", 3000)
        self.assertEqual(self.meter.overload_w, 3000)
        self.meter.with_user(self.admin).overload_w = 2500
        self.assertEqual(self.parameter("overload").desired, 2500)
        self.assertEqual(self.parameter("overload").epoch, 2)
        self.meter.overload_w = 0
        self.assertEqual(self.parameter("overload").desired, 0)
        fresh = self._meter("M-9", "000000000009", malicious_step_w=1000)
        self.assertEqual(self.parameter("malicious", fresh).desired, 1000)
        self.assertFalse(self.parameter("overload", fresh), "nothing was wished")

    def test_guarantee_of_the_switch_dialogue_reaches_the_meter(self):
        wizard = self.env["prepay.meter.relay.wizard"].with_user(self.operator)
        wizard.create(
            {"meter_ids": [(6, 0, self.meter.ids)], "action": "protect", "reason": "oxygen machine"}
        ).action_confirm()
        row = self.parameter("guarantee")
        self.assertEqual((row.desired, row.state, row.reason), (1, "queued", "oxygen machine"))
        self.assertEqual(self.meter.protected_reason, "oxygen machine")
        self.parameters._request(self.meter, "guarantee", 0, reason="moved out")
        self.assertFalse(self.meter.is_protected)
        self.assertEqual(self.parameter("guarantee").epoch, 2)

    def test_release_ends_the_wishes_of_the_platform(self):
        self.profile.control_ids.filtered(lambda c: c.action == "release").writable = True
        cut = self.meter._request_relay("open", "operator", "test")
        row = self.parameters._request(self.meter, "release", 1, reason="back to prepaid")
        self.assertEqual(row.state, "queued")
        self.assertFalse(self.meter.desired_relay)
        self.assertGreater(self.meter.desired_epoch, cut.epoch)
        self.meter._request_relay("closed", "operator", "newer")
        self.assertEqual(row.state, "failed", "a newer relay command replaces a waiting release")
        self.assertEqual(row.epoch, 2)

    def test_releasing_a_control_sends_what_was_wished(self):
        row = self.parameters._request(self.meter, "overload", 3000)
        control = self.profile.control_ids.filtered(lambda c: c.action == "overload")
        control.writable = True
        self.assertEqual(row.state, "queued")
        self.collector(row, "synced", reported=3000)
        control.writable = False
        self.assertEqual(row.state, "platform")

    def test_another_type_reads_before_it_believes(self):
        row = self.parameters._request(self.meter, "alarm_1", 2000)
        self.collector(row, "synced", reported=2000)
        epoch = row.epoch
        self.meter.address = "000000000077"
        self.assertEqual((row.state, row.epoch), ("sent", epoch + 1))
        self.meter.write(
            {"profile_id": self.env.ref("prepay_meter.profile_ddsy1352").id, "address": "7"}
        )
        self.assertEqual(row.state, "impossible")

    def test_both_values_stand_side_by_side(self):
        request = self.parameters._request
        alarm = request(self.meter, "alarm_1", 2050)
        self.assertEqual((alarm.desired_text, alarm.reported_text), ("CNY 20.50", False))
        self.collector(alarm, "failed", reported=1000)
        self.assertEqual(alarm.reported_text, "CNY 10.00")
        clock = request(self.meter, "clock")
        self.collector(clock, "synced", reported=-75)
        self.assertEqual(clock.reported_text, "-75 s")
        hours = request(self.meter, "time_control", document=HOURS)
        self.assertEqual(hours.desired_text, "every 05:50 on 23:00 off")
        self.assertEqual(request(self.meter, "overload", 0).desired_text, "no limit")

    def test_clocks_are_compared_daily(self):
        self.parameters._cron_watch_clocks()
        self.parameters._cron_watch_clocks()
        row = self.parameter("clock")
        self.assertEqual((len(row), row.state), (1, "synced"))
        within = row.not_before - fields.Datetime.now()
        self.assertTrue(timedelta(minutes=-1) < within < timedelta(hours=6))
        self.assertFalse(self.parameter("clock", self.water), "its type has no clock to set")
        self.assertEqual(row.company_id, self.company)


@tagged("post_install", "-at_install")
class TestParameterWizard(ParameterCase):
    def form(self, user=None, **values):
        wizards = self.env["prepay.meter.parameter.wizard"].with_user(user or self.operator)
        form = Form(wizards.with_context(default_meter_ids=(self.meter + self.other).ids))
        form.reason = "dormitory rule"
        for name, value in values.items():
            setattr(form, name, value)
        return form

    def test_preview_shows_what_changes_and_how(self):
        self.parameters._request(self.meter, "overload", 2000)
        wizard = self.form(kind="overload", power_w=3000).save()
        self.assertEqual(
            [(line.meter_id, line.before, line.after, line.way) for line in wizard.line_ids],
            [
                (self.meter, "2000 W", "3000 W", "platform"),
                (self.other, False, "3000 W", "platform"),
            ],
        )

    def test_operator_sets_many_and_reader_none(self):
        form = self.form(kind="alarm_1", amount=20.5)
        wizard = form.save()
        action = wizard.action_confirm()
        rows = self.parameter("alarm_1") + self.parameter("alarm_1", self.other)
        self.assertEqual(rows.mapped("desired"), [2050, 2050])
        self.assertEqual(rows.mapped("reason"), ["dormitory rule"] * 2)
        self.assertEqual(rows.desired_by_id, self.operator)
        self.assertEqual(
            self.parameters.search(action["domain"]), rows, "the list shows what was set"
        )
        with self.assertRaises(AccessError):
            self.env["prepay.meter.parameter.wizard"].with_user(self.reader).create(
                {"meter_ids": [(6, 0, self.meter.ids)], "kind": "alarm_1", "reason": "x"}
            )

    def test_rows_are_not_written_by_hand(self):
        row = self.parameters._request(self.meter, "alarm_1", 2000)
        for user in (self.operator, self.auditor, self.admin):
            self.assertEqual(row.with_user(user).desired, 2000)
            with self.assertRaises(AccessError):
                row.with_user(user).desired = 1
        with self.assertRaises(UserError):
            row.with_user(self.auditor).action_retry()
        self.collector(row, "refused", attempts=2)
        row.with_user(self.operator).action_retry()
        self.assertEqual((row.state, row.attempts), ("queued", 0))

    def test_other_companies_see_nothing(self):
        row = self.parameters._request(self.meter, "alarm_1", 2000)
        stranger = self._user("stranger-t", "prepay_meter.group_operator")
        other = self.env["res.company"].create({"name": "Other"})
        stranger.write({"company_ids": [(6, 0, other.ids)], "company_id": other.id})
        found = self.parameters.with_user(stranger).with_context(allowed_company_ids=other.ids)
        self.assertFalse(found.search([("id", "=", row.id)]))

    def test_a_plan_is_written_in_words(self):
        form = self.form(kind="time_control", plan_text="workday 05:50 on 23:00 of")
        self.assertIn("“of”", form.problem)
        form.plan_text = "工作日 05:50 开 23:00 关\nrestday 06:00 on"
        self.assertFalse(form.problem)
        form.save().action_confirm()
        self.assertEqual(
            self.parameter("time_control").desired_document,
            [
                {"days": [0, 1, 2, 3, 4], "times": [["05:50", "on"], ["23:00", "off"]]},
                {"days": [5, 6], "times": [["06:00", "on"]]},
            ],
        )
        again = self.form(kind="time_control")
        self.assertIn("workday 05:50 on 23:00 off", again.plan_text)


@tagged("post_install", "-at_install")
class TestLoadGuard(ParameterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.guard = cls.env["prepay.load.guard"]
        cls.company.write(
            {
                "prepay_load_guard": "cut",
                "prepay_recovery_minutes": 10,
                "prepay_recoveries_per_hour": 2,
            }
        )

    def overload(self, kind="overload", meter=None):
        """What the collector writes when it judges the load."""
        meter = meter or self.meter
        self.env["prepay.meter.event"].search([("meter_id", "=", meter.id)]).unlink()
        self.env["prepay.meter.event"].create(
            {
                "meter_id": meter.id,
                "kind": kind,
                "severity": "alarm",
                "detail": "4000 W, then 4000 W; limit 3000 W",
                "last_at": fields.Datetime.now(),
            }
        )

    def commands(self, meter=None):
        commands = (meter or self.meter).command_ids.sorted("epoch")
        return [(command.target, command.cause) for command in commands]

    def carried_out(self):
        newest = self.meter.command_ids.sorted("epoch")[-1]
        self.env.flush_all()
        now = fields.Datetime.now()
        self.env.cr.execute(
            "UPDATE prepay_meter_command SET state = 'confirmed', sent_at = %s, confirmed_at = %s WHERE id = %s",
            [now, now, newest.id],
        )
        self.reported(self.meter, newest.target)

    def test_overload_cuts_recovers_and_then_asks_a_person(self):
        self.parameters.with_user(self.operator)._request(self.meter, "overload", 3000)
        start = fields.Datetime.now().replace(hour=3)
        moment = start
        for _round in range(2):
            with freeze_time(moment):
                self.overload()
                self.guard._cron_guard()
                self.assertEqual(self.commands()[-1], ("open", "overload"))
                self.carried_out()
                self.guard._cron_guard()
            with freeze_time(moment + timedelta(minutes=9)):
                self.guard._cron_guard()
                self.assertEqual(self.commands()[-1], ("open", "overload"), "the pause is not over")
            moment += timedelta(minutes=11)
            with freeze_time(moment):
                self.guard._cron_guard()
                self.assertEqual(self.commands()[-1], ("closed", "overload"))
                self.carried_out()
            moment += timedelta(minutes=1)
        with freeze_time(moment):
            self.overload()
            self.guard._cron_guard()
            self.carried_out()
        with freeze_time(moment + timedelta(minutes=11)):
            self.guard._cron_guard()
            self.guard._cron_guard()
        self.assertEqual(len(self.commands()), 5, "two recoveries in an hour, then it stays off")
        self.assertEqual(self.commands()[-1], ("open", "overload"))
        activity = self.meter.activity_ids
        self.assertEqual(len(activity), 1)
        self.assertEqual(activity.user_id, self.operator)

    def test_relay_moves_at_most_six_times_a_day(self):
        self.parameters._request(self.meter, "overload", 3000)
        self.company.prepay_recoveries_per_hour = 6
        start = fields.Datetime.now().replace(hour=3)
        for turn in range(12):
            with freeze_time(start + timedelta(minutes=6 * turn)):
                self.overload()
                self.guard._cron_guard()
                if self.meter.command_state == "queued":
                    self.carried_out()
        self.assertEqual(len(self.commands()), 6)
        self.assertTrue(self.meter.activity_ids)

    def test_nothing_is_cut_without_the_right_to(self):
        cases = {
            "the company only wants the journal": lambda: self.company.write(
                {"prepay_load_guard": "journal"}
            ),
            "the supply is guaranteed": lambda: self.meter.write({"is_protected": True}),
            "the meter does it itself": lambda: self.profile.control_ids.filtered(
                lambda control: control.action == "overload"
            ).write({"writable": True}),
            "the evidence is old": lambda: (
                self.env["prepay.meter.event"]
                .search([("meter_id", "=", self.meter.id)])
                .write({"last_at": fields.Datetime.now() - timedelta(minutes=11)})
            ),
            "no limit is set": lambda: self.parameters._request(self.meter, "overload", 0),
            "it is off already": lambda: self.reported(self.meter, "open"),
        }
        for why, change in cases.items():
            with self.subTest(why), self.env.cr.savepoint() as savepoint:
                self.parameters._request(self.meter, "overload", 3000)
                self.overload()
                change()
                self.guard._cron_guard()
                self.assertFalse(self.meter.command_ids)
                savepoint.rollback()
                self.env.invalidate_all()
        self.parameters._request(self.meter, "overload", 3000)
        self.overload()
        self.guard._cron_guard()
        self.assertEqual(self.commands(), [("open", "overload")])

    def test_malicious_load_is_cut_under_its_own_limit(self):
        self.overload("malicious_load")
        self.guard._cron_guard()
        self.assertFalse(self.commands())
        self.parameters._request(self.meter, "malicious", 1000)
        self.guard._cron_guard()
        self.assertEqual(self.commands(), [("open", "overload")])
        self.assertIn("Malicious load", self.meter.command_ids.reason)

    def test_an_arrears_cut_is_never_undone(self):
        self.parameters._request(self.meter, "overload", 3000)
        self.overload()
        self.guard._cron_guard()
        self.carried_out()
        self.meter._request_relay("open", "arrears", "balance used up")
        self.carried_out()
        with freeze_time(fields.Datetime.now() + timedelta(minutes=30)):
            self.guard._cron_guard()
        self.assertEqual(self.commands()[-1], ("open", "arrears"))

    # time control; the place is Asia/Shanghai, eight hours ahead of UTC

    def at(self, text):
        """Let the guard work at a local time."""
        local = fields.Datetime.from_string(f"2026-11-{text}:00")
        return freeze_time(local - timedelta(hours=8))

    def tick(self, text):
        with self.at(text):
            self.guard._cron_guard()
            if self.meter.command_state == "queued":
                self.carried_out()

    def test_hours_of_supply_in_the_time_of_the_place(self):
        with self.at("23 22:00"):
            self.parameters._request(self.meter, "time_control", document=HOURS)
        self.tick("23 22:59")
        self.assertFalse(self.commands())
        self.tick("23 23:00")
        self.assertEqual(self.commands(), [("open", "schedule")])
        self.tick("24 05:49")
        self.assertEqual(len(self.commands()), 1)
        self.tick("24 05:50")
        self.assertEqual(self.commands()[-1], ("closed", "schedule"))
        command = self.meter.command_ids.sorted("epoch")[-1]
        spread = (command.not_before - command.requested_at).total_seconds()
        self.assertTrue(0 <= spread < 300, "a dormitory does not come back in one second")

    def test_what_a_person_switches_on_at_night_stays_on(self):
        with self.at("23 22:00"):
            self.parameters._request(self.meter, "time_control", document=HOURS)
        self.tick("23 23:00")
        with self.at("23 23:30"):
            self.meter._request_relay("closed", "operator", "fever")
            self.carried_out()
        self.tick("23 23:31")
        self.assertEqual(self.commands()[-1], ("closed", "operator"))
        self.tick("24 23:00")
        self.assertEqual(self.commands()[-1], ("open", "schedule"), "the next night is another one")

    def test_a_payment_at_night_does_not_undo_the_hours(self):
        with self.at("23 22:00"):
            self.parameters._request(self.meter, "time_control", document=HOURS)
        with self.at("23 23:30"):
            self.meter._request_relay("closed", "restore", "paid")
            self.carried_out()
        self.tick("23 23:31")
        self.assertEqual(self.commands()[-1], ("open", "schedule"))

    def test_hours_never_undo_an_arrears_cut(self):
        with self.at("23 22:00"):
            self.parameters._request(self.meter, "time_control", document=HOURS)
            self.meter._request_relay("open", "arrears", "balance used up")
            self.carried_out()
        for moment in ("23 23:00", "24 05:50", "24 12:00"):
            self.tick(moment)
        self.assertEqual(self.commands(), [("open", "arrears")])

    def test_a_guarantee_brings_the_supply_back(self):
        with self.at("23 22:00"):
            self.parameters._request(self.meter, "time_control", document=HOURS)
        self.tick("23 23:00")
        self.meter.is_protected = True
        self.tick("23 23:01")
        self.assertEqual(self.commands()[-1], ("closed", "schedule"))
        self.tick("23 23:02")
        self.assertEqual(self.commands()[-1], ("closed", "schedule"))

    def test_the_end_of_a_time_control_brings_the_supply_back(self):
        with self.at("23 22:00"):
            self.parameters._request(self.meter, "time_control", document=HOURS)
        self.tick("23 23:00")
        self.parameters._request(self.meter, "time_control", document=[])
        self.tick("23 23:01")
        self.assertEqual(self.commands()[-1], ("closed", "schedule"))

    def test_an_expired_cut_is_wished_again_and_no_move(self):
        with self.at("23 22:00"):
            self.parameters._request(self.meter, "time_control", document=HOURS)
        with self.at("23 23:00"):
            self.guard._cron_guard()
        self.env.cr.execute("UPDATE prepay_meter_command SET state = 'expired'")
        self.env.invalidate_all()
        self.tick("23 23:10")
        self.assertEqual(self.commands(), [("open", "schedule")] * 2)

    def test_recovery_waits_for_the_end_of_the_night(self):
        with self.at("23 22:00"):
            self.parameters._request(self.meter, "time_control", document=HOURS)
            self.parameters._request(self.meter, "overload", 3000)
        with self.at("23 22:55"):
            self.overload()
        self.tick("23 22:56")
        self.assertEqual(self.commands(), [("open", "overload")])
        self.tick("23 23:10")
        self.assertEqual(self.commands(), [("open", "overload")])
        self.tick("24 05:51")
        self.assertEqual(self.commands()[-1], ("closed", "overload"))
