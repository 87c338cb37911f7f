"""The simulation of `tests/prove`: the commit level, and that it finds what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prove import faults, simulation
from tests.prove.store import Broken, Store, need

ROOT = Path(__file__).resolve().parents[2]
# Measuring the coverage of a simulation would only slow it down.
ENVIRONMENT = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}


def prove(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.prove", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        env=ENVIRONMENT,
        check=False,
    )


def test_commit_level():
    done = prove("--seed", "1", "--level", "commit")
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert "every invariant held" in done.stdout
    assert "3/n" in done.stdout


@pytest.mark.parametrize("name", faults.FAULTS)
def test_a_planted_fault_is_found(name):
    fault = faults.FAULTS[name]
    with fault.planted():
        found = next(
            (
                figures.failures[0]
                for seed in range(1, 25)
                if (figures := simulation.one_seed(seed, (fault.area,))).failures
            ),
            "",
        )
    assert found, "24 seeds found nothing"
    assert f"step {fault.area}:" in found
    rule = found.split(": ")[1]
    assert rule in fault.rules, found
    # The same seed without the fault is clean: it was the fault that was found.
    seed = int(found.split(",")[0].removeprefix("seed "))
    number = int(found.split(f"step {fault.area}:")[1].split(":")[0])
    assert simulation.replay(seed, f"{fault.area}:{number}") is None


def test_a_failure_is_seen_again():
    with faults.FAULTS["residue_is_lost"].planted():
        first = simulation.one_seed(1, ("site",)).failures[0]
        step = first.split("step ")[1].split(": ")[0]
        again = simulation.replay(1, step)
    assert again.splitlines()[0] == first.splitlines()[0]
    assert f"--seed 1 --step {step}" in first


def test_same_seed_same_run():
    first, second = (simulation.one_seed(7, scale=0.2) for _ in range(2))
    assert first == second
    assert first.decisions and first.crashes


def test_every_point_is_a_place_to_die():
    """Each flow dies at its last point too, and the work of a try that died is gone."""
    import random

    store, table, tries = Store(random.Random(1), 0.9), {}, []

    def flow():
        tries.append(dict(table))
        for number in range(5):
            store.put(table, number, "row")
        store.commit()

    store.run("flow", flow)
    assert set(table) == set(range(5))
    assert all(seen in ({}, table) for seen in tries)
    for _ in range(200):
        table.clear()
        store.run("flow", flow)
    assert set(store.crashes) == {
        ("flow", "row inserted"),
        ("flow", "before commit"),
        ("flow", "after commit"),
    }


def test_need():
    need(True, "M-02")
    with pytest.raises(Broken, match="M-02: 1 is not 2"):
        need(False, "M-02", "%s is not %s", 1, 2)


def test_wrong_step():
    done = prove("--seed", "1", "--step", "nonsense:5")
    assert done.returncode == 2
    assert "site, credits, cuts" in done.stderr
