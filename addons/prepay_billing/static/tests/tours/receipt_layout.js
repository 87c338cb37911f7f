import { registry } from "@web/core/registry";

registry.category("web_tour.tours").add("prepay_receipt_layout", {
    steps: () => [
        {
            content: "open the layout",
            trigger: ".o_data_row:contains('Tour layout') td[name='name']",
            run: "click",
        },
        {
            content: "the preview shows the phone",
            trigger: ":iframe .form td:contains('138****2207')",
        },
        {
            content: "switch the field off",
            trigger: ".o_data_row:contains('Phone'):first div[name='shown'] input",
            run: "click",
        },
        {
            content: "save",
            trigger: ".o_form_button_save",
            run: "click",
        },
        {
            content: "saved",
            trigger: ".o_form_saved",
        },
        {
            content: "the preview is without the phone",
            trigger: ":iframe .form:not(:contains('138****2207'))",
        },
        {
            trigger: "button[name='action_preview']",
        },
    ],
});
