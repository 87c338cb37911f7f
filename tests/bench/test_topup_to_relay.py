"""Counter sale to relay confirmed closed, on meters that are online.

Prints the distribution. Goal: p99 at most 3 s at the counter.
"""

import os
import time
from datetime import datetime

from tests.support.stack import wait_for

RUNS = int(os.environ.get("PREPAY_BENCH_RUNS", "100"))
LIMIT_S = 3.0
METERS = [
    ("A-101", "202611000001", "202611000001"),
    ("A-201", "DDSY-0001", "GW-RTU:1"),
    ("A-102", "202611000002", "202611000002"),
    ("A-202", "DDSY-0002", "GW-RTU:2"),
    ("A-103", "202611000003", "202611000003"),
    ("A-203", "DDSY-0003", "GW-RTU:3"),
]


def test_topup_to_relay(stack):
    admin = stack.user("admin")
    policies = admin.call("prepay.supply.policy", "search", [])
    admin.call(
        "prepay.supply.policy",
        "write",
        policies,
        {"grace_minutes": 0, "max_operations": 1000, "notice_required": False, "any_time": True,
         "working_days_only": False},
    )  # fmt: skip
    for _room, number, _address in METERS:
        wait_for(lambda number=number: stack.meter(number)["online"], 60, f"{number} online")
    stack.rate()
    spans = []
    while len(spans) < RUNS:
        spans += one_round(stack)[: RUNS - len(spans)]
    spans.sort()

    def quantile(share: float) -> float:
        return spans[min(len(spans) - 1, int(share * len(spans)))]

    print(
        f"\ncash top-up → relay confirmed closed, {len(spans)} sales on 6 meters: "
        f"p50 {quantile(0.5):.2f} s, p90 {quantile(0.9):.2f} s, p99 {quantile(0.99):.2f} s, "
        f"max {spans[-1]:.2f} s (goal p99 ≤ {LIMIT_S} s)"
    )
    assert quantile(0.99) <= LIMIT_S


def one_round(stack) -> list[float]:
    """Use up all six accounts, let the policy cut, then sell one after the other."""
    for room, _number, address in METERS:
        available = stack.account(room)["available"]
        energy = stack.simulator.meter(address)["energy_wh"]
        stack.simulator.change(
            address, energy_wh=energy + int(max(available, 0) / 0.68 * 1000) + 500
        )
    time.sleep(1)
    ids = [stack.meter(number)["id"] for _room, number, _address in METERS]
    stack.user("operator").call("prepay.meter", "action_read_now", ids)

    def all_cut() -> bool:
        stack.rate()
        return all(
            stack.commands(number)[-1:]
            and stack.commands(number)[-1]["target"] == "open"
            and stack.commands(number)[-1]["state"] == "confirmed"
            for _room, number, _address in METERS
        )

    wait_for(all_cut, 60, "all six cut", pause=0.5)
    return [sale(stack, room, number) for room, number, _address in METERS]


def sale(stack, room: str, number: str) -> float:
    amount = round(-stack.account(room)["available"] + 5, 2)
    began = time.time()
    stack.sell(room, amount)

    def confirmed() -> dict | None:
        command = stack.commands(number)[-1]
        return command if (command["target"], command["state"]) == ("closed", "confirmed") else None

    command = wait_for(confirmed, 30, f"{number} confirmed closed", pause=0.02)
    at = datetime.fromisoformat(command["confirmed_at"] + "+00:00").timestamp()
    # The confirmation is stored to the second for users; what this process saw is the upper bound.
    return max(time.time() - began, at - began if at > began else 0.0)
