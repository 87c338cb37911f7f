"""One request and its answer: what is taken, what is passed over, and what is said about it."""

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter.protocols import acrel4g, cjt188, dlt645, exchange, modbus, values
from odoo.addons.prepay_meter.protocols.errors import DeviceError, Outcome

from .common_protocol import bytewise, cut

FEW = settings(max_examples=150, deadline=None)
METER = "202611000001"
OTHER = "202611000002"
ENERGY = "00010000"
RELAY = (METER, dlt645.TRIP, bytes.fromhex("02000000"), bytes(4))


def rtu(unit, function, *body):
    raw = bytes((unit, function, *body))
    return raw + modbus.crc16(raw).to_bytes(2, "little")


def read_answer(unit=1, registers=(0, 4660)):
    data = b"".join(value.to_bytes(2, "big") for value in registers)
    return rtu(unit, 3, len(data), *data)


def energy_answer(address=METER, di=ENERGY, value="42061200", preamble=4):
    data = dlt645.di_to_wire(di) + bytes.fromhex(value)
    return dlt645.build(address, 0x91, data, preamble)


WATER = "78331505900569"
VALVE = "A01703"


def water(control, data, address=WATER, meter_type=0x10):
    return cjt188.build(meter_type, address, control, bytes.fromhex(data), 4)


def broken(frame):
    """The frame with a wrong checksum."""
    checksum = {0x16: -2, 0x7D: -3}.get(frame[-1], -1)
    raw = bytearray(frame)
    raw[checksum] ^= 0xFF
    return bytes(raw)


CASES = {
    # name: (a new exchange, its answer, strays by reason)
    "read": (
        lambda: exchange.modbus_read(1, 0, 2),
        read_answer(),
        {
            "crc": broken(read_answer()),
            "wrong_unit": read_answer(unit=2),
            "malformed": read_answer(registers=(1, 2, 3)),
        },
    ),
    "write": (
        lambda: exchange.modbus_write(1, 0x57, [1, 1]),
        rtu(1, 16, 0, 0x57, 0, 2),
        {
            "crc": broken(rtu(1, 16, 0, 0x57, 0, 2)),
            "wrong_unit": rtu(2, 16, 0, 0x57, 0, 2),
            "malformed": rtu(1, 16, 0, 0x57, 0, 1),
        },
    ),
    "645 read": (
        lambda: exchange.dlt645_read(METER, ENERGY),
        energy_answer(),
        {
            "crc": broken(energy_answer()),
            "wrong_unit": energy_answer(OTHER),
            "malformed": energy_answer(di="00020000"),
        },
    ),
    "645 relay": (
        lambda: exchange.dlt645_relay(*RELAY),
        dlt645.build(METER, 0x9C),
        {
            "crc": broken(dlt645.build(METER, 0x9C)),
            "wrong_unit": dlt645.build(OTHER, 0x9C),
            "malformed": energy_answer(),
        },
    ),
    "input registers": (
        lambda: exchange.modbus_read(1, 0, 2, function=4),
        rtu(1, 4, 4, 0, 0, 0x12, 0x34),
        {
            "crc": broken(rtu(1, 4, 4, 0, 0, 0x12, 0x34)),
            "wrong_unit": rtu(2, 4, 4, 0, 0, 0x12, 0x34),
            "malformed": read_answer(),
        },
    ),
    "through the tunnel": (
        lambda: exchange.modbus_read(1, 0, 2).tunnelled("S1"),
        acrel4g.tunnel_answer("S1", read_answer()),
        {
            "crc": broken(acrel4g.tunnel_answer("S1", read_answer())),
            "wrong_unit": acrel4g.tunnel_answer("S2", read_answer()),
            "malformed": acrel4g.tunnel_answer("S1"),
        },
    ),
    "645 read on": (
        lambda: exchange.dlt645_read_next(METER, ENERGY, 2),
        dlt645.build(METER, 0x92, dlt645.di_to_wire(ENERGY) + b"abc\x02"),
        {
            "crc": broken(dlt645.build(METER, 0x92, dlt645.di_to_wire(ENERGY) + b"abc\x02")),
            "wrong_unit": dlt645.build(OTHER, 0x92, dlt645.di_to_wire(ENERGY) + b"abc\x02"),
            # The frame before, once more.
            "malformed": dlt645.build(METER, 0xB2, dlt645.di_to_wire(ENERGY) + b"abc\x01"),
        },
    ),
    "645 write": (
        lambda: exchange.dlt645_write(METER, "04000102", b"\x01\x02\x03", RELAY[2], RELAY[3]),
        dlt645.build(METER, 0x94),
        {
            "crc": broken(dlt645.build(METER, 0x94)),
            "wrong_unit": dlt645.build(OTHER, 0x94),
            "malformed": dlt645.build(METER, 0x9C),
        },
    ),
    "645 credit": (
        lambda: exchange.dlt645_credit(METER, 10050, 7, RELAY[2], RELAY[3]),
        dlt645.build(METER, 0x83),
        {
            "crc": broken(dlt645.build(METER, 0x83)),
            "wrong_unit": dlt645.build(OTHER, 0x83),
            "malformed": dlt645.build(METER, 0x83, dlt645.di_to_wire(dlt645.CLEAR_CREDIT)),
        },
    ),
    "188 read": (
        lambda: exchange.cjt188_read(0x10, WATER, "901F", 3),
        water(0x81, "901F03 42061200 2C"),
        {
            "crc": broken(water(0x81, "901F03 42061200 2C")),
            "wrong_unit": water(0x81, "901F03 42061200 2C", "78331505900570"),
            "malformed": water(0x81, "901F02 42061200 2C"),  # late: another serial number
        },
    ),
    "188 valve": (
        lambda: exchange.cjt188_valve(0x10, WATER, False, 3),
        water(0x84, VALVE + "0000"),
        {
            "crc": broken(water(0x84, VALVE + "0000")),
            "wrong_unit": water(0x84, VALVE + "0000", meter_type=0x11),
            "malformed": water(0x84, "17A0030000"),
        },
    ),
}
every_case = pytest.mark.parametrize(("make", "answer", "strays"), CASES.values(), ids=CASES)


@every_case
def test_the_answer_alone(make, answer, strays):
    for pieces in ([answer], bytewise(answer)):
        waiting = make()
        replies = [reply for piece in pieces if (reply := waiting.feed(piece))]
        assert len(replies) == 1
        assert replies[0].error is None
        assert replies[0].outcome is Outcome.OK
        assert replies[0].raw == answer.lstrip(b"\xfe")
        assert waiting.strays == []
        assert waiting.feed(answer) is None, "a reply is returned once"


@every_case
def test_each_stray_is_named_and_the_answer_still_found(make, answer, strays):
    for reason, stray in strays.items():
        waiting = make()
        assert waiting.feed(stray) is None
        assert waiting.failure()[0] == reason
        assert [found.reason for found in waiting.strays] == [reason]
        assert waiting.feed(answer) is not None
        assert [found.reason for found in waiting.strays] == [reason]


@every_case
def test_the_most_telling_reason_wins(make, answer, strays):
    waiting = make()
    waiting.feed(strays["malformed"])
    waiting.feed(strays["wrong_unit"])
    assert waiting.failure()[0] is Outcome.WRONG_UNIT
    waiting.feed(strays["crc"])
    assert waiting.failure()[0] is Outcome.CRC
    assert len(waiting.strays) == 3


@every_case
def test_silence_and_noise_are_time_outs(make, answer, strays):
    waiting = make()
    assert waiting.failure() == (Outcome.TIMEOUT, "no answer")
    waiting.feed(b"ping")
    reason, detail = waiting.failure()
    assert reason is Outcome.TIMEOUT
    assert "70 69 6E 67" in detail
    waiting = make()
    waiting.feed(answer[:-1])
    assert waiting.failure()[0] is Outcome.TIMEOUT


@every_case
def test_the_echo_of_the_request_is_no_fault(make, answer, strays):
    waiting = make()
    assert waiting.feed(waiting.request) is None
    assert waiting.strays == []
    assert waiting.failure()[0] is Outcome.TIMEOUT
    assert waiting.feed(answer) is not None


@every_case
@FEW
@given(data=st.data())
def test_any_cutting_and_any_garbage(make, answer, strays, data):
    parts = data.draw(
        st.lists(
            st.one_of(st.binary(max_size=20), st.sampled_from(list(strays.values()))), max_size=4
        )
    )
    stream = b"".join(parts) + answer
    waiting = make()
    replies = [reply for piece in data.draw(cut(stream)) if (reply := waiting.feed(piece))]
    assert [reply.raw for reply in replies] == [answer.lstrip(b"\xfe")]


@every_case
@FEW
@given(pieces=st.lists(st.binary(max_size=600), max_size=6))
def test_random_bytes_never_raise_and_memory_is_bounded(make, answer, strays, pieces):
    waiting = make()
    for piece in pieces:
        waiting.feed(piece)
        assert len(waiting.received) <= exchange.KEPT_BYTES
    assert isinstance(waiting.strays, list)
    assert waiting.failure()[1]


@every_case
def test_a_flood_is_forgotten_but_counted(make, answer, strays):
    waiting = make()
    waiting.feed(strays["crc"])
    for _ in range(5):
        waiting.feed(b"\x00" * 1000)
        assert len(waiting.received) <= exchange.KEPT_BYTES
    reason, detail = waiting.failure()
    assert reason is Outcome.TIMEOUT
    assert str(waiting.count) in detail
    assert waiting.feed(answer) is not None


def test_modbus_values():
    reply = exchange.modbus_read(1, 0, 2).feed(read_answer())
    assert (reply.address, reply.function, reply.registers) == ("1", 3, (0, 4660))
    assert values.decode(reply.data, "u32", Decimal(10)) == 46600


def test_dlt645_values():
    reply = exchange.dlt645_read(METER, ENERGY).feed(energy_answer())
    assert (reply.address, reply.more) == (METER, False)
    assert values.decode(reply.data, "bcd", Decimal(10)) == 1206420


def test_refusals():
    reply = exchange.modbus_read(1, 0, 2).feed(rtu(1, 0x83, 2))
    assert reply.error == DeviceError(2, "illegal data address")
    assert reply.outcome is Outcome.EXCEPTION
    assert reply.data == b""
    reply = exchange.modbus_write(1, 0x57, [1, 1]).feed(rtu(1, 0x90, 99))
    assert str(reply.error) == "unknown exception (code 0x63)"
    reply = exchange.dlt645_read(METER, ENERGY).feed(dlt645.build(METER, 0xD1, b"\x02"))
    assert reply.error == DeviceError(2, "no such data")
    reply = exchange.dlt645_relay(*RELAY).feed(dlt645.build(METER, 0xDC, b"\x04"))
    assert reply.error == DeviceError(4, "wrong password or not authorised")
    assert reply.data == b""


def test_the_refusal_of_another_function_is_not_ours():
    waiting = exchange.modbus_read(1, 0, 2)
    assert waiting.feed(rtu(1, 0x90, 2)) is None
    assert waiting.failure()[0] is Outcome.MALFORMED
    waiting = exchange.dlt645_read(METER, ENERGY)
    assert waiting.feed(dlt645.build(METER, 0xDC, b"\x04")) is None
    assert waiting.failure()[0] is Outcome.MALFORMED


def test_an_answer_with_a_broken_header_counts_as_crc_error():
    raw = bytearray(read_answer())
    raw[2] ^= 1
    waiting = exchange.modbus_read(1, 0, 2)
    waiting.feed(bytes(raw))
    assert waiting.failure()[0] is Outcome.CRC


def test_wildcards_return_the_real_address():
    waiting = exchange.dlt645_read_address()
    reply = waiting.feed(waiting.request + dlt645.build(METER, 0x93, dlt645.address_to_wire(METER)))
    assert (reply.address, dlt645.address_from_wire(reply.data)) == (METER, METER)
    assert exchange.dlt645_read("AAAAAA000001", ENERGY).feed(energy_answer()).address == METER
    assert exchange.dlt645_read("AAAAAA000002", ENERGY).feed(energy_answer()) is None


def test_an_answer_without_a_real_address_is_not_taken():
    """Some devices answer a wildcard with the wildcard; nobody knows who that was."""
    for waiting, answered in (
        (exchange.dlt645_read_address(), dlt645.WILDCARD),
        (exchange.dlt645_read(dlt645.WILDCARD, ENERGY), "AAAAAA000001"),
        (exchange.dlt645_read("AAAAAA000001", ENERGY), "AAAAAA000001"),
    ):
        for control, data in ((0x93, bytes(6)), (0x91, dlt645.di_to_wire(ENERGY) + bytes(4))):
            answer = dlt645.build(answered, control, data)
            assert waiting.feed(answer) is None
        assert waiting.failure()[0] is Outcome.WRONG_UNIT


def test_a_long_answer_says_that_more_follows():
    raw = dlt645.build(METER, 0xB1, dlt645.di_to_wire(ENERGY) + bytes(196))
    reply = exchange.dlt645_read(METER, ENERGY).feed(raw)
    assert reply.more
    assert len(reply.data) == 196


def test_relay_request_carries_the_limit():
    until = datetime(2099, 12, 30)
    request = exchange.dlt645_relay(*RELAY, until).request
    assert request == dlt645.relay_request(*RELAY, until)


def test_a_late_transaction_is_a_stray():
    waiting = exchange.modbus_read(3, 0, 2).over_tcp(0x1234)
    assert waiting.request.hex() == "123400000006030300000002"
    late = bytes.fromhex("1233 0000 0007 03 03 04 00000001")
    other = bytes.fromhex("1234 0000 0007 04 03 04 00000001")
    assert waiting.feed(late) is None
    assert waiting.failure() == ("malformed", "answer to transaction 4659, expected 4660")
    assert waiting.feed(other) is None
    assert waiting.failure()[0] is Outcome.WRONG_UNIT
    reply = waiting.feed(bytes.fromhex("1234 0000 0007 03 03 04 00000001"))
    assert (reply.address, reply.registers) == ("3", (0, 1))
    refused = exchange.modbus_write(3, 0x57, [1, 1]).over_tcp(1)
    reply = refused.feed(bytes.fromhex("0001 0000 0003 03 90 02"))
    assert reply.error == DeviceError(2, "illegal data address")


@FEW
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_random_bytes_over_tcp(pieces):
    waiting = exchange.modbus_read(1, 0, 2).over_tcp(1)
    for piece in pieces:
        waiting.feed(piece)
    assert waiting.failure()[1]


def long_answer(*sizes):
    """The frames of one answer, and the replies to them."""
    frames = [dlt645.di_to_wire(ENERGY) + bytes([at]) * size for at, size in enumerate(sizes)]
    replies = []
    for at, data in enumerate(frames):
        more = 0x20 if at + 1 < len(frames) else 0
        if at == 0:
            waiting, control = exchange.dlt645_read(METER, ENERGY), 0x91
        else:
            waiting, control = exchange.dlt645_read_next(METER, ENERGY, at), 0x92
            data += bytes([at])
        replies.append(waiting.feed(dlt645.build(METER, control | more, data)))
    return replies


def test_an_answer_in_several_frames():
    reply = exchange.join(long_answer(190, 190, 5))
    assert reply.data == bytes(190) + b"\1" * 190 + b"\2" * 5
    assert (reply.address, reply.more, reply.error) == (METER, False, None)
    assert exchange.join(long_answer(4)).data == bytes(4)


def test_an_answer_that_is_not_whole():
    replies = long_answer(10, 10, 10)
    for part in (replies[:2], replies[2:] + replies[:2], []):
        with pytest.raises(ValueError, match="not complete"):
            exchange.join(part)
    refused = exchange.dlt645_read_next(METER, ENERGY, 1).feed(dlt645.build(METER, 0xD2, b"\x02"))
    assert exchange.join([replies[0], refused]).error.meaning == "no such data"


def test_credit_taken_before():
    waiting = exchange.dlt645_credit(METER, 10050, 7, RELAY[2], RELAY[3])
    reply = waiting.feed(dlt645.build(METER, 0xC3, b"\x22\x00"))
    assert reply.error.meaning == "credit was taken before, wrong purchase number"
    assert reply.error.code & dlt645.CREDIT_TAKEN_BEFORE
    # One byte is the ordinary error of the standard.
    reply = exchange.dlt645_clear_credit(METER, RELAY[2], RELAY[3]).feed(
        dlt645.build(METER, 0xC3, b"\x04")
    )
    assert reply.error == DeviceError(4, "wrong password or not authorised")


def test_credit_answer_with_the_identifier():
    data = dlt645.di_to_wire(dlt645.OPEN_ACCOUNT) + b"abcd"
    waiting = exchange.dlt645_credit(METER, 0, 0, RELAY[2], RELAY[3], open_account=True)
    assert waiting.feed(dlt645.build(METER, 0x83, data)).data == b"abcd"


def test_water_values_and_refusals():
    reply = exchange.cjt188_read(0x10, WATER, "901F", 3).feed(water(0x81, "901F03 42061200 2C"))
    assert (reply.address, reply.function) == (WATER, 1)
    assert cjt188.volume(reply.data) == 1206420
    reply = exchange.cjt188_valve(0x10, WATER, True, 3).feed(water(0xC4, "03 0200"))
    assert reply.error == DeviceError(2, "refused, status 02 00")
    assert reply.data == b""
    assert exchange.cjt188_valve(0x10, WATER, True, 3).feed(water(0xC4, "04 0200")) is None
    reply = exchange.cjt188_write(0x10, WATER, "A015", b"\1", 5).feed(water(0x84, "A015050000"))
    assert reply.data == b"\0\0"


def test_water_wildcards_return_the_real_address():
    waiting = exchange.cjt188_read_address()
    assert waiting.feed(waiting.request) is None
    assert waiting.feed(water(0x83, "810A00", "AA331505900569")) is None
    assert waiting.feed(water(0x83, "810A00")).address == WATER


def test_water_identifier_in_the_other_order_is_named():
    waiting = exchange.cjt188_read(0x10, WATER, "901F", 3)
    assert waiting.feed(water(0x81, "1F9003 42061200 2C")) is None
    detail = "answer for data 1F 90, expected 90 1F, the other byte order"
    assert waiting.failure() == ("malformed", detail)
    waiting = exchange.cjt188_read(0x10, WATER, "901F", 3, "low_first")
    assert waiting.feed(water(0x81, "1F9003 42061200 2C")) is not None
