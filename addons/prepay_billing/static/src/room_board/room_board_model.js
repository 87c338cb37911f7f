/** Rooms, filters, search and geometry of the board: plain data, no screen. */

export const SUPPLY = ["on", "off", "limited", "switching", "unknown"];
export const BALANCE = ["normal", "alarm1", "alarm2", "arrears", "cut", "guaranteed", "vacant"];
export const CONTACT = ["online", "silent", "lost"];

/** Sizes in pixels; tiles share the rest of a line. */
export const DENSITY = {
    comfortable: { width: 148, height: 98, gap: 8 },
    compact: { width: 92, height: 46, gap: 4 },
};
const BUILDING_HEIGHT = 44;
const FLOOR_HEIGHT = 32;
const BLOCK_GAP = 10;
/** Tiles of one block at most: what scrolling adds or removes at once. */
const BLOCK = 48;

/** The facets of a room: keys of the legend that it counts for. */
function facetsOf(room) {
    const contact = room.contact === "never" ? "lost" : room.contact;
    const facets = [`supply:${room.supply}`, `balance:${room.level}`, `contact:${contact}`];
    if (room.guaranteed) {
        facets.push("balance:guaranteed");
    }
    return facets;
}

function textOf(room) {
    return [
        room.name,
        room.code,
        room.tenants.join(" "),
        room.phones.replace(/[\s-]/g, ""),
        room.numbers,
        room.meter_numbers,
    ]
        .join(" ")
        .toLowerCase();
}

export class RoomBoardModel {
    constructor() {
        this.rooms = [];
        this.blocks = [];
        this.shown = [];
        this.counts = {};
        this.height = 0;
    }

    /** Take all rooms of a place, in their order. */
    setRooms(rooms) {
        for (const room of rooms) {
            this._prepare(room);
        }
        this.rooms = rooms;
        this.byId = new Map(rooms.map((room) => [room.id, room]));
    }

    /**
     * Take the present rows of some rooms.
     *
     * @returns {boolean} whether anything on the board has changed
     */
    replaceRooms(rooms) {
        let changed = false;
        for (const room of rooms) {
            const before = this.byId.get(room.id);
            if (!before) {
                continue; // a new room: it comes with the next whole look
            }
            this._prepare(room);
            if (before._print !== room._print) {
                changed = true;
                this.byId.set(room.id, room);
            }
        }
        if (changed) {
            this.rooms = this.rooms.map((room) => this.byId.get(room.id));
        }
        return changed;
    }

    _prepare(room) {
        room._print = JSON.stringify(room);
        room._facets = facetsOf(room);
        room._text = textOf(room);
    }

    /**
     * Choose what is shown. Several filters of one kind widen, those of several kinds narrow.
     *
     * @param {string} search words that all must occur
     * @param {Set<string>} filters facets
     */
    select(search, filters) {
        const words = search.toLowerCase().split(/\s+/).filter(Boolean);
        const kinds = {};
        for (const facet of filters) {
            const kind = facet.split(":", 1)[0];
            (kinds[kind] ||= []).push(facet);
        }
        const wanted = Object.values(kinds);
        const counts = {};
        const shown = [];
        for (const room of this.rooms) {
            if (!words.every((word) => room._text.includes(word))) {
                continue;
            }
            for (const facet of room._facets) {
                counts[facet] = (counts[facet] || 0) + 1;
            }
            if (wanted.every((any) => any.some((facet) => room._facets.includes(facet)))) {
                shown.push(room);
            }
        }
        this.counts = counts;
        this.shown = shown;
    }

    /**
     * Lay the shown rooms out in blocks of whole lines. A block whose rooms are the same as before
     * stays the same object, so that only changed ones are drawn again.
     *
     * @param {number} width of the board in pixels
     * @param {string} density
     */
    layOut(width, density) {
        const size = DENSITY[density];
        const columns = Math.max(1, Math.floor((width + size.gap) / (size.width + size.gap)));
        const most = Math.max(1, Math.floor(BLOCK / columns)) * columns;
        const before = new Map(this.blocks.map((block) => [block.key, block]));
        const blocks = [];
        let top = 0;
        let building, floor, open;
        let part = 0;
        for (const room of this.shown) {
            const newBuilding = room.building !== building;
            const newFloor = newBuilding || room.floor !== floor;
            if (newFloor || open.rooms.length === most) {
                part = newFloor ? 0 : part + 1;
                open = {
                    key: `${room.building}/${room.floor}/${part}`,
                    building: newBuilding ? room.building_name : "",
                    floor: newFloor ? room.floor_name : "",
                    floorId: newFloor ? room.floor : 0,
                    rooms: [],
                };
                blocks.push(open);
                building = room.building;
                floor = room.floor;
            }
            open.rooms.push(room);
        }
        this.columns = columns;
        this.blocks = blocks.map((block) => {
            const lines = Math.ceil(block.rooms.length / columns);
            block.columns = columns;
            block.density = density;
            block.top = top;
            block.height =
                (block.building ? BUILDING_HEIGHT : 0) +
                (block.floor ? FLOOR_HEIGHT : 0) +
                lines * (size.height + size.gap) +
                BLOCK_GAP;
            top += block.height;
            const old = before.get(block.key);
            return old && same(old, block) ? old : block;
        });
        this.height = top;
    }

    /** The rooms of the floor on which a block begins. */
    floorRooms(block) {
        const [building, floor] = block.key.split("/").map(Number);
        return this.shown.filter((room) => room.building === building && room.floor === floor);
    }

    /** The room that an arrow key leads to, from a room that is shown. */
    neighbour(id, key) {
        const at = this.shown.findIndex((room) => room.id === id);
        if (at < 0) {
            return this.shown[0];
        }
        if (key === "ArrowLeft" || key === "ArrowRight") {
            return this.shown[at + (key === "ArrowLeft" ? -1 : 1)];
        }
        if (key === "Home" || key === "End") {
            return this.shown.at(key === "Home" ? 0 : -1);
        }
        const number = this.blocks.findIndex((block) => block.rooms.some((room) => room.id === id));
        const { rooms, columns } = this.blocks[number];
        const place = rooms.findIndex((room) => room.id === id);
        const column = place % columns;
        if (key === "ArrowDown") {
            const last = rooms.length - 1;
            if (place + columns <= last) {
                return rooms[place + columns];
            }
            if (Math.floor(place / columns) < Math.floor(last / columns)) {
                return rooms[last];
            }
            const next = this.blocks[number + 1]?.rooms;
            return next && next[Math.min(column, next.length - 1)];
        }
        if (place >= columns) {
            return rooms[place - columns];
        }
        const above = this.blocks[number - 1]?.rooms;
        if (!above) {
            return undefined;
        }
        const first = Math.floor((above.length - 1) / columns) * columns;
        return above[Math.min(first + column, above.length - 1)];
    }
}

function same(a, b) {
    return (
        a.top === b.top &&
        a.height === b.height &&
        a.columns === b.columns &&
        a.density === b.density &&
        a.building === b.building &&
        a.floor === b.floor &&
        a.rooms.length === b.rooms.length &&
        a.rooms.every((room, index) => room === b.rooms[index])
    );
}
