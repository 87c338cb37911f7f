"""Results on their way into the database: batches, repetition, bad rows, a database that is away."""

import asyncio
import os
from datetime import datetime, timedelta

import psycopg
import pytest

AT = datetime(2026, 11, 1, 8, 0, 0)  # noqa: DTZ001 - naive UTC


@pytest.fixture
def parts(addons, database):
    """Meters of the demo as the collector sees them, and what stores their results."""

    class Parts:
        results = addons("collector.results")
        sink = addons("collector.sink")
        spool = addons("collector.spool")
        store = addons("collector.store")
        conninfo = {"database": database.name, "host": os.environ["PGHOST"]}

        def rows(self, query, *arguments):
            with database.connect() as connection:
                return connection.execute(query, arguments or None).fetchall()

        async def meters(self):
            store = self.store.Store(self.conninfo)
            gateways = await store.load()
            await store.close()
            return [meter for item in gateways.values() for meter in item.meters.values()]

        def make(self, spool=None, **conninfo):
            store = self.store.Store({**self.conninfo, **conninfo}, staging=True)
            return self.sink.Sink(store, spool)

        def result(self, meter, minute=0, **values):
            at = AT + timedelta(minutes=minute)
            return self.results.PollResult(meter, at, [(1, 1000 + minute)], **values)

    return Parts()


def stored(parts, meter):
    return parts.rows(
        "SELECT read_at, value FROM prepay_reading_data WHERE meter_id = %s AND read_at >= %s "
        "ORDER BY read_at",
        meter.id,
        AT,
    )


def test_many_results_one_transaction_and_repetition_is_harmless(parts, run):
    async def work():
        meter = (await parts.meters())[0]
        sink = parts.make()
        for _again in range(2):
            for minute in (2, 1, 3):
                sink.put(parts.result(meter, minute, values={"power": 700, "relay": "open"}))
            await sink.flush()
        await sink.store.close()
        return meter

    meter = run(work)
    assert [value for _at, value in stored(parts, meter)] == [1001, 1002, 1003]
    ((value, at, power, relay),) = parts.rows(
        "SELECT last_value, last_read_at, power_w, relay_reported FROM prepay_meter_state WHERE id = %s",
        meter.state_id,
    )
    assert (value, power, relay) == (1003, 700, "open")
    assert at == AT + timedelta(minutes=3), "late data does not turn the state back"
    electrical = parts.rows(
        "SELECT power FROM prepay_reading_electrical_data WHERE meter_id = %s AND read_at >= %s",
        meter.id,
        AT,
    )
    assert electrical == [(700,)] * 3


def test_a_result_that_cannot_be_stored_does_not_hold_up_the_others(parts, run, caplog):
    async def work():
        meter, other = (await parts.meters())[:2]
        sink = parts.make()
        for minute in range(20):
            sink.put(parts.result(meter, minute))
        bad = parts.result(other, 5)
        bad.readings = [(1, 2**70)]
        sink.put(bad)
        await sink.flush()
        await sink.store.close()
        return meter, sink.dropped

    meter, dropped = run(work)
    assert len(stored(parts, meter)) == 20
    assert dropped == 1
    assert "cannot be stored" in caplog.text
    caplog.clear()


def test_while_the_database_is_away_results_wait_on_disk_in_order(parts, run, tmp_path):
    """Also over a restart of the collector; events and their end keep their order."""
    event = {"kind": "crc", "detail": "wrong", "severity": "warning"}

    async def away():
        meter = (await parts.meters())[0]
        spool = parts.spool.Spool(tmp_path / "x.spool", 1 << 20)
        sink = parts.make(spool, host="127.0.0.1", port=1)
        sink.put(parts.result(meter, 1), [parts.results.Event(meter_id=meter.id, **event)])
        sink.put(parts.result(meter, 2), clear={"crc"})
        await sink.flush()
        assert sink.away
        sink.put(parts.result(meter, 3))
        await sink.flush()
        spool.close()
        return meter

    async def back():
        spool = parts.spool.Spool(tmp_path / "x.spool", 1 << 20)
        sink = parts.make(spool)
        meter = (await parts.meters())[0]
        sink.put(parts.result(meter, 4))
        await sink.flush()
        assert not sink.away
        assert not spool
        await sink.store.close()

    meter = run(away)
    assert stored(parts, meter) == []
    run(back)
    assert [value for _at, value in stored(parts, meter)] == [1001, 1002, 1003, 1004]
    ((cleared, count),) = parts.rows(
        "SELECT cleared_at IS NOT NULL, count FROM prepay_meter_event WHERE meter_id = %s AND kind = 'crc'",
        meter.id,
    )
    assert (cleared, count) == (True, 1)


def test_done_is_called_after_the_commit_and_only_then(parts, run):
    """Who acknowledges a message may do so when its values are in the table (not on disk)."""
    seen = []

    async def work():
        meter = (await parts.meters())[0]

        def done():
            seen.append(len(stored(parts, meter)))

        lost = parts.make(host="127.0.0.1", port=1)
        lost.put(parts.result(meter, 1), done=done)
        await lost.flush()
        assert seen == []
        assert lost.waiting == 1
        sink = parts.make()
        sink.put(parts.result(meter, 1), done=done)
        await sink.flush()
        await sink.store.close()

    run(work)
    assert seen == [1]


def test_server_that_goes_away_in_between_loses_nothing(parts, run, database, tmp_path):
    async def work():
        meter = (await parts.meters())[0]
        sink = parts.make(parts.spool.Spool(tmp_path / "x.spool", 1 << 20))
        writing = asyncio.create_task(sink.run())
        for minute in range(200):
            sink.put(parts.result(meter, minute))
            if minute % 40 == 10:
                with psycopg.connect(dbname="postgres", autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                        [database.name],
                    )
            await asyncio.sleep(0.005)
        await sink.stored()
        while sink.spool:
            await asyncio.sleep(0.1)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await sink.store.close()
        return meter

    meter = run(work)
    assert len(stored(parts, meter)) == 200
