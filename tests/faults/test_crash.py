"""Collectors that are killed, stopped, replaced and starved while relays move.

F02/F03 SIGKILL around a relay write, F05 a process that sleeps longer than its lease, F06 restart with work in
flight, F07 no CPU, F08 a command seen twice.
"""

import os
import random
import signal
import time
from collections import Counter

import pytest

from tests.support.plant import Plant
from tests.support.stack import wait_for

SEED = 20261124
ROUNDS = 20
SWITCHES = 6


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    running = Plant(tmp_path_factory.mktemp("crash"), "crash", SEED, gateways=6, units=2)
    try:
        yield running
    finally:
        running.close()


def test_killed_around_relay_writes(plant):
    """F03, S-07: collectors die at random moments while relays are switched to and fro.

    The kill falls anywhere between the wish and the confirmation. The leases of the dead are declared run out,
    everything else is real.
    """
    chance = random.Random(SEED)
    process = plant.start_light()
    plant.wait_for_readings()
    found: Counter = Counter()
    for round_ in range(ROUNDS):
        wait_for(plant.served, 20, "every gateway is served")
        targets = [chance.choice(("open", "closed")) for _number in range(SWITCHES)]
        meters = chance.sample(plant.meters, SWITCHES)
        commands = [plant.site.wish(meter.id, to) for meter, to in zip(meters, targets)]
        time.sleep(chance.uniform(0.0, 0.25))
        plant.kill(process)
        found.update(plant.site.command(command)["state"] for command in commands)
        plant.forget_leases()
        process = plant.start_light()
        if chance.random() < 0.3:
            continue  # the next one is killed with the work of two rounds in flight
        wait_for(plant.all_confirmed, 40, f"round {round_}: all wishes carried out")
        plant.check()
    wait_for(plant.all_confirmed, 40, "all wishes carried out")
    plant.check()
    print(f"{ROUNDS} kills, {SWITCHES} switches each; when killed they were: {dict(found)}")
    assert found["sent"] >= ROUNDS
    for meter in plant.meters:
        assert plant.site.state(meter.id)["relay_reported"] == plant.device(meter)["relay"]


def test_restart_resolves_what_is_in_doubt_first(plant):
    """F06: after a crash between write and read-back the relay is read before anything is written."""
    wait_for(plant.all_confirmed, 40, "nothing in flight")
    meter = plant.meters[1]
    before = plant.site.wish(meter.id, "closed")
    wait_for(lambda: plant.site.command(before)["state"] == "confirmed", 20, "closed")
    plant.change(meter, faults={"hold_reads_after_write": True})
    command = plant.site.wish(meter.id, "open")
    wait_for(lambda: plant.device(meter)["relay"] == "open", 20, "the relay has moved")
    plant.kill(plant.processes[-1])
    assert plant.site.command(command)["state"] == "sent"
    writes = len(plant.device(meter)["commands"])
    plant.change(meter, faults={"hold_reads_after_write": False})
    plant.forget_leases()
    plant.start_light()
    wait_for(lambda: plant.site.command(command)["state"] == "confirmed", 20, "confirmed")
    assert len(plant.device(meter)["commands"]) == writes
    assert plant.site.command(command)["attempts"] == 1
    plant.check()


def test_commands_twice_and_in_crowds(plant):
    """F08: a thousand notifications and a wish each; every relay is written once for its newest wish."""
    wait_for(plant.all_confirmed, 40, "nothing in flight")
    writes = {meter: len(plant.device(meter)["commands"]) for meter in plant.meters}
    commands = [plant.site.wish(meter.id, "open") for meter in plant.meters]
    for _number in range(1_000):
        plant.site.connection.execute("SELECT pg_notify('prepay_command', %s)", [str(_number)])
    wait_for(plant.all_confirmed, 30, "all switched")
    for meter, command in zip(plant.meters, commands):
        assert plant.site.command(command)["state"] == "confirmed"
        assert plant.site.command(command)["attempts"] == 1
        assert len(plant.device(meter)["commands"]) == writes[meter] + 1
    plant.check()


def test_starved_of_cpu(plant):
    """F07: a collector that hardly runs is slow; it never switches wrongly and loses no reading."""
    wait_for(plant.all_confirmed, 40, "nothing in flight")
    process = plant.processes[-1]
    assert process.poll() is None
    before = {meter: len(plant.site.readings(meter.id)) for meter in plant.meters}
    chance = random.Random(SEED)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        process.send_signal(signal.SIGSTOP)
        time.sleep(chance.uniform(0.2, 0.9))
        process.send_signal(signal.SIGCONT)
        time.sleep(chance.uniform(0.01, 0.1))
        if chance.random() < 0.5:
            plant.site.wish(chance.choice(plant.meters).id, chance.choice(("open", "closed")))
    wait_for(plant.all_confirmed, 40, "all wishes carried out")
    plant.check()
    for meter in plant.meters:
        wait_for(
            lambda meter=meter: len(plant.site.readings(meter.id)) > before[meter], 20, "readings"
        )


def test_zombie_does_no_harm(plant):
    """F05: a real collector sleeps longer than its lease while another takes over; then it wakes up.

    The second one serves within 60 s, and what the first one still meant to do is never done.
    """
    wait_for(plant.all_confirmed, 40, "nothing in flight")
    plant.kill(plant.processes[-1])
    plant.forget_leases()
    first = plant.site.start_collector(wait=True)
    command = plant.site.wish(plant.meters[0].id, "closed")
    wait_for(lambda: plant.site.command(command)["state"] == "confirmed", 30, "closed")

    first.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    meter = plant.meters[0]
    reads = plant.device(meter)["reads"]
    wish = plant.site.wish(meter.id, "open", expires_s=600)
    second = plant.site.start_collector()
    wait_for(lambda: plant.device(meter)["reads"] > reads, 60, "the second collector reads")
    assert time.monotonic() - stopped <= 60
    wait_for(lambda: plant.site.command(wish)["state"] == "confirmed", 30, "opened by the second")
    back = plant.site.wish(meter.id, "closed")
    wait_for(lambda: plant.site.command(back)["state"] == "confirmed", 30, "closed by the second")
    written = [entry["action"] for entry in plant.device(meter)["commands"]]

    first.send_signal(signal.SIGCONT)
    time.sleep(12)  # longer than it takes to renew a lease
    assert [entry["action"] for entry in plant.device(meter)["commands"]] == written
    assert plant.device(meter)["relay"] == "closed"
    owners = {
        row["lease_owner"]
        for row in plant.site.rows(
            "SELECT lease_owner FROM prepay_gateway_state s JOIN prepay_gateway g"
            " ON g.state_id = s.id WHERE g.active AND s.lease_until > LOCALTIMESTAMP"
        )
    }
    # The one that woke up may take a fair share again, but both never hold the same gateway.
    assert {str(first.pid), str(second.pid)} >= {owner.rpartition(":")[2] for owner in owners}
    assert os.path.exists(f"/proc/{first.pid}")
    plant.check()
