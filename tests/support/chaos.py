"""A bad network between two programs: a TCP proxy that delays, loses, doubles, disorders, spoils and cuts.

All chance comes from one seed. What it did last is in `Proxy.story()`, which is printed when a test fails
inside `with Proxy(…)`; with the seed the same faults can be had again, as far as the timing of the programs
allows. The proxy lives on an event loop of its own thread, so tests are plain functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

#: Bytes that transparent gateways mix in: heartbeats, text, beginnings of frames.
NOISE = (
    b"\0",
    b"ping",
    b"\xfe\xfe",
    b"\x68\x01\x02",
    b"\x01\x03\x06",
    b"AT+REG=1\r\n",
    b"\x16\xff",
)


@dataclass(frozen=True)
class Faults:
    """Probabilities are of one write (a chunk as it was received) unless said otherwise."""

    delay: tuple[float, float] = (0.0, 0.0)
    """Seconds, shortest and longest; chunks of one direction stay in order."""
    loss: float = 0.0
    duplicate: float = 0.0
    copies: int = 2
    """How often a doubled chunk arrives."""
    reorder: float = 0.0
    """The chunk is held back and arrives after the next one."""
    flip: float = 0.0
    """One random bit of the chunk is turned over."""
    noise: float = 0.0
    """Foreign bytes before the chunk."""
    split: float = 0.0
    """The chunk arrives in two pieces, 20 ms apart."""
    reset: float = 0.0
    """Half of the chunk arrives, then the connection is reset."""
    cut_after: int = 0
    """Bytes of a connection and direction after which it is reset; 0 for never."""
    bandwidth: float = 0.0
    """Bytes per second; 0 for no limit. One byte per second is a slow-loris."""
    half_open: bool = False
    """Connections are accepted and nothing ever passes."""
    down: bool = False
    """Connections are refused, those that exist are reset."""


CALM = Faults()


class Proxy:
    """Accepts connections on a port of its own and passes them on to ``target``.

    :param target: (host, port), or the path of a Unix socket
    :param up: faults on the way to the target, ``down`` on the way back; `change` sets both
    """

    def __init__(
        self, target: tuple[str, int] | str, seed: int = 1, up: Faults = CALM, back: Faults = CALM
    ) -> None:
        self.target, self.seed, self.up, self.back = target, seed, up, back
        self.connections = 0
        self.events: deque[str] = deque(maxlen=20)
        self._random = random.Random(seed)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter | None]] = set()
        self._tasks: set[asyncio.Task] = set()
        self._server: asyncio.Server | None = None
        self._began = time.monotonic()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._listen())

    # what tests call

    def change(self, up: bool = True, back: bool = True, **faults: object) -> None:
        """Set faults by name on both ways, or on one; the others stay as they are."""
        unknown = set(faults) - {field.name for field in fields(Faults)}
        assert not unknown, f"no such fault: {unknown}"

        async def work() -> None:
            if up:
                self.up = replace(self.up, **faults)
            if back:
                self.back = replace(self.back, **faults)
            self._note(f"faults: {faults}")
            if self.up.down:
                await self._deafen()
                self._reset_all()
            elif self._server is None:
                await self._listen()

        self._call(work())

    def calm(self) -> None:
        """No faults any more; connections that exist are kept, held chunks are dropped."""
        for field in fields(Faults):
            if getattr(self.up, field.name) != field.default or (
                getattr(self.back, field.name) != field.default
            ):
                self.change(**{field.name: field.default})

    def reset(self) -> None:
        """Reset all connections at once."""

        async def work() -> None:
            self._reset_all()

        self._call(work())

    def story(self) -> str:
        return f"chaos proxy, seed {self.seed}, last events:\n  " + "\n  ".join(self.events)

    def close(self) -> None:
        async def work() -> None:
            await self._deafen()
            self._reset_all()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._call(work())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind, *_exc: object) -> None:
        self.close()
        if kind is not None:
            print(self.story())

    # inside

    def _call(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _note(self, text: str) -> None:
        self.events.append(f"{time.monotonic() - self._began:8.3f} s  {text}")

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _deafen(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _reset_all(self) -> None:
        for pair in list(self._pairs):
            _reset(*pair)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        if self.up.half_open:
            self._note(f"#{number} half open")
            with contextlib.suppress(OSError):
                while await reader.read(4096):
                    pass
            writer.close()
            return
        try:
            if isinstance(self.target, str):
                far_reader, far_writer = await asyncio.open_unix_connection(self.target)
            else:
                far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError as error:
            self._note(f"#{number} target: {error}")
            _reset(writer, None)
            return
        pair = (writer, far_writer)
        self._pairs.add(pair)
        ways = [
            asyncio.create_task(self._pass(number, "up", reader, far_writer, pair)),
            asyncio.create_task(self._pass(number, "back", far_reader, writer, pair)),
        ]
        self._tasks.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self._pairs.discard(pair)
        for task in ways:
            task.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._tasks.difference_update(ways)
        for each in pair:
            each.close()

    async def _pass(self, number, way, reader, writer, pair) -> None:
        """One direction of one connection: chunks are spoiled, then sent in their time and order."""
        queue: asyncio.Queue = asyncio.Queue()
        sending = asyncio.create_task(self._send(queue, writer, pair))
        passed, held, clock = 0, b"", asyncio.get_running_loop().time
        free = 0.0
        try:
            while data := await reader.read(65536):
                faults = getattr(self, way)
                name = f"#{number} {way} {len(data)} bytes"
                for chunk, last in self._spoiled(faults, data, name):
                    if faults.cut_after and passed + len(chunk) >= faults.cut_after:
                        chunk, last = chunk[: faults.cut_after - passed], True
                        self._note(f"{name}: cut after {faults.cut_after}")
                    passed += len(chunk)
                    if chunk and not last and self._random.random() < faults.reorder:
                        self._note(f"{name}: held back")
                        held += chunk
                        continue
                    free = max(free, clock() + self._random.uniform(*faults.delay))
                    for piece in self._pieces(faults, chunk):
                        queue.put_nowait((free, piece, last))
                        if faults.bandwidth:
                            free += len(piece) / faults.bandwidth
                        elif len(piece) < len(chunk):
                            free += 0.02
                    if held and not last:
                        queue.put_nowait((free, held, False))
                        held = b""
            await asyncio.sleep(max(0.0, free - clock()))
        except OSError as error:
            self._note(f"#{number} {way}: {error}")
        finally:
            sending.cancel()

    async def _send(self, queue, writer, pair) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                at, piece, last = await queue.get()
                if (rest := at - loop.time()) > 0:
                    await asyncio.sleep(rest)
                writer.write(piece)
                await writer.drain()
                if last:
                    _reset(*pair)
                    return

    def _spoiled(self, faults: Faults, data: bytes, name: str) -> Iterator[tuple[bytes, bool]]:
        """What becomes of a chunk: pieces in order, and whether the connection is reset after one."""
        chance = self._random.random
        if chance() < faults.loss:
            self._note(f"{name}: lost")
            return
        if chance() < faults.flip:
            bit = self._random.randrange(8 * len(data))
            spoiled = bytearray(data)
            spoiled[bit // 8] ^= 1 << bit % 8
            data = bytes(spoiled)
            self._note(f"{name}: bit {bit} turned")
        if chance() < faults.noise:
            noise = self._random.choice(NOISE)
            data = noise + data
            self._note(f"{name}: noise {noise!r}")
        if chance() < faults.reset:
            self._note(f"{name}: reset in the middle")
            yield data[: len(data) // 2], True
            return
        copies = 1
        if chance() < faults.duplicate:
            copies = faults.copies
            self._note(f"{name}: × {copies}")
        for _copy in range(copies):
            yield data, False

    def _pieces(self, faults: Faults, chunk: bytes) -> list[bytes]:
        if faults.bandwidth:
            return [chunk[at : at + 1] for at in range(len(chunk))]
        if len(chunk) > 1 and self._random.random() < faults.split:
            at = self._random.randrange(1, len(chunk))
            return [chunk[:at], chunk[at:]]
        return [chunk]


def _reset(*writers: asyncio.StreamWriter | None) -> None:
    """Close without goodbye: the other side gets a reset, not an end of stream."""
    for writer in writers:
        if writer is None:
            continue
        sock = writer.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX and sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
