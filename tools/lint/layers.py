"""Who may import whom: import-linter's contracts of pyproject.toml.

Addons import each other as `odoo.addons.prepay_x`, which import-linter would
take for the foreign package `odoo`. It reads a copy in which these names are
plain `prepay_x`, line by line the same, without tests. Contracts that name
addons that do not exist yet are left out.
Usage: python -m tools.lint.layers WORK_FOLDER
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import tomlkit

from . import sources
from .findings import ADDONS, ROOT, Finding, addon_names, finish

FULL_NAME = re.compile(r"\bodoo\.addons\.(prepay_\w+)")
# `from odoo.addons import prepay_x`
FROM_ADDONS = re.compile(r"\bfrom odoo\.addons import (prepay_\w+)")
# Pure code: nothing but the standard library and itself.
PURE = {"prepay_billing": ["engine"]}


def main(work: Path) -> int:
    shutil.rmtree(work, ignore_errors=True)
    for addon in addon_names():
        copy(addon, work)
    found = check_pure()
    config = work / "importlinter.toml"
    config.write_text(tomlkit.dumps(settings(work)), encoding="utf-8")
    code = finish("pure code", found)
    lint = Path(sys.executable).with_name("lint-imports")
    command = [str(lint), "--config", str(config), "--no-logo", "--no-cache"]
    done = subprocess.run(
        command, cwd=work, env={**os.environ, "PYTHONPATH": str(work)}, check=False
    )
    return code or done.returncode


def copy(addon: str, work: Path) -> None:
    for path in sources.files(addon, ".py"):
        target = work / path.relative_to(ADDONS)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        text = FROM_ADDONS.sub(r"import \1", FULL_NAME.sub(r"\1", text))
        target.write_text(text, encoding="utf-8")
    # Folders of commands have no __init__.py, because Odoo loads them by path.
    for folder in {path.parent for path in (work / addon).rglob("*.py")}:
        (folder / "__init__.py").touch()


def settings(work: Path) -> dict:
    """The contracts, without modules that do not exist."""
    document = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()
    options = document["tool"]["importlinter"]
    options["root_packages"] = addon_names()
    contracts = []
    for contract in options.pop("contracts"):
        for key in ("source_modules", "layers"):
            if key in contract:
                contract[key] = [kept for item in contract[key] if (kept := _existing(item, work))]
        if "forbidden_modules" in contract:
            contract["forbidden_modules"] = [
                name
                for name in contract["forbidden_modules"]
                if not name.startswith("prepay_") or _existing(name, work)
            ]
        if contract.get("source_modules") or len(contract.get("layers", [])) > 1:
            contracts.append(contract)
    return {"tool": {"importlinter": {**options, "contracts": contracts}}}


def _existing(item: str, work: Path) -> str:
    """Keep those of `a | b` that exist."""
    names = [name.strip() for name in item.split("|")]
    kept = []
    for name in names:
        path = work.joinpath(*name.split("."))
        if path.is_dir() or path.with_suffix(".py").exists():
            kept.append(name)
    return " | ".join(kept)


def check_pure() -> list[Finding]:
    found = []
    for addon, folders in PURE.items():
        if not (ADDONS / addon).is_dir():
            continue
        for path in sources.files(addon, ".py"):
            if path.relative_to(ADDONS / addon).parts[0] not in folders:
                continue
            for name, line in sources.imports(path):
                if name.split(".")[0] not in sys.stdlib_module_names:
                    todo = "this code imports the standard library only; pass the data in"
                    found.append(Finding(str(path), line, f"imports {name}", todo))
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
