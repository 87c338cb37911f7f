"""Fuzz the parsers: `run.py [TARGET] [--seconds N] [--runs N]`; all targets without one.

Guided by coverage where atheris is installed (it has wheels for some machines only), else by
chance. Inputs that found something new are kept in `.local/fuzz/TARGET` and used again; an input
that fails is written beside it as `crash-…`, is shown, and makes the run fail.
"""

import argparse
import importlib.util
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".local" / "fuzz"
MAX_LENGTH = 1500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?")
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument("--runs", type=int, default=-1, help="inputs for each target")
    parser.add_argument("--chance", action="store_true", help="without atheris")
    options = parser.parse_args()
    guided = not options.chance and importlib.util.find_spec("atheris") is not None
    if options.target:
        return fuzz(options, guided)
    return each(sys.argv[1:])


def each(arguments: list[str]) -> int:
    """All targets, each in its own process: the fuzzer ends the one it runs in."""
    from targets import TARGETS

    failed = []
    for name in TARGETS:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, __file__, name, *arguments], check=False).returncode:
            failed.append(name)
    print("RESULT: " + (f"failed: {', '.join(failed)}" if failed else "nothing found"))
    return 1 if failed else 0


def fuzz(options: argparse.Namespace, guided: bool) -> int:
    if guided:
        import atheris

        with atheris.instrument_imports():
            import targets
    else:
        import targets
    target = {**targets.TARGETS, "broken": targets.broken}.get(options.target)
    if target is None:
        print(f"unknown target, there are: {', '.join(targets.TARGETS)}")
        return 2

    def one(data: bytes) -> None:
        if len(data) >= 2:
            target(data)

    # Two fuzzers of one target may run at once: each writes files of its own.
    folder = KEPT / options.target
    folder.mkdir(parents=True, exist_ok=True)
    inputs = targets.seeds(options.target)
    for number, data in enumerate(inputs):
        (folder / f"seed-{number:02d}").write_bytes(data)
    if not guided:
        return by_chance(one, inputs, options, folder)
    atheris.Setup(
        [
            options.target,
            f"-max_total_time={options.seconds}",
            f"-runs={options.runs}",
            f"-max_len={MAX_LENGTH}",
            f"-artifact_prefix={KEPT}/{options.target}-",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-verbosity=0",
            "-print_final_stats=1",
            str(folder),
        ],
        one,
    )
    atheris.Fuzz()
    return 0


def by_chance(one, inputs: list[bytes], options: argparse.Namespace, folder: Path) -> int:
    chance, runs = random.Random(options.runs), 0
    end = time.monotonic() + options.seconds
    while runs != options.runs and time.monotonic() < end:
        data = mutated(chance, inputs)
        runs += 1
        try:
            one(data)
        except Exception:
            path = KEPT / f"{options.target}-crash-{abs(hash(data)):x}"
            path.write_bytes(data)
            print(f"failed on {data!r}, kept in {path}")
            raise
    print(f"{runs} inputs by chance: nothing found")
    return 0


def mutated(chance: random.Random, inputs: list[bytes]) -> bytes:
    """One or two inputs joined, with some bytes changed, cut out or put in."""
    data = bytearray(b"".join(chance.sample(inputs, min(len(inputs), chance.choice((1, 1, 2))))))
    for _ in range(chance.choice((0, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(3)
        if kind == 0 and at < len(data):
            data[at] = chance.choice((data[at] ^ 1 << chance.randrange(8), 0, 255, 0x68, 0x7D))
        elif kind == 1:
            del data[at : at + chance.randrange(8)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(8))
    return bytes(data[:MAX_LENGTH])


if __name__ == "__main__":
    sys.exit(main())
