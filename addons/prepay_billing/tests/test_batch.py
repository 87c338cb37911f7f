"""Batch operations: choosing, preview, approval, running, undoing."""

from datetime import timedelta
from io import BytesIO
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged
from openpyxl import load_workbook

from odoo.addons.prepay_billing.batch_kinds import KINDS

from .common import BillingCase


class BatchCase(BillingCase):
    """A plant with an opened meter, one that is not opened, and a gateway that is served."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env["ir.cron"].search([]).active = False
        cls.second = cls.env["prepay.location"].create(
            {"name": "B-102", "kind": "room", "parent_id": cls.project.id}
        )
        cls.third = cls._meter("M-3", "000000000003", location_id=cls.second.id)
        cls.hear(cls.meter + cls.other + cls.third)

    @classmethod
    def hear(cls, meters, relay="closed"):
        """What the collector would have written: they answer, and their relays are so."""
        cls.env.flush_all()
        cls.env.cr.execute(
            "UPDATE prepay_meter_state SET online = true, missed_polls = 0, relay_reported = %s,"
            " last_seen = now() AT TIME ZONE 'UTC' WHERE id = ANY(%s)",
            [relay, meters.state_id.ids],
        )
        cls.env.invalidate_all()

    def sql(self, query, *arguments):
        self.env.flush_all()
        self.env.cr.execute(query, arguments)
        self.env.invalidate_all()

    def batch(self, kind, user=None, preview=True, **vals):
        batch = (
            self.env["prepay.batch"]
            .with_user(user or self.operator)
            .create({"kind": kind, "reason": "Test", "company_id": self.company.id, **vals})
        )
        if preview:
            batch.action_preview()
        return batch

    def run_round(self):
        """One round of the scheduled action; its commits are those of the test."""
        with patch.object(
            type(self.env["ir.cron"]), "_commit_progress", lambda *_args, **_vals: 60
        ):
            self.env["prepay.batch"]._cron_run(seconds=0)
        self.env.invalidate_all()

    def line(self, batch, meter):
        return batch.line_ids.filtered(lambda line: line.meter_id == meter)


@tagged("post_install", "-at_install")
class TestBatchChoice(BatchCase):
    def test_places_meters_filter_and_states_narrow_together(self):
        batch = self.batch("read", preview=False)
        self.assertEqual(batch.chosen_count, 3)
        batch.location_ids = self.second
        batch.action_preview()
        self.assertEqual(batch.line_ids.meter_id, self.third)
        batch.location_ids = self.project
        self.assertEqual(batch.state, "draft", "another choice needs another preview")
        batch.domain = "[('number', '!=', 'M-2')]"
        batch.action_preview()
        self.assertEqual(batch.line_ids.meter_id, self.meter + self.third)
        batch.tiles = "not_opened"
        batch.action_preview()
        self.assertEqual(batch.line_ids.meter_id, self.third)
        self.assertEqual(batch.line_ids.grade, "not_opened")
        other = self.batch("read", meter_ids=[(6, 0, self.other.ids)])
        self.assertEqual(other.line_ids.meter_id, self.other)

    def test_tiles_count_each_meter_once(self):
        self.account.level = "alarm2"
        self.sql(
            "UPDATE prepay_meter_state SET last_seen = now() - interval '40 days' WHERE id = %s",
            self.other.state_id.id,
        )
        batch = self.batch("read", preview=False)
        counts = {tile["code"]: tile["count"] for tile in batch.tile_counts}
        self.assertEqual(
            {code: count for code, count in counts.items() if count},
            {"alarm2": 1, "lost": 1, "not_opened": 1},
        )
        batch.tiles = "alarm2,lost"
        self.assertEqual(batch.chosen_count, 2)

    def test_the_list_of_meters_leads_to_a_batch(self):
        action = (self.meter + self.other).with_user(self.operator).action_batch()
        self.assertEqual(action["context"]["default_meter_ids"], (self.meter + self.other).ids)
        with self.assertRaisesRegex(AccessError, "Only operators"):
            self.meter.with_user(self.reader).action_batch()

    def test_a_filter_that_cannot_be_read(self):
        with self.assertRaisesRegex(ValidationError, "filter of the meters"):
            self.batch("read", preview=False, domain="[('nothing'")

    def test_no_meter(self):
        with self.assertRaisesRegex(UserError, "no meter was chosen"):
            self.batch("read", domain="[('number', '=', 'X')]")

    def test_meters_of_another_company_are_not_touched(self):
        other = self.env["res.company"].create({"name": "Other factory"})
        place = self.env["prepay.location"].create(
            {"name": "Elsewhere", "kind": "project", "company_id": other.id}
        )
        foreign = self.env["prepay.meter"].create(
            {
                "number": "F-1",
                "address": "000000000009",
                "profile_id": self.profile.id,
                "location_id": place.id,
            }
        )
        batch = self.batch("read")
        self.assertNotIn(foreign, batch.line_ids.meter_id.sudo())


@tagged("post_install", "-at_install")
class TestBatchPreview(BatchCase):
    def test_what_is_left_out_and_why(self):
        self.other.is_protected = True
        self.sql(
            "UPDATE prepay_meter_state SET online = false WHERE id = %s", self.third.state_id.id
        )
        lone = self._meter("M-4", "000000000004", gateway_id=False)
        batch = self.batch("off")
        self.assertEqual(
            {line.meter_id.number: line.skip for line in batch.line_ids},
            {"M-1": False, "M-2": "protected", "M-3": "offline", "M-4": "no_gateway"},
        )
        self.assertEqual((batch.total_count, batch.skipped_count), (1, 3))
        self.assertIn("Guaranteed supply: 1", batch.skipped_text)
        self.assertEqual(self.line(batch, lone).state, "skipped")
        batch.skip_offline = False
        batch.action_preview()
        self.assertEqual(self.line(batch, self.third).state, "planned")

    def test_from_and_to(self):
        self.meter.overload_w = 800
        batch = self.batch("overload", power_w=1200)
        line = self.line(batch, self.meter)
        self.assertEqual((line.before_text, line.target_text), ("800 W", "1200 W"))
        self.assertFalse(self.line(batch, self.other).before_text)
        self.assertEqual(batch.target_text, "1200 W")

    def test_what_is_so_already_is_left_out(self):
        self.meter._request_relay("closed", "operator", "before")
        batch = self.batch("on")
        self.assertEqual(self.line(batch, self.meter).skip, "same")
        self.assertEqual(self.line(batch, self.other).state, "planned")

    def test_a_type_that_cannot(self):
        self.profile.control_ids.filtered(lambda control: control.action == "open").unlink()
        batch = self.batch("off")
        self.assertEqual(set(batch.line_ids.mapped("skip")), {"incapable"})
        with self.assertRaisesRegex(UserError, "every meter is left out"):
            batch.action_confirm()

    def test_whom_it_touches_and_warnings(self):
        self.account.level = "arrears"
        self.account.supply_ids.heads = 4
        batch = self.batch("on")
        self.assertEqual((batch.account_count, batch.room_count, batch.head_count), (1, 2, 4))
        self.assertIn("1 accounts are in arrears", batch.warnings)
        night = fields.Datetime.now().replace(hour=15, minute=0) + timedelta(days=1)
        batch = self.batch("off", start_at=night)
        self.assertIn("2 rooms with 4 persons lose their supply", batch.warnings)
        self.assertIn("It is night then (23:00)", batch.warnings)
        batch.start_at = night.replace(hour=3)
        self.assertNotIn("It is night", batch.warnings)

    def test_values_are_checked(self):
        with self.assertRaisesRegex(UserError, "enter the reason"):
            self.batch("off", reason=" ")
        with self.assertRaisesRegex(UserError, "choose the new tariff"):
            self.batch("tariff")
        with self.assertRaisesRegex(ValidationError, "is not between 0 and"):
            self.batch("overload", power_w=-1)
        with self.assertRaisesRegex(ValidationError, "Time Control|Time control"):
            self.batch("time_control", plan_text="workday 25:00 on")
        with self.assertRaisesRegex(UserError, "before it begins"):
            self.batch("guarantee_on", guarantee_until=fields.Datetime.now() - timedelta(hours=1))
        with self.assertRaisesRegex(UserError, "time to begin is past"):
            self.batch("read", start_at=fields.Datetime.now() - timedelta(hours=1))

    def test_nothing_happens_before_it_is_confirmed(self):
        commands = self.env["prepay.meter.command"].search_count([])
        self.batch("off")
        self.run_round()
        self.assertEqual(self.env["prepay.meter.command"].search_count([]), commands)

    def test_every_kind_has_a_label(self):
        self.assertEqual(
            {code for code, _label in self.env["prepay.batch"]._selection_kind()},
            set(KINDS) - (set() if "prepay.opening" in self.env else {"open"}),
        )


@tagged("post_install", "-at_install")
class TestBatchApproval(BatchCase):
    def test_switching_off_many_needs_a_second_person(self):
        self.company.prepay_batch_power_limit = 2
        batch = self.batch("off")
        self.assertTrue(batch.needs_approval)
        batch.action_confirm()
        self.assertEqual(batch.state, "waiting")
        self.assertIn(self.accountant, batch.sudo().activity_ids.user_id)
        self.assertIn(batch.number, batch.sudo().activity_ids[0].summary)
        self.run_round()
        self.assertFalse(self.meter.command_ids)
        with self.assertRaisesRegex(AccessError, "Only accountants and administrators"):
            batch.action_approve()
        boss = self._user("boss-t", "prepay_meter.group_admin")
        own = self.batch("off", user=boss)
        own.action_confirm()
        with self.assertRaisesRegex(UserError, "requested by you"):
            own.action_approve()
        batch.with_user(self.accountant).action_approve()
        self.run_round()
        self.assertEqual((batch.state, batch.approved_id), ("running", self.accountant))
        self.assertFalse(batch.sudo().activity_ids)
        self.assertEqual(self.meter.command_ids.target, "open")

    def test_up_to_the_limit_one_person_is_enough(self):
        self.company.prepay_batch_power_limit = 3
        batch = self.batch("off")
        batch.action_confirm()
        self.assertEqual(batch.state, "queued")

    def test_prices_always_need_a_second_person_and_reading_never(self):
        batch = self.batch("tariff", tariff_id=self.tariff.copy({"name": "New"}).id)
        self.assertTrue(batch.needs_approval)
        self.company.prepay_batch_power_limit = 0
        self.assertFalse(self.batch("read").needs_approval)
        self.assertFalse(self.batch("on").needs_approval)

    def test_refused(self):
        self.company.prepay_batch_power_limit = 0
        batch = self.batch("off")
        batch.action_confirm()
        batch.with_user(self.accountant).action_refuse()
        self.assertEqual(batch.state, "cancelled")
        self.run_round()
        self.assertFalse(self.meter.command_ids)

    def test_rights(self):
        with self.assertRaises(AccessError):
            self.env["prepay.batch"].with_user(self.auditor).create({"kind": "read"})
        batch = self.batch("read")
        self.assertEqual(batch.with_user(self.auditor).line_ids.mapped("state"), ["planned"] * 3)
        with self.assertRaises(AccessError):
            batch.with_user(self.auditor).action_confirm()
        with self.assertRaises(AccessError):
            batch.with_user(self.cashier).action_cancel()
        with self.assertRaises(AccessError):
            batch.line_ids.write({"state": "done"})

    def test_what_is_under_way_cannot_change(self):
        batch = self.batch("read")
        batch.action_confirm()
        with self.assertRaisesRegex(UserError, "is under way and cannot change"):
            batch.location_ids = self.second
        with self.assertRaisesRegex(UserError, "stays as a record"):
            batch.unlink()


@tagged("post_install", "-at_install")
class TestBatchTariff(BatchCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company.prepay_batch_price_limit = 100
        cls.dear = cls.env["prepay.tariff"].create(
            {
                "name": "Dear",
                "company_id": cls.company.id,
                "version_ids": [
                    (0, 0, {"valid_from": cls.start - timedelta(days=200), "price": 1.68})
                ],
            }
        )
        cls.supply = cls.account.supply_ids

    def change(self, **vals):
        batch = self.batch("tariff", tariff_id=self.dear.id, **vals)
        batch.action_confirm()
        self.run_round()
        self.run_round()
        self.assertEqual(batch.state, "done")
        return batch

    def charged(self):
        charges = self.env["prepay.charge"].search([("supply_id", "=", self.supply.id)])
        return {
            charge.price: charge.quantity_base
            for charge in charges.filtered(lambda charge: charge.quantity_base)
        }

    def test_the_interval_is_split_at_the_time_of_the_change(self):
        """Ten kWh in two hours, the change after half an hour: a quarter at the old price."""
        self.topup(100)
        self.read(100, 0)
        self.read(104, 1)
        self.rate()
        self.change(valid_from=self.start + timedelta(hours=1.5))
        self.assertEqual(self.supply.tariff_id, self.dear)
        self.read(114, 3)
        self.rate()
        self.assertEqual(self.charged(), {0.68: 4000 + 2500, 1.68: 7500})
        self.read(115, 4)
        self.rate()
        self.assertEqual(self.charged(), {0.68: 6500, 1.68: 8500})

    def test_what_is_rated_stays(self):
        self.read(100, 0)
        self.read(110, 2)
        self.rate()
        batch = self.change(valid_from=self.start + timedelta(hours=1))
        change = self.line(batch, self.meter).change_id
        self.assertEqual(change.from_at, self.start + timedelta(hours=2))
        self.read(120, 4)
        self.rate()
        self.assertEqual(self.charged(), {0.68: 10000, 1.68: 10000})

    def test_a_change_to_come(self):
        """Until its time the old tariff is the tariff; the change is kept and begins by itself."""
        later = fields.Datetime.now() + timedelta(hours=1)
        batch = self.change(valid_from=later)
        change = self.line(batch, self.meter).change_id
        self.assertEqual((self.supply.tariff_id, change.begun), (self.tariff, False))
        self.env["prepay.tariff.change"]._begin(later)
        self.assertEqual((self.supply.tariff_id, change.begun), (self.dear, True))

    def test_without_a_time_it_begins_with_the_operation(self):
        batch = self.change()
        change = self.line(batch, self.meter).change_id
        self.assertEqual(change.from_at, batch.started_at)
        self.assertEqual(self.supply.tariff_id, self.dear)

    def test_two_changes_in_one_interval(self):
        third = self.dear.copy({"name": "Dearest"})
        third.version_ids.filtered(lambda version: version.state != "approved").state = "approved"
        third.version_ids.price = 2.68
        self.read(100, 0)
        self.rate()
        changes = self.env["prepay.tariff.change"]
        none = self.env["prepay.batch"]
        changes._plan(self.supply, third, self.start + timedelta(hours=2), none)
        changes._plan(self.supply, self.dear, self.start + timedelta(hours=1), none)
        self.assertEqual(
            [(change.before_id, change.tariff_id) for change in self.supply.tariff_change_ids],
            [(self.dear, third), (self.tariff, self.dear)],
        )
        self.read(104, 4)
        self.rate()
        self.assertEqual(self.charged(), {0.68: 1000, 1.68: 1000, 2.68: 2000})

    def test_undo_before_anything_was_rated(self):
        self.read(100, 0)
        self.rate()
        batch = self.change(valid_from=self.start + timedelta(hours=1))
        undo = self.env["prepay.batch"].browse(batch.action_undo()["res_id"])
        line = self.line(undo, self.meter)
        self.assertEqual((line.before_text, line.target_text), ("Dear", "Flat"))
        undo.action_confirm()
        self.run_round()
        self.run_round()
        self.assertEqual((self.supply.tariff_id, line.result), (self.tariff, "removed"))
        self.assertFalse(self.supply.tariff_change_ids)
        self.read(110, 2)
        self.rate()
        self.assertEqual(self.charged(), {0.68: 10000})

    def test_undo_after_it_was_rated(self):
        self.read(100, 0)
        self.rate()
        batch = self.change(valid_from=self.start + timedelta(hours=1))
        self.read(110, 2)
        self.rate()
        undo = self.env["prepay.batch"].browse(batch.action_undo()["res_id"])
        undo.action_confirm()
        self.run_round()
        self.run_round()
        self.assertEqual(self.supply.tariff_id, self.tariff)
        back = self.supply.tariff_change_ids[0]
        self.assertGreater(back.from_at, self.start + timedelta(hours=2))
        self.assertEqual(self.charged(), {0.68: 5000, 1.68: 5000})

    def test_a_tariff_without_a_price_then(self):
        self.dear.version_ids.unlink()
        with self.assertRaisesRegex(UserError, "no approved price at that time"):
            self.batch("tariff", tariff_id=self.dear.id)

    def test_left_out(self):
        water = self.dear.copy({"name": "Water", "medium": "water"})
        self.assertTrue(water.version_ids)
        batch = self.batch("tariff", tariff_id=self.tariff.id)
        self.assertEqual(self.line(batch, self.meter).skip, "same")
        self.assertEqual(self.line(batch, self.other).skip, "not_opened")

    def test_a_tariff_by_hand_voids_what_is_planned(self):
        self.read(100, 0)
        self.rate()
        self.change(valid_from=fields.Datetime.now() + timedelta(hours=1))
        self.supply.tariff_id = self.dear
        self.assertFalse(self.supply.tariff_change_ids)


@tagged("post_install", "-at_install")
class TestBatchExport(BatchCase):
    def test_workbook(self):
        self.other.is_protected = True
        batch = self.batch("off", reason="Repair of the main line")
        action = batch.action_export()
        self.assertEqual(action["type"], "ir.actions.act_url")
        sheet = load_workbook(BytesIO(batch._workbook())).active
        rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
        self.assertEqual(rows[0][:3], [batch.number, "Force Off", "Repair of the main line"])
        self.assertEqual(rows[2][3], "Meter")
        found = {row[3]: (row[6], row[7]) for row in rows[3:]}
        self.assertEqual(found["M-1"], ("Planned", None))
        self.assertEqual(found["M-2"], ("Left Out", "Guaranteed supply"))
