import {
    Component,
    onMounted,
    onPatched,
    onWillStart,
    useExternalListener,
    useRef,
    useState,
} from "@odoo/owl";
import { useRefresh } from "@prepay_meter/live/live_views";
import { browser } from "@web/core/browser/browser";
import { _t } from "@web/core/l10n/translation";
import { RPCError } from "@web/core/network/rpc";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardActionServiceProps } from "@web/webclient/actions/action_service";
import { channelOf, fenText, plainNumber, toFen } from "./amounts";

export const SEARCH_DELAY_MS = 120;
export const REFRESH_MS = 1000;
/** While nothing is expected to happen, every so many refreshes ask the server. */
const QUIET_REFRESHES = 3;
const WAIT_MS = 1500;
const METHOD_KEYS = ["F1", "F2", "F3", "F4", "F6", "F7"];
const MODEL = "prepay.counter";
const UNITS = { electricity: "kWh", water: "m³" };
const TONES = {
    normal: "success",
    alarm1: "warning",
    alarm2: "warning",
    arrears: "danger",
    cut: "danger",
    on: "success",
    off: "danger",
    switching: "info",
    unknown: "secondary",
};

/**
 * The counter (售电窗口): find, enter, sell, next customer, all by keys.
 *
 * The server decides what may be sold; this screen only shows what it answers, under the field it names.
 */
export class CounterScreen extends Component {
    static template = "prepay_billing.Counter";
    static props = { ...standardActionServiceProps };
    static path = "prepay-counter";

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.ui = useService("ui");
        this.root = useRef("root");
        this.asked = 0;
        this.refreshes = 0;
        this.wanted = "search";
        this.setupValues = { methods: [], quick_amounts: [] };
        this.state = useState({
            text: "",
            results: null,
            cursor: 0,
            searching: false,
            print: false,
            shift: false,
            accounts: [],
            recent: [],
            lines: {},
            method: "cash",
            received: "",
            code: "",
            note: "",
            showNote: false,
            errors: {},
            duplicate: false,
            busy: false,
            waiting: false,
            sale: null,
            printed: "",
        });
        onWillStart(async () => {
            this.setupValues = await this.orm.call(MODEL, "setup", []);
            this.state.print = this.setupValues.print;
            this.state.shift = this.setupValues.shift;
            const params = { ...this.props.action.context, ...this.props.action.params };
            if (params.account_id || params.location_id) {
                const ids = await this.orm.call(MODEL, "find_account", [
                    params.account_id || false,
                    params.location_id || false,
                ]);
                if (ids.length) {
                    await this.open(ids);
                }
            }
        });
        onMounted(() => this.applyFocus());
        onPatched(() => this.applyFocus());
        useExternalListener(window, "keydown", this.onKeydown.bind(this), { capture: true });
        useRefresh(() => this.refresh(), REFRESH_MS);
    }

    // focus

    /** Focus a field by its name as soon as it is on the screen. */
    focus(name) {
        this.wanted = name;
        this.applyFocus();
    }

    applyFocus() {
        const field = this.wanted && this.root.el?.querySelector(`[data-field="${this.wanted}"]`);
        if (field && !field.disabled) {
            this.wanted = null;
            field.focus();
            field.select?.();
        }
    }

    // search

    onSearchInput(ev) {
        this.state.text = ev.target.value;
        this.state.searching = Boolean(this.state.text.trim());
        this.chooseWhenFound = false;
        browser.clearTimeout(this.timer);
        if (!this.state.searching) {
            this.asked++;
            this.state.results = null;
            return;
        }
        this.timer = browser.setTimeout(() => this.search(), SEARCH_DELAY_MS);
    }

    async search() {
        browser.clearTimeout(this.timer);
        this.timer = null;
        const asked = ++this.asked;
        const results = await this.orm.silent.call(MODEL, "search_accounts", [this.state.text]);
        if (asked !== this.asked) {
            return; // a newer question is on its way
        }
        Object.assign(this.state, { results, cursor: 0, searching: false });
        if (this.chooseWhenFound) {
            this.chooseWhenFound = false;
            await this.choose();
        }
    }

    /** Enter may come before the answer, as from a scanner: the first result is chosen when it is there. */
    async onSearchEnter() {
        if (!this.state.text.trim()) {
            return;
        }
        if (this.state.searching) {
            this.chooseWhenFound = true;
            if (this.timer) {
                await this.search();
            }
        } else {
            await this.choose();
        }
    }

    async choose(index = this.state.cursor) {
        const result = this.state.results?.[index];
        if (result) {
            await this.open(result.account_ids);
        }
    }

    /** Show these accounts, ready for an amount. */
    async open(ids) {
        this.clear();
        const values = await this.orm.call(MODEL, "account_state", [ids]);
        this.show(values);
        for (const account of values.accounts) {
            this.state.lines[account.id] = { value: "", unit: "", quote: null };
        }
        Object.assign(this.state, { text: "", results: null, searching: false });
        this.newKey();
        this.focus(`amount-${values.accounts.find((account) => !account.closed)?.id}`);
    }

    show({ accounts, recent, shift }) {
        Object.assign(this.state, { accounts, recent, shift });
    }

    /** Each sale has a key of its own: the server sells it once, however often it is asked. */
    newKey() {
        this.key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
            byte.toString(16).padStart(2, "0")
        ).join("");
    }

    clear() {
        this.asked++;
        Object.assign(this.state, {
            accounts: [],
            recent: [],
            lines: {},
            received: "",
            code: "",
            note: "",
            showNote: false,
            errors: {},
            duplicate: false,
            waiting: false,
            sale: null,
            printed: "",
            method: this.methods[0]?.code || "cash",
        });
    }

    next() {
        this.clear();
        Object.assign(this.state, { text: "", results: null });
        this.focus("search");
    }

    // the sale

    get methods() {
        return this.setupValues.methods.map((method, index) => ({
            ...method,
            key: METHOD_KEYS[index] || "",
        }));
    }

    get method() {
        return this.methods.find((method) => method.code === this.state.method) || {};
    }

    get codePlaceholder() {
        return _t("Scan the code on the payer's phone");
    }

    get digitsPlaceholder() {
        return _t("Last four digits of the code charged by the other device");
    }

    get quickAmounts() {
        return this.setupValues.quick_amounts;
    }

    get openAccounts() {
        return this.state.accounts.filter((account) => !account.closed);
    }

    get several() {
        return this.state.accounts.length > 1;
    }

    line(account) {
        return this.state.lines[account.id] || { value: "", unit: "", quote: null };
    }

    /** The amount of an account in fen, null while it is none. */
    fenOf(account) {
        const line = this.line(account);
        return toFen(line.unit ? line.quote?.amount : line.value);
    }

    get totalFen() {
        return this.openAccounts.reduce((sum, account) => sum + (this.fenOf(account) || 0), 0);
    }

    get total() {
        return fenText(this.totalFen);
    }

    get change() {
        const received = toFen(this.state.received);
        return received === null ? "" : fenText(received - this.totalFen);
    }

    after(account) {
        const fen = this.fenOf(account);
        return fen ? fenText(toFen(account.available) + fen) : "";
    }

    tone(code) {
        return TONES[code] || "secondary";
    }

    unitLabel(account) {
        return UNITS[this.line(account).unit] || _t("CNY");
    }

    isNegative(text) {
        return text.startsWith("-");
    }

    onAmountInput(account, ev) {
        const line = this.state.lines[account.id];
        line.value = ev.target.value;
        this.state.duplicate = false;
        delete this.state.errors[`amount-${account.id}`];
        if (line.unit) {
            line.quote = null;
            browser.clearTimeout(this.quoteTimer);
            this.quoteTimer = browser.setTimeout(() => this.quote(account), SEARCH_DELAY_MS);
        }
    }

    setAmount(account, value) {
        const line = this.state.lines[account.id];
        Object.assign(line, { value, unit: "", quote: null });
        this.state.duplicate = false;
        delete this.state.errors[`amount-${account.id}`];
        this.focus(`amount-${account.id}`);
    }

    /** The next or previous quick amount. */
    stepAmount(account, step) {
        const amounts = this.quickAmounts;
        const index = amounts.indexOf(this.line(account).value) + step;
        if (amounts.length) {
            this.setAmount(account, amounts[Math.min(Math.max(index, 0), amounts.length - 1)]);
        }
    }

    /** Amount → kWh → m³ → amount, as far as the account has such meters. */
    toggleUnit(account) {
        const units = ["", ...account.media];
        const line = this.state.lines[account.id];
        line.unit = units[(units.indexOf(line.unit) + 1) % units.length];
        line.quote = null;
        delete this.state.errors[`amount-${account.id}`];
        if (line.unit && line.value) {
            this.quote(account);
        }
        this.focus(`amount-${account.id}`);
    }

    /** Ask what the typed quantity costs; the last question's answer counts. */
    quote(account) {
        browser.clearTimeout(this.quoteTimer);
        const line = this.state.lines[account.id];
        const { value, unit } = line;
        if (!plainNumber(value)) {
            return;
        }
        line.asking = this.askQuote(account, line, value, unit);
        return line.asking;
    }

    async askQuote(account, line, value, unit) {
        try {
            const quote = await this.orm.silent.call(MODEL, "quote", [
                account.id,
                unit,
                plainNumber(value),
            ]);
            if (line.value === value && line.unit === unit) {
                line.quote = quote;
            }
        } catch (error) {
            this.refuse(error);
        }
    }

    setMethod(code) {
        this.state.method = code;
        delete this.state.errors.method;
        delete this.state.errors.received;
        delete this.state.errors.code;
        const first = this.openAccounts.find((account) => !this.line(account).value);
        if (this.method.payer_code && !first) {
            this.focus("code");
        } else if (this.openAccounts.length) {
            this.focus(`amount-${(first || this.openAccounts[0]).id}`);
        }
    }

    onCodeInput(ev) {
        this.state.code = plainNumber(ev.target.value);
        delete this.state.errors.code;
        const channel = channelOf(this.state.code);
        const method = this.methods.find((item) => item.payer_code === channel);
        if (channel && method) {
            this.state.method = method.code;
        }
    }

    onFieldInput(field, ev) {
        this.state[field] = ev.target.value;
        delete this.state.errors[field];
    }

    async togglePrint() {
        this.state.print = !this.state.print;
        await this.orm.call(MODEL, "set_print", [this.state.print]);
    }

    /** Enter in a field of the sale. */
    async onSaleEnter() {
        if (this.state.busy || !this.openAccounts.length) {
            return;
        }
        if (this.method.payer_code && !this.state.code && this.totalFen > 0) {
            this.focus("code");
            return;
        }
        await this.sell();
    }

    get values() {
        const parts = [];
        for (const account of this.openAccounts) {
            const line = this.line(account);
            const typed = plainNumber(line.value);
            if (typed || !this.several) {
                const amount = line.unit ? line.quote?.amount || "0" : typed || "0";
                parts.push({ account_id: account.id, amount });
            }
        }
        const { method, code, note } = this.state;
        const received = this.method.cash && plainNumber(this.state.received);
        return {
            key: this.key,
            parts,
            method,
            received: received || false,
            code,
            note,
            confirmed: this.state.duplicate,
        };
    }

    async sell() {
        this.state.busy = true;
        this.state.errors = {};
        const { code } = this.state;
        const { key } = this;
        try {
            await Promise.all(
                this.openAccounts.map((account) => {
                    const line = this.line(account);
                    return line.unit && !line.quote ? this.quote(account) : line.asking;
                })
            );
            if (Object.keys(this.state.errors).length) {
                return;
            }
            let sale = await this.orm.silent.call(MODEL, "sell", [this.values]);
            if (sale.state !== "done") {
                sale = await this.takeCode(sale, code);
            }
            if (sale && key === this.key) {
                this.sold(sale);
            }
        } catch (error) {
            this.refuse(error);
        } finally {
            this.state.busy = false;
            this.state.waiting = false;
            this.applyFocus();
        }
    }

    /** Ordered → captured → credited; asks until the payer has confirmed on the phone. */
    async takeCode(sale, code) {
        this.state.waiting = true;
        const key = this.key;
        while (sale.state === "ordered") {
            sale = await this.orm.silent.call(MODEL, "capture", [key, code]);
            code = "";
            if (sale.state === "ordered") {
                await new Promise((resolve) => browser.setTimeout(resolve, WAIT_MS));
                if (key !== this.key) {
                    return null; // the cashier went on; a late payment is credited all the same
                }
            }
        }
        if (sale.state === "refused") {
            this.newKey();
            this.state.code = "";
            this.state.errors = { code: sale.message || _t("The code was refused.") };
            this.focus("code");
            return null;
        }
        return this.orm.silent.call(MODEL, "complete", [key]);
    }

    /** Show why nothing was sold, at the field to correct; nothing that was typed is lost. */
    refuse(error) {
        if (!(error instanceof RPCError)) {
            this.state.errors = {
                general: _t(
                    "No answer from the server. Press Enter again: the sale is made only once."
                ),
            };
            this.focus(`amount-${this.openAccounts[0]?.id}`);
            return;
        }
        const context = error.data?.context || {};
        let field = context.field || "general";
        if (field === "amount") {
            field = `amount-${context.account_id || this.openAccounts[0]?.id}`;
        }
        this.state.duplicate = context.code === "duplicate";
        this.state.errors = { [field]: error.data?.message || error.message };
        this.focus(field === "general" ? `amount-${this.openAccounts[0]?.id}` : field);
    }

    sold(sale) {
        const change = this.method.cash ? this.change : "";
        this.state.sale = { ...sale, change: change === "0.00" ? "" : change };
        this.state.shift = sale.shift;
        this.focus("result");
        if (this.state.print) {
            this.print();
        }
        this.refresh(true);
    }

    async print() {
        this.state.printed = "busy";
        try {
            const action = await this.orm.call("prepay.topup", "action_print_receipt", [
                this.state.sale.topup_ids,
            ]);
            await this.action.doAction(action);
            this.state.printed = "done";
        } catch {
            this.state.printed = "failed";
        }
        this.focus("result");
    }

    /** Ask why a wrong sale is taken back; rules that forbid it say so at once. */
    async reverse(sale) {
        const action = await this.orm.call("prepay.topup", "action_reverse", [[sale.id]]);
        await this.action.doAction(action, { onClose: () => this.refresh(true) });
    }

    stepLabel(code) {
        return {
            paid: _t("Paid"),
            credited: _t("Credited"),
            command: _t("Command sent"),
            confirmed: _t("Power is back"),
            power: _t("Supply"),
        }[code];
    }

    // live

    get changing() {
        const waits = (step) => step.state === "active" || step.state === "waiting";
        return (
            this.state.sale?.sales.some((sale) => sale.steps.some(waits)) ||
            this.state.accounts.some((account) =>
                account.meters.some((meter) => meter.supply === "switching")
            )
        );
    }

    async refresh(now = false) {
        this.refreshes++;
        const quiet = this.state.busy || (!this.changing && this.refreshes % QUIET_REFRESHES);
        if (!this.state.accounts.length || (quiet && !now)) {
            return;
        }
        try {
            await this.reload();
        } catch (error) {
            if (error instanceof RPCError) {
                throw error;
            } // no answer: the next refresh asks again
        }
    }

    async reload() {
        const ids = this.state.accounts.map((account) => account.id);
        const { sale } = this.state;
        const [values, result] = await Promise.all([
            this.orm.silent.call(MODEL, "account_state", [ids]),
            sale && this.orm.silent.call(MODEL, "sale_state", [sale.topup_ids]),
        ]);
        if (ids.join() !== this.state.accounts.map((account) => account.id).join()) {
            return; // another customer is here already
        }
        this.show(values);
        if (sale && sale === this.state.sale) {
            Object.assign(sale, result);
        }
    }

    // keys

    /** The keys of the screen, wherever the focus is; a dialogue above it has its own. */
    onKeydown(ev) {
        if (
            ev.isComposing ||
            ev.ctrlKey ||
            ev.altKey ||
            ev.metaKey ||
            this.ui.activeElement !== document
        ) {
            return;
        }
        const field = ev.target.closest?.("[data-field]")?.dataset.field || "";
        const handled = this.handleKey(ev.key, field);
        if (handled) {
            ev.preventDefault();
            ev.stopPropagation();
        }
    }

    /** @returns {boolean} whether the key meant something here */
    handleKey(key, field) {
        if (field === "search" && !(key === "Escape" && !this.state.text)) {
            return this.handleSearchKey(key);
        }
        if (key === "Escape") {
            if (!this.state.busy || this.state.waiting) {
                this.newKey();
                this.next();
            }
            return true;
        }
        if (this.state.sale) {
            return this.handleResultKey(key, field);
        }
        return Boolean(this.openAccounts.length) && this.handleSaleKey(key, field);
    }

    handleSearchKey(key) {
        const { results } = this.state;
        if (key === "Enter") {
            this.onSearchEnter();
        } else if (key === "Escape") {
            Object.assign(this.state, { text: "", results: null, searching: false });
            this.asked++;
        } else if (results?.length && (key === "ArrowDown" || key === "ArrowUp")) {
            const step = key === "ArrowDown" ? 1 : -1;
            this.state.cursor = (this.state.cursor + step + results.length) % results.length;
        } else {
            return false;
        }
        return true;
    }

    handleResultKey(key, field) {
        if (key === "F9") {
            this.print();
            return true;
        }
        if (key.length === 1 && field === "result") {
            // The next customer's room, typed or scanned: the letter itself goes on into the search.
            this.next();
            this.root.el.querySelector("[data-field=search]").focus();
        }
        return false;
    }

    handleSaleKey(key, field) {
        const account =
            this.openAccounts.find((item) => field === `amount-${item.id}`) || this.openAccounts[0];
        const method = this.methods.find((item) => item.key === key);
        if (method) {
            this.setMethod(method.code);
        } else if (key === "F8") {
            this.toggleUnit(account);
        } else if (key === "F9") {
            this.state.showNote = true;
            this.focus("note");
        } else if (key === "Enter" && field) {
            this.onSaleEnter();
        } else if (field.startsWith("amount-") && (key === "ArrowDown" || key === "ArrowUp")) {
            this.stepAmount(account, key === "ArrowDown" ? 1 : -1);
        } else {
            return false;
        }
        return true;
    }
}

registry.category("actions").add("prepay_billing.counter", CounterScreen);
