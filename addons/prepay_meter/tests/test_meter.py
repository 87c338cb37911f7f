from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged
from odoo.tools import mute_logger
from psycopg2 import IntegrityError

from .common import MeterCase


@tagged("post_install", "-at_install")
class TestMeter(MeterCase):
    def test_location_inherits_zone_and_company(self):
        self.assertEqual(self.room.tz, "Asia/Shanghai")
        self.project.own_tz = "Asia/Urumqi"
        self.assertEqual(self.room.tz, "Asia/Urumqi")
        self.assertEqual(self.room.company_id, self.company)
        self.assertEqual(self.room.complete_name, "Plant / B-101")
        self.assertEqual(self.room.display_name, "B-101 · Plant")
        with self.assertRaises(UserError):
            self.project.parent_id = self.room

    def test_bad_address_names_meter_value_and_remedy(self):
        with self.assertRaises(ValidationError) as caught:
            self._meter("M-3", "12345")
        self.assertIn("M-3", str(caught.exception))
        self.assertIn("12345", str(caught.exception))
        self.assertIn("12 digits", str(caught.exception))
        ddsy = self.env.ref("prepay_meter.profile_ddsy1352")
        for address in ("0", "248", "x1"):
            with self.assertRaises(ValidationError):
                self._meter("M-4", address, profile_id=ddsy.id)

    def test_same_address_on_one_gateway_is_refused(self):
        with mute_logger("odoo.sql_db"), self.assertRaises(IntegrityError), self.env.cr.savepoint():
            self._meter("M-5", "000000000001")

    def test_newest_wish_has_highest_epoch(self):
        first = self.meter._request_relay("open", "operator", "one")
        second = self.meter._request_relay("closed", "operator", "two")
        self.assertEqual((first.epoch, second.epoch), (1, 2))
        self.assertEqual(self.meter.desired_relay, "closed")
        self.assertTrue(first.expires_at > fields.Datetime.now(), "a cut expires")
        self.assertFalse(second.expires_at, "a restore never expires")

    def test_unknown_supply_is_shown_as_unknown(self):
        self.assertEqual(self.meter.supply, "unknown")
        self.reported(self.meter, "closed")
        self.assertEqual(self.meter.supply, "on")
        command = self.meter._request_relay("open", "operator", "test")
        self.assertEqual(self.meter.supply, "switching")
        self.confirm(command)
        self.assertEqual(self.meter.supply, "off")

    def test_operator_switches_with_reason_and_reader_cannot(self):
        wizard = self.env["prepay.meter.relay.wizard"]
        vals = {"meter_ids": [(6, 0, self.meter.ids)], "action": "open", "reason": "repair"}
        wizard.with_user(self.operator).create(vals).action_confirm()
        command = self.meter.command_ids
        self.assertEqual(
            (command.target, command.cause, command.reason), ("open", "operator", "repair")
        )
        self.assertEqual(command.create_uid, self.operator)
        with self.assertRaises(AccessError):
            wizard.with_user(self.reader).create(vals)

    def test_guaranteed_meter_is_not_switched_off_by_hand(self):
        wizard = self.env["prepay.meter.relay.wizard"].with_user(self.operator)
        wizard.create(
            {"meter_ids": [(6, 0, self.meter.ids)], "action": "protect", "reason": "medical"}
        ).action_confirm()
        self.assertTrue(self.meter.is_protected)
        with self.assertRaises(UserError) as caught:
            wizard.create(
                {"meter_ids": [(6, 0, self.meter.ids)], "action": "open", "reason": "x"}
            ).action_confirm()
        self.assertIn("M-1", str(caught.exception))

    def test_operator_cannot_change_settings(self):
        with self.assertRaises(AccessError):
            self.meter.with_user(self.operator).write({"address": "000000000009"})
        with self.assertRaises(AccessError):
            self.meter.with_user(self.operator).read(["password"])
        self.meter.with_user(self.admin).write({"address": "000000000009"})

    def test_commands_cannot_be_written_by_anyone(self):
        command = self.meter._request_relay("open", "operator", "one")
        for user in (self.operator, self.admin, self.auditor):
            with self.assertRaises(AccessError):
                command.with_user(user).write({"state": "confirmed"})
            with self.assertRaises(AccessError):
                command.with_user(user).unlink()

    def test_auditor_reads_everything_and_changes_nothing(self):
        for model in (
            "prepay.location",
            "prepay.gateway",
            "prepay.meter",
            "prepay.meter.event",
            "prepay.reading.hold",
        ):
            records = self.env[model].with_user(self.auditor)
            records.search([], limit=1)
            for operation in ("write", "create", "unlink"):
                self.assertFalse(records.has_access(operation), f"{operation} on {model}")

    def test_other_company_sees_nothing(self):
        self.env["prepay.reading"]._ingest([(self.meter.id, "energy", "2026-03-01 00:00:00", 1000)])
        stranger_company = self.env["res.company"].create({"name": "Other factory"})
        stranger = self._user("stranger-t", "prepay_meter.group_admin")
        stranger.write(
            {"company_ids": [(6, 0, stranger_company.ids)], "company_id": stranger_company.id}
        )
        for model in (
            "prepay.location",
            "prepay.gateway",
            "prepay.meter",
            "prepay.reading",
            "prepay.meter.command",
        ):
            domain = [("company_id", "=", self.company.id)]
            self.assertFalse(
                self.env[model]
                .with_user(stranger)
                .with_context(allowed_company_ids=stranger_company.ids)
                .search(domain),
                model,
            )

    def test_meter_with_readings_is_archived_not_deleted(self):
        self.env["prepay.reading"]._ingest([(self.meter.id, "energy", "2026-03-01 00:00:00", 1000)])
        with self.assertRaises(UserError):
            self.meter.unlink()
        state = self.other.state_id
        self.other.unlink()
        self.assertFalse(state.exists(), "the state row goes with the meter")

    def test_event_is_marked_as_dealt_with_by_operator_only(self):
        event = self.env["prepay.meter.event"].create(
            {"meter_id": self.meter.id, "kind": "timeout"}
        )
        self.assertEqual(event.company_id, self.company)
        with self.assertRaises(AccessError):
            event.with_user(self.reader).action_clear()
        event.with_user(self.operator).action_clear()
        self.assertTrue(event.cleared_at)

    def test_profile_points_are_checked(self):
        for vals in (
            {"scale": "ten"},
            {"scale": "-1"},
            {"address": "zz"},
            {"address": "FFFFFFFFF"},
        ):
            with self.assertRaises(ValidationError):
                self.env["prepay.meter.point"].create(
                    {
                        "profile_id": self.profile.id,
                        "channel": "energy",
                        "address": "00010000",
                        "size": 4,
                        **vals,
                    }
                )
