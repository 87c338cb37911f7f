"""Reads the command line and calls one function per command."""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from . import clean, demo, lint, setup, shells, testing
from .console import say
from .errors import LauncherError


@dataclass(frozen=True)
class Command:
    """A command: what it does for the help, and whether it needs the set-up."""

    about: str
    run: Callable[[list[str]], int]
    needs_setup: bool = True


COMMANDS = {
    "demo": Command("run the product with simulated meters [--port N] [--reset]", demo.run),
    "test": Command(
        "run all tests, or those of the given paths and pytest options [--serial]", testing.run
    ),
    "lint": Command("check style, layers, manifests, access rights, translations", lint.run),
    "i18n": Command("export the terms and merge them into every zh_CN.po", lint.i18n),
    "setup": Command("fetch Odoo, Python and system packages [--production]", setup.run, False),
    "odoo": Command("run Odoo's command line on the demo's database", shells.odoo),
    "shell": Command("Odoo's Python shell on the demo's database", shells.shell),
    "collect": Command("run a collector on the demo's database", shells.collect),
    "simulate": Command("run simulated meters", shells.simulate),
    "bench": Command("measure (tests/bench), with the figures on the screen", testing.bench),
    "prove": Command(
        "simulate the engine in faults (tests/prove) [--seed N] [--level commit|nightly] [--mutate]",
        shells.prove,
    ),
    "fuzz": Command("fuzz the parsers (tests/fuzz) [target] [--seconds N]", shells.fuzz),
    "clean": Command("remove what the launcher made [--all: downloads too]", clean.run, False),
}


def main(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "help"
    command = COMMANDS.get(name)
    if command is None:
        print_help()
        return 0 if name in ("help", "-h", "--help") else 2
    # The same way out for a service manager's stop as for Ctrl-C, and also when
    # a shell has started us in the background with Ctrl-C ignored.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if command.needs_setup:
            setup.ensure()
        return command.run(arguments[1:])
    except LauncherError as error:
        say(error.report())
        return 1
    except KeyboardInterrupt:
        say("\nStopped.")
        return 130


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def print_help() -> None:
    say(f"usage: {sys.argv[0]} COMMAND [arguments]\n")
    width = max(map(len, COMMANDS))
    for name, command in COMMANDS.items():
        say(f"  {name:{width}}  {command.about}")
    say(
        "\nPREPAY_ODOO=/path uses an Odoo 19 that is already there;"
        "\nPGHOST, PGPORT, PGUSER, PGPASSWORD use a PostgreSQL server that is already there."
    )
