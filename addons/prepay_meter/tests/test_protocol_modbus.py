"""Modbus RTU frames against published ones and against pymodbus, and in a stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
)

from odoo.addons.prepay_meter.protocols import modbus

from .common_protocol import bytewise, cut, feed, vectors

FEW = settings(max_examples=150, deadline=None)
UNITS = st.integers(1, 247)
WORDS = st.integers(0, 0xFFFF)
ADDRESSES = st.integers(0, 0xFF00)

CLIENT = FramerRTU(DecodePDU(False))
SERVER = FramerRTU(DecodePDU(True))


TCP_CLIENT = FramerSocket(DecodePDU(False))
TCP_SERVER = FramerSocket(DecodePDU(True))


def tcp_answer(pdu, unit, transaction):
    """Modbus TCP frame of an answer as pymodbus builds it."""
    pdu.dev_id, pdu.transaction_id = unit, transaction
    return TCP_SERVER.buildFrame(pdu)


def answer(pdu, unit):
    """Frame of an answer as pymodbus builds it."""
    pdu.dev_id = unit
    return SERVER.buildFrame(pdu)


@pytest.mark.parametrize("vector", **vectors("modbus-rtu"))
def test_published_frame(vector):
    raw, expect = bytes.fromhex(vector["hex"]), vector["expect"]
    unit, start, count = expect["unit_id"], int(expect["start"], 16), expect["count"]
    assert expect["kind"] == "request"
    if expect["function"] == 3:
        assert modbus.read_registers_request(unit, start, count) == raw
    else:
        assert len(expect["registers"]) == count
        assert modbus.write_registers_request(unit, start, expect["registers"]) == raw
    assert modbus.crc16(raw[:-2]).to_bytes(2, "little").hex().upper() == expect["crc_wire"]


@FEW
@given(UNITS, ADDRESSES, st.integers(1, 125))
def test_read_request_equals_pymodbus(unit, address, count):
    pdu = ReadHoldingRegistersRequest(address=address, count=count, dev_id=unit)
    assert modbus.read_registers_request(unit, address, count) == CLIENT.buildFrame(pdu)


@FEW
@given(UNITS, ADDRESSES, st.lists(WORDS, min_size=1, max_size=123))
def test_write_request_equals_pymodbus(unit, address, registers):
    pdu = WriteMultipleRegistersRequest(address=address, registers=registers, dev_id=unit)
    assert modbus.write_registers_request(unit, address, registers) == CLIENT.buildFrame(pdu)


@FEW
@given(UNITS, st.lists(WORDS, min_size=1, max_size=125))
def test_read_answer_of_pymodbus(unit, registers):
    parser = modbus.RtuResponseParser(modbus.read_registers_request(unit, 0, len(registers)))
    raw = answer(ReadHoldingRegistersResponse(registers=registers), unit)
    (frame,) = parser.feed(raw)
    assert (frame.unit, frame.function, frame.exception) == (unit, 3, None)
    assert list(frame.registers) == registers
    assert len(raw) == parser.answer_length


@FEW
@given(UNITS, ADDRESSES, st.lists(WORDS, min_size=1, max_size=123))
def test_write_answer_of_pymodbus(unit, address, registers):
    parser = modbus.RtuResponseParser(modbus.write_registers_request(unit, address, registers))
    pdu = WriteMultipleRegistersResponse(address=address, count=len(registers))
    (frame,) = parser.feed(answer(pdu, unit))
    assert frame.registers == (address, len(registers))


@pytest.mark.parametrize("code", [1, 2, 3, 4, 6, 11])
@pytest.mark.parametrize("function", [3, 16])
def test_exceptions_of_pymodbus(function, code):
    request = (
        modbus.read_registers_request(9, 0, 17)
        if function == 3
        else modbus.write_registers_request(9, 0x57, [1, 1])
    )
    (frame,) = modbus.RtuResponseParser(request).feed(answer(ExceptionResponse(function, code), 9))
    assert (frame.unit, frame.function, frame.exception) == (9, function, code)
    assert code in modbus.EXCEPTIONS


@FEW
@given(st.data(), UNITS, st.lists(WORDS, min_size=1, max_size=40), st.binary(max_size=80))
def test_the_answer_is_found_behind_any_garbage(data, unit, registers, garbage):
    """Whatever lies around it and however it is cut, also behind a broken start of itself."""
    raw = answer(ReadHoldingRegistersResponse(registers=registers), unit)
    before = garbage + raw[: data.draw(st.integers(0, len(raw) - 1))]
    stream = before + raw + data.draw(st.binary(max_size=20))
    request = modbus.read_registers_request(unit, 0, len(registers))
    whole = [frame.raw for frame in modbus.RtuResponseParser(request).feed(stream)]
    assert raw in whole
    for pieces in (bytewise(stream), data.draw(cut(stream))):
        found = feed(modbus.RtuResponseParser(request), pieces)
        assert [frame.raw for frame in found] == whole


@FEW
@given(st.data(), UNITS, st.lists(st.binary(max_size=10), max_size=5))
def test_several_answers_in_one_stream(data, unit, garbage):
    raw = answer(ReadHoldingRegistersResponse(registers=[0x1234, unit]), unit)
    refused = answer(ExceptionResponse(3, 2), unit)
    sent = [data.draw(st.sampled_from([raw, refused])) for _ in garbage]
    stream = b"".join(noise + frame for noise, frame in zip(garbage, sent, strict=True))
    request = modbus.read_registers_request(unit, 0, 2)
    found = feed(modbus.RtuResponseParser(request), data.draw(cut(stream)))
    assert [frame.raw for frame in found] == sent


@FEW
@given(st.lists(st.binary(max_size=300), max_size=8), UNITS)
def test_random_bytes_never_raise_and_memory_is_bounded(pieces, unit):
    for request in (
        modbus.read_registers_request(unit, 0, 125),
        modbus.write_registers_request(unit, 0x57, [1, 0]),
    ):
        parser = modbus.RtuResponseParser(request)
        for piece in pieces:
            parser.feed(piece)
            assert len(parser) < modbus.MAX_FRAME
    frames, rest = modbus.scan(b"".join(pieces))
    assert sum(len(frame.raw) for frame in frames) + len(rest) == sum(map(len, pieces))


def test_memory_is_bounded_under_a_flood_of_headers():
    parser = modbus.RtuResponseParser(modbus.read_registers_request(1, 0, 125))
    flood = bytes((1, 3, 250)) * 3000
    for start in range(0, len(flood), 90):
        parser.feed(flood[start : start + 90])
        assert len(parser) < modbus.MAX_FRAME


def test_a_single_wrong_bit_is_never_accepted():
    raw = answer(ReadHoldingRegistersResponse(registers=[0, 12345, 0xFFFF]), 1)
    request = modbus.read_registers_request(1, 0, 3)
    for bit in range(8 * len(raw)):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << bit % 8
        assert modbus.RtuResponseParser(request).feed(bytes(broken)) == [], f"bit {bit}"


@pytest.mark.parametrize("unit", [-1, 0, 248, 255])
def test_bad_units(unit):
    with pytest.raises(ValueError, match=r"1\.\.247"):
        modbus.read_registers_request(unit, 0, 1)


def test_bad_ranges():
    for address, count in [(0, 0), (0, 126), (-1, 1), (0xFFFF, 2)]:
        with pytest.raises(ValueError, match="register"):
            modbus.read_registers_request(1, address, count)
    for address, registers in [(0, []), (0, [0] * 124), (0xFFFF, [0, 0]), (0, [65536]), (0, [-1])]:
        with pytest.raises(ValueError, match="register"):
            modbus.write_registers_request(1, address, registers)
    for request in (b"", bytes(8), modbus._with_crc(bytes((1, 2, 0, 0, 0, 1)))):
        with pytest.raises(ValueError, match=r"request|not supported"):
            modbus.RtuResponseParser(request)
    with pytest.raises(ValueError, match="does not read registers"):
        modbus.read_registers_request(1, 0, 1, 16)


@FEW
@given(UNITS, ADDRESSES, st.lists(WORDS, min_size=1, max_size=125))
def test_input_registers_equal_pymodbus(unit, address, registers):
    pdu = ReadInputRegistersRequest(address=address, count=len(registers), dev_id=unit)
    request = modbus.read_registers_request(unit, address, len(registers), modbus.READ_INPUT)
    assert request == CLIENT.buildFrame(pdu)
    raw = answer(ReadInputRegistersResponse(registers=registers), unit)
    (frame,) = modbus.RtuResponseParser(request).feed(raw)
    assert list(frame.registers) == registers
    holding = answer(ReadHoldingRegistersResponse(registers=registers), unit)
    assert modbus.RtuResponseParser(request).feed(holding) == []


# --- Modbus TCP ---

TRANSACTIONS = st.integers(0, 0xFFFF)


def tcp_read(unit, count, transaction):
    return modbus.tcp_request(modbus.read_registers_request(unit, 7, count), transaction)


@FEW
@given(UNITS, TRANSACTIONS, st.lists(WORDS, min_size=1, max_size=123))
def test_tcp_frames_equal_pymodbus(unit, transaction, registers):
    read = ReadHoldingRegistersRequest(
        address=7, count=len(registers), dev_id=unit, transaction_id=transaction
    )
    request = tcp_read(unit, len(registers), transaction)
    assert request == TCP_CLIENT.buildFrame(read)
    raw = tcp_answer(ReadHoldingRegistersResponse(registers=registers), unit, transaction)
    (frame,) = modbus.TcpResponseParser(request).feed(raw)
    assert (frame.unit, frame.transaction, frame.exception) == (unit, transaction, None)
    assert list(frame.registers) == registers
    assert frame.raw == raw

    write = WriteMultipleRegistersRequest(
        address=7, registers=registers, dev_id=unit, transaction_id=transaction
    )
    request = modbus.tcp_request(modbus.write_registers_request(unit, 7, registers), transaction)
    assert request == TCP_CLIENT.buildFrame(write)
    echo = WriteMultipleRegistersResponse(address=7, count=len(registers))
    (frame,) = modbus.TcpResponseParser(request).feed(tcp_answer(echo, unit, transaction))
    assert frame.registers == (7, len(registers))


@pytest.mark.parametrize("function", [3, 16])
def test_tcp_exceptions_of_pymodbus(function):
    rtu = (
        modbus.read_registers_request(9, 0, 17)
        if function == 3
        else modbus.write_registers_request(9, 0x57, [1, 1])
    )
    raw = tcp_answer(ExceptionResponse(function, 2), 9, 77)
    (frame,) = modbus.TcpResponseParser(modbus.tcp_request(rtu, 77)).feed(raw)
    assert (frame.unit, frame.function, frame.exception) == (9, function, 2)


@FEW
@given(st.data(), UNITS, TRANSACTIONS, st.binary(max_size=80), st.lists(WORDS, min_size=1))
def test_the_tcp_answer_is_found_behind_any_garbage(data, unit, transaction, garbage, registers):
    raw = tcp_answer(ReadHoldingRegistersResponse(registers=registers), unit, transaction)
    late = tcp_answer(
        ReadHoldingRegistersResponse(registers=registers), unit, (transaction - 1) % 65536
    )
    stream = garbage + late + raw[: data.draw(st.integers(0, len(raw) - 1))] + raw
    request = tcp_read(unit, len(registers), transaction)
    whole = [frame.raw for frame in modbus.TcpResponseParser(request).feed(stream)]
    assert whole, "the answer, or one that the broken start makes up"
    assert late not in whole
    for pieces in (bytewise(stream), data.draw(cut(stream))):
        found = feed(modbus.TcpResponseParser(request), pieces)
        assert [frame.raw for frame in found] == whole


@FEW
@given(st.lists(st.binary(max_size=300), max_size=8), TRANSACTIONS)
def test_random_bytes_never_raise_over_tcp(pieces, transaction):
    parser = modbus.TcpResponseParser(tcp_read(1, 125, transaction))
    for piece in pieces:
        parser.feed(piece)
        assert len(parser) < modbus.MAX_TCP_FRAME
    for frame in modbus.scan_tcp(b"".join(pieces)):
        assert frame.raw[2:4] == b"\0\0"


def test_tcp_answers_that_do_not_fit():
    request = tcp_read(1, 2, 5)
    good = bytes.fromhex("0005 0000 0007 01 03 04 00000001")
    assert len(modbus.TcpResponseParser(request).feed(good)) == 1
    for bit in range(8 * 9):  # all but the register bytes, which have no checksum
        broken = bytearray(good)
        broken[bit // 8] ^= 1 << bit % 8
        assert modbus.TcpResponseParser(request).feed(bytes(broken)) == [], f"bit {bit}"


def test_bad_tcp_requests():
    rtu = modbus.read_registers_request(1, 0, 1)
    for transaction in (-1, 65536):
        with pytest.raises(ValueError, match=r"0\.\.65535"):
            modbus.tcp_request(rtu, transaction)
    with pytest.raises(ValueError, match="not a Modbus RTU request"):
        modbus.tcp_request(rtu[:-1], 1)
    for request in (b"", rtu, modbus.tcp_request(rtu, 1)[:-1], bytes(6)):
        with pytest.raises(ValueError, match="request"):
            modbus.TcpResponseParser(request)
