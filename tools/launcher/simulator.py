"""Simulated gateways and meters: where they listen."""

import json
from pathlib import Path

from . import demo_database, odoo_run, paths, ports
from .console import say
from .postgres import Server

SOURCE = paths.ADDONS / "prepay_meter" / "demo" / "simulator.json"


def available() -> bool:
    return SOURCE.exists()


def command(config: Path, control_port: int) -> list[str]:
    state = demo_database.STATE / "simulator-state.json"
    return odoo_run.command(
        None,
        "prepay_simulator",
        "--config",
        config,
        "--control-port",
        control_port,
        "--state",
        state,
    )


def configure(server: Server, listening: dict[str, int]) -> Path:
    """Our copy of the configuration; busy ports are changed, also in the database.

    `listening`: ports of the collector and the broker, by kind of the gateways that dial there.
    """
    demo_database.STATE.mkdir(parents=True, exist_ok=True)
    target = demo_database.STATE / "simulator.json"
    data = json.loads(SOURCE.read_text(encoding="utf-8"))
    moved = _moved_before(target)
    for gateway in data["gateways"]:
        if "connect" in gateway:
            gateway["connect"] = f"127.0.0.1:{listening[gateway['kind']]}"
            continue
        name, planned = gateway["name"], gateway["port"]
        present = moved.get(name, planned)
        port = present if ports.is_free(present) else ports.any_free()
        if port != present:
            say(f"  Port {present} of the simulated gateway {name} is in use; taking {port}.")
            server.sql(
                f"UPDATE prepay_gateway SET port = {port} WHERE port IN ({present}, {planned})"
                " AND host IN ('127.0.0.1', 'localhost')",
                demo_database.NAME,
            )
        gateway["port"] = port
    target.write_text(json.dumps(data, indent=2), encoding="utf-8")
    return target


def _moved_before(target: Path) -> dict[str, int]:
    """Ports of the last run, when they are still those of the database."""
    if not target.exists() or target.stat().st_mtime < SOURCE.stat().st_mtime:
        return {}
    data = json.loads(target.read_text(encoding="utf-8"))
    return {item["name"]: item["port"] for item in data["gateways"] if "port" in item}
