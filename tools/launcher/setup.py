"""`./prepay setup`: everything up to a usable virtual environment with Odoo 19."""

import time

from . import odoo_source, paths, steps, system_packages, venv
from .console import elapsed, say
from .steps import Step, digest


def run(arguments: list[str]) -> int:
    """`./prepay setup [--production]`."""
    if [word for word in arguments if word != "--production"]:
        say("usage: ./prepay setup [--production]")
        return 2
    if not ensure(production=bool(arguments)):
        say("Everything is set up.")
    return 0


def plan(production: bool = False) -> list[Step]:
    """The steps, with what each one's result depends on."""
    external = odoo_source.external()
    files = [paths.REQUIREMENTS] if production else [paths.REQUIREMENTS, paths.REQUIREMENTS_TEST]
    python_key = digest(venv.identity(), *files)
    plan = [
        Step(
            "system",
            "system packages",
            digest(*(need.package for need in system_packages.needs(production))),
            lambda: system_packages.install(production),
            lambda: not system_packages.missing(production),
        ),
        Step(
            "python",
            "Python packages",
            python_key,
            lambda: venv.fill(files[-1]),
            paths.PYTHON.exists,
            after=() if venv.has_ensurepip() else ("system",),
        ),
    ]
    if external is None:
        key = digest(odoo_source.PACKAGES, odoo_source.SERIES, odoo_source.STUB_TEXT)
        present = (paths.ODOO / odoo_source.VERSION).exists
        plan.append(Step("odoo", "Odoo 19", key, odoo_source.fetch, present))
    plan.append(
        Step(
            "link",
            "Odoo in the environment",
            digest(python_key, str(external), str(paths.ODOO)),
            venv.link_odoo,
            _linked,
            after=("python", "odoo"),
        )
    )
    return plan


def _linked() -> bool:
    return any(paths.VENV.glob("lib/python3*/site-packages/odoo19.pth"))


def ensure(production: bool = False) -> bool:
    """Do what is not done yet; silent, and False, when nothing is."""
    began = time.monotonic()
    with steps.exclusive():
        todo = [step for step in plan(production) if not step.done()]
        if not todo:
            return False
        say("Preparing .local/: " + ", ".join(step.title for step in todo))
        if any(step.name == "system" for step in todo):
            system_packages.authorize(production)
        steps.run_all(todo)
    say(f"Ready after {elapsed(time.monotonic() - began)}.")
    return True
