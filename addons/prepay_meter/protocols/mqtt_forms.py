"""MQTT messages of gateways and meters, in three forms; `docs/mqtt.md` describes them.

`json`: our own plain form. `acrel`: Acrel's domestic form, in which a device sends no data before
its login, time and topology messages were answered. `acrel_overseas`: Acrel's other one, of which
readings and relay commands are not published.

Pure: a topic and an already decoded JSON document go in, a message or what to publish comes out.
`parse` never raises, whatever the document holds; what it cannot use becomes `Unknown` or is named
in `ignored`. Who may speak for which gateway is the broker's business (access by topic), so the
gateway is always that of the topic. That a meter belongs to the gateway is for the caller to check.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from .values import MAX_VALUE, scaled

FORMS = ("json", "acrel", "acrel_overseas")
SUBSCRIPTIONS = {
    "json": ("prepay/v1/+/up", "prepay/v1/+/result"),
    "acrel": ("sys/dev/+/+", "data/up/+/+", "indicate/dev/+/+"),
    "acrel_overseas": ("/gw/acrelHW/+/+/+",),
}
"""Topics of the devices only: wider ones would bring our own messages back."""

MAX_READINGS = 1000
"""Of one message; more are ignored."""
MAX_IGNORED = 20
MAX_TEXT = 64

_PHASED = ("power", "voltage", "current")
_RATES = ("sharp", "peak", "flat", "valley", "deep", "reverse")
NUMBER_CHANNELS = frozenset(
    (
        *("energy", *(f"energy_{rate}" for rate in _RATES), "volume"),
        *_PHASED,
        *(f"{name}_{phase}" for name in _PHASED for phase in "abc"),
        *("reactive", "power_factor", "frequency", "battery_low", "signal"),
        *("remaining", "overdraft", "purchase_count"),
    )
)
RELAY_STATES = ("open", "closed")

ACREL_FIELDS: Mapping[str, tuple[str, Decimal]] = {
    "EPI": ("energy", Decimal(1000)),
    "U": ("voltage", Decimal(1000)),
    "Ua": ("voltage_a", Decimal(1000)),
    "Ub": ("voltage_b", Decimal(1000)),
    "Uc": ("voltage_c", Decimal(1000)),
    "I": ("current", Decimal(1000)),
    "Ia": ("current_a", Decimal(1000)),
    "Ib": ("current_b", Decimal(1000)),
    "Ic": ("current_c", Decimal(1000)),
    "P": ("power", Decimal(1000)),
    "Pa": ("power_a", Decimal(1000)),
    "Pb": ("power_b", Decimal(1000)),
    "Pc": ("power_c", Decimal(1000)),
    "Q": ("reactive", Decimal(1000)),
    "PF": ("power_factor", Decimal(1000)),
    "F": ("frequency", Decimal(1000)),
    "Balance": ("remaining", Decimal(100)),
    "OweMoney": ("overdraft", Decimal(100)),
    "rssi": ("signal", Decimal(1)),
}
"""Field of the domestic form: channel, and base units of one (kWh, V, A, kW, kvar, Hz, yuan)."""


# --- messages ---


@dataclass(slots=True)
class Reading:
    """Values of one meter by channel, in base units; the relay as "open" or "closed".

    `meter` is its number, serial or address, as the gateway names it. `time` is when the meter had
    the values: aware, or naive in the local time of the place, or None when it was not told.
    """

    meter: str
    values: dict[str, int | str]
    time: datetime | None = None


@dataclass(slots=True, frozen=True)
class Event:
    """Something that a gateway reports of a meter, or of itself when `meter` is empty."""

    meter: str
    code: str
    text: str = ""
    time: datetime | None = None


@dataclass(slots=True)
class Message:
    """What all have. `form` and `product` are for the answer; `message_id` as it was sent."""

    form: str
    gateway: str
    product: str = ""
    message_id: int | str | None = None


@dataclass(slots=True)
class Login(Message):
    """`interval_s` and the others are empty when the device did not tell."""

    model: str = ""
    software: str = ""
    iccid: str = ""
    imei: str = ""
    signal: int | None = None
    interval_s: int | None = None
    compressed: bool = False
    encrypted: bool = False


@dataclass(slots=True)
class TimeRequest(Message):
    """`device_sent` goes back in the answer."""

    device_sent: int | str | None = None


@dataclass(slots=True)
class Topology(Message):
    """The meters behind a gateway, as (serial, name), as far as they can be told."""

    meters: tuple[tuple[str, str], ...] = ()
    interval_s: int | None = None


@dataclass(slots=True)
class Heartbeat(Message):
    pass


@dataclass(slots=True)
class Update(Message):
    """Readings and events. `ignored` says what of the message could not be used."""

    readings: tuple[Reading, ...] = ()
    events: tuple[Event, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(slots=True)
class CommandResult(Message):
    """Answer to the command `message_id`. `accepted` is no proof that a relay moved."""

    accepted: bool = False
    error: str = ""
    readings: tuple[Reading, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Unknown:
    """A message that is not used, and why."""

    reason: str
    gateway: str = ""


@dataclass(slots=True, frozen=True)
class Settings:
    """What differs between models; all of it needs a bench meter.

    `relay_from_adf_state`: take bit 15 of AdfState1 (set = closed) when SwitchSta is missing.
    """

    fields: Mapping[str, tuple[str, Decimal]] = field(default_factory=lambda: ACREL_FIELDS)
    relay_from_adf_state: bool = False


DEFAULTS = Settings()


# --- scalars: each returns None for what is no such value ---


def _dict(value: object) -> dict:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """Printable text of at most `MAX_TEXT` characters, of a number its digits; else empty."""
    if type(value) is str and value.isalnum() and len(value) <= MAX_TEXT:
        return value
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return str(value) if abs(value) <= MAX_VALUE else ""
    if not isinstance(value, str):
        return ""
    text = value.strip()
    return text if len(text) <= MAX_TEXT and text.isprintable() else ""


def _number(value: object) -> Decimal | None:
    """A finite number of a reasonable size, also one sent as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value) if abs(value) <= MAX_VALUE else None
    if isinstance(value, float):
        value = repr(value)
    if not isinstance(value, str) or not 0 < len(value) <= 40:
        return None
    try:
        number = Decimal(value.strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or not -30 <= number.adjusted() <= 18:
        return None
    return number


def _whole(value: object) -> int | None:
    if type(value) is int:
        return value if -MAX_VALUE <= value <= MAX_VALUE else None
    number = _number(value)
    if number is None or number != number.to_integral_value():
        return None
    return int(number) if abs(number) <= MAX_VALUE else None


def _message_id(document: dict) -> int | str | None:
    """Firmware spells it in several ways."""
    for key in ("msgid", "msgId", "MsgID", "MsgId", "id"):
        value = document.get(key)
        number = _whole(value) if isinstance(value, int | float) else None
        if number is not None:
            return number
        if isinstance(value, str) and _text(value):
            return _text(value)
    return None


def _serial(document: dict) -> str:
    for key in ("sn", "SN", "Sn", "gwSN"):
        if text := _text(document.get(key)):
            return text
    return ""


_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d{1,9})?"
    r"(?:(Z)|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
_DIGITS = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)", re.ASCII)
_FIRST, _LAST = 946_684_800, 4_102_444_800  # 2000 to 2100


def _time(value: object) -> datetime | None:
    """A moment: seconds or milliseconds since 1970, or ISO 8601; without a zone it stays naive."""
    return _time_of_text(value) if type(value) is str else _time_of(value)


@lru_cache(maxsize=4096)
def _time_of_text(value: str) -> datetime | None:
    """Many messages of one second tell the same time."""
    return _time_of(value)


def _time_of(value: object) -> datetime | None:
    if isinstance(value, str):
        text = value.strip()
        match = _ISO.fullmatch(text) or _DIGITS.fullmatch(text)
        if match:
            return _calendar(*match.groups())
    number = _number(value)
    if number is None:
        return None
    if number > 10**11:
        number /= 1000
    if not _FIRST <= number < _LAST:
        return None
    return datetime.fromtimestamp(int(number), timezone.utc)


def _calendar(
    year: str,
    month: str,
    day: str,
    hour: str,
    minute: str,
    second: str,
    zulu: str | None = None,
    sign: str | None = None,
    hours: str | None = None,
    minutes: str | None = None,
) -> datetime | None:
    zone = timezone.utc if zulu else None
    try:
        if sign:
            offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
            zone = timezone(-offset if sign == "-" else offset)
        parts = [int(part) for part in (year, month, day, hour, minute, second)]
        when = datetime(*parts, tzinfo=zone)
    except ValueError:
        return None
    return when if 2000 <= when.year < 2100 else None


class _Ignored:
    """Reasons, a limited number of them."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def add(self, reason: str) -> None:
        if len(self.reasons) < MAX_IGNORED:
            self.reasons.append(reason)

    def tuple(self) -> tuple[str, ...]:
        return tuple(self.reasons)


def _name(key: object) -> str:
    """A key of a document, fit for a reason."""
    return _text(key) or "unreadable name"


# --- parsing ---


def parse(topic: str, document: object, settings: Settings = DEFAULTS) -> Message | Unknown:
    """What a device says. The form follows from the topic. Never raises."""
    parts = _parts(topic) if isinstance(topic, str) else ()
    if parts is None:
        return Unknown("unreadable topic")
    if parts[:2] == ("prepay", "v1") and len(parts) == 4 and parts[2]:
        return _json(parts[2], parts[3], document)
    if parts[:3] == ("", "gw", "acrelHW") and len(parts) == 6 and parts[5]:
        return _overseas(parts[3], parts[4], parts[5], document, settings)
    if len(parts) == 4 and parts[3] and "/".join(parts[:2]) in _ACREL_TOPICS:
        return _acrel("/".join(parts[:2]), parts[2], parts[3], document, settings)
    return Unknown("not a topic of a device")


@lru_cache(maxsize=65_536)
def _parts(topic: str) -> tuple[str, ...] | None:
    """Parts of a topic, None when one is no plain text. A device uses the same few for ever."""
    parts = topic.split("/")
    return tuple(parts) if all(part == _text(part) for part in parts) else None


_ACREL_TOPICS = ("sys/dev", "data/up", "indicate/dev")


def _acrel(
    topic: str, product: str, gateway: str, document: object, settings: Settings
) -> Message | Unknown:
    if not isinstance(document, dict):
        return Unknown("the message is no JSON object", gateway)
    method = _text(document.get("method"))
    who = ("acrel", gateway, product, _message_id(document))
    payload = _dict(document.get("payload"))
    if topic == "indicate/dev":
        return _result(who, document, settings)
    if method == "update":
        ignored = _Ignored()
        readings = _reported(document, gateway, settings, ignored)
        return Update(*who, readings, (), ignored.tuple())
    if topic == "data/up":
        return Unknown(f"method “{method}” is not handled", gateway)
    if method == "login":
        data = {**document, **payload}
        return Login(
            *who,
            model=_text(data.get("devname")),
            software=_software(data),
            iccid=_text(data.get("ccid")),
            imei=_text(data.get("imei")),
            signal=_whole(data.get("rssi")),
            interval_s=_whole(data.get("upInterval")),
            compressed=_text(data.get("compress")) == "1",
            encrypted=_text(data.get("encrypt")) == "1",
        )
    if method == "time":
        sent = document.get("devicesend", document.get("timestamp"))
        return TimeRequest(*who, _whole(sent) if isinstance(sent, int | float) else _text(sent))
    if method == "topology":
        return Topology(*who)
    return Unknown(f"method “{method}” is not handled", gateway)


def _software(data: dict) -> str:
    return " ".join(filter(None, (_text(data.get("softcode")), _text(data.get("softversion")))))


def _result(who: tuple, document: dict, settings: Settings) -> Message | Unknown:
    res = document.get("res")
    if res is None or who[3] is None:
        return Unknown("a result without res or msgid", who[1])
    accepted = res is True or _text(res).lower() in ("1", "ok", "success")
    error = "" if accepted else _text(document.get("errcode")) or "refused"
    ignored = _Ignored()
    readings = ()
    if "reported" in document:
        readings = _reported(document, who[1], settings, ignored)
    return CommandResult(*who, accepted, error, readings, ignored.tuple())


def _reported(
    document: dict, gateway: str, settings: Settings, ignored: _Ignored
) -> tuple[Reading, ...]:
    """Fields of the meter itself, or one object of fields for each meter."""
    reported = document.get("reported")
    if not isinstance(reported, dict):
        ignored.add("no object “reported”")
        return ()
    meter = _serial(document) or gateway
    time = _time(document.get("timestamp"))
    readings = []
    if reading := _fields(meter, reported, time, settings, ignored):
        readings.append(reading)
    for key, fields in reported.items():
        if not isinstance(fields, dict):
            continue
        if not _text(key) or len(readings) >= MAX_READINGS:
            ignored.add(f"reading of “{_name(key)}”: unreadable name, or too many readings")
        elif reading := _fields(_text(key), fields, time, settings, ignored):
            readings.append(reading)
    return tuple(readings)


def _fields(
    meter: str, fields: dict, time: datetime | None, settings: Settings, ignored: _Ignored
) -> Reading | None:
    values: dict[str, int | str] = {}
    for name, (channel, scale) in settings.fields.items():
        if fields.get(name) is None or isinstance(fields[name], dict):
            continue
        number = _number(fields[name])
        try:
            if number is None:
                raise ValueError("no number")
            values[channel] = scaled(number, scale)
        except ValueError as error:
            ignored.add(f"{_name(name)} of {meter}: {error}")
    if "voltage_a" in values and "voltage_b" not in values:
        values.setdefault("voltage", values["voltage_a"])
    if "current_a" in values and "current_b" not in values:
        values.setdefault("current", values["current_a"])
    if relay := _relay(meter, fields, settings, ignored):
        values["relay"] = relay
    own = _time(fields.get("timestamp")) or _time(fields.get("time"))
    return Reading(meter, values, own or time) if values else None


def _relay(meter: str, fields: dict, settings: Settings, ignored: _Ignored) -> str:
    """SwitchSta: 1 is on."""
    state = fields.get("SwitchSta")
    if state is None and settings.relay_from_adf_state:
        word = _whole(fields.get("AdfState1"))
        if word is not None and 0 <= word <= 0xFFFF:
            return RELAY_STATES[word >> 15]
    if state is None:
        return ""
    number = _whole(state)
    if number in (0, 1):
        return RELAY_STATES[number]
    ignored.add(f"SwitchSta of {meter} is neither 0 nor 1")
    return ""


def _overseas(
    product: str, command: str, gateway: str, document: object, settings: Settings
) -> Message | Unknown:
    if not isinstance(document, dict):
        return Unknown("the message is no JSON object", gateway)
    who = ("acrel_overseas", gateway, product, _message_id(document))
    minutes = _whole(document.get("upInterval"))
    interval = 60 * minutes if minutes is not None and 0 < minutes <= 1440 else None
    if command == "login":
        return Login(
            *who,
            model=_text(document.get("code")),
            software=_text(document.get("ver")),
            iccid=_text(document.get("ccid")),
            imei=_text(document.get("imei")),
            signal=_whole(document.get("rssi")),
            interval_s=interval,
        )
    if command == "time":
        return TimeRequest(*who, _text(document.get("time")))
    if command == "para":
        serial = _text(document.get("meterSN"))
        meters = ((serial, _text(document.get("meterName"))),) if serial else ()
        return Topology(*who, meters, interval)
    if command == "heart":
        return Heartbeat(*who)
    if command in ("data", "hstdata"):
        # The form of readings is not published: taken when it has the domestic names.
        ignored = _Ignored()
        meter = _text(document.get("meterSN")) or gateway
        fields = {**_dict(document.get("data")), **document}
        reading = _fields(meter, fields, _time(document.get("time")), settings, ignored)
        if reading is None:
            return Unknown("readings without a known field", gateway)
        return Update(*who, (reading,), (), ignored.tuple())
    if command == "control" and document.get("res") is not None:
        return _result((*who[:3], who[3] or ""), document, settings)
    return Unknown(f"command “{command}” is not handled", gateway)


def _json(gateway: str, kind: str, document: object) -> Message | Unknown:
    if not isinstance(document, dict):
        return Unknown("the message is no JSON object", gateway)
    who = ("json", gateway, "", _message_id(document))
    ignored = _Ignored()
    readings = _json_readings(document, ignored)
    if kind == "up":
        events = _json_events(document, ignored)
        if not (readings or events or ignored.reasons):
            return Heartbeat(*who)
        return Update(*who, readings, events, ignored.tuple())
    if kind != "result":
        return Unknown("not a topic of a device", gateway)
    result = _text(document.get("result"))
    if who[3] is None or result not in JSON_RESULTS:
        return Unknown("a result without id, or neither taken nor refused", gateway)
    accepted = result == "taken"
    error = "" if accepted else _text(document.get("error")) or "refused"
    return CommandResult(*who, accepted, error, readings, ignored.tuple())


JSON_RESULTS = ("taken", "refused")


def _json_readings(document: dict, ignored: _Ignored) -> tuple[Reading, ...]:
    items = document.get("readings")
    if items is None:
        items = [document] if "values" in document or "state" in document else []
    if not isinstance(items, list):
        ignored.add("“readings” is no list")
        return ()
    if len(items) > MAX_READINGS:
        ignored.add(f"{len(items)} readings, only {MAX_READINGS} are taken")
    readings = [_json_reading(item, document.get("time"), ignored) for item in items[:MAX_READINGS]]
    return tuple(reading for reading in readings if reading)


def _json_reading(item: object, default: object, ignored: _Ignored) -> Reading | None:
    data = _dict(item)
    meter = _text(data.get("meter"))
    if not meter:
        ignored.add("a reading without a meter")
        return None
    sent = data.get("time", default)
    time = _time(sent)
    if sent is not None and time is None:
        # The values would be booked at another time than that of the meter.
        ignored.add(f"reading of {meter}: unusable time")
        return None
    values: dict[str, int | str] = {}
    told = _dict(data.get("values"))
    if "state" in data:
        told = {**told, **_dict(data["state"])}
    for channel, value in told.items():
        if channel in NUMBER_CHANNELS and (number := _whole(value)) is not None:
            values[channel] = number
        elif channel == "relay" and value in RELAY_STATES:
            values["relay"] = value
        elif channel == "battery_low" and isinstance(value, bool):
            values[channel] = int(value)
        elif channel == "relay":
            ignored.add(f"relay of {meter} is neither open nor closed")
        elif channel in NUMBER_CHANNELS:
            ignored.add(f"{channel} of {meter} is no whole number")
        else:
            ignored.add(f"“{_name(channel)}” of {meter} is no channel")
    if not values:
        ignored.add(f"reading of {meter}: no values")
        return None
    return Reading(meter, values, time)


def _json_events(document: dict, ignored: _Ignored) -> tuple[Event, ...]:
    items = document.get("events")
    if items is None:
        return ()
    if not isinstance(items, list):
        ignored.add("“events” is no list")
        return ()
    events = []
    for item in items[:MAX_READINGS]:
        data = _dict(item)
        code = _text(data.get("code"))
        if code:
            time = _time(data.get("time", document.get("time")))
            meter, text = _text(data.get("meter")), _text(data.get("text"))
            events.append(Event(meter, code, text, time))
        else:
            ignored.add("an event without a code")
    return tuple(events)


# --- what the server publishes: topic and document ---

Publication = tuple[str, dict]


def _segment(text: str) -> str:
    if not text or text != _text(text) or set(text) & set("/+#"):
        raise ValueError(f"{text!r} cannot be part of a topic")
    return text


def _epoch(now: datetime) -> int:
    if now.tzinfo is None:
        raise ValueError("the time needs a zone")
    return int(now.timestamp())


def answer(message: Message | Unknown, now: datetime) -> Publication | None:
    """What to publish for a login, time or topology message; None when nothing is expected.

    `now` is aware, in the time zone of the place: Acrel's devices take the local time.

    :raises ValueError: `now` without a zone
    """
    if not isinstance(message, Login | TimeRequest | Topology):
        return None
    if message.form == "acrel":
        return _acrel_answer(message, now)
    if message.form == "acrel_overseas":
        return _overseas_answer(message, now)
    return None


def _acrel_answer(message: Message, now: datetime) -> Publication:
    kinds = {Login: "login", TimeRequest: "time", Topology: "topology"}
    seconds = _epoch(now)
    document: dict = {
        "method": kinds[type(message)],
        "sn": message.gateway,
        "timestamp": seconds,
    }
    if message.message_id is not None:
        document["msgid"] = message.message_id
    if isinstance(message, TimeRequest):
        sent = message.device_sent
        minutes = int((now.utcoffset() or timedelta()).total_seconds()) // 60
        hours, rest = divmod(abs(minutes), 60)
        document |= {
            "devicesend": seconds if sent in (None, "") else sent,
            "serverreceive": seconds,
            "serversend": seconds,
            "timezone": f"{'-' if minutes < 0 else ''}{hours}",
            "timezoneMin": f"{rest:02d}",
        }
    else:
        document["res"] = 1
    return f"sys/server/{message.product}/{message.gateway}", document


def _overseas_answer(message: Message, now: datetime) -> Publication:
    kinds = {Login: "login", TimeRequest: "time", Topology: "para"}
    kind = kinds[type(message)]
    document: dict = {"type": kind, "res": 1}
    if isinstance(message, TimeRequest):
        _epoch(now)
        document["time"] = now.strftime("%Y%m%d%H%M%S")
    return f"/server/acrelHW/{message.product}/{kind}/{message.gateway}", document


def relay_command(
    form: str,
    gateway: str,
    meter: str,
    target: str,
    message_id: int | str,
    now: datetime,
    expires: datetime | None = None,
    product: str = "",
    meter_name: str = "DDSY1352-IOT",
) -> Publication:
    """Switch the supply of `meter` to `target`, "closed" (on) or "open" (off).

    What comes back says at most that the command was taken: send `read_command` and judge by the
    values. `expires` (aware): only our own form can carry it. `meter_name` is the model that
    Acrel's domestic form asks for.

    :raises ValueError: unknown target, a form without a relay command, a bad part of a topic
    """
    if target not in RELAY_STATES:
        raise ValueError(f"unknown target {target!r}, expected open or closed")
    on = int(target == "closed")
    if form == "json":
        body = {"command": "relay", "meter": meter, "target": target}
        return _json_command(gateway, message_id, body, expires)
    body = {
        "addr": meter,
        "do1": on,
        "ForceSwitch": on,
        "meterName": meter_name,
        "method": "FORCESWITCH",
    }
    return _operate(form, gateway, product, message_id, now, body)


def read_command(
    form: str,
    gateway: str,
    meter: str,
    message_id: int | str,
    now: datetime,
    expires: datetime | None = None,
    product: str = "",
) -> Publication:
    """Ask for the values of `meter` now; they come as an `Update`.

    :raises ValueError: a form without such a command, a bad part of a topic
    """
    if form == "json":
        return _json_command(gateway, message_id, {"command": "read", "meter": meter}, expires)
    body = {"addr": meter, "method": "REFRESH"}
    return _operate(form, gateway, product, message_id, now, body)


def _operate(
    form: str, gateway: str, product: str, message_id: int | str, now: datetime, body: dict
) -> Publication:
    if form != "acrel":
        raise ValueError(f"the commands of form {form!r} are not known")
    topic = f"indicate/server/{_segment(product)}/{_segment(gateway)}"
    document = {"method": "operate", "msgid": message_id, "sn": gateway, "timestamp": _epoch(now)}
    return topic, {**document, "payload": body}


def _json_command(
    gateway: str, message_id: int | str, body: dict, expires: datetime | None
) -> Publication:
    document = {"id": message_id, **body}
    if expires is not None:
        document["expires"] = _iso(expires)
    return f"prepay/v1/{_segment(gateway)}/down", document


def _iso(when: datetime) -> str:
    if when.tzinfo is None:
        raise ValueError("the time needs a zone")
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the gateway's side of our own form, for simulated gateways ---


@dataclass(slots=True, frozen=True)
class Command:
    """A command of our own form. `target` is empty for `read`; after `expires` do nothing."""

    message_id: int | str
    command: str
    meter: str
    target: str = ""
    expires: datetime | None = None


def parse_command(document: object) -> Command | Unknown:
    """What `prepay/v1/{gateway}/down` says. Never raises."""
    data = _dict(document)
    message_id, meter = _message_id(data), _text(data.get("meter"))
    command, target = _text(data.get("command")), _text(data.get("target"))
    expires = _time(data.get("expires"))
    if message_id is None or not meter or command not in ("relay", "read"):
        return Unknown("no command")
    if command == "relay" and target not in RELAY_STATES:
        return Unknown("a relay command without a target")
    if data.get("expires") is not None and (expires is None or expires.tzinfo is None):
        return Unknown("a command with an unusable expiry")
    return Command(message_id, command, meter, target if command == "relay" else "", expires)


def json_reading(reading: Reading) -> dict:
    """One reading of our own form."""
    item: dict = {"meter": reading.meter, "values": dict(reading.values)}
    if reading.time is not None:
        item["time"] = _iso(reading.time) if reading.time.tzinfo else reading.time.isoformat(" ")
    return item


def json_up(gateway: str, readings: tuple[Reading, ...]) -> Publication:
    items = [json_reading(reading) for reading in readings]
    return f"prepay/v1/{_segment(gateway)}/up", {"readings": items}


def json_result(
    gateway: str, message_id: int | str, error: str = "", readings: tuple[Reading, ...] = ()
) -> Publication:
    """Answer to a command: taken, or refused when there is an `error`."""
    document: dict = {"id": message_id, "result": "refused" if error else "taken"}
    if error:
        document["error"] = error
    if readings:
        document["readings"] = [json_reading(reading) for reading in readings]
    return f"prepay/v1/{_segment(gateway)}/result", document
