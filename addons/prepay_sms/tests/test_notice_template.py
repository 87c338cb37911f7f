from odoo.exceptions import AccessError, ValidationError
from odoo.tests import tagged

from .common import SmsCommon


@tagged("post_install", "-at_install")
class TestNoticeTemplate(SmsCommon):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.template = cls.env.ref("prepay_sms.template_alarm1")

    def test_unknown_name_is_refused_by_name(self):
        with self.assertRaisesRegex(ValidationError, r"\{rom\} is not known"):
            self.template.body = "Room {rom}"

    def test_nothing_but_names(self):
        for body in (
            "{room.name}",
            "{room.__class__}",
            "{room!r}",
            "{amount:>9999999}",
            "{0}",
            "{}",
            "{room[0]}",
        ):
            with self.assertRaises(ValidationError):
                self.template.body = body

    def test_lonely_brace(self):
        with self.assertRaisesRegex(ValidationError, "no partner"):
            self.template.body = "Room {room"

    def test_translations_are_checked_too(self):
        self.env["res.lang"]._activate_lang("zh_CN")
        with self.assertRaisesRegex(ValidationError, r"zh_CN.*\{房间\}"):
            self.template.update_field_translations("body", {"zh_CN": "{房间}余额不足"})
        self.template.update_field_translations("body", {"zh_CN": "{room}余额不足"})

    def test_values_are_not_evaluated(self):
        self.account.location_id.name = "{amount} ${object.env} <t t-out='1'/> A-9"
        self.template.body = "{room}: {available}"
        self._pay(self.account, 100)
        self._use(self.account, 85)
        self.assertEqual(
            self._notices(self.account, "alarm1").body,
            "{amount} ${object.env} <t t-out='1'/> A-9: 15.00",
        )

    def test_own_text_of_a_company(self):
        self.template.copy({"company_id": self.company.id, "body": "own {room}"})
        self._pay(self.account, 100)
        self._use(self.account, 85)
        self.assertEqual(self._notices(self.account, "alarm1").body, "own A-1")

    def test_without_a_text_nothing_is_sent(self):
        self.template.active = False
        self._pay(self.account, 100)
        self._use(self.account, 85)
        notice = self._notices(self.account, "alarm1")
        self.assertEqual((notice.state, notice.failure), ("failed", "no_template"))
        self.template.active = True
        notice.with_user(self.operator).action_resend()
        self.assertEqual(notice.state, "queued")
        self.assertIn("15.00", notice.body)

    def test_preview_and_parts(self):
        self.template.body = "Room {room}: " + "余" * 60
        self.assertEqual(self.template.parts, 2)
        self.assertIn("Room A-101: 余", self.template.preview)

    def test_only_administrators_change_texts(self):
        with self.assertRaises(AccessError):
            self.template.with_user(self.operator).body = "Room {room}"
        admin = self._user("sms_admin", "prepay_meter.group_admin")
        self.template.with_user(admin).body = "Room {room}"
