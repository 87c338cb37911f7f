from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from .common import DormitoryCommon


@tagged("post_install", "-at_install")
class TestAccount(DormitoryCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.meter = cls._meter(cls.room, "HR-1")

    def test_open_account_for_the_employee(self):
        tariff = self._tariff(self.company)
        stay = self._stay(self.ann)
        self.assertFalse(stay.has_account)
        stay.action_open_account()
        account = self.room._open_accounts()
        self.assertEqual(account.partner_id, self.ann.work_contact_id)
        self.assertEqual(account.meter_ids, self.meter)
        self.assertEqual(account.supply_ids.tariff_id, tariff)
        self.assertEqual(account.create_uid, self.staff)
        opening = account.opening_ids
        self.assertEqual((opening.state, opening.opened_by_id), ("done", self.staff))
        self.assertEqual(account.supply_ids.opening_register, 1234)
        stay.invalidate_recordset()
        self.assertEqual((stay.has_account, stay.account_number), (True, account.number))
        with self._refused(f"already has the open account {account.number}", UserError):
            stay.action_open_account()

    def test_what_the_check_list_refuses_stays_a_preset(self):
        """A meter without a reading: the preset waits, and the same button opens it later."""
        self._tariff(self.company)
        meter = self._meter(self.room2, "HR-9", read=False)
        stay = self._stay(self.ann, self.room2)
        notice = stay.action_open_account()["params"]
        opening = self.env["prepay.opening"].search([("location_id", "=", self.room2.id)])
        self.assertEqual((notice["type"], opening.state), ("warning", "draft"))
        self.assertIn(opening.number, notice["message"])
        self.assertIn("HR-9 has no reading yet", notice["message"])
        self.assertFalse(self.room2._open_accounts())
        self._read(meter)
        self.assertEqual(stay.action_open_account()["params"]["type"], "success")
        self.assertEqual((opening.state, opening.account_id.meter_ids), ("done", meter))

    def test_no_tariff(self):
        with self._refused("Dormitory company has no tariff for Electricity", UserError):
            self._stay(self.ann).action_open_account()

    def test_several_tariffs_need_a_default(self):
        tariffs = self._tariff(self.company, "One") + self._tariff(self.company, "Two")
        self._tariff(self.other_company, "Three")
        stay = self._stay(self.ann)
        with self._refused("several tariffs for Electricity: One, Two", UserError):
            stay.action_open_account()
        self.company.prepay_hr_electricity_tariff_id = tariffs[1]
        stay.action_open_account()
        self.assertEqual(self.room._open_accounts().supply_ids.tariff_id, tariffs[1])

    def test_no_meter(self):
        self._tariff(self.company)
        with self._refused("R-2 has no free meter", UserError):
            self._stay(self.ann, self.room2).action_open_account()

    def test_no_contact(self):
        self._tariff(self.company)
        self.ann.work_contact_id = False
        with self._refused("Ann has no work contact", UserError):
            self._stay(self.ann).action_open_account()

    def test_who_has_left_gets_none(self):
        self._tariff(self.company)
        stay = self._stay(self.ann, start=self._day(-2), end=self._day(-1))
        with self._refused("Ann has left", UserError):
            stay.action_open_account()

    def test_only_staff_opens(self):
        self._tariff(self.company)
        stay = self._stay(self.ann)
        officer = self._user("dorm_officer", self.company, "hr.group_hr_user")
        for user in (officer, self.accountant):
            with self.assertRaises(AccessError):
                stay.with_user(user).action_open_account()
        foreign = self._user("dorm_foreign", self.other_company, "prepay_hr.group_dormitory")
        with self.assertRaises(AccessError):
            stay.with_user(foreign).action_open_account()
