"""The demo's database: made from the template, kept between runs."""

import shutil
from pathlib import Path

from . import manifests, odoo_run, paths, postgres, steps, templates
from .console import Progress, say
from .database import Store, transfer
from .errors import LauncherError
from .postgres import Server

NAME = "prepay_demo"
DATA = "data"
# What the simulated meters remember belongs to the database's readings.
STATE = paths.LOCAL / "demo"


def config(server: Server, **options: object) -> Path:
    return odoo_run.write_config(
        "demo", server.data_dir(DATA), db_name=NAME, dbfilter=f"^{NAME}$", **options
    )


def ensure(server: Server, reset: bool = False) -> None:
    """Make it when missing, update it when the addons have changed."""
    store = Store(server, server.data_dir(DATA))
    with steps.exclusive(paths.LOCAL / "demo-database.lock"):
        if reset:
            store.drop(NAME)
        names = store.names()
        key = templates.addons_hash()
        if NAME not in names:
            shutil.rmtree(STATE, ignore_errors=True)
            _create(store)
        elif store.comment(NAME) != key:
            _update(store)
        else:
            return
        store.set_comment(NAME, key)


def _create(goal: Store) -> None:
    work = NAME + "_new"
    goal.drop(work)
    with postgres.serving(postgres.TEST) as server:
        template = templates.ensure(server)
        with Progress() as progress:
            title = "demo database"
            progress.start(title)
            try:
                transfer(template.store, template.name, goal, work)
                goal.rename(work, NAME)
            except BaseException:
                progress.finish(title, ok=False)
                raise
            progress.finish(title)


def _update(store: Store) -> None:
    say("The addons have changed since the demo database was made; updating it.")
    rows = store.server.sql("SELECT name FROM ir_module_module WHERE state = 'installed'", NAME)
    installed = {row[0] for row in rows}
    ours = manifests.installable()
    old = [name for name in ours if name in installed]
    new = [name for name in ours if name not in installed]
    arguments = ["-u", ",".join(old)] if old else []
    arguments += ["-i", ",".join(new)] if new else []
    with Progress() as progress:
        title = "update of the demo database"
        progress.start(title)
        try:
            odoo_run.run(
                store.server,
                config(store.server),
                "demo-update",
                *arguments,
                "--no-http",
                "--stop-after-init",
                advice="./prepay demo --reset makes the demo database anew (its data is lost).",
            )
        except LauncherError:
            progress.finish(title, ok=False)
            raise
        progress.finish(title)
