"""Manifests: files exist and are listed, all that is used is declared.

Usage: python -m tools.lint.manifests ODOO_ADDONS_FOLDER
"""

import importlib.metadata
import re
import sys
from pathlib import Path

from . import sources
from .findings import ADDONS, ROOT, Finding, addon_names, finish

LICENSES = {"LGPL-3"}
# Names of packages in requirements.txt below this line are the product's own.
OWN_SECTION = "# --- what the product requires beyond Odoo ---"
# Copied into a staging database by name, never loaded as data.
NOT_DATA = {"static", "i18n", "tests", "migrations", "upgrades"}


def main(core: Path) -> int:
    found: list[Finding] = []
    closures = _closures(core)
    for addon in addon_names():
        manifest = sources.manifest(addon)
        found += check_keys(addon, manifest)
        found += check_files(addon, manifest)
        found += check_python(addon, manifest, closures)
        found += check_addons(addon, closures[addon], core)
    return finish("manifests", found)


def _path(addon: str, *parts: str) -> str:
    return str(ADDONS.joinpath(addon, *parts))


def check_keys(addon: str, manifest: dict) -> list[Finding]:
    found = []
    where = _path(addon, "__manifest__.py")
    if manifest.get("license") not in LICENSES:
        wrong = f"license is {manifest.get('license')!r}"
        found.append(Finding(where, 0, wrong, f"use one of {sorted(LICENSES)}"))
    if not str(manifest.get("version", "")).startswith("19.0."):
        found.append(Finding(where, 0, "version does not start with 19.0.", "use 19.0.x.y.z"))
    if not (ADDONS / addon / "data" / "neutralize.sql").exists():
        todo = "add it: a staging copy must not reach real devices or gateways"
        found.append(Finding(_path(addon, "data", "neutralize.sql"), 0, "missing", todo))
    return found


def check_files(addon: str, manifest: dict) -> list[Finding]:
    """Every listed file exists; every data file is listed."""
    where = _path(addon, "__manifest__.py")
    listed = [*manifest.get("data", []), *manifest.get("demo", [])]
    found = [
        Finding(where, 0, f"lists {name}, which does not exist", "add the file or remove the line")
        for name in listed
        if not (ADDONS / addon / name).is_file()
    ]
    twice = {name for name in listed if listed.count(name) > 1}
    found += [Finding(where, 0, f"lists {name} twice", "keep one") for name in twice]
    for path in sources.files(addon, ".xml", ".csv"):
        name = path.relative_to(ADDONS / addon)
        if name.parts[0] not in NOT_DATA and str(name) not in listed:
            todo = "list it under data or demo, or remove the file"
            found.append(Finding(str(path), 0, "is not in the manifest", todo))
    return found


def check_python(addon: str, manifest: dict, closures: dict) -> list[Finding]:
    """Packages beyond Odoo's own are in external_dependencies, and used."""
    product = _product_packages()
    owners = importlib.metadata.packages_distributions()
    declared = set()
    for name in closures[addon] & set(addon_names()):
        external = sources.manifest(name).get("external_dependencies", {})
        declared |= {_norm(re.split(r"[\[<>=!~ ]", item)[0]) for item in external.get("python", [])}
    found = []
    used = set()
    for path in sources.files(addon, ".py"):
        for dotted, line in sources.imports(path):
            top = dotted.split(".")[0]
            if top == "odoo" or top in sys.stdlib_module_names:
                continue
            names = {_norm(name) for name in owners.get(top, [top])} | {_norm(top)}
            used |= names
            wanted = names & product or (names if top not in owners else set())
            if wanted and not names & declared:
                todo = f"add {sorted(wanted)[0]!r} to external_dependencies of the manifest"
                found.append(Finding(str(path), line, f"imports {top}, undeclared", todo))
    external = manifest.get("external_dependencies", {})
    for item in external.get("python", []):
        if _norm(re.split(r"[\[<>=!~ ]", item)[0]) not in used:
            where = _path(addon, "__manifest__.py")
            todo = "remove it from external_dependencies"
            found.append(Finding(where, 0, f"declares {item!r}, which no file imports", todo))
    return found


def check_addons(addon: str, closure: set[str], core: Path) -> list[Finding]:
    """Addons that code, views and data name are in depends, also indirectly."""
    known = {path.parent.name for path in core.glob("*/__manifest__.py")} | set(addon_names())
    found = []
    for path in sources.files(addon, ".py"):
        for dotted, line in sources.imports(path):
            parts = dotted.split(".")
            if parts[:2] != ["odoo", "addons"] or len(parts) < 3:
                continue
            if parts[2] == addon and path.parent.name != "cli":
                todo = "import relatively: the checks of layers read it then"
                found.append(Finding(str(path), line, "imports itself by its full name", todo))
            found += _undeclared(parts[2], path, line, closure, known)
    for path in sources.files(addon, ".py", ".xml", ".csv", ".js"):
        for name, line in sources.module_references(path):
            found += _undeclared(name, path, line, closure, known)
    return found


def _undeclared(name: str, path: Path, line: int, closure: set, known: set) -> list[Finding]:
    if name not in known or name in closure:
        return []
    todo = f"add {name!r} to depends, or move this into an addon that depends on it"
    return [Finding(str(path), line, f"uses the addon {name}, which is not in depends", todo)]


def _closures(core: Path) -> dict[str, set[str]]:
    """Each addon with everything it depends on, directly or not."""
    direct: dict[str, list[str]] = {}

    def load(name: str) -> None:
        if name in direct:
            return
        folder = ADDONS if (ADDONS / name / "__manifest__.py").exists() else core
        if not (folder / name / "__manifest__.py").exists():
            direct[name] = []
            return
        direct[name] = sources.manifest(name, folder).get("depends", ["base"]) or ["base"]
        for dependency in direct[name]:
            load(dependency)

    for addon in addon_names():
        load(addon)
    result = {}
    for addon in addon_names():
        closure, queue = {addon, "base", "web"}, [addon]
        while queue:
            for dependency in direct.get(queue.pop(), []):
                if dependency not in closure or dependency in ("base", "web"):
                    fresh = dependency not in closure
                    closure.add(dependency)
                    if fresh:
                        queue.append(dependency)
        result[addon] = closure
    return result


def _product_packages() -> set[str]:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8").split(OWN_SECTION)[1]
    names = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==", text, re.MULTILINE)
    return {_norm(name) for name in names}


def _norm(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
