"""One request and its answer: what is taken, what is passed over, and what is said about it."""

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter.protocols import dlt645, exchange, modbus, values
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


def broken(frame):
    """The frame with a wrong checksum."""
    checksum = -2 if frame[-1] == 0x16 else -1
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
