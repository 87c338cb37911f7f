"""Bad answers of devices: each is named in the journal, none is billed or cut on, others go on."""

import pytest

from tests.support.stack import wait_for

NUMBER, ADDRESS = "202611000003", "202611000003"  # room A-103
RTU_NUMBER, RTU_ADDRESS = "DDSY-0003", "GW-RTU:3"  # room A-203
NEIGHBOUR = "202611000002"  # on the same bus


@pytest.fixture(scope="module", autouse=True)
def ready(stack):
    for number in (NUMBER, RTU_NUMBER, NEIGHBOUR):
        wait_for(lambda number=number: stack.meter(number)["online"], 60, f"{number} online")
    stack.rate()


@pytest.mark.parametrize("number,address", [(NUMBER, ADDRESS), (RTU_NUMBER, RTU_ADDRESS)])
@pytest.mark.parametrize(
    ("faults", "kind", "words"),
    [
        ({"silent": True}, "timeout", "no answer"),
        ({"bad_checksum": True}, "crc", "wrong"),
        ({"other_address": True}, "wrong_unit", "expected"),
        ({"exception": 2}, "exception", "code"),
    ],
)
def test_bad_answer_is_an_event_and_nothing_else(stack, number, address, faults, kind, words):
    before = stack.meter(number)
    neighbour = stack.meter(NEIGHBOUR)["last_read_at"]
    stack.simulator.change(address, faults=faults)
    try:
        stack.user("operator").call("prepay.meter", "action_read_now", [before["id"]])
        event = wait_for(lambda: stack.events(number).get(kind), 20, f"event {kind}")
        assert words in event["detail"]
        after = stack.meter(number)
        assert after["last_value"] == before["last_value"]
        assert after["last_read_at"] == before["last_read_at"]
        # The neighbour on the same bus is read as before.
        stack.read_now(NEIGHBOUR)
        assert stack.meter(NEIGHBOUR)["last_read_at"] != neighbour
        stack.rate()
        assert stack.commands(number) == []
    finally:
        stack.simulator.change(address, faults={name: type(on)() for name, on in faults.items()})
    stack.read_now(number)
    assert stack.events(number) == {}, "a good answer clears the event"


def test_decreasing_register_is_held_not_billed(stack):
    """A register that falls is held with its reason; the account stays as it is (R-03)."""
    operator = stack.user("operator")
    meter = stack.read_now(NUMBER)
    stack.rate()
    available = stack.account("A-103")["available"]
    stack.simulator.change(ADDRESS, faults={"spike_wh": -50_000})
    operator.call("prepay.meter", "action_read_now", [meter["id"]])
    event = wait_for(lambda: stack.events(NUMBER).get("decrease"), 20, "event decrease")
    assert event["severity"] == "alarm"
    hold = operator.one(
        "prepay.reading.hold",
        [["meter_id", "=", meter["id"]], ["state", "=", "held"]],
        ["rule", "value", "previous_value"],
    )
    assert hold["rule"] == "decrease"
    assert hold["value"] < hold["previous_value"]
    stack.rate()
    assert stack.account("A-103")["available"] == available
    lowest = operator.find(
        "prepay.reading",
        [["meter_id", "=", meter["id"]], ["channel", "=", "energy"]],
        ["value"],
        order="value",
        limit=1,
    )[0]
    assert lowest["value"] > hold["value"], "the held value never became a reading"

    stack.simulator.change(ADDRESS, faults={"spike_wh": 0})
    operator.call("prepay.reading.hold", "write", [hold["id"]], {"resolution": "transient fault"})
    operator.call("prepay.reading.hold", "action_reject", [hold["id"]])
    stack.read_now(NUMBER)
    assert stack.events(NUMBER) == {}


def test_unknown_address(stack):
    """A meter that was entered with a wrong address: named as such, never billed, no harm to others."""
    admin = stack.user("admin")
    like = admin.one(
        "prepay.meter", [["number", "=", NUMBER]], ["profile_id", "gateway_id", "location_id"]
    )
    meter = admin.call(
        "prepay.meter",
        "create",
        {
            "number": "GHOST-1",
            "address": "202611009999",
            "poll_minutes": 0.05,
            **{name: like[name][0] for name in ("profile_id", "gateway_id", "location_id")},
        },
    )
    event = wait_for(lambda: stack.events("GHOST-1").get("unknown_address"), 30, "event")
    assert "202611009999" in event["detail"]
    assert not stack.meter("GHOST-1")["online"]
    stack.read_now(NEIGHBOUR)
    admin.call("prepay.meter", "unlink", [meter])


def test_welded_relay_is_never_confirmed(stack):
    """The command is acknowledged and the relay stays: no confirmation, an alarm instead (S-12)."""
    operator = stack.user("operator")
    meter = stack.meter(NUMBER)
    stack.simulator.change(ADDRESS, faults={"welded": True})
    wizard = operator.call(
        "prepay.meter.relay.wizard",
        "create",
        {"meter_ids": [[6, 0, [meter["id"]]]], "action": "open", "reason": "test of the relay"},
    )
    operator.call("prepay.meter.relay.wizard", "action_confirm", [wizard])
    event = wait_for(lambda: stack.events(NUMBER).get("relay_mismatch"), 30, "alarm")
    assert event["severity"] == "alarm"
    assert stack.commands(NUMBER)[-1]["state"] == "sent"
    assert stack.meter(NUMBER)["supply"] == "switching"

    stack.simulator.change(ADDRESS, faults={"welded": False})
    wait_for(lambda: stack.commands(NUMBER)[-1]["state"] == "confirmed", 30, "confirmed at last")
    wait_for(lambda: "relay_mismatch" not in stack.events(NUMBER), 20, "alarm cleared")


def test_lost_gateway(stack):
    """A gateway that is away is one alarm; its meters are offline and nobody is cut for it."""
    operator = stack.user("operator")
    stack.simulator.gateway("GW-RTU", online=False)
    try:
        gateway = wait_for(
            lambda: operator.find(
                "prepay.gateway", [["name", "=", "GW-RTU"], ["online", "=", False]], ["last_error"]
            ),
            60,
            "gateway lost",
        )
        assert gateway[0]["last_error"]
        events = operator.find(
            "prepay.meter.event",
            [["gateway_id.name", "=", "GW-RTU"], ["cleared_at", "=", False]],
            ["kind"],
        )
        assert [event["kind"] for event in events] == ["gateway_offline"]
        stack.rate()
        assert stack.commands(RTU_NUMBER) == []
    finally:
        stack.simulator.gateway("GW-RTU", online=True)
    wait_for(lambda: stack.meter(RTU_NUMBER)["online"], 60, "meter back")
