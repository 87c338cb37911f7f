"""What devices send that nobody can use: told often enough to find a mistake, never a flood."""

from __future__ import annotations

TOLD_EVERY = 3600.0
#: So many different things an hour; of more, nobody would read the list.
MAX_TOLD = 1000
#: Longest part of a message that is kept.
MAX_PAYLOAD = 4096


class Strangers:
    """Tell the same thing at most once an hour."""

    def __init__(self) -> None:
        self._told: dict[object, float] = {}

    def new(self, key: object, now: float) -> bool:
        """Whether ``key`` is to be told now; ``now`` in seconds of any clock that runs evenly."""
        if now - self._told.get(key, -TOLD_EVERY) < TOLD_EVERY:
            return False
        if len(self._told) >= MAX_TOLD:
            self._told = {k: at for k, at in self._told.items() if now - at < TOLD_EVERY}
            if len(self._told) >= MAX_TOLD:
                return False
        self._told[key] = now
        return True


class Budget:
    """Tries that fail, by address: some at once, then one in a while.

    :param burst: failures allowed at once
    :param refill: seconds after which one more is allowed
    """

    def __init__(self, burst: int, refill: float) -> None:
        self._burst, self._refill = burst, refill
        self._spent: dict[str, tuple[float, float]] = {}  # failures not yet forgotten, and when

    def _level(self, address: str, now: float) -> float:
        spent, at = self._spent.get(address, (0.0, now))
        return max(0.0, spent - (now - at) / self._refill)

    def allows(self, address: str, now: float) -> bool:
        return self._level(address, now) + 1 <= self._burst

    def spend(self, address: str, now: float) -> None:
        if len(self._spent) >= MAX_TOLD:
            self._spent = {k: v for k, v in self._spent.items() if self._level(k, now) > 0}
        self._spent[address] = self._level(address, now) + 1, now


def shown(payload: bytes) -> str:
    """Text as it is, anything else in hex; at most `MAX_PAYLOAD` bytes of it."""
    payload = bytes(payload[:MAX_PAYLOAD])
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        # A character may have been cut in two at the end.
        if len(payload) < MAX_PAYLOAD or error.start < MAX_PAYLOAD - 4:
            return payload.hex(" ").upper()
        text = payload[: error.start].decode()
    plain = text.replace("\n", "").replace("\t", "").replace("\r", "")
    return text if plain.isprintable() else payload.hex(" ").upper()
