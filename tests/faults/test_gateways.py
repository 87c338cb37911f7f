"""Gateways that come and go, and meters that hold others up.

F20 a link that is cut, F30 one dead or slow meter among 64, F38 the mass return after a power failure.
"""

import time

import pytest

from tests.support.plant import Plant
from tests.support.stack import wait_for

SEED = 20261127


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    running = Plant(tmp_path_factory.mktemp("gateways"), "gateways", SEED, 6, 2)
    try:
        running.start_light()
        running.wait_for_readings()
        yield running
    finally:
        running.close()


def alarms(plant, gateway) -> list[dict]:
    return plant.site.rows(
        "SELECT count, cleared_at FROM prepay_meter_event WHERE gateway_id = %s"
        " AND kind = 'gateway_offline'",
        gateway,
    )


@pytest.mark.parametrize("seconds", [0, 4, 10])
def test_link_cut(plant, seconds):
    """F20, S-06, S-07: at most one alarm; what was paid meanwhile is done on return, an expired cut never."""
    meter, other = plant.meters[0], plant.meters[1]
    proxy, gateway = plant.proxy_of(meter), meter.gateway
    known = len(alarms(plant, gateway))
    for each in (meter, other):
        wish = plant.site.wish(each.id, "open" if each is meter else "closed")
        wait_for(lambda wish=wish: plant.site.command(wish)["state"] == "confirmed", 30, "before")
    if not seconds:
        proxy.reset()
    else:
        proxy.change(down=True)
    paid = plant.site.wish(meter.id, "closed")
    stale = plant.site.wish(other.id, "open", expires_s=2 if seconds else 600)
    time.sleep(seconds)
    if seconds:
        assert plant.site.rows(
            "SELECT 1 FROM prepay_meter_event WHERE gateway_id = %s AND kind = 'gateway_offline'"
            " AND cleared_at IS NULL",
            gateway,
        )
        assert not plant.site.state(meter.id)["online"]
        proxy.change(down=False)
    back = time.monotonic()
    wait_for(lambda: plant.site.command(paid)["state"] == "confirmed", 60, "power back on return")
    print(f"link cut for {seconds} s: relay closed {time.monotonic() - back:.1f} s after return")
    assert plant.device(meter)["relay"] == "closed"
    if seconds:
        assert plant.site.command(stale)["state"] == "expired"
        assert plant.device(other)["relay"] == "closed"
    else:
        wait_for(lambda: plant.site.command(stale)["state"] == "confirmed", 30, "second wish")
    wait_for(lambda: plant.site.state(other.id)["online"], 60, "meters back")
    wait_for(
        lambda: all(alarm["cleared_at"] for alarm in alarms(plant, gateway)), 30, "alarm cleared"
    )
    assert len(alarms(plant, gateway)) <= known + 1
    plant.check()


def test_flapping_link(plant):
    """F20: a link that breaks twelve times in six seconds makes one alarm at a time, and goes on."""
    meter = plant.meters[2]
    proxy = plant.proxy_of(meter)
    for _number in range(12):
        proxy.reset()
        time.sleep(0.5)
    before = len(plant.site.readings(meter.id))
    wait_for(lambda: len(plant.site.readings(meter.id)) > before + 1, 60, "readings go on")
    assert sum(alarm["cleared_at"] is None for alarm in alarms(plant, meter.gateway)) <= 1
    plant.check()


def test_mass_return(plant):
    """F38: all gateways lose their power while every relay is switched, and come back together."""
    wishes = [plant.site.wish(meter.id, "open") for meter in plant.meters]
    time.sleep(0.1)
    for proxy in plant.proxies:
        proxy.change(down=True)
    later = [plant.site.wish(meter.id, "closed") for meter in plant.meters[::2]]
    time.sleep(6)
    for proxy in plant.proxies:
        proxy.change(down=False)
    back = time.monotonic()
    wait_for(plant.all_confirmed, 60, "all wishes carried out")
    print(f"mass return: all relays as wished after {time.monotonic() - back:.1f} s")
    for wish in later:
        assert plant.site.command(wish)["state"] == "confirmed"
    for meter, wish in zip(plant.meters, wishes):
        wanted = "closed" if meter in plant.meters[::2] else "open"
        assert plant.device(meter)["relay"] == wanted, (meter, plant.site.command(wish))
    plant.check()


SPOILERS = {"dead": {"silent": True}, "slow": {"late_ms": 3_000}, "noisy": {"bad_checksum": True}}


def test_one_bad_meter_of_64(tmp_path):
    """F30: the cycle of 63 good meters is at most 1.5 times as long beside a dead, slow or noisy one."""
    kinds = ["good", *SPOILERS]
    plant = Plant(tmp_path, "sixty_four", SEED, gateways=2 * len(kinds), units=64, minutes=0.04)
    try:
        # Every second gateway speaks Modbus: one good line and three with a bad meter.
        lines = {
            kind: [
                meter for meter in plant.meters if meter.gateway == plant.gateway_ids[2 * number]
            ]
            for number, kind in enumerate(kinds)
        }
        for kind, faults in SPOILERS.items():
            plant.change(lines[kind][7], faults=faults)
        plant.start_light()
        plant.wait_for_readings(lines["good"][:1])
        time.sleep(12)  # the bad ones are known
        start = plant.site.one("SELECT LOCALTIMESTAMP")
        time.sleep(15)
        found = {
            kind: plant.site.one(
                "SELECT count(*) FROM prepay_reading_data WHERE channel = 1 AND meter_id = ANY(%s)"
                " AND read_at >= %s",
                [meter.id for meter in meters if meter is not meters[7]],
                start,
            )
            for kind, meters in lines.items()
        }
        print(f"readings of 63 good meters in 15 s, by the bad one beside them: {found}")
        for kind in SPOILERS:
            assert found[kind] >= found["good"] / 1.5, found
            bad = lines[kind][7]
            assert plant.site.events(meter_id=bad.id), (kind, plant.site.state(bad.id))
        plant.check()
    finally:
        plant.close()
