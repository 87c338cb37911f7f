"""Clones of the template database, for tests that start their own servers.

`./prepay test` sets the environment: PGHOST, PGPORT, PGUSER, PGPASSWORD reach
the server; PREPAY_TEMPLATE_DB is the template with all addons and demo data.
"""

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql


@dataclass(frozen=True)
class Database:
    """A clone, and what a server needs to run on it."""

    name: str
    data_dir: Path

    def connect(self, **options) -> psycopg.Connection:
        """A connection of its own; `autocommit=True` to see other commits."""
        return psycopg.connect(dbname=self.name, **options)

    def write_config(self, folder: Path, **options: object) -> Path:
        """An `odoo.conf` for this database; the connection is in the environment."""
        settings: dict[str, object] = {
            "addons_path": os.environ["PREPAY_ADDONS_PATH"],
            "data_dir": self.data_dir,
            "db_name": self.name,
            "dbfilter": f"^{self.name}$",
            "http_interface": "127.0.0.1",
            "list_db": False,
            "max_cron_threads": 0,
            "smtp_server": "127.0.0.1",
            "smtp_port": 9,
            **options,
        }
        path = folder / f"{self.name}.conf"
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        path.write_text("[options]\n" + "".join(lines), encoding="utf-8")
        return path

    def odoo(self, config: Path | None, *arguments: object) -> list[str]:
        """Command line of the odoo script; a subcommand comes first."""
        words = [str(argument) for argument in arguments]
        flags = ["-c", str(config)] if config else []
        if words and not words[0].startswith("-"):
            # Odoo looks for the commands of addons before it reads the configuration.
            flags = [f"--addons-path={os.environ['PREPAY_ADDONS_PATH']}", words.pop(0), *flags]
        return [os.environ["PREPAY_PYTHON"], os.environ["PREPAY_ODOO_BIN"], *flags, *words]


def clone_database(name: str = "") -> Database:
    """Clone the template; the name is made unique and tied to this run."""
    template = os.environ["PREPAY_TEMPLATE_DB"]
    unique = f"{os.environ['PREPAY_CLONE_PREFIX']}{name}_{uuid.uuid4().hex[:6]}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    _execute(statement.format(sql.Identifier(unique), sql.Identifier(template)))
    data_dir = Path(os.environ["PREPAY_TEST_DATA"]) / "clones" / unique
    files = Path(os.environ["PREPAY_TEMPLATE_FILESTORE"])
    if files.exists():
        # Filestore files are never changed in place: hard links are safe.
        shutil.copytree(files, data_dir / "filestore" / unique, copy_function=os.link)
    data_dir.mkdir(parents=True, exist_ok=True)
    return Database(unique, data_dir)


def drop(database: Database) -> None:
    """Drop the clone, whoever is still connected, and its files."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    _execute(statement.format(sql.Identifier(database.name)))
    shutil.rmtree(database.data_dir, ignore_errors=True)


def _execute(statement: sql.Composable) -> None:
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        connection.execute(statement)
