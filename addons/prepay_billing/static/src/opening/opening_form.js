import { onMounted, onWillUnmount } from "@odoo/owl";
import { browser } from "@web/core/browser/browser";
import { registry } from "@web/core/registry";
import { FormController } from "@web/views/form/form_controller";
import { formView } from "@web/views/form/form_view";

export const READING_REFRESH_MS = 2000;

/** A form of an opening: new readings appear by themselves. */
export class OpeningFormController extends FormController {
    setup() {
        super.setup();
        let timer;
        let running = false;
        const take = async () => {
            const root = this.model.root;
            if (running || document.hidden || !this.isOpen()) {
                return;
            }
            running = true;
            try {
                if (!(await root.isDirty())) {
                    await this.orm.call(root.resModel, "action_take_readings", [[root.resId]]);
                    await root.load();
                }
            } finally {
                running = false;
            }
        };
        onMounted(() => {
            take(); // a preset may be older than the newest readings
            timer = browser.setInterval(() => this.isWaiting() && take(), READING_REFRESH_MS);
        });
        onWillUnmount(() => browser.clearInterval(timer));
    }

    isOpen() {
        const root = this.model.root;
        return this.canEdit && this.model.isReady && root.resId && root.data.state === "draft";
    }

    isWaiting() {
        const lines = this.isOpen() ? this.model.root.data.line_ids.records : [];
        return lines.some((line) => line.data.reading_state === "waiting");
    }
}

registry
    .category("views")
    .add("prepay_opening_form", { ...formView, Controller: OpeningFormController });
