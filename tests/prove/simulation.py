"""Runs of one seed, in several processes; figures of all of them."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context

from .credits import Credits
from .cuts import Cuts
from .site import Site
from .store import Broken

AREAS = {area.name: area for area in (Site, Credits, Cuts)}
# Steps of one seed. Decisions are cheap and many, a site has the most that can go wrong.
STEPS = {"site": 1500, "credits": 6000, "cuts": 10_000}


@dataclass
class Figures:
    """What was reached, and the first failure of each seed."""

    steps: Counter = field(default_factory=Counter)
    crashes: Counter = field(default_factory=Counter)
    decisions: int = 0
    cuts: int = 0
    restores: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        self.steps += other.steps
        self.crashes += other.crashes
        self.decisions += other.decisions
        self.cuts += other.cuts
        self.restores += other.restores
        self.failures += other.failures


def one_seed(seed: int, areas: tuple[str, ...] = tuple(AREAS), scale: float = 1.0) -> Figures:
    """All areas of a seed; a broken invariant ends its area."""
    figures = Figures()
    for name in areas:
        area, number = AREAS[name](seed), -1
        try:
            for number in range(round(STEPS[name] * scale)):
                area.step(number)
            number += 1
            if hasattr(area, "finish"):
                area.finish()
        except Exception as error:
            figures.failures.append(report(area, seed, number, error))
        figures.steps[name] += number
        figures.decisions += area.decisions
        figures.cuts += area.cuts
        figures.restores += area.restores
        figures.crashes.update({(name, *key): count for key, count in area.crashes.items()})
    return figures


def report(area, seed: int, number: int, error: Exception, lines: int = 25) -> str:
    """What failed, how to see it again, and what led to it."""
    trace = "\n".join(f"    {str(line)[:300]}" for line in list(area.trace)[-lines:])
    what = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
    return (
        f"seed {seed}, step {area.name}:{number}: {what[:2000]}\n"
        f"  again: ./prepay prove --seed {seed} --step {area.name}:{number}\n{trace}"
    )


def replay(seed: int, step: str) -> str | None:
    """Run one area of a seed up to a step; the failure with its whole trace, if there is one."""
    name, _, last = step.partition(":")
    area, number = AREAS[name](seed), -1
    try:
        for number in range(min(int(last) + 1, STEPS[name])):
            area.step(number)
        if int(last) >= STEPS[name] and hasattr(area, "finish"):
            number += 1
            area.finish()
    except Exception as error:
        return report(area, seed, number, error, lines=1000)
    return None


def _one(task: tuple) -> Figures:
    return one_seed(*task)


def many(tasks: Iterator[tuple], jobs: int) -> Iterator[Figures]:
    """Figures of each task as it ends; breaking off the loop ends the processes."""
    if jobs == 1:
        yield from map(_one, tasks)
        return
    # Stopped by a signal, the pool must be ended too: its processes would go on alone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with get_context("fork").Pool(jobs, _plain_signals) as pool:
        yield from pool.imap_unordered(_one, tasks)


def _plain_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def prove(seed: int, level: str, jobs: int | None = None, seeds: int | None = None) -> int:
    """Run a level from a seed on; 0 when every invariant held and the level's figures were reached."""
    goal = LEVELS[level]
    total, began, done = Figures(), time.monotonic(), 0
    number = seeds or goal.seeds
    for figures in many(((seed + index,) for index in range(number)), jobs or os.cpu_count() or 1):
        total.add(figures)
        done += 1
        if figures.failures:
            break
        if done % 20 == 0:
            _say(f"{done} seeds, {sum(total.steps.values()):,} steps, {_reached(total)}")
        if not seeds and done >= goal.least and _enough(total, goal):
            break
    _say(figures_text(total, time.monotonic() - began, seed, done))
    for failure in total.failures:
        _say(f"\nFAILED {failure}")
    if total.failures:
        return 1
    if not seeds and not _enough(total, goal):
        _say(f"RESULT: {goal.crashes:,} crashes and {goal.decisions:,} decisions are not reached")
        return 1
    _say("RESULT: every invariant held after every step")
    return 0


@dataclass(frozen=True)
class Level:
    """How much is enough: at least so many seeds, crashes and decisions."""

    least: int
    seeds: int
    crashes: int
    decisions: int


LEVELS = {
    "commit": Level(least=12, seeds=12, crashes=10_000, decisions=70_000),
    "nightly": Level(least=100, seeds=100_000, crashes=1_000_000, decisions=10_000_000),
}


def _enough(total: Figures, goal: Level) -> bool:
    return sum(total.crashes.values()) >= goal.crashes and total.decisions >= goal.decisions


def _reached(total: Figures) -> str:
    return f"{sum(total.crashes.values()):,} crashes, {total.decisions:,} decisions"


def figures_text(total: Figures, seconds: float, seed: int, seeds: int) -> str:
    """The figures, with the bound that a run without failure gives: 3/n at 95 %."""
    steps, crashes = sum(total.steps.values()), sum(total.crashes.values())
    rows = [
        f"seeds {seed} to {seed + seeds - 1}, {seconds:.0f} s",
        f"steps         {steps:>12,}   {steps / max(seconds, 0.001):,.0f} each second",
        f"crashes       {crashes:>12,}   at {len(total.crashes)} points of "
        f"{len({key[:2] for key in total.crashes})} flows{_bound(crashes)}",
        f"cut decisions {total.decisions:>12,}   {total.cuts:,} cuts, "
        f"{total.restores:,} restores{_bound(total.decisions)}",
    ]
    return "\n".join(rows)


def _bound(trials: int) -> str:
    return f"; 0 failures: rate <= {3 / trials:.2g} (3/n, 95 %)" if trials else ""


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
