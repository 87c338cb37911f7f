"""Many cuts and restores at once: the blast limit (S-09) and the spread of restores (S-08).

Pure: what happened lately is an argument, and so is the source of chance.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

#: A site with few meters may always have so many cuts: three per cent of it would be none.
LEAST = 3
#: Seconds over which restores are spread when the feeder could take them faster.
SPREAD = 300
#: Per cent of a feeder's meters that may come back within a minute.
FEEDER_PERCENT = 10


@dataclass(frozen=True, slots=True)
class Blast:
    """Cuts that may go on, and those that wait for a person, by site."""

    allowed: tuple[Hashable, ...]
    held: Mapping[Hashable, tuple[Hashable, ...]]


@dataclass(frozen=True, slots=True)
class Restore:
    """A relay to be closed: `feeder` is what inrush burdens, `payer` whose money or cause it is."""

    key: Hashable
    feeder: Hashable
    payer: Hashable


def blast_limit(meters: int, percent: int = 3, most: int = 20) -> int:
    """So many meters of a site with `meters` may be cut within ten minutes without a person."""
    return min(most, max(LEAST, meters * percent // 100))


def blast(
    wanted: Mapping[Hashable, Sequence[Hashable]],
    recent: Mapping[Hashable, int],
    limits: Mapping[Hashable, int],
    approved: Collection[Hashable] = (),
) -> Blast:
    """Which of the wanted cuts may go on.

    More than the limit is a sign of a wrong price, a wrong reading or a wrong clock: then none
    of the site goes on, for a part of a mistake is a mistake too. What a person approved goes on
    and does not count.

    :param wanted: meters by site
    :param recent: cuts of the last ten minutes by site, approved ones left out
    :param limits: by site; a site without one has none allowed
    """
    allowed, held = [], {}
    for site, keys in wanted.items():
        asked = [key for key in keys if key in approved]
        free = [key for key in keys if key not in approved]
        allowed += asked
        if recent.get(site, 0) + len(free) <= limits.get(site, 0):
            allowed += free
        elif free:
            held[site] = tuple(free)
    return Blast(tuple(allowed), held)


def stagger(
    restores: Sequence[Restore], sizes: Mapping[Hashable, int], chance: Random
) -> dict[Hashable, int]:
    """Seconds to wait before each relay is closed.

    A feeder's first tenth, and everything of a single payer, comes back at once (S-06); the rest
    in a random order, evenly over five minutes or longer, so that no minute brings back more than
    a tenth of the feeder.

    :param sizes: meters on each feeder
    """
    delays = {}
    by_feeder: dict[Hashable, list[Restore]] = {}
    for restore in restores:
        by_feeder.setdefault(restore.feeder, []).append(restore)
    for feeder, items in by_feeder.items():
        minute = max(1, sizes.get(feeder, 0) * FEEDER_PERCENT // 100)
        if len({item.payer for item in items}) == 1:
            minute = len(items)
        order = chance.sample(items, len(items))
        rest = order[minute:]
        delays.update((item.key, 0) for item in order[:minute])
        if not rest:
            continue
        step = max(-(-60 // minute), (SPREAD - 60) // len(rest))
        phase = 60 + chance.randrange(step)
        delays.update((item.key, phase + index * step) for index, item in enumerate(rest))
    return delays
