"""One sweep over all due meters, for small sites that run no collector process."""

from __future__ import annotations

import asyncio
import os
import socket

from .link import GatewayOffline
from .service import REACHABLE
from .sink import Sink
from .store import Store
from .worker import GatewayWorker

#: Longer than any sweep of one bus; a crashed sweep frees its gateways after this time.
LEASE_SECONDS = 300
ALL = 1_000_000


def sweep(conninfo: dict) -> int:
    """Poll the due meters of every gateway that no collector serves, and carry out commands.

    :return: number of meters polled
    """
    return asyncio.run(_sweep(conninfo))


async def _sweep(conninfo: dict) -> int:
    store = Store(conninfo)
    sink = Sink(Store(conninfo, staging=True))
    owner = f"sweep:{socket.gethostname()}:{os.getpid()}"
    writing = asyncio.create_task(sink.run())
    try:
        taken = await store.take(owner, LEASE_SECONDS, REACHABLE, ALL)
        gateways = await store.load(await store.gateways_of(taken))
        workers = {key: GatewayWorker(item, store, sink) for key, item in gateways.items()}
        for command in await store.due_commands(list(workers)):
            workers[command.gateway_id].add_command(command)
        for task in await store.due_tasks(list(workers)):
            workers[task.gateway_id].add_task(task)
        await asyncio.gather(*(_serve(worker) for worker in workers.values()))
        return sum(worker.polls + worker.misses for worker in workers.values())
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await store.release(owner)
        await store.close()
        await sink.store.close()


async def _serve(worker: GatewayWorker) -> None:
    """What is due on one gateway; one that is away says so and waits for the next sweep."""
    try:
        await worker.run_due()
    except GatewayOffline as error:
        worker.lost(error)
    finally:
        worker.link.close()
