"""Reads the machine's apt sources, so that we use the mirror it is set up for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ETC = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")
ROLLING = {"sid", "unstable", "testing", "stable"}


@dataclass(frozen=True)
class Source:
    """One entry, whatever the format it was written in."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict, compare=False)


def os_release() -> dict[str, str]:
    pairs = {}
    for line in OS_RELEASE.read_text(encoding="utf-8").splitlines():
        name, found, value = line.partition("=")
        if found:
            pairs[name] = value.strip().strip('"')
    return pairs


def read_all(etc: Path = ETC) -> list[Source]:
    """All enabled binary sources, deb822 and one-line."""
    found: list[Source] = []
    main = etc / "sources.list"
    files = [main] if main.exists() else []
    files += sorted((etc / "sources.list.d").glob("*"))
    for path in files:
        if path.suffix == ".sources":
            found += deb822(path.read_text(encoding="utf-8"))
        elif path.suffix == ".list":
            found += one_line(path.read_text(encoding="utf-8"))
    return found


def deb822(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n\s*\n", "\n".join(_no_comments(text))):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[name] = fields.get(name, "") + "\n" + line
            else:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        if "deb" not in fields.get("types", "").split():
            continue
        options = {key: fields[key] for key in ("signed-by", "trusted") if key in fields}
        yield Source(
            tuple(fields.get("uris", "").split()),
            tuple(fields.get("suites", "").split()),
            tuple(fields.get("components", "").split()),
            options,
        )


def one_line(text: str) -> Iterator[Source]:
    pattern = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>.+)$")
    for line in _no_comments(text):
        match = pattern.match(line.split(" #")[0].strip())
        if not match:
            continue
        options = dict(
            pair.split("=", 1) for pair in (match["options"] or "").split() if "=" in pair
        )
        uri, suite, *components = match["rest"].split()
        kept = {k.lower(): v for k, v in options.items() if k.lower() in ("signed-by", "trusted")}
        yield Source((uri,), (suite,), tuple(components), kept)


def distribution(sources: list[Source], codename: str) -> Source | None:
    """The entry of the distribution itself (not security, not third parties)."""
    for source in sources:
        if "main" in source.components and (set(source.suites) & ({codename} | ROLLING)):
            return source
    return None


def _no_comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]
