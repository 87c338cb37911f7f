import json

from odoo.tests import HttpCase, tagged
from odoo.tools import mute_logger

from .common import SmsCommon

CONTROLLER = "odoo.addons.prepay_sms.controllers.receipt"


@tagged("post_install", "-at_install")
class TestReceipt(SmsCommon, HttpCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.token = cls.company.prepay_sms_receipt_token

    def setUp(self):
        super().setUp()
        self._pay(self.account, 10)
        self._use(self.account, 10)
        self._run_queue()
        self.notice = self._notices(self.account, "final")

    def _post(self, body, company=None, token=None):
        data = body if isinstance(body, (str, bytes)) else json.dumps(body)
        company_id = self.company.id if company is None else company
        return self.url_open(f"/prepay_sms/receipt/{company_id}/{token or self.token}", data=data)

    def test_address(self):
        self.assertTrue(
            self.company.prepay_sms_receipt_url.endswith(
                f"/prepay_sms/receipt/{self.company.id}/{self.token}"
            )
        )

    def test_delivered_and_again(self):
        receipt = {"uuid": self.notice.uuid, "state": "delivered"}
        response = self._post(receipt)
        self.assertEqual(response.json(), {"code": 0, "known": 1, "unknown": 0})
        self.assertEqual(self.notice.state, "delivered")
        self.assertEqual(self.account.notice_at, self.notice.delivered_at)
        self.assertEqual(self.notice.sms_id.state, "sent")
        first = self.account.notice_at
        for body in (
            receipt,
            [receipt, receipt],
            {**receipt, "state": "failed"},
            {**receipt, "state": "sent"},
        ):
            self.assertEqual(self._post(body).status_code, 200)
        self.assertEqual(self.notice.state, "delivered")
        self.assertEqual(self.account.notice_at, first)

    def test_ways_of_sending(self):
        receipt = {"uuid": self.notice.uuid, "state": "delivered"}
        text = json.dumps(receipt)
        ways = {
            "JSON": {"data": text, "headers": {"Content-Type": "application/json"}},
            "JSON named a form": {
                "data": text,
                "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            },
            "a form": {"data": receipt},
        }
        url = f"/prepay_sms/receipt/{self.company.id}/{self.token}"
        for name, way in ways.items():
            with self.subTest(name):
                self.assertEqual(self.url_open(url, **way).json()["known"], 1)
                self.assertEqual(self.notice.state, "delivered")
                self.notice.state = "sent"

    def test_failed_then_delivered(self):
        self._post([{"uuid": self.notice.uuid, "state": "failed", "reason": "POWER_OFF\x00"}])
        self.assertEqual(
            (self.notice.state, self.notice.failure, self.notice.failure_detail),
            ("failed", "undelivered", "POWER_OFF"),
        )
        self.assertFalse(self.account.notice_at)
        self._post([{"uuid": self.notice.uuid, "state": "delivered"}])
        self.assertEqual((self.notice.state, self.notice.failure), ("delivered", False))
        self.assertTrue(self.account.notice_at)

    @mute_logger(CONTROLLER, "odoo.http")
    def test_wrong_token(self):
        receipt = {"uuid": self.notice.uuid, "state": "delivered"}
        self._switch_on(self.other_company, "secret-2")
        tries = [
            {"token": "wrong"},
            {"token": self.token[:-1]},
            {"token": "密码"},
            {"token": self.other_company.prepay_sms_receipt_token},
            {"company": 10**9},
            {"company": 10**30},
            {"company": 0},
        ]
        for attempt in tries:
            with self.subTest(attempt):
                self.assertEqual(self._post(receipt, **attempt).status_code, 404)
        self.assertEqual(self.notice.state, "sent")

    @mute_logger(CONTROLLER, "odoo.http")
    def test_company_without_token(self):
        self.assertFalse(self.other_company.prepay_sms_receipt_token)
        self.assertEqual(
            self._post([], company=self.other_company.id, token="False").status_code, 404
        )

    def test_token_of_another_company_moves_nothing(self):
        self._switch_on(self.other_company, "secret-2")
        response = self._post(
            {"uuid": self.notice.uuid, "state": "delivered"},
            company=self.other_company.id,
            token=self.other_company.prepay_sms_receipt_token,
        )
        self.assertEqual(response.json(), {"code": 0, "known": 0, "unknown": 1})
        self.assertEqual(self.notice.state, "sent")

    @mute_logger(CONTROLLER, "odoo.http")
    def test_renewed_token(self):
        self.company._prepay_sms_give_token(renew=True)
        self.assertEqual(self._post([]).status_code, 404)
        self.assertEqual(
            self._post([], token=self.company.prepay_sms_receipt_token).status_code, 200
        )

    def test_bad_bodies(self):
        for body in (" ", "{", "[" * 100_000, b"\xff\xff", '"x"', "7", "null", [{}] * 1001):
            with self.subTest(str(body)[:20]):
                self.assertEqual(self._post(body).status_code, 400)
        self.assertEqual(self._post("x" * 1_000_001).status_code, 413)
        uuid = self.notice.uuid
        items = [None, 1, "x", [], {}, {"uuid": uuid}, {"uuid": 1, "state": "delivered"}]
        items += [{"uuid": uuid, "state": state} for state in ([], None, "queued", "\x00")]
        items += [{"uuid": other, "state": "delivered"} for other in ("\x00" * 32, "f" * 32, "")]
        for item in items:
            with self.subTest(item):
                self.assertEqual(self._post([item]).json(), {"code": 0, "known": 0, "unknown": 1})
        self.assertEqual(self.notice.state, "sent")

    def test_get_is_no_receipt(self):
        response = self.opener.get(
            f"{self.base_url()}/prepay_sms/receipt/{self.company.id}/{self.token}"
        )
        self.assertIn(response.status_code, (404, 405))
