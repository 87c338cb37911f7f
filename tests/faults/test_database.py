"""The database goes away, is cut in the middle of a commit, and comes back: nothing polled is lost.

F10 server gone and collector killed meanwhile, F11 sessions ended by the server, F12 commit done and answer cut.
The collector reaches PostgreSQL through a proxy; the server itself is shared and goes on.
"""

import random
import time

import pytest

from tests.support.chaos import Proxy
from tests.support.plant import Plant
from tests.support.site import libpq
from tests.support.stack import wait_for

SEED = 20261125
#: Seconds between two polls of a meter, at most 1.5 intervals when nothing goes wrong.
INTERVAL = 3.0


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    running = Plant(tmp_path_factory.mktemp("database"), "database", SEED, 4, 2, INTERVAL / 60)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def server(plant):
    """A proxy before PostgreSQL, and the way through it."""
    info = libpq(plant.site.database)
    if info["host"].startswith("/"):
        target = f"{info['host']}/.s.PGSQL.{info['port']}"
    else:
        target = (info["host"], info["port"])
    with Proxy(target, SEED) as proxy:
        proxy.way = {"host": "127.0.0.1", "port": proxy.port, "sslmode": "disable"}
        yield proxy


def now(plant):
    return plant.site.one("SELECT date_trunc('second', LOCALTIMESTAMP)")


def polls(plant) -> int:
    return sum(plant.device(meter)["reads"] for meter in plant.meters)


def gaps(plant, start, end) -> float:
    """The longest time without a reading of any meter between two moments."""
    longest = 0.0
    for meter in plant.meters:
        times = [row["read_at"] for row in plant.site.readings(meter.id)]
        times = [start, *(at for at in times if start <= at <= end), end]
        longest = max(longest, *((b - a).total_seconds() for a, b in zip(times, times[1:])))
    return longest


def test_polled_while_the_database_is_away(plant, server, tmp_path):
    """F10: reading goes on, all of it is stored afterwards, also when the collector is killed meanwhile."""
    process = plant.start_light("-spool", tmp_path / "spool", **server.way)
    plant.wait_for_readings()
    start = now(plant)
    server.change(down=True)
    before = polls(plant)
    time.sleep(4 * INTERVAL)
    assert polls(plant) > before + 2 * len(plant.meters), "reading goes on without the database"
    plant.kill(process)
    killed = now(plant)
    assert gaps(plant, start, killed) > 3 * INTERVAL, "nothing can have been stored yet"
    server.change(down=False)
    plant.forget_leases()
    plant.start_light("-spool", tmp_path / "spool", **server.way)
    wait_for(lambda: gaps(plant, start, killed) <= 2.5 * INTERVAL, 40, "what was spooled is stored")
    plant.check()


def test_back_without_restart(plant, server):
    """F10: the same process stores what waited when the server is back, and serves on."""
    start = now(plant)
    server.change(down=True)
    wish = plant.site.wish(plant.meters[0].id, "open")
    time.sleep(3 * INTERVAL)
    assert plant.device(plant.meters[0])["relay"] == "closed", "no command without the database"
    server.change(down=False)
    wait_for(lambda: plant.site.command(wish)["state"] == "confirmed", 40, "command carried out")
    end = now(plant)
    wait_for(lambda: gaps(plant, start, end) <= 3 * INTERVAL, 40, "what waited is stored")
    plant.check()


def test_sessions_ended_by_the_server(plant, server):
    """F11: sessions are terminated 40 times at random moments; polls and commands go on."""
    chance = random.Random(SEED)
    start = now(plant)
    for number in range(40):
        if number % 6 == 0:
            meter = chance.choice(plant.meters)
            plant.site.wish(meter.id, chance.choice(("open", "closed")))
        plant.site.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND random() < 0.6"
        )
        time.sleep(chance.uniform(0.02, 0.4))
    wait_for(plant.all_confirmed, 40, "all wishes carried out")
    end = now(plant)
    time.sleep(INTERVAL)
    wait_for(lambda: gaps(plant, start, end) <= 3 * INTERVAL, 40, "no reading is missing")
    plant.check()


def test_answers_of_the_server_are_cut(plant, server):
    """F12: the connection breaks after any number of bytes, also between a commit and its answer."""
    chance = random.Random(SEED)
    start = now(plant)
    for number in range(30):
        server.change(up=number % 2 == 0, back=True, cut_after=chance.randrange(300, 12_000))
        server.reset()
        if number % 4 == 0:
            meter = chance.choice(plant.meters)
            plant.site.wish(meter.id, chance.choice(("open", "closed")))
        time.sleep(chance.uniform(0.1, 0.4))
    server.calm()
    server.reset()
    wait_for(plant.all_confirmed, 60, "all wishes carried out")
    end = now(plant)
    time.sleep(INTERVAL)
    wait_for(lambda: gaps(plant, start, end) <= 3 * INTERVAL, 60, "no reading is missing")
    plant.check()


def test_slow_server(plant, server):
    """F15-like: each answer of the database takes up to 0.3 s; polling goes on meanwhile."""
    server.change(delay=(0.0, 0.3))
    before, start = polls(plant), now(plant)
    time.sleep(4 * INTERVAL)
    assert polls(plant) >= before + 3 * len(plant.meters)
    end = now(plant)
    server.calm()
    wait_for(lambda: gaps(plant, start, end) <= 2.5 * INTERVAL, 40, "all stored")
    plant.check()
