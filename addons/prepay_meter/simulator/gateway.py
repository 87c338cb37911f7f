"""A transparent TCP gateway: one port, one serial line, one request at a time."""

import asyncio
import contextlib
import logging

from .bus import Answer, Bus
from .ddsy1352 import ModbusBus
from .dlt645 import Dlt645Bus
from .meter import Meter

_logger = logging.getLogger(__name__)

BUSES: dict[str, type[Bus]] = {"dlt645": Dlt645Bus, "modbus_ddsy1352": ModbusBus}
BYTE_GAP_S = 0.6
"""A line that was quiet for longer has begun a new frame (DL/T 645: 500 ms)."""


class Gateway:
    """A listening TCP port with the meters behind it; all of one protocol."""

    def __init__(self, name: str, host: str, port: int, delay_ms: int) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.delay_ms = delay_ms
        self.online = False
        self.bus: Bus | None = None
        self._line = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()

    @property
    def meters(self) -> dict[str, Meter]:
        return self.bus.meters if self.bus else {}

    def add(self, meter: Meter) -> None:
        """Connect a meter.

        :raises ValueError: the address is taken, or the line speaks another protocol
        """
        kind = BUSES[meter.protocol]
        if self.bus is None:
            self.bus = kind()
        if type(self.bus) is not kind:
            raise ValueError(f"gateway {self.name} has meters of another protocol")
        if meter.address in self.bus.meters:
            raise ValueError(f"gateway {self.name} has a meter {meter.address} already")
        self.bus.meters[meter.address] = meter

    async def start(self) -> None:
        """Listen; a port of 0 is replaced by the one chosen, and kept from then on."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]
            self.online = True

    async def stop(self) -> None:
        """Refuse new connections and drop those that exist."""
        self.online = False
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self._writers.add(writer)
        buffer = bytearray()
        loop = asyncio.get_running_loop()
        last = loop.time()
        try:
            while data := await reader.read(1024):
                if loop.time() - last > BYTE_GAP_S:
                    buffer.clear()
                buffer += data
                while self.bus and (request := self.bus.take_request(buffer)):
                    await self._exchange(request, writer)
                last = loop.time()
        except (ConnectionError, asyncio.CancelledError):
            _logger.debug("gateway %s: connection lost", self.name)
        except Exception:
            _logger.exception("gateway %s: connection ends", self.name)
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        async with self._line:
            answers = self.bus.answer(request)
            await asyncio.sleep(self.delay_ms / 1000)
            for answer in answers:
                if answer.late_ms > 0:
                    task = asyncio.create_task(self._send_late(answer, writer))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                else:
                    writer.write(answer.raw)
                    await writer.drain()

    async def _send_late(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(answer.late_ms / 1000)
        with contextlib.suppress(ConnectionError):
            writer.write(answer.raw)
            await writer.drain()
