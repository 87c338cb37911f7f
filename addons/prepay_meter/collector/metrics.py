"""Health and metrics of a collector over HTTP: /health for watchdogs, /metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from .service import Collector


class _Figures:
    """The figures of a collector, read when somebody asks: counting costs the polls nothing."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        for name, text, value in self._collector.figures():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            metric = kind(f"prepay_collector_{name.removesuffix('_total')}", text)
            metric.add_metric([], value)
            yield metric


async def serve(collector: Collector, host: str, port: int) -> web.AppRunner:
    """Open the port; the address is in ``runner.addresses``."""
    registry = CollectorRegistry()
    registry.register(_Figures(collector))

    async def metrics(_request: web.Request) -> web.Response:
        text = generate_latest(registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_request: web.Request) -> web.Response:
        troubles = collector.troubles()
        body = {
            "collector": collector.owner,
            "healthy": not troubles,
            "troubles": troubles,
            **{name: value for name, _text, value in collector.figures()},
        }
        return web.Response(
            body=orjson.dumps(body),
            status=503 if troubles else 200,
            content_type="application/json",
        )

    application = web.Application()
    application.add_routes([web.get("/health", health), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
