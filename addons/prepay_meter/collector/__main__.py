"""The collector as a process of its own, without Odoo: its models would cost 80 MB for nothing.

Started by the command `odoo prepay_collector`, which hands over what it read from Odoo's
configuration in one environment variable.
"""

import json
import logging
import os
import sys
import types
from importlib import import_module
from pathlib import Path

HANDOVER = "PREPAY_COLLECTOR"


def main() -> None:
    told = json.loads(os.environ.pop(HANDOVER))
    logging.basicConfig(
        level=told["level"],
        filename=told["logfile"] or None,
        format=f"%(asctime)s %(process)d %(levelname)s {told['database']} %(name)s: %(message)s",
    )
    # Only this part of the addon is imported: a package that is not executed.
    package = types.ModuleType("prepay_meter")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["prepay_meter"] = package
    options = import_module("prepay_meter.collector.options")
    service = import_module("prepay_meter.collector.service")
    try:
        service.run(told["conninfo"], options.from_document(told["options"]))
    except service.PortError as error:
        raise SystemExit(f"prepay_collector: {error}") from error


if __name__ == "__main__":
    main()
