import { beforeEach, expect, test } from "@odoo/hoot";
import { defineMailModels } from "@mail/../tests/mail_test_helpers";
import {
    getService,
    mountWithCleanup,
    onRpc,
    patchWithCleanup,
} from "@web/../tests/web_test_helpers";
import { download } from "@web/core/network/download";
import { WebClient } from "@web/webclient/webclient";

defineMailModels();

const REPORT = {
    type: "ir.actions.report",
    report_type: "qweb-pdf",
    report_name: "some_report",
    context: { active_ids: [1, 2] },
};

beforeEach(async () => {
    patchWithCleanup(download, {
        _download: (options) => {
            const [url, type] = JSON.parse(options.data.data);
            expect.step(`${options.url} ${url} ${type}`);
            return Promise.resolve();
        },
    });
    onRpc("/report/check_wkhtmltopdf", () => {
        expect.step("state of wkhtmltopdf");
        return "ok";
    });
    await mountWithCleanup(WebClient);
});

test("WeasyPrint prints without asking for wkhtmltopdf", async () => {
    await getService("action").doAction({ ...REPORT, prepay_engine: "weasyprint" });
    expect.verifySteps(["/report/download /report/pdf/some_report/1,2 qweb-pdf"]);
});

test("other reports go Odoo's way", async () => {
    await getService("action").doAction({ ...REPORT, prepay_engine: "wkhtmltopdf" });
    expect.verifySteps([
        "state of wkhtmltopdf",
        "/report/download /report/pdf/some_report/1,2 qweb-pdf",
    ]);
});
