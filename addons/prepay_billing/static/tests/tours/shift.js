import { registry } from "@web/core/registry";

const tours = registry.category("web_tour.tours");

tours.add("prepay_shift_open", {
    steps: () => [
        {
            content: "the form to open a shift is offered",
            trigger: "div[name='opening_float'] input",
            run: "edit 200 && press Tab",
        },
        {
            trigger: "button[name='action_open_shift']",
            run: "click",
        },
        {
            content: "the shift is open",
            trigger: "button[name='action_count']",
        },
    ],
});

tours.add("prepay_reverse_sale", {
    steps: () => [
        {
            trigger: "button[name='action_reverse']",
            run: "click",
        },
        {
            content: "this sale beside the last one",
            trigger: ".modal div[name='last_amount']:contains('500.00')",
        },
        {
            trigger: ".modal div[name='reason'] input",
            run: "edit 金额输错",
        },
        {
            trigger: ".modal button[name='action_confirm']",
            run: "click",
        },
        {
            content: "the reversal stands on the sale",
            trigger: ".o_form_view div[name='reversal_id']:contains('CZ')",
        },
    ],
});

tours.add("prepay_shift_hand_in", {
    steps: () => [
        {
            content: "the open shift is shown",
            trigger: "button[name='action_count']",
            run: "click",
        },
        {
            content: "the notes are counted",
            trigger: "div[name='count_ids'] .o_data_row:first td[name='quantity']",
            run: "click",
        },
        {
            trigger: "div[name='count_ids'] .o_data_row:first td[name='quantity'] input",
            run: "edit 2 && press Tab",
        },
        {
            content: "nothing is missing",
            trigger: "div[name='counted_cash'] input:value(200.00)",
        },
        {
            trigger: "button[name='action_hand_in']",
            run: "click",
        },
        {
            content: "the hand-in is final: it asks",
            trigger: ".modal .btn-primary",
            run: "click",
        },
        {
            content: "handed in",
            trigger: ".o_arrow_button_current[data-value='closed']",
        },
    ],
});

tours.add("prepay_shift_receive", {
    steps: () => [
        {
            content: "shifts by state",
            trigger: ".o_switch_view.o_kanban",
            run: "click",
        },
        {
            content: "the cash that was handed in is shown",
            trigger: ".o_kanban_record:contains('cashier-t'):contains('0.00')",
            run: "click",
        },
        {
            trigger: "button[name='action_confirm']",
            run: "click",
        },
        {
            trigger: ".o_arrow_button_current[data-value='confirmed']",
        },
    ],
});
