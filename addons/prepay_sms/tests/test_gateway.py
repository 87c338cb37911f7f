from unittest.mock import patch

from odoo.tests import tagged

from ..tools import sms_api
from .common import SmsCommon


@tagged("post_install", "-at_install")
class TestGateway(SmsCommon):
    """The queue against a real HTTP server on a loopback port."""

    def test_success(self):
        notice = self._start(self.account)
        self._run_queue()
        self.assertEqual((notice.state, notice.failure), ("sent", False))
        self.assertTrue(notice.sent_at)
        ((_path, headers, body),) = self.gateway.requests
        self.assertEqual(headers["X-Api-Key"], "secret-1")
        self.assertEqual(body["report_url"], self.company.prepay_sms_receipt_url)
        message = next(item for item in body["messages"] if item["uuid"] == notice.uuid)
        self.assertEqual(
            message, {"uuid": notice.uuid, "number": "13800000001", "text": notice.body}
        )
        self.assertTrue(notice.sms_id.to_delete)
        notice.sms_id.unlink()
        self.assertEqual(notice.state, "sent")

    def test_delivered_at_once(self):
        self.gateway.refuse("13800000001", "delivered", "")
        notice = self._start(self.account)
        self._run_queue()
        self.assertEqual(notice.state, "delivered")
        self.assertTrue(notice.sent_at)

    def test_refusal_of_one_number(self):
        neighbour = self._account(self.company, "A-2", "13800000002")
        self.gateway.refuse("13800000002", "bad_number", "空号")
        good, bad = self._start(self.account), self._start(neighbour)
        self._run_queue()
        self.assertEqual(good.state, "sent")
        self.assertEqual(
            (bad.state, bad.failure, bad.failure_detail), ("failed", "bad_number", "空号")
        )
        self.assertEqual(
            (bad.sms_id.state, bad.sms_id.failure_type), ("error", "sms_number_format")
        )

    def test_every_answer_of_the_table(self):
        cases = {
            "no_credit": "credit",
            "rate_limited": "rate",
            "blocked": "blocked",
            "rejected": "refused",
            "never heard of": "no_answer",
        }
        for index, (state, failure) in enumerate(cases.items()):
            with self.subTest(state):
                account = self._account(self.company, f"C-{index}", f"1380000001{index}")
                self.gateway.refuse(f"1380000001{index}", state, None)
                notice = self._start(account)
                self._run_queue()
                self.assertEqual((notice.state, notice.failure), ("failed", failure))

    def test_time_out(self):
        self.company.prepay_sms_http_timeout = 1
        self.gateway.answer = self.gateway.hang
        notice = self._start(self.account)
        self._run_queue()
        self.assertEqual((notice.state, notice.failure), ("failed", "no_answer"))
        self.assertEqual(len(self.gateway.requests), 1)
        # The gateway had it after all: its receipt is the proof.
        self.env["prepay.notice"]._apply_receipts(
            self.company, [{"uuid": notice.uuid, "state": "delivered"}]
        )
        self.assertEqual((notice.state, notice.failure), ("delivered", False))

    def test_a_gateway_that_is_down_is_asked_once(self):
        self.company.prepay_sms_http_url = "http://127.0.0.1:9/send"
        notice = self._start(self.account)
        with patch.object(sms_api, "CHUNK", 1):
            self._run_queue()
        self.assertEqual((notice.state, notice.failure), ("failed", "unreachable"))
        self.company.prepay_sms_http_url = self.gateway.url
        uuid = notice.uuid
        notice.with_user(self.operator).action_resend()
        self._run_queue()
        self.assertEqual((notice.state, notice.uuid, notice.attempts), ("sent", uuid, 2))

    def test_strange_answers(self):
        answers = {
            "not JSON": (200, b"<html>ok</html>"),
            "not UTF-8": (200, b"\xff\xfe"),
            "not an object": (200, ["ok"]),
            "no results": (200, {"code": 0}),
            "results of another kind": (200, {"results": {"a": 1}}),
            "rows of another kind": (200, {"results": [1, None, {"uuid": 7}, {"uuid": "other"}]}),
            "error": (500, {"error": "down"}),
            "redirect": (302, b""),
            "too long": (200, b" " * 1_100_000),
        }
        for index, (name, answer) in enumerate(answers.items()):
            with self.subTest(name):
                account = self._account(self.company, f"D-{index}", "13800000003")
                self.gateway.requests.clear()
                self.gateway.answer = lambda _messages, answer=answer: answer
                notice = self._start(account)
                self._run_queue()
                self.assertEqual((notice.state, notice.failure), ("failed", "no_answer"))
                # The secret is not carried to where a redirect points.
                self.assertEqual(
                    [path for path, _headers, _body in self.gateway.requests], ["/send"]
                )

    def test_wrong_secret(self):
        self.gateway.answer = lambda _messages: (401, {})
        notice = self._start(self.account)
        self._run_queue()
        self.assertEqual((notice.failure, notice.failure_detail), ("unauthorized", "HTTP 401"))

    def test_two_companies_in_one_queue(self):
        self._switch_on(self.other_company, "secret-2")
        self._policy(self.other_company)
        other = self._account(self.other_company, "B-1", "13800000002")
        notices = self._start(self.account) + self._start(other)
        self._run_queue()
        self.assertEqual(notices.mapped("state"), ["sent", "sent"])
        numbers = {
            headers["X-Api-Key"]: {message["number"] for message in body["messages"]}
            for _path, headers, body in self.gateway.requests
        }
        self.assertEqual(numbers, {"secret-1": {"13800000001"}, "secret-2": {"13800000002"}})

    def test_switched_off_after_queueing(self):
        notice = self._start(self.account)
        self.company.prepay_sms_enabled = False
        self._run_queue()
        self.assertFalse(self.gateway.requests)
        self.assertEqual((notice.state, notice.failure), ("failed", "switched_off"))
        self.assertEqual(notice.sms_id.state, "canceled")

    def test_cancelled_in_the_queue(self):
        notice = self._start(self.account)
        notice.sms_id.action_set_canceled()
        self.assertEqual((notice.state, notice.failure), ("failed", "cancelled"))

    def test_sent_by_hand_from_the_queue(self):
        notice = self._start(self.account)
        notice.sms_id.send()
        self.assertEqual(notice.state, "sent")
        self.assertEqual(len(self.gateway.messages), 1)

    def test_the_scheduled_action(self):
        notice = self._start(self.account)
        with self.enter_registry_test_mode():
            self.env.ref("sms.ir_cron_sms_scheduler_action").method_direct_trigger()
        self.assertEqual(notice.state, "sent")

    def test_other_sms_of_the_company(self):
        """The provider serves the whole company, as other providers of Odoo do."""
        sms = self.env["sms.sms"].create({"number": "13800000005", "body": "x"})
        api_class = self.company._get_sms_api_class()
        self.assertIs(api_class, sms_api.SmsApiHttp)
        self.assertIsNot(self.env.company._get_sms_api_class(), sms_api.SmsApiHttp)
        self.assertFalse(sms.prepay_company_id)
