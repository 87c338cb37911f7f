"""Commands that hand the terminal to another program."""

import os
import subprocess

from . import demo_database, odoo_run, paths, postgres, process, simulator
from .errors import LauncherError


def odoo(arguments: list[str]) -> int:
    """`./prepay odoo …`: the odoo script with the demo's configuration."""
    return _with_server(lambda config: odoo_run.command(config, *arguments), database=False)


def shell(arguments: list[str]) -> int:
    return _with_server(lambda config: odoo_run.command(config, "shell", "--no-http", *arguments))


def collect(arguments: list[str]) -> int:
    return _with_server(lambda config: odoo_run.command(config, "prepay_collector", *arguments))


def simulate(arguments: list[str]) -> int:
    """Simulated meters only; they need no database."""
    if "--config" not in arguments:
        if not simulator.available():
            raise LauncherError("no configuration of simulated meters", f"{simulator.SOURCE}")
        arguments = ["--config", str(simulator.SOURCE), *arguments]
    return foreground(odoo_run.command(None, "prepay_simulator", *arguments), dict(os.environ))


def fuzz(arguments: list[str]) -> int:
    """`./prepay fuzz [target] [--seconds N]`; needs no database."""
    script = paths.TESTS / "fuzz" / "run.py"
    return foreground([str(paths.PYTHON), str(script), *arguments], dict(os.environ))


def prove(arguments: list[str]) -> int:
    """`./prepay prove [--seed N] [--level commit|nightly]`; needs no database."""
    if "--mutate" in arguments:
        script = paths.ROOT / "tools" / "mutate.py"
        words = [word for word in arguments if word != "--mutate"]
        return foreground([str(paths.PYTHON), str(script), *words], dict(os.environ))
    return foreground([str(paths.PYTHON), "-m", "tests.prove", *arguments], dict(os.environ))


def _with_server(make, database: bool = True) -> int:
    with postgres.serving(postgres.DEMO) as server:
        if database:
            demo_database.ensure(server)
        return foreground(make(demo_database.config(server)), server.environment())


def foreground(command: list[str], env: dict[str, str]) -> int:
    """Run with this terminal; Ctrl-C goes to the program, we only wait for it."""
    child = subprocess.Popen(command, env=env, cwd=paths.ROOT, preexec_fn=process.die_with_parent)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.terminate()
