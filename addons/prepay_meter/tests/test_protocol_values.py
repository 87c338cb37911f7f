"""Device bytes to integers in base units."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter.protocols import values

FEW = settings(max_examples=150, deadline=None)
SIZES = st.integers(1, values.MAX_BCD_BYTES)


@pytest.mark.parametrize(
    ("hexa", "encoding", "scale", "expected"),
    [
        ("26 00 00 00", "bcd", "10", 260),  # 0.26 kWh in Wh
        ("42 06 12 00", "bcd", "10", 1206420),
        ("99 99 99 99", "bcd", "10", 999999990),
        ("30 22", "bcd", "100", 223000),  # 223.0 V in mV
        ("45 23 81", "bcd_signed", "1", -12345),  # -12.345 A in mA
        ("45 23 01", "bcd_signed", "1", 12345),
        ("00 00 80", "bcd_signed", "1", 0),
        ("64 15 00", "bcd_signed", "0.1", 156),  # 0.1564 kW in W
        ("65 15 00", "bcd_signed", "0.1", 156),  # halves to even: 156.5
        ("75 15 00", "bcd_signed", "0.1", 158),
        ("00 01 86 A0", "u32", "10", 1000000),  # high word first
        ("FF FF FF FF", "u32", "10", 42949672950),  # the DDSY1352 rolls over here
        ("FF FF FF FE", "i32", "1", -2),
        ("FF FE", "i16", "1", -2),
        ("FF FE", "u16", "1", 65534),
        ("08 FC", "u16", "100", 230000),
        ("42 F6 E9 79", "f32", "1000", 123456),  # 123.456 kWh in Wh
        ("C2 F6 E9 79", "f32", "1000", -123456),
        ("00 00 00 00 00 01 86 A0", "u64", "10", 1000000),
        ("FF FF FF FF FF FF FF FE", "i64", "1", -2),
        ("10 00", "u16le", "1", 16),  # status word 3 with the relay open
    ],
)
def test_known_values(hexa, encoding, scale, expected):
    value = values.decode(bytes.fromhex(hexa), encoding, Decimal(scale))
    assert value == expected
    assert type(value) is int


@pytest.mark.parametrize(
    ("hexa", "encoding", "reason"),
    [
        ("FF FF FF FF", "bcd", "filled with FF"),
        ("EE EE EE EE", "bcd", "filled with EE"),
        ("FF FF FF", "bcd_signed", "filled with FF"),
        ("0A 00", "bcd", "BCD digit above 9 in 0A 00"),
        ("00 A0", "bcd", "BCD digit above 9"),
        ("00 80", "bcd_signed", None),  # minus zero is zero
        ("00 F0", "bcd_signed", None),  # -7000: the sign takes the top bit only
        ("00 FA", "bcd_signed", "BCD digit above 9"),
        ("", "bcd", "hold no field"),
        ("00", "u16", "hold no field"),
        ("00 00 00", "u32", "hold no field"),
        ("00 00", "float", "unknown encoding"),
        ("7F C0 00 00", "f32", "no finite number"),  # NaN
        ("7F 80 00 00", "f32", "no finite number"),  # infinity
        ("FF 80 00 00", "f32", "no finite number"),
        ("7F 7F FF FF", "f32", "beyond what can be stored"),
        ("FF FF FF FF FF FF FF FF", "u64", "beyond what can be stored"),
        ("00 00 00", "f32", "hold no field"),
    ],
)
def test_bad_input_is_refused_with_the_reason(hexa, encoding, reason):
    if reason is None:
        values.decode(bytes.fromhex(hexa), encoding)
        return
    with pytest.raises(ValueError, match=reason):
        values.decode(bytes.fromhex(hexa), encoding)


def test_fields_of_a_block():
    block = bytes.fromhex("00040000 00010000 00020000 50000000 50000000")
    totals = [values.decode(block, "bcd", Decimal(10), 4 * i, 4) for i in range(5)]
    assert totals == [4000, 1000, 2000, 500, 500]
    for offset, size in [(20, 4), (18, 4), (-1, 4), (0, 0)]:
        with pytest.raises(ValueError, match="hold no field"):
            values.decode(block, "bcd", Decimal(10), offset, size)


@FEW
@given(st.data(), SIZES, st.booleans())
def test_bcd_round_trip(data, size, signed):
    top = 8 * 10 ** (2 * size - 1) - 1 if signed else 10 ** (2 * size) - 1
    number = data.draw(st.integers(-top if signed else 0, top))
    assert values.decode_bcd(values.encode_bcd(number, size, signed), signed) == number


@FEW
@given(st.sampled_from(sorted(values.INTEGERS)), st.data())
def test_integer_round_trip(encoding, data):
    size, _, signed = values.INTEGERS[encoding]
    low, high = (
        (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
    )
    number = data.draw(st.integers(low, high))
    assert values.decode_raw(values.encode_raw(number, encoding), encoding) == number
    for outside in (low - 1, high + 1):
        with pytest.raises(ValueError, match="does not fit"):
            values.encode_raw(outside, encoding)


@pytest.mark.parametrize(
    ("hexa", "encoding", "expected"),
    [
        ("86 A0 00 01", "u32", 100000),
        ("FF FE FF FF", "i32", -2),
        ("E9 79 42 F6", "f32", 123),
        ("86 A0 00 01 00 00 00 00", "u64", 100000),
        ("12 34", "u16", 0x1234),  # one word: nothing to swap
        ("42 06 12 00", "bcd", 120642),
    ],
)
def test_low_word_first(hexa, encoding, expected):
    raw = bytes.fromhex(hexa)
    assert values.decode(raw, encoding, word_order="low") == expected
    if encoding in values.INTEGERS:
        assert values.encode_raw(expected, encoding, word_order="low") == raw
    with pytest.raises(ValueError, match="unknown word order"):
        values.decode(raw, encoding, word_order="middle")


@FEW
@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(["high", "low"]))
def test_float_round_trip(number, word_order):
    raw = values.encode_raw(Decimal(number), "f32", word_order=word_order)
    assert values.decode_raw(raw, "f32", word_order) == Decimal(number)
    with pytest.raises(ValueError, match="does not fit"):
        values.encode_raw(Decimal("1e39"), "f32")


def test_states():
    valve = {0: "closed", 1: "open", 3: "fault"}
    for status, expected in ((b"\x00\x00", "closed"), (b"\x05\xff", "open"), (b"\x03", "fault")):
        assert values.state(status, valve, mask=3, byte_order="little") == expected
    with pytest.raises(ValueError, match="state 0x2 in 02 00 is not known"):
        values.state(b"\x02\x00", valve, mask=3, byte_order="little")
    # Bit 15 of a register: the keys lie where the mask lies.
    relay = {0: "open", 0x8000: "closed"}
    assert values.state(bytes.fromhex("0000 E0EF"), relay, 0x8000, offset=2, size=2) == "closed"
    assert values.state(bytes.fromhex("01E8"), relay, 0x8000) == "open"
    # Without a mask the whole number counts.
    assert values.state(b"\x00\x01\x00\x01", {0x10001: "open"}) == "open"
    with pytest.raises(ValueError, match="hold no field"):
        values.state(b"", valve)
    with pytest.raises(ValueError, match="unknown byte order"):
        values.state(b"\0", valve, byte_order="middle")


@FEW
@given(st.binary(max_size=12), st.sampled_from(values.ENCODINGS))
def test_any_bytes_give_an_integer_or_a_value_error(data, encoding):
    try:
        value = values.decode(data, encoding, Decimal("0.1"))
    except ValueError as error:
        assert str(error)
    else:
        assert type(value) is int


@pytest.mark.parametrize(
    ("number", "encoding", "size"),
    [(100, "bcd", 1), (-1, "bcd", 4), (80, "bcd_signed", 1), (-80, "bcd_signed", 1)],
)
def test_numbers_that_do_not_fit(number, encoding, size):
    with pytest.raises(ValueError, match="does not fit"):
        values.encode_raw(number, encoding, size)


def test_encoding_needs_what_it_cannot_know():
    with pytest.raises(ValueError, match="needs a size"):
        values.encode_raw(1, "bcd")
    with pytest.raises(ValueError, match="unknown encoding"):
        values.encode_raw(1, "float")
    with pytest.raises(ValueError, match="9 BCD bytes"):
        values.decode_bcd(bytes(9))
