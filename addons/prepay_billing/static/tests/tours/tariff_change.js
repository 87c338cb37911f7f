import { registry } from "@web/core/registry";

registry.category("web_tour.tours").add("prepay_tariff_change", {
    steps: () => [
        {
            content: "the tariff is found in the list",
            trigger: ".o_data_row:contains('By the hour') .o_data_cell",
            run: "click",
        },
        {
            content: "the form shows the hours of the day in colours",
            trigger: ".o_form_view .o_prepay_day span[role='img'][aria-label*='8:00–24:00 Peak']",
        },
        {
            content: "prepare a new price",
            trigger: "button[name='action_new_price']",
            run: "click",
        },
        {
            content: "the draft has the tiers of the price before; change one",
            trigger: "div[name='price_ids'] .o_data_row:first td[name='peak']",
            run: "click",
        },
        {
            trigger: "div[name='price_ids'] .o_data_row:first td[name='peak'] input",
            run: "edit 1.25",
        },
        {
            content: "say why",
            trigger: "div[name='remark'] input",
            run: "edit Grid price of the new year",
        },
        {
            content: "hand it in",
            trigger: "button[name='action_submit']:contains('Submit for Approval')",
            run: "click",
        },
        {
            content: "it waits, and its figures are locked",
            trigger: ".o_arrow_button_current:contains('Waiting for Approval')",
        },
        {
            content: "what changes is shown to whoever approves",
            trigger: ".o_notebook a[name='changes']",
            run: "click",
        },
        {
            trigger: "div[name='changes'] tr:contains('Tier 1, Peak'):contains('1.25 / kWh')",
        },
    ],
});

registry.category("web_tour.tours").add("prepay_tariff_approve", {
    steps: () => [
        {
            content: "the second person approves",
            trigger: "button[name='action_approve']",
            run: "click",
        },
        {
            trigger: ".o_arrow_button_current:contains('Approved')",
        },
        {
            content: "and looks at the hours",
            trigger: ".o_notebook a[name='hours']",
            run: "click",
        },
        {
            trigger: "div[name='day_picture'] .o_prepay_day",
        },
    ],
});

registry.category("web_tour.tours").add("prepay_tariff_simulation", {
    steps: () => [
        {
            content: "choose the meter",
            trigger: "div[name='meter_id'] input",
            run: "edit M-1",
        },
        {
            trigger: ".o-autocomplete--dropdown-item:contains('M-1')",
            run: "click",
        },
        {
            content: "its own tariff is known",
            trigger: "div[name='tariff_id'] input:value(/Flat/)",
        },
        {
            content: "the other one",
            trigger: "div[name='other_tariff_id'] input",
            run: "edit By the hour",
        },
        {
            trigger: ".o-autocomplete--dropdown-item:contains('By the hour')",
            run: "click",
        },
        {
            trigger: "button[name='action_simulate']",
            run: "click",
        },
        {
            content: "usage and money by rate and tier",
            trigger: "div[name='summary'] tr:contains('Peak')",
        },
        {
            content: "the intervals behind it",
            trigger: "button[name='action_intervals']",
            run: "click",
        },
        {
            trigger: ".o_list_view .o_group_header:contains('B')",
            run: "click",
        },
        {
            trigger: ".o_data_row:contains('Peak')",
        },
    ],
});
