"""Gateways: what they have in common, and those that listen on a TCP port.

`tcp_serial` is transparent: one port, one serial line, one request at a time. `modbus_tcp` speaks
Modbus TCP with the same meters.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from .bus import Answer, Bus
from .checks import Check, flag, number, one_of, text, whole
from .cjt188 import Cjt188Bus
from .dlt645 import Dlt645Bus
from .meter import Meter
from .modbus import MAPS, ModbusBus, ModbusTcpBus

_logger = logging.getLogger(__name__)

BUSES: dict[str, type[Bus]] = {
    "dlt645": Dlt645Bus,
    "cjt188": Cjt188Bus,
    **dict.fromkeys(MAPS, ModbusBus),
}
BYTE_GAP_S = 0.6
"""A line that was quiet for longer has begun a new frame (DL/T 645: 500 ms)."""


class Gateway:
    """Meters on a line, and the way to them. Options are attributes of the same name."""

    kind = ""
    OPTIONS: dict[str, tuple[Check, Any]] = {
        # name: (check, default)
        "delay_ms": (whole(0, 60_000), 20),
        "split_bytes": (whole(0, 1000), 0),
        "split_gap_ms": (whole(0, 10_000), 20),
        "pack_ms": (whole(0, 10_000), 0),
    }
    """`delay_ms`: how long a meter thinks. `split_bytes`: serial bytes go out in pieces of this
    size with `split_gap_ms` between them. `pack_ms`: what comes within this time goes out as one."""

    def __init__(self, name: str, options: dict) -> None:
        self.name = name
        self.online = False
        self.powered = True
        self.bus: Bus | None = None
        self.connected_since: datetime | None = None
        self.connections = 0
        """Links since the start."""
        self._line = asyncio.Lock()
        self._tasks: set[asyncio.Task] = set()
        self._script: asyncio.Task | None = None
        self._steps: list[tuple[float, dict]] = []
        for option, (_, default) in self.options().items():
            setattr(self, option, default)
        self.set_options(options)

    @classmethod
    def options(cls) -> dict[str, tuple[Check, Any]]:
        """Options of this kind and of all gateways."""
        found: dict[str, tuple[Check, Any]] = {}
        for base in reversed(cls.__mro__):
            found |= base.__dict__.get("OPTIONS", {})
        return found

    def set_options(self, changes: dict) -> None:
        """Set options by name; all or none.

        :raises ValueError: an unknown name or a bad value
        """
        known = self.options()
        if unknown := changes.keys() - known:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        values = {name: known[name][0](name, value) for name, value in changes.items()}
        for name, value in values.items():
            setattr(self, name, value)

    @property
    def meters(self) -> dict[str, Meter]:
        return self.bus.meters if self.bus else {}

    def bus_of(self, protocol: str) -> type[Bus]:
        """Line that meters of this protocol need behind this kind of gateway.

        :raises ValueError: they cannot be behind it
        """
        return BUSES[protocol]

    def add(self, meter: Meter) -> None:
        """Connect a meter.

        :raises ValueError: the address is taken, or the line speaks another protocol
        """
        kind = self.bus_of(meter.protocol)
        if self.bus is None:
            self.bus = kind()
        if type(self.bus) is not kind:
            raise ValueError(f"gateway {self.name} has meters of another protocol")
        if meter.address in self.bus.meters:
            raise ValueError(f"gateway {self.name} has a meter {meter.address} already")
        self.bus.meters[meter.address] = meter

    # ---- life

    async def start(self) -> None:
        """Go on line; no work when it is."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Go off line and drop what is connected."""
        raise NotImplementedError

    async def apply(self, changes: Any) -> None:
        """Change the gateway while it runs: options, `online`, `power`; all or none.

        `power` false is a power failure of the building: no meter has a load or answers.

        :raises ValueError: an unknown name or a bad value
        """
        if not isinstance(changes, dict):
            raise ValueError(f"settings {changes!r} are not an object")
        options = dict(changes)
        online = flag("online", options.pop("online", self.online))
        power = flag("power", options.pop("power", self.powered))
        steps = script(options.pop("script")) if "script" in options else None
        self.set_options(options)
        if power != self.powered:
            await self.set_power(power)
        await (self.start() if online else self.stop())
        if options and online:
            self.options_changed(options)
        if steps is not None:
            self.run_script(steps)

    async def set_power(self, on: bool) -> None:
        """Power of the building and so of all meters."""
        self.powered = on
        for meter in self.meters.values():
            meter.set_power(on)

    def options_changed(self, options: dict) -> None:
        """Take over changed options of a gateway on line."""

    def run_script(self, steps: list[tuple[float, dict]]) -> None:
        """Apply changes at their seconds from now; replaces the script that runs."""
        if self._script:
            self._script.cancel()
            self._script = None
        if steps:
            self._script = asyncio.create_task(self._follow(steps))

    async def _follow(self, steps: list[tuple[float, dict]]) -> None:
        passed = 0.0
        for at, changes in sorted(steps, key=lambda step: step[0]):
            await asyncio.sleep(max(0.0, at - passed))
            passed = at
            try:
                await self.apply(changes)
            except (OSError, ValueError) as error:
                _logger.warning("gateway %s: script step %s: %s", self.name, changes, error)

    def state(self) -> dict:
        """State for people and tests."""
        since = self.connected_since
        return {
            "name": self.name,
            "kind": self.kind,
            "host": None,
            "port": None,
            "online": self.online,
            "power": self.powered,
            "connected": since is not None,
            "since": since.isoformat(timespec="milliseconds") if since else None,
            "connections": self.connections,
            "delay_ms": self.delay_ms,
            "meters": list(self.meters),
        }

    # ---- the serial side

    def _spawn(self, work: Any) -> asyncio.Task:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _end_tasks(self) -> None:
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, port: "SerialPort") -> None:
        """Answer the requests that come, until the other side closes."""
        buffer = bytearray()
        loop = asyncio.get_running_loop()
        last = loop.time()
        while data := await reader.read(1024):
            if loop.time() - last > BYTE_GAP_S:
                buffer.clear()
            buffer += data
            while self.bus and (request := self.bus.take_request(buffer)):
                await self._exchange(request, port)
            last = loop.time()

    async def _exchange(self, request: bytes, port: "SerialPort") -> None:
        async with self._line:
            answers = self.bus.answer(request)
            slow = max((answer.slow_ms for answer in answers), default=0)
            await asyncio.sleep((self.delay_ms + slow) / 1000)
            for answer in answers:
                if answer.late_ms > 0:
                    self._spawn(self._send_late(answer, port))
                else:
                    await port.send(answer.raw)

    async def _send_late(self, answer: Answer, port: "SerialPort") -> None:
        await asyncio.sleep(answer.late_ms / 1000)
        with contextlib.suppress(ConnectionError):
            await port.send(answer.raw)


class SerialPort:
    """How the bytes of the serial side go out on a link: as they are, in pieces, or packed."""

    def __init__(self, gateway: Gateway, write: Callable[[bytes], Any]) -> None:
        self._gateway = gateway
        self._write = write
        """Coroutine function that sends one piece."""
        self._packed = bytearray()
        self._order = asyncio.Lock()

    async def send(self, raw: bytes) -> None:
        gateway = self._gateway
        if gateway.pack_ms:
            if not self._packed:
                gateway._spawn(self._flush())
            self._packed += raw
        else:
            await self._send_pieces(raw)

    async def _flush(self) -> None:
        await asyncio.sleep(self._gateway.pack_ms / 1000)
        raw, self._packed = bytes(self._packed), bytearray()
        with contextlib.suppress(ConnectionError):
            await self._send_pieces(raw)

    async def _send_pieces(self, raw: bytes) -> None:
        size = self._gateway.split_bytes or len(raw) or 1
        async with self._order:
            for start in range(0, len(raw), size):
                if start:
                    await asyncio.sleep(self._gateway.split_gap_ms / 1000)
                await self._write(raw[start : start + size])


class ListeningGateway(Gateway):
    """A listening TCP port with the meters behind it; all of one protocol."""

    kind = "tcp_serial"
    OPTIONS = {
        "host": (text, "127.0.0.1"),
        "port": (whole(0, 65535), 0),
    }

    def __init__(self, name: str, options: dict) -> None:
        super().__init__(name, options)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

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
        await self._end_tasks()
        await server.wait_closed()

    def state(self) -> dict:
        return super().state() | {"host": self.host, "port": self.port}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        self.connected_since = self.connected_since or datetime.now(timezone.utc)

        async def write(piece: bytes) -> None:
            writer.write(piece)
            await writer.drain()

        try:
            await self._converse(reader, SerialPort(self, write))
        except (ConnectionError, asyncio.CancelledError):
            _logger.debug("gateway %s: connection lost", self.name)
        except Exception:
            _logger.exception("gateway %s: connection ends", self.name)
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            if not self._writers:
                self.connected_since = None
            writer.close()


class ModbusTcpGateway(ListeningGateway):
    """A gateway that speaks Modbus TCP; the unit number is the meter's address.

    `no_answer`: what is answered for a unit that is absent or silent: nothing, or exception 11.
    """

    kind = "modbus_tcp"
    OPTIONS = {"no_answer": (one_of("silent", "exception"), "silent")}

    def bus_of(self, protocol: str) -> type[Bus]:
        if BUSES[protocol] is not ModbusBus:
            raise ValueError(f"gateway {self.name} speaks Modbus TCP, not {protocol}")
        return ModbusTcpBus

    async def _exchange(self, request: bytes, port: SerialPort) -> None:
        self.bus.answers_for_silent = self.no_answer == "exception"
        await super()._exchange(request, port)


def script(value: Any) -> list[tuple[float, dict]]:
    """Steps of a gateway's script: {"at_s": seconds from now, settings by name}.

    :raises ValueError: no list of such objects
    """
    if not isinstance(value, list):
        raise ValueError(f"script {value!r} is not a list")
    steps = []
    for step in value:
        if not isinstance(step, dict) or "at_s" not in step or "script" in step:
            raise ValueError(f"script: {step!r} is not an object with at_s and settings")
        changes = dict(step)
        steps.append((float(number(0, 10**7)("at_s", changes.pop("at_s"))), changes))
    return steps
