"""The counter through the web server: pressed twice, and two cashiers at once on one account."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.stack import Refused, User

ROOM = "A-102"


def part(stack, amount: str) -> list[dict]:
    account = stack.user("cashier").one("prepay.account", [["location_id.name", "=", ROOM]], ["id"])
    return [{"account_id": account["id"], "amount": amount}]


def together(calls: list) -> list:
    """All at once; a refusal is an answer too."""

    def answer(call):
        try:
            return call()
        except Refused as refusal:
            return refusal

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(answer, calls))


@pytest.fixture
def cashiers(stack):
    return [User(stack.url, stack.database.name, "cashier") for _number in range(4)]


def test_a_double_press_sells_once(stack, cashiers):
    """Four requests with one key, as of an impatient finger or of a network that repeats."""
    before = stack.account(ROOM)["available"]
    values = {"key": uuid.uuid4().hex, "parts": part(stack, "31.50"), "method": "cash"}
    sales = together(
        [
            lambda cashier=cashier: cashier.call("prepay.counter", "sell", values)
            for cashier in cashiers
        ]
    )
    assert len({tuple(sale["topup_ids"]) for sale in sales}) == 1
    assert round(stack.account(ROOM)["available"] - before, 2) == 31.50


def test_two_cashiers_on_one_account(stack, cashiers):
    """Other amounts: both sell, each with the balance as it was. The same amount: the second is asked."""
    before = stack.account(ROOM)["available"]
    sales = together(
        [
            lambda cashier=cashier, amount=amount: cashier.call(
                "prepay.counter",
                "sell",
                {"key": uuid.uuid4().hex, "parts": part(stack, amount), "method": "cash"},
            )
            for cashier, amount in zip(cashiers, ("12.00", "13.00", "14.00", "14.00"))
        ]
    )
    refused = [sale for sale in sales if isinstance(sale, Refused)]
    sold = [sale for sale in sales if not isinstance(sale, Refused)]
    assert len(sold) == 3 and len(refused) == 1, sales
    assert "14" in refused[0].text
    time.sleep(0.1)
    assert round(stack.account(ROOM)["available"] - before, 2) == 39.00
    topups = cashiers[0].find(
        "prepay.topup",
        [["id", "in", [sale["topup_ids"][0] for sale in sold]]],
        ["amount", "balance_before", "balance_after"],
        order="balance_before",
    )
    for topup in topups:
        assert round(topup["balance_before"] + topup["amount"], 2) == round(
            topup["balance_after"], 2
        )
    for first, second in zip(topups, topups[1:]):
        assert first["balance_after"] == second["balance_before"], "no sale saw an old balance"
