"""F36, S-12: relays that answer without moving, move without answering, are welded, bypassed or used by hand."""

import time

import pytest

from tests.support.plant import Plant
from tests.support.stack import wait_for

SEED = 20261128
OPENING = {
    # fault of the meter, how the cut may end, an event that must be open then
    "acknowledged, not moved": ({"welded": True}, {"sent"}, "relay_mismatch"),
    "moved, not acknowledged": ({"no_ack": True}, {"confirmed"}, None),
    "bypassed": ({"bypass": True}, {"sent"}, "load_when_open"),
    "noise": ({"noise": True}, {"confirmed"}, None),
    "echo": ({"echo": True}, {"confirmed"}, None),
    "half frames": ({"half_frame": True}, {"sent"}, "relay_mismatch"),
    "repeats": ({"repeats": 3}, {"confirmed"}, None),
    "answers of a neighbour": ({"other_address": True}, {"sent"}, "relay_mismatch"),
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    running = Plant(tmp_path_factory.mktemp("relays"), "relays", SEED, 8, 2)
    try:
        running.start_light()
        running.wait_for_readings()
        yield running
    finally:
        running.close()


def test_relay_faults(plant):
    """Each fault on a Modbus and a DL/T 645 meter: confirmed only what is so, then all right when it is over."""
    cases = list(zip(OPENING, plant.meters[::2]))
    cases += list(zip(OPENING, plant.meters[1::2]))
    wishes = {}
    for case, meter in cases:
        plant.change(meter, faults=OPENING[case][0])
        wishes[meter] = plant.site.wish(meter.id, "open")
    time.sleep(12)  # enough for several tries
    for case, meter in cases:
        faults, ends, event = OPENING[case]
        command, device = plant.site.command(wishes[meter]), plant.device(meter)
        shown = (case, meter.key, command["state"], command["detail"], device["commands"])
        assert command["state"] in ends, shown
        if command["state"] == "confirmed":
            assert device["relay"] == "open", shown
            # A moved relay is found by reading it, not by writing it again and again.
            assert len(device["commands"]) <= 2, shown
        if event:
            assert event in plant.site.events(meter_id=meter.id), shown
            assert plant.site.state(meter.id)["relay_reported"] != "open" or "bypass" in faults
    for case, meter in cases:
        off = {name: type(value)() for name, value in OPENING[case][0].items()}
        plant.change(meter, faults=off)
    wait_for(plant.all_confirmed, 90, "all open once the faults are over")
    for _case, meter in cases:
        assert plant.device(meter)["relay"] == "open"
        wait_for(
            lambda meter=meter: not plant.site.events(meter_id=meter.id) & {"relay_mismatch"},
            30,
            f"events of {meter.key} cleared",
        )
    plant.check()


def test_no_fight_with_the_user(plant):
    """The customer closes a relay by hand after the cut was confirmed: reported, never fought."""
    wait_for(plant.all_confirmed, 60, "nothing in flight")
    chosen = plant.meters[:4]
    wishes = [plant.site.wish(meter.id, "open") for meter in chosen]
    wait_for(plant.all_confirmed, 30, "all open")
    assert {plant.site.command(wish)["state"] for wish in wishes} == {"confirmed"}
    written = {meter: len(plant.device(meter)["commands"]) for meter in chosen}
    for meter in chosen:
        plant.change(meter, relay="closed")
    for meter in chosen:
        # A DDSY1352 reads back what was commanded, not what its relay does: its load tells.
        wait_for(
            lambda meter=meter: (
                plant.site.state(meter.id)["relay_reported"] == "closed"
                or "load_when_open" in plant.site.events(meter_id=meter.id)
            ),
            30,
            f"the hand on {meter.key} is seen",
        )
    time.sleep(8)
    for meter in chosen:
        assert len(plant.device(meter)["commands"]) == written[meter], meter
        assert plant.device(meter)["relay"] == "closed"


def test_bouncing_relay(plant):
    """A relay that falls back is not called open: the next reading shows what it does."""
    wait_for(plant.all_confirmed, 60, "nothing in flight")
    meter = plant.meters[3]  # DL/T 645: its status word follows the relay
    closed = plant.site.wish(meter.id, "closed")
    wait_for(lambda: plant.site.command(closed)["state"] == "confirmed", 30, "closed")
    plant.change(meter, faults={"bounce_ms": 1_500})
    plant.site.wish(meter.id, "open")
    wait_for(lambda: plant.device(meter)["relay"] == "open", 20, "open for a moment")
    wait_for(lambda: plant.device(meter)["relay"] == "closed", 20, "fallen back")
    plant.change(meter, faults={"bounce_ms": 0})
    wait_for(
        lambda: plant.site.state(meter.id)["relay_reported"] == "closed", 30, "reported as it is"
    )
