"""Wallets under load: many top-ups at once, debits that must not overdraw, a settlement beside, the audit.

Requests wait for one of some workers, as they do in front of a server; the time of each runs from its arrival.
"""

import json
import os
import subprocess
import textwrap

import pytest

from tests.bench.harness import Table
from tests.support.database import clone_database, drop

ACCOUNTS = 100_000
#: Entries of the audit.
ENTRIES = int(os.environ.get("PREPAY_BENCH_ENTRIES", "5000000"))
TOGETHER = 100
TOGETHER_P99_S = 1.0
DURING = 0.45
DURING_P99_MS = 100
AUDIT_S = 5.0

#: What the measurements share: requests in threads with Odoo's retries, and what they took.
HEAD = '''
import threading, time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from odoo import api
from odoo.exceptions import UserError
from odoo.service.model import retrying
from odoo.sql_db import db_connect

def request(call, arrival):
    """Seconds of a request from its arrival, and what came of it."""
    with db_connect(env.cr.dbname).cursor() as cr:
        environment = api.Environment(cr, api.SUPERUSER_ID, {})
        try:
            outcome = retrying(lambda: call(environment), environment)
        except UserError:
            outcome = "refused"
        except Exception as error:
            outcome = repr(error)
    return time.perf_counter() - arrival, outcome

def together(calls, workers):
    """All requests arrive at once."""
    with ThreadPoolExecutor(workers) as pool:
        # Connections are open before, as those of a server.
        list(pool.map(lambda _n: request(lambda e: time.sleep(0.05), 0), range(workers)))
        arrival = time.perf_counter()
        done = list(pool.map(lambda call: request(call, arrival), calls))
    return sorted(spent for spent, _outcome in done), [outcome for _spent, outcome in done]

def p99(times):
    return times[min(len(times) - 1, int(len(times) * 0.99))]

def topup(account_id, key, amount="1.00"):
    def call(environment):
        environment["prepay.ledger.entry"]._post([{
            "account": environment["prepay.account"].browse(account_id), "kind": "topup",
            "amount": Decimal(amount), "key": key, "reason": "bench",
        }])
        return "done"
    return call
'''


class Site:
    """A database with many accounts, and an Odoo shell on it."""

    def __init__(self, folder) -> None:
        self.database = clone_database("wallet")
        self.config = self.database.write_config(folder, log_level="warn")
        self.connection = self.database.connect(autocommit=True)
        self.sql(
            """
            INSERT INTO prepay_account (number, partner_id, location_id, company_id, state)
            SELECT 'B' || n, a.partner_id, a.location_id, a.company_id, 'open'
              FROM generate_series(1, %(count)s) AS n, (SELECT * FROM prepay_account ORDER BY id LIMIT 1) a
            """,
            {"count": ACCOUNTS},
        )
        self.sql("ANALYZE prepay_account")

    def close(self) -> None:
        self.connection.close()
        drop(self.database)

    def sql(self, statement: str, arguments: dict | None = None) -> list[tuple]:
        cursor = self.connection.execute(statement, arguments or {})
        return cursor.fetchall() if cursor.description else []

    def shell(self, code: str) -> dict:
        """Run code in Odoo; what it leaves in `result` comes back."""
        tail = '\nimport json\nprint("RESULT " + json.dumps(result))\n'
        done = subprocess.run(
            self.database.odoo(self.config, "shell", "--no-http", "--log-level=critical"),
            input="result = {}\n" + HEAD + textwrap.dedent(code) + tail,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        found = [line for line in done.stdout.splitlines() if "RESULT " in line]
        assert found, f"the shell failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return json.loads(found[-1].split("RESULT ", 1)[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    running = Site(tmp_path_factory.mktemp("wallet"))
    try:
        yield running
    finally:
        running.close()


@pytest.mark.timeout(900)
def test_many_at_once_on_one_account(site):
    """Top-ups never conflict; debits pass while there is money, one after another."""
    found = site.shell(
        f"""
        account, target = env["prepay.account"].search([("number", "in", ("B1", "B2"))]).ids
        times, outcomes = together([topup(account, f"one:{{n}}") for n in range({TOGETHER})], 16)
        result["posted"], result["posted p99"] = outcomes.count("done"), p99(times)
        def sell(environment):
            environment["prepay.topup"].create({{"account_id": account, "amount": 1}})._credit()
            return "done"
        times, outcomes = together([sell] * {TOGETHER}, 16)
        result["sold"], result["sold p99"] = outcomes.count("done"), p99(times)
        result["failures"] = sorted(set(outcomes) - {{"done"}})
        env.cr.commit()
        result["balance"] = str(env["prepay.account"].browse(account)._available()[account])
        topup(target, "start", "100.00")(env)
        env.cr.commit()
        def debit(environment):
            transfer = environment["prepay.transfer"].create(
                {{"account_id": target, "target_id": account, "amount": 10, "reason": "bench"}})
            transfer.action_submit()
            return transfer.state
        times, outcomes = together([debit] * {TOGETHER}, 16)
        result["debits"], result["refused"] = outcomes.count("done"), outcomes.count("refused")
        result["debits p99"] = p99(times)
        env.cr.commit()
        result["left"] = str(env["prepay.account"].browse(target)._available()[target])
        """
    )
    table = Table(
        f"{TOGETHER} requests at once on one account, 16 workers", "  what    passed    p99"
    )
    table.add(f"  top-up posted {found['posted']:>4}  {found['posted p99']:.2f} s")
    table.add(f"  whole sale    {found['sold']:>4}  {found['sold p99']:.2f} s {found['failures']}")
    table.add(f"  debit of 10   {found['debits']:>4}  {found['debits p99']:.2f} s")
    table.goal("top-ups posted", found["posted"], TOGETHER)
    table.goal("top-up p99, s,", found["posted p99"], TOGETHER_P99_S, at_most=True)
    table.goal("sales done", found["sold"], TOGETHER)
    table.goal("debits of 10 from 100", found["debits"], 10)
    table.goal("debits of 10 from 100", found["debits"], 10, at_most=True)
    table.goal("refused", found["refused"], TOGETHER - 10)
    table.show()
    assert float(found["balance"]) == 2 * TOGETHER
    assert float(found["left"]) == 0


@pytest.mark.timeout(900)
def test_topups_while_a_settlement_runs(site):
    """A settlement that charges every account once, in one transaction, beside top-ups of the same accounts."""
    found = site.shell(
        """
        ids = env["prepay.account"].search([("number", "=like", "B%")]).ids
        SETTLE = '''
            INSERT INTO prepay_ledger_entry
                   (account_id, company_id, kind, bucket, amount, key, at, reason, user_id)
            SELECT a.id, a.company_id, 'charge', 'principal', -1.23, 'settle:' || %s || ':' || a.id, now(),
                   'bench', 1
              FROM prepay_account a WHERE a.number LIKE 'B%%' AND a.id BETWEEN %s AND %s
        '''
        def settle(run, stop):
            with db_connect(env.cr.dbname).cursor() as cr:
                while not stop.is_set():
                    began = time.perf_counter()
                    for index in range(0, len(ids), 10_000):
                        part = ids[index : index + 10_000]
                        cr.execute(SETTLE, [f"{run}:{began}", part[0], part[-1]])
                    cr.commit()
                    spans.append(time.perf_counter() - began)
        def load(run, seconds, workers=2):
            times, failures, until = [], [], time.perf_counter() + seconds
            def work(worker):
                number = 0
                while time.perf_counter() < until:
                    number += 1
                    account = ids[(number * 7919 + worker) % len(ids)]
                    spent, outcome = request(topup(account, f"{run}:{worker}:{number}"), time.perf_counter())
                    times.append(spent)
                    if outcome != "done":
                        failures.append(outcome)
            threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            return len(times) / seconds, p99(sorted(times)) * 1000, failures
        spans, rates, failed = [], [], []
        load("warm", 1)
        for turn in range(3):
            idle = load(f"idle{turn}", 3)
            stop = threading.Event()
            settlement = threading.Thread(target=settle, args=(turn, stop))
            settlement.start()
            time.sleep(0.3)
            busy = load(f"busy{turn}", 5)
            stop.set()
            settlement.join()
            rates.append((idle[0], idle[1], busy[0], busy[1]))
            failed += idle[2] + busy[2]
        result.update(rates=rates, spans=spans, failed=failed)
        """
    )
    rates = sorted(found["rates"], key=lambda row: row[2] / row[0])
    idle, idle_p99, busy, busy_p99 = rates[len(rates) // 2]
    table = Table(
        f"Top-ups, 2 workers, while {ACCOUNTS:,} accounts are charged", "  case      per s     p99"
    )
    table.add(f"  idle  {idle:8.0f}  {idle_p99:6.1f} ms")
    table.add(
        f"  busy  {busy:8.0f}  {busy_p99:6.1f} ms (settlements of {max(found['spans']):.1f} s)"
    )
    table.goal("of the idle rate", busy / idle, DURING)
    table.goal("p99, ms,", busy_p99, DURING_P99_MS, at_most=True)
    assert not found["failed"], found["failed"][:3]
    table.show()


@pytest.mark.timeout(1800)
def test_audit_of_millions(site):
    """Every rule over all entries, checkpoints made before; and a balance does not need them all."""
    count = site.sql("SELECT count(*) FROM prepay_ledger_entry")[0][0]
    step = 500_000
    for begin in range(count, ENTRIES, step):
        site.sql(
            """
            INSERT INTO prepay_ledger_entry
                   (account_id, company_id, kind, bucket, amount, key, at, reason, user_id)
            SELECT a.id, a.company_id, CASE WHEN n %% 10 = 0 THEN 'topup' ELSE 'charge' END, 'principal',
                   CASE WHEN n %% 10 = 0 THEN 20 ELSE -1.11 END, 'many:' || n, now() AT TIME ZONE 'UTC', 'bench', 1
              FROM generate_series(%(begin)s::int, %(begin)s::int + %(step)s::int - 1) AS n
              JOIN prepay_account a ON a.number = 'B' || (1 + (n::bigint / 10 * 7919) %% %(accounts)s)
            """,
            {"begin": begin, "step": step, "accounts": ACCOUNTS},
        )
    site.sql("VACUUM ANALYZE prepay_ledger_entry")
    found = site.shell(
        """
        checkpoints = env["prepay.wallet.checkpoint"]
        began = time.perf_counter()
        horizon = checkpoints._complete_horizon(10)
        env.cr.commit()
        checkpoints._fold(horizon)
        env.cr.commit()
        result["fold"] = time.perf_counter() - began
        accounts = env["prepay.account"].search([("number", "=like", "B%")])
        began = time.perf_counter()
        accounts[:1000]._available()
        result["balances"] = time.perf_counter() - began
        began = time.perf_counter()
        audit = env["prepay.wallet.audit"]._run()
        result["audit"] = time.perf_counter() - began
        result.update(entries=audit.entry_count, state=audit.state, details=audit.details or "")
        from odoo.addons.prepay_billing.models.prepay_wallet_audit import CHECKS
        for rule, statement in CHECKS.items():
            began = time.perf_counter()
            env.cr.execute(statement)
            result[rule] = time.perf_counter() - began
        """
    )
    table = Table(f"Audit of {found['entries']:,} entries, {ACCOUNTS:,} accounts", "  rule      s")
    for rule, spent in found.items():
        if rule.startswith("M-"):
            table.add(f"  {rule:14} {spent:.2f}")
    table.add(f"  checkpoints of all entries {found['fold']:.2f} s")
    table.add(f"  1,000 balances {found['balances'] * 1000:.1f} ms")
    table.goal("sum of entries = balance, s,", found["M-02"], AUDIT_S, at_most=True)
    table.add(f"  all rules {found['audit']:.2f} s")
    assert found["state"] == "passed", found["details"]
    table.show()
