from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, tagged
from odoo.tools import mute_logger
from psycopg2.errors import UniqueViolation

from .common import SmsCommon


@tagged("post_install", "-at_install")
class TestNotice(SmsCommon):
    def test_a_crossing_tells_once(self):
        self._pay(self.account, 100)
        self._use(self.account, 85)
        self.account._evaluate_supply()
        self.account._evaluate_supply()
        notice = self._notices(self.account, "alarm1")
        self.assertEqual(len(notice), 1)
        self.assertEqual(
            (notice.state, notice.number, notice.attempts), ("queued", "13800000001", 1)
        )
        self.assertIn("A-1: 15.00 CNY", notice.body)
        self.assertEqual(notice.sms_id.state, "outgoing")
        self.assertEqual(notice.sms_id.prepay_company_id, self.company)

    def test_nothing_leaves_inside_the_transaction(self):
        self._start(self.account)
        self.assertFalse(self.gateway.requests)

    def test_a_fall_over_several_levels_tells_the_last_only(self):
        self._pay(self.account, 100)
        self._use(self.account, 100)
        self.assertEqual(self._notices(self.account).mapped("kind"), ["topup", "final"])

    def test_recovery_begins_a_new_round(self):
        self._start(self.account)
        self._pay(self.account, 100)
        self._use(self.account, 96)
        notices = self._notices(self.account, "alarm1", "alarm2")
        self.assertEqual(notices.mapped("kind"), ["alarm2", "alarm2"])
        self.assertEqual(notices.mapped("round"), [0, 1])

    def test_overdraft_tells_arrears_and_final(self):
        self.policy.cut_at = -10
        self.policy.restore_above = 0
        self._pay(self.account, 100)
        self._use(self.account, 101)
        self._use(self.account, 10)
        self.assertEqual(
            self._notices(self.account, "arrears", "final").mapped("kind"), ["arrears", "final"]
        )

    def test_a_payment_tells_once(self):
        topup = self._pay(self.account, 50)
        topup._credit()
        notice = self._notices(self.account)
        self.assertEqual(notice.mapped("kind"), ["topup"])
        self.assertIn("50.00 CNY received, 50.00 CNY available", notice.body)

    def test_signature(self):
        self.company.prepay_sms_signature = "【宿舍】"
        self._pay(self.account, 50)
        self.assertTrue(self._notices(self.account).body.startswith("【宿舍】Room A-1"))

    def test_the_language_of_the_person(self):
        self.env["res.lang"]._activate_lang("zh_CN")
        template = self.env.ref("prepay_sms.template_topup")
        template.update_field_translations("body", {"zh_CN": "{room}房间：收到{amount}元"})
        self.account.partner_id.lang = "zh_CN"
        self._pay(self.account, 50)
        self.assertEqual(self._notices(self.account).body, "A-1房间：收到50.00元")

    def test_the_key_is_unique_in_the_database(self):
        notice = self._start(self.account)
        with (
            self.assertRaises(UniqueViolation),
            mute_logger("odoo.sql_db"),
            self.env.cr.savepoint(),
        ):
            notice.copy({"key": notice.key})

    def test_switched_off_tells_nothing(self):
        self.company.prepay_sms_enabled = False
        self._start(self.account)
        self.assertFalse(self._notices(self.account))

    def test_the_present_level_is_told_later(self):
        self.company.prepay_sms_enabled = False
        self._start(self.account)
        self.company.prepay_sms_enabled = True
        account = self.account.with_user(self.operator)
        account.action_notify_level()
        account.action_notify_level()
        self.assertEqual(self._notices(self.account).mapped("kind"), ["alarm2"])

    def test_only_operators_send(self):
        notice = self._start(self.account)
        with self.assertRaises(AccessError):
            self.account.with_user(self.cashier).action_notify_level()
        with self.assertRaises(AccessError):
            notice.with_user(self.cashier).action_resend()
        with self.assertRaises(UserError):
            notice.with_user(self.operator).action_resend()  # it is queued already

    def test_company_without_provider(self):
        self.company.prepay_sms_provider = False
        notice = self._start(self.account)
        self.assertEqual((notice.state, notice.failure), ("failed", "no_provider"))
        self.assertFalse(notice.sms_id)

    def test_no_number_then_resend(self):
        self.account.partner_id.phone = False
        notice = self._start(self.account)
        self.assertEqual((notice.state, notice.failure), ("failed", "no_number"))
        self.account.partner_id.phone = "0755-1234"
        notice.with_user(self.operator).action_resend()
        self.assertEqual((notice.state, notice.failure), ("failed", "bad_number"))
        self.account.partner_id.phone = "13800000009"
        notice.with_user(self.operator).action_resend()
        self.assertEqual((notice.state, notice.number), ("queued", "13800000009"))
        self._run_queue()
        self.assertEqual(notice.state, "sent")

    def test_what_is_not_true_any_more_is_not_sent(self):
        notice = self._start(self.account)
        self._pay(self.account, 100)
        self._run_queue()
        self.assertEqual((notice.state, notice.failure), ("failed", "outdated"))
        self.assertEqual(notice.sms_id.state, "canceled")
        self.assertNotIn(notice.uuid, [message["uuid"] for message in self.gateway.messages])
        self.assertFalse(notice.can_resend)

    def test_cut_and_restore_are_told(self):
        self.policy.notice_required = False
        self._pay(self.account, 10)
        self._use(self.account, 10)
        self.assertEqual(self._notices(self.account, "cut", "restored").mapped("kind"), ["cut"])
        self._pay(self.account, 10)
        self.assertEqual(
            self._notices(self.account, "cut", "restored").mapped("kind"), ["cut", "restored"]
        )

    def test_delivered_final_notice_lets_the_policy_act(self):
        self._pay(self.account, 10)
        self._use(self.account, 10)
        self._run_queue()
        final = self._notices(self.account, "final")
        self.assertEqual(final.state, "sent")
        self.assertFalse(self.account.notice_at)
        (decision,) = self.account._decide().values()
        self.assertEqual(decision.blocked_by, ("notice",))
        self._receipt(final, "delivered")
        self.assertEqual(self.account.notice_at, final.delivered_at)
        (decision,) = self.account._decide().values()
        self.assertEqual(decision.action, "open")

    def test_late_receipt_counts_for_its_own_arrears_only(self):
        self._pay(self.account, 10)
        self._use(self.account, 10)
        self._run_queue()
        final = self._notices(self.account, "final")
        self._pay(self.account, 10)
        self._use(self.account, 10)
        self._receipt(final, "delivered")
        self.assertEqual(final.state, "delivered")
        self.assertTrue(self.account.due_since)
        self.assertFalse(self.account.notice_at)

    def test_other_notices_do_not_count_as_final(self):
        self._pay(self.account, 10)
        self._use(self.account, 10)
        self._run_queue()
        self._receipt(self._notices(self.account, "topup"), "delivered")
        self.assertFalse(self.account.notice_at)

    def _receipt(self, notice, state):
        self.env["prepay.notice"]._apply_receipts(
            self.company, [{"uuid": notice.uuid, "state": state}]
        )

    def test_number_is_masked_for_readers(self):
        notice = self._start(self.account)
        self.assertEqual(notice.with_user(self.operator).number, "13800000001")
        seen = notice.with_user(self.cashier)
        self.assertEqual(seen.number_masked, "138****0001")
        with self.assertRaises(AccessError):
            seen.read(["number"])
        with self.assertRaises(AccessError):
            seen.search([("number", "=", "13800000001")])

    def test_nobody_writes_notices(self):
        notice = self._start(self.account)
        for user in (self.operator, self.cashier):
            for operation in ("write", "create", "unlink"):
                self.assertFalse(notice.with_user(user).has_access(operation))

    def test_companies_do_not_see_each_other(self):
        self._policy(self.other_company)
        self._switch_on(self.other_company, "secret-2")
        other = self._account(self.other_company, "B-1", "13800000002")
        notice = self._start(other)
        self.assertEqual(notice.company_id, self.other_company)
        self.assertFalse(
            self.env["prepay.notice"].with_user(self.operator).search([("id", "=", notice.id)])
        )
        with self.assertRaises(AccessError):
            notice.with_user(self.operator).action_resend()

    def test_smart_button(self):
        self._start(self.account)
        form = Form(self.account.with_user(self.operator))
        self.assertEqual(form.notice_count, 2)
        action = self.account.with_user(self.operator).action_open_notices()
        found = self.env["prepay.notice"].with_user(self.operator).search(action["domain"])
        self.assertEqual(found, self._notices(self.account))

    def test_gateway_settings_are_checked(self):
        for url in (
            "http://sms.example.com/",
            "ftp://sms.example.com",
            "https://a:b@sms.example.com",
            "sms",
        ):
            with self.assertRaises(ValidationError):
                self.company.prepay_sms_http_url = url
        self.company.prepay_sms_http_url = "https://sms.example.com/send"
        for secret in ("two\nlines", "短信", " edge"):
            with self.assertRaises(ValidationError):
                self.company.prepay_sms_http_secret = secret

    def test_each_company_has_its_own_token(self):
        self._switch_on(self.other_company, "secret-2")
        tokens = (self.company | self.other_company).mapped("prepay_sms_receipt_token")
        self.assertEqual(len(set(tokens)), 2)
        self.assertTrue(all(len(token) > 30 for token in tokens))
        with self.assertRaises(AccessError):
            self.company.with_user(self.operator).read(["prepay_sms_receipt_token"])
