"""Debian packages: a private apt directory for downloads, apt-get for the system.

The private directory leaves the system's sources alone and needs no root. The
archive's signature is checked as usual.
"""

import os
import shutil
from pathlib import Path

from . import apt_sources, paths, process
from .errors import LauncherError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# `sid` carries Odoo 19; `bookworm` carries the 4.7 series of Font Awesome.
SUITES = ("sid", "bookworm")
LOG = "setup-odoo"


def mirror() -> apt_sources.Source:
    """The Debian mirror of this machine, or of PREPAY_DEBIAN_MIRROR."""
    override = os.environ.get("PREPAY_DEBIAN_MIRROR")
    if override:
        return apt_sources.Source((override,), (), ("main",))
    release = apt_sources.os_release()
    codename = release.get("VERSION_CODENAME", "")
    source = apt_sources.distribution(apt_sources.read_all(), codename)
    if release.get("ID") != "debian" or source is None:
        raise LauncherError(
            "no Debian mirror found in this machine's apt sources",
            "Set PREPAY_DEBIAN_MIRROR to the address of a Debian mirror and install the"
            " package debian-archive-keyring, or set PREPAY_ODOO to an existing Odoo 19.",
        )
    return source


def prepare() -> None:
    """Write the private apt directory and fetch the package lists."""
    for name in ("lists/partial", "cache/archives/partial", "sources", "debs", "preferences"):
        (paths.APT / name).mkdir(parents=True, exist_ok=True)
    source = mirror()
    stanza = {
        "Types": "deb",
        "URIs": " ".join(source.uris),
        "Suites": " ".join(SUITES),
        "Components": "main",
    }
    if "trusted" in source.options:
        stanza["Trusted"] = source.options["trusted"]
    if "signed-by" in source.options:
        stanza["Signed-By"] = source.options["signed-by"]
    elif KEYRING.exists():
        stanza["Signed-By"] = str(KEYRING)
    text = "".join(f"{name}: {value}\n" for name, value in stanza.items())
    (paths.APT / "sources" / "odoo.sources").write_text(text, encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": paths.APT / "sources",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": paths.APT / "preferences",
        "Dir::State::Lists": paths.APT / "lists",
        "Dir::Cache": paths.APT / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        # Hooks of the system belong to the system's own lists.
        "#clear APT::Update::Post-Invoke": None,
        "#clear APT::Update::Post-Invoke-Success": None,
    }
    lines = [f"{k};" if v is None else f'{k} "{v}";' for k, v in settings.items()]
    (paths.APT / "apt.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    process.run(["apt-get", "update"], LOG, env=environment(), advice=_network_advice())


def environment() -> dict[str, str]:
    return {**os.environ, "APT_CONFIG": str(paths.APT / "apt.conf"), "LC_ALL": "C.UTF-8"}


def version_of(package: str, series: str) -> str:
    """The available version that belongs to a series, for example `4.7`."""
    for line in process.capture(["apt-cache", "madison", package], environment()).splitlines():
        version = line.split("|")[1].strip()
        if series in version:
            return version
    raise LauncherError(
        f"no version of {package} with {series} on this mirror",
        f"Check that the mirror carries the suites {', '.join(SUITES)}.",
    )


def download(packages: list[str]) -> list[Path]:
    """Download packages (`name` or `name=version`) into the private directory."""
    target = paths.APT / "debs"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    process.run(
        ["apt-get", "download", *packages],
        LOG,
        cwd=target,
        env=environment(),
        advice=_network_advice(),
    )
    files = sorted(target.glob("*.deb"))
    if len(files) != len(packages):
        raise LauncherError(f"{len(files)} of {len(packages)} packages arrived in {target}")
    return files


def _network_advice() -> str:
    return (
        "Check that this machine's apt mirror answers (apt-get update) and carries the suites"
        f" {', '.join(SUITES)}; PREPAY_DEBIAN_MIRROR names another mirror, PREPAY_ODOO an"
        " existing Odoo 19."
    )
