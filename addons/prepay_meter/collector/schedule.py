"""When which meter of a gateway is polled: fixed slots, retries, back-off, fairness.

Every meter has its own place in the interval, so that a fleet does not ask all at once and comes
back to the same places after a restart. A meter that is silent is asked again soon, then less and
less often, and never takes more than a small share of the bus from those that answer.
"""

from __future__ import annotations

import heapq

from .config import Meter

#: Polls without answer after which a meter counts as offline and is asked less often.
MISSES_UNTIL_OFFLINE = 3
MAX_BACKOFF = 3600.0
#: Seconds until a missed poll is tried again, at most; a short interval waits no longer than itself.
RETRY_SECONDS = 20.0
#: While others wait, silent meters get one part in so many of the time of the bus.
SILENT_SHARE = 8
_GOLDEN = 0.6180339887498949


class Schedule:
    """Due times by meter; times are seconds of any clock that runs evenly."""

    def __init__(self) -> None:
        self._due: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self._silent: list[tuple[float, int]] = []
        self._silent_until = 0.0

    def __contains__(self, meter_id: int) -> bool:
        return meter_id in self._due

    def add(self, meter: Meter, due: float) -> None:
        """Ask ``meter`` at ``due``, whatever was planned for it before."""
        self._due[meter.id] = due
        heap = self._silent if meter.missed >= MISSES_UNTIL_OFFLINE else self._heap
        heapq.heappush(heap, (due, meter.id))

    def remove(self, meter_id: int) -> None:
        self._due.pop(meter_id, None)

    def due(self, meter_id: int) -> float | None:
        return self._due.get(meter_id)

    def overdue(self, now: float) -> float:
        """Seconds that the meter which waits longest, silent ones excepted, is behind its time."""
        first = self._first(self._heap)
        return now - first[0] if first else 0.0

    def next(self, now: float) -> tuple[int | None, float]:
        """The meter to poll now, or None and the time to look again."""
        live = self._first(self._heap)
        silent = self._first(self._silent) if self._silent else None
        if silent is not None and silent[0] <= now:
            others_wait = live is not None and live[0] <= now
            if not others_wait or now >= self._silent_until:
                return silent[1], now
        if live is not None and live[0] <= now:
            return live[1], now
        times = [entry[0] for entry in (live, silent) if entry is not None]
        return None, min(times, default=now + 60.0)

    def spent_on_silence(self, began: float, ended: float) -> None:
        """A silent meter cost this time: the next one waits so long that the others get theirs."""
        self._silent_until = ended + (ended - began) * (SILENT_SHARE - 1)

    def polled(self, meter: Meter, now: float, wall: float) -> None:
        """Plan the next poll after one that ended ``now``.

        :param wall: the same moment in seconds since 1970, for the meter's place in the interval
        """
        interval = meter.interval
        if not meter.missed:
            place = meter.id * _GOLDEN % 1.0 * interval
            rest = (place - wall) % interval
            # A poll that came late does not make the next one come at once.
            wait = rest if rest >= interval / 2 else rest + interval
        elif meter.missed < MISSES_UNTIL_OFFLINE:
            wait = min(interval, RETRY_SECONDS)
        else:
            doubled = interval * 2 ** min(meter.missed - MISSES_UNTIL_OFFLINE + 1, 20)
            wait = min(doubled, max(MAX_BACKOFF, interval))
        self.add(meter, now + wait)

    def _first(self, heap: list[tuple[float, int]]) -> tuple[float, int] | None:
        """The next entry that still holds."""
        while heap:
            due, meter_id = heap[0]
            if self._due.get(meter_id) == due:
                return heap[0]
            heapq.heappop(heap)
        return None
