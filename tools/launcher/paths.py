"""Where things are. Everything the launcher makes lives under `.local/`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"

ADDONS = ROOT / "addons"
TESTS = ROOT / "tests"
CONFIG = ROOT / "config"

APT = LOCAL / "apt"
ODOO = LOCAL / "odoo"
VENV = LOCAL / "venv"
PYTHON = VENV / "bin" / "python"
STAMPS = LOCAL / "stamps"
LOGS = LOCAL / "log"
RUN = LOCAL / "run"
LOCK = LOCAL / "lock"

REQUIREMENTS = ROOT / "requirements.txt"
# Includes the file above.
REQUIREMENTS_TEST = ROOT / "requirements-test.txt"


def addon_names() -> list[str]:
    """Our installable addons, found by their manifest."""
    return sorted(path.parent.name for path in ADDONS.glob("*/__manifest__.py"))
