"""Every fault of a simulated meter, on both protocols, as the codec of the collector sees it."""
# ruff: noqa: F401, F811 - fixtures are imported

import time
from decimal import Decimal

import pytest

from odoo.addons.prepay_meter.protocols import dlt645, exchange, values
from odoo.addons.prepay_meter.protocols.errors import Outcome

from .common_simulator import (
    METER,
    READS,
    TRIPS,
    fault,
    http,
    line,
    relay_645,
    simulation,
    status_word,
)

each_read = pytest.mark.parametrize(("gateway", "address", "read"), READS.values(), ids=READS)
each_trip = pytest.mark.parametrize(("gateway", "address", "trip"), TRIPS.values(), ids=TRIPS)


def energy_of(gateway, reply):
    encoding = "bcd" if gateway == "GW-645" else "u32"
    return values.decode(reply.data, encoding, Decimal(10))


@each_read
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("silent", True, Outcome.TIMEOUT),
        ("bad_checksum", True, Outcome.CRC),
        ("other_address", True, Outcome.WRONG_UNIT),
    ],
)
def test_no_answer_has_its_reason(simulation, line, gateway, address, read, name, value, reason):
    fault(simulation, address, **{name: value})
    connection, waiting = line(gateway), read()
    assert connection.ask(waiting, 0.2) is None
    assert waiting.failure()[0] is reason
    fault(simulation, address, **{name: False})
    assert connection.ask(read()) is not None


@each_read
def test_exception(simulation, line, gateway, address, read):
    fault(simulation, address, exception=4)
    assert line(gateway).ask(read()).error.code == 4


@each_read
def test_noise(simulation, line, gateway, address, read):
    fault(simulation, address, noise=True)
    waiting = read()
    assert line(gateway).ask(waiting).error is None
    assert waiting.received.startswith(b"\x00\xffping")


@each_read
def test_spike_decrease_and_stuck(simulation, line, gateway, address, read):
    connection = line(gateway)
    first = energy_of(gateway, connection.ask(read()))
    fault(simulation, address, spike_wh=500_000)
    assert energy_of(gateway, connection.ask(read())) >= first + 500_000
    fault(simulation, address, spike_wh=-50_000)
    assert energy_of(gateway, connection.ask(read())) < first
    fault(simulation, address, spike_wh=0, stuck=True)
    stuck = energy_of(gateway, connection.ask(read()))
    http(simulation, "PATCH", f"/meters/{address}", {"speed": 100_000})
    time.sleep(0.05)
    assert energy_of(gateway, connection.ask(read())) == stuck
    fault(simulation, address, stuck=False)
    assert energy_of(gateway, connection.ask(read())) > stuck
    http(simulation, "PATCH", f"/meters/{address}", {"energy_wh": 0, "power_w": 0})
    assert energy_of(gateway, connection.ask(read())) == 0


@each_read
def test_a_late_answer_meets_the_next_request(simulation, line, gateway, address, read):
    fault(simulation, address, late_ms=150)
    connection, waiting = line(gateway), read()
    assert connection.ask(waiting, 0.05) is None
    fault(simulation, address, late_ms=0)
    other = (
        exchange.dlt645_read(METER, "04000503")
        if gateway == "GW-645"
        else exchange.modbus_read(2, 0, 2)
    )
    http(simulation, "POST", f"/gateways/{gateway}", {"delay_ms": 300})
    assert connection.ask(other).error is None
    assert [stray.reason for stray in other.strays] == [
        Outcome.MALFORMED if gateway == "GW-645" else Outcome.WRONG_UNIT
    ]


@each_trip
def test_welded_relay_acknowledges(simulation, line, gateway, address, trip):
    fault(simulation, address, welded=True)
    connection = line(gateway)
    assert connection.ask(trip()).error is None
    found = http(simulation, "GET", f"/meters/{address}")[1]
    assert (found["relay"], found["commanded"]) == ("closed", "open")
    assert found["power_w"] > 0
    assert found["movements"] == []
    assert found["commands"][-1]["result"] == "acknowledged, relay stuck"
    if gateway == "GW-645":
        assert status_word(connection) == 1 << 6
    else:
        assert connection.ask(exchange.modbus_read(1, 0x57, 2)).registers == (1, 1)


@each_trip
def test_obeyed_without_acknowledgement(simulation, line, gateway, address, trip):
    fault(simulation, address, no_ack=True)
    connection, waiting = line(gateway), trip()
    assert connection.ask(waiting, 0.2) is None
    assert waiting.failure()[0] is Outcome.TIMEOUT
    assert http(simulation, "GET", f"/meters/{address}")[1]["relay"] == "open"
    read = READS["645" if gateway == "GW-645" else "modbus"][2]
    assert connection.ask(read()) is not None, "reads are answered"


@each_trip
def test_reads_are_held_after_a_write(simulation, line, gateway, address, trip):
    fault(simulation, address, hold_reads_after_write=True)
    connection = line(gateway)
    read = READS["645" if gateway == "GW-645" else "modbus"][2]
    assert connection.ask(read()) is not None
    assert connection.ask(trip()).error is None
    assert connection.ask(read(), 0.2) is None
    found = http(simulation, "GET", f"/meters/{address}")[1]
    assert (found["relay"], found["held"]) == ("open", True)
    assert fault(simulation, address, hold_reads_after_write=False)["held"] is False
    assert connection.ask(read()) is not None


def test_relay_delay_is_seen_as_command_before_position(simulation, line):
    http(simulation, "PATCH", f"/meters/{METER}", {"relay_delay_ms": 200})
    gateway = line("GW-645")
    gateway.ask(relay_645(dlt645.TRIP))
    assert status_word(gateway) == 1 << 6
    time.sleep(0.25)
    assert status_word(gateway) == 1 << 4 | 1 << 6
