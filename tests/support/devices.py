"""Devices that dial in, written by hand from the makers' papers, in threads with plain sockets.

They share no code with the product.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable


def crc(data: bytes) -> bytes:
    """CRC-16 of Modbus, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


class Registers:
    """A DDSY1352 behind some line: energy, power, force control of the relay."""

    def __init__(self, unit: int, energy_wh: int, power_w: int = 600) -> None:
        self.unit = unit
        self.words = dict.fromkeys(range(0x60), 0)
        self.power_w = power_w
        self.written: list[tuple[int, bytes]] = []
        self.energy_wh = energy_wh
        self.words[0x000B] = 2300
        self.words[0x0057], self.words[0x0058] = 1, 0
        self._load()

    @property
    def energy_wh(self) -> int:
        return (self.words[0] << 16 | self.words[1]) * 10

    @energy_wh.setter
    def energy_wh(self, value: int) -> None:
        self.words[0], self.words[1] = divmod(value // 10, 0x10000)
        self.words[6], self.words[7] = self.words[0], self.words[1]  # all of it at the flat rate

    @property
    def closed(self) -> bool:
        return self.words[0x0058] == 0

    def _load(self) -> None:
        self.words[0x000D] = self.power_w if self.closed else 0

    def answer(self, request: bytes) -> bytes | None:
        """RTU answer to an RTU request; None for another unit or a wrong CRC."""
        if request[0] != self.unit or crc(request[:-2]) != request[-2:]:
            return None
        start, count = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
        if request[1] == 3:
            data = b"".join(self.words.get(start + i, 0).to_bytes(2, "big") for i in range(count))
            body = bytes((self.unit, 3, len(data))) + data
        else:
            values = request[7:-2]
            self.written.append((start, values))
            for index in range(count):
                word = values[2 * index : 2 * index + 2]
                self.words[start + index] = int.from_bytes(word, "big")
            self._load()
            body = request[:6]
        return body + crc(body)


class Caller:
    """A socket that a device opens, and a thread that hands what arrives to `receive`."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
        self.socket.settimeout(None)
        self.closed = threading.Event()
        self.received = bytearray()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.socket.recv(4096):
                self.received += data
                self.receive(data)
        self.closed.set()

    def receive(self, data: bytes) -> None:
        """What the device does with what arrives."""

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Dtu(Caller):
    """A transparent DTU with meters on its bus.

    :param send_answer: how an answer leaves the DTU: called with the DTU and the answer
    """

    def __init__(
        self,
        port: int,
        registration: bytes,
        meters: list[Registers],
        send_answer: Callable[["Dtu", bytes], None] | None = None,
        source: str = "127.0.0.1",
    ) -> None:
        self.meters = meters
        self.send_answer = send_answer or Dtu.send
        self.requests = 0
        self._buffer = b""
        super().__init__(port, source)
        self.send(registration)

    def receive(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 8:
            length = 8 if self._buffer[1] in (3, 4) else 9 + self._buffer[6]
            if len(self._buffer) < length:
                return
            request, self._buffer = self._buffer[:length], self._buffer[length:]
            self.requests += 1
            for meter in self.meters:
                if answer := meter.answer(request):
                    self.send_answer(self, answer)


def pieces(dtu: Dtu, answer: bytes) -> None:
    """The DTU packs by size: three bytes at a time."""
    for at in range(0, len(answer), 3):
        dtu.send(answer[at : at + 3])
        time.sleep(0.01)


def frame(command: int, body: bytes = b"") -> bytes:
    """`7B 7B`, command, body, CRC, `7D 7D`."""
    content = bytes((command,)) + body
    return b"{{" + content + crc(content) + b"}}"


class Meter4g(Caller):
    """An Acrel 4G meter."""

    def __init__(
        self,
        port: int,
        serial: str,
        registers: Registers,
        iccid: str = "89860400000000000001",
        rssi: int = 21,
        source: str = "127.0.0.1",
        log_in: bool = True,
    ) -> None:
        self.serial = serial.encode().ljust(20, b"\0")
        self.iccid = iccid.encode().ljust(30, b"\0")
        self.rssi, self.registers = rssi, registers
        self.frames: list[tuple[int, bytes]] = []
        self.silent = False
        self._buffer = b""
        super().__init__(port, source)
        if log_in:
            self.log_in()

    def log_in(self) -> None:
        versions = bytes((1, 2, 3, 4, 5, 6))
        body = self.serial + self.iccid + bytes((self.rssi,)) + versions + bytes((30,))
        self.send(frame(0x84, body))

    def push(self, unit: int = 1, data: bytes | None = None, serial: bytes | None = None) -> None:
        block = self.block() if data is None else data
        answer = bytes((unit, 3, len(block))) + block
        body = (self.serial if serial is None else serial) + b"[[1-1((" + answer + crc(answer)
        self.send(frame(0x91, body + b"))]]"))

    def block(self, at: time.struct_time | None = None) -> bytes:
        """Register block of a meter with four rates; `at` is local time."""
        at = at or time.gmtime(time.time() + 8 * 3600)
        data = bytearray(0x60)
        data[2:4] = (2301).to_bytes(2, "big")
        energy = (self.registers.energy_wh // 10).to_bytes(4, "big")
        data[42:46], data[54:58] = energy, energy  # total, flat rate
        clock = (at.tm_year - 2000, at.tm_mon, at.tm_mday, 4, at.tm_hour, at.tm_min, at.tm_sec)
        data[80:87] = bytes(clock)
        return bytes(data)

    def got(self, command: int) -> int:
        """How many frames of this kind came."""
        return sum(kind == command for kind, _body in self.frames)

    def receive(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"}}")) >= 0:
            while end >= 0 and crc(self._buffer[2 : end - 2]) != self._buffer[end - 2 : end]:
                end = self._buffer.find(b"}}", end + 1)
            if end < 0:
                return
            raw, self._buffer = self._buffer[: end + 2], self._buffer[end + 2 :]
            self.frames.append((raw[2], raw[3:-4]))
            if raw[2] == 0x90 and not self.silent:
                self._tunnelled(raw[3:-4])

    def _tunnelled(self, request: bytes) -> None:
        answer = self.registers.answer(request)
        if answer is None:
            return
        # A write is answered with the serial number only.
        self.send(frame(0x90, self.serial + (b"" if request[1] == 0x10 else answer)))
