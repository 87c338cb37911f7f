import { registry } from "@web/core/registry";
import { Interaction } from "@web/public/interaction";

const INTERVAL = 2000; // ms; power is back within seconds of a payment
const PATIENCE = 300; // rounds

/** Keeps the steps of a top-up current until its last one is reached. */
export class PrepaidOrderStatus extends Interaction {
    static selector = ".o_prepaid_order[data-running]";

    start() {
        this.rounds = 0;
        this.refreshLater();
    }

    refreshLater() {
        if (this.rounds++ < PATIENCE && this.el.dataset.running) {
            this.waitForTimeout(() => this.refresh(), INTERVAL);
        }
    }

    async refresh() {
        try {
            const response = await this.waitFor(fetch(this.el.dataset.stepsUrl));
            if (response.ok) {
                const page = new DOMParser().parseFromString(
                    await this.waitFor(response.text()),
                    "text/html"
                );
                const fresh = page.querySelector(".o_prepaid_order");
                this.el.replaceChildren(...fresh.childNodes);
                this.el.dataset.running = fresh.dataset.running || "";
            }
        } catch {
            // The network of a phone comes and goes: the next round tries again.
        }
        this.refreshLater();
    }
}

registry.category("public.interactions").add("prepay_payment.order_status", PrepaidOrderStatus);
