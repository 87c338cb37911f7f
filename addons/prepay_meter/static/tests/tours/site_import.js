import { registry } from "@web/core/registry";

/** Put a file of the server into the upload field of the dialogue. */
async function upload(xmlid) {
    const response = await fetch(`/web/content/${xmlid}`);
    const file = new File([await response.blob()], `${xmlid}.xlsx`);
    const transfer = new DataTransfer();
    transfer.items.add(file);
    const input = document.querySelector(".modal .o_field_binary input[type=file]");
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
}

registry.category("web_tour.tours").add("prepay_site_import", {
    steps: () => [
        {
            content: "open the menu of the configuration",
            trigger: "button[data-menu-xmlid='prepay_meter.menu_configuration']",
            run: "click",
        },
        {
            trigger: ".dropdown-item[data-menu-xmlid='prepay_meter.menu_site_import']",
            run: "click",
        },
        {
            content: "the dialogue offers a template",
            trigger: ".modal button[name='action_template']",
        },
        {
            content: "a file with a mistake",
            trigger: ".modal .o_field_binary .o_select_file_button",
            run: () => upload("prepay_meter.tour_bad_workbook"),
        },
        {
            trigger: ".modal .o_field_binary input:value(/bad_workbook/)",
        },
        {
            trigger: ".modal button[name='action_check']",
            run: "click",
        },
        {
            content: "the mistake is named with its row",
            trigger: ".modal .o_prepay_problems tr:contains('Nowhere'):contains('2')",
        },
        {
            trigger: ".modal button[name='action_report']",
        },
        {
            content: "another file",
            trigger: ".modal button[name='action_back']",
            run: "click",
        },
        {
            trigger: ".modal .o_field_binary .o_select_file_button",
            run: () => upload("prepay_meter.tour_good_workbook"),
        },
        {
            trigger: ".modal .o_field_binary input:value(/good_workbook/)",
        },
        {
            trigger: ".modal button[name='action_check']",
            run: "click",
        },
        {
            content: "two new meters are announced",
            trigger: ".modal tr:contains('Meters') .o_prepay_new:contains('2')",
        },
        {
            trigger: ".modal button[name='action_import']",
            run: "click",
        },
        {
            trigger: ".modal .alert-success:contains('Everything was imported')",
        },
        {
            trigger: ".modal-footer button.btn:contains('Close')",
            run: "click",
        },
        {
            trigger: "body:not(:has(.modal))",
        },
    ],
});
