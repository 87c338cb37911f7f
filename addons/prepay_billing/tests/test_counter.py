import uuid
from decimal import Decimal

from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tests.common import new_test_user

from ..engine import payer_code
from .common import BillingCase


class CounterCase(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.counter = cls.env["prepay.counter"].with_user(cls.cashier)

    def sell(self, amount="50", user=None, account=None, **vals):
        counter = self.counter.with_user(user or self.cashier)
        parts = [{"account_id": (account or self.account).id, "amount": amount}]
        return counter.sell({"key": uuid.uuid4().hex, "parts": parts, **vals})

    def refused(self, amount="50", **vals):
        """The refusal of a sale, after which nothing is stored."""
        before = self.env["prepay.topup"].search_count([])
        with self.assertRaises(UserError) as caught, self.env.cr.savepoint():
            self.sell(amount, **vals)
        self.assertEqual(self.env["prepay.topup"].search_count([]), before, "nothing half done")
        return caught.exception

    def water(self, **vals):
        """An account for water of the same tenant's room; the first is then for electricity."""
        self.account.medium = "electricity"
        tariff = self.env["prepay.tariff"].create(
            {
                "name": "Water",
                "medium": "water",
                "company_id": self.company.id,
                "version_ids": [(0, 0, {"valid_from": "2026-01-01", "price": 3.5})],
            }
        )
        profile = self.env["prepay.meter.profile"].search([("medium", "=", "water")], limit=1)
        meter = self._meter("W-1", "00000000000001", profile_id=profile.id, gateway_id=False)
        account = self.env["prepay.account"].create(
            {"partner_id": self.tenant.id, "location_id": self.room.id, "medium": "water", **vals}
        )
        self.env["prepay.account.meter"].create(
            {"account_id": account.id, "meter_id": meter.id, "tariff_id": tariff.id}
        )
        return account


@tagged("post_install", "-at_install")
class TestCounter(CounterCase):
    def test_cashier_sells(self):
        sale = self.sell("50.5", received="100", note="door")
        topup = self.account.topup_ids
        self.assertEqual((sale["topup_ids"], sale["state"]), (topup.ids, "done"))
        self.assertEqual(sale["sales"][0]["available"], "50.50")
        self.assertEqual(
            (topup.state, topup.cashier_id, topup.note), ("done", self.cashier, "door")
        )
        self.assertEqual((topup.balance_before, topup.balance_after), (0, 50.5))
        self.assertEqual(topup.entry_id.user_id, self.cashier)
        self.assertEqual(self.available(), Decimal("50.50"))

    def test_the_same_key_sells_once(self):
        key = uuid.uuid4().hex
        first = self.sell(key=key)
        self.assertEqual(self.sell(key=key)["topup_ids"], first["topup_ids"])
        self.account.state = "closed"
        self.assertEqual(self.sell("50.00", key=key)["topup_ids"], first["topup_ids"])
        self.assertEqual(self.available(), 50)
        self.assertIn("other amounts", str(self.refused("60", key=key)))

    def test_refused_sale_takes_no_number(self):
        first = int(self.topup(1).number[-6:])
        self.refused("-1")
        self.assertEqual(int(self.topup(1).number[-6:]), first + 1)

    def test_refusals_name_field_and_remedy(self):
        for amount, vals, field, words in (
            ("0", {}, "amount", "above zero"),
            ("", {}, "amount", "above zero"),
            ("-5", {}, "amount", "above zero"),
            ("5001", {}, "amount", "largest sale"),
            ("1.005", {}, "amount", "more than 2 decimals"),
            ("abc", {}, "amount", "not a number"),
            ("nan", {}, "amount", "not a number"),
            ("1e30", {}, "amount", "not a number"),
            ("50", {"received": "20"}, "received", "less than the amount"),
            ("50", {"method": "wechat_code"}, "method", "not taken"),
            ("50", {"method": "barter"}, "method", "not taken"),
        ):
            with self.subTest(amount=amount, **vals):
                error = self.refused(amount, **vals)
                self.assertIn(words, str(error))
                self.assertEqual(error.context["field"], field)
        self.account.state = "closed"
        error = self.refused()
        self.assertIn("closed", str(error))
        self.assertEqual(error.context["account_id"], self.account.id)

    def test_frozen_account_takes_topups(self):
        self.account.with_user(self.accountant)._freeze(True, "dispute")
        self.sell()
        (account,) = self.counter.account_state(self.account.ids)["accounts"]
        self.assertEqual((account["frozen"], account["available"]), ("dispute", "50.00"))

    def test_hoarding_limit(self):
        self.company.prepay_hoarding_limit = 120
        self.sell("100")
        error = self.refused("20.01")
        self.assertIn("20.00", str(error), "how much may be sold")
        self.assertEqual(error.context["field"], "amount")
        self.sell("20")

    def test_second_press_is_asked_about_once(self):
        self.sell()
        error = self.refused()
        self.assertEqual(error.context["code"], "duplicate")
        self.assertIn(self.account.topup_ids.number, str(error))
        self.sell("50.00", confirmed=True)
        self.sell("49")
        self.assertEqual(self.available(), 149)
        self.env.cr.execute("UPDATE prepay_topup SET paid_at = paid_at - interval '6 minutes'")
        self.env.invalidate_all()
        self.sell()

    def test_arrears_are_shown_and_covered_first(self):
        self.read(100, 0)
        self.read(200, 1)
        self.rate()
        (account,) = self.counter.account_state(self.account.ids)["accounts"]
        self.assertEqual((account["available"], account["arrears"]), ("-68.00", "68.00"))
        sale = self.sell("50")
        self.assertEqual(sale["sales"][0]["available"], "-18.00")

    def test_only_cashiers_sell(self):
        for user in (self.operator, self.auditor, self.accountant):
            with self.assertRaises(AccessError):
                self.sell(user=user)
            with self.assertRaises(AccessError):
                self.counter.with_user(user).search_accounts("B")
        with self.assertRaises(AccessError):
            self.env["prepay.topup"].with_user(self.cashier).create(
                {"account_id": self.account.id, "amount": 9}
            )

    def test_other_companies_are_not_served(self):
        other = self.env["res.company"].create({"name": "Elsewhere"})
        stranger = new_test_user(
            self.env,
            "stranger-t",
            groups="base.group_user,prepay_billing.group_cashier",
            company_id=other.id,
            company_ids=[(6, 0, other.ids)],
        )
        counter = self.counter.with_user(stranger).with_context(allowed_company_ids=other.ids)
        self.assertEqual(counter.search_accounts("B-101"), [])
        with self.assertRaises(AccessError):
            counter.account_state(self.account.ids)
        with self.assertRaises(AccessError):
            counter._sell([(self.account, 5)], "cash")

    def test_water_and_power_in_one_sale(self):
        water = self.water()
        (found,) = self.counter.search_accounts("B-101")
        self.assertEqual(found["account_ids"], [self.account.id, water.id])
        self.assertEqual(self.counter.find_account(water.id), [self.account.id, water.id])
        parts = [
            {"account_id": self.account.id, "amount": "30"},
            {"account_id": water.id, "amount": "20"},
        ]
        with self.assertRaises(UserError), self.env.cr.savepoint():
            self.counter.sell({"parts": [parts[0], {**parts[1], "amount": "9999"}]})
        self.assertFalse(self.account.topup_ids, "both or none")
        sale = self.counter.sell({"key": "one", "parts": parts, "received": "50"})
        self.assertEqual(sale["total"], "50.00")
        self.assertEqual((self.available(), self.available(water)), (30, 20))
        self.assertEqual(set((self.account | water).topup_ids.mapped("sale_key")), {"one"})
        self.assertEqual(len(self.counter.account_state(found["account_ids"])["recent"]), 2)

    def test_accounts_of_other_tenants_stay_apart(self):
        water = self.water(partner_id=self.env["res.partner"].create({"name": "Li"}).id)
        found = self.counter.search_accounts("B-101")
        self.assertCountEqual(
            [row["account_ids"] for row in found], [[self.account.id], [water.id]]
        )

    def test_quote_with_tiers(self):
        tariff = self.tariff.copy({"name": "Tiers", "version_ids": []})
        tariff.version_ids = [
            (
                0,
                0,
                {
                    "valid_from": "2026-01-01",
                    "state": "approved",
                    "price_ids": [
                        (0, 0, {"upto": 100, "flat": 0.5}),
                        (0, 0, {"flat": 0.8, "sequence": 20}),
                    ],
                },
            )
        ]
        self.account.supply_ids.tariff_id = tariff
        self.read(100, 0)
        self.read(160, 5)
        self.rate()
        quote = self.counter.quote(self.account.id, "electricity", "50")
        self.assertEqual(quote["amount"], "28.00", "40 kWh are left of the first tier")
        self.assertEqual(quote["text"], "40 kWh × 0.5 + 10 kWh × 0.8")
        with self.assertRaises(UserError):
            self.counter.quote(self.account.id, "water", "5")
        with self.assertRaises(UserError):
            self.counter.quote(self.account.id, "electricity", "1.0005")

    def test_state_of_meters_and_tracker(self):
        self.reported(self.meter, "closed")
        sale = self.sell()
        self.assertEqual(
            [(step["code"], step["state"]) for step in sale["sales"][0]["steps"]],
            [("paid", "done"), ("credited", "done"), ("power", "done")],
        )
        (account,) = self.counter.account_state(self.account.ids)["accounts"]
        self.assertEqual(
            [(row["number"], row["supply"], row["online"]) for row in account["meters"]],
            [("M-1", "on", True)],
        )

    def test_tracker_follows_the_command(self):
        self.read(100, 0)
        self.read(200, 5.9)
        self.reported(self.meter, "closed")
        self.rate()
        self.account._evaluate_supply()
        self.confirm(self.meter.command_ids)
        self.assertEqual(self.meter.supply, "off")
        sale = self.sell("100")
        steps = {step["code"]: step["state"] for step in sale["sales"][0]["steps"]}
        self.assertEqual(
            steps, {"paid": "done", "credited": "done", "command": "done", "confirmed": "active"}
        )
        self.confirm(self.meter.command_ids.filtered(lambda item: item.target == "closed"))
        steps = self.counter.sale_state(sale["topup_ids"])["sales"][0]["steps"]
        self.assertEqual({step["state"] for step in steps}, {"done"})

    def test_setup(self):
        setup = self.counter.setup()
        self.assertEqual(setup["quick_amounts"], ["20", "50", "100", "200"])
        self.assertTrue(setup["print"])
        self.counter.set_print(False)
        self.assertFalse(self.counter.setup()["print"])
        with self.assertRaises(UserError):
            self.company.prepay_quick_amounts = "20 many"

    def test_open_shift_and_its_total(self):
        self.assertFalse(self.counter.setup()["shift"])
        shift = self.env["prepay.shift"].with_user(self.cashier).create({})
        sale = self.sell("30")
        self.assertEqual(sale["shift"], {"id": shift.id, "name": shift.number, "total": "30.00"})

    def test_crediting_twice_credits_once(self):
        topup = self.topup(30)
        topup._credit()
        topup.state = "draft"  # as after a crash that lost the state but not the posting
        topup._credit()
        self.assertEqual(self.account.available, 30)

    def test_credited_topup_cannot_be_deleted(self):
        with self.assertRaises(UserError):
            self.topup(30).unlink()


WECHAT = "134567890123456789"
ALIPAY = "2812345678901234567"


@tagged("post_install", "-at_install")
class TestPayerCodes(CounterCase):
    def test_whose_code(self):
        self.assertEqual(payer_code.channel_of(WECHAT), "wechat")
        self.assertEqual(payer_code.channel_of(ALIPAY), "alipay")
        for code in ("", WECHAT[:-1], "16" + WECHAT[2:], "31" + ALIPAY[2:], "２８" + ALIPAY[2:]):
            self.assertIsNone(payer_code.channel_of(code), code)

    def methods(self):
        return {method["code"] for method in self.counter.setup()["methods"]}

    def test_not_offered_without_a_channel(self):
        self.assertFalse(self.methods() & {"wechat_code", "alipay_code"})

    def test_codes_on_another_device(self):
        self.company.prepay_codes_elsewhere = True
        self.assertLessEqual({"wechat_code", "alipay_code"}, self.methods())
        self.assertEqual(self.refused(method="wechat_code").context["field"], "code")
        self.assertEqual(self.refused(method="wechat_code", code="12").context["field"], "code")
        self.assertEqual(self.refused(method="wechat_code", code=ALIPAY).context["field"], "code")
        sale = self.sell(method="wechat_code", code=WECHAT)
        topup = self.env["prepay.topup"].browse(sale["topup_ids"])
        self.assertEqual((topup.state, topup.payment_reference), ("done", WECHAT[-4:]))
        self.sell("51", method="alipay_code", code="4321")

    def channel(self, *answers):
        """An addon that takes codes: it answers one after the other, and remembers what it was asked."""
        asked, answers = [], list(answers)
        model = type(self.counter)

        def capture_code(self, topups, code):
            asked.append((topups.mapped("sale_key"), topups.mapped("state"), code))
            return answers.pop(0)

        self.patch(model, "_captures", lambda self, method, company: method == "wechat_code")
        self.patch(model, "_capture_code", capture_code)
        return asked

    def test_order_capture_credit(self):
        asked = self.channel({"state": "waiting"}, {"state": "captured", "reference": "42000"})
        self.assertIn("wechat_code", self.methods())
        sale = self.sell(key="k", method="wechat_code", code=WECHAT)
        self.assertEqual((sale["state"], self.available()), ("ordered", 0))
        self.assertEqual(self.counter.complete("k")["state"], "ordered", "nothing is paid yet")
        self.assertEqual(self.counter.capture("k", WECHAT)["state"], "ordered")
        self.assertEqual(self.counter.capture("k")["state"], "captured")
        self.assertEqual(self.counter.capture("k", WECHAT)["state"], "captured")
        self.assertEqual(asked, [(["k"], ["draft"], WECHAT), (["k"], ["draft"], "")])
        self.assertEqual(self.available(), 0, "the gateway's answer is stored first")
        for _again in range(2):
            self.assertEqual(self.counter.complete("k")["state"], "done")
        self.assertEqual(self.available(), 50)
        self.assertEqual(self.account.topup_ids.payment_reference, "42000")

    def test_refused_code_sells_nothing(self):
        self.channel({"state": "refused", "message": "Balance too low"})
        self.sell(key="k", method="wechat_code", code=WECHAT)
        answer = self.counter.capture("k", WECHAT)
        self.assertEqual((answer["state"], answer["message"]), ("refused", "Balance too low"))
        self.assertEqual(self.counter.complete("k")["state"], "refused")
        self.assertEqual(self.available(), 0)

    def test_captured_money_is_credited_without_a_shift(self):
        """The shift is asked for before the payer pays; one that is closed meanwhile stops nothing."""
        self.channel({"state": "captured"})
        self.company.prepay_require_shift = True
        self.refused(method="wechat_code", code=WECHAT)
        shift = self.env["prepay.shift"].with_user(self.cashier).create({})
        self.sell(key="k", method="wechat_code", code=WECHAT)
        self.counter.capture("k", WECHAT)
        shift.sudo().state = "confirmed"
        self.assertEqual(self.counter.complete("k")["state"], "done")
        self.assertEqual((self.available(), self.account.topup_ids.shift_id.id), (50, False))

    def test_captured_sale_is_credited_when_the_screen_is_gone(self):
        self.channel({"state": "captured"})
        self.sell(key="k", method="wechat_code", code=WECHAT)
        self.counter.capture("k", WECHAT)
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_topup SET write_date = write_date - interval '2 minutes'"
        )
        self.env.invalidate_all()
        with self.enter_registry_test_mode():
            self.env.ref("prepay_billing.ir_cron_credit_captured").method_direct_trigger()
        self.assertEqual(self.available(), 50)
