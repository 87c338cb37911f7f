from datetime import date, datetime, timedelta
from decimal import Decimal
from io import BytesIO

from odoo.exceptions import UserError
from odoo.tests import tagged
from pypdf import PdfReader

from .test_charging_time import ChargingCase

REPORT = "prepay_billing.report_statement"


@tagged("post_install", "-at_install")
class TestStatement(ChargingCase):
    """An account whose readings begin on 7 September 2026."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tariff = cls.tariff_of(
            cls,
            price_ids=[(0, 0, {"limit": 50, "flat": 0.5}), (0, 0, {"flat": 0.8})],
            tier_period="month",
        )
        cls.supply_of = cls.supply(cls, tariff)
        cls.account = cls.supply_of.account_id

    def use(self):
        """40 kWh on Monday, 40 on Tuesday, 20 in October."""
        self.feed(self.supply_of, (24, 140), (48, 180), (24 * 24 + 24, 190), (26 * 24, 200))
        self.env["prepay.account.meter"]._rate_new_readings(now=self.at(27 * 24))
        self.env["prepay.charge"]._post_due(everything=True, now=self.at(27 * 24))

    def pages(self, accounts=None, **data):
        report = self.env["ir.actions.report"].with_user(self.cashier)
        pdf, _kind = report.with_context(force_report_rendering=True)._render_qweb_pdf(
            REPORT, (accounts or self.account).ids, data={"month": "2026-09", **data}
        )
        return PdfReader(BytesIO(pdf)).pages

    def text(self, page):
        return "".join(page.extract_text().split())

    def test_sums_agree_with_the_wallet(self):
        self.use()
        self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": self.account,
                    "kind": kind,
                    "amount": Decimal(amount),
                    "key": f"statement:{kind}:{amount}",
                    "reason": "test",
                    "bucket": bucket,
                }
                for kind, amount, bucket in (
                    ("topup", "33.33", "principal"),
                    ("grant", "7.77", "granted"),
                    ("refund", "-3.01", "principal"),
                )
            ]
        )
        total = Decimal(0)
        previous = None
        months = sorted({date(2026, 9, 1), date(2026, 10, 1), date.today().replace(day=1)})
        for month in months:
            statement = self.account._statement(month)
            moves = sum((move["amount"] for move in statement["moves"]), Decimal(0))
            lines = sum(
                (line["amount"] for meter in statement["meters"] for line in meter["lines"]),
                Decimal(0),
            )
            self.assertEqual(lines, statement["charged"], month)
            self.assertEqual(
                statement["opening"] + moves - lines, statement["closing"], f"{month}: to the fen"
            )
            if previous is not None:
                self.assertEqual(statement["opening"], previous)
            previous = statement["closing"]
            total += moves - lines
        own, granted, _accrued = self.account._money()[self.account.id]
        self.assertEqual(own + granted, total)
        self.assertTrue(total)

    def test_use_belongs_to_its_month(self):
        """September: tiers 1 and 2, registers from 100; October begins where it ended."""
        self.use()
        september = self.account._statement(date(2026, 9, 15))
        (meter,) = september["meters"]
        self.assertEqual(meter["register_start"], 100)
        self.assertEqual(meter["register_end"], 190)
        lines = {line["tier"]: line for line in meter["lines"]}
        self.assertEqual((lines[1]["quantity"], lines[1]["amount"]), (50000, Decimal("25.00")))
        self.assertEqual(lines[2]["price"], Decimal("0.8"))
        self.assertEqual(sum(line["quantity"] for line in meter["lines"]), (190 - 100) * 1000)
        october = self.account._statement(date(2026, 10, 1))
        self.assertEqual(october["opening"], september["closing"])
        self.assertEqual(october["meters"][0]["register_start"], 190)
        self.assertEqual({line["tier"] for line in october["meters"][0]["lines"]}, {1})

    def test_each_day(self):
        self.use()
        by_day = self.account._statement(date(2026, 9, 1), by_day=True)["meters"][0]["lines"]
        days = [line["day"] for line in by_day]
        self.assertEqual(days, sorted(days))
        self.assertGreater(len(by_day), 2)
        whole = self.account._statement(date(2026, 9, 1))["meters"][0]
        self.assertEqual(sum(line["amount"] for line in by_day), whole["amount"])

    def test_what_is_not_posted_is_told(self):
        self.feed(self.supply_of, (24, 140))
        self.env["prepay.account.meter"]._rate_new_readings(now=self.at(25))
        statement = self.account._statement(date(2026, 9, 1))
        self.assertEqual((statement["closing"], statement["open"]), (0, 20))

    def test_paper(self):
        self.use()
        (page,) = self.pages()
        self.assertAlmostEqual(float(page.mediabox.width), 595.28, delta=0.1)
        self.assertAlmostEqual(float(page.mediabox.height), 841.89, delta=0.1)
        text = self.text(page)
        for part in (
            "MonthlyStatement2026-09",
            self.account.number,
            self.supply_of.meter_id.number,
            "100.00(2026-09-0700:00)→190.00kWh",
            "50.00kWh",
            "tier2",
            "0.8",
            "OpeningBalance¥0.00",
        ):
            self.assertIn(part, text)

    def test_a_page_for_each_account(self):
        self.use()
        other = self.supply(self.supply_of.tariff_id).account_id
        first, second = self.pages(self.account | other)
        self.assertIn(self.account.number, self.text(first))
        self.assertIn(other.number, self.text(second))
        self.assertIn("Noneinthismonth", self.text(second))

    def test_language_of_the_tenant(self):
        self.env["res.lang"]._activate_lang("zh_CN")
        view = self.env.ref("prepay_billing.report_statement_account")
        view.update_field_translations("arch_db", {"zh_CN": {"Opening Balance": "期初余额"}})
        self.assertNotIn("期初余额", self.text(self.pages()[0]))
        self.account.partner_id.lang = "zh_CN"
        self.assertIn("期初余额", self.text(self.pages()[0]))

    def test_wizard_takes_a_building(self):
        wizard = self.env["prepay.statement.wizard"].with_user(self.cashier)
        wizard = wizard.create({"month": "2026-09-20", "location_id": self.room.parent_id.id})
        self.assertIn(self.account.id, wizard._accounts().ids)
        action = wizard.action_print()
        self.assertEqual(action["data"]["month"], "2026-09")
        self.assertEqual(action["data"]["account_ids"], wizard._accounts().ids)
        pdf, _kind = (
            self.env["ir.actions.report"]
            .with_context(force_report_rendering=True)
            ._render_qweb_pdf(REPORT, None, data=action["data"])
        )
        self.assertEqual(len(PdfReader(BytesIO(pdf)).pages), wizard.account_count)
        empty = self.env["prepay.statement.wizard"].create({"month": "2026-09-20"})
        with self.assertRaisesRegex(UserError, "Choose accounts"):
            empty.action_print()

    def test_months_of_the_tenant(self):
        self.account.opened_on = datetime.now().date() - timedelta(days=800)
        months = self.account._statement_months()
        self.assertEqual(len(months), 12)
        self.assertEqual(months, sorted(months, reverse=True))
        self.account.opened_on = datetime.now().date()
        self.assertLessEqual(len(self.account._statement_months()), 2)
