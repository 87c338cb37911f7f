"""What the manifests of our addons say."""

import ast
from pathlib import Path

from . import paths
from .errors import LauncherError


def read(addon: str, folder: Path = paths.ADDONS) -> dict:
    path = folder / addon / "__manifest__.py"
    try:
        return ast.literal_eval(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise LauncherError(
            f"{path} is not a plain dictionary: {error}", "Correct the manifest."
        ) from error


def installable() -> list[str]:
    return [name for name in paths.addon_names() if read(name).get("installable", True)]


def foreign_dependencies() -> list[str]:
    """Addons of Odoo that ours depend on."""
    own = set(installable())
    return sorted({name for addon in own for name in read(addon).get("depends", ["base"])} - own)
