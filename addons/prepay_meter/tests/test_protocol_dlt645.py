"""DL/T 645-2007 frames against published ones, and in a stream with anything around them."""

from datetime import datetime, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter.protocols import dlt645, values

from .common_protocol import bytewise, cut, feed, vectors

FEW = settings(max_examples=150, deadline=None)
ADDRESSES = st.text("0123456789", min_size=12, max_size=12)
DATA = st.one_of(
    st.binary(max_size=40),
    # Data whose wire form is made of the framing bytes.
    st.lists(st.sampled_from([0x68, 0x16, 0xFE]), max_size=40).map(
        lambda wire: bytes((byte - 0x33) & 0xFF for byte in wire)
    ),
)
FRAMES = st.builds(dlt645.build, ADDRESSES, st.sampled_from([0x11, 0x91, 0x9C, 0xD1]), DATA)
NO_START = st.binary(max_size=30).map(lambda data: data.replace(b"\x68", b"\xfe"))


@pytest.mark.parametrize("vector", **vectors("dlt645-2007"))
def test_published_frame(vector):
    raw, expect = bytes.fromhex(vector["hex"]), vector["expect"]
    (frame,) = dlt645.Parser().feed(raw)
    assert frame.raw == raw[expect["preamble_fe"] :]
    assert frame.address == expect["address"]
    assert f"{frame.control:02X}" == expect["control"]
    assert len(frame.data) == expect["length"]
    assert frame.data.hex().upper() == expect.get("data_minus_33", "")
    assert frame.di == expect.get("di", "")
    assert f"{frame.raw[-2]:02X}" == expect["cs"]
    assert dlt645.build(frame.address, frame.control, frame.data, expect["preamble_fe"]) == raw
    if expect.get("unit") == "kWh":
        value = values.decode(frame.data[4:], "bcd", Decimal(10))
        assert value == Decimal(expect["value"]) * 1000
    elif "value" in expect:
        assert dlt645.address_from_wire(frame.data[-6:]) == expect["value"]


@pytest.mark.parametrize("vector", **vectors("dlt645-2007"))
def test_builders_make_the_published_requests(vector):
    raw, expect = bytes.fromhex(vector["hex"]), vector["expect"]
    preamble = expect["preamble_fe"]
    if expect["control"] == "11":
        assert dlt645.read_request(expect["address"], expect["di"], preamble) == raw
    elif expect["control"] == "13":
        assert dlt645.read_address_request(preamble) == raw
    elif expect["control"] == "1C":
        until = expect["valid_until"]
        built = dlt645.relay_request(
            expect["address"],
            int(expect["command"], 16),
            bytes.fromhex(expect["password_bytes"]),
            bytes.fromhex(expect["operator_bytes"]),
            datetime.fromisoformat(until) if until else None,
            preamble=preamble,
        )
        assert built == raw
    else:
        assert int(expect["control"], 16) & 0x80, "a request without a builder"


def test_relay_command_bytes():
    until = datetime(2026, 11, 22, 17, 3, 59)
    raw = dlt645.relay_request("202611000001", 0x1A, bytes(4), bytes(4), until, preamble=0)
    (frame,) = dlt645.Parser().feed(raw)
    assert frame.data[8:].hex() == "1a00590317221126"  # N1, N2, ss mm hh DD MM YY


def test_write_request_carries_rights_before_the_value():
    raw = dlt645.write_request("202611000001", "04000102", b"\x02pwd", b"oper", b"\x01\x02\x03")
    (frame,) = dlt645.Parser().feed(raw)
    assert (frame.control, frame.di) == (0x14, "04000102")
    assert frame.data[4:] == b"\x02pwdoper\x01\x02\x03"


@pytest.mark.parametrize("address", ["", "1", "20261100000A", "2026110000011", "٢٠٢٦١١٠٠٠٠٠١"])
def test_bad_addresses(address):
    with pytest.raises(ValueError, match="not a meter address"):
        dlt645.read_request(address, "00010000")


@pytest.mark.parametrize("address", [dlt645.WILDCARD, "AAAAAA000001", "999999999999"])
def test_no_relay_command_without_one_meter(address):
    with pytest.raises(ValueError, match="address of one meter"):
        dlt645.relay_request(address, dlt645.TRIP, bytes(4), bytes(4))


def test_other_bad_arguments():
    good = ("202611000001", dlt645.TRIP, bytes(4), bytes(4))
    with pytest.raises(ValueError, match="4 bytes each"):
        dlt645.relay_request(*good[:2], bytes(3), bytes(4))
    with pytest.raises(ValueError, match="without a zone"):
        dlt645.relay_request(*good, datetime(2026, 1, 1, tzinfo=timezone.utc))
    with pytest.raises(ValueError, match=r"2000\.\.2099"):
        dlt645.relay_request(*good, datetime(1999, 1, 1))
    for di in ("", "0001", "0001000G", "00 01 00"):
        with pytest.raises(ValueError, match="8 hex digits"):
            dlt645.read_request("202611000001", di)
    with pytest.raises(ValueError, match="at most 200"):
        dlt645.build("202611000001", 0x91, bytes(201))


def test_error_answers_say_what_is_wrong():
    raw = dlt645.build("202611000001", 0xD1, b"\x02")
    (frame,) = dlt645.Parser().feed(raw)
    assert frame.is_error
    assert (frame.error_code, frame.di) == (2, "")
    assert dlt645.error_meaning(2) == "no such data"
    assert dlt645.error_meaning(6) == "no such data, wrong password or not authorised"
    assert dlt645.error_meaning(0) == "unspecified error"


@FEW
@given(st.data(), st.lists(FRAMES, max_size=4))
def test_any_cutting_gives_the_same_frames(data, frames):
    """Preambles and garbage without a start byte lie before, between and behind the frames."""
    stream = b"".join(data.draw(NO_START) + frame for frame in frames) + data.draw(NO_START)
    for pieces in ([stream], bytewise(stream), data.draw(cut(stream))):
        parser = dlt645.Parser()
        assert [frame.raw for frame in feed(parser, pieces)] == frames
        assert len(parser) == 0


@FEW
@given(st.data(), FRAMES, st.binary(max_size=60))
def test_a_frame_is_found_behind_any_garbage(data, frame, garbage):
    stream = garbage + frame
    whole = dlt645.Parser()
    found = feed(whole, [stream]) + whole.flush()
    parser = dlt645.Parser()
    assert feed(parser, data.draw(cut(stream))) + parser.flush() == found
    assert frame in [each.raw for each in found]


@FEW
@given(st.lists(st.binary(max_size=300), max_size=8))
def test_random_bytes_never_raise_and_memory_is_bounded(pieces):
    parser = dlt645.Parser()
    reply_parser = dlt645.ReplyParser(dlt645.read_request("202611000001", "00010000"))
    for piece in pieces:
        parser.feed(piece)
        reply_parser.feed(piece)
        assert len(parser) < 212
        assert len(reply_parser) < 212
    parser.flush()
    assert len(parser) == 0


def test_memory_is_bounded_under_a_flood_of_starts():
    flood = bytes.fromhex("68 01 00 00 11 26 20 68 91 C8") * 2000
    for parser in (
        dlt645.Parser(),
        dlt645.ReplyParser(dlt645.read_request("202611000001", "00010000")),
    ):
        for start in range(0, len(flood), 100):
            parser.feed(flood[start : start + 100])
            assert len(parser) < 212 + 100


def test_a_false_start_holds_back_only_until_the_line_is_quiet():
    frame = dlt645.build("000000000161", 0x91, bytes(8))
    false_start = bytes.fromhex("68 01 00 00 00 00 00 68 91 C8")
    parser = dlt645.Parser()
    assert parser.feed(false_start + frame) == []
    assert [found.raw for found in parser.flush()] == [frame]
    # The search for one answer does not wait at all.
    reply_parser = dlt645.ReplyParser(dlt645.read_request("000000000161", "00000000"))
    assert [found.raw for found in reply_parser.feed(false_start + frame)] == [frame]


def test_a_start_with_an_impossible_length_or_address_holds_nothing_back():
    frame = dlt645.build("000000000161", 0x91, bytes(8))
    for head in ("68 01 00 00 00 00 00 68 91 C9", "68 0A 00 00 00 00 00 68 91 08"):
        (found,) = dlt645.Parser().feed(bytes.fromhex(head) + frame)
        assert found.raw == frame


@FEW
@given(st.data(), ADDRESSES, st.binary(max_size=60), st.binary(min_size=4, max_size=4))
def test_the_answer_is_found_behind_any_garbage(data, address, garbage, value):
    answer = dlt645.build(address, 0x91, bytes(4) + value, preamble=data.draw(st.integers(0, 4)))
    request = dlt645.read_request(address, "00000000")
    stream = garbage + answer + data.draw(st.binary(max_size=20))
    for pieces in ([stream], bytewise(stream), data.draw(cut(stream))):
        found = feed(dlt645.ReplyParser(request), pieces)
        assert [frame.data[4:] for frame in found] == [value]


def test_a_single_wrong_bit_is_never_accepted():
    answer = dlt645.build("202611000001", 0x91, bytes.fromhex("00000100 42061200"))
    request = dlt645.read_request("202611000001", "00010000")
    for bit in range(8 * len(answer)):
        broken = bytearray(answer)
        broken[bit // 8] ^= 1 << bit % 8
        assert dlt645.ReplyParser(request).feed(bytes(broken)) == [], f"bit {bit}"


def test_parser_needs_a_request():
    with pytest.raises(ValueError, match="not a DL/T 645 request"):
        dlt645.ReplyParser(dlt645.build("000000000161", 0x91, bytes(8)))
    with pytest.raises(ValueError, match="not a DL/T 645 request"):
        dlt645.ReplyParser(b"")


def test_read_next_bytes():
    (frame,) = dlt645.Parser().feed(dlt645.read_next_request("202611000001", "00010000", 1))
    assert (frame.control, frame.data) == (0x12, bytes.fromhex("0000010001"))
    for sequence in (0, 256):
        with pytest.raises(ValueError, match=r"1\.\.255"):
            dlt645.read_next_request("202611000001", "00010000", sequence)


def test_broadcast_time_bytes():
    (frame,) = dlt645.Parser().feed(
        dlt645.broadcast_time_request(datetime(2026, 11, 22, 17, 3, 59))
    )
    assert (frame.address, frame.control) == ("999999999999", 0x08)
    assert frame.data.hex() == "590317221126"  # ss mm hh DD MM YY
    with pytest.raises(ValueError, match="without a zone"):
        dlt645.broadcast_time_request(datetime(2026, 1, 1, tzinfo=timezone.utc))


def test_credit_bytes():
    args = ("202611000001", dlt645.CREDIT, 1234567, 89)
    (frame,) = dlt645.Parser().feed(dlt645.credit_request(*args, b"\x02pwd", b"oper"))
    assert (frame.control, frame.di) == (0x03, "070102FF")
    assert frame.data[4:] == b"\x02pwdoper" + bytes.fromhex("67452301 89000000")
    raw = dlt645.credit_request(*args, b"", b"oper", "binary")
    (frame,) = dlt645.Parser().feed(raw)
    assert frame.data[4:] == b"oper" + bytes.fromhex("87D61200 59000000")


def test_bad_credit():
    good = ("202611000001", dlt645.CREDIT, 100, 1, b"", bytes(4))
    for place, value, reason in (
        (0, dlt645.WILDCARD, "one meter"),
        (2, -1, "not in"),
        (2, 10**8, "not in"),
        (3, -1, "not in"),
        (4, bytes(3), "4 bytes each"),
        (5, b"", "4 bytes each"),
    ):
        args = [*good]
        args[place] = value
        with pytest.raises(ValueError, match=reason):
            dlt645.credit_request(*args)
    with pytest.raises(ValueError, match="unknown encoding"):
        dlt645.credit_request(*good, "ascii")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (0x0000, {"relay": "closed", "command": "closed", "prepaid": "none", "supply": "main"}),
        (0x0050, {"relay": "open", "command": "open", "waiting": False}),
        (0x0040, {"relay": "closed", "command": "open", "waiting": True}),
        (0x1040, {"relay": "closed", "command": "open", "waiting": True, "keep_power": True}),
        (0x0010, {"relay": "open", "command": "closed", "waiting": True}),
        (0x0080, {"alarm": True, "keep_power": False}),
        (0x0100, {"prepaid": "energy"}),
        (0x0200, {"prepaid": "money"}),
        (0x0004, {"supply": "battery"}),
        (0x0008, {"programming": True}),
        (0x0021, {"day_slot_set": 1, "year_zone_set": 1}),
        (0x0C00, {"price_set": 1, "step_set": 1}),
        (0x2000, {"identity_ok": True}),
        (0xC000, {"local_account_bit": 1, "remote_account_bit": 1}),
    ],
)
def test_status_word_3(word, expected):
    status = dlt645.status_word_3(word.to_bytes(2, "little"))
    assert {name: getattr(status, name) for name in expected} == expected


def test_bad_status_word_3():
    for raw in (b"", b"\0", bytes(3)):
        with pytest.raises(ValueError, match="expected 2"):
            dlt645.status_word_3(raw)
    for word in (0xFFFF, 0x0006, 0x0300):
        with pytest.raises(ValueError, match="reserved"):
            dlt645.status_word_3(word.to_bytes(2, "little"))


def test_named_relay_commands():
    assert sorted(dlt645.N1.values()) == [0x1A, 0x1B, 0x1C, 0x2A, 0x2B, 0x3A, 0x3B]
    assert dlt645.N1["trip"] == dlt645.TRIP
