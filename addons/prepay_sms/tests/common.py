import json
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import requests
from odoo import fields
from odoo.tests import TransactionCase, new_test_user

_plain_send = requests.Session.send


class Gateway:
    """An SMS gateway on a loopback port. ``answer`` decides: messages -> (status, body)."""

    def __init__(self):
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                gateway.requests.append((self.path, dict(self.headers), body))
                status, answer = gateway.answer(body["messages"])
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args):
                pass

        self.requests = []
        self.release = threading.Event()
        self.answer = self.accept
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/send"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def messages(self):
        """All messages that arrived, in order."""
        return [message for _path, _headers, body in self.requests for message in body["messages"]]

    def accept(self, messages):
        return 200, {"results": [{"uuid": item["uuid"], "state": "accepted"} for item in messages]}

    def refuse(self, number, state, reason):
        """Accept all but one number."""

        def answer(messages):
            status, body = self.accept(messages)
            for item, result in zip(messages, body["results"]):
                if item["number"] == number:
                    result.update(state=state, reason=reason)
            return status, body

        self.answer = answer

    def hang(self, messages):
        """Take the request and say nothing until the test ends."""
        self.release.wait(30)
        return self.accept(messages)

    def stop(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


class SmsCommon(TransactionCase):
    """Two companies, each with a room, a meter and an account of its own; the first sends SMS."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway = Gateway()
        cls.addClassCleanup(cls.gateway.stop)
        cls.company = cls.env["res.company"].create({"name": "SMS company"})
        cls.other_company = cls.env["res.company"].create({"name": "Other SMS company"})
        cls._switch_on(cls.company, "secret-1")
        cls.operator = cls._user("sms_operator", "prepay_meter.group_operator")
        cls.cashier = cls._user("sms_cashier", "prepay_billing.group_cashier")
        cls.policy = cls._policy(cls.company)
        cls.account = cls._account(cls.company, "A-1", "+86 138 0000 0001")

    def setUp(self):
        super().setUp()
        self.gateway.requests.clear()
        self.gateway.answer = self.gateway.accept

    @classmethod
    def _request_handler(cls, s, r, /, **kw):
        # Odoo stretches every time-out of a test to ten seconds: here short ones are the point.
        if urlsplit(r.url).hostname == "127.0.0.1":
            return _plain_send(s, r, **kw)
        return super()._request_handler(s, r, **kw)

    @classmethod
    def _switch_on(cls, company, secret):
        company.write(
            {
                "prepay_sms_enabled": True,
                "prepay_sms_provider": "http",
                "prepay_sms_http_url": cls.gateway.url,
                "prepay_sms_http_secret": secret,
                "prepay_sms_http_timeout": 5,
            }
        )

    @classmethod
    def _user(cls, login, *groups):
        return new_test_user(
            cls.env,
            login,
            groups=",".join(("base.group_user", *groups)),
            company_id=cls.company.id,
            company_ids=[(6, 0, cls.company.ids)],
        )

    @classmethod
    def _policy(cls, company):
        policy = cls.env["prepay.supply.policy"].create(
            {
                "name": "SMS policy",
                "company_id": company.id,
                "grace_minutes": 0,
                "any_time": True,
                "working_days_only": False,
                "notice_required": True,
                "notice_minutes": 0,
            }
        )
        company.prepay_policy_id = policy
        return policy

    @classmethod
    def _account(cls, company, name, phone):
        room = cls.env["prepay.location"].create(
            {"name": name, "kind": "room", "company_id": company.id}
        )
        meter = cls.env["prepay.meter"].create(
            {
                "number": f"SMS-{name}",
                "profile_id": cls.env.ref("prepay_meter.profile_dlt645").id,
                "address": "000000000001",
                "location_id": room.id,
            }
        )
        tariff = cls.env["prepay.tariff"].create(
            {
                "name": "SMS tariff",
                "company_id": company.id,
                "version_ids": [(0, 0, {"valid_from": "2020-01-01", "price": 1})],
            }
        )
        return cls.env["prepay.account"].create(
            {
                "partner_id": cls.env["res.partner"].create({"name": name, "phone": phone}).id,
                "location_id": room.id,
                "supply_ids": [
                    (
                        0,
                        0,
                        {
                            "meter_id": meter.id,
                            "tariff_id": tariff.id,
                            "rated_at": fields.Datetime.now(),
                        },
                    )
                ],
            }
        )

    def _pay(self, account, amount):
        topup = self.env["prepay.topup"].create({"account_id": account.id, "amount": amount})
        topup._credit()
        return topup

    def _use(self, account, amount):
        """Take money as consumption would, and let the rules see it."""
        self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": account,
                    "kind": "adjustment",
                    "amount": -Decimal(amount),
                    "key": f"test:{account.id}:{self.env['prepay.ledger.entry'].search_count([])}",
                    "reason": "used",
                }
            ]
        )
        account._evaluate_supply()

    def _start(self, account, paid=100, used="99.50"):
        """An account whose use has just made it low; its payment has been told already."""
        self._pay(account, paid)
        self._use(account, used)
        return self._notices(account, "alarm2")

    def _notices(self, account, *kinds):
        domain = [("account_id", "=", account.id)]
        if kinds:
            domain.append(("kind", "in", kinds))
        return self.env["prepay.notice"].search(domain, order="id")

    def _run_queue(self):
        """What the scheduled queue does, without its commit."""
        cron = self.env["ir.cron"]
        self.patch(type(cron), "_commit_progress", lambda *_args, **_kwargs: 1)
        self.env["sms.sms"]._process_queue()
