"""MQTT messages: what is taken from each form, what is answered, and documents of any kind."""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.addons.prepay_meter import channels
from odoo.addons.prepay_meter.protocols import mqtt_forms
from odoo.addons.prepay_meter.protocols.mqtt_forms import (
    CommandResult,
    Event,
    Heartbeat,
    Login,
    Reading,
    TimeRequest,
    Topology,
    Unknown,
    Update,
    parse,
)

FEW = settings(max_examples=300, deadline=None)
SN = "12307210720085"
CHINA = timezone(timedelta(hours=8))
NOW = datetime(2026, 11, 22, 17, 30, tzinfo=CHINA)
EPOCH = 1795339800


def domestic(kind, document, **kwargs):
    return parse(f"{kind}/key1/{SN}", document, **kwargs)


def ours(document, kind="up"):
    return parse(f"prepay/v1/gw-1/{kind}", document)


def test_channels_are_those_of_the_meter_points():
    known = {channel.code for channel in channels.CHANNELS if not channel.code.startswith("clock")}
    assert mqtt_forms.NUMBER_CHANNELS | {"relay"} == known
    assert {name for name, _ in mqtt_forms.ACREL_FIELDS.values()} <= mqtt_forms.NUMBER_CHANNELS


# --- Acrel, domestic ---

LOGIN = {
    "msgid": 567,
    "method": "login",
    "sn": SN,
    "timestamp": 1638869890,
    "payload": {
        "compress": "1",
        "compressAlgo": "LZO",
        "encrypt": "0",
        "upInterval": 300,
        "devname": "awt100_4g",
        "softcode": "ADM130",
        "softversion": "1.2.3",
        "ccid": "898604282219C0423610",
        "imei": "861234567890123",
    },
}


def test_login():
    message = domestic("sys/dev", LOGIN)
    assert message == Login(
        *("acrel", SN, "key1", 567),
        model="awt100_4g",
        software="ADM130 1.2.3",
        iccid="898604282219C0423610",
        imei="861234567890123",
        interval_s=300,
        compressed=True,
    )
    topic, document = mqtt_forms.answer(message, NOW)
    assert topic == f"sys/server/key1/{SN}"
    expected = {"msgid": 567, "res": 1, "sn": SN, "method": "login", "timestamp": EPOCH}
    assert document == expected


@pytest.mark.parametrize("spelling", ["msgid", "msgId", "MsgID"])
@pytest.mark.parametrize("message_id", [0, 567, "871649359925932032"])
def test_the_answer_carries_the_message_id_as_sent(spelling, message_id):
    message = domestic("sys/dev", {spelling: message_id, "method": "topology"})
    assert message == Topology("acrel", SN, "key1", message_id)
    _, document = mqtt_forms.answer(message, NOW)
    assert document["msgid"] == message_id
    assert document["res"] == 1


def test_a_login_without_message_id_is_answered_too():
    """A device that is not answered sends no data."""
    _, document = mqtt_forms.answer(domestic("sys/dev", {"method": "login"}), NOW)
    assert document == {"res": 1, "sn": SN, "method": "login", "timestamp": EPOCH}


def test_time():
    sent = {"method": "time", "msgid": "8", "devicesend": 1696929169, "timezone": "8"}
    message = domestic("sys/dev", sent)
    assert message == TimeRequest("acrel", SN, "key1", "8", 1696929169)
    _, document = mqtt_forms.answer(message, NOW)
    assert document == {
        "msgid": "8",
        "method": "time",
        "sn": SN,
        "timestamp": EPOCH,
        "devicesend": 1696929169,
        "serverreceive": EPOCH,
        "serversend": EPOCH,
        "timezone": "8",
        "timezoneMin": "00",
    }
    for minutes, zone in ((330, ("5", "30")), (-210, ("-3", "30")), (0, ("0", "00"))):
        there = NOW.astimezone(timezone(timedelta(minutes=minutes)))
        _, document = mqtt_forms.answer(message, there)
        assert (document["timezone"], document["timezoneMin"]) == zone
        assert document["timestamp"] == EPOCH
    with pytest.raises(ValueError, match="needs a zone"):
        mqtt_forms.answer(message, NOW.replace(tzinfo=None))


REPORTED = {
    "state": 1,
    "Ua": 229.4,
    "Ia": 5.12,
    "P": 1.1745,
    "PF": "0.98",
    "EPI": 12345.67,
    "Balance": 10.05,
    "OweMoney": 0,
    "rssi": 26,
    "SwitchSta": 1,
    "AdfState1": 57583,
}
VALUES = {
    "voltage": 229400,
    "voltage_a": 229400,
    "current": 5120,
    "current_a": 5120,
    "power": 1174,
    "power_factor": 980,
    "energy": 12345670,
    "remaining": 1005,
    "overdraft": 0,
    "signal": 26,
    "relay": "closed",
}


def update(reported, **kwargs):
    document = {"sn": SN, "method": "update", "msgid": 1, "timestamp": EPOCH, "reported": reported}
    return domestic("data/up", document, **kwargs)


def test_update_in_base_units():
    message = update(REPORTED)
    assert message == Update("acrel", SN, "key1", 1, (Reading(SN, VALUES, NOW),))
    assert all(type(value) is int for name, value in VALUES.items() if name != "relay")
    assert mqtt_forms.answer(message, NOW) is None


def test_three_phases_give_no_single_voltage():
    (reading,) = update({"Ua": 230, "Ub": 231, "Uc": 232, "Ia": 1, "Ib": 2}).readings
    assert reading.values == {
        "voltage_a": 230000,
        "voltage_b": 231000,
        "voltage_c": 232000,
        "current_a": 1000,
        "current_b": 2000,
    }


def test_several_meters_in_one_update():
    message = update({"m1": {"EPI": 1}, "m2": {"EPI": 2, "timestamp": EPOCH - 60}, "m3": {}})
    minute = timedelta(minutes=1)
    assert message.readings == (
        Reading("m1", {"energy": 1000}, NOW),
        Reading("m2", {"energy": 2000}, NOW - minute),
    )


def test_relay_of_the_switch_state():
    """1 is on; what is neither is said, not guessed."""
    for state, relay in ((1, "closed"), (0, "open"), ("1", "closed"), (1.0, "closed")):
        assert update({"SwitchSta": state}).readings[0].values == {"relay": relay}
    for state in (2, -1, "on", True, [1], 0.5):
        message = update({"EPI": 1, "SwitchSta": state})
        assert "relay" not in message.readings[0].values
        assert message.ignored == (f"SwitchSta of {SN} is neither 0 nor 1",)


@pytest.mark.parametrize(
    ("word", "relay"), [(488, "open"), (57583, "closed"), (232, "open"), (57839, "closed")]
)
def test_relay_of_the_state_word_only_where_it_is_set(word, relay):
    reported = {"EPI": 1, "AdfState1": word}
    assert "relay" not in update(reported).readings[0].values
    trusting = mqtt_forms.Settings(relay_from_adf_state=True)
    (reading,) = update(reported, settings=trusting).readings
    assert reading.values["relay"] == relay
    (reading,) = update({**reported, "SwitchSta": 1}, settings=trusting).readings
    assert reading.values["relay"] == "closed", "the switch state goes first"


def test_fields_of_another_model():
    fields = {"EPIJ": ("energy_sharp", Decimal(1))}
    message = update({"EPI": 1, "EPIJ": 5}, settings=mqtt_forms.Settings(fields))
    assert message.readings[0].values == {"energy_sharp": 5}


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 1e300, 10**400, "9" * 50, "1e999", "x", "", True, [], [1], "NaN"],
)
def test_values_that_are_none(value):
    message = update({"EPI": value, "P": 1})
    assert message.readings[0].values == {"power": 1000}
    assert message.ignored[0].startswith(f"EPI of {SN}: ")


def test_command_results():
    done = {"msgid": 9, "method": "operate", "sn": SN, "res": 1, "reported": {"SwitchSta": 0}}
    message = domestic("indicate/dev", done)
    reading = Reading(SN, {"relay": "open"})
    assert message == CommandResult("acrel", SN, "key1", 9, True, "", (reading,))
    failed = {"msgID": 1, "MsgID": 9, "res": 0, "errcode": "503"}
    message = domestic("indicate/dev", failed)
    assert (message.message_id, message.accepted, message.error) == (9, False, "503")
    for document in ({"msgid": 9}, {"res": 1}):
        assert isinstance(domestic("indicate/dev", document), Unknown)


def test_commands():
    topic, document = mqtt_forms.relay_command(
        "acrel", SN, SN, "open", 7, NOW, product="key1", meter_name="DTSY1352-IOT"
    )
    assert topic == f"indicate/server/key1/{SN}"
    payload = document.pop("payload")
    assert document == {"msgid": 7, "method": "operate", "sn": SN, "timestamp": EPOCH}
    assert payload == {
        "addr": SN,
        "do1": 0,
        "ForceSwitch": 0,
        "meterName": "DTSY1352-IOT",
        "method": "FORCESWITCH",
    }
    _, document = mqtt_forms.relay_command("acrel", SN, "3_1", "closed", 7, NOW, product="key1")
    payload = document["payload"]
    assert (payload["addr"], payload["do1"], payload["ForceSwitch"]) == ("3_1", 1, 1)
    _, document = mqtt_forms.read_command("acrel", SN, "3_1", 8, NOW, product="key1")
    assert document["payload"] == {"addr": "3_1", "method": "REFRESH"}


def test_commands_that_cannot_be_built():
    with pytest.raises(ValueError, match="expected open or closed"):
        mqtt_forms.relay_command("acrel", SN, SN, "on", 7, NOW, product="key1")
    for form in ("acrel_overseas", "other"):
        with pytest.raises(ValueError, match="are not known"):
            mqtt_forms.relay_command(form, SN, SN, "open", 7, NOW, product="key1")
    for gateway in ("", "a/b", "+", "#", "a\n"):
        with pytest.raises(ValueError, match="part of a topic"):
            mqtt_forms.read_command("json", gateway, SN, 7, NOW)


# --- Acrel, overseas ---


def overseas(command, document):
    return parse(f"/gw/acrelHW/null/{command}/{SN}", document)


def test_overseas_login_time_and_parameters():
    login = {"ver": 1011, "rssi": 48, "code": 1968, "ccid": " ", "gwSN": SN, "type": "login"}
    message = overseas("login", login)
    assert (message.model, message.software, message.signal) == ("1968", "1011", 48)
    topic, document = mqtt_forms.answer(message, NOW)
    assert (topic, document) == (
        f"/server/acrelHW/null/login/{SN}",
        {"type": "login", "res": 1},
    )
    message = overseas("time", {"type": "time", "utc": "8", "time": "20221008105600"})
    topic, document = mqtt_forms.answer(message, NOW)
    assert topic == f"/server/acrelHW/null/time/{SN}"
    assert document == {"type": "time", "res": 1, "time": "20261122173000"}
    para = {"meterSN": "0123", "meterName": "arcm300", "upInterval": "5"}
    message = overseas("para", para)
    assert (message.meters, message.interval_s) == ((("0123", "arcm300"),), 300)
    topic, document = mqtt_forms.answer(message, NOW)
    assert (topic, document) == (f"/server/acrelHW/null/para/{SN}", {"type": "para", "res": 1})


def test_overseas_readings_with_the_domestic_names():
    message = overseas("data", {"meterSN": "0123", "time": "20221008105559", "EPI": 1.5})
    assert message.readings == (
        Reading("0123", {"energy": 1500}, datetime(2022, 10, 8, 10, 55, 59)),
    )
    message = overseas("data", {"data": {"EPI": 1.5}})
    assert message.readings == (Reading(SN, {"energy": 1500}),)
    assert overseas("heart", {}) == Heartbeat("acrel_overseas", SN, "null")
    for command, document in (("data", {"power": 1}), ("control", {}), ("ota", {})):
        assert isinstance(overseas(command, document), Unknown)
    assert overseas("control", {"res": 1}).accepted


# --- our own form ---


def test_plain_readings():
    message = ours(
        {
            "id": "a1",
            "time": EPOCH,
            "readings": [
                {
                    "meter": "202611000001",
                    "time": "2026-11-22T17:30:00+08:00",
                    "values": {"energy": 1206420, "power": -5, "voltage_a": "229400"},
                    "state": {"relay": "open", "battery_low": True, "signal": 20},
                },
                {"meter": 17, "values": {"volume": 1000.0}},
            ],
            "events": [{"meter": "17", "code": "tamper", "text": "cover", "time": EPOCH}],
        }
    )
    values = {"energy": 1206420, "power": -5, "voltage_a": 229400}
    state = {"relay": "open", "battery_low": 1, "signal": 20}
    assert message == Update(
        *("json", "gw-1", "", "a1"),
        (
            Reading("202611000001", {**values, **state}, NOW),
            Reading("17", {"volume": 1000}, NOW),
        ),
        (Event("17", "tamper", "cover", NOW),),
    )
    assert mqtt_forms.answer(message, NOW) is None


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (EPOCH, NOW),
        (EPOCH * 1000 + 999, NOW),
        (str(EPOCH), NOW),
        (EPOCH + 0.5, NOW),
        ("2026-11-22T09:30:00Z", NOW),
        ("2026-11-22T17:30:00.123456+0800", NOW),
        ("2026-11-22 17:30:00", NOW.replace(tzinfo=None)),
        ("20261122173000", NOW.replace(tzinfo=None)),
    ],
)
def test_times(sent, expected):
    (reading,) = ours({"meter": "1", "time": sent, "values": {"energy": 1}}).readings
    assert reading.time == expected
    assert (reading.time.tzinfo is None) == (expected.tzinfo is None)


@pytest.mark.parametrize(
    "sent",
    [
        *(0, -1, 10**30, float("nan"), True, [], {}, "", "yesterday", "2026-13-01T00:00:00Z"),
        *("1999-12-31T23:59:59Z", "2026-11-22T17:30:00+99:00", "2026-11-22T25:00:00"),
        "٢٠٢٦-11-22T17:30:00Z",
    ],
)
def test_a_reading_with_an_unusable_time_is_not_taken(sent):
    """It would be booked at another time than that of the meter."""
    message = ours({"meter": "1", "time": sent, "values": {"energy": 1}})
    assert message.readings == ()
    assert message.ignored == ("reading of 1: unusable time",)


def test_what_of_a_plain_message_is_not_taken():
    message = ours(
        {
            "readings": [
                {"values": {"energy": 1}},
                {"meter": "2", "values": {"energy": 1.5, "power": True, "relay": "on", "x": 1}},
                {"meter": "3", "values": {"energy": 7, "voltage": 2**63}},
                "nonsense",
            ],
            "events": [{"meter": "1"}],
        }
    )
    assert message.readings == (Reading("3", {"energy": 7}),)
    assert message.ignored == (
        "a reading without a meter",
        "energy of 2 is no whole number",
        "power of 2 is no whole number",
        "relay of 2 is neither open nor closed",
        "“x” of 2 is no channel",
        "reading of 2: no values",
        "voltage of 3 is no whole number",
        "a reading without a meter",
        "an event without a code",
    )


def test_an_empty_plain_message_is_a_heartbeat():
    assert ours({}) == Heartbeat("json", "gw-1")


def test_amounts_are_limited():
    item = {"meter": "1", "values": {"energy": 1}}
    message = ours({"readings": [item] * (mqtt_forms.MAX_READINGS + 5)})
    assert len(message.readings) == mqtt_forms.MAX_READINGS
    assert message.ignored == ("1005 readings, only 1000 are taken",)
    message = ours({"readings": [{}] * 100})
    assert len(message.ignored) == mqtt_forms.MAX_IGNORED
    message = update({str(number): {"EPI": 1} for number in range(1100)})
    assert len(message.readings) == mqtt_forms.MAX_READINGS


def test_plain_commands_there_and_back():
    expires = NOW + timedelta(minutes=5)
    topic, document = mqtt_forms.relay_command("json", "gw-1", "17", "open", "c1", NOW, expires)
    assert topic == "prepay/v1/gw-1/down"
    assert document == {
        "id": "c1",
        "command": "relay",
        "meter": "17",
        "target": "open",
        "expires": "2026-11-22T09:35:00Z",
    }
    command = mqtt_forms.parse_command(json.loads(json.dumps(document)))
    assert command == mqtt_forms.Command("c1", "relay", "17", "open", expires)
    _, document = mqtt_forms.read_command("json", "gw-1", "17", 5, NOW)
    assert mqtt_forms.parse_command(document) == mqtt_forms.Command(5, "read", "17")

    reading = Reading("17", {"relay": "open"}, NOW)
    message = parse(*mqtt_forms.json_result("gw-1", "c1", readings=(reading,)))
    assert message == CommandResult("json", "gw-1", "", "c1", True, "", (reading,))
    message = parse(*mqtt_forms.json_result("gw-1", "c1", "no such meter"))
    assert (message.accepted, message.error) == (False, "no such meter")
    message = parse(*mqtt_forms.json_up("gw-1", (reading,)))
    assert message.readings == (reading,)
    with pytest.raises(ValueError, match="needs a zone"):
        mqtt_forms.relay_command("json", "gw-1", "17", "open", 1, NOW, expires.replace(tzinfo=None))


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"meter": ""},
        {"command": "explode"},
        {"target": "on"},
        {"expires": "soon"},
        {"expires": "2026-11-22 17:35:00"},  # without a zone it could be meant hours later
    ],
)
def test_commands_that_a_gateway_must_not_carry_out(change):
    document = {"id": 1, "command": "relay", "meter": "1", "target": "open", **change}
    assert isinstance(mqtt_forms.parse_command(document), Unknown)


def test_results_that_are_none():
    for document in ({"id": 1}, {"result": "taken"}, {"id": 1, "result": "done"}, {"id": []}):
        assert isinstance(ours(document, "result"), Unknown)


# --- any document ---


@pytest.mark.parametrize(
    "topic",
    [
        *("", "/", "x", f"sys/server/key1/{SN}", f"indicate/server/key1/{SN}", "sys/dev/key1/"),
        *("prepay/v1/gw-1/down", "prepay/v1//up", "prepay/v2/gw-1/up", "/server/acrelHW/a/b/c"),
        *("data/up/key1/a/b", "sys/dev/key1/\x00", "sys/dev/key1/" + "9" * 65),
    ],
)
def test_other_topics_and_our_own_messages(topic):
    assert isinstance(parse(topic, {"method": "login", "msgid": 1}), Unknown)


KEYS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            *("method", "msgid", "msgId", "MsgID", "id", "sn", "payload", "timestamp", "time"),
            *("reported", "EPI", "Ua", "SwitchSta", "AdfState1", "res"),
            *("readings", "events", "meter", "values", "state", "energy", "relay"),
            *("command", "target", "expires", "result"),
        ]
    ),
)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from([10**400, "login", "update", "taken", "relay", "closed", EPOCH, "1e9999"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=25,
)
TOPICS = st.sampled_from(
    [
        *(f"sys/dev/k/{SN}", f"data/up/k/{SN}", f"indicate/dev/k/{SN}"),
        *(f"/gw/acrelHW/null/{name}/{SN}" for name in ("login", "time", "para", "data", "control")),
        *("prepay/v1/gw-1/up", "prepay/v1/gw-1/result"),
    ]
)


@FEW
@given(st.one_of(TOPICS, st.text()), JSON, st.booleans())
def test_any_document_is_a_message(topic, document, trusting):
    message = parse(topic, document, mqtt_forms.Settings(relay_from_adf_state=trusting))
    for reading in getattr(message, "readings", ()):
        assert reading.meter and reading.values
        for channel, value in reading.values.items():
            if channel == "relay":
                assert value in ("open", "closed")
            else:
                assert type(value) is int
                assert abs(value) < 2**63
    if isinstance(message, Unknown):
        assert message.reason
    answer = mqtt_forms.answer(message, NOW)
    if answer:
        json.dumps(answer[1], allow_nan=False)
    mqtt_forms.parse_command(document)


def test_deep_nesting_and_foreign_types():
    deep = {}
    for _ in range(100_000):
        deep = {"reported": deep, "readings": [deep], "payload": deep}
    for topic in ("data/up/k/1", "sys/dev/k/1", "indicate/dev/k/1", "prepay/v1/g/up"):
        parse(topic, {**deep, "method": "update"})
        for document in (None, 5, b"bytes", "text", [deep], {1: 2}, object()):
            parse(topic, document)
    assert isinstance(parse(None, {}), Unknown)
