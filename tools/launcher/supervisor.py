"""Long-running children: started together, stopped together, never left behind."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import paths, process
from .errors import LauncherError

STOP_SECONDS = 15


@dataclass
class Service:
    """One child with its log."""

    name: str
    log: Path
    child: subprocess.Popen


class Supervisor:
    """Use as a context manager from the main thread: the kernel ends children
    with the thread that started them."""

    def __init__(self) -> None:
        self.services: list[Service] = []

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[object], env: Mapping[str, str]) -> Service:
        log = process.log_path(name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        with log.open("wb") as out:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=paths.ROOT,
                preexec_fn=process.die_with_parent,
            )
        service = Service(name, log, child)
        self.services.append(service)
        return service

    def check(self) -> None:
        """Raise when a child has ended: each one is needed."""
        for service in self.services:
            code = service.child.poll()
            if code is not None:
                raise LauncherError(
                    f"{service.name} ended with exit code {code}",
                    f"The whole log is in {service.log}.",
                    process.tail(service.log),
                )

    def stop(self) -> None:
        """Ask all to stop, the last started first, then make sure."""
        for service in reversed(self.services):
            if service.child.poll() is None:
                service.child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for service in reversed(self.services):
            try:
                service.child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                service.child.kill()
                service.child.wait()
        self.services.clear()
