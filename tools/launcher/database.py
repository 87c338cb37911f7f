"""Databases together with their filestores: clone, rename, move, drop."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import paths
from .errors import LauncherError
from .postgres import Server, binary


@dataclass(frozen=True)
class Store:
    """The databases of one server with the data folder that goes with them."""

    server: Server
    data_dir: Path

    def filestore(self, name: str) -> Path:
        return self.data_dir / "filestore" / name

    def names(self) -> list[str]:
        rows = self.server.sql("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1")
        return [row[0] for row in rows]

    def drop(self, name: str) -> None:
        self.server.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        shutil.rmtree(self.filestore(name), ignore_errors=True)

    def clone(self, source: str, target: str) -> None:
        """Copy a database nobody is connected to, with its files."""
        self.drop(target)
        self.server.sql(f'CREATE DATABASE "{target}" TEMPLATE "{source}" STRATEGY FILE_COPY')
        link_tree(self.filestore(source), self.filestore(target))

    def rename(self, source: str, target: str) -> None:
        """Give a finished database its name: the name is the mark of success."""
        shutil.rmtree(self.filestore(target), ignore_errors=True)
        if self.filestore(source).exists():
            self.filestore(source).rename(self.filestore(target))
        self.server.sql(f'ALTER DATABASE "{source}" RENAME TO "{target}"')

    def comment(self, name: str) -> str:
        query = (
            "SELECT coalesce(shobj_description(oid, 'pg_database'), '')"
            f" FROM pg_database WHERE datname = '{name}'"
        )
        rows = self.server.sql(query)
        return rows[0][0] if rows and rows[0] else ""

    def set_comment(self, name: str, text: str) -> None:
        quoted = text.replace("'", "''")
        self.server.sql(f"COMMENT ON DATABASE \"{name}\" IS '{quoted}'")


def link_tree(source: Path, target: Path) -> None:
    """Copy a filestore by hard links: its files are never changed in place."""
    shutil.rmtree(target, ignore_errors=True)
    if not source.exists():
        return
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except (OSError, shutil.Error):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


def transfer(origin: Store, source: str, goal: Store, target: str) -> None:
    """Copy a database to another server (same server: a plain clone)."""
    if origin.server == goal.server:
        goal.server.sql(f'CREATE DATABASE "{target}" TEMPLATE "{source}" STRATEGY FILE_COPY')
    else:
        goal.server.sql(f'CREATE DATABASE "{target}" TEMPLATE template0')
        _pipe(origin, source, goal, target)
    link_tree(origin.filestore(source), goal.filestore(target))


def _pipe(origin: Store, source: str, goal: Store, target: str) -> None:
    dump = paths.RUN / f"{target}.dump"
    shutil.rmtree(dump, ignore_errors=True)
    dump.parent.mkdir(parents=True, exist_ok=True)
    steps = (
        (origin, [binary("pg_dump"), "-Fd", "-j2", "--compress=0", "-f", dump, "-d", source]),
        (goal, [binary("pg_restore"), "-j2", "--no-owner", "--exit-on-error", "-d", target, dump]),
    )
    try:
        for store, words in steps:
            done = subprocess.run(
                [str(word) for word in words],
                env=store.server.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise LauncherError(
                    f"copying database {source} to {target} failed", "", done.stderr
                )
    finally:
        shutil.rmtree(dump, ignore_errors=True)
