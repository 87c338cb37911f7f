"""The virtual environment: pinned packages, and Odoo by a `.pth` file."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

from . import odoo_source, paths, process
from .errors import LauncherError

LOG = "setup-python"


@functools.cache
def has_ensurepip() -> bool:
    """Debian splits `ensurepip` off into python3-venv."""
    probe = subprocess.run(
        [base_python(), "-c", "import ensurepip, venv"], capture_output=True, check=False
    )
    return probe.returncode == 0


def base_python() -> str:
    return getattr(sys, "_base_executable", None) or sys.executable


def identity() -> str:
    """Scripts in an environment name its path: a moved one is made anew."""
    return f"{base_python()} {sys.version} {paths.VENV}\n"


def fill(requirements: Path) -> None:
    """Make the environment when needed, and bring its packages up to date.

    An existing one is kept: a changed requirement must not pull the ground
    from under a running server.
    """
    process.log_path(LOG).unlink(missing_ok=True)
    mark = paths.VENV / "made-for"
    if not mark.exists() or mark.read_text(encoding="utf-8") != identity():
        shutil.rmtree(paths.VENV, ignore_errors=True)
        process.run([base_python(), "-m", "venv", paths.VENV], LOG)
        mark.write_text(identity(), encoding="utf-8")
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    process.run(
        [paths.PYTHON, "-m", "pip", "install", *options, "--prefer-binary", "-r", requirements],
        LOG,
        advice="Check that pip on this machine reaches its package index (pip config list);"
        f" the whole output is in {paths.LOGS / (LOG + '.log')}.",
    )


def site_packages() -> str:
    return process.capture(
        [paths.PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    ).strip()


def link_odoo() -> None:
    """Let this environment find the `odoo` package."""
    target = odoo_source.python_path()
    link = Path(site_packages()) / "odoo19.pth"
    link.write_text(f"{target}\n", encoding="utf-8")
    try:
        found = process.capture(
            [paths.PYTHON, "-c", "import odoo.release; print(odoo.release.series)"]
        ).strip()
    except LauncherError as error:
        raise LauncherError(
            "Odoo cannot be imported", "See the lines above.", error.output
        ) from error
    if found != "19.0":
        raise LauncherError(
            f"this is Odoo {found}, not 19.0", "Point PREPAY_ODOO to an Odoo 19 or unset it."
        )
