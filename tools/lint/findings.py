"""How a check tells what it found: the file, what is wrong, what to do."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADDONS = ROOT / "addons"


@dataclass(frozen=True, order=True)
class Finding:
    """One thing to correct."""

    path: str
    line: int
    wrong: str
    todo: str


def addon_names() -> list[str]:
    return sorted(path.parent.name for path in ADDONS.glob("*/__manifest__.py"))


def finish(name: str, found: list[Finding]) -> int:
    """Print the findings; the exit code of the check."""
    for item in sorted(set(found)):
        place = os.path.relpath(item.path, ROOT) if item.path else "database"
        line = f":{item.line}" if item.line else ""
        print(f"{place}{line}: {item.wrong}\n    -> {item.todo}")
    print(f"{name}: {len(set(found))} findings" if found else f"{name}: clean")
    return 1 if found else 0
