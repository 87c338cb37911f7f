import { registry } from "@web/core/registry";

registry.category("web_tour.tours").add("prepay_batch", {
    steps: () => [
        {
            content: "the meters of the list",
            trigger: ".o_data_row:contains('M-1')",
        },
        {
            content: "choose all",
            trigger: "thead .o_list_record_selector input",
            run: "click",
        },
        {
            content: "the menu of actions",
            trigger: ".o_cp_action_menus .dropdown-toggle:has(.fa-cog)",
            run: "click",
        },
        {
            trigger: ".o-dropdown--menu .o-dropdown-item:contains('批量操作'), .o-dropdown--menu .o-dropdown-item:contains('Batch Operation')",
            run: "click",
        },
        {
            content: "the states of the meters, as tiles",
            trigger: ".o_prepay_batch_tiles button[data-code='not_opened']:contains('2')",
        },
        {
            content: "switch off",
            trigger: "div[name='kind'] input",
            run: "click",
        },
        {
            trigger: ".o_select_menu_item:contains('强制停电'), .o_select_menu_item:contains('Force Off')",
            run: "click",
        },
        {
            content: "why",
            trigger: "div[name='reason'] input",
            run: "edit 线路检修",
        },
        {
            content: "only those that are opened",
            trigger: ".o_prepay_batch_tiles button[data-code='opened']",
            run: "click",
        },
        {
            content: "one is left",
            trigger: "div[name='chosen_count']:contains('1')",
        },
        {
            trigger: "button[name='action_preview']",
            run: "click",
        },
        {
            content: "whom it touches",
            trigger: "div[name='warnings']:contains('1')",
        },
        {
            content: "the meter, from what to what",
            trigger: "div[name='line_ids'] .o_data_row:contains('M-1')",
        },
        {
            content: "start",
            trigger: "button[name='action_confirm']:visible",
            run: "click",
        },
        {
            content: "it waits for its turn, with a bar of progress",
            trigger: "div[name='progress'] .o_progressbar",
        },
        {
            trigger: "button[name='action_cancel']:visible",
        },
    ],
});

registry.category("web_tour.tours").add("prepay_batch_live", {
    steps: () => [
        {
            content: "by itself the form shows what is done",
            trigger: "div[name='done_count']:contains('1')",
        },
        {
            trigger: "button[name='action_undo']:visible",
        },
        {
            content: "the results, meter by meter",
            trigger: "button[name='action_open_lines']",
            run: "click",
        },
        {
            trigger: ".o_list_view .o_data_row:contains('M-1')",
        },
    ],
});
