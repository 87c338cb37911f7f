from odoo.tests import Form, tagged

from .common import DormitoryCommon


@tagged("post_install", "-at_install")
class TestDeparture(DormitoryCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._meter(cls.room, "HR-2")
        cls._tariff(cls.company)

    def _with_account(self, employee, **values):
        stay = self._stay(employee, **values)
        stay.action_open_account()
        return stay, self.room._open_accounts()

    def test_archiving_ends_stays_and_asks_for_the_settlement(self):
        stay, account = self._with_account(self.ann, start=self._day(-5))
        stay.check_out = self._day(9)
        planned = self._stay(self.ann, self.room2, start=self._day(9), end=self._day(20))
        account.activity_ids.unlink()
        officer = self._user("dorm_officer", self.company, "hr.group_hr_manager")
        self.ann.with_user(officer).action_archive()
        self.assertEqual((stay.check_out, stay.state), (self.today, "left"))
        self.assertEqual(planned.check_out, planned.check_in)

    def test_the_activity(self):
        stay, account = self._with_account(self.ann)
        self.ann.action_archive()
        activity = account.activity_ids
        self.assertEqual(len(activity), 1)
        self.assertEqual(activity.user_id, self.accountant)
        self.assertEqual(activity.date_deadline, self.today)
        self.assertIn("Ann leaves R-1, bed 1", activity.note)
        self.assertEqual(stay.sudo().settlement_activity_id, activity)

    def test_chosen_person_gets_the_activity(self):
        chosen = self._user("dorm_chosen", self.company, "prepay_billing.group_cashier")
        self.company.prepay_hr_settlement_user_id = chosen
        _stay, account = self._with_account(self.ann)
        self.ann.action_archive()
        self.assertEqual(account.activity_ids.user_id, chosen)

    def test_nobody_to_settle(self):
        self.accountant.active = False
        group = self.env.ref("prepay_billing.group_accountant")
        group.all_user_ids.filtered(lambda user: self.company in user.company_ids).write(
            {"company_ids": [(3, self.company.id)]}
        )
        _stay, account = self._with_account(self.ann)
        self.ann.action_archive()
        self.assertEqual(len(account.activity_ids), 1)
        self.assertFalse(account.activity_ids.user_id)

    def test_departure_on_a_later_day(self):
        stay, account = self._with_account(self.ann)
        wizard = Form(
            self.env["hr.departure.wizard"]
            .with_company(self.company)
            .with_context(active_ids=self.ann.ids, employee_termination=True)
        )
        wizard.departure_date = self._day(7)
        wizard.save().action_register_departure()
        self.assertFalse(self.ann.active)
        self.assertEqual((stay.check_out, stay.state), (self._day(7), "present"))
        self.assertEqual(account.activity_ids.date_deadline, self._day(7))

    def test_departure_in_the_past(self):
        stay, account = self._with_account(self.ann, start=self._day(-9))
        self.ann.action_archive()
        self.ann.departure_date = self._day(-3)
        self.assertEqual(stay.check_out, self._day(-3))
        self.assertEqual(len(account.activity_ids), 1)

    def test_a_roommate_leaves(self):
        """The account goes on: its holder stays."""
        _stay, account = self._with_account(self.ann)
        self._stay(self.bob, bed="2")
        self.bob.action_archive()
        self.assertFalse(account.activity_ids)

    def test_the_last_one_leaves(self):
        _stay, account = self._with_account(self.ann)
        account.partner_id = self.env["res.partner"].create({"name": "Team"})
        other = self._stay(self.bob, bed="2")
        self.ann.action_archive()
        self.assertFalse(account.activity_ids)
        other.action_check_out()
        self.assertEqual(len(account.activity_ids), 1)

    def test_another_bed_of_the_room_is_no_move_out(self):
        _stay, account = self._with_account(self.ann, start=self._day(-5))
        wizard = self.env["prepay.check.in.wizard"].with_user(self.staff)
        form = Form(wizard.with_context(default_employee_id=self.ann.id))
        form.location_id = self.room
        form.bed = "2"
        form.save().action_check_in()
        self.assertFalse(account.activity_ids)
        form = Form(wizard.with_context(default_employee_id=self.bob.id))
        form.location_id = self.room
        self.assertEqual(form.bed, "1")

    def test_coming_back_does_not_reopen_stays(self):
        stay, _account = self._with_account(self.ann)
        self.ann.action_archive()
        self.ann.action_unarchive()
        self.assertEqual(stay.state, "left")
