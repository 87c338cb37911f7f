"""CJ/T 188 frames against published ones, and in a stream with anything around them."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter.protocols import cjt188, values

from .common_protocol import bytewise, cut, feed, vectors

FEW = settings(max_examples=150, deadline=None)
METER = "78331505900569"
ADDRESSES = st.text("0123456789", min_size=14, max_size=14)
TYPES = st.sampled_from(sorted(cjt188.METER_TYPES.values()))
DATA = st.one_of(
    st.binary(max_size=60),
    # Data made of the framing bytes.
    st.lists(st.sampled_from([0x68, 0x16, 0xFE, 0x10]), max_size=60).map(bytes),
)
FRAMES = st.builds(
    cjt188.build, TYPES, ADDRESSES, st.sampled_from([0x01, 0x81, 0x84, 0xC1, 0x04]), DATA
)
NO_START = st.binary(max_size=30).map(lambda data: data.replace(b"\x68", b"\xfe"))
LONGEST = cjt188.MAX_DATA + 13


@pytest.mark.parametrize("vector", **vectors("cjt188"))
def test_published_frame(vector):
    raw, expect = bytes.fromhex(vector["hex"]), vector["expect"]
    frames = cjt188.Parser().feed(raw)
    if not expect["checksum_ok"]:
        assert frames == []
        return
    (frame,) = frames
    assert frame.raw == raw[expect["preamble_fe"] :]
    assert f"{frame.meter_type:02X}" == expect["meter_type"]
    assert frame.address == expect["address"]
    assert f"{frame.control:02X}" == expect["control"]
    assert len(frame.data) == expect["length"]
    assert frame.di_wire.hex().upper() == expect["di_wire"]
    assert frame.serial == expect["ser"]
    assert f"{frame.raw[-2]:02X}" == expect["cs"]
    if "data" in expect:
        assert frame.payload.hex() == expect["data"]
    if "status_bytes" in expect:
        assert frame.payload[-2:].hex().upper() == expect["status_bytes"]
    if "value" in expect:
        counter = cjt188.counter(frame.payload)
        assert counter.volume == 1000100, "litres of 1000.10 m³"
        assert counter.settlement == 1000100
        assert counter.time is None, "all zero"
        assert counter.status.hex().upper() == expect["status_bytes"]
        assert frame.payload[10:17].hex() == expect["time_bytes"]
    built = cjt188.build(
        frame.meter_type, frame.address, frame.control, frame.data, expect["preamble_fe"]
    )
    assert built == raw


@pytest.mark.parametrize("vector", **vectors("cjt188"))
def test_builders_make_the_published_requests(vector):
    raw, expect = bytes.fromhex(vector["hex"]), vector["expect"]
    kind, preamble = int(expect["meter_type"], 16), expect["preamble_fe"]
    if expect["control"] == "01":
        order = "high_first" if expect["di_wire"] == "901F" else "low_first"
        built = cjt188.read_request(
            kind, expect["address"], cjt188.COUNTER, expect["ser"], order, preamble
        )
        assert built == raw
    elif expect["control"] == "04":
        is_open = expect["action"] == "valve_open"
        built = cjt188.valve_request(
            kind, expect["address"], is_open, expect["ser"], preamble=preamble
        )
        assert built == raw
    else:
        assert int(expect["control"], 16) & 0x80, "a request without a builder"


def test_valve_bytes():
    for is_open, byte in ((True, 0x55), (False, 0x99)):
        (frame,) = cjt188.Parser().feed(cjt188.valve_request(0x10, METER, is_open, 7))
        assert frame.data == bytes((0xA0, 0x17, 7, byte))
    (frame,) = cjt188.Parser().feed(cjt188.valve_request(0x10, METER, True, 7, "low_first"))
    assert frame.data[:2] == b"\x17\xa0"


def test_read_address_asks_every_type():
    (frame,) = cjt188.Parser().feed(cjt188.read_address_request())
    assert (frame.meter_type, frame.address, frame.control) == (0xAA, "AA" * 7, 0x03)
    assert frame.data == b"\x81\x0a\x00"


@pytest.mark.parametrize("address", ["", "1", "7833150590056", "7833150590056A", "٧٨٣٣١٥٠٥٩٠٠٥٦٩"])
def test_bad_addresses(address):
    with pytest.raises(ValueError, match="not a meter address"):
        cjt188.read_request(0x10, address, "901F")


def test_no_write_without_one_meter():
    for kind, address in ((0x10, cjt188.WILDCARD), (0x10, "AA331505900569"), (0xAA, METER)):
        with pytest.raises(ValueError, match="one meter"):
            cjt188.valve_request(kind, address, False)


def test_other_bad_arguments():
    for di in ("", "901", "90 1F", "901G"):
        with pytest.raises(ValueError, match="4 hex digits"):
            cjt188.read_request(0x10, METER, di)
    with pytest.raises(ValueError, match="unknown order"):
        cjt188.read_request(0x10, METER, "901F", di_order="1F90")
    with pytest.raises(ValueError, match=r"0\.\.255"):
        cjt188.read_request(0x10, METER, "901F", serial=256)
    with pytest.raises(ValueError, match="at most 47"):
        cjt188.write_request(0x10, METER, "A010", bytes(48))
    with pytest.raises(ValueError, match="at most 100"):
        cjt188.build(0x10, METER, 0x81, bytes(101))
    with pytest.raises(ValueError, match="not one byte"):
        cjt188.build(0x100, METER, 0x81)


def test_counter_needs_the_common_form():
    payload = bytes.fromhex("00100010 2C 00100010 2C 59 59 23 31 12 25 20 0100")
    counter = cjt188.counter(payload)
    assert counter.time == datetime(2025, 12, 31, 23, 59, 59)
    assert values.state(counter.status, cjt188.VALVE_STATES, 3, 0, 1, "little") == "open"
    # The same identifier and length with other content, as an ultrasonic meter sends it.
    with pytest.raises(ValueError, match="not 2C"):
        cjt188.counter(payload.replace(b"\x2c", b"\x00"))
    with pytest.raises(ValueError, match="expected 19"):
        cjt188.counter(payload[:-1])
    with pytest.raises(ValueError, match="above 9"):
        cjt188.counter(b"\x0a" + payload[1:])
    with pytest.raises(ValueError, match="no volume at 16"):
        cjt188.volume(payload, 16)


@FEW
@given(st.data(), st.lists(FRAMES, max_size=4))
def test_any_cutting_gives_the_same_frames(data, frames):
    """The frames themselves are found; a lucky sum inside one may add another, never change it."""
    stream = b"".join(data.draw(NO_START) + frame for frame in frames) + data.draw(NO_START)
    whole = [frame.raw for frame in cjt188.Parser().feed(stream)]
    for pieces in (bytewise(stream), data.draw(cut(stream))):
        parser = cjt188.Parser()
        assert [frame.raw for frame in feed(parser, pieces)] == whole
        assert len(parser) < LONGEST
    for raw in whole:
        assert raw[-1] == 0x16
        assert sum(raw[:-2]) % 256 == raw[-2]


@FEW
@given(st.data(), ADDRESSES, st.integers(0, 255), st.binary(max_size=60), st.binary(max_size=40))
def test_the_answer_is_found_behind_any_garbage(data, address, serial, garbage, value):
    answer = cjt188.build(0x10, address, 0x81, bytes((0x90, 0x1F, serial)) + value)
    request = cjt188.read_request(0x10, address, "901F", serial)
    stream = garbage + b"\xfe" * data.draw(st.integers(0, 4)) + answer
    for pieces in ([stream], bytewise(stream), data.draw(cut(stream))):
        found = feed(cjt188.ReplyParser(request), pieces)
        assert answer in [frame.raw for frame in found]


@FEW
@given(st.lists(st.binary(max_size=300), max_size=8))
def test_random_bytes_never_raise_and_memory_is_bounded(pieces):
    parser = cjt188.Parser()
    reply_parser = cjt188.ReplyParser(cjt188.read_request(0x10, METER, "901F"))
    for piece in pieces:
        for frame in parser.feed(piece):
            assert sum(frame.raw[:-2]) % 256 == frame.raw[-2]
        reply_parser.feed(piece)
        assert len(parser) < LONGEST
        assert len(reply_parser) < LONGEST


def test_memory_is_bounded_under_a_flood_of_starts():
    flood = bytes.fromhex("68 10 69 05 90 05 15 33 78 81 64") * 2000
    parser = cjt188.ReplyParser(cjt188.read_request(0x10, METER, "901F"))
    for start in range(0, len(flood), 100):
        parser.feed(flood[start : start + 100])
        assert len(parser) < LONGEST + 100


def test_a_single_wrong_bit_is_never_accepted():
    request = cjt188.read_request(0x10, METER, "901F", 3)
    answer = cjt188.build(0x10, METER, 0x81, bytes.fromhex("901F03 42061200 2C"))
    assert cjt188.ReplyParser(request).feed(answer)
    for bit in range(8 * len(answer)):
        broken = bytearray(answer)
        broken[bit // 8] ^= 1 << bit % 8
        assert cjt188.ReplyParser(request).feed(bytes(broken)) == [], f"bit {bit}"


def test_parser_needs_a_request():
    for raw in (b"", b"\xfe\xfe", cjt188.build(0x10, METER, 0x81, b"\x90\x1f\x00"), b"\x68" * 13):
        with pytest.raises(ValueError, match="not a CJ/T 188 request"):
            cjt188.ReplyParser(raw)
