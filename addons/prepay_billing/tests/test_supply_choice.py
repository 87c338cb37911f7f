"""Which policy holds, who is protected, and what operator and tenant are told."""

from datetime import date, datetime, timedelta, timezone

from odoo.exceptions import ValidationError
from odoo.tests import tagged

from .common import BillingCase


@tagged("post_install", "-at_install")
class TestSupplyChoice(BillingCase):
    def setUp(self):
        super().setUp()
        self.reported(self.meter, "closed")

    def use_up(self):
        self.topup(10)
        self.read(120, 5.9)
        self.rate()
        self.account._update_levels()

    def decide(self, now=None):
        return self.account._decide(now)[self.meter]

    def named(self, name, **vals):
        return self.policy.copy({"name": name, **vals})

    def test_the_nearest_policy_holds(self):
        """Account, room, type of room, places above from the nearest up, company."""
        self.assertEqual(self.account.effective_policy_id, self.policy)
        building = self.env["prepay.location"].create(
            {"name": "B", "kind": "building", "parent_id": self.project.id}
        )
        self.room.parent_id = building
        kind = self.env["prepay.room.type"].create({"name": "Six beds"})
        self.room.room_type_id = kind
        for record, name in (
            (self.project, "site"),
            (building, "building"),
            (kind, "type"),
            (self.room, "room"),
            (self.account, "account"),
        ):
            record.policy_id = self.named(name)
            self.account.invalidate_recordset()
            self.assertEqual(self.account.effective_policy_id.name, name)
        self.company.prepay_policy_id = False
        self.assertEqual(self.account.effective_policy_id.name, "account")

    def test_a_policy_of_the_site_cuts_and_another_keeps(self):
        self.use_up()
        self.project.policy_id = self.named("credit", cut_at=-500)
        self.assertFalse(self.account._evaluate_supply())
        self.assertEqual(self.account.level, "arrears")
        self.project.policy_id = False
        self.assertTrue(self.account._evaluate_supply())

    def test_weather_flag_of_the_site(self):
        self.use_up()
        today = date.today()
        self.project.write({"no_cut_weather": "heat", "no_cut_until": today + timedelta(days=1)})
        decision = self.decide()
        self.assertEqual(decision.blocked_by, ("weather",))
        self.assertIn("Heat", self.account._decision_reasons(decision)[0])
        self.assertFalse(self.account._evaluate_supply())
        self.project.no_cut_until = today - timedelta(days=1)
        self.assertFalse(self.decide().blocked_by, "the flag ends by itself")
        self.project.no_cut_until = today + timedelta(days=1)
        self.policy.weather_protection = False
        self.assertFalse(self.decide().blocked_by)

    def test_weather_flag_of_another_site_says_nothing_here(self):
        self.use_up()
        other = self.env["prepay.location"].create({"name": "Other", "kind": "project"})
        other.write({"no_cut_weather": "cold", "no_cut_until": date.today()})
        self.assertFalse(self.decide().blocked_by)

    def test_weather_flag_needs_its_last_day(self):
        with self.assertRaises(ValidationError) as caught:
            self.project.no_cut_weather = "typhoon"
        self.assertIn("last day", str(caught.exception))

    def test_a_guaranteed_person_is_not_cut(self):
        self.use_up()
        self.tenant.write({"prepay_protected": True, "prepay_protected_reason": "oxygen"})
        decision = self.decide()
        self.assertEqual(decision.blocked_by, ("protected",))
        self.assertIn("oxygen", self.account._decision_reasons(decision)[0])

    def test_no_cut_until_ends_by_itself(self):
        self.use_up()
        now = datetime.now(timezone.utc)
        self.account.write(
            {
                "no_cut_until": now.replace(tzinfo=None) + timedelta(hours=1),
                "no_cut_reason": "pays on Friday",
            }
        )
        self.assertEqual(self.decide().blocked_by, ("protected",))
        self.account.no_cut_until = now.replace(tzinfo=None) - timedelta(seconds=1)
        self.assertFalse(self.decide().blocked_by)

    def test_days_off_of_the_place(self):
        self.policy.working_days_only = True
        self.use_up()
        saturday = datetime(2025, 6, 7, 4, tzinfo=timezone.utc)
        self.assertIn("working_day", self.decide(saturday).blocked_by)
        wednesday = datetime(2025, 6, 4, 4, tzinfo=timezone.utc)
        blocked = self.decide(wednesday).blocked_by
        self.assertNotIn("working_day", blocked)
        self.assertNotIn("holiday_eve", blocked)

    def test_holidays_come_from_the_calendar_of_the_place(self):
        self.policy.working_days_only = True
        self.use_up()
        days = [(0, 0, {"date": date(2025, 6, 5), "day_type": "holiday"})]
        calendar = self.env["prepay.calendar"].create({"name": "Own", "day_ids": days})
        self.account.location_id.calendar_id = calendar
        eve = datetime(2025, 6, 4, 4, tzinfo=timezone.utc)
        self.assertIn("holiday_eve", self.decide(eve).blocked_by)
        self.assertIn("working_day", self.decide(eve + timedelta(days=1)).blocked_by)
        self.policy.before_holidays = False
        self.assertNotIn("holiday_eve", self.decide(eve).blocked_by)

    def test_a_clock_that_stood_still_cuts_nobody(self):
        from odoo.addons.prepay_billing.models import prepay_account_evidence as module

        self.use_up()
        self.account._clock_skew()
        wall, counted = module._last_look[0]
        module._last_look[0] = (wall, counted - 3600)
        self.assertEqual(self.decide().blocked_by, ("clock",))
        self.assertFalse(self.decide().blocked_by, "it goes again")

    def able(self):
        """The meter's type can limit the power."""
        profile = (
            self.env["prepay.meter.control"]
            .search(
                [("action", "=", "overload"), ("profile_id.medium", "=", "electricity")], limit=1
            )
            .profile_id
        )
        profile.control_ids.filtered(lambda item: item.action == "overload").writable = True
        meter = self._meter("E-1", "7", profile_id=profile.id, overload_w=5000)
        self.reported(meter, "closed")
        account = self._account(meter)
        self.topup(10, account)
        self.read(120, 5.9, meter)
        self.rate()
        return account, meter

    def test_limit_instead_of_cut(self):
        account, meter = self.able()
        self.policy.essential_w = 600
        decision = account._evaluate_supply()
        self.assertEqual(decision.action, "limit")
        self.assertFalse(meter.command_ids)
        self.assertEqual((meter.essential_on, meter.overload_w), (True, 600))
        wish = meter.parameter_ids.filtered(lambda row: row.kind == "overload")
        self.assertEqual((wish.desired, wish.state), (600, "queued"))
        self.assertFalse(account._evaluate_supply(), "limited once")
        self.assertIn("600", account._tenant_reasons()[0])
        self.topup(100, account)
        self.assertEqual((meter.essential_on, meter.overload_w), (False, 5000))
        self.assertEqual(account.decision_ids.sorted("id").mapped("action"), ["limit", "release"])

    def test_a_meter_that_cannot_limit_is_cut(self):
        self.policy.essential_w = 600
        self.use_up()
        self.assertEqual(self.account._evaluate_supply().action, "open")

    def test_operator_reads_reasons_in_plain_words(self):
        self.policy.write({"grace_minutes": 600, "notice_required": True})
        self.use_up()
        self.account._evaluate_supply()
        words = str(self.account.checks_html)
        self.assertIn("The grace is not over", words)
        self.assertIn("The final notice was not delivered", words)
        self.assertNotIn("notice_at", words)

    def test_tenant_reads_what_to_do(self):
        self.topup(100)
        self.assertIn("The balance is enough: CNY 100.00.", self.account._tenant_reasons())
        self.read(120, 5.0)
        self.read(260, 5.9)
        self.rate()
        decision = self.account._evaluate_supply()
        self.assertTrue(decision)
        self.confirm(decision.command_id)
        self.account.invalidate_recordset()
        lines = self.account._tenant_reasons()
        self.assertIn("off because the balance is used up", lines[0])
        self.assertIn("returns by itself", lines[0])

    def test_tenant_knows_when_a_cut_may_come(self):
        self.policy.write(
            {"any_time": False, "window_start": 10, "window_end": 16, "working_days_only": True,
             "notice_required": True}
        )  # fmt: skip
        self.use_up()
        self.account._evaluate_supply()
        self.assertIn("between 10:00 and 16:00 on working days", self.account._tenant_reasons()[1])
        self.account.is_protected = True
        self.assertIn("guaranteed", self.account._tenant_reasons()[1])

    def test_contradictory_policies_are_refused_with_the_remedy(self):
        for vals, words in (
            ({"any_time": False, "window_start": 21, "window_end": 23}, "lies in the night"),
            ({"any_time": False, "window_start": 0, "window_end": 0}, "window is empty"),
            ({"any_time": False, "night_start": 8, "night_end": 8}, "same hour"),
            ({"alarm1_days": 1, "alarm2_days": 3}, "above alarm 1"),
            ({"alarm1_percent": -3}, "must not be negative"),
            ({"essential_w": -1}, "must not be negative"),
            ({"night_start": 24}, "hours lie between"),
        ):
            with self.assertRaises(ValidationError) as caught, self.env.cr.savepoint():
                self.policy.write(vals)
            self.assertIn(words, str(caught.exception))
