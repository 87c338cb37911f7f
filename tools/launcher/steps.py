"""Steps of the set-up: skipped when done, redone when interrupted or changed."""

import concurrent.futures
import contextlib
import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import paths
from .console import Progress, say
from .errors import LauncherError


@dataclass(frozen=True)
class Step:
    """One piece of the set-up.

    `key` is a hash of everything the result depends on. `present` is a cheap
    check that the result is still there.
    """

    name: str
    title: str
    key: str
    action: Callable[[], None]
    present: Callable[[], bool] = lambda: True
    after: tuple[str, ...] = ()

    @property
    def stamp(self) -> Path:
        return paths.STAMPS / self.name

    def done(self) -> bool:
        try:
            return self.stamp.read_text(encoding="ascii") == self.key and self.present()
        except OSError:
            return False


def digest(*parts: object) -> str:
    """Hash of texts and of the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else str(part).encode()
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()


def perform(step: Step, progress: Progress) -> None:
    """Run one step; its stamp is written only after it succeeded."""
    progress.start(step.title)
    try:
        step.stamp.unlink(missing_ok=True)
        step.action()
    except LauncherError as error:
        progress.finish(step.title, ok=False)
        raise LauncherError(f"{step.title}: {error.what}", error.advice, error.output) from error
    except BaseException:
        progress.finish(step.title, ok=False)
        raise
    step.stamp.parent.mkdir(parents=True, exist_ok=True)
    step.stamp.write_text(step.key, encoding="ascii")
    progress.finish(step.title)


def run_all(steps: Iterable[Step]) -> int:
    """Run the steps that are due, side by side where `after` allows it."""
    due = {step.name: step for step in steps if not step.done()}
    if not due:
        return 0
    finished: set[str] = set()
    count = len(due)
    failure: BaseException | None = None
    with Progress() as progress, concurrent.futures.ThreadPoolExecutor(4) as pool:
        running: dict[concurrent.futures.Future[None], str] = {}
        while due or running:
            if failure is None:
                for name in [n for n, s in due.items() if _ready(s, due, running, finished)]:
                    running[pool.submit(perform, due.pop(name), progress)] = name
            if not running:
                break
            ended, _ = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in ended:
                finished.add(running.pop(future))
                failure = failure or future.exception()
    if failure:
        raise failure
    return count


def _ready(step: Step, due: dict, running: dict, finished: set[str]) -> bool:
    waiting = set(due) | set(running.values())
    return not any(name in waiting - finished for name in step.after)


@contextlib.contextmanager
def exclusive(path: Path = paths.LOCK) -> Iterator[None]:
    """Only one launcher at a time changes `.local/`; the others wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another ./prepay is preparing this folder; waiting for it …")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
