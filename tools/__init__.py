"""Tools of the repository: the launcher and the project's own lint checks."""
