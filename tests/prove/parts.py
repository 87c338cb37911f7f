"""The engine and the pure modules of meters, imported without Odoo.

They are called as `rounding.settle(…)`, never by a name taken out of the module, so that a planted
fault (`faults.py`) reaches every call.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

ADDONS = Path(__file__).resolve().parents[2] / "addons"


def load(addon: str, name: str) -> ModuleType:
    """A module of an addon whose own package, which imports Odoo, is left out."""
    package = f"pure_{addon}"
    if package not in sys.modules:
        bare = ModuleType(package)
        bare.__path__ = [str(ADDONS / addon)]
        sys.modules[package] = bare
    return import_module(f"{package}.{name}")


calendar = load("prepay_billing", "engine.calendar")
tariff = load("prepay_billing", "engine.tariff")
rating = load("prepay_billing", "engine.rating")
rounding = load("prepay_billing", "engine.rounding")
ledger = load("prepay_billing", "engine.ledger")
errors = load("prepay_billing", "engine.errors")
supply = load("prepay_billing", "engine.supply")
supply_batch = load("prepay_billing", "engine.supply_batch")
credit = load("prepay_meter", "credit")
quality = load("prepay_meter", "quality")
driver = load("prepay_meter", "collector.driver")
