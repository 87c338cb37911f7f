"""The collector process: leases gateways, follows the database, runs one worker for each gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket

import psycopg
import uvloop

from . import config
from .store import DatabaseAway, Store
from .worker import GatewayWorker

_logger = logging.getLogger(__name__)

LEASE_SECONDS = 30
RENEW_EVERY = 10.0
#: Commands are fetched on notification; this is the safety net for a lost one.
FETCH_EVERY = 2.0


class Collector:
    """One collector of possibly several that share a fleet by leases."""

    def __init__(self, conninfo: dict, owner: str | None = None) -> None:
        self.store = Store(conninfo)
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}"
        self.workers: dict[int, GatewayWorker] = {}
        self._tasks: dict[int, asyncio.Task] = {}
        self._changed = asyncio.Event()
        self._fetch = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled; then give the leases back so that another one takes over at once."""
        loops = [
            asyncio.create_task(self._supervised(loop), name=loop.__name__)
            for loop in (self._listen, self._keep_leases, self._fetch_commands)
        ]
        try:
            await asyncio.gather(*loops)
        finally:
            for task in [*loops, *self._tasks.values()]:
                task.cancel()
            await asyncio.gather(*loops, *self._tasks.values(), return_exceptions=True)
            try:
                await self.store.release(self.owner)
                await self.store.close()
            except psycopg.Error:
                _logger.warning("The database is away; the leases run out in %s s", LEASE_SECONDS)

    async def _supervised(self, loop) -> None:
        """Run a loop for ever: a database that is away is waited for, other failures are logged."""
        while True:
            try:
                await loop()
            except asyncio.CancelledError:
                raise
            except DatabaseAway as error:
                _logger.warning("Database: %s; trying again", str(error).strip())
            except Exception:
                _logger.exception("Collector: %s failed, starting it again", loop.__name__)
            await asyncio.sleep(1)

    async def _listen(self) -> None:
        """Follow notifications: changed configuration, new commands, read-now requests."""
        connection = await psycopg.AsyncConnection.connect(**self.store.conninfo, autocommit=True)
        async with connection:
            for channel in ("prepay_config", "prepay_command", "prepay_read"):
                await connection.execute(f"LISTEN {channel}")
            self._changed.set()
            self._fetch.set()
            async for notification in connection.notifies():
                if notification.channel == "prepay_config":
                    self._changed.set()
                elif notification.channel == "prepay_command":
                    self._fetch.set()
                else:
                    wanted = {
                        int(part) for part in notification.payload.split(",") if part.isdecimal()
                    }
                    for worker in self.workers.values():
                        worker.read_now(wanted)

    async def _keep_leases(self) -> None:
        """Renew the leases and take over changed configuration and orphaned gateways."""
        while True:
            gateways = await self.store.load()
            ours = await self.store.lease(
                [item.state_id for item in gateways.values()], self.owner, LEASE_SECONDS
            )
            await self._assign(
                {key: item for key, item in gateways.items() if item.state_id in ours}
            )
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), RENEW_EVERY)
                await asyncio.sleep(0.05)  # several changes in a row are one
            self._changed.clear()

    async def _assign(self, gateways: dict[int, config.Gateway]) -> None:
        for key in list(self.workers):
            worker = self.workers[key]
            if key not in gateways or gateways[key].endpoint != worker.gateway.endpoint:
                self._tasks[key].cancel()
                await asyncio.gather(self._tasks[key], return_exceptions=True)
                del self.workers[key], self._tasks[key]
        for key, gateway in gateways.items():
            if key in self.workers:
                self.workers[key].configure(gateway)
                continue
            worker = self.workers[key] = GatewayWorker(gateway, self.store)
            self._tasks[key] = asyncio.create_task(worker.run(), name=f"gateway {gateway.name}")
            self._fetch.set()
            _logger.info(
                "Serving gateway %s at %s:%s with %s meters",
                gateway.name,
                *gateway.endpoint,
                len(gateway.meters),
            )

    async def _fetch_commands(self) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._fetch.wait(), FETCH_EVERY)
            self._fetch.clear()
            if not self.workers:
                continue
            for command in await self.store.due_commands(list(self.workers)):
                worker = self.workers.get(command.gateway_id)
                if worker is not None:
                    worker.add_command(command)


def run(conninfo: dict) -> None:
    """Run a collector until SIGTERM or SIGINT."""
    if hasattr(asyncio, "Runner"):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(conninfo))
    else:  # Python 3.10
        uvloop.install()
        asyncio.run(_main(conninfo))


async def _main(conninfo: dict) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    collector = Collector(conninfo)
    _logger.info("Collector %s started", collector.owner)
    serving = asyncio.create_task(collector.run())
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    _logger.info("Collector %s stopped", collector.owner)
