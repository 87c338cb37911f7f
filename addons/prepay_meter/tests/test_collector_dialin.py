"""Dial-in and MQTT without a device: options, limits, clocks, identities; what Odoo keeps of strangers."""

import asyncio
import socket
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odoo import fields
from odoo.exceptions import AccessError, ValidationError

from odoo.addons.prepay_meter.collector import config, listener, mqtt_worker, options, strangers
from odoo.addons.prepay_meter.collector.results import utcnow

from .common import MeterCase

SHANGHAI = ZoneInfo("Asia/Shanghai")


# --- options ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.0.0.0:10001", ("0.0.0.0", 10001)),
        (":10001", ("", 10001)),
        ("[::1]:1883", ("::1", 1883)),
        (" broker.example:8883 ", ("broker.example", 8883)),
    ],
)
def test_address(text, found):
    assert options.address(text, "dtu-listen") == found


@pytest.mark.parametrize(
    "text", ["", "10001", "host", "host:", "host:x", "host:65536", "a b:1", "u@h:1"]
)
def test_bad_address_names_option_and_value(text):
    with pytest.raises(options.OptionError, match="dtu-listen") as caught:
        options.address(text, "dtu-listen")
    assert f"“{text}”" in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_an_option_error(text):
    try:
        _host, port = options.address(text, "health")
    except options.OptionError:
        return
    assert 0 <= port <= 65535


def test_password(tmp_path):
    assert options.password("", {"PREPAY_MQTT_PASSWORD": "from the environment"}) == (
        "from the environment"
    )
    (tmp_path / "secret").write_text("from a file\n")
    assert (
        options.password(str(tmp_path / "secret"), {"PREPAY_MQTT_PASSWORD": "x"}) == "from a file"
    )
    with pytest.raises(options.OptionError, match="mqtt-password-file"):
        options.password(str(tmp_path / "missing"))


def test_each_collector_has_its_own_folder_and_name(tmp_path):
    """A second one on the same machine gets a number, the same one at each start."""
    first, second = (options.claim(tmp_path / "db", "host") for _ in range(2))
    assert [(folder.name, name) for folder, name, _lock in (first, second)] == [
        ("db", "host"),
        ("db-2", "host-2"),
    ]
    first[2].close()
    folder, name, lock = options.claim(tmp_path / "db", "host")
    assert (folder.name, name) == ("db", "host")
    for each in (second[2], lock):
        each.close()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(options.OptionError, match="spool"):
        options.claim(tmp_path / "file" / "db", "host")


# --- strangers ---


def test_the_same_is_told_once_an_hour():
    journal = strangers.Strangers()
    assert journal.new("a", 0.0)
    assert not journal.new("a", 3599.0)
    assert journal.new("b", 3599.0)
    assert journal.new("a", 3600.0)


def test_a_flood_of_names_is_bounded():
    journal = strangers.Strangers()
    told = sum(journal.new(f"identity {n}", 1.0) for n in range(5 * strangers.MAX_TOLD))
    assert told == strangers.MAX_TOLD
    assert journal.new("later", 3700.0)


def test_failures_are_forgotten_with_time():
    budget = strangers.Budget(burst=3, refill=10.0)
    for _ in range(3):
        assert budget.allows("10.0.0.1", 0.0)
        budget.spend("10.0.0.1", 0.0)
    assert not budget.allows("10.0.0.1", 5.0)
    assert budget.allows("10.0.0.2", 5.0)
    assert budget.allows("10.0.0.1", 10.5)


@given(st.binary(max_size=6000))
def test_any_payload_can_be_shown(payload):
    text = strangers.shown(payload)
    assert "\0" not in text
    assert len(text) <= 3 * strangers.MAX_PAYLOAD


def test_payload_is_shown_as_text_or_in_hex():
    assert strangers.shown(b'{"a": 1}') == '{"a": 1}'
    assert strangers.shown(b"\x01\xff") == "01 FF"
    # A character that the limit cuts in two does not turn a text into hex.
    assert strangers.shown("电".encode() * 3000).startswith("电电")


# --- clocks ---


def local(moment):
    return moment.replace(tzinfo=timezone.utc).astimezone(SHANGHAI).replace(tzinfo=None)


@pytest.mark.parametrize("seconds", [0, -1, -299, 4, 299])
def test_device_time_near_ours_counts(seconds):
    now = utcnow()
    at, drift = listener.device_time(local(now + timedelta(seconds=seconds)), SHANGHAI, False)
    assert abs((at - min(now, now + timedelta(seconds=seconds))).total_seconds()) <= 1
    assert abs(drift - seconds) <= 1


@pytest.mark.parametrize(
    ("seconds", "clock_given", "used"),
    [
        (-7200, True, True),  # kept for two hours by a device whose clock we set
        (-7200, False, False),  # a clock that is two hours late
        (7200, True, False),
        (-40 * 86_400, True, False),
    ],
)
def test_device_time_far_from_ours(seconds, clock_given, used):
    told = local(utcnow() + timedelta(seconds=seconds))
    at, drift = listener.device_time(told, SHANGHAI, clock_given)
    assert (at is not None) == used
    assert (drift is None) == used
    if not used:
        assert abs(drift - seconds) <= 1


def test_aware_device_time():
    moment = datetime.now(timezone.utc).replace(microsecond=0)
    assert listener.device_time(moment, SHANGHAI, True)[0] == moment.replace(tzinfo=None)
    assert listener.device_time(None, SHANGHAI, True) == (None, None)


# --- what a DTU puts into the stream ---


def dtu(**values):
    return config.Gateway(1, 1, "GW", "dtu", "", 0, 1.0, 0.0, **values)


def test_foreign_bytes_of_a_dtu():
    assert listener.foreign(dtu(identity="860000000000001", heartbeat="ping")) == (
        b"860000000000001",
        b"ping",
    )
    assert listener.foreign(
        dtu(identity="0A0B0C0D", registration_hex=True, heartbeat="hex:FE FE")
    ) == (bytes.fromhex("0A0B0C0D"), b"\xfe\xfe")
    # One byte stands in every answer; nonsense is left alone.
    assert listener.foreign(dtu(identity="DTU1", heartbeat="x")) == (b"DTU1",)
    assert listener.foreign(dtu(identity="DTU1", heartbeat="hex:zz")) == (b"DTU1",)


def test_port_that_is_taken():
    first = listener.bind(("127.0.0.1", 0))
    try:
        with pytest.raises(OSError, match="in use"):
            listener.bind(first.getsockname()[:2])
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    finally:
        first.close()


def test_accepted_links_inherit_the_keepalive():
    async def connect():
        listening = listener.bind(("127.0.0.1", 0))
        inherited = asyncio.get_running_loop().create_future()

        class Look(asyncio.Protocol):
            def connection_made(self, transport):
                sock = transport.get_extra_info("socket")
                inherited.set_result(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

        server = await asyncio.get_running_loop().create_server(Look, sock=listening)
        _reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
        value = await inherited
        writer.close()
        server.close()
        return value

    assert asyncio.run(connect())


# --- names of MQTT meters ---


def meter(key, number, address):
    return config.Meter(
        id=key, state_id=key, number=number, address=address, profile=None, interval=60, password=b"",
        tz=SHANGHAI, last_value=None, last_at=None, missed=0, ever_seen=True, desired=None,
    )  # fmt: skip


def names(*meters):
    gateway = config.Gateway(1, 1, "GW", "mqtt", "", 0, 1.0, 0.0)
    gateway.meters = {each.id: each for each in meters}
    return {name: each.id for name, each in mqtt_worker._names(gateway).items()}


def test_meter_is_meant_by_address_or_number():
    assert names(meter(1, "N1", "A1"), meter(2, "N2", "A2")) == {"A1": 1, "N1": 1, "A2": 2, "N2": 2}


def test_a_number_that_is_another_ones_address_means_that_one():
    """What is ambiguous is decided by the address, which is what devices send (R-10)."""
    assert names(meter(1, "A2", "A1"), meter(2, "N2", "A2")) == {"A1": 1, "A2": 2, "N2": 2}


# --- Odoo ---


class TestUnusableMessages(MeterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stranger = cls._message("869999999999999")
        cls.ours = cls._message("prepay/v1/GW/up", gateway_id=cls.gateway.id)

    @classmethod
    def _message(cls, topic, **values):
        return cls.env["prepay.meter.message"].create(
            {
                "at": fields.Datetime.now(),
                "source": "dtu",
                "topic": topic,
                "reason": "test",
                **values,
            }
        )

    def test_who_sees_them(self):
        both = self.stranger | self.ours
        for user in (self.operator, self.auditor, self.admin):
            seen = (
                self.env["prepay.meter.message"].with_user(user).search([("reason", "=", "test")])
            )
            self.assertEqual(seen, both)
        with self.assertRaises(AccessError):
            self.stranger.with_user(self.reader).read(["payload"])
        with self.assertRaises(AccessError):
            self.stranger.with_user(self.operator).unlink()

    def test_of_other_companies_only_those_of_nobody(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.operator.write({"company_ids": [(6, 0, other.ids)], "company_id": other.id})
        messages = self.env["prepay.meter.message"].with_user(self.operator)
        seen = messages.with_context(allowed_company_ids=other.ids).search(
            [("reason", "=", "test")]
        )
        self.assertEqual(seen, self.stranger)

    def test_old_ones_are_forgotten(self):
        old = self._message("old")
        old.at = fields.Datetime.now() - timedelta(days=31)
        self.env["prepay.meter.message"]._gc_old()
        self.assertFalse(old.exists())
        self.assertTrue(self.stranger.exists())

    def test_event_of_an_unlisted_device_is_seen(self):
        event = self.env["prepay.meter.event"].create({"kind": "unknown_device", "detail": "869"})
        self.assertIn(event, self.env["prepay.meter.event"].with_user(self.operator).search([]))


class TestIdentity(MeterCase):
    def test_identities_that_no_device_can_send(self):
        for values in (
            {"link": "dtu", "dial_in_id": "abc"},
            {"link": "dtu", "dial_in_id": "設備編號"},
            {"link": "dtu", "dial_in_id": "0G0H0I0J", "registration_hex": True},
            {"link": "acrel_4g", "dial_in_id": "1" * 21},
            {"link": "mqtt", "dial_in_id": "GW/1"},
            {"link": "mqtt", "dial_in_id": "GW1", "mqtt_form": "acrel"},
        ):
            with self.subTest(**values), self.assertRaises(ValidationError):
                self.env["prepay.gateway"].create(
                    {"name": "X", "location_id": self.project.id, **values}
                )

    def test_identities_that_are_right(self):
        for values in (
            {"link": "dtu", "dial_in_id": "860000000000001"},
            {"link": "dtu", "dial_in_id": "0A 0B 0C 0D", "registration_hex": True},
            {"link": "acrel_4g", "dial_in_id": "21122301360001"},
            {"link": "mqtt", "dial_in_id": "GW1"},
            {"link": "mqtt", "dial_in_id": "GW2", "mqtt_form": "acrel", "product_key": "pk"},
        ):
            with self.subTest(**values):
                gateway = self.env["prepay.gateway"].create(
                    {"name": "X", "location_id": self.project.id, **values}
                )
                self.assertEqual(gateway.dial_in_id, values["dial_in_id"])

    def test_patience_follows_the_link(self):
        gateway = self.env["prepay.gateway"].new({"link": "acrel_4g", "timeout_ms": 1000})
        gateway._onchange_link()
        self.assertEqual(gateway.timeout_ms, 15000)
        gateway.timeout_ms, gateway.link = 7000, "dtu"
        gateway._onchange_link()
        self.assertEqual(gateway.timeout_ms, 7000, "what somebody entered stays")
