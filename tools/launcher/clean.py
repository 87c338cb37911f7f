"""`./prepay clean`: databases and logs; with --all also what was downloaded."""

import shutil

from . import paths, postgres
from .console import say
from .errors import LauncherError

# Everything else in .local/ came from the network and is kept.
DOWNLOADED = {"odoo", "venv", "apt", "stamps"}


def run(arguments: list[str]) -> int:
    if [word for word in arguments if word != "--all"]:
        say("usage: ./prepay clean [--all]")
        return 2
    for cluster in (postgres.DEMO, postgres.TEST):
        if postgres.running(cluster):
            raise LauncherError(
                f"the database server in {cluster.home} is in use",
                "Stop the running ./prepay demo or ./prepay test first.",
            )
    if not paths.LOCAL.exists():
        return 0
    for path in sorted(paths.LOCAL.iterdir()):
        if "--all" not in arguments and path.name in DOWNLOADED:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        say(f"removed {path}")
    return 0
