"""The bare loops: what this machine can do with the same work and none of the product's care.

Each runs in a process of its own (`python -m tests.bench.bare poll '{…}'`) against the same devices, broker
and table as the product, and is measured from outside in the same way. They check what any client must
(length, unit, checksum) and nothing else: no schedule, no quality rules, no states, no commands, no spool.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from datetime import datetime, timezone
from functools import lru_cache

import orjson
import psycopg
import uvloop
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.metering import module
from tests.support.wire import crc16

COPY = "COPY prepay_reading_data (read_at, meter_id, channel, value, source) FROM STDIN"
BATCH_S = 0.25
#: Readings in one transaction of the ingest.
INGEST_BATCH = 10_000
CODES = {
    1: "energy", 2: "energy_sharp", 3: "energy_peak", 4: "energy_flat", 5: "energy_valley",
}  # fmt: skip
#: Total and four rates, as the bench profile stores them.
DECODE = struct.Struct(">IIIII")
REGISTERS = 40


class Poller(asyncio.Protocol):
    """One link with one request in flight; each answer becomes five rows, then the next is sent."""

    __slots__ = ("_buffer", "_meters", "_number", "_rows", "_tcp", "_transport", "_unit", "_units")

    def __init__(self, rows: list[str], first_meter: int, units: int, tcp: bool) -> None:
        self._rows, self._meters, self._units, self._tcp = rows, first_meter, units, tcp
        self._unit = self._number = 0
        self._buffer = b""

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._unit = self._unit % self._units + 1
        body = bytes((self._unit, 3, 0, 0, 0, REGISTERS))
        if self._tcp:
            self._number = (self._number + 1) & 0xFFFF
            self._transport.write(struct.pack(">HHH", self._number, 0, 6) + body)
        else:
            self._transport.write(body + crc16(body))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        frame = self._buffer
        if self._tcp:
            if len(frame) < 9 + 2 * REGISTERS:
                return
            good = frame[:2] == self._number.to_bytes(2, "big")
            start = 6
        else:
            if len(frame) < 5 + 2 * REGISTERS:
                return
            good = crc16(frame[:-2]) == frame[-2:]
            start = 0
        self._buffer = b""
        if good and frame[start] == self._unit and frame[start + 2] == 2 * REGISTERS:
            at = f"{second(int(time.time()))}\t{self._meters + self._unit}\t"
            total, one, two, three, four = DECODE.unpack_from(frame, start + 3)
            self._rows.append(
                f"{at}1\t{total * 10}\t1\n{at}2\t{one * 10}\t1\n{at}3\t{two * 10}\t1\n"
                f"{at}4\t{three * 10}\t1\n{at}5\t{four * 10}\t1\n"
            )
        self._ask()


async def poll(dbname: str, endpoints: list, first_meter: int, units: int, framing: str) -> None:
    """Poll all links and COPY what came, a batch at a time, straight into the table."""
    loop = asyncio.get_running_loop()
    rows: list[str] = []
    for index, (host, port) in enumerate(endpoints):
        first = first_meter + index * units
        await loop.create_connection(
            lambda first=first: Poller(rows, first, units, framing == "tcp"), host, port
        )
    connection = await psycopg.AsyncConnection.connect(dbname=dbname, autocommit=True)
    while True:
        await asyncio.sleep(BATCH_S)
        batch, rows[:] = "".join(rows), ()
        async with connection.cursor().copy(COPY) as copy:
            await copy.write(batch)


@lru_cache(maxsize=100_000)
def second(at: int) -> str:
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S}"


def ingest(dbname: str, readings: int, meters: list[int], start: int, through: str) -> None:
    """COPY polls of five rows each, a batch to a transaction; prints the seconds.

    :param through: "bare" into the table; "statements" as the collector does, with one poll of ten twice
    """
    product = module("collector.statements")
    with psycopg.connect(dbname=dbname, autocommit=True) as connection:
        connection.execute(product.STAGING)
        began = time.perf_counter()
        for first in range(0, readings, INGEST_BATCH):
            rows = [
                _rows(meters[number % len(meters)], start + number // len(meters), number)
                for number in range(first, min(readings, first + INGEST_BATCH))
            ]
            with connection.transaction(), connection.cursor() as cursor:
                if through == "bare":
                    with cursor.copy(COPY) as out:
                        out.write("".join(rows))
                else:
                    with cursor.copy(product.COPY_READINGS) as out:
                        out.write("".join(rows + rows[::10]))
                    cursor.execute(product.INSERT_READINGS)
        json.dump({"seconds": time.perf_counter() - began}, sys.stdout)


def _rows(meter: int, at: int, value: int) -> str:
    head = f"{second(at)}\t{meter}\t"
    return (
        f"{head}1\t{4 * value}\t1\n{head}2\t{value}\t1\n{head}3\t{value}\t1\n"
        f"{head}4\t{value}\t1\n{head}5\t{value}\t1\n"
    )


def mqtt(dbname: str, port: int, topic: str, meters: dict[str, int]) -> None:
    """Take messages, COPY what they say, acknowledge after the commit; until killed.

    One thread: acknowledging from a second one costs more than the work.
    """
    waiting: list = []
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 86_400
    properties.ReceiveMaximum = 20_000
    client = Client(
        CallbackAPIVersion.VERSION2, "bare", protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
    )
    client.on_message = lambda _client, _data, message: waiting.append(message)
    client.on_connect = lambda *_arguments: client.subscribe(topic, 1)
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    with psycopg.connect(dbname=dbname, autocommit=True) as connection:
        stored_at = time.monotonic()
        while True:
            client.loop(0.02)
            now = time.monotonic()
            if not waiting or len(waiting) < INGEST_BATCH and now - stored_at < 0.1:
                continue
            rows = []
            for message in waiting:
                for reading in orjson.loads(message.payload)["readings"]:
                    values = reading["values"]
                    head = f"{second(reading['time'])}\t{meters[reading['meter']]}\t"
                    rows += [
                        f"{head}{number}\t{values[code]}\t1\n" for number, code in CODES.items()
                    ]
            with connection.cursor().copy(COPY) as out:
                out.write("".join(rows))
            for message in waiting:
                client.ack(message.mid, message.qos)
            waiting.clear()
            stored_at = time.monotonic()


if __name__ == "__main__":
    work, settings = globals()[sys.argv[1]], json.loads(sys.argv[2])
    if asyncio.iscoroutinefunction(work):
        uvloop.install()
        asyncio.run(work(**settings))
    else:
        work(**settings)
