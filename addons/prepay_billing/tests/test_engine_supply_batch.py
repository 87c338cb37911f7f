"""Blast limit and spread of restores: examples and what must hold for all of them."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_billing.engine.supply_batch import (
    FEEDER_PERCENT,
    Restore,
    blast,
    blast_limit,
    stagger,
)

PROPERTY = settings(max_examples=300, deadline=None, database=None)


@pytest.mark.parametrize(
    ("meters", "limit"),
    [(0, 3), (6, 3), (100, 3), (133, 3), (134, 4), (666, 19), (667, 20), (100_000, 20)],
)
def test_limit_of_a_site(meters, limit):
    assert blast_limit(meters) == limit


def test_limits_can_be_set():
    assert blast_limit(1000, percent=10, most=50) == 50
    assert blast_limit(200, percent=10, most=50) == 20


def test_up_to_the_limit_goes_on():
    verdict = blast({"a": range(20)}, {}, {"a": 20})
    assert (verdict.allowed, verdict.held) == (tuple(range(20)), {})


def test_one_more_stops_all_of_the_site_and_no_other():
    verdict = blast({"a": range(21), "b": [99]}, {}, {"a": 20, "b": 20})
    assert verdict.allowed == (99,)
    assert verdict.held == {"a": tuple(range(21))}


def test_cuts_of_the_last_minutes_count():
    verdict = blast({"a": [1, 2]}, {"a": 19}, {"a": 20})
    assert (verdict.allowed, verdict.held) == ((), {"a": (1, 2)})


def test_approved_go_on_and_do_not_count():
    verdict = blast({"a": range(23)}, {}, {"a": 20}, approved=set(range(21)))
    assert verdict.allowed == tuple(range(23))
    assert verdict.held == {}


def test_a_site_that_nobody_knows_has_no_cuts():
    assert blast({"a": [1]}, {}, {}).held == {"a": (1,)}


@given(
    st.dictionaries(st.integers(0, 5), st.sets(st.integers(0, 200), max_size=40), max_size=5),
    st.dictionaries(st.integers(0, 5), st.integers(0, 30)),
    st.sets(st.integers(0, 200)),
)
@PROPERTY
def test_never_more_than_the_limit_without_a_person(wanted, recent, approved):
    wanted = {site: [(site, key) for key in keys] for site, keys in wanted.items()}
    approved = {(site, key) for site in wanted for key in approved}
    limits = dict.fromkeys(wanted, 20)
    verdict = blast(wanted, recent, limits, approved)
    for site, keys in wanted.items():
        free = [key for key in verdict.allowed if key[0] == site and key not in approved]
        assert not free or recent.get(site, 0) + len(free) <= 20
        both = {*verdict.held.get(site, ()), *(k for k in verdict.allowed if k[0] == site)}
        assert both == set(keys)
        assert approved.isdisjoint(verdict.held.get(site, ()))


@given(st.integers(0, 2**32), st.integers(0, 500))
@PROPERTY
def test_a_single_payment_is_never_delayed(seed, size):
    """S-06: also with several meters on a feeder of any size."""
    one = [Restore("m", "feeder", "tenant")]
    two = [*one, Restore("n", "feeder", "tenant")]
    assert stagger(one, {"feeder": size}, Random(seed)) == {"m": 0}
    assert stagger(two, {"feeder": size}, Random(seed)) == {"m": 0, "n": 0}


@given(st.integers(0, 2**32), st.integers(0, 400), st.integers(1, 400))
@PROPERTY
def test_no_minute_brings_back_more_than_a_tenth(seed, size, count):
    """S-08, over every window of a minute."""
    restores = [Restore(number, "f", number) for number in range(count)]
    delays = stagger(restores, {"f": size}, Random(seed))
    assert sorted(delays) == list(range(count))
    most = max(1, size * FEEDER_PERCENT // 100)
    times = sorted(delays.values())
    for index, start in enumerate(times):
        assert sum(start <= other < start + 60 for other in times[index:]) <= most


def test_spread_over_five_minutes_in_random_order():
    restores = [Restore(number, "f", number) for number in range(30)]
    delays = stagger(restores, {"f": 100}, Random(1))
    assert sum(delay == 0 for delay in delays.values()) == 10
    assert 120 < max(delays.values()) <= 300
    assert delays != stagger(restores, {"f": 100}, Random(2))
    assert delays == stagger(restores, {"f": 100}, Random(1))


def test_feeders_do_not_wait_for_each_other():
    restores = [Restore(number, number, number) for number in range(50)]
    assert set(stagger(restores, {}, Random(1)).values()) == {0}
