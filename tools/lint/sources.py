"""What the files of an addon refer to: Python imports and external ids."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .findings import ADDONS

NOT_SHIPPED = {"tests", "__pycache__", "node_modules"}
DIRECT = re.compile(
    r"\b(?:ref|inherit_id|parent|action|groups|t-call|t-inherit)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')"
)
CALLS = re.compile(r"\bref\(\s*[\"']([^\"']+)[\"']|%\(([\w.]+)\)d|has_group\(\s*[\"']([^\"']+)")
EXTERNAL_ID = re.compile(r"^!?([a-z_][a-z0-9_]*)\.[\w.\-]+$")
SCRIPT_IMPORT = re.compile(r"from\s+[\"']@(\w+)/")


def manifest(addon: str, folder: Path = ADDONS) -> dict:
    return ast.literal_eval((folder / addon / "__manifest__.py").read_text(encoding="utf-8"))


def files(addon: str, *suffixes: str, tests: bool = False) -> Iterator[Path]:
    for path in sorted((ADDONS / addon).rglob("*")):
        parts = path.relative_to(ADDONS / addon).parts
        hidden = any(part.startswith(".") for part in parts)
        excluded = not tests and any(part in NOT_SHIPPED for part in parts)
        if path.suffix in suffixes and path.is_file() and not hidden and not excluded:
            yield path


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Absolute imports of a file: dotted name and line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module in ("odoo.addons", "odoo"):
                for alias in node.names:
                    yield f"{node.module}.{alias.name}", node.lineno
            else:
                yield node.module, node.lineno


def module_references(path: Path) -> Iterator[tuple[str, int]]:
    """Technical names that stand before the dot of external ids, with lines."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for text in _texts(path, line):
            for piece in re.split(r"[,\s]+", text):
                match = EXTERNAL_ID.match(piece)
                if match:
                    yield match[1], number
        if path.suffix == ".js":
            for match in SCRIPT_IMPORT.finditer(line):
                yield match[1], number


def _texts(path: Path, line: str) -> Iterator[str]:
    if path.suffix == ".csv":
        yield from line.replace('"', "").split(",")
        return
    if path.suffix == ".xml":
        for match in DIRECT.finditer(line):
            yield match[1] or match[2] or ""
    for match in CALLS.finditer(line):
        yield match[1] or match[2] or match[3]
