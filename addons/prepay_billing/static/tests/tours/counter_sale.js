import { registry } from "@web/core/registry";

const COUNTER = ".o_prepay_counter";
const SEARCH = `${COUNTER} [data-field='search']:focus`;
const AMOUNT = `${COUNTER} [data-field^='amount-']:focus`;

/** Key strokes of the cashier since the room was found. */
let strokes = 0;

/** Press keys one after the other, and count them. */
function keys(...names) {
    return async (helpers) => {
        for (const name of names) {
            strokes++;
            await helpers.press(name);
        }
    };
}

/** A scanner types everything at once and ends with Enter. */
function scan(text) {
    return async (helpers) => {
        await helpers.edit(text, SEARCH);
        await helpers.press("Enter");
        strokes = 0;
    };
}

function checkStrokes(limit) {
    return () => {
        if (strokes > limit) {
            throw new Error(`${strokes} key strokes for a sale, at most ${limit}`);
        }
    };
}

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
            content: "the counter knows the account; the amount has the focus",
            trigger: AMOUNT,
            run: "edit 50",
        },
        {
            content: "what will be available",
            trigger: `${COUNTER}_account:contains('50.00')`,
        },
        {
            content: "cash handed over",
            trigger: `${COUNTER} [data-field='received']`,
            run: "edit 100",
        },
        {
            content: "the change is shown",
            trigger: `${COUNTER}_change:contains('50.00')`,
        },
        {
            content: "sell",
            trigger: `${COUNTER}_sell`,
            run: "click",
        },
        {
            content: "the new balance",
            trigger: `${COUNTER}_result ${COUNTER}_new:contains('50.00')`,
        },
        {
            content: "the sale is among the last ones",
            trigger: `${COUNTER}_recent td:contains('50.00')`,
        },
    ],
});

registry.category("web_tour.tours").add("prepay_counter_keyboard", {
    steps: () => [
        {
            content: "the search has the focus; a part of the room, as a scanner types it",
            trigger: SEARCH,
            run: scan("b101"),
        },
        {
            content: "nothing is wrong yet; too much at once is refused under the field",
            trigger: AMOUNT,
            run: keys("9", "9", "9", "9", "Enter"),
        },
        {
            content: "the text and the focus stay where they were",
            trigger: `${COUNTER}_error:not(:empty)`,
        },
        {
            trigger: `${AMOUNT}:value(9999)`,
            run: async (helpers) => {
                strokes = 0;
                await keys("5", "0", "Tab")(helpers);
            },
        },
        {
            trigger: `${COUNTER} [data-field='received']:focus`,
            run: keys("8", "0", "Enter"),
        },
        {
            content: "sold, with the change",
            trigger: `${COUNTER}_result ${COUNTER}_change:contains('30.00')`,
            run: checkStrokes(6),
        },
        {
            content: "paid, credited, and the power is on",
            trigger: `${COUNTER}_steps [data-step='power'][data-state='done']`,
            run: "press Escape",
        },
        {
            content: "the next customer is the same one; the second press is asked about",
            trigger: `${COUNTER}:not(:has(${COUNTER}_account)) [data-field='search']:focus`,
            run: scan("13800000001"),
        },
        {
            trigger: AMOUNT,
            run: keys("ArrowDown", "ArrowDown", "F2", "Enter"),
        },
        {
            content: "the same amount a moment ago: asked once",
            trigger: `${COUNTER}_error.alert-warning`,
            run: "press Enter",
        },
        {
            content: "the first and the second sale are in the balance",
            trigger: `${COUNTER}_result ${COUNTER}_new:contains('100.00')`,
            run: async (helpers) => {
                strokes++;
                checkStrokes(6)();
                await helpers.press("Escape");
            },
        },
        {
            content: "kWh instead of an amount",
            trigger: SEARCH,
            run: scan("M-1"),
        },
        {
            trigger: AMOUNT,
            run: keys("F8", "1", "0"),
        },
        {
            content: "the amount is computed and shown",
            trigger: `${COUNTER}_quote:contains('6.80')`,
            run: keys("Enter"),
        },
        {
            trigger: `${COUNTER}_result ${COUNTER}_new:contains('106.80')`,
            run: checkStrokes(6),
        },
        {
            content: "typing begins the next search",
            trigger: `${COUNTER}_result:focus`,
            run: "press b",
        },
        {
            trigger: SEARCH,
        },
    ],
});

registry.category("web_tour.tours").add("prepay_counter_water", {
    steps: () => [
        {
            trigger: SEARCH,
            run: "edit B-10",
        },
        {
            content: "results while typing; the arrow chooses the second",
            trigger: `${COUNTER}_results .dropdown-item:nth-child(2)`,
            run: "press ArrowDown && press ArrowUp && press Enter",
        },
        {
            content: "both accounts of the room",
            trigger: `${COUNTER}:has([data-field^='amount-']:eq(1)) [data-field^='amount-']:focus`,
            run: keys("3", "0", "Tab"),
        },
        {
            trigger: `${COUNTER} .mb-3:nth-child(2) [data-field^='amount-']:focus`,
            run: keys("2", "0", "Enter"),
        },
        {
            trigger: `${COUNTER}_result:contains('50.00')`,
        },
        {
            trigger: `${COUNTER}_result ${COUNTER}_new:eq(1)`,
            run: "press Escape",
        },
        {
            trigger: SEARCH,
        },
    ],
});
