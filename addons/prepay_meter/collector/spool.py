"""Store and forward: what was polled while the database is away waits in a file.

Records are length, CRC-32 and JSON; a record that a crash cut off ends the file. Reading starts
again from the beginning after a crash: storing twice changes nothing.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path

import orjson

_logger = logging.getLogger(__name__)

_HEADER = struct.Struct(">II")


class Spool:
    """An ordered queue of JSON documents on local disk; without a folder, in memory.

    :param limit: bytes after which new records are refused
    """

    def __init__(self, path: Path | None, limit: int) -> None:
        self._path, self._limit = path, limit
        self._file = None
        self._read_at = 0
        self._size = 0
        self._memory: list[bytes] = []
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            self._size = self._sound_length()
            self._file.truncate(self._size)

    def __bool__(self) -> bool:
        return self._read_at < self._size or bool(self._memory)

    @property
    def pending_bytes(self) -> int:
        return self._size - self._read_at + sum(map(len, self._memory))

    def append(self, documents: list) -> bool:
        """Keep ``documents`` as one record, on disk when this returns. False: the spool is full."""
        data = orjson.dumps(documents)
        if self.pending_bytes + len(data) > self._limit:
            return False
        if self._file is None:
            self._memory.append(data)
            return True
        self._file.seek(self._size)
        self._file.write(_HEADER.pack(len(data), zlib.crc32(data)) + data)
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._size += _HEADER.size + len(data)
        return True

    def peek(self) -> tuple[list, int] | None:
        """The oldest record and the mark to give to `drop` when it is stored."""
        if self._memory:
            return orjson.loads(self._memory[0]), 0
        if self._file is None or self._read_at >= self._size:
            return None
        self._file.seek(self._read_at)
        length, _crc = _HEADER.unpack(self._file.read(_HEADER.size))
        return orjson.loads(self._file.read(length)), self._read_at + _HEADER.size + length

    def drop(self, mark: int) -> None:
        """Forget what lies before ``mark``; an emptied file shrinks to nothing."""
        if self._memory:
            del self._memory[0]
            return
        self._read_at = mark
        if self._read_at >= self._size:
            self._file.truncate(0)
            self._read_at = self._size = 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _sound_length(self) -> int:
        """Bytes up to the first record that is cut off or damaged."""
        self._file.seek(0)
        at = 0
        while header := self._file.read(_HEADER.size):
            if len(header) < _HEADER.size:
                break
            length, crc = _HEADER.unpack(header)
            data = self._file.read(length)
            if len(data) < length or zlib.crc32(data) != crc:
                break
            at += _HEADER.size + length
        if at < os.fstat(self._file.fileno()).st_size:
            _logger.warning("Spool %s: the last record is incomplete and left out", self._path)
        return at
