"""Each fuzz target runs for a few thousand inputs; `./prepay fuzz` runs them for longer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .targets import TARGETS

RUN = Path(__file__).with_name("run.py")


# Measuring coverage of the tests would only slow the fuzzer down.
ENVIRONMENT = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}


def run(*arguments):
    return subprocess.run(
        [sys.executable, RUN, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=240,
        env=ENVIRONMENT,
        check=False,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_a_few_thousand_inputs_break_nothing(target):
    done = run(target, "--runs", "2000", "--seconds", "60")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.parametrize("target", ["dlt645", "mqtt_forms"])
def test_without_coverage_too(target):
    done = run(target, "--chance", "--runs", "500", "--seconds", "60")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "500 inputs" in done.stdout


@pytest.mark.parametrize("chance", [[], ["--chance"]])
def test_a_failing_input_is_seen(chance):
    done = run("broken", "--runs", "3000", *chance)
    assert done.returncode != 0
    assert "as it should" in done.stdout + done.stderr


def test_unknown_target():
    assert run("nonsense").returncode == 2
