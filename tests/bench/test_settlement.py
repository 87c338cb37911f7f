"""Settlement: usage -> price -> charge -> wallet -> balance -> supply decision, for a whole fleet.

The product rates a reading of each meter with its engine, posts the charges and decides about the
supply, in batches that are committed. The limit is the same work on the same tables by one set-based
settlement in SQL, with the tariff written into the statement, in the same run. Like the limit, the
company posts with each run; charges that stay open until their day is over are measured as well.
"""

import json
import os
import subprocess
import textwrap

import pytest

from tests.support.database import clone_database, drop

from .harness import Table

SIZES = [1_000, 10_000, 100_000]
if os.environ.get("PREPAY_BENCH_MILLION"):
    SIZES.append(1_000_000)
FLEET = int(os.environ.get("PREPAY_BENCH_METERS", "100000"))
RATIO = 0.40
#: Processor time of a meter in the largest fleet, in times of one in the smallest.
LINEAR = 1.6

SETUP = """
import os
import time
from datetime import datetime, timedelta
from decimal import Decimal

env.cr.execute("UPDATE ir_cron SET active = false")
company = env.ref("base.main_company")
tariff = env["prepay.tariff"].create({"name": "Bench", "company_id": company.id})
env["prepay.tariff.version"].create({
    "tariff_id": tariff.id,
    "valid_from": datetime(2026, 1, 1),
    "price_ids": [
        (0, 0, {"upto": 100, "peak": 0.9137, "flat": 0.6631, "valley": 0.3417}),
        (0, 0, {"upto": 300, "peak": 1.0137, "flat": 0.7631, "valley": 0.4417}),
        (0, 0, {"upto": 0, "peak": 1.3137, "flat": 1.0631, "valley": 0.7417}),
    ],
    "season_ids": [(0, 0, {"name": "Year", "period_ids": [
        (0, 0, {"start": start, "rate": rate})
        for start, rate in ((0, "valley"), (8, "peak"), (12, "flat"), (17, "peak"), (22, "flat"))
    ]})],
})._approve()
env.flush_all()
version = tariff.version_ids.id
# One o'clock in the afternoon of the site: a flat period.
now = datetime.utcnow().replace(hour=5, minute=0, second=0, microsecond=0) - timedelta(days=1)
env.cr.execute("SELECT id FROM prepay_meter WHERE number = '202611000001'")
(model,) = env.cr.fetchone()
columns = lambda table, without: [
    row[0] for row in (env.cr.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]),
        env.cr.fetchall())[1] if row[0] not in without]


def fleet(name, count):
    names = ", ".join(columns("prepay_meter", ("id", "number", "address", "state_id", "gateway_id")))
    env.cr.execute(f'''
        WITH state AS (INSERT INTO prepay_meter_state (missed_polls, online, last_read_at, relay_reported)
                       SELECT 0, true, %s, 'closed' FROM generate_series(1, %s) RETURNING id)
        INSERT INTO prepay_meter (number, address, state_id, {names})
        SELECT '{name}' || state.id, '{name}' || state.id, state.id, {names}
          FROM state, (SELECT {names} FROM prepay_meter WHERE id = %s) m''', [now, count, model])
    env.cr.execute('''
        INSERT INTO prepay_account (number, partner_id, location_id, company_id, state, level, overdraft_limit)
        SELECT m.number, %s, m.location_id, %s, 'open', 'normal', 0 FROM prepay_meter m
         WHERE m.number ~ ('^' || %s || '[0-9]+$')''', [company.partner_id.id, company.id, name])
    env.cr.execute('''
        INSERT INTO prepay_account_meter (account_id, company_id, meter_id, tariff_id, start_at, rated_at,
                                          rated_value, tier_period, tier_used, rate_source, heads, fees_until)
        SELECT a.id, a.company_id, m.id, %s, %s, %s, 100000000, to_char(%s::timestamp, 'YYYY-MM'),
               m.id %% 400 * 1000, 'clock', 1, %s
          FROM prepay_meter m JOIN prepay_account a ON a.number = m.number
         WHERE m.number ~ ('^' || %s || '[0-9]+$')''',
        [tariff.id, now, now - timedelta(minutes=30), now, now, name])
    env.cr.execute('''
        INSERT INTO prepay_ledger_entry (account_id, company_id, kind, bucket, amount, key, at, reason, user_id)
        SELECT id, company_id, 'opening', 'principal', 100, 'bench:' || id, %s, 'bench', 1
          FROM prepay_account WHERE number ~ ('^' || %s || '[0-9]+$')''', [now, name])
    env.cr.execute('''
        INSERT INTO prepay_reading_data (read_at, meter_id, channel, value, source)
        SELECT %s, id, 1, 100000000 + 50 + id %% 700, 1 FROM prepay_meter
         WHERE number ~ ('^' || %s || '[0-9]+$')''', [now, name])
    env.cr.commit()
    env.cr._cnx.autocommit = True
    for table in ("prepay_meter", "prepay_meter_state", "prepay_account", "prepay_account_meter",
                  "prepay_ledger_entry", "prepay_reading_data", "prepay_charge"):
        env.cr.execute(f"VACUUM ANALYZE {table}")
    env.cr.execute("CHECKPOINT")
    env.cr._cnx.autocommit = False
    env.cr.execute("SELECT s.id FROM prepay_account_meter s JOIN prepay_meter m ON m.id = s.meter_id "
                   "WHERE m.number ~ ('^' || %s || '[0-9]+$') ORDER BY 1", [name])
    return [row[0] for row in env.cr.fetchall()]


def cpu():
    # Seconds of processor that this process and its server process have used.
    with open(f"/proc/{env.cr._cnx.get_backend_pid()}/stat") as stat:
        user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
    return time.process_time() + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def product(ids, posting="run"):
    meters = env["prepay.account.meter"]
    company.prepay_posting = posting
    env.cr.commit()
    parts = {}

    def clock(part, began):
        env.cr.commit()
        parts[part] = parts.get(part, 0) + time.perf_counter() - began

    after, batch = ids[0] - 1, 5000  # other fleets of the run lie before this one
    while after is not None:
        began = time.perf_counter()
        _ids, after = meters._rate_batch(after, batch, now)
        clock("rate", began)
    after = 0
    while after is not None:
        began = time.perf_counter()
        _ids, after, _count = env["prepay.charge"]._post_batch(after, batch, posting != "run", now)
        clock("post", began)
    began = time.perf_counter()
    env.cr.execute("SELECT DISTINCT account_id FROM prepay_account_meter WHERE id = ANY(%s)", [ids])
    accounts = env["prepay.account"].browse(row[0] for row in env.cr.fetchall())
    for index in range(0, len(accounts), 20000):
        accounts[index : index + 20000]._evaluate_supply()
        env.invalidate_all()
    clock("decide", began)
    return parts


LIMIT = '''
WITH new AS (
    SELECT s.id, s.account_id, s.meter_id, s.company_id, s.tier_used, s.rated_at, r.read_at, r.value,
           r.value - s.rated_value AS used, COALESCE(s.residue, 0) AS residue,
           (r.read_at AT TIME ZONE 'UTC' AT TIME ZONE l.tz) AS local
      FROM prepay_account_meter s
      JOIN prepay_account a ON a.id = s.account_id
      JOIN prepay_location l ON l.id = a.location_id
      JOIN prepay_reading_data r ON r.meter_id = s.meter_id AND r.channel = 1 AND r.read_at > s.rated_at
     WHERE s.id = ANY(%(ids)s) AND r.read_at > %(after)s
), tier AS (
    SELECT * FROM (VALUES (1, 0, 100000, 0.6631), (2, 100000, 300000, 0.7631),
                          (3, 300000, 1000000000000, 1.0631)) AS t(tier, low, high, price)
), line AS (
    SELECT n.*, t.tier, t.price,
           LEAST(n.tier_used + n.used, t.high) - GREATEST(n.tier_used, t.low) AS quantity
      FROM new n JOIN tier t ON n.tier_used < t.high AND n.tier_used + n.used > t.low
), due AS (
    SELECT id, account_id, company_id, min(read_at) AS read_at, min(value) AS value, min(used) AS used,
           min(residue) + sum(quantity * price / 1000) AS exact
      FROM line GROUP BY id, account_id, company_id
), entry AS (
    INSERT INTO prepay_ledger_entry (account_id, company_id, kind, bucket, amount, key, at, reason, user_id,
                                     res_model)
    SELECT account_id, company_id, 'charge', 'principal', -round(exact, 2), 'limit:' || id,
           now() AT TIME ZONE 'UTC', 'meter ' || id || ': ' || round(used / 1000.0, 2) || ' kWh', 1,
           'prepay.charge'
      FROM due WHERE round(exact, 2) <> 0 RETURNING id, account_id
), charge AS (
    INSERT INTO prepay_charge (supply_id, account_id, meter_id, company_id, medium, day, version_id, kind,
                               rate, tier, provisional, start_at, end_at, quantity_base, quantity, price,
                               exact_amount, amount, state, posted_day, entry_id)
    SELECT l.id, l.account_id, l.meter_id, l.company_id, 'electricity', l.local::date, %(version)s, 'usage',
           'flat', l.tier, false, l.rated_at, l.read_at, l.quantity, l.quantity / 1000.0, l.price,
           l.quantity * l.price / 1000, round(l.quantity * l.price / 1000, 2), 'posted', l.local::date, e.id
      FROM line l LEFT JOIN entry e ON e.account_id = l.account_id
), state AS (
    UPDATE prepay_account_meter s
       SET rated_at = d.read_at, rated_value = d.value, tier_used = s.tier_used + d.used,
           residue = d.exact - round(d.exact, 2), closed_day = s.closed_day
      FROM due d WHERE s.id = d.id
)
SELECT count(*) FROM due
'''
DECIDE = '''
SELECT a.id FROM prepay_account a
  JOIN (SELECT e.account_id, sum(e.amount) AS balance FROM prepay_ledger_entry e
         WHERE e.account_id = ANY(%(accounts)s) GROUP BY 1) b ON b.account_id = a.id
  JOIN prepay_account_meter s ON s.account_id = a.id AND s.end_at IS NULL
  JOIN prepay_meter m ON m.id = s.meter_id
  JOIN prepay_meter_state t ON t.id = m.state_id
 WHERE b.balance + a.overdraft_limit <= 0 AND t.relay_reported = 'closed' AND a.state = 'open'
   AND NOT EXISTS (SELECT FROM prepay_meter_command c WHERE c.meter_id = m.id AND c.state IN ('queued', 'sent'))
   AND NOT EXISTS (SELECT FROM prepay_reading_hold h WHERE h.meter_id = m.id AND h.state = 'held')
'''


def limit(ids):
    began = time.perf_counter()
    env.cr.execute(LIMIT, {"ids": ids, "version": version, "after": now - timedelta(minutes=30)})
    assert env.cr.fetchone()[0] == len(ids)
    env.cr.commit()
    env.cr.execute("SELECT account_id FROM prepay_account_meter WHERE id = ANY(%s)", [ids])
    env.cr.execute(DECIDE, {"accounts": [row[0] for row in env.cr.fetchall()]})
    env.cr.fetchall()
    env.cr.commit()
    return time.perf_counter() - began


def total(ids):
    env.cr.execute('''
        SELECT count(*), sum(exact_amount)::text, sum(quantity_base), count(DISTINCT supply_id),
               (SELECT sum(-e.amount + 0)::text FROM prepay_ledger_entry e JOIN prepay_account_meter s
                    ON s.account_id = e.account_id WHERE s.id = ANY(%s) AND e.kind = 'charge'),
               (SELECT sum(residue)::text FROM prepay_account_meter WHERE id = ANY(%s))
          FROM prepay_charge WHERE supply_id = ANY(%s) AND state = 'posted' ''', [ids, ids, ids])
    return env.cr.fetchone()
"""


@pytest.fixture
def site(tmp_path):
    database = clone_database("settlement")
    config = database.write_config(tmp_path, log_level="warn")

    def shell(code: str) -> dict:
        tail = '\nimport json\nprint("RESULT " + json.dumps(result))\n'
        done = subprocess.run(
            database.odoo(config, "shell", "--no-http", "--log-level=warn"),
            input="result = {}\n" + SETUP + textwrap.dedent(code) + tail,
            capture_output=True,
            text=True,
            timeout=3000,
            check=False,
        )
        found = [line for line in done.stdout.splitlines() if "RESULT " in line]
        assert found, f"the shell failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return json.loads(found[-1].split("RESULT ", 1)[1])

    try:
        yield shell
    finally:
        drop(database)


@pytest.mark.timeout(3600)
def test_settlement_of_a_fleet(site):
    """The product and the limit take turns on fleets of the same make."""
    found = site(
        f"""
        product(fleet("W", 500))
        limit(fleet("V", 500))
        env.cr.commit()
        result["runs"] = []
        half = {FLEET} // 2
        daily = fleet("D", half // 2)
        result["daily"] = sum(product(daily, "daily").values()) / len(daily)
        for turn in ("A", "B"):
            ours, theirs = fleet("P" + turn, half), fleet("L" + turn, half)
            spent = limit(theirs)
            parts = product(ours)
            a, b = total(ours), total(theirs)
            assert a[3] == b[3] == half, (a, b)
            for found in (a, b):
                assert Decimal(found[4]) + Decimal(found[5]) == Decimal(found[1]), found
            result["runs"].append((spent, parts))
        """
    )
    table = Table(
        f"settlement of {FLEET:,} meters, time of use and three tiers",
        "meters/s: limit (one SQL settlement), product with supply decision, without",
    )
    limits = sum(spent for spent, _parts in found["runs"])
    parts = {
        name: sum(part[name] for _spent, part in found["runs"]) for name in found["runs"][0][1]
    }
    product, without = sum(parts.values()), parts["rate"] + parts["post"]
    table.add(f"  {FLEET / limits:>10,.0f} {FLEET / product:>10,.0f} {FLEET / without:>10,.0f}")
    table.add("  " + ", ".join(f"{name} {FLEET / spent:,.0f}/s" for name, spent in parts.items()))
    table.add(f"  charges open first, posted afterwards: {1 / found['daily']:,.0f}/s")
    table.goal("product ÷ limit", limits / product, RATIO)
    table.show()


@pytest.mark.timeout(3600)
def test_cost_is_linear(site):
    found = site(
        f"""
        product(fleet("W", 500))
        for index, size in enumerate({SIZES}):
            ids = fleet(chr(65 + index) + "X", size)
            began = cpu()
            result[str(size)] = [product(ids), cpu() - began]
        """
    )
    table = Table(
        "settlement of fleets of different sizes", "meters, µs of processor and of time a meter"
    )
    costs = {}
    for size in SIZES:
        spent, used = found[str(size)]
        costs[size] = used / size * 1e6
        parts = ", ".join(f"{name} {part / size * 1e6:.0f}" for name, part in spent.items())
        whole = sum(spent.values()) / size * 1e6
        table.add(f"  {size:>10,} {costs[size]:8.1f} {whole:8.1f}  ({parts})")
    table.goal(
        f"a meter of {SIZES[-1]:,} in times of one of {SIZES[0]:,}",
        costs[SIZES[-1]] / costs[SIZES[0]],
        LINEAR,
        at_most=True,
    )
    table.show()
