/** Typed and shown amounts. Sums are made in fen, as integers: a browser's numbers are binary fractions. */

/** Full-width digits and points, as Chinese keyboards make them, as plain ones; no blanks. */
export function plainNumber(text) {
    return (text || "")
        .normalize("NFKC")
        .replaceAll("。", ".")
        .replace(/[\s,¥]/g, "");
}

/**
 * @param {string} text
 * @returns {number|null} fen, or null when the text is no amount of at most two decimals
 */
export function toFen(text) {
    const found = /^(-?)(\d{0,12})(?:\.(\d{0,2}))?$/.exec(plainNumber(text));
    if (!found || !(found[2] || found[3])) {
        return null;
    }
    const fen = Number(found[2] || 0) * 100 + Number((found[3] || "").padEnd(2, "0"));
    return found[1] ? -fen : fen;
}

/** Fen as an amount with two decimals. */
export function fenText(fen) {
    const digits = String(Math.abs(fen)).padStart(3, "0");
    return `${fen < 0 ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** Whose payment code it is: "wechat", "alipay" or "" (the same rule as engine/payer_code.py). */
export function channelOf(code) {
    if (/^1[0-5]\d{16}$/.test(code)) {
        return "wechat";
    }
    return /^(2[5-9]|30)\d{14,22}$/.test(code) ? "alipay" : "";
}
