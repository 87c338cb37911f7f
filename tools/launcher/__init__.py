"""Modules of the `prepay` command. Standard library only, Python 3.10."""
