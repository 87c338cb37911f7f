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
            content: "Enter goes to it, and opens it",
            trigger: ".o_prb_search",
            run: "press Enter",
        },
        {
            trigger: tile("B-101", ":focus"),
            run: "click",
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
            trigger: ".o_prb_clear",
            run: "click",
        },
        {
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
    ],
});
