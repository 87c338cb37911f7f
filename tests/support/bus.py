"""A serial line of Modbus meters that remembers when it was asked what: late answers can be told from right ones.

Every answer carries the number of the line, the unit, and the number of the request that it answers. The line
knows when that request came in, which no real meter tells: so a test can prove that a client never took the
answer to an older request, or of another meter, for the one it waits for.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from dataclasses import dataclass

from .wire import crc16

#: Registers of one answer: line, unit, and the 32 bits of the request's number.
REGISTERS = 4


@dataclass
class Habits:
    """What is wrong with the meters or their gateway. Probabilities are of one request."""

    delay: float = 0.001
    late: float = 0.0
    """The answer comes ``late_by`` seconds later; the line is free meanwhile."""
    late_by: tuple[float, float] = (0.0, 0.0)
    echo: float = 0.0
    """The gateway sends the request back first."""
    neighbour: float = 0.0
    """Another meter answers instead."""
    twin: float = 0.0
    """Two meters share the address: two answers, one after the other."""


class Line:
    """One gateway port with units behind it, on a port of its own."""

    def __init__(self, number: int, habits: Habits, seed: int) -> None:
        self.number, self.habits = number, habits
        self.asked_at: list[float] = []
        self._random = random.Random(f"{seed}:{number}")
        self._server: asyncio.Server | None = None
        self._late: set[asyncio.Task] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._late:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = b""
        try:
            while data := await reader.read(4096):
                buffer = (buffer + data)[-64:]
                while request := _request(buffer):
                    buffer = buffer[buffer.index(request) + len(request) :]
                    await self._answer(request, writer)
        except OSError:
            pass  # the connection was reset
        finally:
            writer.close()

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        habits, chance = self.habits, self._random.random
        self.asked_at.append(time.monotonic())
        unit = request[0]
        if chance() < habits.neighbour:
            unit = unit % 247 + 1
        frame = self._frame(unit, len(self.asked_at) - 1)
        if chance() < habits.echo:
            writer.write(request)
        if chance() < habits.late:
            self._later(self._random.uniform(*habits.late_by), frame, writer)
            return
        if chance() < habits.twin:
            self._later(habits.delay * 2, frame, writer)
        await asyncio.sleep(habits.delay)
        writer.write(frame)

    def _later(self, seconds: float, frame: bytes, writer: asyncio.StreamWriter) -> None:
        async def send() -> None:
            await asyncio.sleep(seconds)
            if not writer.is_closing():
                writer.write(frame)

        task = asyncio.create_task(send())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _frame(self, unit: int, number: int) -> bytes:
        body = struct.pack(">BBBHHI", unit, 3, 2 * REGISTERS, self.number, unit, number)
        return body + crc16(body)


def _request(buffer: bytes) -> bytes | None:
    """The first read request in what arrived; noise before it is passed over."""
    for at in range(len(buffer) - 7):
        frame = buffer[at : at + 8]
        if frame[1] == 3 and crc16(frame[:6]) == frame[6:]:
            return frame
    return None
