import { onMounted, onWillUnmount } from "@odoo/owl";
import { browser } from "@web/core/browser/browser";
import { registry } from "@web/core/registry";
import { FormController } from "@web/views/form/form_controller";
import { formView } from "@web/views/form/form_view";

export const READING_REFRESH_MS = 2000;

/** A form of an opening: readings that were asked for appear by themselves. */
export class OpeningFormController extends FormController {
    setup() {
        super.setup();
        let timer;
        let running = false;
        onMounted(() => {
            timer = browser.setInterval(async () => {
                if (running || document.hidden || !this.isWaiting()) {
                    return;
                }
                running = true;
                try {
                    const root = this.model.root;
                    if (!(await root.isDirty())) {
                        await this.orm.call(root.resModel, "action_take_readings", [[root.resId]]);
                        await root.load();
                    }
                } finally {
                    running = false;
                }
            }, READING_REFRESH_MS);
        });
        onWillUnmount(() => browser.clearInterval(timer));
    }

    isWaiting() {
        const root = this.model.root;
        if (!this.model.isReady || !root.resId || root.data.state !== "draft") {
            return false;
        }
        return root.data.line_ids.records.some((line) => line.data.reading_state === "waiting");
    }
}

registry
    .category("views")
    .add("prepay_opening_form", { ...formView, Controller: OpeningFormController });
