"""Who dials in, and a stream without the bytes of the DTU itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter.protocols import dtu, exchange, modbus

from .common_protocol import bytewise, cut, feed

FEW = settings(max_examples=200, deadline=None)
IMEI = "861234567890123"
ICCID = "898604282219C0423610"
GATEWAYS = {
    dtu.identity_to_wire("imei", IMEI): "one",
    dtu.identity_to_wire("iccid", ICCID): "two",
    dtu.identity_to_wire("ascii", "SITE-A"): "three",
    dtu.identity_to_wire("ascii", "SITE-A-17"): "four",
    dtu.identity_to_wire("hex", "FE 01 7B 00"): "five",
}
KNOWN = dtu.KnownIdentities(GATEWAYS)


def caller(pieces, known=KNOWN):
    """What is decided, with all bytes that were not part of the identity; a quiet line behind."""
    registration, found, later = dtu.Registration(known), None, b""
    for piece in pieces:
        if found is None and not registration.failed:
            found = registration.feed(piece)
        else:
            later += piece
        assert len(registration) <= dtu.MAX_REGISTRATION
    found = found or registration.flush()
    return (found.identity, found.known, found.rest + later) if found else None


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (IMEI.encode(), ("one", True, b"")),
        (b"IMEI:" + IMEI.encode() + b"\r\n", ("one", True, b"\r\n")),
        (ICCID.encode() + b"ping", ("two", True, b"ping")),
        (b"SITE-A", ("three", True, b"")),
        (b"SITE-A-17", ("four", True, b"")),
        (b"SITE-A-1x", ("three", True, b"-1x")),
        (b"\xfe\x01\x7b\x00", ("five", True, b"")),
        (b"861234567890124", ("861234567890124", False, b"")),
        (b"+" + ICCID[:-1].encode() + b"\n", (ICCID[:-1], False, b"\n")),
        # The first byte of an answer may look like one more digit.
        (IMEI.encode() + b"1", ("one", True, b"1")),
        (b"GET / HTTP/1.1\r\nHost: 9912345678901234567\r\n", None),
        (b"9912345678901234", None),
    ],
)
def test_first_bytes(first, expected):
    for pieces in ([first], bytewise(first)):
        assert caller(pieces) == expected


def test_a_certain_identity_needs_no_quiet_line():
    assert dtu.Registration(KNOWN).feed(IMEI.encode()).identity == "one"
    registration = dtu.Registration(KNOWN)
    assert registration.feed(b"SITE-A") is None, "SITE-A-17 may still come"
    assert registration.feed(b"\x01").identity == "three"
    assert registration.feed(IMEI.encode()) is None, "decided once"
    assert registration.flush() is None


def test_strangers_end_at_the_limit():
    registration = dtu.Registration(KNOWN)
    for byte in bytewise(b"GET / HTTP/1.1\r\n" * 20):
        registration.feed(byte)
    assert registration.failed
    assert registration.found is None
    assert len(registration) == 0
    assert registration.feed(IMEI.encode()) is None


@FEW
@given(
    st.data(),
    st.lists(
        st.one_of(st.binary(max_size=8), st.sampled_from([*GATEWAYS, b"SITE-", b"8612"])),
        max_size=8,
    ),
)
def test_any_cutting_finds_the_same_caller(data, parts):
    stream = b"".join(parts)
    whole = caller([stream])
    for pieces in (bytewise(stream), data.draw(cut(stream))):
        assert caller(pieces) == whole
    if any(wire in stream[: dtu.MAX_REGISTRATION] for wire in GATEWAYS):
        assert whole is not None and whole[1]


@pytest.mark.parametrize(
    ("kind", "identity"),
    [
        ("imei", "86123456789012"),
        ("imei", "86123456789012X"),
        ("iccid", "8986"),
        ("ascii", "abc"),
        ("ascii", "宿舍一号楼"),
        ("ascii", "x" * 81),
        ("hex", "FE0"),
        ("hex", "FE01"),
        ("serial", IMEI),
    ],
)
def test_identities_that_are_none(kind, identity):
    with pytest.raises(ValueError, match=r"not an identity|unknown kind"):
        dtu.identity_to_wire(kind, identity)


def test_settings_to_bytes():
    assert dtu.heartbeat_to_wire("ping") == dtu.PING
    assert dtu.heartbeat_to_wire("hex:00 FF") == b"\x00\xff"
    for text in ("hex:0", "hex:xx", "心跳"):
        with pytest.raises(ValueError):
            dtu.heartbeat_to_wire(text)
    wire = IMEI.encode()
    assert dtu.foreign(wire, "connect", b"ping") == (b"ping",)
    for registration in ("each", "both"):
        assert dtu.foreign(wire, registration, b"ping") == (b"ping", wire)
    assert dtu.foreign(wire, "connect", b"\x00") == ()
    with pytest.raises(ValueError, match="unknown registration"):
        dtu.foreign(wire, "never")


# --- a clean stream ---


def cleaned(pieces, foreign):
    cleaner = dtu.Cleaner(foreign)
    limit = max(map(len, foreign), default=0)
    out = b""
    for piece in pieces:
        out += cleaner.feed(piece)
        assert len(cleaner) < max(limit, 1)
    return out + cleaner.flush()


def by_definition(stream, foreign):
    out, at = b"", 0
    while at < len(stream):
        fits = [item for item in foreign if len(item) > 1 and stream.startswith(item, at)]
        if fits:
            at += max(map(len, fits))
        else:
            out += stream[at : at + 1]
            at += 1
    return out


SHORT = st.binary(min_size=0, max_size=4).map(lambda raw: bytes(byte % 3 for byte in raw))


@FEW
@given(st.data(), st.lists(SHORT, max_size=4), st.lists(SHORT, max_size=20))
def test_any_cutting_cleans_alike(data, foreign, parts):
    stream = b"".join(parts)
    expected = by_definition(stream, foreign)
    for pieces in ([stream], bytewise(stream), data.draw(cut(stream))):
        assert cleaned(pieces, foreign) == expected


def rtu(*body):
    return bytes(body) + modbus.crc16(bytes(body)).to_bytes(2, "little")


ANSWER = rtu(1, 3, 4, 0, 0, 0x12, 0x34)


@FEW
@given(st.data())
def test_heartbeats_and_registrations_inside_an_answer(data):
    """The DTU sends its own packets between the pieces of an answer."""
    wire = IMEI.encode()
    place = data.draw(st.integers(0, len(ANSWER)))
    noise = b"".join(data.draw(st.lists(st.sampled_from([wire, dtu.PING]), max_size=3)))
    stream = wire + ANSWER[:place] + noise + ANSWER[place:]
    for pieces in ([stream], bytewise(stream), data.draw(cut(stream))):
        waiting = exchange.modbus_read(1, 0, 2).ignoring(*dtu.foreign(wire, "both", dtu.PING))
        (reply,) = [reply for piece in pieces if (reply := waiting.feed(piece))]
        assert reply.registers == (0, 0x1234)


def test_an_answer_that_holds_the_bytes_of_the_heartbeat_is_still_found():
    waiting = exchange.modbus_read(1, 0, 2).ignoring(b"\x00\x00")
    assert waiting.feed(ANSWER).registers == (0, 0x1234)


def test_a_heartbeat_that_is_a_modbus_answer_is_a_stray():
    heartbeat = rtu(9, 3, 2, 0, 1)
    waiting = exchange.modbus_read(1, 0, 2).ignoring(dtu.PING)
    assert waiting.feed(heartbeat) is None
    assert waiting.failure()[0] == "wrong_unit"
    assert waiting.feed(heartbeat + ANSWER) is not None


def test_the_stream_without_anything_foreign_passes():
    assert feed(dtu.Cleaner(()), [b"abc"]) == list(b"abc")
