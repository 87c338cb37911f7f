import json
from io import BytesIO
from unittest.mock import patch

from odoo import http
from odoo.tests import HttpCase, TransactionCase, tagged
from pypdf import PdfReader

from odoo.addons.prepay_meter.pdf import BASE_URL, LocalFetcher
from odoo.addons.web.tests import test_js

from . import test_receipt

_STATE = "odoo.addons.base.models.ir_actions_report.IrActionsReport.get_wkhtmltopdf_state"


@tagged("post_install", "-at_install")
class TestPdfEngine(TransactionCase):
    def test_reports_of_odoo_stay_with_wkhtmltopdf(self):
        others = self.env["ir.actions.report"].search([("model", "not like", "prepay.%")])
        self.assertTrue(others)
        self.assertEqual(set(others.mapped("prepay_engine")), {"wkhtmltopdf"})
        self.assertNotIn("prepay_engine", others[:1].report_action(self.env.user.ids))
        with patch(_STATE, return_value="install"):
            self.assertEqual(self.env["ir.actions.report"].get_wkhtmltopdf_state(), "install")

    def test_fetcher_serves_static_files(self):
        fetcher = LocalFetcher(self.env)
        url = f"{BASE_URL}prepay_billing/static/src/report/prepay_receipt.css"
        response = fetcher.fetch(url)
        self.assertIn(b"@page", response.read())
        self.assertEqual(response.content_type, "text/css")
        self.assertEqual(fetcher.fetch("data:text/plain,here").read(), b"here")

    def test_fetcher_serves_asset_bundles(self):
        bundle = self.env["ir.qweb"]._get_asset_bundle("web.report_assets_pdf", js=False)
        response = LocalFetcher(self.env).fetch(BASE_URL + bundle.get_link("css").lstrip("/"))
        self.assertEqual(response.read(), bundle.css().raw)
        self.assertEqual(response.content_type, "text/css")

    def test_fetcher_refuses_the_rest(self):
        fetcher = LocalFetcher(self.env)
        for url in (
            "http://example.com/logo.png",
            "https://example.com/logo.png",
            "http://127.0.0.1/logo.png",
            "ftp://example.com/logo.png",
            "file:///etc/hostname",
            f"{BASE_URL}web/image/res.users/1/image_1920",
            f"{BASE_URL}prepay_billing/models/prepay_topup.py",
            f"{BASE_URL}prepay_billing/static/%2e%2e/models/prepay_topup.py",
            f"{BASE_URL}prepay_billing/static/no_such_file.css",
        ):
            with self.subTest(url), self.assertRaises(ValueError):
                fetcher.fetch(url)


@tagged("post_install", "-at_install")
class TestPrintWithoutWkhtmltopdf(test_receipt.ReceiptCommon):
    def test_prints(self):
        topup = self._topup(10)
        with patch(_STATE, return_value="install"):
            self.assertEqual(len(self._print(topup).pages), 1)


@tagged("post_install", "-at_install")
class TestDownload(test_receipt.ReceiptCommon, HttpCase):
    def test_cashier_downloads(self):
        topups = self._topup(10) + self._topup(20)
        self.authenticate("receipt_cashier", "receipt_cashier")
        ids = ",".join(map(str, self._receipts(topups).ids))
        response = self.url_open(
            "/report/download",
            data={
                "data": json.dumps([f"/report/pdf/{test_receipt.REPORT}/{ids}", "qweb-pdf"]),
                "context": json.dumps({"force_report_rendering": True}),
                "csrf_token": http.Request.csrf_token(self),
            },
        )
        response.raise_for_status()
        self.assertEqual(response.headers["Content-Type"], "application/pdf")
        self.assertEqual(len(PdfReader(BytesIO(response.content)).pages), 2)


@tagged("post_install", "-at_install")
class TestReportHandler(test_js.HOOTCommon):
    """Suites of scripts, each with its own run."""

    # The base class tests itself.
    test_generate_hoot_hash = None
    test_get_hoot_filter = None
    _test_params = ()  # set by Odoo's own runner only

    def test_report_handler(self):
        self.run_suite("@prepay_meter/report_handler")

    def test_counter_amounts(self):
        self.run_suite("@prepay_billing/counter_amounts")

    def run_suite(self, suite):
        self._test_params = [("+", suite)]
        self.browser_js(
            f"/web/tests?headless&loglevel=2&preset=desktop&timeout=15000{self.get_hoot_filters()}",
            "",
            "",
            login="admin",
            timeout=120,
            success_signal="[HOOT] Test suite succeeded",
            error_checker=test_js.unit_test_error_checker,
        )
