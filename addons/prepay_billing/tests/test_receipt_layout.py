from io import BytesIO

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odoo.exceptions import AccessError, ValidationError
from odoo.tests import BaseCase, new_test_user, tagged
from pypdf import PdfReader

from odoo.addons.prepay_billing.report.receipt_page import (
    COLUMNS,
    FOOT,
    PAPERS,
    TOP,
    end,
    pack,
    plan,
)

from .test_receipt import ReceiptCommon

FORMS = [paper for paper in PAPERS if PAPERS[paper].box]
#: A receipt whose texts are all too long, with many meters.
LONG = {
    "tenant": "阿布都克里木·吾买尔江（后勤服务管理处设备维护二班）",
    "location": "华东第二生产基地 / 员工生活区（东区） / 3 号宿舍楼（男） / 12 层 / B-1207 室（六人间）",
    "method": "微信支付（付款码）" * 4,
    "amount": "999999.99",
    "balance_before": "-999999.99",
    "balance_after": "999979.99",
    "settlement": "20.00",
    "received": "1000000.00",
    "change": "0.01",
    "quantity": "147.05 kWh",
    "operator": "欧阳明月" * 6,
    "authorizer": "司马相如" * 6,
    "external_number": "4200002026030112345678901234" * 2,
    "remark": "补交公摊水电费差额，含楼道照明、电梯及二次加压水泵分摊；住户要求开具发票。" * 8,
}


def meters(count):
    return [
        {
            "number": f"2207140032{index:02d}",
            "medium": "water" if index % 3 == 2 else "electricity",
            "unit": "m³" if index % 3 == 2 else "kWh",
            "ratio": "40",
            "price": "阶梯 ¥0.5469/0.5969/0.8469，尖峰 ¥1.0247/kWh",
            "price_type": "居民阶梯电价（分时）",
            "last_register": f"{1024.5 + index:.2f}",
            "register": f"{1187.32 + index:.2f}",
            "quantity": "162.82",
            "remaining": None,
            "capacity": None,
            "note": None,
        }
        for index in range(count)
    ]


@tagged("post_install", "-at_install")
class TestPlan(BaseCase):
    """The plan of a page, without Odoo."""

    cells = st.lists(
        st.one_of(
            st.builds(
                lambda width, strong: {"width": width, "strong": strong},
                st.integers(1, 3),
                st.booleans(),
            ),
            st.builds(lambda rows: {"table": [{}] * rows}, st.integers(1, 40)),
        ),
        max_size=40,
    )

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(FORMS), st.floats(6, 14), cells)
    def test_what_fits_stays_in_the_box(self, paper, font_size, cells):
        result = plan(paper, font_size, cells)
        if result["fits"]:
            self.assertLessEqual(TOP + result["height"] + FOOT, PAPERS[paper].box + 0.1)
        for row in result["rows"]:
            if "table" in row:
                self.assertEqual(row["shown"] + row["more"], len(row["table"]))
            else:
                self.assertEqual(sum(cell["span"] for cell in row["cells"]), COLUMNS)

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(cells)
    def test_order_is_kept(self, cells):
        numbered = [{**cell, "index": index} for index, cell in enumerate(cells)]
        flat = []
        for row in pack(numbered):
            flat += row if isinstance(row, list) else [row]
        self.assertEqual([cell["index"] for cell in flat], list(range(len(cells))))

    def test_the_end_of_a_path_stays(self):
        self.assertEqual(end("A / B-101", 80, 9, 1), "A / B-101")
        short = end("员工宿舍" * 30 + "B-101", 60, 9, 1)
        self.assertTrue(short.startswith("…"))
        self.assertTrue(short.endswith("B-101"))
        self.assertLess(len(short), 24)


@tagged("post_install", "-at_install")
class TestLayout(ReceiptCommon):
    def _layout(self, paper, **vals):
        return self.env["prepay.receipt.layout"].create(
            {"name": f"Own {paper}", "paper": paper, "company_id": self.company.id, **vals}
        )

    def _pages(self, layout, kind="topup", lang="zh_CN", **values):
        sample = self.env["report.prepay_billing.report_receipt_preview"]._sample(self.company)
        paper = self.env["report.prepay_billing.report_receipt"]._paper(
            layout,
            kind,
            {**sample, **values},
            lang=lang,
            number="S2026-000123",
            company=self.company,
            zone=self.room._zone(),
        )
        html = self.env["ir.qweb"]._render(
            "prepay_billing.report_receipt", {"papers": [paper], "doc_model": "prepay.receipt"}
        )
        return PdfReader(BytesIO(self.env["ir.actions.report"]._run_weasyprint(str(html)))).pages

    def test_every_paper_has_its_exact_size(self):
        """Short or much too long: a form is as many pages as it has copies, each of its size."""
        pages = {"a4_1": 3, "a4_2": 2, "a5": 3}
        for layout in self.env["prepay.receipt.layout"].search([("company_id", "=", False)]):
            width, height = PAPERS[layout.paper].page
            for values in ({}, {**LONG, "meters": meters(12)}):
                with self.subTest(layout.paper, long=bool(values)):
                    result = self._pages(layout, **values)
                    self.assertEqual(len(result), pages.get(layout.paper, 1))
                    for page in result:
                        self.assertAlmostEqual(
                            float(page.mediabox.width), width / 25.4 * 72, delta=0.02
                        )
                        text = self._text(page)
                        self.assertIn("S2026-000123", text)
                        if height:
                            self.assertAlmostEqual(
                                float(page.mediabox.height), height / 25.4 * 72, delta=0.02
                            )
                        else:
                            self.assertTrue(60 < float(page.mediabox.height) / 72 * 25.4 < 900)
                            self.assertIn("发票", text, "to its last line")
                        if values:
                            self.assertIn("B-1207", text, "the room stays")
                            self.assertIn("999,999.99", text)
                            self.assertIn("玖拾玖万玖仟玖佰玖拾玖元玖角玖分", text)

    def test_a_slip_is_as_long_as_its_text(self):
        layout = self._layout("slip_58")
        (short,) = self._pages(layout, meters=meters(1))
        (long,) = self._pages(layout, meters=meters(9))
        self.assertGreater(long.mediabox.height, short.mediabox.height + 200)

    def test_fields_labels_and_order(self):
        layout = self._layout("half")
        line = layout.field_ids.filtered(lambda item: item.key == "phone")
        text = self._text(self._pages(layout, lang="en_US")[0])
        self.assertIn("138****2207", text)
        line.label = "Mobile"
        self.assertIn("Mobile138****2207", self._text(self._pages(layout, lang="en_US")[0]))
        line.shown = False
        self.assertNotIn("138****2207", self._text(self._pages(layout, lang="en_US")[0]))
        line.write({"shown": True, "sequence": -1})
        layout.invalidate_recordset()
        text = self._text(self._pages(layout, lang="en_US")[0])
        self.assertLess(text.index("Mobile"), text.index("AccountNo."))

    def test_every_field_of_the_list_prints(self):
        keys = (
            "order_number",
            "operation",
            "station",
            "line",
            "payer",
            "cut_register_before",
            "cut_register",
            "external_number",
            "sale_address",
            "service_phone",
        )
        values = {key: f"<{key}>" for key in keys}
        money = {"make_up": "1.11", "cut_amount": "2.22", "last_remaining": "3.33"}
        layout = self._layout("full")
        layout.field_ids.shown = True
        self.company.vat = "91320583MA1"
        text = self._text(self._pages(layout, lang="en_US", **values, **money)[0])
        for part in [*values.values(), "1.11", "2.22", "3.33", "91320583MA1", "阶梯电价"]:
            self.assertIn(part, text)

    def test_texts_and_company_of_the_layout(self):
        layout = self._layout(
            "third",
            title="收款凭证",
            header="二号售电窗口",
            footer="谢谢惠顾",
            notice="请妥善保管",
            service_phone="400-800",
            sale_address="一楼大厅",
            company_name="物业公司",
            company_vat="TAX-1",
            company_phone="PHONE-1",
            company_address="STREET-1",
        )
        (page,) = self._pages(layout)
        text = self._text(page)
        for part in [
            "收款凭证",
            "二号售电窗口",
            "谢谢惠顾",
            "请妥善保管",
            "400-800",
            "一楼大厅",
            "物业公司",
        ]:
            self.assertIn(part, text)
        for part in ("TAX-1", "PHONE-1", "STREET-1"):
            self.assertIn(part, text)
        self.assertNotIn("SlipWorks", text)
        layout.show_company = False
        self.assertNotIn("物业公司", self._text(self._pages(layout)[0]))

    def test_copies(self):
        layout = self._layout("third", carbon=False)
        texts = [self._text(page) for page in self._pages(layout)]
        self.assertEqual(len(texts), 3)
        self.assertIn("存根联", texts[0])
        self.assertIn("财务联", texts[2])
        layout.copy_ids[0].printed = False
        self.assertEqual(len(self._pages(layout)), 2)
        layout.copy_ids[1].name = "For You"
        self.assertIn("ForYou", self._text(self._pages(layout)[0]))
        layout.carbon = True
        (page,) = self._pages(layout)
        self.assertNotIn("存根联", self._text(page))
        self.assertIn("财务联", self._text(page))
        with self.assertRaisesRegex(ValidationError, "prints no copy"):
            layout.write(
                {"copy_ids": [(1, copy.id, {"printed": False}) for copy in layout.copy_ids]}
            )

    def test_one_template_for_all_kinds(self):
        layout = self._layout("third")
        for kind, title in {
            "topup": "ElectricitySaleReceipt",
            "opening": "AccountOpeningReceipt",
            "refund": "RefundReceipt",
            "reversal": "ReversalReceipt",
            "closing": "AccountClosingReceipt",
        }.items():
            (page,) = self._pages(layout, kind, lang="en_US", amount="-12.30")
            text = self._text(page)
            self.assertIn(title, text)
            self.assertIn("（负）壹拾贰元叁角", text)

    def test_too_many_fields_are_refused(self):
        layout = self._layout("third")
        with self.assertRaisesRegex(ValidationError, "do not fit"):
            layout.write(
                {
                    "font_size": 14,
                    "field_ids": [
                        (1, line.id, {"shown": True, "width": "3"}) for line in layout.field_ids
                    ],
                }
            )

    def test_which_layout_prints(self):
        """A person's own, then the company's, then the shipped third of continuous paper."""
        layouts = self.env["prepay.receipt.layout"]
        self.assertEqual(layouts._for("topup", self.company, self.cashier).paper, "third")
        own = self._layout("a5")
        self.assertEqual(layouts._for("topup", self.company, self.cashier), own)
        slip = self._layout("slip_80", user_ids=[(6, 0, self.cashier.ids)], for_closing=False)
        self.assertEqual(layouts._for("topup", self.company, self.cashier), slip)
        self.assertEqual(layouts._for("closing", self.company, self.cashier), own)
        self.assertEqual(layouts._for("topup", self.company, self.env.user), own)
        (page,) = self._print(self._topup(10)).pages
        self.assertAlmostEqual(float(page.mediabox.width), 80 / 25.4 * 72, delta=0.02)
        other = self.env["res.company"].create({"name": "Other Slips"})
        self.assertEqual(layouts._for("topup", other, self.env.user).paper, "third")

    def test_other_paper_for_once(self):
        receipt = self._receipts(self._topup(10))
        wizard = (
            self.env["prepay.receipt.print.wizard"]
            .with_user(self.cashier)
            .create(
                {
                    "receipt_ids": [(6, 0, receipt.ids)],
                    "layout_id": self.env.ref("prepay_billing.receipt_layout_a5").id,
                }
            )
        )
        action = wizard.action_print()
        pdf, _kind = (
            self.env["ir.actions.report"]
            .with_user(self.cashier)
            .with_context(force_report_rendering=True)
            ._render_qweb_pdf(action["report_name"], None, data=action["data"])
        )
        pages = PdfReader(BytesIO(pdf)).pages
        self.assertEqual(len(pages), 3)
        self.assertAlmostEqual(float(pages[0].mediabox.height), 148 / 25.4 * 72, delta=0.02)
        self.assertEqual(receipt.print_count, 1)

    def test_papers_of_several_sizes_in_one_print(self):
        self._layout("slip_80", for_topup=False)
        topup = self._topup(10)
        refund = (
            self.env["prepay.receipt"]
            .sudo()
            .create(
                [
                    {
                        **self.env["prepay.receipt"].sudo()._prepare(topup.sudo()),
                        "kind": "refund",
                        "res_id": topup.id,
                    }
                ]
            )
        )
        receipts = self._receipts(topup) | refund.sudo(False)
        pdf, _kind = (
            self.env["ir.actions.report"]
            .with_context(force_report_rendering=True)
            ._render_qweb_pdf("prepay_billing.report_receipt", receipts.ids)
        )
        widths = [
            round(float(page.mediabox.width) / 72 * 25.4) for page in PdfReader(BytesIO(pdf)).pages
        ]
        self.assertEqual(widths, [241, 80])

    def test_preview_counts_nothing(self):
        layout = self._layout("third")
        report = self.env["ir.actions.report"].with_context(force_report_rendering=True)
        name = "prepay_billing.report_receipt_preview"

        def text():
            pdf, _kind = report._render_qweb_pdf(name, layout.ids)
            return self._text(PdfReader(BytesIO(pdf)).pages[0])

        self.assertIn("Preview", text())
        self.assertIn("S2026-000000", text(), "a sample")
        receipt = self._receipts(self._topup(77.77))
        self.assertIn("77.77", text(), "the newest receipt")
        self.assertEqual(receipt.print_count, 0)

    def test_who_may_edit(self):
        layout = self.env.ref("prepay_billing.receipt_layout_third")
        with self.assertRaises(AccessError):
            layout.with_user(self.cashier).write({"footer": "x"})
        admin = new_test_user(
            self.env,
            "receipt_admin",
            groups="base.group_user,prepay_meter.group_admin",
            company_id=self.company.id,
            company_ids=[(6, 0, self.company.ids)],
        )
        layout.with_user(admin).write(
            {"footer": "x", "field_ids": [(1, layout.field_ids[0].id, {"shown": False})]}
        )
        copy = layout.with_user(admin).copy({"company_id": self.company.id})
        self.assertEqual(
            copy.field_ids.mapped("shown"), layout.field_ids.mapped("shown"), "a copy is the same"
        )
