"""The MQTT broker on a loopback port."""

from pathlib import Path

from . import paths, process
from .errors import LauncherError
from .system_packages import which

PORT = 1883


def command(port: int) -> list[str]:
    """Write the broker's configuration and return its command line."""
    program = which("mosquitto")
    if program is None:
        raise LauncherError("mosquitto is not installed", "./prepay setup installs it.")
    return [program, "-c", str(_config(port))]


def _config(port: int) -> Path:
    data = paths.LOCAL / "mosquitto"
    data.mkdir(parents=True, exist_ok=True)
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {data}/",
        "log_dest stderr",
        # More than two batches of the collector, or it waits for its own acknowledgements.
        "max_inflight_messages 20000",
    ]
    if process.is_root():
        # It would become another user and then not reach its own folder.
        lines.append("user root")
    paths.RUN.mkdir(parents=True, exist_ok=True)
    path = paths.RUN / "mosquitto.conf"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
