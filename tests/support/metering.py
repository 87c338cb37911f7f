"""The metering code without Odoo: codecs, collector and simulator as the package `prepay_meter`.

They need nothing of Odoo (the import rules say so, and this proves it), so tests run them inside their own
process or start a collector in a third of a second.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import types
from pathlib import Path

ADDON = Path(__file__).resolve().parents[2] / "addons" / "prepay_meter"


def module(name: str):
    """A module of the addon, such as "collector.link", without the Odoo models around it."""
    if "prepay_meter" not in sys.modules:
        package = types.ModuleType("prepay_meter")
        package.__path__ = [str(ADDON)]
        sys.modules["prepay_meter"] = package
    return importlib.import_module(f"prepay_meter.{name}")


class Loop:
    """An event loop on a thread of its own, for tests that are plain functions."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work, seconds: float = 60):
        """Result of a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def close(self) -> None:
        async def cancel_all() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def run_collector(arguments: list[str]) -> None:
    """`python -m tests.support.metering '{"dbname": …}' [spool folder]`: a collector until SIGTERM."""
    import json
    import logging

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    service = module("collector.service")
    spool = Path(arguments[1]) if len(arguments) > 1 else None
    service.run(json.loads(arguments[0]), service.Options(spool=spool))


if __name__ == "__main__":
    run_collector(sys.argv[1:])
