"""The Modbus side of simulated meters, RTU and TCP, on the PDUs and the framers of pymodbus."""

import struct

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
)

from . import adf400l, ddsy1352, modbus_water
from .bus import Answer, Bus
from .meter import Meter
from .registers import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, NO_ANSWER

MAPS = {
    "modbus_ddsy1352": ddsy1352,
    "modbus_dtsy1352": ddsy1352,
    "modbus_adf300l": adf400l,
    "modbus_adf400l": adf400l,
    "modbus_water": modbus_water,
}
INPUT_REGISTERS = ("modbus_water",)
"""What also answers to function 04, with the same registers."""
MAX_READ, MAX_WRITE = 125, 123
MAX_REQUEST = 264
DECODING = (ModbusException, IndexError, struct.error)


class ModbusBus(Bus):
    """Meters with a unit number each on one RTU line."""

    FRAMER = FramerRTU

    def __init__(self) -> None:
        super().__init__()
        self._framer = self.FRAMER(DecodePDU(is_server=True))
        self.answers_for_silent = False
        """Whether a silent or absent unit is answered for with exception 11."""

    def take_request(self, buffer: bytearray) -> bytes | None:
        try:
            used, unit, number, pdu = self._framer.decode(bytes(buffer))
        except DECODING:
            used, unit, number, pdu = len(buffer), 0, 0, b""
        # The framer drops all that lies behind a frame or a wrong CRC, as a serial device does.
        del buffer[:used]
        if len(buffer) > MAX_REQUEST:
            buffer.clear()
        return self._framer.encode(pdu, unit, number) if pdu else None

    def answer(self, request: bytes) -> list[Answer]:
        try:
            _, unit, number, _ = self._framer.decode(request)
            _, pdu = self._framer.handleFrame(request, 0, 0)
        except DECODING:
            return []
        if pdu is None or isinstance(pdu, ExceptionResponse):
            return []
        meter = self.meters.get(str(unit))
        writing = not type(pdu).__name__.startswith("Read")
        if meter is None or self.silence(meter, writing):
            return self._for_silent(pdu, unit, number) if self.answers_for_silent else []
        before = meter.recorded
        reply = self._obey(meter, pdu)
        if reply is None:
            return []

        def encode(other: bool) -> bytes:
            reply.dev_id = unit % 247 + 1 if other else unit
            reply.transaction_id = number
            return self._framer.buildFrame(reply)

        return list(self.on_wire(meter, request, meter.recorded > before, encode))

    def _for_silent(self, pdu: ModbusPDU, unit: int, number: int) -> list[Answer]:
        reply = ExceptionResponse(pdu.function_code, NO_ANSWER, unit, number)
        return [Answer(self._framer.buildFrame(reply))]

    def value_of(self, raw: bytearray) -> range:
        return range(3, len(raw) - 2) if raw[1] in (3, 4) else range(0)

    def seal(self, raw: bytearray) -> None:
        raw[-2:] = FramerRTU.compute_CRC(bytes(raw[:-2])).to_bytes(2, "big")

    def _obey(self, meter: Meter, pdu: ModbusPDU) -> ModbusPDU | None:
        if meter.faults.exception:
            return ExceptionResponse(pdu.function_code, meter.faults.exception)
        # Subclasses are other functions, which these meters do not know.
        if type(pdu) is ReadHoldingRegistersRequest:
            return self._read(meter, pdu, ReadHoldingRegistersResponse)
        if type(pdu) is ReadInputRegistersRequest and meter.protocol in INPUT_REGISTERS:
            return self._read(meter, pdu, ReadInputRegistersResponse)
        if type(pdu) is WriteMultipleRegistersRequest:
            return self._write(meter, pdu)
        return ExceptionResponse(pdu.function_code, ILLEGAL_FUNCTION)

    def _read(self, meter: Meter, pdu: ModbusPDU, answer: type[ModbusPDU]) -> ModbusPDU:
        if not 1 <= pdu.count <= MAX_READ:
            return ExceptionResponse(pdu.function_code, ILLEGAL_VALUE)
        found = MAPS[meter.protocol].registers(meter)
        asked = range(pdu.address, pdu.address + pdu.count)
        if any(address not in found for address in asked):
            return ExceptionResponse(pdu.function_code, ILLEGAL_ADDRESS)
        return answer(registers=[found[address] for address in asked])

    def _write(self, meter: Meter, pdu: WriteMultipleRegistersRequest) -> ModbusPDU | None:
        count = len(pdu.registers)
        if not 1 <= count <= MAX_WRITE:
            return ExceptionResponse(pdu.function_code, ILLEGAL_VALUE)
        written = dict(enumerate(pdu.registers, pdu.address))
        lost = meter.faults.lose_credit if MAPS[meter.protocol].is_credit(meter, written) else ""
        if lost == "before":
            return None
        code = MAPS[meter.protocol].write(meter, written)
        if lost == "after":
            return None
        if code:
            return ExceptionResponse(pdu.function_code, code)
        return WriteMultipleRegistersResponse(address=pdu.address, count=count)


class ModbusTcpBus(ModbusBus):
    """The same meters behind a gateway that speaks Modbus TCP."""

    FRAMER = FramerSocket
    CHECKSUM = 3  # the protocol number, as there is no checksum

    def take_request(self, buffer: bytearray) -> bytes | None:
        if len(buffer) >= 4 and any(buffer[2:4]):
            buffer.clear()  # not Modbus TCP: nothing tells where the next request begins
        return super().take_request(buffer)

    def value_of(self, raw: bytearray) -> range:
        return range(9, len(raw)) if raw[7] in (3, 4) else range(0)

    def seal(self, raw: bytearray) -> None:
        """Nothing to do: TCP has no checksum."""
