import { registry } from "@web/core/registry";

registry.category("web_tour.tours").add("prepay_counter_sale", {
    steps: () => [
        {
            content: "the account is found in the list",
            trigger: ".o_data_row:contains('B-101') .o_data_cell",
            run: "click",
        },
        {
            content: "the form shows the money; sell",
            trigger: "button[name='action_sell']",
            run: "click",
        },
        {
            content: "the dialogue knows the account",
            trigger: ".modal div[name='account_id'] input:value(/B-101/)",
        },
        {
            content: "enter the amount",
            trigger: ".modal div[name='amount'] input",
            run: "edit 50",
        },
        {
            content: "cash handed over",
            trigger: ".modal div[name='received'] input",
            run: "edit 100 && press Tab",
        },
        {
            content: "the change is shown",
            trigger: ".modal div[name='change']:contains('50.00')",
        },
        {
            content: "sell",
            trigger: ".modal button[name='action_sell_only']",
            run: "click",
        },
        {
            content: "the receipt has a number and is credited",
            trigger: ".o_form_view div[name='number']:contains('SD')",
        },
        {
            trigger: "button[name='action_print_receipt']",
        },
    ],
});
