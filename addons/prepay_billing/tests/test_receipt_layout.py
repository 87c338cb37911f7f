import os
import subprocess
from datetime import datetime
from io import BytesIO

from odoo.tests import tagged
from pypdf import PdfReader

from .test_receipt import ReceiptCommon

_LONG = {
    "tenant": "阿布都克里木·吾买尔江（后勤服务管理处设备维护二班）",
    "payer": "阿布都克里木·吾买尔江",
    "phone": "13800002207",
    "location": "华东第二生产基地 / 员工生活区（东区） / 3 号宿舍楼（男） / 12 层 / B-1207 室（六人间）",
    "method": "微信支付（付款码）",
    "operator": "欧阳明月",
    "quantity": "147.05 kWh",
    "amount": "999999.99",
    "balance_before": "-20.00",
    "balance_after": "999979.99",
    "settlement": "20.00",
    "received": "1000000.00",
    "change": "0.01",
    "remark": "补交 2025 年 12 月公摊水电费差额，含楼道照明、电梯及二次加压水泵分摊；住户要求开具增值税普通发票，已登记。"
    * 2,
    "authorizer": "司马相如",
    "external_number": "4200002026030112345678901234",
}


def _meters(count):
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
class TestLook(ReceiptCommon):
    def test_look(self):
        self.company.name = "华东精密制造（昆山）有限责任公司后勤服务分公司"
        self.company.street = "江苏省苏州市昆山经济技术开发区前进东路 1288 号"
        self.company.phone = "0512-5712 3456"
        self.company.vat = "91320583MA1XXXXX0X"
        self.tenant.lang = "zh_CN"
        zh = {}
        import sys

        sys.path.insert(0, "/tmp/wt")
        import receipt_zh

        receipt_zh.load(self.env)
        out = os.environ.get("LOOK")
        for layout in self.env["prepay.receipt.layout"].search([]):
            report = self.env["report.prepay_billing.report_receipt"]
            for name, values in (
                (
                    "short",
                    {
                        **self.env["report.prepay_billing.report_receipt_preview"]._sample(
                            self.company
                        )
                    },
                ),
                (
                    "long",
                    {
                        **self.env["report.prepay_billing.report_receipt_preview"]._sample(
                            self.company
                        ),
                        **_LONG,
                        "meters": _meters(12),
                    },
                ),
            ):
                paper = report._paper(
                    layout,
                    "topup" if name == "short" else "reversal",
                    values,
                    "zh_CN",
                    "S2026-000123",
                    self.company,
                    self.room._zone(),
                    reversed_number="S2026-000001",
                    reprints=2 if name == "long" else 0,
                )
                html = self.env["ir.qweb"]._render(
                    "prepay_billing.report_receipt", {"papers": [paper], "doc_model": "x"}
                )
                pdf = self.env["ir.actions.report"]._run_weasyprint(str(html))
                if out:
                    path = f"{out}/{layout.paper}_{name}"
                    open(path + ".pdf", "wb").write(pdf)
                    subprocess.run(["pdftoppm", "-r", "110", "-png", path + ".pdf", path])
                print(
                    layout.paper,
                    name,
                    [
                        (float(p.mediabox.width) / 72 * 25.4, float(p.mediabox.height) / 72 * 25.4)
                        for p in PdfReader(BytesIO(pdf)).pages
                    ],
                )
