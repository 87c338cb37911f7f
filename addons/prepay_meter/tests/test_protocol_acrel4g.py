"""Frames of Acrel 4G meters against published ones, in a stream, and what they say."""

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter.protocols import acrel4g, exchange, modbus

from .common_protocol import bytewise, cut, feed, vectors

FEW = settings(max_examples=150, deadline=None)
SERIAL = "12307210720085"
COMMANDS = st.sampled_from([0x84, 0x90, 0x91, 0x93, 0x94])
BODIES = st.one_of(
    st.binary(max_size=60),
    # Bodies made of the framing bytes.
    st.lists(st.sampled_from([0x7B, 0x7D, 0x00]), max_size=60).map(bytes),
)
FRAMES = st.builds(acrel4g.build, COMMANDS, BODIES)
NO_FRAME = st.binary(max_size=30).map(lambda data: data.replace(b"\x7b", b"\x7a"))


def rtu(*body):
    return bytes(body) + modbus.crc16(bytes(body)).to_bytes(2, "little")


def by_definition(stream):
    """Frames by their definition, in a way that is slow and easy to check."""
    frames, used = [], 0
    for end in range(7, len(stream) + 1):
        if stream[end - 2 : end] != acrel4g.TAIL:
            continue
        for start in range(used, end - 6):
            raw = stream[start:end]
            crc = modbus.crc16(raw[2:-4]).to_bytes(2, "little")
            if raw[:2] == acrel4g.HEAD and crc == raw[-4:-2]:
                frames.append(raw)
                used = end
                break
    return frames


@pytest.mark.parametrize("vector", **vectors("acrel-7b7b"))
def test_published_frame(vector):
    raw, expect = bytes.fromhex(vector["hex"]), vector["expect"]
    (frame,) = acrel4g.Parser().feed(raw)
    assert frame.raw == raw
    assert f"{frame.command:02X}" == expect["command"]
    assert len(frame.body) == expect["body_length"]
    assert raw[-4:-2].hex().upper() == expect["crc_wire"]
    assert acrel4g.build(frame.command, frame.body) == raw
    message = acrel4g.parse(frame)
    if expect["command"] == "84":
        assert message.serial == expect["serial"]
        assert message.iccid == expect["iccid"]
        assert message.rssi == expect["rssi"]
        assert message.versions == ("1.0", "1.0", "1.0")
        assert message.interval_minutes == expect["upload_interval_min"]
        assert acrel4g.login(message.serial, message.iccid, message.rssi) == raw
    elif expect["command"] == "94":
        assert message == acrel4g.Heartbeat()
        assert acrel4g.heartbeat() == raw
    elif "time" in expect:
        assert frame.body[3] == expect["week_byte"]
        assert acrel4g.time_reply(datetime.fromisoformat(expect["time"])) == raw
    else:
        assert message == acrel4g.TimeRequest(expect["serial"])
        assert acrel4g.time_request(expect["serial"]) == raw


def test_published_replies():
    """From the same documents as the frames above; that sample counts Sunday as 1."""
    assert acrel4g.login_reply().hex(" ") == "7b 7b 84 bf 23 7d 7d"
    sample = "7b 7b 93 17 0a 0a 03 11 07 1b e4 a2 7d 7d"
    assert acrel4g.time_reply(datetime(2023, 10, 10, 17, 7, 27), sunday=1).hex(" ") == sample


def test_builders_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="without a zone"):
        acrel4g.time_reply(datetime(2026, 1, 1, tzinfo=timezone.utc))
    with pytest.raises(ValueError, match=r"2000\.\.2099"):
        acrel4g.time_reply(datetime(1999, 1, 1))
    with pytest.raises(ValueError, match="at most 20"):
        acrel4g.time_request("1" * 21)
    with pytest.raises(ValueError, match="too long"):
        acrel4g.build(0x91, bytes(acrel4g.MAX_FRAME))
    with pytest.raises(ValueError, match="not one byte"):
        acrel4g.build(0x191)
    with pytest.raises(ValueError, match="expected 3"):
        acrel4g.login(SERIAL, versions=[(1, 0)])


def test_a_tail_inside_the_body_does_not_end_it():
    body = b"\x7d\x7d" * 3 + b"\x7b\x7b\x84" + b"\x7d\x7d\x7d"
    raw = acrel4g.build(0x91, body)
    for pieces in ([raw], bytewise(raw)):
        (frame,) = feed(acrel4g.Parser(), pieces)
        assert frame.body == body


@FEW
@given(st.data(), st.lists(st.one_of(FRAMES, BODIES), max_size=5))
def test_any_cutting_follows_the_definition(data, parts):
    stream = b"".join(parts)
    expected = by_definition(stream)
    for pieces in ([stream], bytewise(stream), data.draw(cut(stream))):
        assert [frame.raw for frame in feed(acrel4g.Parser(), pieces)] == expected


@FEW
@given(st.data(), st.lists(FRAMES, max_size=4))
def test_frames_are_found_between_garbage(data, frames):
    stream = b"".join(data.draw(NO_FRAME) + frame for frame in frames) + data.draw(NO_FRAME)
    assert [frame.raw for frame in acrel4g.Parser().feed(stream)] == by_definition(stream)
    if all(frame.find(acrel4g.TAIL) == len(frame) - 2 for frame in frames):
        assert by_definition(stream) == frames


def test_a_false_start_holds_nothing_back():
    parser = acrel4g.Parser()
    frames = parser.feed(b"\x7b\x7b\x91" + bytes(50) + acrel4g.heartbeat())
    assert [frame.raw for frame in frames] == [acrel4g.heartbeat()]


@pytest.mark.parametrize("piece", [1, 7, 100, 5000])
@pytest.mark.parametrize("unit", [b"\x7b", b"\x7b\x7b\x91", b"\x7d", b"\x7b\x7b\x7d\x7d", b"\x00"])
def test_memory_is_bounded_under_a_flood(unit, piece):
    parser = acrel4g.Parser()
    flood = unit * (20000 // len(unit))
    for start in range(0, len(flood), piece):
        parser.feed(flood[start : start + piece])
        assert len(parser) <= acrel4g.MAX_FRAME + piece
    heartbeat = acrel4g.heartbeat()
    assert [frame.raw for frame in parser.feed(heartbeat)] == [heartbeat]


def test_a_flood_ends_at_the_same_frames_however_it_is_cut():
    """Also when starts are given up, by age or by number."""
    stream = b"\x7b\x7b\x91" * 40 + acrel4g.heartbeat() + b"\x7b\x7b" + bytes(acrel4g.MAX_FRAME)
    stream += b"\x7d\x7d" + acrel4g.data_reply() * 3
    whole = [frame.raw for frame in acrel4g.Parser().feed(stream)]
    assert whole == [acrel4g.heartbeat()] + [acrel4g.data_reply()] * 3
    for size in (1, 13, 4096):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [frame.raw for frame in feed(acrel4g.Parser(), pieces)] == whole


def test_the_longest_frame():
    raw = acrel4g.build(0x91, bytes(acrel4g.MAX_FRAME - 7))
    assert [frame.raw for frame in feed(acrel4g.Parser(), bytewise(raw))] == [raw]


@FEW
@given(st.lists(st.binary(max_size=300), max_size=8))
def test_random_bytes_never_raise(pieces):
    parser = acrel4g.Parser()
    for piece in pieces:
        for frame in parser.feed(piece):
            acrel4g.parse(frame)


@FEW
@given(st.sampled_from(range(256)), st.binary(max_size=120))
def test_any_body_is_a_message(command, body):
    message = acrel4g.parse(acrel4g.Frame(command, body))
    if isinstance(message, acrel4g.Unknown):
        assert message.reason


def test_a_single_wrong_bit_is_never_accepted():
    raw = acrel4g.login(SERIAL, "898604282219C0423610", 26)
    for bit in range(8 * len(raw)):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << bit % 8
        assert acrel4g.Parser().feed(bytes(broken)) == [], f"bit {bit}"


# --- pushed readings ---

READ = rtu(1, 3, 4, 0x29, 0x29, 0x5D, 0x5D)  # holds "))" and "]]"
SHORT = rtu(2, 3, 2, 0, 7)


@pytest.mark.parametrize("serial", [SERIAL, None])
def test_data_frames(serial):
    entries = [("1-1", READ), ("1-2", SHORT)]
    (frame,) = acrel4g.Parser().feed(acrel4g.data(serial, entries))
    message = acrel4g.parse(frame)
    assert message.serial == serial
    assert [(entry.address, entry.answer.raw) for entry in message.entries] == entries
    assert message.entries[1].answer.registers == (7,)
    assert message.ignored == ()


def test_several_readings_in_one_section():
    body = b"[[1-1((" + READ + b"))1-2((" + SHORT + b"))]]"
    message = acrel4g.parse(acrel4g.Frame(0x91, body))
    assert [entry.address for entry in message.entries] == ["1-1", "1-2"]


def test_a_damaged_reading_does_not_hide_the_next():
    broken = READ[:-1] + bytes((READ[-1] ^ 1,))
    body = b"[[1-1((" + broken + b"))]][[1-2((" + SHORT + b"))]]"
    message = acrel4g.parse(acrel4g.Frame(0x91, body))
    assert [entry.address for entry in message.entries] == ["1-2"]
    assert message.ignored == ("no reading at byte 2",)
    alone = acrel4g.parse(acrel4g.Frame(0x91, b"[[1-1((" + broken + b"))]]"))
    assert alone == acrel4g.Unknown(0x91, "data without a reading")


def block(size):
    data = bytearray(size)
    words = {2: 2301, 4: 2302, 6: 2303, 8: 150, 14: 345, 20: 0x10000 - 345, 28: 12, 36: 998}
    words |= {38: 1, 40: 20}
    for offset, word in words.items():
        data[offset : offset + 2] = word.to_bytes(2, "big")
    energies = {42: 1000, 46: 100, 50: 200, 54: 300, 58: 400}
    if size == acrel4g.RATES_8:
        data[80:86] = bytes((26, 11, 22, 17, 3, 59))
        energies[96] = 50
    else:
        data[80:87] = bytes((26, 11, 22, 0, 17, 3, 59))
    for offset, energy in energies.items():
        data[offset : offset + 4] = energy.to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("size", [acrel4g.RATES_4, acrel4g.RATES_8])
def test_pushed_block(size):
    """The layout follows from the number of bytes, not from a model."""
    found = acrel4g.decode_block(block(size))
    assert found.registers["energy"] == 10000, "1000 steps of 0.01 kWh, in Wh"
    names = ("energy_sharp", "energy_peak", "energy_flat", "energy_valley")
    assert [found.registers[name] for name in names] == [1000, 2000, 3000, 4000]
    assert found.registers.get("energy_deep") == (500 if size == acrel4g.RATES_8 else None)
    assert found.time == datetime(2026, 11, 22, 17, 3, 59)
    assert found.uncertain["voltage_a"] == 230100
    assert found.uncertain["current_a"] == 1500
    assert found.uncertain["power_a"] == 345
    assert found.uncertain["power"] == -345
    assert (found.uncertain["reactive"], found.uncertain["power_factor"]) == (12, 998)
    assert (found.pt, found.ct) == (1, 20)


def test_other_blocks():
    with pytest.raises(ValueError, match="expected 96 or 144"):
        acrel4g.decode_block(bytes(95))
    assert acrel4g.decode_block(bytes(acrel4g.RATES_4)).time is None
    assert acrel4g.decode_block(b"\xff" * acrel4g.RATES_8).time is None


# --- commands through the tunnel ---

FORCE = (1, 0x57, [1, 1])
ECHO = rtu(1, 16, 0, 0x57, 0, 2)


@pytest.mark.parametrize("serial", [SERIAL, None])
def test_tunnel_answers(serial):
    read = exchange.modbus_read(1, 0, 2)
    for answered in (SERIAL, None):
        waiting = read.tunnelled(serial)
        reply = waiting.feed(acrel4g.tunnel_answer(answered, READ))
        assert (reply.address, reply.function) == ("1", 3)
        assert reply.registers == (0x2929, 0x5D5D)


def test_request_of_the_tunnel():
    read = exchange.modbus_read(1, 0, 2)
    (frame,) = acrel4g.Parser().feed(read.tunnelled(SERIAL).request)
    assert (frame.command, frame.body) == (0x90, read.request)


def test_a_write_answered_with_the_serial_only_counts_as_taken():
    reply = exchange.modbus_write(*FORCE).tunnelled(SERIAL).feed(acrel4g.tunnel_answer(SERIAL))
    assert (reply.error, reply.data, reply.function) == (None, b"", 16)
    reply = (
        exchange.modbus_write(*FORCE).tunnelled(SERIAL).feed(acrel4g.tunnel_answer(SERIAL, ECHO))
    )
    assert reply.data == ECHO[2:6]


def test_what_is_no_answer_of_the_tunnel():
    for stray, reason in (
        (acrel4g.tunnel_answer("12307210720086", READ), "wrong_unit"),
        (acrel4g.tunnel_answer(SERIAL, rtu(2, *READ[1:-2])), "wrong_unit"),
        (acrel4g.tunnel_answer(SERIAL), "malformed"),  # a read is not done without data
        (acrel4g.tunnel_answer(SERIAL, SHORT), "wrong_unit"),
        (acrel4g.tunnel_answer(SERIAL, rtu(1, 3, 2, 0, 7)), "malformed"),
        (acrel4g.build(0x90, b"nonsense"), "malformed"),
        (acrel4g.build(0x90), "malformed"),
        (READ, "timeout"),  # without the envelope
    ):
        waiting = exchange.modbus_read(1, 0, 2).tunnelled(SERIAL)
        assert waiting.feed(stray) is None
        assert waiting.failure()[0] == reason, stray.hex(" ")
    assert (
        exchange.modbus_write(*FORCE)
        .tunnelled(SERIAL)
        .feed(acrel4g.tunnel_answer("12307210720086"))
        is None
    )


def test_other_frames_of_the_meter_are_no_fault():
    waiting = exchange.modbus_read(1, 0, 2).tunnelled(SERIAL)
    assert waiting.feed(acrel4g.heartbeat() + acrel4g.data(SERIAL, [("1-1", READ)])) is None
    assert waiting.strays == []
    assert waiting.feed(acrel4g.tunnel_answer(SERIAL, READ)) is not None


def test_a_refusal_through_the_tunnel():
    waiting = exchange.modbus_read(1, 0, 2).tunnelled(SERIAL)
    reply = waiting.feed(acrel4g.tunnel_answer(SERIAL, rtu(1, 0x83, 2)))
    assert reply.error.meaning == "illegal data address"
