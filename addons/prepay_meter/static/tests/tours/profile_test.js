import { registry } from "@web/core/registry";

registry.category("web_tour.tours").add("prepay_profile_test", {
    steps: () => [
        {
            content: "the profile is tried on a meter",
            trigger: ".o_form_view button[name='action_test']",
            run: "click",
        },
        {
            content: "choose a meter",
            trigger: ".modal div[name='meter_id'] input",
            run: "edit M-1",
        },
        {
            trigger: ".dropdown-item:contains('M-1')",
            run: "click",
        },
        {
            content: "it brings gateway and address",
            trigger: ".modal div[name='address'] input:value(000000000001)",
        },
        {
            trigger: ".modal button[name='action_test']",
            run: "click",
        },
        {
            content: "values appear by themselves, in both units",
            trigger: ".o_prepay_probe tr:contains('1,234.560 kWh'):contains('1234560 Wh')",
        },
        {
            content: "errors stand beside their point",
            trigger: ".o_prepay_probe tr.table-danger:contains('No answer')",
        },
        {
            content: "the frames are there",
            trigger: ".nav-link[name='frames']",
            run: "click",
        },
        {
            trigger: ".o_field_widget[name='frames']:contains('68 01 00 00')",
        },
        {
            trigger: ".o_form_view button[name='action_again']",
        },
    ],
});
