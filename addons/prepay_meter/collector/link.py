"""One TCP connection to a transparent serial server: one request in flight, late answers discarded."""

from __future__ import annotations

import asyncio
import contextlib

from ..protocols.errors import Outcome
from ..protocols.exchange import Exchange, Reply

CONNECT_TIMEOUT = 5.0


class GatewayOffline(Exception):
    """The gateway refused, closed or lost the connection."""


class NoReply(Exception):
    """The device gave no usable answer. ``outcome`` says why, ``detail`` shows the bytes."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(f"{outcome}: {detail}")
        self.outcome = outcome
        self.detail = detail


class SerialLink:
    """A serial bus behind a TCP gateway.

    Serial protocols carry no transaction number, so an answer that comes too late looks like the
    answer to the next equal request. After each failure the link is therefore kept quiet for one
    more time-out and whatever arrives meanwhile is thrown away (R-10).
    """

    def __init__(self, host: str, port: int, timeout: float, gap: float) -> None:
        self.host, self.port, self.timeout, self.gap = host, port, timeout, gap
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._idle_since = 0.0

    @property
    def connected(self) -> bool:
        return self._writer is not None

    async def connect(self) -> None:
        if self._writer is not None:
            return
        try:
            opening = asyncio.open_connection(self.host, self.port)
            self._reader, self._writer = await asyncio.wait_for(opening, CONNECT_TIMEOUT)
        except (OSError, asyncio.TimeoutError) as error:
            raise GatewayOffline(
                f"{self.host}:{self.port}: {error or 'no connection in time'}"
            ) from error

    async def close(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):  # the other side was faster
                await writer.wait_closed()

    async def ask(self, exchange: Exchange) -> Reply:
        """Send the request of ``exchange`` and return the reply that belongs to it.

        :raises NoReply: nothing usable came in time
        :raises GatewayOffline: the connection broke
        """
        await self.connect()
        await self._keep_gap()
        try:
            self._writer.write(exchange.request)
            await self._writer.drain()
            return await asyncio.wait_for(self._reply(exchange), self.timeout)
        except asyncio.TimeoutError:
            outcome, detail = exchange.failure()
            await self._quarantine()
            raise NoReply(outcome, detail) from None
        except OSError as error:
            await self.close()
            raise GatewayOffline(f"{self.host}:{self.port}: {error}") from error
        finally:
            self._idle_since = asyncio.get_running_loop().time()

    async def _reply(self, exchange: Exchange) -> Reply:
        while True:
            reply = exchange.feed(await self._read())
            if reply is not None:
                return reply

    async def _read(self) -> bytes:
        data = await self._reader.read(4096)
        if not data:
            raise ConnectionResetError("closed by the gateway")
        return data

    async def _keep_gap(self) -> None:
        rest = self._idle_since + self.gap - asyncio.get_running_loop().time()
        if rest > 0:
            await asyncio.sleep(rest)

    async def _quarantine(self) -> None:
        try:
            await asyncio.wait_for(self._discard(), self.timeout)
        except asyncio.TimeoutError:
            return
        except OSError:
            await self.close()

    async def _discard(self) -> None:
        while True:
            await self._read()
