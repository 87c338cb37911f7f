"""Odoo 19 from Debian's archive, unpacked beside the fonts its links point to."""

import os
import shutil
from pathlib import Path

from . import apt, paths, process
from .errors import LauncherError

PACKAGES = (
    "odoo-19",
    "fonts-glyphicons-halflings",
    "fonts-roboto-unhinted",
    "fonts-montserrat",
    "fonts-ocr-b",
    "libjs-jquery",
    "libjs-jquery-form",
    "libjs-underscore",
)
# Newer series have other file names than the links ask for.
SERIES = {"fonts-font-awesome": "4.7", "fonts-inconsolata": "001.010"}
# Addons that the product does not use: a missing font there stops nothing.
UNUSED = ("point_of_sale", "pos_", "l10n_ch")
# Named in a manifest but left out of Debian's package; without it every
# browser tour fails. Only the blur of video calls uses it.
STUB = "mail/static/lib/selfie_segmentation/selfie_segmentation.js"
STUB_TEXT = "// Left out by the distribution; only the blur of video calls uses it.\n"
DIST = "usr/lib/python3/dist-packages"
VERSION = "PREPAY_VERSION"


def external() -> Path | None:
    """An Odoo that is already there, named by PREPAY_ODOO."""
    value = os.environ.get("PREPAY_ODOO")
    return Path(value).expanduser().resolve() if value else None


def binary() -> Path:
    """The `odoo` script (not `python -m odoo`: that one has no websocket)."""
    other = external()
    if other is None:
        return paths.ODOO / "usr/bin/odoo"
    candidates = (
        [other]
        if other.is_file()
        else [other / "usr/bin/odoo", other / "odoo-bin", other / "bin/odoo"]
    )
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise LauncherError(
        f"no odoo script under PREPAY_ODOO={other}",
        "Name the folder that holds odoo-bin or usr/bin/odoo, or the script itself.",
    )


def python_path() -> Path:
    """The folder that holds the `odoo` package."""
    other = external()
    if other is None:
        return paths.ODOO / DIST
    base = other.parent if other.is_file() else other
    for candidate in (base, base / DIST, base.parent / "lib/python3/dist-packages"):
        if (candidate / "odoo" / "release.py").is_file():
            return candidate
    raise LauncherError(
        f"no odoo package under PREPAY_ODOO={other}",
        "Name the folder that holds the folder odoo/ with release.py.",
    )


def core_addons() -> list[Path]:
    """Addons folders of Odoo itself that are not inside its package.

    A source checkout has them beside the package. Debian's package has a
    folder there too, but half empty: it must not be used.
    """
    inside, beside = python_path() / "odoo" / "addons", python_path() / "addons"
    return [] if (inside / "account").is_dir() or not beside.is_dir() else [beside]


def package_addons() -> Path:
    """The folder of Odoo's own addons."""
    return next(iter(core_addons()), python_path() / "odoo" / "addons")


def version() -> str:
    """What the template databases depend on."""
    if external():
        release = python_path() / "odoo" / "release.py"
        return f"{release}:{release.stat().st_mtime_ns}"
    return (paths.ODOO / VERSION).read_text(encoding="utf-8").strip()


def fetch() -> None:
    """Download, unpack, complete and check; the folder appears when all is well."""
    process.log_path(apt.LOG).unlink(missing_ok=True)
    apt.prepare()
    pinned = [f"{name}={apt.version_of(name, series)}" for name, series in SERIES.items()]
    wanted = [*PACKAGES, *pinned]
    debs = apt.download(wanted)
    new = paths.ODOO.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for deb in debs:
        process.run(["dpkg", "-x", deb, new], apt.LOG)
    stub = new / DIST / "odoo/addons" / STUB
    if not stub.exists():
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(STUB_TEXT, encoding="utf-8")
    broken = broken_links(new)
    if broken:
        raise LauncherError(
            f"{len(broken)} files are missing that Odoo links to, first: {broken[0]}",
            "A font or JavaScript package of the mirror has moved its files;"
            " see the package list in tools/launcher/odoo_source.py.",
        )
    odoo_deb = next(deb for deb in debs if deb.name.startswith("odoo-19_"))
    (new / VERSION).write_text(odoo_deb.name + "\n", encoding="utf-8")
    shutil.rmtree(paths.ODOO, ignore_errors=True)
    new.rename(paths.ODOO)
    shutil.rmtree(paths.APT / "debs", ignore_errors=True)


def broken_links(folder: Path) -> list[Path]:
    """Symbolic links that lead nowhere (an icon would be missing on a page)."""
    found = []
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not path.exists():
                found.append(path.relative_to(folder))
    return [path for path in found if not str(path).startswith(_unused(folder))]


def _unused(folder: Path) -> tuple[str, ...]:
    addons = f"{DIST}/odoo/addons/" if (folder / DIST).is_dir() else ""
    return tuple(addons + name for name in UNUSED)
