"""System packages that pip cannot give: a browser, a broker, fonts, libraries."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import process, venv
from .errors import LauncherError

LOG = "setup-system"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Need:
    """A package, and how to see that what it gives is there already."""

    package: str
    present: Callable[[], bool]
    why: str


def which(*names: str) -> str | None:
    """Find a program, also where an ordinary user's PATH does not look."""
    path = os.environ.get("PATH", "") + ":" + SBIN
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def _library(name: str) -> Callable[[], bool]:
    def present() -> bool:
        try:
            ctypes.CDLL(name)
        except OSError:
            return False
        return True

    return present


def _cjk_font() -> bool:
    folders = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
    return any(next(folder.rglob("NotoSansCJK*"), None) for folder in folders if folder.is_dir())


NEEDS = (
    Need("python3-venv", venv.has_ensurepip, "virtual environment"),
    Need("fonts-noto-cjk", _cjk_font, "Chinese in documents and pictures"),
    Need("libpango-1.0-0", _library("libpango-1.0.so.0"), "documents (WeasyPrint)"),
    Need("libpangoft2-1.0-0", _library("libpangoft2-1.0.so.0"), "documents (WeasyPrint)"),
    Need("libharfbuzz-subset0", _library("libharfbuzz-subset.so.0"), "documents (WeasyPrint)"),
    Need("libmagic1", _library("libmagic.so.1"), "file types of attachments"),
)
# Only for the demo and the tests.
DEVELOPMENT = (
    Need("chromium", lambda: which(*BROWSERS) is not None, "browser tours"),
    Need("mosquitto", lambda: which("mosquitto") is not None, "MQTT broker"),
    Need("mbpoll", lambda: which("mbpoll") is not None, "independent Modbus client of the tests"),
    Need("poppler-utils", lambda: which("pdftotext") is not None, "tests of documents"),
)


def needs(production: bool = False) -> tuple[Need, ...]:
    return NEEDS if production else NEEDS + DEVELOPMENT


def missing(production: bool = False) -> list[str]:
    return [need.package for need in needs(production) if not need.present()]


def authorize(production: bool = False) -> None:
    """Ask for sudo's password now, before output of several steps is mixed."""
    names = missing(production)
    if not names or process.is_root():
        return
    command = "apt-get install " + " ".join(names)
    advice = f"Ask an administrator to run: {command}   – then start again."
    if not shutil.which("sudo"):
        raise LauncherError(
            "system packages are missing, and there is neither root nor sudo", advice
        )
    flag = [] if sys.stdin.isatty() else ["-n"]
    if subprocess.run(["sudo", *flag, "true"], check=False).returncode:
        raise LauncherError("system packages are missing, and sudo was refused", advice)


def install(production: bool = False) -> None:
    """Install only what is missing."""
    names = missing(production)
    if not names:
        return
    process.log_path(LOG).unlink(missing_ok=True)
    prefix = [] if process.is_root() else ["sudo", "-n"]
    apt = [
        *prefix,
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]
    advice = "Run it by hand to see more: apt-get update && apt-get install " + " ".join(names)
    process.run([*apt, "update"], LOG, advice=advice)
    process.run([*apt, "install", "-y", "--no-install-recommends", *names], LOG, advice=advice)
    left = missing(production)
    if left:
        raise LauncherError("installed, but still not usable: " + ", ".join(left), advice)
