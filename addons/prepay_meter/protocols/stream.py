"""Find frames in a byte stream that may hold anything else around them."""

from collections.abc import Callable


class StreamSearch:
    """Find frames by header, length and checksum, wherever they start.

    Every position is a possible start, so bytes that only look like a header never hold back a
    real frame behind them. Of frames that overlap, the one that is complete first wins and the
    others are dropped. So the result does not depend on how the bytes were cut into pieces.

    A frame starts with the byte `first`. `length_at(buffer, start)` is asked once per such
    position, as soon as `header` bytes are there: it returns the length of the frame that would
    start there (at least `header`), or 0.
    `valid(frame)` tells whether the complete candidate is a frame. Neither may raise.
    Memory: never more than the longest frame that `length_at` can name, plus the piece just fed.
    """

    __slots__ = ("_buffer", "_first", "_header", "_length_at", "_next", "_open", "_valid")

    def __init__(
        self,
        first: int,
        header: int,
        length_at: Callable[[bytes | bytearray, int], int],
        valid: Callable[[bytes], bool],
    ) -> None:
        self._first = first
        self._header = header
        self._length_at = length_at
        self._valid = valid
        self._buffer = bytearray()
        self._next = 0  # first position not yet asked about
        self._open: list[tuple[int, int]] = []  # (end, start) of candidates not yet decided

    def __len__(self) -> int:
        """Bytes held for candidates that are not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the frames that they complete, in order of their end."""
        buffer = self._buffer
        if not buffer:
            # The usual case: the piece is one whole frame.
            frame = bytes(data)
            if self._candidates(frame, 0) == [(len(frame), 0)] and self._valid(frame):
                return [frame]
        buffer += data
        self._open += self._candidates(buffer, self._next)
        self._next = max(self._next, len(buffer) - self._header + 1)
        return self._decide()

    def _candidates(self, buffer: bytes | bytearray, start: int) -> list[tuple[int, int]]:
        """(end, start) of the frames that may start at `start` or later, headers complete."""
        candidates = []
        stop = len(buffer) - self._header + 1  # first position whose header is not complete
        start = buffer.find(self._first, start, stop) if stop > 0 else -1
        while start >= 0:
            length = self._length_at(buffer, start)
            if length:
                candidates.append((start + length, start))
            start = buffer.find(self._first, start + 1, stop)
        return candidates

    def _decide(self) -> list[bytes]:
        """Check complete candidates in order of their end; forget bytes no candidate needs."""
        frames: list[bytes] = []
        arrived = len(self._buffer)
        self._open.sort()
        waiting: list[tuple[int, int]] = []
        used = 0  # end of the last frame found
        for end, start in self._open:
            if start < used:
                continue
            if end > arrived:
                waiting.append((end, start))
                continue
            frame = bytes(self._buffer[start:end])
            if self._valid(frame):
                frames.append(frame)
                used = end
        drop = min([start for _, start in waiting] + [max(self._next, used)])
        del self._buffer[:drop]
        self._open = [(end - drop, start - drop) for end, start in waiting]
        self._next = max(self._next, used) - drop
        return frames
