"""The counter with many accounts: how long a cashier waits for search results, the account and the sale.

Everything goes through the web server as the screen's own calls do. The same route with a call that does
next to nothing is measured in between: it is what login, transport and Odoo cost without the counter.
"""

import itertools
import random
import subprocess
import textwrap
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.bench.harness import Table
from tests.support import processes
from tests.support.site import Site
from tests.support.stack import User, free_port, wait_for

ACCOUNTS = 20_000
BUILDINGS, FLOORS = 20, 10
ROOMS = ACCOUNTS // BUILDINGS // FLOORS  # of a floor
SALES, SEARCHES = 120, 200
CASHIERS = 3
SEARCH_P95_MS, SALE_P95_MS = 300, 1000
#: What the database alone takes for one scan of all search texts.
SCAN_MS = 50

_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾"
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉萍红玲建国"


class Counter:
    """A site of many rooms, one account in each, and a web server."""

    def __init__(self, folder) -> None:
        self.site = Site(folder, "counter")
        self.fill()
        self.port = free_port()
        config = self.site.database.write_config(folder, http_port=self.port, log_level="warn")
        self.recompute(config)
        self.site.connection.execute("VACUUM ANALYZE")
        self.log = folder / "odoo.log"
        self.odoo = processes.start(self.site.database.odoo(config), self.log)
        self.url = f"http://127.0.0.1:{self.port}"
        wait_for(self.answers, 90, "Odoo answers", pause=0.2)
        self.cashiers = [
            User(self.url, self.site.database.name, "cashier") for _number in range(CASHIERS)
        ]

    def answers(self) -> bool:
        assert self.odoo.poll() is None, self.log.read_text()[-3000:]
        try:
            return requests.get(f"{self.url}/web/login", timeout=30).ok
        except requests.ConnectionError:
            return False

    def close(self) -> None:
        processes.stop(self.odoo)
        self.site.close()

    def fill(self) -> None:
        """Rooms such as 7-3-042, a tenant with a phone, a meter, two years of small history."""
        site = self.site
        surname = f"substr('{_SURNAMES}', 1 + (i * 7) % {len(_SURNAMES)}, 1)"
        given = (
            f"substr('{_GIVEN}', 1 + (i * 11) % {len(_GIVEN)}, 1) || "
            f"substr('{_GIVEN}', 1 + (i / 3) % {len(_GIVEN)}, 1)"
        )
        floor = f"((i - 1) / {ROOMS})"
        building, level = f"(1 + {floor} / {FLOORS})", f"(1 + {floor} % {FLOORS})"
        room = f"({building} || '-' || {level} || lpad((1 + (i - 1) % {ROOMS})::text, 3, '0'))"
        self.rooms = site.multiply(
            "prepay_location", ACCOUNTS, "kind = 'room'",
            name=room, code=f"'R' || {room}",
            complete_name=f"'工厂 / ' || {building} || '号楼 / ' || {level} || '层 / ' || {room}",
        )  # fmt: skip
        tenants = site.multiply(
            "res_partner", ACCOUNTS, "id IN (SELECT partner_id FROM prepay_account)",
            name=f"{surname} || {given}", complete_name=f"{surname} || {given}",
            phone="'1' || (3000000000 + i::bigint * 8731 % 6999999999)", email="NULL",

        )  # fmt: skip
        states = site.multiply("prepay_meter_state", ACCOUNTS)
        meters = site.multiply(
            "prepay_meter", ACCOUNTS, "medium = 'electricity'",
            number="'20261' || lpad(i::text, 7, '0')", state_id=f"{states[0]} + i - 1",
            location_id=f"{self.rooms[0]} + i - 1", gateway_id="NULL",
        )  # fmt: skip
        self.accounts = site.multiply(
            "prepay_account", ACCOUNTS, "state = 'open'",
            number="'8' || lpad(i::text, 6, '0')", partner_id=f"{tenants[0]} + i - 1",
            location_id=f"{self.rooms[0]} + i - 1", search_text="NULL",
        )  # fmt: skip
        for ids in (self.rooms, tenants, states, meters, self.accounts):
            assert ids == list(range(ids[0], ids[0] + ACCOUNTS))
        site.multiply(
            "prepay_account_meter", ACCOUNTS, "end_at IS NULL",
            account_id=f"{self.accounts[0]} + i - 1", meter_id=f"{meters[0]} + i - 1",
        )  # fmt: skip
        first, last = self.accounts[0], self.accounts[-1]
        site.connection.execute(
            f"""
            INSERT INTO prepay_ledger_entry
                   (account_id, company_id, kind, bucket, amount, key, at, reason, user_id)
            SELECT a.id, a.company_id, CASE WHEN n = 1 THEN 'topup' ELSE 'charge' END, 'principal',
                   CASE WHEN n = 1 THEN 100 ELSE -1.11 END, 'bench:' || a.id || ':' || n,
                   LOCALTIMESTAMP - n * interval '10 days', 'bench', 1
              FROM prepay_account a, generate_series(1, 10) n WHERE a.id BETWEEN {first} AND {last};
            INSERT INTO prepay_topup (number, account_id, partner_id, location_id, company_id, amount,
                                      method, state, paid_at, cashier_id, entry_id)
            SELECT 'X' || a.id || '-' || n, a.id, a.partner_id, a.location_id, a.company_id, 10 * n,
                   'cash', 'done', LOCALTIMESTAMP - n * interval '30 days', 1, e.id
              FROM prepay_account a, generate_series(1, 6) n,
                   (SELECT min(id) AS id FROM prepay_ledger_entry) e
             WHERE a.id BETWEEN {first} AND {last};
            """
        )

    def recompute(self, config) -> None:
        """The search texts, by the model itself."""
        code = """
            accounts = env["prepay.account"].search([("search_text", "=", False)])
            env.add_to_compute(accounts._fields["search_text"], accounts)
            accounts.flush_recordset()
            env.cr.commit()
        """
        subprocess.run(
            self.site.database.odoo(config, "shell", "--no-http", "--log-level=critical"),
            input=textwrap.dedent(code), text=True, capture_output=True, check=True, timeout=600,
        )  # fmt: skip
        assert not self.site.one("SELECT count(*) FROM prepay_account WHERE search_text IS NULL")

    def words(self, chance: random.Random) -> str:
        """What a cashier types: whole things, their beginnings, their ends, and mistakes."""
        i = chance.randrange(ACCOUNTS)
        room, tenant, phone, number, meter = self.site.connection.execute(
            "SELECT l.name, p.name AS tenant, p.phone, a.number, m.number AS meter FROM prepay_account a"
            " JOIN prepay_location l ON l.id = a.location_id JOIN res_partner p ON p.id = a.partner_id"
            " JOIN prepay_account_meter s ON s.account_id = a.id JOIN prepay_meter m ON m.id = s.meter_id"
            " WHERE a.id = %s",
            [self.accounts[i]],
        ).fetchone().values()  # fmt: skip
        return chance.choice(
            [room, room[:3], room[-3:], room.replace("-", ""), tenant, tenant[0], tenant[:2], phone,
             phone[-4:], phone[:5], number, meter, meter[-4:], "1", f"{room.partition('-')[0]}号楼 {tenant}",
             "nobody"]
        )  # fmt: skip


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    running = Counter(tmp_path_factory.mktemp("counter"))
    try:
        yield running
    finally:
        running.close()


def took(call, *arguments) -> tuple[float, object]:
    """Milliseconds, and the answer."""
    began = time.perf_counter()
    answer = call(*arguments)
    return (time.perf_counter() - began) * 1000, answer


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def bare(cashier: User) -> float:
    """A call of the same route that reads one row."""
    return took(cashier.call, "res.lang", "get_installed")[0]


def line(what: str, times: list[float], limit: list[float]) -> str:
    p50, p95 = quantile(times, 0.5), quantile(times, 0.95)
    return f"  {what:24} {p50:7.1f} {p95:7.1f}  {p50 / quantile(limit, 0.5):6.1f}"


HEADER = "  call                     p50 ms  p95 ms  ÷ bare"


@pytest.mark.timeout(1200)
def test_search(counter):
    """Words as they are typed, over all accounts."""
    chance = random.Random(5)
    texts = [counter.words(chance) for _number in range(SEARCHES)]
    cashier = counter.cashiers[0]
    for text in texts[:10]:
        cashier.call("prepay.counter", "search_accounts", text)
    limit, times, found = [], [], 0
    for text in texts:
        limit.append(bare(cashier))
        spent, rows = took(cashier.call, "prepay.counter", "search_accounts", text)
        times.append(spent)
        assert bool(rows) == (text != "nobody"), text
        found += len(rows)
    scan, statement = [], "SELECT count(*) FROM prepay_account WHERE search_text LIKE %s"
    for text in texts[:50]:
        spent, _row = took(counter.site.one, statement, f"%{text}%")
        scan.append(spent)
    table = Table(f"Search over {ACCOUNTS:,} accounts, {found / SEARCHES:.1f} results", HEADER)
    table.add(line("bare call", limit, limit))
    table.add(line("search", times, limit))
    table.add(f"  scan in the database     {quantile(scan, 0.5):7.1f} {quantile(scan, 0.95):7.1f}")
    table.goal("search p95, ms,", quantile(times, 0.95), SEARCH_P95_MS, at_most=True)
    table.goal("scan p95, ms,", quantile(scan, 0.95), SCAN_MS, at_most=True)
    table.show()


@pytest.mark.timeout(1200)
def test_sale(counter):
    """Choose, sell, see the result: one cashier, then three at once."""
    chance = random.Random(7)
    accounts = iter(chance.sample(counter.accounts, 2 * SALES + 20))

    def sell(cashier: User, account: int) -> tuple[float, float]:
        opened, _state = took(cashier.call, "prepay.counter", "account_state", [account])
        amount = str(chance.randrange(10, 200))
        values = {
            "key": uuid.uuid4().hex,
            "parts": [{"account_id": account, "amount": amount}],
            "method": "cash",
        }
        spent, sale = took(cashier.call, "prepay.counter", "sell", values)
        assert sale["state"] == "done", sale
        return opened, spent

    alone = counter.cashiers[0]
    for account in itertools.islice(accounts, 10):
        sell(alone, account)
    limit, single = [], []
    for account in itertools.islice(accounts, SALES):
        limit.append(bare(alone))
        single.append(sell(alone, account))

    def shift(cashier: User) -> list[tuple[float, float]]:
        return [sell(cashier, account) for account in shares[cashier]]

    part = SALES // CASHIERS
    shares = {cashier: list(itertools.islice(accounts, part)) for cashier in counter.cashiers}
    with ThreadPoolExecutor(CASHIERS) as pool:
        many = [pair for pairs in pool.map(shift, counter.cashiers) for pair in pairs]
    opened, sales = zip(*single)
    together = [spent for _opened, spent in many]
    table = Table(f"Sales with {ACCOUNTS:,} accounts", HEADER)
    table.add(line("bare call", limit, limit))
    table.add(line("account on the screen", list(opened), limit))
    table.add(line("sale", list(sales), limit))
    table.add(line(f"sale, {CASHIERS} cashiers", together, limit))
    table.goal("sale p95, ms,", quantile(list(sales), 0.95), SALE_P95_MS, at_most=True)
    table.goal(
        f"sale of {CASHIERS} cashiers p95, ms,",
        quantile(together, 0.95),
        SALE_P95_MS,
        at_most=True,
    )
    table.show()
