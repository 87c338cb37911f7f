"""Cut decisions: what is true is drawn, evidence is made of it, and the answer is judged.

The judge knows the rules in other words than the engine and works with integers: minutes of the
local day that were drawn, seconds, fen. Most cases are one or two facts away from a cut.
"""

import random
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from . import parts
from .store import need

UTC = timezone.utc
# No summer time in the hours that are drawn: the local minute is known without any conversion.
ZONES = [ZoneInfo(name) for name in ("Asia/Shanghai", "Asia/Kathmandu", "UTC", "Asia/Kolkata")]
DAY = 86_400
FIRST, DAYS = date(2023, 12, 25).toordinal(), 2300


class Cuts:
    """One decision in each step."""

    name = "cuts"

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(f"cuts {seed}")
        self.decisions = self.cuts = self.restores = 0
        self.crashes: dict = {}
        self.trace: list = []
        self.policies = [(rules, _policy_of(rules)) for rules in (self._policy() for _ in range(6))]

    def _policy(self) -> dict:
        pick = self.chance.choice
        cut_at = pick((0, 0, -1000, 500))
        start, end = pick(((600, 960), (600, 960), (1320, 120), (None, None), (0, 1)))
        day_time = start in (600, None)
        return {
            "cut_at": cut_at,
            "restore": cut_at + pick((0, 0, 1, 300)),
            "grace": pick((0, 1800, 7200)),
            "age": pick((60, 3600)),
            "start": start,
            "end": end,
            "working": pick((True, True, False)),
            "notice": pick((True, True, False)),
            "lead": pick((0, DAY)),
            "most": pick((6, 6, 2, 1, 0)),
            "skew": pick((0, 5)),
            "night": pick((None, None, (1200, 480), (60, 300))) if day_time else None,
            "eve": pick((False, True)),
            "weather": pick((False, True)),
            "essential": pick((0, 0, 300)),
        }

    def step(self, number: int) -> None:
        chance = self.chance
        rules, policy = chance.choice(self.policies)
        truth = self._truth(rules)
        evidence = _evidence_of(truth)
        self.trace = [rules, truth]
        decision = parts.supply.decide(policy, evidence)
        self.trace.append(decision)
        self.decisions += 1
        self._judge(rules, truth, decision)
        if number % 50 == 0:
            self._many()

    def _many(self) -> None:
        """Many at once: S-08, no minute brings back more than a tenth; S-09, all of a site or none."""
        chance, batch = self.chance, parts.supply_batch
        sizes = {site: chance.choice((3, 40, 700)) for site in range(3)}
        wanted = {
            site: [(site, each) for each in range(chance.randrange(min(size, 40)))]
            for site, size in sizes.items()
        }
        recent = {site: chance.choice((0, 0, 2, 19)) for site in sizes}
        limits = {site: batch.blast_limit(size) for site, size in sizes.items()}
        approved = {key for keys in wanted.values() for key in keys if chance.random() < 0.1}
        self.trace = [wanted, recent, limits, approved]
        found = batch.blast(wanted, recent, limits, approved)
        for site, keys in wanted.items():
            free = [key for key in keys if key not in approved]
            gone = [key for key in free if key in found.allowed]
            most = min(20, max(3, sizes[site] * 3 // 100))
            need(not gone or recent[site] + len(gone) <= most, "S-09", "%s of site %s", gone, site)
            need(gone in ([], free), "S-09", "a part of site %s: %s of %s", site, gone, free)
            need(
                sorted([*gone, *found.held.get(site, ())]) == free,
                "S-09",
                "cuts of site %s vanished",
                site,
            )
        restores = [batch.Restore(key, key[0], key) for keys in wanted.values() for key in keys]
        delays = batch.stagger(restores, sizes, chance)
        need(len(delays) == len(restores), "S-08", "restores vanished: %s", delays)
        for site, size in sizes.items():
            times = sorted(delay for key, delay in delays.items() if key[0] == site)
            most = max(1, size // 10)
            need(
                all(later - early >= 60 for early, later in zip(times, times[most:])),
                "S-08",
                "more than %s come back within a minute: %s",
                most,
                times,
            )

    def _truth(self, rules: dict) -> dict:
        """Everything speaks for a cut, then some facts are changed."""
        chance = self.chance
        zone = chance.choice(ZONES)
        if rules["start"] is None:
            minute = chance.randrange(500, 1200)
        else:
            minute = (
                rules["start"] + chance.randrange((rules["end"] - rules["start"]) % 1440)
            ) % 1440
        day = FIRST + chance.randrange(DAYS)
        if rules["working"]:
            day -= max(0, (day - 1) % 7 - 4)
        truth = {
            "zone": zone,
            "day": day,
            "second": minute * 60 + chance.randrange(60),
            "fen": rules["cut_at"] - chance.choice((0, 1, 3000)),
            "due": rules["grace"] + chance.choice((0, 1, 5000)),
            "age": chance.randint(0, rules["age"]),
            "held": 0,
            "payment": False,
            "command": False,
            "protected": False,
            "notice": rules["lead"] + chance.choice((0, 1, 5000)),
            "relay": "closed",
            "desired": "closed",
            "own": False,
            "count": chance.randint(0, max(0, rules["most"] - 2)),
            "skew": chance.randint(-rules["skew"], rules["skew"]),
            "holiday": False,
            "next": False,
            "weather": False,
            "water": False,
            "can": False,
            "limited": False,
        }
        if chance.random() < 0.25:  # the policy has cut already
            truth |= {"own": True, "desired": "open", "relay": "open"}
            truth["fen"] = rules["restore"] + chance.choice((0, 1, 500))
        for name in chance.choices(CHANGES, k=chance.choice((0, 1, 1, 1, 2, 3))):
            truth[name] = CHANGE[name](chance, rules)
        return truth

    def _judge(self, rules: dict, truth: dict, decision) -> None:
        cut, restore = _cut_allowed(rules, truth), _restore_due(rules, truth)
        action = decision.action
        limits = rules["essential"] > 0 and truth["can"]
        if action in ("open", "limit"):
            self.cuts += 1
            need(cut is None, cut or "", "cut against the rules: %s", truth)
            need((action == "limit") == limits, "policy", "%s with %s", action, truth)
        elif action in ("close", "release"):
            self.restores += 1
            need(restore == action, "S-06", "%s, should be %s: %s", action, restore, truth)
        need(action == restore or not restore, "S-06", "money, but no power: %s", truth)
        # A decision that never cuts would be safe, and useless.
        need(
            cut or action in ("open", "limit"), "policy", "no cut, every rule allows it: %s", truth
        )


def _change(values):
    return lambda chance, _rules: chance.choice(values)


CHANGE = {
    "second": lambda chance, _rules: chance.randrange(DAY),
    "day": lambda chance, _rules: FIRST + chance.randrange(DAYS),
    "fen": lambda chance, rules: chance.choice(
        (None, rules["cut_at"] + 1, rules["restore"], rules["restore"] + 1, 10_000)
    ),
    "due": lambda chance, rules: chance.choice((None, rules["grace"] - 1, 0)),
    "age": lambda chance, rules: chance.choice(
        (None, rules["age"] + 1, rules["age"] * 3, -rules["skew"], -rules["skew"] - 1)
    ),
    "held": _change((1, 2)),
    "payment": _change((True, None)),
    "command": _change((True, None)),
    "protected": _change((True, None)),
    "notice": lambda chance, rules: chance.choice((None, rules["lead"] - 1, 60)),
    "relay": _change(("open", None)),
    "desired": _change(("open", None)),
    "own": _change((True,)),
    "count": lambda chance, rules: max(0, rules["most"] - chance.choice((0, 1, 2, -3))),
    "skew": lambda chance, rules: chance.choice(
        (None, rules["skew"] + 1, -rules["skew"] - 1, 7200, -3 * DAY)
    ),
    "holiday": _change((True,)),
    "next": _change((True, None)),
    "weather": _change((True, None)),
    "water": _change((True,)),
    "can": _change((True,)),
    "limited": _change((True,)),
}
CHANGES = list(CHANGE)


def _cut_allowed(rules: dict, truth: dict) -> str | None:
    """The invariant that a cut would break, or None."""
    for rule, holds in (
        ("S-01", truth["fen"] is not None and truth["fen"] <= rules["cut_at"]),
        ("S-11", truth["desired"] != "open" and truth["relay"] != "open"),
        ("S-01", truth["age"] is not None and -rules["skew"] <= truth["age"] <= rules["age"]),
        ("S-01", truth["due"] is not None and truth["due"] >= rules["grace"]),
        ("S-03", _in_window(rules, truth["second"])),
        ("S-03", not rules["working"] or ((truth["day"] - 1) % 7 < 5 and not truth["holiday"])),
        (
            "S-02",
            not rules["notice"]
            or (truth["notice"] is not None and truth["notice"] >= rules["lead"]),
        ),
        ("S-04", truth["protected"] is False),
        ("S-01", truth["payment"] is False),
        ("S-07", truth["command"] is False),
        ("R-03", truth["held"] == 0),
        ("S-10", truth["count"] + 2 <= rules["most"]),
        ("S-03", not rules["eve"] or truth["next"] is False),
        ("S-03", not rules["weather"] or truth["weather"] is False),
        ("S-14", not _in_night(rules, truth)),
        ("S-11", not (rules["essential"] and truth["can"]) or truth["limited"] is False),
        ("S-13", truth["skew"] is not None and -rules["skew"] <= truth["skew"] <= rules["skew"]),
    ):
        if not holds:
            return rule
    return None


def _in_window(rules: dict, second: int) -> bool:
    if rules["start"] is None:
        return True
    length = (rules["end"] - rules["start"]) % 1440
    return (second - rules["start"] * 60) % DAY < length * 60


def _in_night(rules: dict, truth: dict) -> bool:
    """The policy's night; for water there always is one, from 20 to 8 o'clock."""
    night = rules["night"] or ((1200, 480) if truth["water"] else None)
    if night is None:
        return False
    length = (night[1] - night[0]) % 1440
    return (truth["second"] - night[0] * 60) % DAY < length * 60


def _restore_due(rules: dict, truth: dict) -> str | None:
    """What the money asks for, if anything."""
    if truth["fen"] is None or truth["fen"] <= rules["restore"]:
        return None
    if truth["own"] and truth["desired"] == "open":
        return "close"
    return "release" if truth["limited"] else None


def _policy_of(rules: dict):
    cut_at = _money(rules["cut_at"])
    night = rules["night"] or (None, None)
    return parts.supply.Policy(
        alarm1=Decimal(20),
        alarm2=Decimal(5),
        cut_at=cut_at,
        restore_above=_money(rules["restore"]),
        grace=timedelta(seconds=rules["grace"]),
        evidence_max_age=timedelta(seconds=rules["age"]),
        window_start=_clock(rules["start"]),
        window_end=_clock(rules["end"]),
        working_days_only=rules["working"],
        notice_required=rules["notice"],
        notice_lead=timedelta(seconds=rules["lead"]),
        max_operations_per_day=rules["most"],
        clock_skew_limit=timedelta(seconds=rules["skew"]),
        night_start=_clock(night[0]),
        night_end=_clock(night[1]),
        holiday_eve=rules["eve"],
        weather=rules["weather"],
        essential_w=rules["essential"],
    )


def _evidence_of(truth: dict):
    hour, rest = divmod(truth["second"], 3600)
    local = datetime.combine(
        date.fromordinal(truth["day"]), time(hour, rest // 60, rest % 60), truth["zone"]
    )
    now = local.astimezone(UTC)

    def ago(name):
        return None if truth[name] is None else now - timedelta(seconds=truth[name])

    return parts.supply.Evidence(
        now=now,
        tz=truth["zone"],
        available=None if truth["fen"] is None else _money(truth["fen"]),
        due_since=ago("due"),
        reading_at=ago("age"),
        held_readings=truth["held"],
        payment_in_flight=truth["payment"],
        command_in_doubt=truth["command"],
        protected=truth["protected"],
        notice_at=ago("notice"),
        relay=truth["relay"],
        desired=truth["desired"],
        cut_by_policy=truth["own"],
        operations_today=truth["count"],
        clock_skew=None if truth["skew"] is None else timedelta(seconds=truth["skew"]),
        holiday=truth["holiday"],
        holiday_next=truth["next"],
        weather=truth["weather"],
        water=truth["water"],
        can_limit=truth["can"],
        limited=truth["limited"],
    )


def _money(fen: int) -> Decimal:
    return Decimal(fen).scaleb(-2)


def _clock(minute: int | None) -> time | None:
    return None if minute is None else time(minute // 60, minute % 60)
