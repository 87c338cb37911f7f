"""Publishes very many MQTT messages over a plain socket: the broker's side of a measurement must not be slow."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

CHUNK = 5_000
PUBACK = 4


def publish(port: int, messages: Iterable[tuple[str, bytes]], name: str = "bench-publisher") -> int:
    """Publish with QoS 1 and wait for each acknowledgement, many at a time; returns how many."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        body = struct.pack(">H4sBBH", 4, b"MQTT", 4, 2, 600) + _text(name)
        connection.sendall(b"\x10" + _length(len(body)) + body)
        assert _take(connection, 4)[3] == 0, "the broker refuses"
        total, chunk = 0, []
        for topic, payload in messages:
            number = len(chunk) + 1
            body = _text(topic) + number.to_bytes(2, "big") + payload
            chunk.append(b"\x32" + _length(len(body)) + body)
            if len(chunk) == CHUNK:
                total += _send(connection, chunk)
                chunk = []
        total += _send(connection, chunk)
        connection.sendall(b"\xe0\x00")
    return total


def _send(connection: socket.socket, chunk: list[bytes]) -> int:
    connection.sendall(b"".join(chunk))
    answers = _take(connection, 4 * len(chunk))
    assert answers[::4] == bytes((PUBACK << 4,)) * len(chunk)
    return len(chunk)


def _take(connection: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        data = connection.recv(size - len(found))
        assert data, "the broker has hung up"
        found += data
    return bytes(found)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _length(size: int) -> bytes:
    found = bytearray()
    while True:
        size, digit = divmod(size, 128)
        found.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(found)
