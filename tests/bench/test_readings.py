"""Stored readings: bytes each after compacting, the curve of a meter, lists, consumption of a month.

Sizes are limits. Times are printed, and compared with what the bare tables need in the same run.
"""

import json
import os
import statistics
import subprocess
import textwrap
import time
from datetime import datetime, timedelta, timezone

import pytest

from tests.support.database import clone_database, drop

METERS, DAYS, A_DAY = 500, 30, 96
#: Readings of the months that are not compacted; the lists must not slow down with them.
ROWS = int(os.environ.get("PREPAY_BENCH_ROWS", "2000000"))
FLEET = 100_000
BYTES = 25
CURVE_MS = 20
#: The curve from arrays, in times of the same curve from single rows.
CURVE_RATIO = 2.0
#: Looking for new readings everywhere, in times of looking into the bare table only.
STREAM_RATIO = 3.0
LIST_MS = 250
MONTH_S = 1.0


class Site:
    """A database with many meters, and an Odoo shell on it."""

    def __init__(self, folder) -> None:
        self.database = clone_database("readings")
        self.config = self.database.write_config(folder, log_level="warn")
        today = datetime.now(timezone.utc).date()
        first = today.replace(day=1)
        for _month in range(4):
            first = (first - timedelta(days=1)).replace(day=1)
        self.month, self.today = first, today
        self.begin = datetime.combine(first, datetime.min.time())
        self.connection = self.database.connect(autocommit=True)
        self.meters: list[int] = []

    def close(self) -> None:
        self.connection.close()
        drop(self.database)

    def sql(self, statement: str, arguments: dict | None = None) -> list[tuple]:
        cursor = self.connection.execute(statement, arguments or {})
        return cursor.fetchall() if cursor.description else []

    def clock(self, statement: str, arguments: dict | None = None) -> float:
        """Seconds of one statement with all its rows."""
        began = time.perf_counter()
        self.sql(statement, arguments)
        return time.perf_counter() - began

    def shell(self, code: str) -> dict:
        """Run code in Odoo; what it leaves in `result` comes back."""
        tail = '\nimport json\nprint("RESULT " + json.dumps(result))\n'
        done = subprocess.run(
            self.database.odoo(self.config, "shell", "--no-http", "--log-level=warn"),
            input="result = {}\n" + textwrap.dedent(code) + tail,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        found = [line for line in done.stdout.splitlines() if "RESULT " in line]
        assert found, f"the shell failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return json.loads(found[-1].split("RESULT ", 1)[1])

    def add_meters(self, count: int) -> None:
        """Copies of a meter of the demo."""
        columns = [
            row[0]
            for row in self.sql(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'prepay_meter' "
                "AND column_name NOT IN ('id', 'number', 'address', 'state_id', 'gateway_id')"
            )
        ]
        names = ", ".join(columns)
        rows = self.sql(
            f"""
            WITH state AS (
                INSERT INTO prepay_meter_state (missed_polls)
                SELECT 0 FROM generate_series(1, %(count)s) RETURNING id
            )
            INSERT INTO prepay_meter (number, address, state_id, {names})
            SELECT 'B' || state.id, 'B' || state.id, state.id, {", ".join("m." + name for name in columns)}
              FROM state, (SELECT * FROM prepay_meter WHERE number = '202611000001') m
            RETURNING id
            """,
            {"count": count},
        )
        self.meters += [row[0] for row in rows]

    def add_readings(self, meters: list[int], begin: datetime, days: int) -> None:
        """A reading each quarter of an hour with the small delays of a bus, up to 250 Wh apart."""
        self.sql(
            """
            INSERT INTO prepay_reading_data (read_at, meter_id, channel, value, source)
            SELECT %(begin)s + step * interval '15 minutes'
                   + (m * 7 %% 600 + (step * 31 + m) %% 5) * interval '1 second',
                   m, 1, 100000000 + m * 1000 + step * 110 + (step * 13 + m) %% 11 * 10, 1
              FROM generate_series(0, %(days)s * 96 - 1) AS step, unnest(%(meters)s::int[]) AS m
            """,
            {"begin": begin, "days": days, "meters": meters},
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    running = Site(tmp_path_factory.mktemp("readings"))
    try:
        yield running
    finally:
        running.close()


CURVE = (
    "SELECT read_at, value FROM prepay_readings(%(meter)s, 1, %(begin)s, %(end)s) ORDER BY read_at"
)
BARE = (
    "SELECT read_at, value FROM prepay_reading_data WHERE meter_id = %(meter)s AND channel = 1 "
    "AND read_at > %(begin)s AND read_at <= %(end)s ORDER BY read_at"
)


def curves(site: Site, cases: dict[str, tuple[str, datetime]]) -> dict[str, float]:
    """Milliseconds of one meter's month, median over meters; the cases take turns."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for meter in site.meters[:METERS:3]:
        for name, (statement, begin) in cases.items():
            arguments = {"meter": meter, "begin": begin, "end": begin + timedelta(days=DAYS)}
            site.clock(statement, arguments)  # from memory: the disk is not measured
            times[name].append(site.clock(statement, arguments))
    return {name: statistics.median(values) * 1000 for name, values in times.items()}


@pytest.mark.timeout(1800)
def test_compacted_readings_are_small_and_quick(site):
    site.add_meters(METERS)
    site.shell(
        f"""
        from datetime import date
        from odoo.addons.prepay_meter import storage
        storage.create_month(env.cr, "raw", date.fromisoformat("{site.month}"))
        env.cr.commit()
        """
    )
    site.add_readings(site.meters, site.begin, DAYS)
    raw = f"prepay_reading_{site.month:%Y_%m}"
    compacted = f"prepay_reading_day_{site.month:%Y_%m}"
    site.sql(f"VACUUM ANALYZE {raw}")
    count = site.sql(f"SELECT count(*) FROM {raw}")[0][0]
    assert count == METERS * DAYS * A_DAY
    total = "SELECT count(*), sum(value), sum(date_part('epoch', read_at)::bigint * meter_id) FROM prepay_reading"
    before = site.sql(total)
    raw_bytes = site.sql("SELECT pg_total_relation_size(%(name)s)", {"name": raw})[0][0] / count
    took = site.shell(
        """
        import time
        began = time.perf_counter()
        env["prepay.reading.partition"]._cron_maintain()
        env.cr.commit()
        result["seconds"] = time.perf_counter() - began
        """
    )["seconds"]
    assert site.sql("SELECT to_regclass(%(name)s)", {"name": raw})[0][0] is None, "not exchanged"
    site.sql(f"VACUUM ANALYZE {compacted}")
    assert site.sql(total) == before, "readings were lost or changed"
    size = site.sql("SELECT pg_total_relation_size(%(name)s)", {"name": compacted})[0][0] / count
    recent = datetime.combine(site.today, datetime.min.time()) - timedelta(days=DAYS)
    site.add_readings(site.meters, recent, DAYS)
    site.sql("VACUUM ANALYZE prepay_reading_data")
    times = curves(
        site, {"bare": (BARE, recent), "raw": (CURVE, recent), "day": (CURVE, site.begin)}
    )
    bare, raw_curve, day_curve = times["bare"], times["raw"], times["day"]
    print(
        f"\n{count:,} readings: single rows {raw_bytes:.1f} B each, compacted {size:.1f} B each "
        f"(limit {BYTES}); compacted, compared and exchanged in {took:.1f} s, {count / took:,.0f}/s"
        f"\n30-day curve of one meter: bare table {bare:.2f} ms, single rows {raw_curve:.2f} ms, "
        f"compacted {day_curve:.2f} ms = {day_curve / bare:.2f} × bare (goal ≤ {CURVE_RATIO} × "
        f"and ≤ {CURVE_MS} ms)"
    )
    assert size <= BYTES
    assert day_curve <= CURVE_RATIO * bare


NEW_READINGS = """
SELECT m, r.read_at, r.value
  FROM unnest(%(meters)s::int[]) AS m
 CROSS JOIN LATERAL (SELECT d.read_at, d.value FROM {source} ORDER BY d.read_at LIMIT 2000) r
"""
STREAM = "prepay_reading_stream(m, 1, %(after)s, 'infinity') d"
DIRECT = "prepay_reading_data d WHERE d.meter_id = m AND d.channel = 1 AND d.read_at > %(after)s"


@pytest.mark.timeout(1800)
def test_new_readings_are_found_and_rolled_up(site):
    """What billing asks for each minute, and the roll-up of a month of all meters."""
    newest = site.sql("SELECT max(read_at) FROM prepay_reading_data")[0][0]
    arguments = {"meters": site.meters, "after": newest - timedelta(minutes=30)}
    times: dict[str, list[float]] = {STREAM: [], DIRECT: []}
    for _run in range(9):
        for source in times:
            times[source].append(site.clock(NEW_READINGS.format(source=source), arguments))
    stream, direct = (statistics.median(values) for values in times.values())
    found = site.shell(
        """
        import time
        daily = env["prepay.reading.daily"]
        daily._mark_new()
        result["days"] = daily._count_marked()
        began = time.perf_counter()
        daily._cron_roll_up()
        env.cr.commit()
        result["seconds"] = time.perf_counter() - began
        """
    )
    print(
        f"\nnew readings of {len(site.meters):,} meters: {stream * 1e6 / len(site.meters):.0f} µs a meter "
        f"= {stream / direct:.2f} × bare table (goal ≤ {STREAM_RATIO} ×)"
        f"\nroll-up: {found['days']:,} register days in {found['seconds']:.1f} s, "
        f"{found['seconds'] * 1e6 / found['days']:.0f} µs each"
    )
    assert found["days"] > DAYS * METERS
    assert stream <= STREAM_RATIO * direct


@pytest.mark.timeout(1800)
def test_lists_do_not_read_everything(site):
    """The newest readings of all, of one meter and of a place, over single and compacted rows."""
    more = max(0, ROWS // (DAYS * A_DAY) - METERS)
    if more:
        site.add_meters(more)
        begin = datetime.combine(site.today, datetime.min.time()) - timedelta(days=DAYS)
        site.add_readings(site.meters[METERS:], begin, DAYS)
    site.sql("ANALYZE prepay_reading_data")
    rows = site.sql("SELECT count(*) FROM prepay_reading_data")[0][0]
    found = site.shell(
        f"""
        import time
        reading = env["prepay.reading"].with_user(env.ref("base.user_admin"))
        meter, old = {site.meters[7]}, "{site.begin + timedelta(days=9)}"
        cases = {{
            "all": [],
            "today": [("read_at", ">=", "today -1d"), ("channel", "in", ("energy", "volume"))],
            "this month": [("read_at", ">=", "today =1d")],
            "one meter": [("meter_id", "=", meter)],
            "one meter, compacted day": [("meter_id", "=", meter), ("read_at", "<", old)],
            "all, compacted day": [("read_at", "<", old)],
            "place": [("location_id", "child_of", env.ref("prepay_meter.location_a_101").id)],
        }}
        for name, domain in cases.items():
            times = []
            for _run in range(5):
                env.invalidate_all()
                began = time.perf_counter()
                page = reading.search_fetch(domain, ["read_at", "meter_id", "quantity"], limit=80,
                                            order="read_at desc, id desc")
                count = reading.search_count(domain, limit=10001)
                times.append(time.perf_counter() - began)
            assert len(page) == 80 and count >= 80, (name, len(page), count)
            result[name] = sorted(times)[2] * 1000
        query = reading._search([("meter_id", "=", meter), ("read_at", ">=", "today -7d")])
        env.cr.execute("EXPLAIN " + env.cr.mogrify(query.select().code, query.select().params).decode())
        result["plan"] = chr(10).join(row[0] for row in env.cr.fetchall())
        env.invalidate_all()
        began = time.perf_counter()
        reading.browse(page.ids).read(["value", "location_id"])
        result["by id"] = (time.perf_counter() - began) * 1000
        """
    )
    plan = found.pop("plan")
    print(
        f"\n{rows:,} single and {METERS * DAYS * A_DAY:,} compacted readings, first page and count:"
    )
    for name, spent in found.items():
        print(f"  {name:26} {spent:8.1f} ms")
    for table in (f"prepay_reading_{site.today:%Y_%m}", f"prepay_reading_day_{site.month:%Y_%m}"):
        assert f"Seq Scan on {table} " not in plan, plan
    assert max(found.values()) <= LIST_MS


@pytest.mark.timeout(1800)
def test_consumption_of_a_month(site):
    """100,000 meters of which each has a row for each day."""
    site.add_meters(FLEET - len(site.meters))
    first = site.today.replace(day=1)
    month = f"prepay_reading_daily_{first:%Y_%m}"
    arguments = {"first": first, "last": first + timedelta(days=28), "meters": site.meters}
    site.sql("TRUNCATE prepay_reading_daily_data, prepay_reading_monthly_data")
    site.sql(
        """
        INSERT INTO prepay_reading_daily_data (meter_id, channel, day, first_at, last_at, first_value,
                                               last_value, consumption, count)
        SELECT m, 1, day, day, day + interval '23 hours', m * 1000, m * 1000 + 5000, (m + day_no * 37) %% 9000,
               96
          FROM generate_series(0, 27) AS day_no, LATERAL (SELECT %(first)s::date + day_no AS day) d,
               unnest(%(meters)s::int[]) AS m
        """,
        arguments,
    )
    site.sql(
        "INSERT INTO prepay_reading_monthly_data (meter_id, channel, month, consumption) "
        "SELECT meter_id, channel, %(first)s, sum(consumption) FROM prepay_reading_daily_data "
        "WHERE day >= %(first)s AND day < %(last)s GROUP BY meter_id, channel",
        arguments,
    )
    site.sql(f"VACUUM ANALYZE {month}")
    site.sql("VACUUM ANALYZE prepay_reading_monthly_data")
    by_day = (
        "SELECT meter_id, sum(consumption) FROM prepay_reading_daily_data WHERE channel = 1 "
        "AND day >= %(first)s AND day < %(last)s GROUP BY meter_id"
    )
    by_month = (
        "SELECT meter_id, consumption FROM prepay_reading_monthly_data WHERE channel = 1 "
        "AND month = %(first)s"
    )
    days = min(site.clock(by_day, arguments) for _run in range(5))
    spent = min(site.clock(by_month, arguments) for _run in range(5))
    found = site.shell(
        f"""
        import time
        admin = env.ref("base.user_admin")
        cases = {{
            "monthly": ([("channel", "=", "energy"), ("month", "=", "{first}")],
                        ["building_id", "month:month"]),
            "daily": ([("channel", "=", "energy"), ("day", ">=", "{first}")],
                      ["building_id", "day:month"]),
        }}
        for name, (domain, groups) in cases.items():
            model = env["prepay.reading." + name].with_user(admin)
            times = []
            for _run in range(3):
                began = time.perf_counter()
                assert model._read_group(domain, groups, ["quantity:sum"])
                times.append(time.perf_counter() - began)
            result[name] = min(times)
        """
    )
    print(
        f"\nconsumption of {FLEET:,} meters in a month of 28 days: each meter {spent:.2f} s from the "
        f"months (goal ≤ {MONTH_S} s), {days:.2f} s from the days; by building on the screen "
        f"{found['monthly']:.2f} s and {found['daily']:.2f} s"
    )
    assert max(spent, found["monthly"]) <= MONTH_S
