import { registry } from "@web/core/registry";

registry.category("web_tour.tours").add("prepay_opening", {
    steps: () => [
        {
            content: "accounts come about by openings",
            trigger: ".o_list_view",
        },
        {
            trigger: ".o_control_panel:not(:has(.o_list_button_add)) .o_prepay_open_account",
            run: "click",
        },
        {
            content: "what is missing stands on the form",
            trigger: ".o_form_view div[name='checks_html']:contains('✗')",
        },
        {
            content: "the room, by keyboard",
            trigger: "div[name='location_id'] input",
            run: "edit C-101",
        },
        {
            trigger: ".o-autocomplete--dropdown-item:contains('C-101')",
        },
        {
            trigger: "div[name='location_id'] input",
            run: "press Enter",
        },
        {
            content: "its free meters with their readings",
            trigger: ".o_data_row:contains('P-1'):contains('1,234.567')",
        },
        {
            trigger: ".o_data_row:contains('W-1')",
        },
        {
            content: "a new tenant",
            trigger: "div[name='tenant_name'] input",
            run: "edit 李娜",
        },
        {
            trigger: "div[name='tenant_phone'] input",
            run: "edit 13900000002",
        },
        {
            trigger: "div[name='amount'] input",
            run: "edit 100 && press Tab",
        },
        {
            content: "money of the replaced meter, in the list",
            trigger: ".o_data_row:contains('P-1') td[name='carried']",
            run: "click",
        },
        {
            trigger: ".o_selected_row td[name='carried'] input",
            run: "edit 20 && press Tab",
        },
        {
            trigger: "div[name='received'] input",
            run: "edit 150 && press Tab",
        },
        {
            content: "the change and the balance are shown",
            trigger: "div[name='change']:contains('50.00')",
        },
        {
            trigger: "div[name='balance_start']:contains('120.00')",
        },
        {
            content: "nothing is missing any more",
            trigger: "div[name='checks_html']:contains('✓'):not(:contains('✗'))",
        },
        {
            trigger: "div[name='print_receipt'] input",
            run: "click",
        },
        {
            trigger: "button[name='action_open']",
            run: "click",
        },
        {
            content: "opened: the account and the receipt are there",
            trigger: "button[name='action_print_receipt']",
        },
        {
            trigger: ".o_form_view div[name='account_ids'] .o_tag:contains('李娜')",
        },
        {
            content: "to the account",
            trigger: "button[name='action_show_account']",
            run: "click",
        },
        {
            trigger: ".o_form_view button[name='action_show_openings']:contains('1')",
        },
    ],
});

registry.category("web_tour.tours").add("prepay_opening_many", {
    steps: () => [
        {
            content: "choose all presets",
            trigger: ".o_list_view thead .o_list_record_selector input",
            run: "click",
        },
        {
            trigger: "button[name='action_open_many']",
            run: "click",
        },
        {
            content: "the result of each room, and the sums",
            trigger: ".o_form_view div[name='done_count']:contains('1')",
        },
        {
            trigger: "div[name='failed_count']:contains('1')",
        },
        {
            trigger: ".o_data_row:contains('P-9') td[name='problem'], .o_data_row:contains('C-109')",
        },
    ],
});
