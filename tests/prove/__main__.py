"""`python -m tests.prove [--seed N] [--level commit|nightly] [--step AREA:N] [--jobs N]`."""

import argparse
import sys

from . import simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="./prepay prove", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--level", choices=simulation.LEVELS, default="commit")
    parser.add_argument("--seeds", type=int, help="this many seeds, whatever the level reaches")
    parser.add_argument("--step", help="run one seed up to this step, such as site:411")
    parser.add_argument("--jobs", type=int, help="processes, one for each core without it")
    options = parser.parse_args()
    if options.step is None:
        return simulation.prove(options.seed, options.level, options.jobs, options.seeds)
    name, _, number = options.step.partition(":")
    if name not in simulation.AREAS or not number.isdecimal():
        parser.error(f"--step is AREA:NUMBER, with an area of {', '.join(simulation.AREAS)}")
    failure = simulation.replay(options.seed, options.step)
    sys.stdout.write((failure or f"nothing breaks up to step {options.step}") + "\n")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
