import { Component } from "@odoo/owl";
import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

/** Colours of the states, as on the state grids that operators know. */
const COLOURS = {
    opened: "text-bg-success",
    alarm1: "text-bg-info",
    alarm2: "text-bg-warning",
    arrears: "text-bg-danger",
    cut: "text-bg-dark",
    not_opened: "text-bg-light",
    lost: "text-bg-secondary",
};

/** How many meters are in each state; a click chooses the state, or no longer does. */
export class BatchTiles extends Component {
    static template = "prepay_billing.BatchTiles";
    static props = { ...standardFieldProps };

    get chosen() {
        return (this.props.record.data.tiles || "").split(",").filter(Boolean);
    }

    get tiles() {
        return (this.props.record.data[this.props.name] || []).map((tile) => ({
            ...tile,
            colour: COLOURS[tile.code],
            isChosen: this.chosen.includes(tile.code),
        }));
    }

    toggle(code) {
        if (this.props.readonly && this.props.record.data.state !== "draft") {
            return;
        }
        const chosen = this.chosen;
        const next = chosen.includes(code)
            ? chosen.filter((other) => other !== code)
            : [...chosen, code];
        this.props.record.update({ tiles: next.join(",") });
    }
}

registry.category("fields").add("prepay_batch_tiles", {
    component: BatchTiles,
    supportedTypes: ["json"],
});
