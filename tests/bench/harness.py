"""What the measurements share: processes seen from outside, ratios in a table, goals.

Absolute figures differ between machines and minutes, so every figure of the product is divided by that of a
bare loop measured in the same run, and only the ratio has a goal.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TICK = os.sysconf("SC_CLK_TCK")
FILES = 16_384


def allow_many_files() -> None:
    """Let this process and its children open a socket for each of thousands of links."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        if hard != resource.RLIM_INFINITY and hard < FILES:
            raise AssertionError(
                f"Measurements with thousands of links need {FILES} open files and {hard} are allowed: "
                f"raise the limit (ulimit -Hn {FILES}) and start again."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


@dataclass(frozen=True)
class Load:
    """What a process used between two looks: seconds of CPU and of the clock, largest memory so far."""

    cpu_s: float
    seconds: float
    peak_mb: float


class Watch:
    """CPU and memory of a process, with all its threads, as the kernel counts them."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.pid = process.pid
        self._began, self._cpu = time.perf_counter(), self._cpu_s()

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def load(self) -> Load:
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (peak,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        spent = time.perf_counter() - self._began
        return Load(self._cpu_s() - self._cpu, spent, peak / 1024)


def bare(name: str, log: Path, **settings: object) -> subprocess.Popen:
    """Start a bare loop of `tests/bench/bare.py` in a process of its own."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.bench.bare", name, json.dumps(settings)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


class Table:
    """Lines of measurements and the verdicts of their goals."""

    def __init__(self, title: str, columns: str) -> None:
        self.lines: list[str] = [title, columns]
        self.missed: list[str] = []

    def add(self, line: str) -> None:
        self.lines.append(line)

    def goal(self, what: str, value: float, limit: float, at_most: bool = False) -> None:
        """Note a goal; ``value`` must reach ``limit``, or stay at or below it with ``at_most``."""
        good = value <= limit if at_most else value >= limit
        sign = "≤" if at_most else "≥"
        self.add(
            f"  goal: {what} {value:.2f} (goal {sign} {limit:g}) {'met' if good else 'MISSED'}"
        )
        if not good:
            self.missed.append(self.lines[-1].strip())

    def show(self) -> None:
        """Print the table; a goal that was missed fails the test."""
        print("\n" + "\n".join(self.lines), flush=True)
        assert not self.missed, "\n".join(self.missed)
