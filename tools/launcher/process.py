"""Running other programs: logged, without stdin, and never left behind."""

import ctypes
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import paths
from .errors import LauncherError

TAIL_LINES = 25
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Run in the child: be terminated when the launcher dies, even by kill -9.

    The kernel ties this to the thread that started the child, so long-lived
    children must be started from the main thread.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def log_path(name: str) -> Path:
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    return paths.LOGS / f"{name}.log"


def run(
    command: Sequence[object],
    log: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    advice: str = "",
    text: str = "",
) -> None:
    """Run a command to its end, its output in `.local/log/<log>.log`.

    `text` is given on its standard input, which is empty otherwise.
    """
    path = log_path(log)
    words = [str(word) for word in command]
    with path.open("ab") as out:
        out.write(f"$ {shlex.join(words)}\n".encode())
        out.flush()
        try:
            code = subprocess.run(
                words,
                input=text.encode(),
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(env) if env is not None else None,
                preexec_fn=die_with_parent,
                check=False,
            ).returncode
        except FileNotFoundError as error:
            raise LauncherError(f"program not found: {words[0]}", advice) from error
    if code:
        raise LauncherError(
            f"exit code {code} of: {shlex.join(words)[:300]}",
            advice or f"The whole output is in {path}.",
            tail(path),
        )


def capture(command: Sequence[object], env: Mapping[str, str] | None = None) -> str:
    """Run a short command and return what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=dict(env) if env is not None else None,
        check=False,
    )
    if done.returncode:
        raise LauncherError(
            f"exit code {done.returncode} of: {shlex.join(words)[:300]}", "", done.stderr
        )
    return done.stdout


def is_root() -> bool:
    return os.geteuid() == 0
