"""The Modbus RTU side of a simulated Acrel DDSY1352, on the PDUs and the framer of pymodbus."""

import struct

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
)

from .bus import Answer, Bus
from .meter import Meter

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
FORCE_CONTROL, FORCE_OPEN = 0x0057, 0x0058
MAX_READ, MAX_WRITE = 125, 123
MAX_REQUEST = 264


def _words(value: int, count: int) -> list[int]:
    """16-bit words, high word first; what does not fit rolls over."""
    return [value >> 16 * i & 0xFFFF for i in range(count - 1, -1, -1)]


def registers(meter: Meter) -> dict[int, int]:
    """The register map (manual of the DDSY1352, register page) with its present values."""
    shown = meter.registers_mwh()
    apparent = meter.power_w * 1000 // meter.power_factor_milli
    values: list[int] = []
    for register in shown:  # 0x0000 total, 0x0002 to 0x0008 the rates, 0.01 kWh
        values += _words(register // 10_000, 2)
    values += [
        0,  # 0x000A code
        meter.voltage_mv // 100,
        meter.current_ma // 10,
        meter.power_w,
        0,  # 0x000E reactive power
        apparent,
        meter.power_factor_milli,
    ]
    found = dict(enumerate(values))
    found[0x0038] = 1  # CT ratio
    found |= {0x5030: 0, 0x5031: 0}  # rate 5
    if meter.control_readable:
        found |= {FORCE_CONTROL: meter.force_control, FORCE_OPEN: meter.force_open}
    return found


class ModbusBus(Bus):
    """Meters with a unit number each on one line."""

    def __init__(self) -> None:
        super().__init__()
        self._framer = FramerRTU(DecodePDU(is_server=True))

    def take_request(self, buffer: bytearray) -> bytes | None:
        try:
            used, unit, _, pdu = self._framer.decode(bytes(buffer))
        except (ModbusException, IndexError, struct.error):
            used, unit, pdu = len(buffer), 0, b""
        # The framer drops all that lies behind a frame or a wrong CRC, as a serial device does.
        del buffer[:used]
        if len(buffer) > MAX_REQUEST:
            buffer.clear()
        return self._framer.encode(pdu, unit, 0) if pdu else None

    def answer(self, request: bytes) -> list[Answer]:
        meter = self.meters.get(str(request[0]))
        if meter is None:
            return []
        try:
            _, pdu = self._framer.handleFrame(request, 0, 0)
        except (ModbusException, IndexError, struct.error):
            return []
        if pdu is None or isinstance(pdu, ExceptionResponse):
            return []
        writing = not type(pdu).__name__.startswith("Read")
        if self.silence(meter, writing):
            return []
        commands = len(meter.commands)
        if meter.faults.exception:
            reply: ModbusPDU = ExceptionResponse(pdu.function_code, meter.faults.exception)
        else:
            reply = self._obey(meter, pdu)

        def encode(other: bool) -> bytes:
            reply.dev_id = request[0] % 247 + 1 if other else request[0]
            return self._framer.buildFrame(reply)

        commanded = len(meter.commands) > commands
        return list(self.on_wire(meter, commanded, encode, checksum=-1))

    def _obey(self, meter: Meter, pdu: ModbusPDU) -> ModbusPDU:
        # Subclasses are other functions, which this meter does not know.
        if type(pdu) is ReadHoldingRegistersRequest:
            return self._read(meter, pdu)
        if type(pdu) is WriteMultipleRegistersRequest:
            return self._write(meter, pdu)
        return ExceptionResponse(pdu.function_code, ILLEGAL_FUNCTION)

    def _read(self, meter: Meter, pdu: ReadHoldingRegistersRequest) -> ModbusPDU:
        if not 1 <= pdu.count <= MAX_READ:
            return ExceptionResponse(pdu.function_code, ILLEGAL_VALUE)
        found = registers(meter)
        asked = range(pdu.address, pdu.address + pdu.count)
        if any(address not in found for address in asked):
            return ExceptionResponse(pdu.function_code, ILLEGAL_ADDRESS)
        return ReadHoldingRegistersResponse(registers=[found[address] for address in asked])

    def _write(self, meter: Meter, pdu: WriteMultipleRegistersRequest) -> ModbusPDU:
        count = len(pdu.registers)
        written = dict(enumerate(pdu.registers, pdu.address))
        if not 1 <= count <= MAX_WRITE:
            return ExceptionResponse(pdu.function_code, ILLEGAL_VALUE)
        if set(written) - {FORCE_CONTROL, FORCE_OPEN}:
            return ExceptionResponse(pdu.function_code, ILLEGAL_ADDRESS)
        if any(value not in (0, 1) for value in written.values()):
            return ExceptionResponse(pdu.function_code, ILLEGAL_VALUE)
        meter.force_control = written.get(FORCE_CONTROL, meter.force_control)
        meter.force_open = written.get(FORCE_OPEN, meter.force_open)
        # Without forced control the meter decides itself: in metering mode it supplies.
        trip = bool(meter.force_control and meter.force_open)
        name = ("trip" if trip else "close") if meter.force_control else "end forced control"
        self.after_command(meter, name, meter.switch(close=not trip))
        return WriteMultipleRegistersResponse(address=pdu.address, count=count)
