"""What a collector is told when it starts: ports, folder, broker."""

from __future__ import annotations

import fcntl
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

Address = tuple[str, int]
#: Collectors of one database on one machine that need no names of their own.
MAX_UNNAMED = 16


class OptionError(ValueError):
    """An option that cannot be used; the text says which and what would be right."""


@dataclass(frozen=True, slots=True)
class Broker:
    """The MQTT broker. ``ca``: file with the authorities that may sign its certificate."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    tls: bool = False
    ca: str = ""

    @property
    def at(self) -> Address:
        return self.host, self.port


@dataclass(frozen=True, slots=True)
class Options:
    """Where a collector listens and keeps files. Addresses are (host, port) or None for off."""

    spool: Path | None = None
    spool_limit: int = 1 << 30
    health: Address | None = None
    dtu: Address | None = None
    acrel_4g: Address | None = None
    #: Seconds in which a device that dials in must say who it is.
    registration_seconds: float = 10.0
    #: Keep the channel of a 4G meter open after a time-out.
    keep_channel: bool = False
    mqtt: Broker | None = None
    #: Name of this collector, its own and the same after a restart: the broker knows it by it.
    name: str = ""


def to_document(options: Options) -> dict:
    """Options as plain data, for a new process."""
    return {**asdict(options), "spool": str(options.spool) if options.spool else None}


def from_document(document: dict) -> Options:
    """Options from what `to_document` gave."""
    broker = document["mqtt"]
    addresses = {
        key: tuple(document[key]) if document[key] else None
        for key in ("health", "dtu", "acrel_4g")
    }
    spool = Path(document["spool"]) if document["spool"] else None
    mqtt = Broker(**broker) if broker else None
    return Options(**{**document, **addresses, "spool": spool, "mqtt": mqtt})


def address(text: str, option: str) -> Address:
    """Host and port of “host:port”, “[::1]:port” or “:port” (all addresses of the machine).

    :raises OptionError: it is none
    """
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    # Port 0 is any free one, for tests.
    if not colon or not port.isdecimal() or int(port) > 65535 or set(host) & set(" /@"):
        raise OptionError(f"{option}: “{text}” is not HOST:PORT, such as 0.0.0.0:10001")
    return host, int(port)


def password(file: str, environment: dict[str, str] | os._Environ = os.environ) -> str:
    """The broker's password, from the environment or a file, never from the command line.

    :raises OptionError: the file cannot be read
    """
    if not file:
        return environment.get("PREPAY_MQTT_PASSWORD", "")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"mqtt-password-file: {error}") from error


def claim(folder: Path, name: str) -> tuple[Path, str, IO]:
    """A folder that no other collector uses, and the name that goes with it.

    A second one without a name gets a folder and a name with a number, the same at each start.

    :return: folder, name, and the lock: keep it open
    :raises OptionError: the folder cannot be written, or is in use
    """
    for number in range(1, MAX_UNNAMED + 1):
        chosen = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            chosen.mkdir(parents=True, exist_ok=True)
            lock = (chosen / "lock").open("w")
        except OSError as error:
            raise OptionError(f"spool: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return chosen, name if number == 1 else f"{name}-{number}", lock
    raise OptionError(f"spool: {folder} is used by other collectors; give this one its own --name")
