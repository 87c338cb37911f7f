"""One sweep over all due meters, for small sites that run no collector process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from datetime import timedelta

from . import config
from .link import GatewayOffline
from .store import Store, utcnow
from .worker import GatewayWorker

_logger = logging.getLogger(__name__)

#: Longer than any sweep of one bus; a crashed sweep frees its gateways after this time.
LEASE_SECONDS = 300


def sweep(conninfo: dict) -> int:
    """Poll the due meters of every gateway that no collector serves, and carry out commands.

    :return: number of meters polled
    """
    return asyncio.run(_sweep(conninfo))


async def _sweep(conninfo: dict) -> int:
    store = Store(conninfo)
    owner = f"sweep:{socket.gethostname()}:{os.getpid()}"
    try:
        gateways = await store.load()
        mine = await store.lease(
            [gateway.state_id for gateway in gateways.values()], owner, LEASE_SECONDS
        )
        served = [gateway for gateway in gateways.values() if gateway.state_id in mine]
        commands = await store.due_commands([gateway.id for gateway in served])
        counts = await asyncio.gather(
            *(_sweep_gateway(gateway, store, commands) for gateway in served)
        )
        return sum(counts)
    finally:
        await store.release(owner)
        await store.close()


async def _sweep_gateway(gateway: config.Gateway, store: Store, commands) -> int:
    worker = GatewayWorker(gateway, store)
    polled = 0
    try:
        for command in commands:
            if command.gateway_id == gateway.id:
                await worker.execute(command)
        now = utcnow()
        for meter in gateway.meters.values():
            if meter.last_at is None or meter.last_at + timedelta(seconds=meter.interval) <= now:
                await worker.poll(meter)
                polled += 1
    except GatewayOffline as error:
        await store.gateway_state(gateway, False, str(error))
    finally:
        await worker.link.close()
    return polled
