"""Very many simulated Modbus devices in one fast process, for measurements.

`python -m tests.bench.devices '{"links": 3000, "framing": "rtu", "delay_ms": 300}'` listens on one port of
`links` loopback addresses (127.1.0.1 and on), each a serial line with the units 1…247 behind it. It answers
reads of any registers of the DDSY1352 map from ready-made frames after `delay_ms`; `dead` is the share of
units that never answer. Lines on standard input are questions: `stats` and `counts`.

Only whole, correct requests are understood: the faults of lines are the simulator's and the chaos proxy's.
"""

from __future__ import annotations

import asyncio
import json
import resource
import struct
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import uvloop

from tests.support.wire import crc16

ROOT = Path(__file__).resolve().parents[2]
UNITS = 248
#: The switch of a DDSY1352 shows force control, closed.
SWITCH = {0x57: 1, 0x58: 0}


def host(link: int) -> str:
    """Loopback address of a link: all lines share one port number."""
    return f"127.1.{link // 250}.{link % 250 + 1}"


def energy(unit: int) -> int:
    """What the total register of a unit shows, in steps of 10 Wh; its four rates are equal."""
    return unit * 1_000_000


def is_dead(link: int, unit: int, share: float) -> bool:
    """The same units in each process: spread evenly by a multiplicative hash."""
    return (link * UNITS + unit) * 2654435761 % 2**32 < share * 2**32


def registers(unit: int, address: int, count: int) -> bytes:
    words = dict(SWITCH)
    for index, value in enumerate([energy(unit), *[energy(unit) // 4] * 4]):
        words[2 * index], words[2 * index + 1] = value >> 16, value & 0xFFFF
    return b"".join(
        words.get(register, 0).to_bytes(2, "big") for register in range(address, address + count)
    )


@lru_cache(maxsize=4096)
def pdu(unit: int, request: bytes) -> bytes:
    """Answer to one request from the function code on, without unit and checksum."""
    function, address, count = struct.unpack(">BHH", request[:5])
    if function in (3, 4):
        data = registers(unit, address, count)
        return bytes((function, len(data))) + data
    if function in (6, 16):
        return request[:5]
    return bytes((function | 0x80, 1))


@lru_cache(maxsize=4096)
def rtu_answer(request: bytes) -> bytes:
    answer = request[:1] + pdu(request[0], request[1:-2])
    return answer + crc16(answer)


@lru_cache(maxsize=4096)
def tcp_answer(request: bytes) -> bytes:
    """From the length field on: the transaction number is the only thing that changes."""
    answer = request[:1] + pdu(request[0], request[1:])
    return b"\0\0" + len(answer).to_bytes(2, "big") + answer


class Server:
    """All lines, and one timer for all answers that are due in the same millisecond."""

    def __init__(self, loop, framing: str, delay_ms: int, dead: float, links: int) -> None:
        self.loop, self.delay_ms, self.dead = loop, delay_ms, dead
        self.tcp = framing == "tcp"
        self.connections = self.requests = self.answers = 0
        self.counts = [0] * (links * UNITS)
        self.mute = {
            link * UNITS + unit
            for link in range(links)
            for unit in range(UNITS)
            if dead and is_dead(link, unit, dead)
        }
        self._due: dict[int, list] = {}

    def answer_later(self, transport, frame: bytes) -> None:
        if not self.delay_ms:
            self.answers += 1
            transport.write(frame)
            return
        due = int(self.loop.time() * 1000) + self.delay_ms
        batch = self._due.get(due)
        if batch is None:
            batch = self._due[due] = []
            self.loop.call_at(due / 1000, self._fire, due)
        batch.append((transport, frame))

    def _fire(self, due: int) -> None:
        batch = self._due.pop(due)
        self.answers += len(batch)
        for transport, frame in batch:
            if not transport.is_closing():
                transport.write(frame)

    def stats(self) -> dict:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "connections": self.connections,
            "requests": self.requests,
            "answers": self.answers,
            "cpu_s": usage.ru_utime + usage.ru_stime,
        }


class Line(asyncio.Protocol):
    __slots__ = ("_first", "_server", "_transport")

    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport) -> None:
        self._transport = transport
        _net, _one, high, low = transport.get_extra_info("sockname")[0].split(".")
        self._first = (int(high) * 250 + int(low) - 1) * UNITS
        self._server.connections += 1

    def connection_lost(self, exc) -> None:
        self._server.connections -= 1

    def data_received(self, data: bytes) -> None:
        server = self._server
        server.requests += 1
        unit = data[6] if server.tcp else data[0]
        number = self._first + unit
        server.counts[number] += 1
        if number in server.mute:
            return
        if server.tcp:
            frame = data[:2] + tcp_answer(data[6:])
        else:
            frame = rtu_answer(data)
        server.answer_later(self._transport, frame)


async def serve(links: int, framing: str = "rtu", delay_ms: int = 0, dead: float = 0.0) -> None:
    loop = asyncio.get_running_loop()
    server = Server(loop, framing, delay_ms, dead, links)
    first = await loop.create_server(lambda: Line(server), host(0), 0, backlog=64)
    port = first.sockets[0].getsockname()[1]
    servers = [first]
    for link in range(1, links):
        servers.append(await loop.create_server(lambda: Line(server), host(link), port, backlog=64))
    _say({"port": port})
    questions: asyncio.Queue = asyncio.Queue()
    loop.add_reader(0, lambda: questions.put_nowait(sys.stdin.readline()))
    while line := (await questions.get()).strip():
        _say(server.stats() if line == "stats" else server.counts)


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Devices:
    """The process of the devices, seen from the test."""

    def __init__(self, **settings: object) -> None:
        self.links = int(settings["links"])
        self.dead = float(settings.get("dead", 0.0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.devices", json.dumps(settings)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = self._answer()["port"]

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, f"the devices ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self, question: str):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self._answer()

    def stats(self) -> dict:
        return self.ask("stats")

    def counts(self) -> list[int]:
        """Requests so far by link × 248 + unit."""
        return self.ask("counts")

    @property
    def endpoints(self) -> list[tuple[str, int]]:
        return [(host(link), self.port) for link in range(self.links)]

    def close(self) -> None:
        self.process.stdin.close()  # the end of its input is the end of the process
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Devices:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(**json.loads(sys.argv[1])))
