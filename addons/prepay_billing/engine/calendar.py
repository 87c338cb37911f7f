"""Kind of a local day: workday, weekend or public holiday."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

WORKDAY, WEEKEND, HOLIDAY = "workday", "weekend", "holiday"
DAY_TYPES = (WORKDAY, WEEKEND, HOLIDAY)

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days that are not what their weekday says, by local date.

    A public holiday is HOLIDAY; a Saturday or Sunday worked instead (调休上班) is WORKDAY.
    """

    special: Mapping[date, str] = field(default_factory=dict)

    def day_type(self, day: date) -> str:
        """Kind of a local day, one of DAY_TYPES (or what `special` says, unchecked)."""
        return self.special.get(day) or (WEEKEND if day.weekday() >= _SATURDAY else WORKDAY)
