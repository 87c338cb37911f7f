"""Contact with devices, events, raw frames and profile tests, as the users see them."""

from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged
from odoo.tests.common import new_test_user

from odoo.addons.prepay_meter.lost import duration
from odoo.addons.prepay_meter.units import human

from .common import MeterCase


class ScreenCase(MeterCase):
    """What the collector would write, by SQL as it does."""

    def seen(self, records, ago=None, online=False):
        """Last contact ``ago`` (timedelta); None for never."""
        self.env.flush_all()
        table = records.state_id._table
        at = ago is not None and fields.Datetime.now() - ago or None
        self.env.cr.execute(
            f"UPDATE {table} SET last_seen = %s, online = %s WHERE id IN %s",
            [at, online, tuple(records.state_id.ids)],
        )
        self.env.invalidate_all()

    def lease(self, gateway=None, seconds=60):
        """A collector serves the gateway."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_gateway_state SET lease_owner = 'c1', lease_until = %s WHERE id = %s",
            [
                fields.Datetime.now() + timedelta(seconds=seconds),
                (gateway or self.gateway).state_id.id,
            ],
        )
        self.env.invalidate_all()

    def frame(self, data, direction="out", meter=None, at=None, note=None):
        meter = meter or self.meter
        self.env.cr.execute(
            "INSERT INTO prepay_meter_frame (meter_id, gateway_id, at, direction, data, note) "
            "VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
            [meter.id, meter.gateway_id.id, at or fields.Datetime.now(), direction, data, note],
        )
        return self.env["prepay.meter.frame"].browse(self.env.cr.fetchone()[0])

    def event(self, **vals):
        return self.env["prepay.meter.event"].create(
            {"meter_id": self.meter.id, "kind": "timeout", **vals}
        )


@tagged("post_install", "-at_install")
class TestLost(ScreenCase):
    def lost(self, model, value=True):
        return self.env[model].search([("lost", "=", value), ("company_id", "=", self.company.id)])

    def test_meter_is_lost_after_the_hours_of_its_company(self):
        self.seen(self.meter, timedelta(hours=23))
        self.seen(self.other, timedelta(hours=25))
        self.assertEqual(self.lost("prepay.meter"), self.other)
        self.assertEqual(self.lost("prepay.meter", False), self.meter)
        self.assertEqual((self.meter.contact, self.other.contact), ("silent", "lost"))
        self.company.prepay_meter_lost_hours = 22
        self.assertEqual(self.lost("prepay.meter"), self.meter + self.other)
        self.assertEqual(self.meter.contact, "lost")

    def test_never_seen_is_lost_but_said_apart(self):
        self.seen(self.meter, timedelta(0), online=True)
        self.assertEqual((self.meter.contact, self.other.contact), ("online", "never"))
        self.assertEqual(self.lost("prepay.meter"), self.other)
        self.other.gateway_id = False
        self.assertFalse(self.lost("prepay.meter"), "nobody expects a meter read by hand to answer")
        self.assertFalse(self.other.lost)
        self.assertIn(self.other, self.lost("prepay.meter", False))

    def test_gateway_is_lost_after_minutes(self):
        self.seen(self.gateway, timedelta(minutes=14))
        self.assertFalse(self.lost("prepay.gateway"))
        self.assertEqual(self.gateway.contact, "silent")
        self.seen(self.gateway, timedelta(minutes=16))
        self.assertEqual(self.lost("prepay.gateway"), self.gateway)
        self.assertEqual(self.gateway.silent_for, "16 minutes")

    def test_counts_of_places_and_gateways(self):
        building = self.env["prepay.location"].create(
            {"name": "B", "kind": "building", "parent_id": self.project.id}
        )
        floor = self.env["prepay.location"].create(
            {"name": "1F", "kind": "floor", "parent_id": building.id}
        )
        room = self.env["prepay.location"].create({"name": "B-1", "parent_id": floor.id})
        meter = self._meter("M-3", "000000000003", location_id=room.id)
        self.seen(self.meter, timedelta(0), online=True)
        self.assertEqual((room.building_id, self.room.building_id), (building, self.project))
        self.assertEqual(self.project.mapped("meter_count"), [3])
        self.assertEqual((building.meter_count, building.lost_meter_count), (1, 1))
        self.assertEqual((self.room.meter_count, self.room.lost_meter_count), (2, 1))
        self.assertEqual((self.gateway.meter_count, self.gateway.lost_meter_count), (3, 2))
        groups = self.env["prepay.meter"]._read_group(
            [("gateway_id", "=", self.gateway.id)], ["building_id"], ["__count"]
        )
        self.assertEqual(dict(groups), {building: 1, self.project: 2})
        self.assertEqual(meter.building_id, building)

    def test_counts_need_few_queries(self):
        rooms = self.env["prepay.location"].create(
            [{"name": f"R{number}", "parent_id": self.project.id} for number in range(40)]
        )
        self.env.flush_all()
        self.env.invalidate_all()
        with self.assertQueryCount(12):
            rooms.mapped("meter_count")

    def test_duration_in_two_steps(self):
        self.assertEqual(
            duration(self.env, timedelta(days=40, hours=3, minutes=5)), "40 days 3 hours"
        )
        self.assertEqual(duration(self.env, timedelta(seconds=20)), "0 minutes")
        self.assertEqual(
            duration(self.env(context={"lang": "zh_CN"}), timedelta(days=2, hours=1)), "2天 1小时"
        )

    def test_read_now_of_a_gateway(self):
        with self.assertRaisesRegex(UserError, "No collector serves"):
            self.gateway.with_user(self.operator).action_read_now()
        self.lease()
        action = self.gateway.with_user(self.operator).action_read_now()
        self.assertEqual(action["tag"], "display_notification")
        empty = self.gateway.copy({"port": 10})
        with self.assertRaisesRegex(UserError, "No meter is behind"):
            empty.action_read_now()


@tagged("post_install", "-at_install")
class TestEvents(ScreenCase):
    def test_acknowledge_keeps_it_open(self):
        events = self.event() + self.event(meter_id=self.other.id, severity="alarm")
        events.with_user(self.operator).action_acknowledge()
        self.assertEqual(events.mapped("acknowledged_by_id"), self.operator)
        self.assertTrue(all(events.mapped("acknowledged_at")))
        self.assertFalse(any(events.mapped("cleared_at")))
        events.with_user(self.admin).action_acknowledge()
        self.assertEqual(events.mapped("acknowledged_by_id"), self.operator, "the first one counts")
        events.with_user(self.operator).action_clear()
        self.assertTrue(all(events.mapped("cleared_at")))

    def test_readers_do_not_acknowledge(self):
        for user in (self.reader, self.auditor):
            with self.assertRaises(AccessError):
                self.event(kind="crc").with_user(user).action_acknowledge()

    def test_duration_and_device(self):
        start = fields.Datetime.now() - timedelta(hours=30)
        event = self.event(first_at=start)
        self.assertEqual(event.lasted, "1 day 6 hours")
        event.cleared_at = start + timedelta(minutes=5)
        self.assertEqual(event.lasted, "5 minutes")
        self.assertEqual(event.action_open_device()["res_model"], "prepay.meter")
        lost = self.event(meter_id=False, gateway_id=self.gateway.id, kind="gateway_offline")
        self.assertEqual(lost.action_open_device()["res_model"], "prepay.gateway")
        self.assertEqual(lost.building_id, self.project)


@tagged("post_install", "-at_install")
class TestFrames(ScreenCase):
    def test_trace_for_ten_minutes(self):
        meter = self.meter.with_user(self.admin)
        action = meter.action_trace()
        self.assertEqual(action["res_model"], "prepay.meter.frame")
        left = meter.trace_until - fields.Datetime.now()
        self.assertAlmostEqual(left.total_seconds(), 600, delta=5)
        self.assertRegex(meter.trace_left, r"^(10:00|9:5\d)$")
        meter.action_trace_stop()
        self.assertFalse(meter.trace_until or meter.trace_left)
        self.frame("68 01")
        meter.invalidate_recordset()
        self.assertEqual(meter.frame_count, 1)

    def test_only_administrators_see_frames(self):
        """They carry passwords of meters."""
        frame = self.frame("68 AA")
        self.assertEqual(frame.with_user(self.admin).data, "68 AA")
        for user in (self.reader, self.operator, self.auditor):
            with self.subTest(user.login), self.assertRaises(AccessError):
                frame.with_user(user).read(["data"])
            with self.subTest(user.login), self.assertRaises(AccessError):
                self.meter.with_user(user).action_trace()
        with self.assertRaises(AccessError):
            frame.with_user(self.admin).write({"data": "00"})

    def test_frames_of_another_company_are_hidden(self):
        self.frame("68 AA")
        orphan = self.frame("01")
        self.env.cr.execute(
            "UPDATE prepay_meter_frame SET meter_id = NULL WHERE id = %s", [orphan.id]
        )
        main = self.env.ref("base.main_company")
        stranger = new_test_user(
            self.env,
            "stranger-f",
            groups="base.group_user,prepay_meter.group_admin",
            company_id=main.id,
            company_ids=[(6, 0, main.ids)],
        )
        mine = [("gateway_id", "=", self.gateway.id)]
        frames = self.env["prepay.meter.frame"]
        self.assertEqual(frames.with_user(self.admin).search_count(mine), 2)
        theirs = frames.with_user(stranger).with_context(allowed_company_ids=main.ids)
        self.assertFalse(theirs.search(mine))

    def test_text_for_the_maker(self):
        at = fields.Datetime.to_datetime("2026-03-01 08:00:00").replace(microsecond=7000)
        frames = self.frame("68 11", at=at) + self.frame("68 91", "in", at=at)
        frames += self.frame(None, "note", at=at, note="time-out")
        self.assertEqual(
            frames._as_text(),
            "2026-03-01 08:00:00.007Z M-1 > 68 11\n"
            "2026-03-01 08:00:00.007Z M-1 < 68 91\n"
            "2026-03-01 08:00:00.007Z M-1 # time-out\n",
        )
        self.assertEqual((frames[0].millisecond, frames[0].size), (7, 2))
        action = frames.with_user(self.admin).action_export()
        download = self.env["prepay.download"].search([], order="id desc", limit=1)
        self.assertIn(f"id={download.id}&", action["url"])
        self.assertEqual(download.name, "frames-M-1.txt")

    def test_kept_seven_days(self):
        now = fields.Datetime.now()
        old, young = (self.frame("00", at=now - timedelta(days=days)) for days in (7.01, 6.99))
        self.env["prepay.meter.frame"]._gc_frames()
        self.assertEqual((old + young).exists(), young)

    def test_downloads_are_private(self):
        downloads = self.env["prepay.download"]
        action = downloads.with_user(self.operator)._offer("a.txt", b"x")
        self.assertIn("download=true", action["url"])
        record = downloads.search([], order="id desc", limit=1)
        self.assertEqual(record.with_user(self.operator).name, "a.txt")
        with self.assertRaises(AccessError):
            record.with_user(self.admin).read(["data"])


@tagged("post_install", "-at_install")
class TestProbe(ScreenCase):
    def wizard(self, user=None, **vals):
        wizard = self.env["prepay.meter.probe.wizard"].with_user(user or self.admin)
        return wizard.create({"profile_id": self.profile.id, **vals})

    def test_meter_brings_gateway_and_address(self):
        wizard = self.wizard(meter_id=self.meter.id)
        self.assertEqual((wizard.gateway_id, wizard.address), (self.gateway, self.meter.address))
        self.assertFalse(wizard.served)
        self.lease()
        wizard.invalidate_recordset()
        self.assertTrue(wizard.served)
        action = wizard.action_test()
        probe = self.env["prepay.meter.probe"].browse(action["res_id"])
        self.assertEqual((probe.state, probe.meter_id), ("queued", self.meter))
        self.assertEqual(probe.company_id, self.company)
        again = probe.with_user(self.admin).action_again()
        self.assertGreater(again["res_id"], probe.id)

    def test_another_address_is_not_the_meter(self):
        self.lease()
        wizard = self.wizard(meter_id=self.meter.id)
        wizard.address = " 000000000009 "
        probe = self.env["prepay.meter.probe"].browse(wizard.action_test()["res_id"])
        self.assertEqual((probe.address, probe.meter_id.id), ("000000000009", False))

    def test_says_what_is_in_the_way(self):
        values = {"gateway_id": self.gateway.id, "address": "000000000001"}
        with self.assertRaisesRegex(UserError, "No collector serves gateway GW"):
            self.wizard(**values).action_test()
        self.lease()
        with self.assertRaisesRegex(ValidationError, "“12” is not an address"):
            self.wizard(**{**values, "address": "12"}).action_test()
        empty = self.env["prepay.meter.profile"].create({"name": "Empty", "code": "E"})
        with self.assertRaisesRegex(UserError, "Profile Empty has no points"):
            self.wizard(**{**values, "address": "1", "profile_id": empty.id}).action_test()
        pushed = self.env["prepay.meter.profile"].create(
            {"name": "Pushed", "code": "P", "protocol": "mqtt"}
        )
        with self.assertRaisesRegex(UserError, "send by themselves"):
            self.wizard(**{**values, "profile_id": pushed.id}).action_test()

    def test_values_in_both_units(self):
        self.lease()
        probe = self.env["prepay.meter.probe"].create(
            {
                "profile_id": self.profile.id,
                "gateway_id": self.gateway.id,
                "address": "000000000001",
            }
        )
        self.env.cr.execute(
            """UPDATE prepay_meter_probe SET state = 'done', result = %s WHERE id = %s""",
            [
                '[{"channel": "energy", "address": "0001FF00", "value": 1234560, "raw": "33 33", "error": null},'
                '{"channel": "relay", "address": "04000503", "value": "closed", "raw": "00"},'
                '{"channel": "power", "address": "02030000", "error": "No answer <b>"}]',
                probe.id,
            ],
        )
        probe.invalidate_recordset()
        table = str(probe.result_table)
        for part in (
            "1,234.560 kWh",
            "1234560 Wh",
            "33 33",
            "0001FF00",
            "On",
            "No answer &lt;b&gt;",
        ):
            self.assertIn(part, table)

    def test_stale_when_nobody_takes_it(self):
        self.lease()
        probe = self.wizard(meter_id=self.meter.id)
        probe = self.env["prepay.meter.probe"].browse(probe.action_test()["res_id"])
        self.assertFalse(probe.stale)
        self.env.cr.execute(
            "UPDATE prepay_meter_probe SET create_date = create_date - interval '1 minute' WHERE id = %s",
            [probe.id],
        )
        probe.invalidate_recordset()
        self.assertTrue(probe.stale)

    def test_only_administrators_test(self):
        self.lease()
        for user in (self.reader, self.operator, self.auditor):
            with self.subTest(user.login), self.assertRaises(AccessError):
                self.wizard(user, meter_id=self.meter.id)
            with self.subTest(user.login), self.assertRaises(AccessError):
                self.env["prepay.meter.probe"].with_user(user).search([])

    def test_human_units(self):
        for channel, value, text in (
            ("energy", 123456789, "123,456.789 kWh"),
            ("volume", 5, "0.005 m³"),
            ("voltage", 220100, "220.100 V"),
            ("remaining", -1250, "-12.50 ¥"),
            ("power_factor", 985, "0.985"),
            ("purchase_count", 3, "3"),
            ("unheard_of", 3, "3"),
        ):
            self.assertEqual(human(channel, value), text)
