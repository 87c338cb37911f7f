"""What is fuzzed: for each parser one function that fails when the parser breaks a promise.

The promises: no exception whatever comes, no frame with a wrong checksum, the same result however
the bytes are cut, and bounded memory. Imported without Odoo, so only the parsers are measured.
"""

import json
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

ADDON = Path(__file__).resolve().parents[2] / "addons" / "prepay_meter"
sys.path.append(str(ADDON))

from protocols import acrel4g, cjt188, dlt645, dtu, exchange, modbus, mqtt_forms  # noqa: E402

NOW = datetime(2026, 11, 22, tzinfo=timezone.utc)
METER = "000000000161"
WATER = "78331505900569"
SERIAL = "12307210720085"
IDENTITIES = dtu.KnownIdentities(
    {b"861234567890123": "imei", b"SITE-A": "short", b"SITE-A-17": "long", b"\xfe\x01\x7b\x00": "x"}
)


def pieces(data: bytes) -> tuple[bytes, list[bytes]]:
    """The stream, and the same cut as the first two bytes say."""
    size, shift, stream = data[0] % 17 + 1, data[1] % 5, data[2:]
    return stream, [
        stream[:shift],
        *(stream[at : at + size] for at in range(shift, len(stream), size)),
    ]


def parse(make: Callable, data: bytes, limit: int) -> list:
    """Frames of the whole stream; the same come out of its pieces."""
    stream, parts = pieces(data)
    whole, parser, found = make().feed(stream), make(), []
    for part in parts:
        found += parser.feed(part)
        assert len(parser) < limit + len(part), len(parser)
    assert found == whole, (found, whole)
    return whole


def ask(make: Callable[[], exchange.Exchange], data: bytes) -> None:
    """The same reply in one piece and in several, and a reason when there is none."""
    stream, parts = pieces(data)
    whole, cut = make(), make()
    reply = whole.feed(stream)
    replies = [found for part in parts if (found := cut.feed(part))]
    assert replies == ([reply] if reply else []), (reply, replies)
    assert len(whole.received) <= exchange.KEPT_BYTES
    assert all(stray.detail for stray in whole.strays)
    assert whole.failure()[1]
    ignoring = make().ignoring(b"ping", b"\x00\x00")
    assert bool(reply) <= bool(ignoring.feed(stream))


def modbus_rtu(data: bytes) -> None:
    for request in (
        modbus.read_registers_request(1, 0, 2),
        modbus.read_registers_request(1, 0, 125, modbus.READ_INPUT),
        modbus.write_registers_request(1, 0x57, [1, 1]),
    ):
        make = partial(modbus.RtuResponseParser, request)
        for frame in parse(make, data, modbus.MAX_FRAME):
            assert modbus.crc16(frame.raw) == 0
            assert frame.unit == 1
    frames, rest = modbus.scan(data)
    assert sum(len(frame.raw) for frame in frames) + len(rest) == len(data)
    ask(lambda: exchange.modbus_read(1, 0, 2), data)
    ask(lambda: exchange.modbus_write(1, 0x57, [1, 1]), data)


def modbus_tcp(data: bytes) -> None:
    request = modbus.tcp_request(modbus.read_registers_request(1, 0, 2), 1)
    for frame in parse(lambda: modbus.TcpResponseParser(request), data, modbus.MAX_TCP_FRAME):
        assert (frame.transaction, frame.unit) == (1, 1)
    for frame in modbus.scan_tcp(data):
        assert int.from_bytes(frame.raw[4:6], "big") == len(frame.raw) - 6
    ask(lambda: exchange.modbus_read(1, 0, 2).over_tcp(1), data)
    ask(lambda: exchange.modbus_write(1, 0x57, [1, 1]).over_tcp(1), data)


def dlt645_frames(data: bytes) -> None:
    for frame in parse(dlt645.Parser, data, 212):
        assert sum(frame.raw[:-2]) & 0xFF == frame.raw[-2]
        assert dlt645.build(frame.address, frame.control, frame.data) == frame.raw
        assert frame.di is not None
        assert bool(frame.error_text) == frame.is_error
    rights = (bytes(4), bytes(4))
    ask(lambda: exchange.dlt645_read(METER, "00010000"), data)
    ask(lambda: exchange.dlt645_read_next(METER, "00010000", 1), data)
    ask(lambda: exchange.dlt645_relay(METER, dlt645.TRIP, *rights), data)
    ask(lambda: exchange.dlt645_credit(METER, 100, 1, *rights), data)
    refuses(dlt645.status_word_3, data[:2])


def cjt188_frames(data: bytes) -> None:
    for frame in parse(cjt188.Parser, data, 113):
        assert sum(frame.raw[:-2]) & 0xFF == frame.raw[-2]
        built = cjt188.build(frame.meter_type, frame.address, frame.control, frame.data)
        assert built == frame.raw
        refuses(cjt188.counter, frame.payload)
    refuses(cjt188.counter, data[:19])
    ask(lambda: exchange.cjt188_read(0x10, WATER, "901F", 0), data)
    ask(lambda: exchange.cjt188_valve(0x10, WATER, True, 1), data)
    ask(exchange.cjt188_read_address, data)


def acrel4g_frames(data: bytes) -> None:
    for frame in parse(acrel4g.Parser, data, acrel4g.MAX_FRAME):
        assert acrel4g.build(frame.command, frame.body) == frame.raw
        acrel4g.parse(frame)
    # The CRC is hard to guess: also what is inside frames, and frames that are made here.
    message = acrel4g.parse(acrel4g.Frame(data[0], data[2:]))
    if isinstance(message, acrel4g.Data):
        for entry in message.entries:
            refuses(acrel4g.decode_block, entry.answer.data)
    refuses(acrel4g.decode_block, data[: acrel4g.RATES_8].ljust(acrel4g.RATES_8))
    made = acrel4g.build(data[0], data[2:200]) if len(data) > 20 else b""
    parse(acrel4g.Parser, data[:2] + made + data[2:] + made, acrel4g.MAX_FRAME)
    ask(lambda: exchange.modbus_read(1, 0, 2).tunnelled(SERIAL), data[:2] + made + data[2:])
    ask(lambda: exchange.modbus_write(1, 0x57, [1, 1]).tunnelled(None), data[:2] + made)


def dtu_stream(data: bytes) -> None:
    stream, parts = pieces(data)
    results = []
    for cut in ([stream], parts):
        registration, found, later = dtu.Registration(IDENTITIES), None, b""
        for part in cut:
            if found is None and not registration.failed:
                found = registration.feed(part)
                assert len(registration) <= dtu.MAX_REGISTRATION
            else:
                later += part
        found = found or registration.flush()
        results.append(found and (found.identity, found.known, found.rest + later))
    assert results[0] == results[1], results
    foreign = (b"ping", b"861234567890123", data[2:5], data[3:8])
    clean = dtu.Cleaner(foreign)
    whole = clean.feed(stream) + clean.flush()
    cleaner, out = dtu.Cleaner(foreign), b""
    for part in parts:
        out += cleaner.feed(part)
        assert len(cleaner) < 15
    assert out + cleaner.flush() == whole


def mqtt_documents(data: bytes) -> None:
    topics = (
        *("sys/dev/k/1", "data/up/k/1", "indicate/dev/k/1", "prepay/v1/g/up", "prepay/v1/g/result"),
        *(f"/gw/acrelHW/null/{name}/1" for name in ("login", "time", "para", "data", "control")),
    )
    text = data[1:].decode("utf-8", "surrogateescape")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = text
    settings = mqtt_forms.Settings(relay_from_adf_state=bool(data[0] & 1))
    for topic in (*topics, text):
        message = mqtt_forms.parse(topic, document, settings)
        for reading in getattr(message, "readings", ()):
            for channel, value in reading.values.items():
                assert channel == "relay" or type(value) is int, (channel, value)
        answer = mqtt_forms.answer(message, NOW)
        if answer:
            json.dumps(answer[1], allow_nan=False)
    mqtt_forms.parse_command(document)


def broken(data: bytes) -> None:
    """Fails, so that a test can see that a failure is seen."""
    assert len(data) < 4, "as it should"


def refuses(function: Callable, *arguments: object) -> None:
    """Runs, or refuses its arguments by a ValueError."""
    try:
        function(*arguments)
    except ValueError as error:
        assert str(error)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "modbus_rtu": modbus_rtu,
    "modbus_tcp": modbus_tcp,
    "dlt645": dlt645_frames,
    "cjt188": cjt188_frames,
    "acrel4g": acrel4g_frames,
    "dtu": dtu_stream,
    "mqtt_forms": mqtt_documents,
}


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with: the published frames, and messages as they are described."""
    vectors = json.loads((ADDON / "tests" / "vectors" / "meter_frames.json").read_text("utf-8"))
    frames = [bytes.fromhex(vector["hex"]) for vector in vectors["vectors"]]
    rtu = exchange.modbus_read(1, 0, 2)
    answer = bytes.fromhex("01030400001234")
    answer += modbus.crc16(answer).to_bytes(2, "little")
    frames += [
        answer,
        bytes.fromhex("00010000000701030400001234"),
        acrel4g.data(SERIAL, [("1-1", answer)]),
        acrel4g.tunnel_answer(SERIAL, answer),
        rtu.tunnelled(None).request,
        b"861234567890123ping" + answer,
    ]
    update = {"msgid": 1, "method": "update", "timestamp": 1795339800, "sn": "1"}
    reading = mqtt_forms.Reading("1", {"energy": 1, "relay": "open"}, NOW)
    documents: list[object] = [
        {**update, "reported": {"EPI": 1.5, "Ua": "230", "SwitchSta": 1, "AdfState1": 488}},
        {"msgId": "5", "method": "time", "devicesend": 1696929169},
        {"MsgID": 5, "method": "login", "payload": {"upInterval": 300, "ccid": "89"}},
        {"msgid": 9, "res": 0, "errcode": "503"},
        mqtt_forms.json_up("g", (reading,))[1],
        mqtt_forms.json_result("g", 5, "error", (reading,))[1],
        mqtt_forms.relay_command("json", "g", "1", "open", 1, NOW, NOW)[1],
    ]
    if target == "mqtt_forms":
        return [b"\1" + json.dumps(document).encode() for document in documents]
    return [b"\3\1" + frame for frame in frames]
