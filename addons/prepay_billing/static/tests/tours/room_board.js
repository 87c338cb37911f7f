import { registry } from "@web/core/registry";

const tile = (name, more = "") => `.o_prb_tile:has(.o_prb_name:contains(/^${name}$/))${more}`;

registry.category("web_tour.tours").add("prepay_room_board", {
    steps: () => [
        {
            content: "all rooms are there, on their floors",
            trigger: `.o_prb_shown:contains(/^3$/)`,
        },
        {
            content: "the supply stands on the tile as colour, icon and word",
            trigger: tile("B-101", ".o_prb_supply_on .fa-bolt"),
        },
        {
            content: "a filter shows the rooms that are not opened",
            trigger: ".o_prb_facet[data-facet='balance:vacant']:contains(2)",
            run: "click",
        },
        {
            trigger: `.o_prb:not(:has(${tile("B-101")})) .o_prb_shown:contains(/^2$/)`,
        },
        {
            content: "a second one of the same kind widens",
            trigger: ".o_prb_facet[data-facet='balance:normal']",
            run: "click",
        },
        {
            trigger: ".o_prb_shown:contains(/^3$/)",
        },
        {
            trigger: ".o_prb_clear",
            run: "click",
        },
        {
            content: "the tenant's phone finds the room",
            trigger: ".o_prb_search",
            run: "edit 1380000",
        },
        {
            content: "Enter goes to it",
            trigger: ".o_prb_search",
            run: "press Enter",
        },
        {
            trigger: tile("B-101", ":focus"),
            run: "press /",
        },
        {
            content: "the slash leads back to the search",
            trigger: ".o_prb_search:focus",
            run: "clear",
        },
        {
            trigger: ".o_prb_search:focus",
            run: "press ArrowDown",
        },
        {
            content: "arrows go from tile to tile",
            trigger: tile("B-101", ":focus"),
            run: "press ArrowRight",
        },
        {
            trigger: tile("B-102", ":focus"),
            run: "press ArrowDown",
        },
        {
            trigger: tile("B-1001", ":focus"),
            run: "press Home",
        },
        {
            trigger: tile("B-101", ":focus"),
            run: "press Enter",
        },
        {
            content: "the panel shows the money and the meter",
            trigger: ".o_prb_panel .o_prb_available:contains(30.00)",
        },
        {
            trigger: ".o_prb_panel .o_prb_card .o_prb_supply_on",
        },
        {
            content: "an operator who is no cashier does not sell",
            trigger: ".o_prb_panel:not(:has(button[name='sell'])) button[name='switch']",
            run: "click",
        },
        {
            content: "the dialogue knows the meter and that it is on",
            trigger: ".modal div[name='action'] input[data-value='open']:checked",
        },
        {
            trigger: ".modal div[name='meter_ids']:contains('M-1')",
        },
        {
            trigger: ".modal div[name='reason'] input",
            run: "edit Repair",
        },
        {
            trigger: ".modal button[name='action_confirm']",
            run: "click",
        },
        {
            content: "the tile follows without a reload: the command runs",
            trigger: tile("B-101", ".o_prb_supply_switching"),
        },
        {
            content: "and then what the meter reports, told by the bus",
            trigger: tile("B-101", ".o_prb_supply_off .fa-power-off"),
        },
        {
            content: "the open panel as well",
            trigger: ".o_prb_panel .o_prb_card .o_prb_supply_off",
        },
        {
            content: "select a whole floor",
            trigger: ".o_prb_select",
            run: "click",
        },
        {
            trigger: ".o_prb_floor:contains('2F') button",
            run: "click",
        },
        {
            trigger: ".o_prb_bar b:contains(2)",
        },
        {
            trigger: ".o_prb_bar button[name='batch']:enabled",
        },
        {
            content: "small tiles, and back to the room",
            trigger: ".o_prb_density",
            run: "click",
        },
        {
            trigger: ".o_prb_compact .o_prb_tile.o_prb_selected",
        },
        {
            trigger: ".o_prb_density",
            run: "click",
        },
        {
            content: "a batch operation begins with their meters",
            trigger: ".o_prb_bar button[name='batch']",
            run: "click",
        },
        {
            trigger: ".o_form_view .o_form_editable",
        },
    ],
});

registry.category("web_tour.tours").add("prepay_room_board_auditor", {
    steps: () => [
        {
            content: "the auditor sees the rooms and has nothing to select them for",
            trigger: `.o_prb:not(:has(.o_prb_select)) ${tile("B-101")}`,
            run: "click",
        },
        {
            content: "and in the room nothing to change",
            trigger: ".o_prb_panel .o_prb_available:contains(30.00)",
        },
        {
            trigger: ".o_prb_panel:not(:has(button[name='switch'], button[name='sell'], button[name='close_account'], button[name='read_now']))",
        },
        {
            trigger: ".o_prb_panel button[name='history']",
            run: "click",
        },
        {
            content: "back again the room is still open",
            trigger: ".o_list_view .o_data_row, .o_back_button, .breadcrumb-item a",
        },
        {
            trigger: ".breadcrumb-item a, .o_back_button",
            run: "click",
        },
        {
            trigger: ".o_prb_panel .o_prb_available:contains(30.00)",
        },
    ],
});

registry.category("web_tour.tours").add("prepay_room_board_empty", {
    steps: () => [
        {
            content: "an empty board shows the way to import sites",
            trigger: ".o_prb_empty button[name='import_sites']",
            run: "click",
        },
        {
            trigger: ".o_form_view",
        },
    ],
});
