"""The project's own checks; each module prints its findings, one per line.

They run in the virtual environment: `python -m tools.lint.<module>`.
"""
