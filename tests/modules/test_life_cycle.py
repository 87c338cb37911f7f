"""Every addon updates and uninstalls cleanly, with demo data in it."""

import subprocess
from pathlib import Path

import pytest

from tests.support.database import clone_database, drop

ADDONS = sorted(path.parent.name for path in Path("addons").glob("prepay_*/__manifest__.py"))


@pytest.fixture
def database(tmp_path):
    clone = clone_database("modules")
    try:
        yield clone, clone.write_config(tmp_path)
    finally:
        drop(clone)


def odoo(database, config, *arguments) -> str:
    done = subprocess.run(
        database.odoo(config, *arguments), capture_output=True, text=True, timeout=280, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    bad = [line for line in output.splitlines() if " ERROR " in line or " CRITICAL " in line]
    assert not bad, "\n".join(bad)
    return output


def test_update(database):
    """`-u` of all addons, twice the same: no error, no lost rows."""
    clone, config = database
    count = "SELECT (SELECT count(*) FROM prepay_ledger_entry), (SELECT count(*) FROM prepay_meter)"
    with clone.connect(autocommit=True) as connection:
        before = connection.execute(count).fetchone()
    odoo(clone, config, "-u", ",".join(ADDONS), "--stop-after-init", "--no-http")
    with clone.connect(autocommit=True) as connection:
        assert connection.execute(count).fetchone() == before


def test_uninstall(database):
    """Uninstalling the base of the suite takes everything along and leaves nothing behind."""
    clone, config = database
    options = ("-c", config, "-d", clone.name)
    odoo(clone, None, "module", "uninstall", *options, "prepay_meter")
    with clone.connect(autocommit=True) as connection:
        relations = connection.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'prepay\\_%' AND relkind IN ('r', 'p', 'v')"
        ).fetchall()
        assert relations == []
        functions = connection.execute(
            "SELECT proname FROM pg_proc WHERE proname LIKE 'prepay\\_%'"
        ).fetchall()
        assert functions == []
        installed = connection.execute(
            "SELECT name FROM ir_module_module WHERE name LIKE 'prepay\\_%' AND state <> 'uninstalled'"
        ).fetchall()
        assert installed == []
        jobs = connection.execute(
            "SELECT count(*) FROM ir_cron WHERE cron_name LIKE 'Prepaid:%'"
        ).fetchone()
        assert jobs == (0,)
    # Odoo itself goes on.
    odoo(clone, config, "-u", "account", "--stop-after-init", "--no-http")
