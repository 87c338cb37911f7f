"""Template databases: made once, cloned for each run.

Stage one holds Odoo's own addons and changes rarely; stage two adds ours and
is keyed by the contents of `addons/` without tests. A database gets its final
name only when it is complete, so an interrupted build is simply redone.
"""

import hashlib
import inspect
import re
import time
from dataclasses import dataclass
from pathlib import Path

from . import manifests, odoo_run, odoo_source, paths, process, steps
from .console import Progress
from .database import Store
from .errors import LauncherError
from .postgres import Server

BASE = "prepay_base_"
ADDONS = "prepay_addons_"
KEEP = {BASE: 2, ADDONS: 40}
LOCK = paths.LOCAL / "templates.lock"
DATA = "data-test"
BAD_LINE = re.compile(r"\S+ \S+ \d+ (WARNING|ERROR|CRITICAL) ")
NOT_PART = {"tests", "__pycache__", "node_modules"}

COMPANY = """
company = env.ref("base.main_company")
currency = env.ref("base.CNY")
currency.active = True
company.write({"name": "示范工业园物业服务有限公司", "currency_id": currency.id})
company.partner_id.write({
    "country_id": env.ref("base.cn").id, "state_id": False, "zip": "518000",
    "city": "深圳", "street": "示范路 1 号", "street2": False,
    "phone": False, "email": "service@example.com", "website": False,
})
env.ref("base.user_admin").tz = "Asia/Shanghai"
env["res.lang"].search([("code", "=", "zh_CN")]).active = True
env.cr.commit()
"""
# The provider with which the demo and the tests pay. Never install it for real
# money: whoever finds its page can credit a wallet.
DEMO_ONLY = ("payment_demo",)
# Odoo's Chinese translation of that page translates the values of its options too.
DEMO_PROVIDER = """
UPDATE ir_ui_view SET arch_db = jsonb_set(arch_db, '{zh_CN}', to_jsonb(
    replace(replace(replace(replace(arch_db->>'zh_CN',
        'value="完成"', 'value="done"'), 'value="进行中"', 'value="pending"'),
        'value="取消"', 'value="cancel"'), 'value="错误"', 'value="error"')))
 WHERE key = 'payment_demo.payment_details' AND arch_db ? 'zh_CN'
"""
# Odoo loads an addon's demo data when all it depends on have theirs. This one
# carries no demo data and is needed by `account` only: it keeps that one's out.
DEMO = "UPDATE ir_module_module SET demo = {} WHERE state = 'installed'"
BARRIER = "onboarding"


@dataclass(frozen=True)
class Template:
    """The finished template; `findings` are bad lines of its build's log."""

    store: Store
    name: str
    findings: list[str]


def addons_hash() -> str:
    """Hash of everything in `addons/` that can change a database."""
    total = hashlib.sha256()
    for path in sorted(paths.ADDONS.rglob("*")):
        parts = path.relative_to(paths.ADDONS).parts
        if any(part in NOT_PART or part.startswith(".") for part in parts) or not path.is_file():
            continue
        if path.suffix in (".pyc", ".md"):
            continue
        total.update("/".join(parts).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def ensure(server: Server) -> Template:
    """The template for the present addons, built when it is not there."""
    store = Store(server, server.data_dir(DATA))
    with steps.exclusive(LOCK):
        # Changing how templates are made must make new ones.
        recipe = (COMPANY, DEMO, BARRIER, DEMO_PROVIDER, *DEMO_ONLY, inspect.getsource(_build_base))
        base_key = steps.digest(odoo_source.version(), manifests.foreign_dependencies(), *recipe)
        base = BASE + base_key[:12]
        key = steps.digest(base_key, addons_hash(), inspect.getsource(_build_addons))
        name = ADDONS + key[:12]
        have = store.names()
        log = f"template-{name.removeprefix(ADDONS)}"
        if name not in have:
            _drop_unfinished(store, have)
            with Progress() as progress:
                if base not in have:
                    _step(progress, "database with Odoo's addons", lambda: _build_base(store, base))
                title = "database with our addons"
                _step(progress, title, lambda: _build_addons(store, base, name, log))
        _touch(store, base, name)
        _drop_stale(store, keep=(base, name))
    return Template(store, name, findings(process.log_path(log)))


def _step(progress: Progress, title: str, action) -> None:
    progress.start(title)
    try:
        action()
    except BaseException:
        progress.finish(title, ok=False)
        raise
    progress.finish(title)


def _build_base(store: Store, name: str) -> None:
    work, log = name + "_new", "template-base"
    process.log_path(log).unlink(missing_ok=True)
    config = odoo_run.write_config("template", store.data_dir)
    wanted = manifests.foreign_dependencies()

    def odoo(*arguments: str, text: str = "") -> None:
        options = ("-d", work, "--no-http")
        shell = arguments[:1] == ("shell",)
        words = ("shell", *options) if shell else (*options, "--stop-after-init", *arguments)
        odoo_run.run(store.server, config, log, *words, text=text)

    odoo("-i", "base", "--with-demo", f"--load-language={odoo_run.LANGUAGES}")
    odoo("shell", text=COMPANY)
    if "account" in wanted:
        # Its demo data would give the company an American chart of accounts and
        # dollars; without it the chart follows the country, as for a customer.
        needed = manifests.read("account", odoo_source.package_addons())["depends"]
        odoo("-i", ",".join(needed))
        store.server.sql(DEMO.format(f"(name <> '{BARRIER}')"), work)
        odoo("-i", "account")
        chart = store.server.sql("SELECT chart_template FROM res_company WHERE id = 1", work)
        if chart != [["cn"]]:
            raise LauncherError(
                f"the main company got the chart of accounts {chart}, not cn",
                f"See {process.log_path(log)}.",
            )
        store.server.sql(DEMO.format("true"), work)
    odoo("-i", ",".join((*wanted, *DEMO_ONLY)))
    store.server.sql(DEMO_PROVIDER, work)
    store.rename(work, name)


def _build_addons(store: Store, base: str, name: str, log: str) -> None:
    work = name + "_new"
    process.log_path(log).unlink(missing_ok=True)
    store.clone(base, work)
    config = odoo_run.write_config("template", store.data_dir)
    wanted = ",".join(manifests.installable())
    options = ("-d", work, "--with-demo", "--no-http", "--stop-after-init")
    advice = f"The addons could not be installed; the whole log is {process.log_path(log)}."
    odoo_run.run(store.server, config, log, *options, "-i", wanted, advice=advice)
    left = store.server.sql(
        "SELECT name, state FROM ir_module_module WHERE state NOT IN"
        " ('installed', 'uninstalled', 'uninstallable')"
        f" OR (name = ANY('{{{wanted}}}') AND state <> 'installed')",
        work,
    )
    if left:
        raise LauncherError(
            "not installed: " + ", ".join(f"{module} ({state})" for module, state in left),
            f"See {process.log_path(log)}.",
            process.tail(process.log_path(log)),
        )
    store.rename(work, name)


def _text(log: Path) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def findings(log: Path) -> list[str]:
    """Warnings and errors while our addons were installed.

    All of them: a constraint that Odoo ignores, for example, is a warning that
    does not name the addon, and only our addons are loaded at this stage.
    """
    return [line for line in _text(log) if BAD_LINE.match(line)]


def _touch(store: Store, *names: str) -> None:
    """Remember the last use, to know which templates are stale."""
    for name in names:
        if name in store.names():
            store.set_comment(name, str(int(time.time())))


def _drop_unfinished(store: Store, have: list[str]) -> None:
    for name in have:
        if name.startswith((BASE, ADDONS)) and name.endswith("_new"):
            store.drop(name)


def _drop_stale(store: Store, keep: tuple[str, ...]) -> None:
    """Keep the few that were used last (switching branches stays quick)."""
    for prefix, count in KEEP.items():
        names = [name for name in store.names() if name.startswith(prefix)]
        names.sort(key=lambda name: (name in keep, store.comment(name)), reverse=True)
        for name in names[count:]:
            store.drop(name)
