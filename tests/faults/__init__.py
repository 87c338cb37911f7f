"""Faults of lines, devices, processes and databases, on purpose (the F numbers are those of the test plan)."""
