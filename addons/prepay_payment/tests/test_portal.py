import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from html import unescape
from io import BytesIO

from odoo.tests import HttpCase, JsonRpcException, tagged
from odoo.tools import mute_logger
from pypdf import PdfReader

from .common import PaymentCase


@tagged("post_install", "-at_install")
class TestPortal(PaymentCase, HttpCase):
    def setUp(self):
        super().setUp()
        self.reported(self.meter, "closed")
        self.authenticate("tenant-t", "tenant-t")

    def page(self, path, data=None):
        self.env.flush_all()
        response = self.url_open(path, data=data)
        self.env.invalidate_all()
        return response

    def csrf(self, path):
        return re.search(r'name="csrf_token" value="([^"]+)"', self.page(path).text)[1]

    def rpc(self, path, **params):
        self.env.flush_all()
        result = self.make_jsonrpc_request(path, params)
        self.env.invalidate_all()
        return result

    def make_order(self, amount="50", account=None):
        path = f"/my/prepaid/{(account or self.account).id}/topup"
        response = self.page(path, {"amount": amount, "csrf_token": self.csrf(path)})
        return response, (account or self.account).topup_ids.filtered("order_ref")[:1]

    def begin_payment(self, order, **vals):
        return self.rpc(
            f"/my/prepaid/order/{order.id}/transaction",
            **{
                "provider_id": self.provider.id,
                "payment_method_id": self.provider.payment_method_ids[0].id,
                "token_id": None,
                "amount": order.amount,
                "flow": "direct",
                "tokenization_requested": False,
                "landing_route": "/elsewhere",
                "is_validation": False,
                "access_token": "",
                **vals,
            },
        )

    def confirm_payment(self, reference, state="done"):
        """The demo provider's own route, or what a provider does with a verified message."""
        if self.provider.code == "demo":
            data = {"reference": reference, "payment_details": "1", "simulated_state": state}
            self.rpc("/payment/demo/simulate_payment", **data)
        else:
            tx = self.env["payment.transaction"].search([("reference", "=", reference)])
            tx._set_done()
        return self.rpc("/payment/status/poll")

    # the whole way

    def test_from_the_balance_to_the_power(self):
        self.topup(10)
        self.read(120, 5.9)
        self.rate()
        self.confirm(self.account._evaluate_supply().command_id)
        text = self.page("/my/prepaid").text
        self.assertIn(self.account.number, text)
        self.assertIn("-3.60", text.replace("\ufeff", ""))
        response, order = self.make_order("100")
        self.assertTrue(response.url.endswith(f"/my/prepaid/order/{order.id}/pay"))
        self.assertIn('id="o_payment_form"', response.text)
        self.assertIn(
            f'data-transaction-route="/my/prepaid/order/{order.id}/transaction"', response.text
        )
        values = self.begin_payment(order, amount=0.01)
        tx = order.transaction_id
        self.assertEqual((tx.reference, tx.amount), (values["reference"], 100), "not the client's")
        self.assertEqual(tx.partner_id, self.tenant)
        polled = self.confirm_payment(tx.reference)
        self.assertEqual(polled["landing_route"], f"/my/prepaid/order/{order.id}")
        self.consume()
        self.assertEqual((order.state, self.available()), ("done", Decimal("96.4")))
        text = self.page(polled["landing_route"]).text
        self.assertIn("o_prepaid_step_active", text)
        self.assertIn('data-running="1"', text)
        self.confirm(self.meter.command_ids[0])
        fragment = self.page(f"/my/prepaid/order/{order.id}/steps").text
        self.assertEqual(fragment.count("o_prepaid_step_done"), 4)
        self.assertNotIn("data-running", fragment)
        self.assertNotIn("<html", fragment)

    def test_page_says_why_the_power_is_off(self):
        self.topup(10)
        self.assertNotIn("used up", self.page("/my/prepaid").text)
        self.read(120, 5.9)
        self.rate()
        self.confirm(self.account._evaluate_supply().command_id)
        page = unescape(self.page("/my/prepaid").text)
        self.assertIn("The supply is off because the balance is used up", page)
        self.assertIn("as soon as you have paid", page)

    def test_home_shows_the_entry(self):
        self.assertIn('href="/my/prepaid"', self.page("/my/home").text)
        counters = self.rpc("/my/counters", counters=["prepay_account_count"])
        self.assertEqual(counters["prepay_account_count"], 1)

    def test_pending_transfer_then_done(self):
        _response, order = self.make_order("50")
        self.begin_payment(order)
        tx = order.transaction_id
        tx.provider_id.pending_msg = "<p>Transfer to account 6222</p>"
        tx._set_pending()
        text = self.page(f"/my/prepaid/order/{order.id}").text
        self.assertIn("Transfer to account 6222", text)
        self.assertNotIn(f"/my/prepaid/order/{order.id}/pay", text, "not twice")
        tx._set_done()
        tx._post_process()
        self.consume()
        self.assertEqual((order.state, self.available()), ("done", 50))

    def test_second_press_makes_one_order(self):
        self.make_order("50")
        self.make_order("50")
        self.assertEqual(len(self.account.topup_ids), 1)
        self.begin_payment(self.account.topup_ids)
        self.make_order("50")
        self.assertEqual(len(self.account.topup_ids), 2, "that one may be paid already")

    def test_amounts_that_are_none(self):
        for text in ("", "0", "-5", "abc", "1.005", "nan", "inf", "5001", "1e9", "9" * 300, "0x10"):
            response, order = self.make_order(text)
            self.assertEqual(response.status_code, 200, text)
            self.assertIn("alert-danger", response.text, text)
            self.assertFalse(order, text)
        _response, order = self.make_order(" 12,50 ")
        self.assertEqual(order.amount, 12.5)

    # not begun, not somebody else's, not forged

    def test_order_is_needed_to_pay(self):
        _response, order = self.make_order("50")
        self.begin_payment(order)
        order._cancel_order()
        with self.assertRaises(JsonRpcException), mute_logger("odoo.http"):
            self.begin_payment(order)
        response = self.page(f"/my/prepaid/order/{order.id}/pay")
        self.assertTrue(response.url.endswith(f"/my/prepaid/order/{order.id}"))
        self.assertIn("cancelled", response.text)

    def test_expired_order(self):
        _response, order = self.make_order("50")
        self.env.cr.execute(
            "UPDATE prepay_topup SET create_date = create_date - interval '16 min' WHERE id = %s",
            [order.id],
        )
        self.env.invalidate_all()
        text = self.page(f"/my/prepaid/order/{order.id}/pay").text
        self.assertIn("expired", text)
        self.assertNotIn("data-running", text)
        with self.assertRaises(JsonRpcException), mute_logger("odoo.http"):
            self.begin_payment(order)
        self.attempt(order)
        self.receive(order)
        self.consume()
        self.assertEqual(order.state, "done", "money that comes is credited all the same")

    def test_suspended_payment_is_told(self):
        _response, order = self.make_order("50")
        self.begin_payment(order)
        self.receive(order, amount=Decimal(40))
        self.consume()
        text = self.page(f"/my/prepaid/order/{order.id}").text
        self.assertIn("is being checked", text)
        self.assertNotIn(f"/my/prepaid/order/{order.id}/pay", text)

    def test_only_offered_providers(self):
        _response, order = self.make_order("50")
        second = self.env["res.company"].create({"name": "Second factory"})
        foreign = self._provider(second)
        with self.assertRaises(JsonRpcException), mute_logger("odoo.http"):
            self.begin_payment(order, provider_id=foreign.id)
        self.provider.state = "disabled"
        with self.assertRaises(JsonRpcException), mute_logger("odoo.http"):
            self.begin_payment(order)
        self.assertFalse(order.transaction_ids)

    def test_validation_flow_and_extra_values_are_refused(self):
        _response, order = self.make_order("50")
        self.begin_payment(order, is_validation=True)
        self.assertEqual(order.transaction_id.amount, 50)
        self.assertEqual(order.transaction_id.operation, "online_direct")
        for extra in ({"state": "done"}, {"custom_create_values": {"state": "done"}}):
            with self.assertRaises(JsonRpcException), mute_logger("odoo.http"):
                self.begin_payment(order, **extra)

    def test_other_tenants_pages_are_not_there(self):
        """The same answer for what is somebody else's and for what does not exist."""
        theirs = self.order(50, self.stranger_account)
        missing = 999999999

        def body(path, record_id):
            response = self.page(path.format(record_id))
            text = re.sub(rf"/{record_id}\b", "/ID", unescape(response.text))
            return response.status_code, re.sub(r"[0-9a-f]{40}o\d+|csrf_token: \S+", "", text)

        for path, record_id in (
            ("/my/prepaid/{}/topup", self.stranger_account.id),
            ("/my/prepaid/{}/statement/" + f"{datetime.now():%Y-%m}", self.stranger_account.id),
            ("/my/prepaid/order/{}", theirs.id),
            ("/my/prepaid/order/{}/steps", theirs.id),
            ("/my/prepaid/order/{}/pay", theirs.id),
        ):
            status, text = body(path, record_id)
            self.assertEqual(status, 404, path)
            self.assertEqual((status, text), body(path, missing), path)
            self.assertNotIn(self.stranger_account.number, text)
        errors = []
        for record_id in (theirs.id, missing):
            with self.assertRaises(JsonRpcException) as caught, mute_logger("odoo.http"):
                self.rpc(f"/my/prepaid/order/{record_id}/transaction", provider_id=1)
            errors.append((caught.exception.code, str(caught.exception)))
        self.assertEqual(errors[0], errors[1])
        self.assertFalse(theirs.transaction_ids)

    def test_own_statement_of_a_month(self):
        self.account.opened_on = date.today() - timedelta(days=40)
        self.topup(50)
        page = self.page(f"/my/prepaid/{self.account.id}/topup").text
        links = re.findall(rf"/my/prepaid/{self.account.id}/statement/\d{{4}}-\d\d", page)
        self.assertIn(len(links), (2, 3))
        response = self.page(links[0])
        self.assertEqual(response.headers["Content-Type"], "application/pdf")
        text = "".join(PdfReader(BytesIO(response.content)).pages[0].extract_text().split())
        self.assertIn(self.account.number, text)
        self.assertIn("50.00", text)
        for month in ("1999-01", "2999-01", "nonsense"):
            path = f"/my/prepaid/{self.account.id}/statement/{month}"
            self.assertEqual(self.page(path).status_code, 404)

    def test_nobody_orders_for_others(self):
        path = f"/my/prepaid/{self.account.id}/topup"
        token = self.csrf(path)
        response = self.page(
            f"/my/prepaid/{self.stranger_account.id}/topup", {"amount": "50", "csrf_token": token}
        )
        self.assertEqual(response.status_code, 404)
        with mute_logger("odoo.http"):
            response = self.page(path, {"amount": "50"})
        self.assertEqual(response.status_code, 400, "no token, no order")
        self.assertFalse((self.account | self.stranger_account).topup_ids)

    def test_login_is_needed(self):
        order = self.order(50)
        self.logout()
        for path in (
            "/my/prepaid",
            f"/my/prepaid/{self.account.id}/topup",
            f"/my/prepaid/order/{order.id}",
            f"/my/prepaid/order/{order.id}/pay",
        ):
            self.assertIn("/web/login", self.page(path).url, path)
        with self.assertRaises(JsonRpcException), mute_logger("odoo.http"):
            self.begin_payment(order)

    def test_no_route_takes_unverified_money(self):
        """Neither our own routes nor calls of models credit anything."""
        _response, order = self.make_order("50")
        self.begin_payment(order)
        tx = order.transaction_id
        forged = {"reference": tx.reference, "amount": 50, "state": "done", "paid": "1"}
        for path in (
            "/payment/custom/process",
            "/payment/status",
            f"/my/prepaid/order/{order.id}",
            f"/my/prepaid/order/{order.id}/steps",
            "/prepay/notify",
        ):
            with mute_logger("odoo.http"):
                self.page(path, forged)
        self.rpc("/payment/status/poll")
        calls = (
            ("prepay.payment.inbox", "_receive", [forged]),
            ("prepay.payment.inbox", "create", [forged]),
            ("prepay.payment.inbox", "_cron_consume", []),
            ("prepay.topup", "_credit", [[order.id]]),
            ("prepay.topup", "write", [[order.id], {"state": "done"}]),
            ("prepay.topup", "create", [{"account_id": self.account.id, "amount": 5}]),
            ("prepay.account", "_order_online", [[self.account.id], 5]),
            ("prepay.account", "write", [[self.account.id], {"overdraft_limit": 500}]),
            ("payment.transaction", "_set_done", [[tx.id]]),
            ("payment.transaction", "write", [[tx.id], {"state": "done"}]),
            ("prepay.suspense", "search_read", [[]]),
            ("prepay.payment.inbox", "search_read", [[]]),
        )
        for model, method, args in calls:
            with self.assertRaises(JsonRpcException, msg=method), mute_logger("odoo.http"):
                self.rpc("/web/dataset/call_kw", model=model, method=method, args=args, kwargs={})
        self.consume()
        self.assertFalse(self.messages())
        self.assertEqual((order.state, self.available()), ("pending", 0))
