"""Rules of the test run, for both lanes.

1. A test that cannot run has not passed: with CI set, a skip without a reason,
   or for want of a browser or a library, is a failure.
2. An unexpected error in the log of one of our addons fails the test; expected
   ones are muted with `odoo.tools.mute_logger`.
"""

import logging
import os
import re

import pytest

OWN = re.compile(r"odoo\.addons\.prepay_\w+")
WANTING = re.compile(
    r"chrom|browser|websocket|no module|could not import|not installed|not found"
    r"|--odoo-http|unavailable|missing",
    re.IGNORECASE,
)


def pytest_collection_modifyitems(config, items):
    """Odoo's web tests skip themselves when there is no HTTP server."""
    if config.getoption("--odoo-http", default=True):
        return
    try:
        from odoo.tests import HttpCase
    except ImportError:
        return
    for item in items:
        if isinstance(getattr(item, "cls", None), type) and issubclass(item.cls, HttpCase):
            raise pytest.UsageError(f"{item.nodeid} needs --odoo-http; use ./prepay test")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Rule 1."""
    outcome = yield
    report = outcome.get_result()
    if not os.environ.get("CI") or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = _reason(report)
    if not reason or WANTING.search(reason):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped ({reason or 'no reason given'})"


def _reason(report) -> str:
    longrepr = report.longrepr
    text = str(longrepr[2] if isinstance(longrepr, tuple) else longrepr or "")
    text = text.removeprefix("Skipped:").strip()
    # What pytest writes when no reason was given.
    return "" if text in ("Skipped", "unconditional skip") else text


@pytest.fixture(autouse=True)
def no_unexpected_errors(caplog):
    """Rule 2."""
    yield
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    bad = [r for r in records if r.levelno >= logging.ERROR and OWN.match(r.name)]
    if bad:
        lines = "\n".join(f"{record.name}: {record.getMessage()}" for record in bad)
        pytest.fail(f"unexpected errors in the log:\n{lines}", pytrace=False)
