"""Free TCP ports on the loopback address."""

import socket

from .console import say
from .errors import LauncherError

TRIES = 50


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def any_free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_free(wanted: int, what: str, host: str = "127.0.0.1") -> int:
    """The wanted port, or the next free one, and then say so."""
    for port in range(wanted, wanted + TRIES):
        if is_free(port, host):
            if port != wanted:
                say(f"  Port {wanted} for {what} is in use; taking {port}.")
            return port
    raise LauncherError(
        f"ports {wanted} to {wanted + TRIES - 1} for {what} are all in use",
        "Stop what uses them (ss -ltnp shows it), or choose another with --port.",
    )
