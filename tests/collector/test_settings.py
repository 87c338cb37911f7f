"""Settings and credit on simulated meters, over sockets and a real database: written, read back, confirmed."""

import os
from contextlib import asynccontextmanager, contextmanager

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.support.database import clone_database, drop

METER, RTU_UNIT = "202611000001", 1
CONFIG = {
    "gateways": [
        {
            "name": "GW-645",
            "delay_ms": 1,
            "meters": [
                {
                    "protocol": "dlt645", "address": METER, "power_w": 0, "prepaid": True,
                    "purchases": 4, "balance_fen": 500,
                    "credit_fields": ["password", "operator", "amount", "number"],
                }
            ],
        },
        {
            "name": "GW-RTU",
            "delay_ms": 1,
            "meters": [
                {
                    "protocol": "modbus_adf400l", "address": RTU_UNIT, "phases": 3, "power_w": 0,
                    "prepaid": True, "purchases": 4, "balance_fen": 500,
                }
            ],
        },
    ]
}  # fmt: skip


class Crash(BaseException):
    """The process is killed here."""


class Site:
    """Two meters, and the collector's work on them without its worker."""

    def __init__(self, addons, database, simulation):
        self.settings = addons("collector.settings")
        self.link = addons("collector.link")
        self.store = addons("collector.store")
        self.conninfo = {"database": database.name, "host": os.environ["PGHOST"]}
        self.simulation = simulation
        self.connection = database.connect(autocommit=True)
        self.connection.execute("SET TIME ZONE 'UTC'")
        for name in ("GW-645", "GW-RTU"):
            self.sql(
                "UPDATE prepay_gateway SET host = '127.0.0.1', port = %s, timeout_ms = 300 WHERE name = %s",
                simulation.port(name),
                name,
            )
        self.sql("DELETE FROM prepay_meter_parameter")
        self.sql("DELETE FROM prepay_meter_credit")
        self.sql("DELETE FROM prepay_meter_event")
        self.sql("UPDATE prepay_meter_state SET missed_polls = 0, purchase_count = NULL")
        self.sql(
            "UPDATE prepay_meter SET profile_id = (SELECT res_id FROM ir_model_data WHERE name = "
            "'profile_adf400l_three') WHERE number = 'DDSY-0001'"
        )
        self.sql("UPDATE prepay_meter_control SET writable = true")
        self.sql("UPDATE prepay_meter_control SET read_address = NULL WHERE action = 'alarm_1'")
        self.sql(
            "UPDATE prepay_meter SET credit_base = 4, credit_series = 1, credit_locked = false, "
            "hoarding_limit_fen = 0"
        )
        self.meter_645 = self.one("SELECT id FROM prepay_meter WHERE address = %s", METER)[0]
        self.meter_rtu = self.one("SELECT id FROM prepay_meter WHERE number = 'DDSY-0001'")[0]
        self.asked = 0
        self.committed = 0
        #: (what, number, when): which request or transaction ends how
        self.accident = None

    # the database

    def sql(self, query, *arguments):
        return self.connection.execute(query, arguments or None)

    def one(self, query, *arguments):
        return self.sql(query, *arguments).fetchone()

    def wish(self, kind, value=0, document=None, state="queued", meter=None):
        """What the ERP writes."""
        return self.one(
            "INSERT INTO prepay_meter_parameter (meter_id, kind, desired, desired_document, state, epoch, "
            "attempts, not_before) VALUES (%s, %s, %s, %s, %s, 1, 0, CASE WHEN %s IN ('queued', 'sent') "
            "THEN NULL ELSE LOCALTIMESTAMP END) RETURNING id",
            meter or self.meter_645, kind, value, Jsonb(document) if document else None, state, state,
        )[0]  # fmt: skip

    def buy(self, number, amount, meter=None, state="queued"):
        return self.one(
            "INSERT INTO prepay_meter_credit (meter_id, series, number, amount_fen, origin, state, attempts, "
            "requested_at) VALUES (%s, 1, %s, %s, 'sale', %s, 0, LOCALTIMESTAMP) RETURNING id",
            meter or self.meter_645, number, amount, state,
        )[0]  # fmt: skip

    def parameter(self, row):
        names = ("state", "reported", "reported_document", "attempts", "detail")
        found = self.one(
            f"SELECT {', '.join(names)} FROM prepay_meter_parameter WHERE id = %s",
            row,
        )
        return dict(zip(names, found))

    def credit(self, row):
        names = (
            "state",
            "stop_reason",
            "attempts",
            "before_count",
            "before_fen",
            "after_count",
            "after_fen",
        )
        found = self.one(
            f"SELECT {', '.join(names)} FROM prepay_meter_credit WHERE id = %s",
            row,
        )
        return dict(zip(names, found))

    def events(self):
        return {
            kind
            for (kind,) in self.sql(
                "SELECT kind FROM prepay_meter_event WHERE cleared_at IS NULL AND meter_id = ANY(%s)",
                [self.meter_645, self.meter_rtu],
            )
        }

    # the meters

    def device(self, address=METER):
        from odoo.addons.prepay_meter.simulator import settings

        def work(simulation):
            meter = next(meter for meter in simulation.meters if meter.address == str(address))
            found = settings.state(meter)
            found["limit_w"], found["plan"] = meter.guard.max_power_w, meter.guard.work_slots
            found["time_control"] = meter.guard.time_control
            return found

        return self.simulation.call(work)

    def change(self, address=METER, **changes):
        from odoo.addons.prepay_meter.simulator import settings

        def work(simulation):
            meter = next(meter for meter in simulation.meters if meter.address == str(address))
            settings.change(meter, changes)

        self.simulation.call(work)

    # the collector

    @asynccontextmanager
    async def collector(self):
        """A fresh process: its own connection, link and configuration."""
        store = self.store.Store(self.conninfo)
        original = store.transaction

        async def transaction(work):
            self.committed += 1
            number = self.committed
            if self.accident == ("commit", number, "before"):
                raise Crash
            result = await original(work)
            if self.accident == ("commit", number, "after"):
                raise Crash
            return result

        gateways = await store.load()
        store.transaction = transaction
        links = []
        work = {}
        for gateway in gateways.values():
            if gateway.name not in ("GW-645", "GW-RTU"):
                continue
            link = self.link.SerialLink(gateway.host, gateway.port, gateway.timeout, 0.0)
            links.append(link)
            work[gateway.id] = (gateway, self._asker(link))
        try:
            yield store, work, original
        finally:
            for link in links:
                link.close()
            await store.close()

    def _asker(self, link):
        async def ask(exchange):
            self.asked += 1
            number = self.asked
            if self.accident == ("ask", number, "before"):
                raise Crash
            reply = await link.ask(exchange)
            if self.accident == ("ask", number, "after"):
                raise Crash
            if self.accident == ("ask", number, "lost"):
                raise self.link.NoReply(
                    self.settings.Outcome.TIMEOUT, "the reply was lost on the way"
                )
            return reply

        return ask

    async def turn(self, times=1):
        """So many looks for work, each by a process of its own; pauses are skipped."""
        for _turn in range(times):
            self.sql("UPDATE prepay_meter_credit SET not_before = NULL")
            self.sql(
                "UPDATE prepay_meter_parameter SET not_before = NULL WHERE state IN ('queued', 'sent')"
            )
            async with self.collector() as (store, work, transaction):
                tasks = await transaction(
                    lambda connection, ids=list(work): self.settings.due(connection, ids)
                )
                for task in tasks:
                    gateway, ask = work[task.gateway_id]
                    try:
                        await self.settings.carry_out(
                            task, gateway.meters[task.meter_id], ask, store
                        )
                    except self.link.NoReply:
                        continue
                    except Crash:
                        break


@pytest.fixture(scope="module")
def database():
    """One clone for all tests of this module; each site begins by putting it in order."""
    made = clone_database("settings")
    try:
        yield made
    finally:
        drop(made)


@pytest.fixture
def site(addons, database):
    with addons("simulator.simulation").in_thread(CONFIG) as simulation:
        made = Site(addons, database, simulation)
        yield made
        made.connection.close()


@contextmanager
def accident(site, what, number, when):
    site.asked = site.committed = 0
    site.accident = (what, number, when)
    yield
    site.accident = None


# parameters


def test_an_amount_is_written_read_back_and_confirmed(site, run):
    row = site.wish("alarm_1", 1500)
    run(site.turn)
    assert site.parameter(row) == {
        "state": "synced", "reported": 1500, "reported_document": None, "attempts": 1, "detail": None,
    }  # fmt: skip
    assert site.device()["credit"]["alarm1_fen"] == 1500
    again = site.one(
        "SELECT not_before > LOCALTIMESTAMP + interval '23 hours' FROM prepay_meter_parameter"
    )
    assert again == (True,), "it is looked at again in a day"


def test_clock_is_set_only_when_it_is_off(site, run):
    row = site.wish("clock")
    run(site.turn)
    assert site.parameter(row)["state"] == "synced"
    assert site.parameter(row)["attempts"] == 0, "a right clock is not touched"
    site.change(clock_offset_s=-500)
    site.sql("UPDATE prepay_meter_parameter SET not_before = LOCALTIMESTAMP")
    run(site.turn)
    found = site.parameter(row)
    assert (found["state"], found["attempts"]) == ("synced", 1)
    assert abs(found["reported"]) <= 2
    (drift,) = site.one(
        "SELECT s.clock_drift_s FROM prepay_meter_state s JOIN prepay_meter m ON m.state_id = s.id "
        "WHERE m.id = %s",
        site.meter_645,
    )
    assert abs(drift) <= 2


def test_clock_of_words(site, run):
    site.change(RTU_UNIT, clock_offset_s=90_000)
    row = site.wish("clock", meter=site.meter_rtu)
    run(site.turn)
    assert site.parameter(row)["state"] == "synced"
    assert abs(site.parameter(row)["reported"]) <= 2


def test_clock_that_cannot_be_set_is_reported_with_its_drift(site, run):
    site.sql("UPDATE prepay_meter_control SET writable = false WHERE action = 'clock'")
    site.change(clock_offset_s=300)
    row = site.wish("clock", state="impossible")
    run(site.turn)
    found = site.parameter(row)
    assert found["state"] == "impossible"
    assert 298 <= found["reported"] <= 302
    assert "clock_drift" in site.events()


def test_guarantee_is_proven_by_its_bit(site, run):
    row = site.wish("guarantee", 1)
    run(site.turn)
    assert site.parameter(row)["state"] == "synced"
    assert site.device()["keep_power"] is True
    site.sql("UPDATE prepay_meter_parameter SET desired = 0, state = 'queued', epoch = epoch + 1")
    run(site.turn)
    assert site.parameter(row)["state"] == "synced"
    assert site.device()["keep_power"] is False


def test_release_that_cannot_be_read_back_says_so(site, run):
    row = site.wish("release", 1)
    run(site.turn)
    assert site.parameter(row)["state"] == "unproven"
    assert site.parameter(row)["attempts"] == 1
    run(site.turn)
    assert site.parameter(row)["attempts"] == 1, "it is not sent again"


def test_limits_and_plans_of_modbus_meters(site, run):
    plan = [{"days": [0, 1, 2, 3, 4], "times": [["05:50", "on"], ["23:00", "off"]]},
            {"days": [5, 6], "times": [["07:00", "on"]]}]  # fmt: skip
    limit = site.wish("overload", 3000, meter=site.meter_rtu)
    hours = site.wish("time_control", document=plan, meter=site.meter_rtu)
    tariff = site.wish("tariff", document=[["00:00", 4], ["08:30", 2]], meter=site.meter_rtu)
    run(site.turn)
    for row in (limit, hours, tariff):
        assert site.parameter(row)["state"] == "synced", site.parameter(row)
    device = site.device(RTU_UNIT)
    assert device["limit_w"] == 3000
    assert device["time_control"] is True
    assert device["plan"] == [(1, 5, 50), (0, 23, 0)]
    assert site.parameter(hours)["reported_document"] == plan


def test_a_plan_the_meter_cannot_keep_goes_to_the_platform(site, run):
    plan = [{"days": [0], "times": [["00:00", "off"], ["05:50", "on"]]}]
    row = site.wish("time_control", document=plan, meter=site.meter_rtu)
    run(site.turn)
    assert site.parameter(row)["state"] == "platform"
    assert "every day" in site.parameter(row)["detail"]


def test_what_is_not_released_is_read_and_not_written(site, run):
    site.sql("UPDATE prepay_meter_control SET writable = false WHERE action = 'overload'")
    site.change(max_power_w=2500)
    watched = site.wish("overload", 3000, state="platform")
    asked = site.wish("overload", 3000, meter=site.meter_rtu)
    run(site.turn)
    assert site.parameter(watched)["state"] == "platform"
    assert site.parameter(watched)["reported"] == 2500
    assert site.parameter(asked)["state"] == "platform"
    assert site.device()["limit_w"] == 2500
    assert site.device(RTU_UNIT)["limit_w"] == 0


def test_a_relay_command_that_is_not_released_is_not_sent(site, run):
    site.sql("UPDATE prepay_meter_control SET writable = false WHERE action = 'open'")
    driver, now = site.settings.driver, site.settings._now()

    async def work():
        async with site.collector() as (_store, workers, _transaction):
            for gateway, ask in workers.values():
                for meter in gateway.meters.values():
                    with pytest.raises(site.link.NoReply, match="does not release"):
                        await driver.write_relay(meter, "open", now, ask)

    site.asked = 0
    run(work)
    assert site.asked == 0


def test_a_refusal_is_shown_after_a_second_try(site, run):
    site.change(password="02999999")
    row = site.wish("alarm_1", 1500)
    run(site.turn)
    assert site.parameter(row)["state"] == "queued"
    run(site.turn)
    found = site.parameter(row)
    assert (found["state"], found["attempts"]) == ("refused", 2)
    assert "password" in found["detail"]
    assert "setting_refused" in site.events()
    site.change(password="02000000")
    site.sql("UPDATE prepay_meter_parameter SET state = 'queued', attempts = 0")
    run(site.turn)
    assert site.parameter(row)["state"] == "synced"
    assert "setting_refused" not in site.events()


def test_a_meter_that_keeps_another_value_is_shown(site, run):
    site.sql("UPDATE prepay_meter_control SET read_address = '04001002' WHERE action = 'alarm_1'")
    row = site.wish("alarm_1", 1500)
    run(site.turn, site.settings.MAX_WRITES + 2)
    found = site.parameter(row)
    assert (found["state"], found["attempts"]) == ("failed", site.settings.MAX_WRITES)
    assert found["reported"] == 1000
    assert "setting_refused" in site.events()


def test_a_value_changed_at_the_meter_is_put_right(site, run):
    row = site.wish("alarm_1", 1500)
    run(site.turn)
    site.change(alarm1_fen=9900)
    site.sql("UPDATE prepay_meter_parameter SET not_before = LOCALTIMESTAMP")
    run(site.turn)
    assert site.device()["credit"]["alarm1_fen"] == 1500
    assert site.parameter(row)["state"] == "synced"


def test_newest_wish_wins_while_an_older_one_is_under_way(site, run):
    row = site.wish("alarm_1", 1500)
    original = site.settings.driver.read_block

    async def newer(meter, block, ask):
        site.sql(
            "UPDATE prepay_meter_parameter SET desired = 1800, epoch = 2, state = 'queued', attempts = 0"
        )
        site.settings.driver.read_block = original
        return await original(meter, block, ask)

    site.settings.driver.read_block = newer
    try:
        run(site.turn)
    finally:
        site.settings.driver.read_block = original
    assert site.parameter(row)["state"] == "queued", "the old one confirms nothing"
    run(site.turn)
    assert site.parameter(row)["state"] == "synced"
    assert site.device()["credit"]["alarm1_fen"] == 1800


def test_a_task_of_an_older_wish_writes_nothing(site, run):
    row = site.wish("alarm_1", 1500)

    async def work():
        async with site.collector() as (store, workers, transaction):
            (task,) = await transaction(lambda c, ids=list(workers): site.settings.due(c, ids))
            site.sql("UPDATE prepay_meter_parameter SET desired = 1800, epoch = 2")
            gateway, ask = workers[task.gateway_id]
            await site.settings.carry_out(task, gateway.meters[task.meter_id], ask, store)

    run(work)
    assert site.parameter(row)["state"] == "queued"
    assert site.device()["credit"]["alarm1_fen"] == 2000


def test_after_a_lost_reply_the_meter_is_read_first(site, run):
    row = site.wish("alarm_1", 1500)
    with accident(site, "ask", 1, "lost"):
        run(site.turn)
    assert site.parameter(row)["state"] == "sent"
    run(site.turn)
    assert site.parameter(row) == {
        "state": "synced", "reported": 1500, "reported_document": None, "attempts": 1, "detail": None,
    }  # fmt: skip


@pytest.mark.parametrize("what", ["ask", "commit"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_setting_survives_a_kill(site, run, what, number, when):
    row = site.wish("alarm_1", 1500)
    with accident(site, what, number, when):
        run(site.turn)
    run(site.turn, 2)
    assert site.parameter(row)["state"] == "synced"
    assert site.device()["credit"]["alarm1_fen"] == 1500


def test_a_silent_meter_is_left_alone(site, run):
    row = site.wish("alarm_1", 1500)
    site.sql("UPDATE prepay_meter_state SET missed_polls = 3")
    site.asked = 0
    run(site.turn)
    assert site.asked == 0
    assert site.parameter(row)["state"] == "queued"
    (later,) = site.one(
        "SELECT not_before > LOCALTIMESTAMP + interval '4 minutes' FROM prepay_meter_parameter"
    )
    assert later


# credit


@pytest.mark.parametrize("protocol", ["dlt645", "modbus"])
def test_purchases_arrive_in_order_and_once(site, run, protocol):
    meter, address = (site.meter_645, METER) if protocol == "dlt645" else (site.meter_rtu, RTU_UNIT)
    rows = [site.buy(5, 1000, meter), site.buy(6, 2000, meter)]
    run(site.turn, 3)
    assert [site.credit(row)["state"] for row in rows] == ["confirmed", "confirmed"]
    assert site.credit(rows[1]) | {"attempts": 1} == {
        "state": "confirmed", "stop_reason": None, "attempts": 1, "before_count": 5, "before_fen": 1500,
        "after_count": 6, "after_fen": 3500,
    }  # fmt: skip
    credit = site.device(address)["credit"]
    assert (credit["purchases"], credit["balance_fen"]) == (6, 3500)
    (count, money) = site.one(
        "SELECT s.purchase_count, s.remaining_fen FROM prepay_meter_state s JOIN prepay_meter m "
        "ON m.state_id = s.id WHERE m.id = %s",
        meter,
    )
    assert (count, money) == (6, 3500)


#: A purchase takes thirteen requests (two equal reads of three values, the write, two reads) and three commits.
ACCIDENTS = [
    ("ask", number, when) for number in range(1, 14) for when in ("before", "after", "lost")
]
ACCIDENTS += [("commit", number, when) for number in range(1, 4) for when in ("before", "after")]


@pytest.mark.parametrize(("what", "number", "when"), ACCIDENTS)
def test_credit_survives_a_kill_and_a_lost_reply(site, run, what, number, when):
    row = site.buy(5, 1000)
    with accident(site, what, number, when):
        run(site.turn)
        happened = site.asked if what == "ask" else site.committed
        assert happened >= number, "the accident happened"
    run(site.turn, 2)
    assert site.credit(row)["state"] == "confirmed"
    credit = site.device()["credit"]
    assert (credit["purchases"], credit["balance_fen"], len(credit["taken"])) == (5, 1500, 1)


def test_a_refused_purchase_stops_for_a_person(site, run):
    site.change(hoarding_fen=1000)
    row, behind = site.buy(5, 1000), site.buy(6, 100)
    run(site.turn, 2)
    found = site.credit(row)
    assert (found["state"], found["stop_reason"], found["after_count"]) == ("stopped", "refused", 4)
    assert site.credit(behind)["state"] == "queued", "what follows waits"
    assert "credit_stopped" in site.events()
    assert site.device()["credit"]["purchases"] == 4


def test_the_platform_asks_no_meter_for_too_much(site, run):
    site.sql("UPDATE prepay_meter SET hoarding_limit_fen = 1400")
    row = site.buy(5, 1000)
    run(site.turn)
    found = site.credit(row)
    assert (found["state"], found["stop_reason"], found["attempts"]) == ("stopped", "hoarding", 0)
    assert (found["before_count"], found["before_fen"]) == (4, 500)


@pytest.mark.parametrize(("count", "reason"), [(6, "ahead"), (3, "behind")])
def test_a_counter_that_is_not_ours_stops(site, run, count, reason):
    site.change(purchases=count)
    row = site.buy(5, 1000)
    run(site.turn)
    assert (site.credit(row)["state"], site.credit(row)["stop_reason"]) == ("stopped", reason)
    assert site.device()["credit"]["balance_fen"] == 500


def test_after_a_restore_nothing_is_sent_before_the_counter_agrees(site, run):
    site.sql("UPDATE prepay_meter SET credit_locked = true")
    row = site.buy(5, 1000)
    site.change(purchases=5)  # the meter took number 5 after the backup was made
    run(site.turn, 2)
    assert (site.credit(row)["state"], site.credit(row)["stop_reason"]) == ("stopped", "ahead")
    assert site.device()["credit"]["balance_fen"] == 500
    assert site.one("SELECT credit_locked FROM prepay_meter WHERE id = %s", site.meter_645) == (
        True,
    )
    site.sql("UPDATE prepay_meter_credit SET state = 'confirmed'")  # a person saw it in the meter
    later = site.buy(6, 2000)
    run(site.turn)
    assert site.credit(later)["state"] == "confirmed"
    assert site.one("SELECT credit_locked FROM prepay_meter WHERE id = %s", site.meter_645) == (
        False,
    )


def test_one_purchase_of_a_meter_may_be_in_doubt(site):
    site.buy(5, 1000, state="sent")
    with pytest.raises(psycopg.errors.UniqueViolation):
        site.buy(6, 1000, state="sent")


def test_a_corrupted_counter_confirms_nothing(site, run):
    """One read may be wrong under a right checksum: only two equal ones count (R-08)."""
    row = site.buy(5, 1000)
    original = site.settings.driver.read_blocks
    site.settings.driver.read_blocks = _once_wrong(site)
    try:
        run(site.turn)
    finally:
        site.settings.driver.read_blocks = original
    assert (site.credit(row)["state"], site.credit(row)["attempts"]) == ("queued", 0)
    run(site.turn)
    assert site.credit(row)["state"] == "confirmed"
    assert site.device()["credit"]["purchases"] == 5


def _once_wrong(site):
    original, calls = site.settings.driver.read_blocks, []

    async def read_blocks(meter, blocks, ask):
        found = await original(meter, blocks, ask)
        calls.append(1)
        if len(calls) == 1:
            found["purchase_count"] += 1
        return found

    return read_blocks
