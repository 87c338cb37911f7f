"""`./prepay test`: two lanes, each on its own clone of the template database.

Lane `addons` runs `addons/*/tests` inside Odoo (pytest-odoo, with its HTTP
server and headless Chromium). Lane `system` runs `tests/`, which start their
own servers. Both run at once, unless `--serial` is given; the second one's
output is shown after the first one's.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from . import coverage_table, odoo_run, odoo_source, paths, postgres, process, templates
from .console import elapsed, say
from .database import Store
from .templates import Template

NO_TESTS = 5
KEEP_LOGS = 4
SERIAL = "--serial"
CLONE = "prepay_run_"
# Of this run only: several may go on in one folder.
COVERAGE = paths.LOCAL / "coverage" / str(os.getpid())
# `bench` and `prove` have commands of their own; tests/prove_commit runs a short `prove`.
NOT_HERE = ("bench", "prove", "support")


@dataclass
class Lane:
    """One pytest process."""

    name: str
    targets: list[str]
    options: list[str]
    env: dict[str, str]
    process: subprocess.Popen | None = None
    began: float = 0.0
    ended: float = 0.0
    log: Path = field(default_factory=Path)


def run(arguments: list[str]) -> int:
    """Run the lanes that the arguments ask for; 0 when all is well."""
    chosen = select(arguments)
    with postgres.serving(postgres.TEST) as server:
        template = templates.ensure(server)
        store = template.store
        drop_abandoned(store)
        database = f"{CLONE}{os.getpid()}"
        lanes = []
        try:
            if chosen["addons"] is not None:
                store.clone(template.name, database)
                lanes.append(addons_lane(store, database, chosen["addons"], chosen["options"]))
            if chosen["system"] is not None:
                lanes.append(system_lane(store, template, chosen["system"], chosen["options"]))
            measured = not chosen["narrow"]
            codes = run_lanes(lanes, measured, chosen["serial"])
        finally:
            store.drop(database)
            drop_abandoned(store)
    if measured:
        coverage_table.show(COVERAGE)
        shutil.rmtree(COVERAGE, ignore_errors=True)
    return verdict(lanes, codes, template, chosen["narrow"])


def select(arguments: list[str]) -> dict:
    """Which lanes: those the given paths belong to; all when there is no path."""
    found: dict[str, list[str]] = {"addons": [], "system": []}
    serial = SERIAL in arguments
    arguments = [word for word in arguments if word != SERIAL]
    options = []
    for word in arguments:
        path, separator, node = word.partition("::")
        full = Path(path).resolve()
        if word.startswith("-") or not full.exists():
            options.append(word)
        elif full.is_relative_to(paths.ADDONS):
            found["addons"].append(f"{full}{separator}{node}")
        elif full.is_relative_to(paths.TESTS):
            found["system"].append(f"{full}{separator}{node}")
        else:
            options.append(word)
    if found["addons"] or found["system"]:
        lanes = {name: targets or None for name, targets in found.items()}
    else:
        lanes = {"addons": everything_in_addons(), "system": [str(paths.TESTS)]}
    return {**lanes, "options": options, "narrow": bool(arguments), "serial": serial}


def everything_in_addons() -> list[str]:
    return [str(path) for path in sorted(paths.ADDONS.glob("*/tests")) if path.is_dir()]


def environment(store: Store) -> dict[str, str]:
    return {
        **store.server.environment(),
        "PREPAY_ROOT": str(paths.ROOT),
        "PREPAY_COVERAGE": str(COVERAGE),
        "PREPAY_PYTHON": str(paths.PYTHON),
        "PREPAY_ODOO_BIN": str(odoo_source.binary()),
        "PREPAY_ADDONS_PATH": ",".join(map(str, odoo_run.addons_path())),
        "PYTHONUNBUFFERED": "1",
    }


def addons_lane(store: Store, database: str, targets: list[str], options: list[str]) -> Lane:
    config = odoo_run.write_config("test", store.data_dir, log_level="error")
    extra = [f"--odoo-database={database}", f"--odoo-config={config}", "--odoo-http"]
    return Lane("addons", targets, [*extra, "--odoo-log-level=error", *options], environment(store))


def system_lane(store: Store, template: Template, targets: list[str], options: list[str]) -> Lane:
    extra = ["-p", "no:odoo", *(f"--ignore={paths.TESTS / name}" for name in NOT_HERE)]
    return Lane("system", targets, [*extra, *options], system_environment(store, template))


def system_environment(store: Store, template: Template) -> dict[str, str]:
    """What `tests/support/database.py` needs."""
    return {
        **environment(store),
        "PREPAY_TEMPLATE_DB": template.name,
        "PREPAY_TEMPLATE_FILESTORE": str(store.filestore(template.name)),
        "PREPAY_CLONE_PREFIX": f"{CLONE}{os.getpid()}_",
        "PREPAY_TEST_DATA": str(store.data_dir),
    }


def run_lanes(lanes: list[Lane], measured: bool, serial: bool = False) -> list[int]:
    if measured:
        COVERAGE.mkdir(parents=True, exist_ok=True)
    try:
        for lane in [] if serial else lanes:
            start(lane, measured)
        for lane in lanes:
            if serial:
                start(lane, measured)
            say(f"\n===== lane {lane.name} " + "=" * 50)
            follow(lane, lanes)
    finally:
        for lane in lanes:
            if lane.process and lane.process.poll() is None:
                lane.process.terminate()
                lane.process.wait()
    return [lane.process.returncode for lane in lanes if lane.process]


def start(lane: Lane, measured: bool) -> None:
    lane.began = time.monotonic()
    lane.log = own_log(f"test-{lane.name}")
    words = [str(paths.PYTHON)]
    if measured:
        words += ["-m", "coverage", "run", f"--rcfile={paths.ROOT / 'pyproject.toml'}"]
    words += ["-m", "pytest", "-c", str(paths.ROOT / "pyproject.toml"), f"--rootdir={paths.ROOT}"]
    color = ["--color=yes"] if sys.stdout.isatty() else []
    with lane.log.open("wb") as out:
        lane.process = subprocess.Popen(
            [*words, *color, *lane.options, *lane.targets],
            cwd=paths.ROOT,
            env=lane.env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=process.die_with_parent,
        )
    say(f"lane {lane.name}: started, output in {lane.log}")


def own_log(name: str) -> Path:
    """A log of this run, reachable under a name that does not change."""
    latest = process.log_path(name)
    for old in sorted(latest.parent.glob(f"{name}-*.log"), key=_age)[:-KEEP_LOGS]:
        old.unlink(missing_ok=True)
    log = process.log_path(f"{name}-{os.getpid()}")
    latest.unlink(missing_ok=True)
    latest.symlink_to(log.name)
    return log


def _age(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def follow(lane: Lane, lanes: list[Lane]) -> None:
    """Show a lane's output, live while it runs; note when any lane ends."""
    with lane.log.open("rb") as source:
        while not lane.ended:
            for other in lanes:
                if not other.ended and other.process and other.process.poll() is not None:
                    other.ended = time.monotonic()
            if not _copy(source):
                time.sleep(0.2)
        _copy(source)


def _copy(source: BinaryIO) -> bool:
    data = source.read()
    if data:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    return bool(data)


def verdict(lanes: list[Lane], codes: list[int], template: Template, narrow: bool) -> int:
    """Say what failed; a lane without any test is a failure, not a success."""
    failed = []
    for lane, code in zip(lanes, codes):
        if code == NO_TESTS and narrow and 0 in codes:
            continue
        if code == NO_TESTS:
            failed.append(f"lane {lane.name}: no tests were collected")
        elif code:
            failed.append(f"lane {lane.name}: pytest ended with {code}")
    if template.findings:
        say("\nThe log of the installation has errors or warnings of our addons:")
        for line in template.findings[:30]:
            say("    | " + line[:300])
        failed.append("installation log is not clean")
    say()
    for lane in lanes:
        say(f"lane {lane.name}: {elapsed(lane.ended - lane.began)}")
    say("RESULT: " + ("; ".join(failed) if failed else "all passed"))
    return 1 if failed else 0


def drop_abandoned(store: Store) -> None:
    """Drop clones of runs that are gone (killed) or that just ended."""
    for name in store.names():
        if name.startswith(CLONE):
            pid = name.removeprefix(CLONE).split("_")[0]
            if pid == str(os.getpid()) or not Path(f"/proc/{pid}").exists():
                store.drop(name)
                shutil.rmtree(store.data_dir / "clones" / name, ignore_errors=True)


def bench(arguments: list[str]) -> int:
    """`./prepay bench`: measurements, with their figures on the screen."""
    folder = paths.TESTS / "bench"
    with postgres.serving(postgres.TEST) as server:
        template = templates.ensure(server)
        lane = system_lane(template.store, template, [str(folder)], ["-s", *arguments])
        lane.options.remove(f"--ignore={folder}")
        try:
            return run_lanes([lane], measured=False)[0]
        finally:
            drop_abandoned(template.store)
