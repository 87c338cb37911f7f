import { Component } from "@odoo/owl";
import { _t } from "@web/core/l10n/translation";
import { formatFloat } from "@web/core/utils/numbers";

/** Words and icons: colour alone says nothing to whoever cannot tell colours apart. */
export const LABELS = {
    "supply:on": { icon: "fa-bolt", text: _t("On") },
    "supply:off": { icon: "fa-power-off", text: _t("Off") },
    "supply:limited": { icon: "fa-tachometer", text: _t("Limited") },
    "supply:switching": { icon: "fa-refresh", text: _t("Switching") },
    "supply:unknown": { icon: "fa-question-circle", text: _t("Unknown") },
    "supply:none": { icon: "fa-minus-circle", text: _t("No Meter") },
    "balance:normal": { icon: "fa-check-circle", text: _t("Normal") },
    "balance:alarm1": { icon: "fa-bell-o", text: _t("Alarm 1") },
    "balance:alarm2": { icon: "fa-bell", text: _t("Alarm 2") },
    "balance:arrears": { icon: "fa-exclamation-triangle", text: _t("Arrears") },
    "balance:cut": { icon: "fa-ban", text: _t("Used Up") },
    "balance:guaranteed": { icon: "fa-shield", text: _t("Guaranteed") },
    "balance:vacant": { icon: "fa-circle-o", text: _t("Not Opened") },
    "contact:online": { icon: "fa-signal", text: _t("Online") },
    "contact:silent": { icon: "fa-hourglass-half", text: _t("Not Answering") },
    "contact:lost": { icon: "fa-chain-broken", text: _t("Lost") },
    "contact:never": { icon: "fa-chain-broken", text: _t("Never Seen") },
    "contact:manual": { icon: "fa-hand-paper-o", text: _t("Read by hand") },
    "contact:none": { icon: "fa-minus", text: "" },
};

export function money(text) {
    return formatFloat(Number(text), { digits: [16, 2] });
}

export function daysText(days) {
    if (days >= 365) {
        return _t("over a year");
    }
    return days < 1 ? _t("under a day") : _t("%s days", Math.floor(days));
}

/** Some lines of tiles of one floor; drawn only while they are near the screen. */
export class RoomBlock extends Component {
    static template = "prepay_billing.RoomBlock";
    static props = {
        block: Object,
        near: Boolean,
        selecting: Boolean,
        selected: Object,
        active: { type: Number, optional: true },
        opened: { type: Number, optional: true },
        /** Changes with each change of the selection, which is one and the same set. */
        stamp: Number,
        onRoom: Function,
        onFloor: Function,
    };

    describe(room) {
        const supply = LABELS[`supply:${room.supply}`];
        const level = LABELS[`balance:${room.level}`];
        const contact = LABELS[`contact:${room.contact}`];
        const lost = ["lost", "never"].includes(room.contact);
        const tenant =
            room.tenants.length > 1
                ? `${room.tenants[0]} +${room.tenants.length - 1}`
                : room.tenants[0] || "";
        const amount = room.amount === null ? "" : money(room.amount);
        const lasts = room.days === null ? "" : daysText(room.days);
        const said = [
            room.name,
            tenant,
            supply.text,
            level.text,
            room.guaranteed ? LABELS["balance:guaranteed"].text : "",
            contact.text,
            amount && _t("%s CNY available", amount),
            lasts,
        ];
        return {
            supply,
            level,
            contact,
            lost,
            tenant,
            amount,
            lasts,
            weak: lost || room.contact === "silent",
            said: said.filter(Boolean).join(", "),
        };
    }

    tileClass(room, tile) {
        return {
            [`o_prb_supply_${room.supply}`]: true,
            [`o_prb_level_${room.level}`]: true,
            o_prb_lost: tile.lost,
            o_prb_selected: this.props.selected.has(room.id),
            o_prb_opened: this.props.opened === room.id,
        };
    }
}
