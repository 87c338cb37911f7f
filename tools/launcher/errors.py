"""Failures that are told to the user, never shown as a traceback."""


class LauncherError(Exception):
    """Something failed: what, the last output lines, and what to do."""

    def __init__(self, what: str, advice: str = "", output: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.output = output

    def report(self) -> str:
        parts = [f"FAILED: {self.what}"]
        if self.output.strip():
            parts.append("\n".join("    | " + line for line in self.output.rstrip().splitlines()))
        if self.advice:
            parts.append(f"What to do: {self.advice}")
        return "\n".join(parts)
