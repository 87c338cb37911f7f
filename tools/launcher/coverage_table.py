"""Coverage of both lanes together, as one short table."""

import json
import os
from collections import defaultdict
from pathlib import Path

from . import paths, process
from .console import say
from .errors import LauncherError

FIELDS = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def show(folder: Path) -> None:
    """Combine the data files and print one line per folder of an addon."""
    rcfile = f"--rcfile={paths.ROOT / 'pyproject.toml'}"
    report = folder.parent / "coverage.json"
    coverage = [paths.PYTHON, "-m", "coverage"]
    env = {**os.environ, "PREPAY_ROOT": str(paths.ROOT), "PREPAY_COVERAGE": str(folder)}
    try:
        process.run([*coverage, "combine", rcfile, "--quiet"], "coverage", env=env, cwd=paths.ROOT)
        process.run([*coverage, "json", rcfile, "-o", report], "coverage", env=env, cwd=paths.ROOT)
    except LauncherError as error:
        say(f"\nno coverage: {error.output or error.what}")
        return
    data = json.loads(report.read_text(encoding="utf-8"))
    rows: dict[str, list[int]] = defaultdict(lambda: [0] * len(FIELDS))
    for name, file in data["files"].items():
        for index, field in enumerate(FIELDS):
            value = file["summary"].get(field, 0)
            rows[_group(name)][index] += value
            rows["total"][index] += value
    width = max(map(len, rows))
    say(f"\n{'coverage':{width}}  statements  covered   branches  covered")
    for name in sorted(rows, key=lambda name: (name == "total", name)):
        lines, hit, branches, taken = rows[name]
        say(
            f"{name:{width}}  {lines:10}  {_percent(hit, lines)}  {branches:9}"
            f"  {_percent(taken, branches)}"
        )


def _group(name: str) -> str:
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(paths.ROOT):
        path = path.relative_to(paths.ROOT)
    parts = [part for part in path.parts if part != "addons"]
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:6.1f}%" if whole else "      –"
