"""Simulation that proves the invariants of the engine; `python -m tests.prove` runs it."""
