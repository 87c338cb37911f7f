import { Component } from "@odoo/owl";
import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

/** The saved layout as paper; the value of the field changes with each save and draws it anew. */
export class ReceiptPreview extends Component {
    static template = "prepay_billing.ReceiptPreview";
    static props = { ...standardFieldProps };

    get url() {
        const { resId, data } = this.props.record;
        const stamp = encodeURIComponent(data[this.props.name] || "");
        return resId && `/report/html/prepay_billing.report_receipt_preview/${resId}?stamp=${stamp}`;
    }
}

registry.category("fields").add("prepay_receipt_preview", {
    component: ReceiptPreview,
    supportedTypes: ["char"],
});
