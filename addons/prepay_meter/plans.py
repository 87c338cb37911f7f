"""Plans of a meter as data: when supply is on and off (定时控制), and which rate counts when.

A time control is a list of day groups, `[{"days": [0, 1, 2, 3, 4], "times": [["05:50", "on"],
["23:00", "off"]]}]`, days counted from Monday. What was switched last holds until the next time,
over midnight and over days without times. A tariff table is a list of `["00:00", 4]`: from that
time of day on, rate 1 sharp, 2 peak, 3 flat, 4 valley, 5 deep valley.

Both have a plain form that people write: `workday 05:50 on 23:00 off` and `00:00 valley 07:00 flat`.
Times are local times of the place.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

MAX_TIMES = 8
"""Switching times of one day: what meters keep (ADF400L, and other makers)."""
MAX_SLOTS = 14
"""Slots of a day table (DL/T 645-2007, Acrel)."""
RATES = (1, 2, 3, 4, 5)
DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
RATE_NAMES = ("sharp", "peak", "flat", "valley", "deep")
WORKDAYS, RESTDAYS = (0, 1, 2, 3, 4), (5, 6)
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_GROUPS = (WORKDAYS, RESTDAYS, (*WORKDAYS, *RESTDAYS))
#: Names of days and groups of days, of rates, of states.
_ENGLISH = (
    (*DAY_NAMES, "workday", "restday", "every"),
    RATE_NAMES,
    {"on": "on", "off": "off"},
)
_CHINESE = (
    (*(f"周{name}" for name in "一二三四五六日"), "工作日", "休息日", "每天"),
    ("尖", "峰", "平", "谷", "深谷"),
    {"on": "开", "off": "关"},
)
_DAYS = {
    name: days
    for words in (_ENGLISH, _CHINESE)
    for name, days in zip(words[0], [*((day,) for day in range(7)), *_GROUPS])
}
_STATES = {"on": "on", "off": "off", "开": "on", "关": "off", "送电": "on", "停电": "off"}
_RATES = {name: rate for words in (_ENGLISH, _CHINESE) for rate, name in zip(RATES, words[1])}
_RATES |= {str(rate): rate for rate in RATES}


class PlanError(ValueError):
    """What is wrong with a plan: `problem` is one of `PROBLEMS`, `value` the words it is about."""

    def __init__(self, problem: str, value: object = "") -> None:
        super().__init__(PROBLEMS[problem].format(value))
        self.problem = problem
        self.value = str(value)


PROBLEMS = {
    "shape": "{} is no plan",
    "empty": "the plan is empty",
    "time": "{} is not a time of day such as 05:50",
    "day": "{} is not a day",
    "day_twice": "a day is named twice: {}",
    "state": "{} is neither on nor off",
    "rate": "{} is not a rate",
    "order": "times must rise: {}",
    "too_many": "at most {} times a day",
    "first": "the first slot begins at 00:00",
    "neighbours": "two slots with the same rate follow each other: {}",
    "one_state": "the plan never switches on again, or never off",
}


def check_time_control(document: object) -> list[dict]:
    """The time control in its one form: days and times sorted; an empty list is none at all.

    :raises PlanError: it is none
    """
    if not isinstance(document, list):
        raise PlanError("shape", document)
    if not document:
        return []
    groups, named, states = [], set(), set()
    for group in document:
        if not isinstance(group, dict) or group.keys() != {"days", "times"}:
            raise PlanError("shape", group)
        days, times = group["days"], group["times"]
        if not isinstance(days, list | tuple) or not isinstance(times, list | tuple) or not days:
            raise PlanError("shape", group)
        for day in days:
            if type(day) is not int or not 0 <= day <= 6:
                raise PlanError("day", day)
            if day in named:
                raise PlanError("day_twice", DAY_NAMES[day])
            named.add(day)
        pairs = [_pair(pair) for pair in times]
        if len(pairs) > MAX_TIMES:
            raise PlanError("too_many", MAX_TIMES)
        for at, state in pairs:
            if state not in ("on", "off"):
                raise PlanError("state", state)
            states.add(state)
            _check_time(at)
        _check_rising([at for at, _state in pairs])
        groups.append({"days": sorted(days), "times": pairs})
    if states != {"on", "off"}:
        raise PlanError("one_state")
    return sorted(groups, key=lambda group: group["days"])


def check_tariff(document: object) -> list[list]:
    """The tariff table, checked.

    :raises PlanError: it is none
    """
    if not isinstance(document, list):
        raise PlanError("shape", document)
    if not document:
        raise PlanError("empty")
    slots = [_pair(pair) for pair in document]
    if len(slots) > MAX_SLOTS:
        raise PlanError("too_many", MAX_SLOTS)
    for at, rate in slots:
        _check_time(at)
        if type(rate) is not int or rate not in RATES:
            raise PlanError("rate", rate)
    if slots[0][0] != "00:00":
        raise PlanError("first")
    _check_rising([at for at, _rate in slots])
    for before, after in zip(slots, slots[1:]):
        if before[1] == after[1]:
            raise PlanError("neighbours", after[0])
    return slots


CHECKS = {"time_control": check_time_control, "tariff": check_tariff}


def parse(kind: str, text: str) -> list:
    """A plan from its plain form, one group of days in each line; a comma is a blank.

    >>> parse("time_control", "mon-thu,sun 05:50 on 23:00 off")[0]["days"]
    [0, 1, 2, 3, 6]
    >>> parse("tariff", "00:00 valley 07:00 flat")
    [['00:00', 4], ['07:00', 3]]

    :raises PlanError: naming the word that is wrong
    """
    if kind == "tariff":
        return check_tariff(_timed(_words(text), _RATES, "rate"))
    groups = []
    for line in text.splitlines():
        words = _words(line)
        if not words:
            continue
        days: list[int] = []
        while words and ":" not in words[0]:
            days += _named_days(words.pop(0))
        if not days:
            raise PlanError("day", words[0] if words else line)
        groups.append({"days": days, "times": _timed(words, _STATES, "state")})
    return check_time_control(groups)


def write(kind: str, document: list, chinese: bool = False) -> str:
    """The plain form of a plan; `parse` reads it back."""
    days, rates, states = _CHINESE if chinese else _ENGLISH
    if kind == "tariff":
        return " ".join(f"{at} {rates[rate - 1]}" for at, rate in document)
    return "\n".join(
        " ".join(
            [
                _named(group["days"], days),
                *(f"{at} {states[state]}" for at, state in group["times"]),
            ]
        )
        for group in document
    )


def state_at(document: list[dict], at: datetime) -> tuple[str, datetime] | None:
    """What the plan wants at a local time: "on" or "off", and since when; None when it has no times."""
    times = {day: group["times"] for group in document for day in group["days"]}
    for back in range(8):
        day = at.date() - timedelta(days=back)
        for clock, state in reversed(times.get(day.weekday(), [])):
            since = datetime.combine(day, datetime.strptime(clock, "%H:%M").time())  # noqa: DTZ007
            if since <= at:
                return state, since
    return None


def _named(days: list[int], names: tuple[str, ...]) -> str:
    for group, name in zip(_GROUPS, names[7:]):
        if tuple(days) == group:
            return name
    return " ".join(names[day] for day in days)


def _named_days(word: str) -> list[int]:
    first, dash, last = word.partition("-")
    found = [_DAYS.get(part) for part in ((first, last) if dash else (first,))]
    if None in found:
        raise PlanError("day", word)
    if not dash:
        return list(found[0])
    start, end = found[0][0], found[1][-1]
    return [day % 7 for day in range(start, end + (1 if end >= start else 8))]


def _words(text: str) -> list[str]:
    text = re.sub(r"[,;，；]", " ", text.lower()).replace("：", ":")
    return [f"0{word}" if re.match(r"\d:", word) else word for word in text.split()]


def _timed(words: list[str], known: dict, problem: str) -> list[list]:
    pairs = []
    for index in range(0, len(words), 2):
        at, *rest = words[index : index + 2]
        _check_time(at)
        if not rest or rest[0] not in known:
            raise PlanError(problem, rest[0] if rest else at)
        pairs.append([at, known[rest[0]]])
    return pairs


def _pair(pair: object) -> list:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise PlanError("shape", pair)
    return list(pair)


def _check_time(at: object) -> None:
    if not isinstance(at, str) or not _TIME.fullmatch(at):
        raise PlanError("time", at)


def _check_rising(times: list[str]) -> None:
    for before, after in zip(times, times[1:]):
        if after <= before:
            raise PlanError("order", f"{before}, {after}")
