"""Small sites without a collector process: the scheduled action does the same work."""

from tests.support.stack import wait_for


def test_scheduled_sweep_reads_and_switches(stack):
    """One sweep reads every due meter and carries out commands, with the collector's own code."""
    stack.collector.terminate()  # a clean stop gives the gateways back at once
    stack.collector.wait()
    operator = stack.user("operator")
    sold = operator.find("prepay.gateway", [], ["lease_owner"])
    assert not any(gateway["lease_owner"] for gateway in sold)
    numbers = ["202611000001", "DDSY-0001"]
    admin = stack.user("admin")
    ids = admin.call("prepay.meter", "search", [["number", "in", numbers]])
    admin.call("prepay.meter", "write", ids, {"poll_minutes": 0.02})
    before = {number: stack.meter(number)["last_read_at"] for number in numbers}
    wizard = operator.call(
        "prepay.meter.relay.wizard",
        "create",
        {"meter_ids": [[6, 0, ids]], "action": "open", "reason": "small site"},
    )
    operator.call("prepay.meter.relay.wizard", "action_confirm", [wizard])
    assert {stack.commands(number)[-1]["state"] for number in numbers} == {"queued"}

    def swept() -> bool:
        stack.run_job("prepay_meter.ir_cron_sweep")
        return all(stack.meter(number)["last_read_at"] != before[number] for number in numbers)

    wait_for(swept, 30, "new readings by the sweep", pause=1)
    assert {stack.commands(number)[-1]["state"] for number in numbers} == {"confirmed"}
    assert {stack.meter(number)["supply"] for number in numbers} == {"off"}
    assert stack.simulator.meter("202611000001")["relay"] == "open"
    assert stack.simulator.meter("GW-RTU:1")["relay"] == "open"


def test_sweep_leaves_gateways_of_a_collector_alone(stack):
    stack.start_collector()
    wait_for(
        lambda: all(
            gateway["lease_owner"]
            for gateway in stack.user("operator").find("prepay.gateway", [], ["lease_owner"])
        ),
        60,
        "leases",
    )
    reads = stack.simulator.meter("GW-RTU:2")["reads"]
    owners = stack.user("operator").find("prepay.gateway", [], ["lease_owner"])
    stack.run_job("prepay_meter.ir_cron_sweep")
    assert stack.user("operator").find("prepay.gateway", [], ["lease_owner"]) == owners
    assert stack.simulator.meter("GW-RTU:2")["reads"] <= reads + 2
