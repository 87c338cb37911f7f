import { onMounted, onWillUnmount } from "@odoo/owl";
import { browser } from "@web/core/browser/browser";
import { registry } from "@web/core/registry";
import { FormController } from "@web/views/form/form_controller";
import { formView } from "@web/views/form/form_view";
import { ListController } from "@web/views/list/list_controller";
import { listView } from "@web/views/list/list_view";

export const LIST_REFRESH_MS = 2000;
export const FORM_REFRESH_MS = 1000;
/** States of a record that somebody else still works on. */
const BUSY = ["queued", "running"];

/**
 * Calls `refresh` again and again while the view is on the screen and its tab is in front.
 * One call at a time: a slow server is not asked twice.
 *
 * @param {() => Promise<void>} refresh
 * @param {number} milliseconds
 */
export function useRefresh(refresh, milliseconds) {
    let timer;
    let running = false;
    onMounted(() => {
        timer = browser.setInterval(async () => {
            if (running || document.hidden) {
                return;
            }
            running = true;
            try {
                await refresh();
            } finally {
                running = false;
            }
        }, milliseconds);
    });
    onWillUnmount(() => browser.clearInterval(timer));
}

/** A list that shows by itself what others write, such as frames on the wire. */
export class LiveListController extends ListController {
    setup() {
        super.setup();
        useRefresh(async () => {
            const root = this.model.root;
            // Do not take the ticks from under the reader's mouse.
            if (this.model.isReady && !root.selection.length && !root.editedRecord) {
                await root.load();
            }
        }, LIST_REFRESH_MS);
    }
}

/** A form that shows by itself what becomes of a record in the states "queued" and "running". */
export class LiveFormController extends FormController {
    setup() {
        super.setup();
        useRefresh(async () => {
            const root = this.model.root;
            if (root.resId && BUSY.includes(root.data.state) && !(await root.isDirty())) {
                await root.load();
            }
        }, FORM_REFRESH_MS);
    }
}

registry.category("views").add("prepay_live_list", { ...listView, Controller: LiveListController });
registry.category("views").add("prepay_live_form", { ...formView, Controller: LiveFormController });
