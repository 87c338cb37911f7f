import { registry } from "@web/core/registry";

/** An operator closes an account whose meter is offline: the register is typed, the settlement shows. */
registry.category("web_tour.tours").add("prepay_closing", {
    steps: () => [
        { trigger: ".o_data_row .o_data_cell:contains(Zhang Wei)", run: "click" },
        { trigger: "button[name=action_close]", run: "click" },
        { trigger: ".o_field_widget[name=line_ids] td[name=meter_id]:contains(M-1)" },
        { trigger: ".o_field_widget[name=line_ids] td[name=register]", run: "click" },
        {
            trigger: ".o_field_widget[name=line_ids] .o_field_widget[name=register] input",
            run: "edit 109.5",
        },
        {
            trigger: ".o_field_widget[name=line_ids] .o_field_widget[name=reading_reason] input",
            run: "edit 网关损坏，现场抄表",
        },
        { trigger: ".oe_title", run: "click" },
        { trigger: ".o_field_widget[name=settlement_html] table td:contains(109.500)" },
        { trigger: ".o_field_widget[name=expected]:contains(13.54)" },
        { trigger: "button[name=action_confirm]", run: "click" },
        { trigger: ".modal-footer .btn-primary", run: "click" },
        { trigger: "button[name=action_print_receipt]" },
        { trigger: ".o_field_widget[name=refund_id]" },
    ],
});
