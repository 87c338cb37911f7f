"""Mutation testing of the engine with mutmut: `./prepay prove --mutate [MODULE …] [--show]`.

Each change of one operator, number or name in a module of `engine/` must make one of its tests fail.
The engine and its tests are copied into a folder of their own in which `odoo.addons.prepay_billing`
is an empty package: so the tests run without Odoo, in seconds. One process, one module at a time.
"""

import configparser
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".local" / "mutation"
ADDON = ROOT / "addons" / "prepay_billing"
PACKAGE = Path("odoo") / "addons" / "prepay_billing"
MODULES = ("rounding", "ledger", "supply", "rating")
LEAST = 85  # percent
# Properties draw at random: fixed, so that a mutant is killed or survives each time.
ARGUMENTS = ["-x", "-q", "-p", "no:odoo", "-p", "no:cacheprovider", "--hypothesis-seed=1"]


def main(arguments: list[str]) -> int:
    show = "--show" in arguments
    modules = [word for word in arguments if not word.startswith("-")] or list(MODULES)
    weak = []
    for module in modules:
        results = mutate(module)
        killed = results["killed"] + results["timeout"]
        share = 100 * killed // max(1, results.total())
        say(f"{module}: {killed} of {results.total()} killed, {share} %  {dict(results)}")
        if show:
            show_survivors()
        if share < LEAST:
            weak.append(module)
    say("RESULT: " + (f"below {LEAST} %: {', '.join(weak)}" if weak else f"all >= {LEAST} %"))
    return 1 if weak else 0


def mutate(module: str) -> Counter:
    """Run mutmut on one module; how many mutants came to which end."""
    prepare(module)
    environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(FOLDER / "hypothesis")}
    done = mutmut(environment, "run", "--max-children", "1", capture=True)
    results = Counter(
        line.rpartition(": ")[2].strip()
        for line in mutmut(environment, "results", "--all", "true", capture=True).splitlines()
        if ": " in line
    )
    if not results:
        sys.exit(f"mutmut made no mutants of {module}:\n{done[-4000:]}")
    return results


def prepare(module: str) -> None:
    """The folder: packages, engine, its tests, and the settings of mutmut."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    target = FOLDER / PACKAGE
    shutil.copytree(ADDON / "engine", target / "engine", ignore=shutil.ignore_patterns("__py*"))
    (target / "tests").mkdir()
    for folder in (FOLDER / "odoo", FOLDER / "odoo" / "addons", target, target / "tests"):
        (folder / "__init__.py").touch()
    tests = []
    for path in sorted((ADDON / "tests").glob("*engine*.py")):
        text = path.read_text(encoding="utf-8")
        # Those that open a database stay where they are.
        if not re.search(r"from odoo(\.tests|\.exceptions)? import|TransactionCase", text):
            shutil.copy(path, target / "tests")
            if path.name.startswith(f"test_engine_{module}") or (
                module == "rating" and path.name == "test_engine_usage.py"
            ):
                tests.append(str(PACKAGE / "tests" / path.name))
    settings = configparser.ConfigParser()
    settings["mutmut"] = {
        "source_paths": "odoo",
        "only_mutate": str(PACKAGE / "engine" / f"{module}.py"),
        "pytest_add_cli_args": "\n".join(["", *ARGUMENTS]),
        "pytest_add_cli_args_test_selection": "\n".join(["", *tests]),
    }
    # Found before the settings of the project's own tests.
    (FOLDER / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    with (FOLDER / "setup.cfg").open("w", encoding="utf-8") as file:
        settings.write(file)


def mutmut(environment: dict, *arguments: str, capture: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=FOLDER,
        env=environment,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout or ""


def show_survivors() -> None:
    """Each change that no test noticed."""
    environment = dict(os.environ)
    for line in mutmut(environment, "results", capture=True).splitlines():
        name = line.strip().partition(":")[0]
        if "__mutmut_" in name:
            changes = mutmut(environment, "show", name, capture=True).splitlines()
            say("\n".join([line.strip(), *(row for row in changes if row[:1] in "+-")]))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
