"""Acrel 4G meters that dial in: `7B 7B`, command, body, CRC, `7D 7D` over TCP."""

import asyncio
import contextlib
from datetime import datetime

from pymodbus.framer import FramerRTU

from .bus import Bus
from .checks import flag, number, one_of, text, whole
from .dial import DialingGateway
from .gateway import BUSES, SerialPort
from .meter import Meter
from .registers import words

HEAD, TAIL = b"\x7b\x7b", b"\x7d\x7d"
LOGIN, TUNNEL, DATA, TIME, HEARTBEAT = 0x84, 0x90, 0x91, 0x93, 0x94
WRITE_FUNCTION = 0x10
LONGEST = 1024
BLOCKS = {"0x60": 0x60, "0x90": 0x90}


def crc(data: bytes) -> bytes:
    return FramerRTU.compute_CRC(data).to_bytes(2, "big")


def frame(command: int, body: bytes = b"") -> bytes:
    content = bytes([command]) + body
    return HEAD + content + crc(content) + TAIL


def take_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """Remove and return the next frame, command and body; None when none is complete."""
    start = buffer.find(HEAD)
    while start >= 0:  # every head may be a false one
        end = buffer.find(TAIL, start + 5)
        while end >= 0:
            content, check = bytes(buffer[start + 2 : end - 2]), bytes(buffer[end - 2 : end])
            if crc(content) == check:
                del buffer[: end + 2]
                return content[0], content[1:]
            end = buffer.find(TAIL, end + 1)
        start = buffer.find(HEAD, start + 1)
    del buffer[:-LONGEST]
    return None


def block(meter: Meter, size: int) -> bytes:
    """Registers that a meter pushes, 0x60 bytes with four rates or 0x90 with eight."""
    three = meter.phases == 3
    phases = range(3)
    momentary = [
        *(meter.phase_voltage_mv(phase) // 100 for phase in phases),
        *(meter.phase_current_ma(phase) // 10 for phase in phases),
        *(meter.phase_power_w(phase) for phase in phases),
        meter.power_w,
        *(meter.reactive_var if phase == 0 and not three else 0 for phase in phases),
        meter.reactive_var,
        *(meter.power_factor_milli if phase == 0 or three else 1000 for phase in phases),
        meter.power_factor_milli,
        1,  # PT
        1,  # CT
    ]
    values = [0]  # offset 0
    for value in momentary:
        values += words(value, 1)
    for register in meter.registers_mwh():
        values += words(register // 10_000, 2)
    values += words(meter.credit.balance, 2) + [meter.credit.purchases]
    raw = b"".join(word.to_bytes(2, "big") for word in values).ljust(80, b"\x00")
    at = meter.clock()
    day = [at.year % 100, at.month, at.day]
    week = [at.isoweekday() % 7] if size == BLOCKS["0x60"] else []
    raw += bytes([*day, *week, at.hour, at.minute, at.second])
    return raw.ljust(size, b"\x00")


class Acrel4gGateway(DialingGateway):
    """An Acrel DDSY1352 or DTSY1352 with a modem; the link drops without a login answer.

    After login and time it pushes data each `interval_s` (block form `push`), a heartbeat each
    `heartbeat_s`, and answers requests in the tunnel: with its serial and the answer, or, after
    a write, with the serial only (`serial_only_after_write`). `serial_in_answers` and
    `serial_in_data` false leave the serial out.
    """

    kind = "acrel_4g"
    OPTIONS = {
        "serial": (text, ""),
        "iccid": (text, ""),
        "rssi": (whole(0, 255), 26),
        "interval_s": (number(0.05, 86_400), 1800),
        "heartbeat_s": (number(0, 65_535), 60),
        "answer_s": (number(0.05, 600), 15),
        "push": (one_of(*BLOCKS), "0x60"),
        "serial_only_after_write": (flag, True),
        "serial_in_answers": (flag, True),
        "serial_in_data": (flag, True),
    }

    def __init__(self, name: str, options: dict) -> None:
        super().__init__(name, options)
        if not self.serial.isascii() or not 1 <= len(self.serial) <= 20:
            raise ValueError(f"serial {self.serial!r} is not 1 to 20 characters")
        self.logged_in = False
        self.pushes = 0
        self._answers: dict[int, asyncio.Future] = {}

    def bus_of(self, protocol: str) -> type[Bus]:
        if protocol not in ("modbus_ddsy1352", "modbus_dtsy1352"):
            raise ValueError(f"an Acrel 4G link has no meter of {protocol}")
        return BUSES[protocol]

    def state(self) -> dict:
        return super().state() | {
            "serial": self.serial,
            "logged_in": self.logged_in,
            "pushes": self.pushes,
        }

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, work: list[asyncio.Task]
    ) -> None:
        async def write(piece: bytes) -> None:
            writer.write(piece)
            await writer.drain()

        port = SerialPort(self, write)
        listening = asyncio.create_task(self._listen(reader, port))
        living = asyncio.create_task(self._live(port))
        work += [listening, living]
        self._answers = {}
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.logged_in = False

    def _identity(self) -> bytes:
        return self.serial.encode().ljust(20, b"\x00")

    async def _live(self, port: SerialPort) -> None:
        minutes = min(255, max(1, int(self.interval_s) // 60))
        rest = bytes([self.rssi, 1, 0, 1, 0, 1, 0, minutes])
        iccid = self.iccid.encode().ljust(30, b"\x00")
        await self._ask(port, LOGIN, self._identity() + iccid + rest)
        self.logged_in = True
        self._set_clocks(await self._ask(port, TIME, self._identity()))
        await asyncio.gather(self._push_for_ever(port), self._beat(port))

    async def _ask(self, port: SerialPort, command: int, body: bytes) -> bytes:
        """Body of the answer.

        :raises ConnectionError: none came in time
        """
        answer = asyncio.get_running_loop().create_future()
        self._answers[command] = answer
        await port.send(frame(command, body))
        try:
            return await asyncio.wait_for(answer, float(self.answer_s))
        except asyncio.TimeoutError:
            raise ConnectionError(f"no answer to {command:02X}") from None

    def _set_clocks(self, body: bytes) -> None:
        with contextlib.suppress(ValueError, IndexError):
            year, month, day, _week, hour, minute, second = body
            to = datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - local
            for meter in self.meters.values():
                meter.set_clock(to)

    async def _beat(self, port: SerialPort) -> None:
        while self.heartbeat_s:
            await asyncio.sleep(float(self.heartbeat_s))
            await port.send(frame(HEARTBEAT))

    async def _push_for_ever(self, port: SerialPort) -> None:
        while True:
            body = self._data()
            if body:
                await self._ask(port, DATA, body)
                self.pushes += 1
            await asyncio.sleep(float(self.interval_s))

    def _data(self) -> bytes:
        """Serial and all meters that are not silent; nothing without one."""
        parts = b""
        for meter in self.meters.values():
            meter.advance()
            if meter.faults.silent or not meter.powered:
                continue
            size = BLOCKS[self.push]

            def encode(other: bool, meter: Meter = meter, size: int = size) -> bytes:
                unit = int(meter.address) % 247 + 1 if other else int(meter.address)
                answer = bytes([unit, 3, size]) + block(meter, size)
                return answer + crc(answer)

            for answer in self.bus.on_wire(meter, b"", False, encode):
                parts += f"[[1-{meter.address}((".encode() + answer.raw + b"))]]"
        return (self._identity() if self.serial_in_data else b"") + parts if parts else b""

    async def _listen(self, reader: asyncio.StreamReader, port: SerialPort) -> None:
        buffer = bytearray()
        while data := await reader.read(1024):
            buffer += data
            while found := take_frame(buffer):
                command, body = found
                answer = self._answers.pop(command, None)
                if answer is not None and not answer.done():
                    answer.set_result(body)
                elif command == TUNNEL:
                    self._spawn(self._tunnel(body, port))

    async def _tunnel(self, request: bytes, port: SerialPort) -> None:
        if len(request) < 4 or crc(request[:-2]) != request[-2:]:
            return
        serial = self._identity() if self.serial_in_answers else b""
        async with self._line:
            answers = self.bus.answer(request) if self.bus else []
            slow = max((answer.slow_ms for answer in answers), default=0)
            await asyncio.sleep((self.delay_ms + slow) / 1000)
        for answer in answers:
            await asyncio.sleep(answer.late_ms / 1000)
            written = answer.raw[1:2] == bytes([WRITE_FUNCTION])
            body = serial + answer.raw
            if written and self.serial_only_after_write:
                body = self._identity()
            with contextlib.suppress(ConnectionError):
                await port.send(frame(TUNNEL, body))
