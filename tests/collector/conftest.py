import asyncio
import importlib
import os
import sys

import pytest

from tests.support.database import clone_database, drop


@pytest.fixture(scope="session")
def addons():
    """The collector's modules, imported as Odoo's command does."""
    import odoo.addons

    for path in os.environ["PREPAY_ADDONS_PATH"].split(","):
        if path not in odoo.addons.__path__:
            odoo.addons.__path__.append(path)
    sys.modules.setdefault("odoo.addons", odoo.addons)
    return lambda name: importlib.import_module(f"odoo.addons.prepay_meter.{name}")


@pytest.fixture
def database():
    made = clone_database("part")
    try:
        yield made
    finally:
        drop(made)


@pytest.fixture
def run():
    """Run a coroutine function on a loop of its own."""

    def runner(work, *arguments):
        return asyncio.run(asyncio.wait_for(work(*arguments), 60))

    return runner
