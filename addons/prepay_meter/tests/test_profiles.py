"""Meter types as data: every shipped profile is consistent, and what is not is refused in words."""

from decimal import Decimal

from odoo.exceptions import ValidationError
from odoo.tests import tagged

from ..channels import BILLED, BY_CODE
from ..collector import plan
from ..collector.config import Control, Point, Profile, _states
from .common import MeterCase

REGISTERS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u64": 4, "i64": 4, "clock_binary": 4}


def as_data(record):
    """The profile as the collector has it."""
    return Profile(
        id=record.id, protocol=record.protocol, medium=record.medium, modulus=record.modulus,
        max_power_w=record.max_power_w, block_gap=record.block_gap, relay_proof=record.relay_proof,
        relay_settle=0, load_limit_w=record.load_limit_w, password=b"", operator=b"", validity=0,
        points=tuple(
            Point(
                p.channel, p.address, p.size, p.offset, p.encoding, p.bit, Decimal(p.scale),
                p.frequent, p.word_order, int(p.mask or "0", 16), _states(p.states),
            )
            for p in record.point_ids
        ),
        controls={
            c.action: Control(c.address or "", tuple(int(w, 16) for w in (c.payload or "").split()))
            for c in record.control_ids
        },
        di_order=record.di_order,
    )  # fmt: skip


@tagged("post_install", "-at_install")
class TestProfiles(MeterCase):
    def setUp(self):
        super().setUp()
        known = self.env["ir.model.data"].search(
            [("module", "=", "prepay_meter"), ("model", "=", "prepay.meter.profile")]
        )
        self.shipped = self.env["prepay.meter.profile"].browse(known.mapped("res_id"))

    def test_families(self):
        self.assertLessEqual(
            {"DDSY1352", "DTSY1352", "ADF300L-1", "ADF300L-3", "ADF400L-1", "ADF400L-3", "DLT645-2007",
             "DLT645-2007-3", "CJT188-VALVE", "MODBUS-VALVE", "MQTT"},
            set(self.shipped.mapped("code")),
        )  # fmt: skip

    def test_points_are_consistent(self):
        for profile in self.shipped:
            points = profile.point_ids
            self.assertEqual(len(points), len(set(points.mapped("channel"))), profile.code)
            if profile.protocol == "mqtt":
                self.assertFalse(points, profile.code)
                continue
            self.assertIn(BILLED[profile.medium], points.mapped("channel"), profile.code)
            for point in points:
                with self.subTest(profile=profile.code, channel=point.channel):
                    self.assertIn(point.channel, BY_CODE)
                    self.assertTrue(point.size)
                    if profile.protocol == "modbus" and point.encoding in REGISTERS:
                        self.assertEqual(point.size, REGISTERS[point.encoding])
                    if profile.protocol == "dlt645":
                        self.assertEqual(len(point.address), 8)
                    if point.encoding == "state":
                        mask = int(point.mask, 16)
                        self.assertTrue(all(not value & ~mask for value in _states(point.states)))
                    if point.channel in BILLED.values():
                        self.assertTrue(point.frequent)
            proof = profile.relay_proof
            self.assertEqual(
                proof in ("status", "control"), "relay" in points.mapped("channel"), profile.code
            )

    def test_each_poll_is_few_requests(self):
        wanted = {
            "DDSY1352": 2, "DTSY1352": 2, "ADF400L-1": 2, "ADF400L-3": 3, "ADF300L-1": 2, "ADF300L-3": 3,
            "DLT645-2007": 3, "DLT645-2007-3": 3, "CJT188-VALVE": 1, "MODBUS-VALVE": 2,
        }  # fmt: skip
        for profile in self.shipped.filtered(lambda record: record.code in wanted):
            data = as_data(profile)
            frequent = [point for point in data.points if point.frequent]
            blocks = plan.plan(data, frequent)
            self.assertEqual(len(blocks), wanted[profile.code], profile.code)
            self.assertEqual(sum(len(block.points) for block in blocks), len(frequent))
            full = plan.plan(data, data.points)
            self.assertEqual(sum(len(block.points) for block in full), len(data.points))

    def test_every_relay_can_be_named(self):
        for profile in self.shipped:
            controls = {control.action: control for control in profile.control_ids}
            self.assertLessEqual({"open", "closed"}, controls.keys(), profile.code)
            self.assertNotEqual(controls["open"].payload, controls["closed"].payload, profile.code)

    def test_what_no_bench_meter_has_proven_is_not_written(self):
        for profile in self.shipped:
            for control in profile.control_ids:
                proven = control.action in ("open", "closed", "keep_power", "keep_power_off")
                if profile.protocol == "dlt645":
                    proven |= control.action in ("clock", "alarm_1", "alarm_2")
                proven &= not profile.code.startswith("ADF")
                self.assertEqual(control.writable, proven, f"{profile.code} {control.action}")
            if not all(profile.control_ids.mapped("writable")):
                self.assertTrue(profile.note, profile.code)

    def test_water_meter_of_cjt188_is_read_from_one_answer(self):
        data = as_data(self.env.ref("prepay_meter.profile_cjt188"))
        (block,) = plan.plan(data, data.points)
        answer = bytes.fromhex("00100010 2C 00100010 2C 00000000000000 05FF")
        found = {}
        with self.assertRaises(ValueError, msg="a clock of zeros is no clock"):
            plan.decode(data, block, answer, found)
        self.assertEqual(found, {"volume": 10001000 * 10, "relay": "open", "battery_low": 1})

    def refused(self, profile, words, **values):
        vals = {"profile_id": profile.id, **values}
        with self.assertRaises(ValidationError) as caught:
            self.env["prepay.meter.control"].create(vals)
        for word in (profile.name, *words):
            self.assertIn(word, str(caught.exception))

    def test_wrong_controls_are_refused_in_words(self):
        new = self.env["prepay.meter.profile"].create
        modbus = new({"name": "Type M", "code": "T-M", "protocol": "modbus"})
        dlt645 = new({"name": "Type D", "code": "T-D", "protocol": "dlt645"})
        water = new({"name": "Type W", "code": "T-W", "protocol": "cjt188", "medium": "water"})
        mqtt = new({"name": "Type Q", "code": "T-Q", "protocol": "mqtt"})
        self.refused(modbus, ["register"], action="open", payload="0001")
        self.refused(modbus, ["fixed data"], action="open", address="0x0057")
        self.refused(modbus, ["12345"], action="open", address="57", payload="12345")
        self.refused(modbus, ["xyz"], action="open", address="xyz", payload="1")
        self.refused(modbus, ["encoded"], action="overload", address="0700")
        self.refused(modbus, ["2", "1"], action="overload", address="0700", encoding="u32", size=1)
        self.refused(
            modbus, ["-1"], action="overload", address="0700", encoding="u16", size=1, scale="-1"
        )
        self.refused(
            modbus, ["slots"], action="tariff", address="2006", encoding="slots_hm", size=20
        )
        self.refused(
            modbus, ["bit"], action="alarm_1", address="0509", encoding="u32", size=2,
            read_address="0509.3",
        )  # fmt: skip
        self.refused(dlt645, ["Leave the address empty"], action="open", address="1", payload="1A")
        self.refused(dlt645, ["2"], action="clock", address="04000101", encoding="clock_bcd")
        self.refused(dlt645, ["BCD"], action="alarm_1", address="04001001", encoding="u32", size=2)
        self.refused(dlt645, ["17"], action="keep_power", payload="3A", read_address="04000503.17")
        self.refused(water, ["CJ/T 188"], action="overload", address="A017", payload="1")
        self.refused(mqtt, ["MQTT"], action="clock", encoding="clock_bcd")
        self.refused(mqtt, ["Leave the address empty"], action="open", address="1", payload="1")
