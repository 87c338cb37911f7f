import { Component, onWillStart, onWillUpdateProps, useState } from "@odoo/owl";
import { deserializeDateTime, formatDateTime } from "@web/core/l10n/dates";
import { user } from "@web/core/user";
import { KeepLast } from "@web/core/utils/concurrency";
import { useService } from "@web/core/utils/hooks";
import { LABELS, money } from "./room_block";

/** A room with its accounts and meters, and what can be done there. */
export class RoomPanel extends Component {
    static template = "prepay_billing.RoomPanel";
    static props = {
        room: Object,
        medium: String,
        may: Object,
        close: Function,
        /** Called after an action that may have changed the room. */
        done: Function,
    };

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.state = useState({ data: null });
        this.keepLast = new KeepLast();
        this.labels = LABELS;
        this.money = money;
        onWillStart(() => {
            this.look(this.props);
        });
        onWillUpdateProps((next) => {
            if (next.room.id !== this.props.room.id) {
                this.state.data = null;
            }
            if (next.room !== this.props.room || next.medium !== this.props.medium) {
                this.look(next);
            }
        });
    }

    /** Ask for the details; what is on the screen stays until they are there. */
    async look({ room, medium }) {
        const request = this.orm.silent.call("prepay.room.board", "details", [room.id, medium]);
        this.state.data = await this.keepLast.add(request);
    }

    time(text) {
        return text ? formatDateTime(deserializeDateTime(text)) : "";
    }

    get meterIds() {
        return this.state.data.meters.filter((meter) => meter.reachable).map((meter) => meter.id);
    }

    async readNow() {
        await this.run("prepay.meter", "action_read_now", [this.meterIds]);
    }

    switchSupply(action) {
        return this.run("prepay.meter", "action_switch", [this.meterIds], {
            context: { ...user.context, default_action: action },
        });
    }

    /** Run a method that answers with an action, and look again when its dialogue closes. */
    async run(model, method, args, kwargs = {}) {
        const action = await this.orm.call(model, method, args, kwargs);
        await this.action.doAction(action, { onClose: () => this.done() });
    }

    done() {
        this.look(this.props);
        this.props.done();
    }

    sell(account) {
        return this.action.doAction({
            type: "ir.actions.client",
            tag: "prepay_billing.counter",
            params: { account_id: account.id },
        });
    }

    openAccount() {
        return this.action.doAction("prepay_billing.prepay_opening_action", {
            additionalContext: { default_location_id: this.props.room.id },
            viewType: "form",
            onClose: () => this.done(),
        });
    }

    closeAccount(account) {
        return this.action.doAction("prepay_billing.prepay_closing_action", {
            additionalContext: { default_account_id: account.id },
            viewType: "form",
            onClose: () => this.done(),
        });
    }

    history(account) {
        const method =
            this.state.data.history === "entries" ? "action_open_entries" : "action_open_charges";
        return this.run("prepay.account", method, [[account.id]]);
    }

    openForm(model, id) {
        return this.action.doAction({
            type: "ir.actions.act_window",
            res_model: model,
            res_id: id,
            views: [[false, "form"]],
        });
    }
}
