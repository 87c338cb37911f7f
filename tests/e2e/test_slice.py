"""One room's power follows its balance: every stage, through real processes and sockets.

The stages build on one another, so they are one test for each kind of meter.
"""

import time
from decimal import Decimal

import pytest

from tests.support.stack import wait_for

PRICE = Decimal("0.68")
ROOMS = [
    # room, meter number, address in the simulator, proof of a cut, proof of a restore
    ("A-101", "202611000001", "202611000001", "status_load", "status_load"),
    ("A-201", "DDSY-0001", "GW-RTU:1", "control_load", "control_load"),
]


@pytest.mark.parametrize(("room", "number", "address", "cut_proof", "restore_proof"), ROOMS)
def test_power_follows_the_balance(stack, room, number, address, cut_proof, restore_proof):
    accountant, operator = stack.user("accountant"), stack.user("operator")

    # The collector reads by schedule and stores.
    wait_for(lambda: stack.meter(number)["last_read_at"], 30, "first reading")
    meter = stack.meter(number)
    assert meter["online"]
    readings = operator.find(
        "prepay.reading",
        [["meter_id.number", "=", number], ["channel", "=", "energy"]],
        ["value", "read_at", "source"],
        order="read_at",
    )
    assert readings[-1]["source"] == "poll"
    assert readings[-1]["value"] >= meter["last_value"]
    assert abs(stack.simulator.meter(address)["energy_wh"] - readings[-1]["value"]) <= 20
    stack.rate()  # the first reading opens the account

    # Usage is rated with the flat tariff, charged and taken from the balance, exactly.
    before = stack.account(room)
    stack.simulator.change(address, energy_wh=stack.simulator.meter(address)["energy_wh"] + 5_000)
    opened = operator.one(
        "prepay.account.meter", [["meter_id.number", "=", number]], ["rated_value"]
    )["rated_value"]
    latest = stack.read_now(number)
    stack.rate()
    used = Decimal(latest["last_value"] - opened) / 1000
    assert used >= 5
    after = stack.account(room)
    # The demo company posts with each run; fractions of a fen are carried.
    assert abs(Decimal(str(before["available"] - after["available"])) - used * PRICE) <= Decimal(
        "0.01"
    )
    charges = accountant.find(
        "prepay.charge",
        [["meter_id.number", "=", number]],
        ["quantity_base", "amount", "entry_ids"],
    )
    rated = operator.one(
        "prepay.account.meter", [["meter_id.number", "=", number]], ["rated_value"]
    )
    assert (
        sum(charge["quantity_base"] for charge in charges)
        == rated["rated_value"] - (readings[0]["value"])
    )
    entries = accountant.find(
        "prepay.ledger.entry",
        [["account_id.location_id.name", "=", room], ["kind", "=", "charge"]],
        ["amount", "key"],
    )
    assert round(sum(entry["amount"] for entry in entries), 2) == -round(
        sum(charge["amount"] for charge in charges), 2
    )

    # The balance is used up: the policy waits for the grace, and says so.
    need = int(Decimal(str(after["available"])) / PRICE * 1000) + 2_000
    stack.simulator.change(address, energy_wh=stack.simulator.meter(address)["energy_wh"] + need)
    stack.read_now(number)
    stack.rate()
    account = stack.account(room)
    assert account["available"] < 0
    assert account["level"] == "cut"
    assert account["due_since"]
    assert stack.commands(number) == []
    checks = accountant.call("prepay.account", "read", [account["id"]], ["checks_html"])
    assert "✗" in checks[0]["checks_html"]
    assert stack.simulator.meter(address)["relay"] == "closed"

    # After the grace the desired state becomes open; the collector writes, reads back, confirms.
    def cut() -> bool:
        stack.rate()
        return bool(stack.commands(number))

    wait_for(cut, 90, "cut after one minute of grace", pause=2)
    command = wait_for(
        lambda: next((c for c in stack.commands(number) if c["state"] == "confirmed"), None),
        20,
        "cut confirmed",
    )
    assert (command["target"], command["cause"]) == ("open", "arrears")
    assert command["proof"] == cut_proof
    assert command["attempts"] == 1
    device = stack.simulator.meter(address)
    assert device["relay"] == "open"
    assert device["power_w"] == 0
    decision = accountant.one(
        "prepay.supply.decision", [["meter_id.number", "=", number]], ["action", "evidence"]
    )
    assert decision["action"] == "open"
    assert all(check["passed"] for check in decision["evidence"]["checks"])

    # The operator sees it on the room's form.
    place = operator.one("prepay.location", [["name", "=", room]], ["meter_ids", "account_ids"])
    seen = operator.call("prepay.meter", "read", place["meter_ids"], ["number", "supply"])
    assert [item["supply"] for item in seen if item["number"] == number] == ["off"]

    # A cash top-up at the counter brings the power back and reaches the general ledger.
    amount = float(round(-account["available"] + 20, 2))
    topup = stack.sell(room, amount)
    restored = wait_for(
        lambda: next((c for c in stack.commands(number) if c["target"] == "closed"), None),
        5,
        "wish",
    )
    restored = wait_for(
        lambda: next(
            (
                c
                for c in stack.commands(number)
                if c["epoch"] == restored["epoch"] and c["state"] == "confirmed"
            ),
            None,
        ),
        20,
        "restore confirmed",
    )
    assert restored["cause"] == "restore"
    assert restored["proof"] == restore_proof
    assert stack.simulator.meter(address)["relay"] == "closed"
    assert stack.meter(number)["supply"] == "on"
    assert stack.account(room)["available"] > 0

    stack.run_job("prepay_billing.ir_cron_general_ledger")
    receipt = accountant.call(
        "prepay.topup", "read", [topup], ["number", "state", "move_id", "entry_id", "amount"]
    )[0]
    assert receipt["state"] == "done"
    move = accountant.one(
        "account.move", [["id", "=", receipt["move_id"][0]]], ["state", "line_ids", "ref"]
    )
    assert move["state"] == "posted"
    lines = accountant.find(
        "account.move.line", [["move_id", "=", move["id"]]], ["debit", "credit", "account_type"]
    )
    assert sum(line["debit"] for line in lines) == sum(line["credit"] for line in lines) > 0
    assert {line["account_type"] for line in lines} == {"asset_cash", "liability_current"}
    credit = next(line for line in lines if line["account_type"] == "liability_current")["credit"]
    booked = accountant.find("prepay.ledger.entry", [["move_id", "=", move["id"]]], ["amount"])
    assert round(sum(entry["amount"] for entry in booked), 2) == credit

    # A PDF receipt prints.
    answer = stack.user("cashier").download(f"/report/pdf/prepay_billing.report_receipt/{topup}")
    assert answer.status_code == 200
    assert answer.content.startswith(b"%PDF")


def test_collector_killed_between_write_and_read_back(stack):
    """`kill -9` after the relay was written and before it was read back.

    The next collector finds the command in doubt, reads the relay first and confirms without writing
    it once more.
    """
    number, address = "202611000002", "202611000002"
    operator = stack.user("operator")
    wait_for(lambda: stack.meter(number)["online"], 30, "meter online")
    stack.simulator.change(address, faults={"hold_reads_after_write": True})
    meter = stack.meter(number)
    wizard = operator.call(
        "prepay.meter.relay.wizard",
        "create",
        {"meter_ids": [[6, 0, [meter["id"]]]], "action": "open", "reason": "crash test"},
    )
    operator.call("prepay.meter.relay.wizard", "action_confirm", [wizard])

    wait_for(lambda: stack.simulator.meter(address)["relay"] == "open", 10, "relay written")
    stack.kill_collector()
    (command,) = stack.commands(number)
    assert command["state"] == "sent"
    assert not command["confirmed_at"]
    writes = len(stack.simulator.meter(address)["commands"])

    stack.simulator.change(address, faults={"hold_reads_after_write": False})
    stack.start_collector()
    (command,) = wait_for(
        lambda: [c for c in stack.commands(number) if c["state"] == "confirmed"],
        60,
        "confirmed by the next collector",
    )
    assert command["attempts"] == 1
    assert command["proof"] == "status_load"
    assert len(stack.simulator.meter(address)["commands"]) == writes
    assert stack.meter(number)["supply"] == "off"


def test_newest_wish_wins(stack):
    """A wish that was overtaken never runs, whatever happens to the gateway meanwhile (S-07)."""
    number, address = "DDSY-0003", "GW-RTU:3"
    operator = stack.user("operator")
    wait_for(lambda: stack.meter(number)["online"], 60, "meter online")
    stack.simulator.gateway("GW-RTU", online=False)
    meter = stack.meter(number)
    for action in ("open", "closed", "open", "closed"):
        wizard = operator.call(
            "prepay.meter.relay.wizard",
            "create",
            {"meter_ids": [[6, 0, [meter["id"]]]], "action": action, "reason": "change of mind"},
        )
        operator.call("prepay.meter.relay.wizard", "action_confirm", [wizard])
    stack.simulator.gateway("GW-RTU", online=True)
    wait_for(lambda: stack.commands(number)[-1]["state"] == "confirmed", 60, "last wish confirmed")
    states = [command["state"] for command in stack.commands(number)]
    assert states == ["superseded", "superseded", "superseded", "confirmed"]
    device = stack.simulator.meter(address)
    assert device["relay"] == "closed"
    assert not any(entry["action"] == "open" for entry in device["movements"])


def test_meter_without_proof(stack):
    """A meter type that offers no proof: written once, and never called confirmed."""
    number, address = "DDSY-0002", "GW-RTU:2"
    admin, operator = stack.user("admin"), stack.user("operator")
    wait_for(lambda: stack.meter(number)["online"], 60, "meter online")
    profile = admin.one("prepay.meter.profile", [["code", "=", "DDSY1352"]], ["relay_proof"])
    admin.call("prepay.meter.profile", "write", [profile["id"]], {"relay_proof": "none"})
    time.sleep(1)  # the collector follows settings at once, yet not before this returns
    wizard = operator.call(
        "prepay.meter.relay.wizard",
        "create",
        {
            "meter_ids": [[6, 0, [stack.meter(number)["id"]]]],
            "action": "open",
            "reason": "no status register",
        },
    )
    operator.call("prepay.meter.relay.wizard", "action_confirm", [wizard])
    wait_for(lambda: stack.commands(number)[-1]["state"] == "unproven", 20, "ended without proof")
    (command,) = stack.commands(number)
    assert command["attempts"] == 1
    assert not command["confirmed_at"]
    assert len(stack.simulator.meter(address)["commands"]) == 1
