"""Gateways that dial in: what they have in common, and transparent 4G DTUs."""

import asyncio
import contextlib
import logging
import random
from datetime import datetime, timezone
from typing import Any

from pymodbus.framer import FramerRTU

from .checks import flag, hex_bytes, host_port, number, one_of, text, whole
from .gateway import Gateway, SerialPort

_logger = logging.getLogger(__name__)

CONNECT_S = 10
LASTING_S = 5
"""A link that lived for so long was good: the next dialing begins with the shortest wait."""


def registers(name: str, value: Any) -> tuple[int, int, int]:
    """[unit, address, count] to read, or nothing."""
    if value is None:
        return (0, 0, 0)
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"{name} {value!r} is not a list of unit, address and count")
    limits = (247, 0xFFFF, 125)
    return tuple(whole(0, top)(name, item) for top, item in zip(limits, value, strict=True))


class DialingGateway(Gateway):
    """Dials `connect` (host:port) while it is on line, again and again with back-off.

    After a power failure it comes back within `return_ms`. `apply` also takes `abandon`: the link
    is left open and mute, and a new one dialed, as after a NAT forgot it.
    """

    OPTIONS = {
        "connect": (host_port, None),
        "reconnect_ms": (whole(10, 3_600_000), 1_000),
        "reconnect_max_ms": (whole(10, 3_600_000), 60_000),
        "return_ms": (whole(0, 3_600_000), 0),
    }

    def __init__(self, name: str, options: dict) -> None:
        super().__init__(name, options)
        if self.connect is None:
            raise ValueError("connect is missing: where to dial, host:port")
        self.last_error = ""
        self._dialing: asyncio.Task | None = None
        self._ghosts: list[Any] = []
        self._abandon = False

    # ---- life

    async def start(self) -> None:
        self.online = True
        if self.powered and self._dialing is None:
            self._dialing = asyncio.create_task(self._dial())

    async def stop(self) -> None:
        self.online = False
        await self._hang_up(abandon=False)
        ghosts, self._ghosts = self._ghosts, []
        for ghost in ghosts:
            self._bury(ghost)

    async def apply(self, changes: Any) -> None:
        options = dict(changes) if isinstance(changes, dict) else changes
        abandon = isinstance(options, dict) and flag("abandon", options.pop("abandon", False))
        await super().apply(options)
        if abandon and self.online:
            await self._hang_up(abandon=True)
            await self.start()

    async def set_power(self, on: bool) -> None:
        await super().set_power(on)
        if not on:
            await self._hang_up(abandon=True)  # nobody says goodbye
        elif self.online and self._dialing is None:
            self._dialing = asyncio.create_task(self._dial(random.uniform(0, self.return_ms)))

    def options_changed(self, options: dict) -> None:
        """What is said on the link counts from the next link on; another `connect` at once."""
        if "connect" in options and self._dialing is not None:
            self._dialing.cancel()
            self._dialing = asyncio.create_task(self._dial())

    async def _hang_up(self, abandon: bool) -> None:
        self._abandon = abandon
        dialing, self._dialing = self._dialing, None
        if dialing:
            dialing.cancel()
            await asyncio.gather(dialing, return_exceptions=True)
        await self._end_tasks()
        self._abandon = False

    def state(self) -> dict:
        return super().state() | {
            "connect": "{}:{}".format(*self.connect),
            "last_error": self.last_error,
        }

    # ---- dialing

    async def _dial(self, first_wait_ms: float = 0) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(first_wait_ms / 1000)
        wait = self.reconnect_ms
        while True:
            began = loop.time()
            try:
                await self._session()
                self.last_error = "closed by the other side"
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
                self.last_error = str(error) or type(error).__name__
            except Exception as error:
                self.last_error = repr(error)
                _logger.exception("gateway %s: link ends", self.name)
            finally:
                self.connected_since = None
            if loop.time() - began > LASTING_S:
                wait = self.reconnect_ms
            await asyncio.sleep(wait * random.uniform(0.8, 1.2) / 1000)
            wait = min(2 * wait, self.reconnect_max_ms)

    def _is_connected(self) -> None:
        self.connections += 1
        self.connected_since = datetime.now(timezone.utc)
        self.last_error = ""

    async def _session(self) -> None:
        """One link over TCP from connect to close."""
        host, port = self.connect
        opening = asyncio.open_connection(host, port)
        reader, writer = await asyncio.wait_for(opening, CONNECT_S)
        self._is_connected()
        work: list[asyncio.Task] = []
        try:
            await self._talk(reader, writer, work)
        finally:
            for task in work:
                task.cancel()
            if self._abandon:
                self._ghosts.append(writer)
            else:
                writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, work: list[asyncio.Task]
    ) -> None:
        """Everything on one link; tasks in `work` end with it."""
        raise NotImplementedError

    def _bury(self, ghost: Any) -> None:
        ghost.transport.abort()


class DtuGateway(DialingGateway):
    """A transparent 4G DTU with a serial line behind it.

    `registration` (text) or `registration_hex`: who it is, sent `registration_when`: on `connect`,
    before every `packet`, `both` or `never`. A heartbeat each `heartbeat_s` (0 is none) is
    `heartbeat` (text), `heartbeat_hex`, or the answer of the serial side to a Modbus request that
    the DTU makes itself (`heartbeat_read`: unit, address, count).
    """

    kind = "dtu"
    OPTIONS = {
        "registration": (text, ""),
        "registration_hex": (hex_bytes(0, 256), b""),
        "registration_when": (one_of("connect", "packet", "both", "never"), "connect"),
        "heartbeat_s": (number(0, 65_535), 30),
        "heartbeat": (text, "ping"),
        "heartbeat_hex": (hex_bytes(0, 256), b""),
        "heartbeat_read": (registers, (0, 0, 0)),
    }

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, work: list[asyncio.Task]
    ) -> None:
        identity = self.registration_hex or self.registration.encode()

        async def write(piece: bytes) -> None:
            if self.registration_when in ("packet", "both"):
                piece = identity + piece
            writer.write(piece)
            await writer.drain()

        port = SerialPort(self, write)
        if self.registration_when in ("connect", "both"):
            writer.write(identity)
        if self.heartbeat_s:
            work.append(asyncio.create_task(self._beat(port)))
        await self._converse(reader, port)

    async def _beat(self, port: SerialPort) -> None:
        unit, address, count = self.heartbeat_read
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(float(self.heartbeat_s))
                if unit and self.bus:
                    asked = bytes([unit, 3]) + address.to_bytes(2, "big") + count.to_bytes(2, "big")
                    request = asked + FramerRTU.compute_CRC(asked).to_bytes(2, "big")
                    await self._exchange(request, port)
                else:
                    await port.send(self.heartbeat_hex or self.heartbeat.encode())
