import { expect, test } from "@odoo/hoot";
import { channelOf, fenText, plainNumber, toFen } from "@prepay_billing/counter/amounts";

test.tags("headless");
test("typed amounts are fen, whatever keyboard typed them", () => {
    for (const [text, fen] of [
        ["50", 5000],
        ["50.", 5000],
        [".5", 50],
        ["0.07", 7],
        ["1,234.56", 123456],
        ["１２．３４", 1234],
        ["12。3", 1230],
        ["-8.40", -840],
        ["", null],
        [".", null],
        ["1.005", null],
        ["1.2.3", null],
        ["12a", null],
    ]) {
        expect(toFen(text)).toBe(fen, { message: text });
    }
    expect(plainNumber(" ¥ 5 0 ")).toBe("50");
});

test.tags("headless");
test("sums of fen are exact", () => {
    expect(fenText(toFen("0.10") + toFen("0.20"))).toBe("0.30");
    expect(fenText(-5)).toBe("-0.05");
    expect(fenText(123456)).toBe("1234.56");
    expect(fenText(0)).toBe("0.00");
});

test.tags("headless");
test("whose payment code it is", () => {
    expect(channelOf("134567890123456789")).toBe("wechat");
    expect(channelOf("13456789012345678")).toBe("");
    expect(channelOf("2512345678901234")).toBe("alipay");
    expect(channelOf("301234567890123456789012")).toBe("alipay");
    expect(channelOf("3112345678901234")).toBe("");
    expect(channelOf("25123456789012")).toBe("");
});
