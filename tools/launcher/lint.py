"""`./prepay lint` and `./prepay i18n`: all checks, each with its own output."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import manifests, odoo_run, odoo_source, paths, postgres, templates
from .console import elapsed, say
from .database import Store

EXPORTS = paths.LOCAL / "terms"
# Habits of another community, not of this one.
NOT_OURS = "missing-readme,manifest-superfluous-key"
EXPORT = """
from pathlib import Path
from odoo.tools.translate import trans_export
for name in {names!r}:
    with Path({folder!r}, name + ".pot").open("wb") as out:
        trans_export(None, [name], out, "po", env)
"""


def run(arguments: list[str]) -> int:
    """Run all checks, or those named; all are run even when one fails."""
    unknown = set(arguments) - set(CHECKS)
    if unknown:
        say(f"unknown check: {', '.join(sorted(unknown))}; there are: {', '.join(CHECKS)}")
        return 2
    results = {}
    for name in arguments or CHECKS:
        began = time.monotonic()
        say(f"== {name}")
        results[name] = CHECKS[name]()
        say(f"   {'failed' if results[name] else 'ok'} ({elapsed(time.monotonic() - began)})")
    failed = [name for name, code in results.items() if code]
    say("RESULT: " + ("failed: " + ", ".join(failed) if failed else "clean"))
    return 1 if failed else 0


def i18n(arguments: list[str]) -> int:
    """Export the terms of every addon and merge them into its zh_CN.po."""
    if arguments:
        say("i18n takes no arguments.")
        return 2
    with _installed() as store:
        _export(*store)
    return _module("terms", "merge", EXPORTS, odoo_source.package_addons())


def _call(*words: object, env: dict[str, str] | None = None) -> int:
    return subprocess.run(
        [str(word) for word in words],
        cwd=paths.ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode


def _module(name: str, *arguments: object, env: dict[str, str] | None = None) -> int:
    return _call(paths.PYTHON, "-m", f"tools.lint.{name}", *arguments, env=env)


def _program(name: str) -> Path:
    return paths.VENV / "bin" / name


def _ruff() -> int:
    code = _call(_program("ruff"), "check", "--quiet", ".")
    return _call(_program("ruff"), "format", "--check", "--quiet", ".") or code


def _pylint() -> int:
    folders = [paths.ADDONS / name for name in paths.addon_names()]
    flags = ["--disable=all", "--enable=odoolint", f"--disable={NOT_OURS}", "--score=n"]
    env = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    return _call(
        _program("pylint"), f"--rcfile={paths.ROOT / 'pyproject.toml'}", *flags, *folders, env=env
    )


def _layers() -> int:
    return _module("layers", paths.RUN / "layers")


def _manifests() -> int:
    return _module("manifests", odoo_source.package_addons())


def _access() -> int:
    with _installed() as (store, name):
        return _module("access", name, env=store.server.environment())


def _terms() -> int:
    with _installed() as (store, name):
        _export(store, name)
    return _module("terms", "check", EXPORTS, odoo_source.package_addons())


CHECKS: dict[str, Callable[[], int]] = {
    "ruff": _ruff,
    "pylint": _pylint,
    "layers": _layers,
    "manifests": _manifests,
    "access": _access,
    "terms": _terms,
}


@contextmanager
def _installed() -> Iterator[tuple[Store, str]]:
    """A clone of the template: who connects to a template stops others' clones."""
    with postgres.serving(postgres.TEST) as server:
        template = templates.ensure(server)
        name = f"prepay_run_{os.getpid()}_lint"
        template.store.clone(template.name, name)
        try:
            yield template.store, name
        finally:
            template.store.drop(name)


def _export(store: Store, name: str) -> None:
    """One start of Odoo for the terms of all addons."""
    shutil.rmtree(EXPORTS, ignore_errors=True)
    EXPORTS.mkdir(parents=True)
    config = odoo_run.write_config("lint", store.data_dir)
    script = EXPORT.format(names=manifests.installable(), folder=str(EXPORTS))
    odoo_run.run(store.server, config, "lint", "shell", "-d", name, "--no-http", text=script)
