"""Keeps one embedded PostgreSQL until nobody uses it any more.

Run by `postgres.py` as `python -m tools.launcher.postgres_keeper NAME PORT`.
Users hold a shared lock on a file; the kernel takes it from them when they
end, also by kill -9. When the keeper gets the exclusive lock it stops the
server. A crash of the keeper takes the server with it.
"""

import fcntl
import signal
import subprocess
import sys
import time

from . import process
from .postgres import DEMO, TEST, server_command

POLL_SECONDS = 0.3
STOP_SECONDS = 30


def main(name: str, port: int) -> int:
    cluster = next(cluster for cluster in (DEMO, TEST) if cluster.name == name)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    command = server_command(cluster, port)
    if command[0] == "setpriv":
        # Changing the user clears the death signal that the parent set.
        command.insert(1, "--pdeathsig=INT")
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=process.die_with_parent)
    try:
        with cluster.users.open("a") as users:
            while server.poll() is None:
                time.sleep(POLL_SECONDS)
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                stop(server)
            return server.returncode or 0
    finally:
        stop(server)


def stop(server: subprocess.Popen) -> None:
    """Fast shutdown: sessions are ended, data is safe."""
    if server.poll() is not None:
        return
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
