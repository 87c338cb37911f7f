"""Checksums of the wire, written without looking at the product's: the tests' own second opinion."""

from __future__ import annotations


def crc16(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def _crc_entry(value: int) -> int:
    for _bit in range(8):
        value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


CRC_TABLE = tuple(_crc_entry(value) for value in range(256))


def add8(data: bytes) -> int:
    """Checksum of DL/T 645 and CJ/T 188: the sum of all bytes."""
    return sum(data) & 0xFF
