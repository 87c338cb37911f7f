import {
    Component,
    onMounted,
    onPatched,
    onWillStart,
    onWillUnmount,
    useExternalListener,
    useRef,
    useState,
} from "@odoo/owl";
import { browser } from "@web/core/browser/browser";
import { deserializeDateTime } from "@web/core/l10n/dates";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { KeepLast } from "@web/core/utils/concurrency";
import { useService } from "@web/core/utils/hooks";
import { useThrottleForAnimation } from "@web/core/utils/timing";
import { useSetupAction } from "@web/search/action_hook";
import { Layout } from "@web/search/layout";
import { standardActionServiceProps } from "@web/webclient/actions/action_service";
import { LABELS, RoomBlock } from "./room_block";
import { BALANCE, CONTACT, RoomBoardModel, SUPPLY } from "./room_board_model";
import { RoomPanel } from "./room_panel";

const CHANNEL = "prepay_room_board";
/** Changes of this long come in one request. */
export const GATHER_MS = 700;
/** A whole look: money falls and silence grows without anybody telling. Sooner without a socket. */
export const LOOK_MS = 60000;
export const LOOK_ALONE_MS = 30000;
/** More changed rooms than this are one whole look. */
const MANY = 300;
/** Pixels above and below the screen that are drawn already. */
const AHEAD = 500;
const KEYS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];

/** All rooms of a building or site at a glance, live, and the way to act on them. */
export class RoomBoard extends Component {
    static template = "prepay_billing.RoomBoard";
    static components = { Layout, RoomBlock, RoomPanel };
    static props = { ...standardActionServiceProps };

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        // In a state, so that a lost socket shows.
        this.bus = useState(useService("bus_service"));
        this.keepLast = new KeepLast();
        this.scroller = useRef("scroller");
        this.search = useRef("search");
        this.root = useRef("root");
        this.model = new RoomBoardModel();
        this.labels = LABELS;
        const before = this.props.state?.board || {};
        const { location_id, medium } = this.props.action.params || {};
        this.state = useState({
            locationId: location_id || before.locationId || false,
            medium: medium || before.medium || false,
            density: browser.localStorage.getItem("prepay_room_board.density") || "comfortable",
            search: before.search || "",
            selecting: false,
            opened: before.opened || undefined,
            active: before.opened || undefined,
            asOf: "",
            late: false,
            /** Grows with each change of what is drawn. */
            stamp: 0,
        });
        this.filters = new Set(before.filters || []);
        this.selected = new Set();
        this.range = [0, 1500];
        this.width = 1000;
        this.told = new Set();
        this.legend = [
            { kind: "supply", title: _t("Supply"), keys: SUPPLY },
            { kind: "balance", title: _t("Balance"), keys: BALANCE },
            { kind: "contact", title: _t("Communication"), keys: CONTACT },
        ];
        useSetupAction({
            getLocalState: () => ({
                board: {
                    locationId: this.state.locationId,
                    medium: this.state.medium,
                    search: this.state.search,
                    filters: [...this.filters],
                    opened: this.state.opened,
                    top: this.scroller.el?.scrollTop,
                },
            }),
        });
        this.onScroll = useThrottleForAnimation(this.measure);
        this.onTold = (payload) => this.hear(payload);
        onWillStart(() => this.load());
        onMounted(() => {
            this.observer = new ResizeObserver(() => this.measure());
            this.observer.observe(this.scroller.el);
            this.scroller.el.scrollTop = before.top || 0;
            this.bus.subscribe(CHANNEL, this.onTold);
            this.bus.addChannel(CHANNEL);
            this.timer = browser.setInterval(() => this.lookWhenDue(), 5000);
        });
        onPatched(() => this.focusWanted());
        onWillUnmount(() => {
            this.observer.disconnect();
            browser.clearInterval(this.timer);
            browser.clearTimeout(this.gathering);
            this.bus.unsubscribe(CHANNEL, this.onTold);
            this.bus.deleteChannel(CHANNEL);
        });
        useExternalListener(window, "keydown", (ev) => this.onKey(ev));
        useExternalListener(document, "visibilitychange", () => this.lookWhenDue());
    }

    // data

    async load() {
        const data = await this.keepLast.add(
            this.orm.call("prepay.room.board", "load", [this.state.locationId, this.state.medium])
        );
        this.take(data);
    }

    take(data) {
        this.may = data.may;
        this.places = data.places;
        this.total = data.total;
        this.state.locationId = data.location_id;
        this.state.medium = data.medium;
        this.model.setRooms(data.rooms);
        this.lookedAt = Date.now();
        this.seenAt(data.as_of);
        this.arrange();
    }

    seenAt(text) {
        this.state.late = false;
        this.state.asOf = deserializeDateTime(text).toFormat("HH:mm:ss");
    }

    get connected() {
        return this.bus.workerState === "CONNECTED";
    }

    /** A whole look, when the last one is long ago and somebody sees it. */
    async lookWhenDue() {
        const due = this.connected ? LOOK_MS : LOOK_ALONE_MS;
        if (document.hidden || this.looking || Date.now() - this.lookedAt < due) {
            return;
        }
        await this.look();
    }

    async look() {
        this.looking = true;
        try {
            const asked = [this.state.locationId, this.state.medium];
            const data = await this.orm.silent.call("prepay.room.board", "load", asked);
            if (asked[0] === this.state.locationId && asked[1] === this.state.medium) {
                this.take(data);
            }
        } catch (error) {
            this.state.late = true; // the next look may reach the server
            this.lookedAt = Date.now();
            if (error.name !== "ConnectionLostError") {
                throw error;
            }
        } finally {
            this.looking = false;
        }
    }

    /** Rooms have changed: gather for a moment, then ask for those that are on the board. */
    hear({ places }) {
        if (places === null) {
            this.told = null;
        } else if (this.told) {
            for (const place of places) {
                if (this.model.byId.has(place)) {
                    this.told.add(place);
                }
            }
        }
        if (!this.gathering && (this.told === null || this.told.size)) {
            this.gathering = browser.setTimeout(() => this.refresh(), GATHER_MS);
        }
    }

    async refresh() {
        const told = this.told;
        this.told = new Set();
        this.gathering = undefined;
        if (told === null || told.size > MANY) {
            await this.look();
            return;
        }
        const asked = [this.state.locationId, this.state.medium];
        const data = await this.orm.silent.call("prepay.room.board", "refresh", [
            [...told],
            this.state.medium,
        ]);
        if (asked[0] !== this.state.locationId || asked[1] !== this.state.medium) {
            return;
        }
        this.seenAt(data.as_of);
        if (this.model.replaceRooms(data.rooms)) {
            this.arrange();
        }
    }

    /** Choose and lay out again after the rooms, the filters or the width have changed. */
    arrange() {
        this.model.select(this.state.search, this.filters);
        this.model.layOut(this.width, this.state.density);
        this.state.stamp++;
    }

    // what is near the screen

    measure() {
        const { el } = this.scroller;
        if (!el) {
            return;
        }
        const top = Math.max(0, el.scrollTop - AHEAD);
        const width = el.clientWidth - 24;
        // In steps, so that not each pixel of scrolling draws again.
        const range = [top - (top % 250), el.scrollTop + el.clientHeight + AHEAD];
        range[1] += 250 - (range[1] % 250);
        const moved = range[0] !== this.range[0] || range[1] !== this.range[1];
        this.range = range;
        if (width !== this.width) {
            this.width = width;
            this.arrange();
        } else if (moved) {
            this.state.stamp++;
        }
    }

    isNear(block) {
        return block.top < this.range[1] && block.top + block.height > this.range[0];
    }

    // choosing

    choosePlace(ev) {
        this.state.locationId = Number(ev.target.value);
        this.changeScope();
    }

    chooseMedium(medium) {
        this.state.medium = medium;
        this.changeScope();
    }

    async changeScope() {
        this.selected.clear();
        this.state.opened = undefined;
        await Promise.all([
            this.load(),
            this.orm.silent.call("prepay.room.board", "remember", [
                this.state.locationId,
                this.state.medium,
            ]),
        ]);
        this.scroller.el.scrollTop = 0;
    }

    chooseDensity(density) {
        this.state.density = density;
        browser.localStorage.setItem("prepay_room_board.density", density);
        this.arrange();
    }

    onSearch(ev) {
        this.state.search = ev.target.value;
        this.arrange();
    }

    toggleFilter(facet) {
        if (!this.filters.delete(facet)) {
            this.filters.add(facet);
        }
        this.arrange();
    }

    clearFilters() {
        this.filters.clear();
        this.state.search = "";
        this.arrange();
    }

    // rooms

    get openedRoom() {
        return this.state.opened && this.model.byId.get(this.state.opened);
    }

    /** The tile that the tab key reaches. */
    get activeRoom() {
        const { active } = this.state;
        return this.model.shown.some((room) => room.id === active)
            ? active
            : this.model.shown[0]?.id;
    }

    onRoom(room, ev) {
        this.state.active = room.id;
        if (ev.shiftKey && this.anchor && this.may.operate) {
            this.state.selecting = true;
            const ids = this.model.shown.map((item) => item.id);
            const [from, to] = [ids.indexOf(this.anchor), ids.indexOf(room.id)].sort(
                (a, b) => a - b
            );
            ids.slice(Math.max(from, 0), to + 1).forEach((id) => this.selected.add(id));
            this.state.stamp++;
        } else if (this.state.selecting) {
            if (!this.selected.delete(room.id)) {
                this.selected.add(room.id);
            }
            this.state.stamp++;
        } else {
            this.state.opened = room.id;
        }
        this.anchor = room.id;
    }

    onFloor(block) {
        const rooms = this.model.floorRooms(block);
        const all = rooms.every((room) => this.selected.has(room.id));
        for (const room of rooms) {
            this.selected[all ? "delete" : "add"](room.id);
        }
        this.state.stamp++;
    }

    toggleSelecting() {
        this.state.selecting = !this.state.selecting;
        this.state.opened = undefined;
        this.selected.clear();
        this.state.stamp++;
    }

    selectShown() {
        this.model.shown.forEach((room) => this.selected.add(room.id));
        this.state.stamp++;
    }

    get selectedMeters() {
        return [...this.selected].flatMap((id) => this.model.byId.get(id)?.meters || []);
    }

    onKey(ev) {
        if (ev.defaultPrevented || ev.ctrlKey || ev.metaKey || ev.altKey) {
            return;
        }
        if (document.querySelector(".modal.show, .o_dialog")) {
            return;
        }
        const typing = ev.target.closest?.("input, textarea, select, [contenteditable]");
        if (ev.key === "/" && !typing) {
            ev.preventDefault();
            this.search.el.focus();
            this.search.el.select();
        } else if (ev.key === "Escape") {
            this.escape();
        } else if (ev.key === "Enter" && ev.target === this.search.el) {
            ev.preventDefault();
            this.goTo(this.model.shown[0]);
        } else if (KEYS.includes(ev.key)) {
            const inSearch = ev.target === this.search.el && ev.key === "ArrowDown";
            if (inSearch || ev.target.closest?.(".o_prb_tile")) {
                ev.preventDefault();
                this.goTo(
                    inSearch
                        ? this.model.shown[0]
                        : this.model.neighbour(this.state.active ?? this.activeRoom, ev.key)
                );
            }
        }
    }

    escape() {
        if (this.state.opened) {
            this.closePanel();
        } else if (this.state.selecting) {
            this.toggleSelecting();
        }
    }

    closePanel() {
        this.wanted = this.state.opened;
        this.state.opened = undefined;
    }

    /** Move the keyboard to a room; its lines are drawn first when they are far away. */
    goTo(room) {
        if (!room) {
            return;
        }
        const { el } = this.scroller;
        const block = this.model.blocks.find((item) => item.rooms.includes(room));
        if (!this.isNear(block)) {
            el.scrollTop = block.top;
            this.measure();
        }
        this.wanted = room.id;
        this.state.active = room.id;
        if (this.state.opened) {
            this.state.opened = room.id;
        }
        this.state.stamp++;
    }

    focusWanted() {
        const tile = this.wanted && this.root.el.querySelector(`[data-room="${this.wanted}"]`);
        if (tile) {
            this.wanted = undefined;
            tile.focus();
        }
    }

    // acting on several

    batch() {
        return this.action.doAction("prepay_billing.prepay_batch_action", {
            additionalContext: { default_meter_ids: this.selectedMeters },
            viewType: "form",
        });
    }

    async onMeters(method) {
        const meters = this.selectedMeters;
        const action = await this.orm.call("prepay.meter", method, [meters]);
        await this.action.doAction(action);
    }

    importSites() {
        return this.action.doAction("prepay_meter.prepay_site_import_wizard_action");
    }

    openPlaces() {
        return this.action.doAction("prepay_meter.prepay_location_action");
    }
}

registry.category("actions").add("prepay_billing.room_board", RoomBoard);
