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
