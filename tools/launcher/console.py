"""What the user sees: one line per step, and a sign of life while it runs."""

import sys
import threading
import time

BEAT_TTY = 0.5
BEAT_PLAIN = 15.0


def say(text: str = "") -> None:
    """Print a line at once: the output may be a pipe that someone watches."""
    print(text, flush=True)


def elapsed(seconds: float) -> str:
    """`7.3 s` or `2 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


class Progress:
    """Shows running steps, also several at once, without garbling the lines.

    On a terminal the last line is redrawn; elsewhere a line is printed every
    `BEAT_PLAIN` seconds, so that a log stays readable.
    """

    def __init__(self) -> None:
        self._running: dict[str, float] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._tty = sys.stdout.isatty()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Progress":
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        self._wipe()

    def start(self, title: str) -> None:
        with self._lock:
            self._running[title] = time.monotonic()
            if not self._tty:
                say(f"  …  {title}")

    def finish(self, title: str, ok: bool = True, note: str = "") -> None:
        with self._lock:
            began = self._running.pop(title, time.monotonic())
            self._wipe()
            mark = "ok " if ok else "FAILED"
            tail = f" – {note}" if note else ""
            say(f"  {mark} {title} ({elapsed(time.monotonic() - began)}){tail}")

    def note(self, text: str) -> None:
        with self._lock:
            self._wipe()
            say(text)

    def _wipe(self) -> None:
        if self._tty:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_TTY if self._tty else BEAT_PLAIN):
            with self._lock:
                now = time.monotonic()
                if not self._running:
                    continue
                parts = [f"{t} {elapsed(now - s)}" for t, s in self._running.items()]
                line = "  …  " + " · ".join(parts)
                if self._tty:
                    sys.stdout.write("\r\033[K" + line[:118])
                    sys.stdout.flush()
                else:
                    say(line)
