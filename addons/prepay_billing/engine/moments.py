"""Moments that the engine can calculate with: aware, and in years that a clock can mean."""

from datetime import datetime, timezone

UTC = timezone.utc

# A clock outside these years is wrong; inside them no change of zone can overflow.
YEARS = range(1900, 3000)


def problem_of(moment: datetime) -> str | None:
    """Code of what is wrong with a moment ("naive_time", "time_range"), or None."""
    if moment.utcoffset() is None:
        return "naive_time"
    if moment.year not in YEARS:
        return "time_range"
    return None
