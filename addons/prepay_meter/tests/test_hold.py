import base64
from datetime import datetime, timedelta

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from .common_reading import ReadingCase

HOUR = timedelta(hours=1)


@tagged("post_install", "-at_install")
class TestHold(ReadingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.now = fields.Datetime.now().replace(microsecond=0)
        cls.profile.max_power_w = 10_000

    def hold(self, rule="spike", value=9_000, meter=None, values=None, **more):
        """A held reading; ``values`` are (hours ago, channel, value) of all held answers."""
        vals = {
            "meter_id": (meter or self.meter).id,
            "channel": "energy",
            "rule": rule,
            "first_at": self.now - HOUR,
            "last_at": self.now - HOUR,
            "previous_value": 1_000,
            "value": value,
            **more,
        }
        if values:
            moments = [self.now - hours * HOUR for hours, _channel, _value in values]
            vals["first_at"], vals["last_at"] = min(moments), max(moments)
            vals["value_ids"] = [
                (0, 0, {"channel": channel, "read_at": self.now - hours * HOUR, "value": held})
                for hours, channel, held in values
            ]
        return self.env["prepay.reading.hold"].create(vals)

    def known(self, value, hours, meter=None, channel="energy"):
        self.feed(meter or self.meter, self.now - hours * HOUR, [value], channel=channel)

    def resolve(self, holds, action, reason="seen on site", **vals):
        wizard = (
            self.env["prepay.reading.hold.wizard"]
            .with_user(self.operator)
            .create({"hold_ids": [(6, 0, holds.ids)], "action": action, "reason": reason, **vals})
        )
        wizard.action_confirm()
        holds.invalidate_recordset()

    def values(self, meter=None, channel="energy"):
        return [
            row[1] for row in self.readings(meter or self.meter, domain=[("channel", "=", channel)])
        ]

    def test_hold_is_accepted_with_a_reason(self):
        hold = self.hold().with_user(self.operator)
        with self.assertRaises(UserError):
            hold.action_accept()
        hold.resolution = "checked on site"
        hold.action_accept()
        self.assertEqual((hold.state, hold.resolved_by_id), ("accepted", self.operator))
        self.assertEqual(self.values(), [9_000])
        with self.assertRaises(UserError):
            hold.action_reject()

    def test_falling_register_can_only_be_rejected(self):
        hold = self.hold("decrease", 500)
        hold.resolution = "meter was reset"
        with self.assertRaises(UserError):
            hold.action_accept()
        hold.action_reject()
        self.assertEqual(hold.state, "rejected")
        self.assertFalse(self.values())

    def test_accepting_brings_back_what_led_there(self):
        """A jump that was true: the answers held since then become readings, bad ones do not."""
        self.known(1_000, 10)
        self.known(900, 10, channel="energy_peak")
        hold = self.hold(
            value=903_000,
            values=[
                (5, "energy", 900_000),
                (4, "energy", 900_500_000),
                (3, "energy", 902_000),
                (2, "energy", 903_000),
                (2, "energy_peak", 400_900),
                (2, "energy_flat", 7_000),
            ],
        )
        self.resolve(hold, "accept")
        self.assertEqual(hold.state, "accepted")
        self.assertEqual(self.values(), [1_000, 900_000, 902_000, 903_000])
        self.assertEqual(self.values(channel="energy_peak"), [900, 400_900])
        self.assertEqual(self.values(channel="energy_flat"), [7_000])
        self.assertEqual(self.meter.last_value, 903_000)

    def test_a_value_that_contradicts_readings_is_not_accepted(self):
        self.known(1_000, 10)
        self.known(2_000, 1)
        with self.assertRaises(UserError):  # later ones are lower
            self.resolve(self.hold(value=5_000, values=[(3, "energy", 5_000)]), "accept")
        with self.assertRaises(UserError):  # the moment is taken
            self.resolve(self.hold("conflict", 1_001, values=[(10, "energy", 1_001)]), "accept")
        future = self.hold("clock", 3_000, last_at=self.now + timedelta(days=3))
        with self.assertRaises(UserError):
            self.resolve(future, "accept")
        past = self.hold("unit", 3_000, last_at=datetime(2000, 1, 1))
        with self.assertRaises(UserError):
            self.resolve(past, "accept")
        self.assertEqual(self.values(), [1_000, 2_000])

    def test_correction_stores_what_was_read_on_site(self):
        self.known(1_000, 10)
        hold = self.hold(values=[(3, "energy", 5_000_000)])
        self.resolve(
            hold,
            "correct",
            at=self.now - HOUR,
            register=4.5,
            photo=base64.b64encode(b"picture"),
            photo_name="meter.jpg",
        )
        self.assertEqual((hold.state, hold.resolution), ("corrected", "seen on site"))
        self.assertEqual(self.readings(self.meter)[-1][1::2], (4_500, "manual"))
        self.assertEqual(self.meter.last_value, 4_500)
        attachment = hold.message_ids.attachment_ids
        self.assertEqual((attachment.name, attachment.raw), ("meter.jpg", b"picture"))
        again = self.hold(values=[(3, "energy", 5_000_000)])
        with self.assertRaises(UserError):
            self.resolve(again, "correct", at=self.now, register=4.4)
        with self.assertRaises(UserError):
            self.resolve(again, "correct", at=self.now + HOUR, register=5)
        with self.assertRaises(UserError):
            self.resolve(again, "correct", at=self.now, register=-5)

    def test_estimate_is_no_reading(self):
        start = self.now - timedelta(days=11)
        self.feed(self.meter, start, range(0, 11_000, 1_000), minutes=1440)
        self.roll_up()
        previous = start + timedelta(days=10)
        hold = self.hold(
            previous_at=previous, previous_value=10_000, values=[(3, "energy", 5_000_000)]
        )
        self.resolve(hold, "estimate", at=previous + timedelta(days=2, hours=12))
        estimate = self.env["prepay.reading.estimate"].search([("hold_id", "=", hold.id)])
        self.assertEqual(hold.state, "estimated")
        # Ten days of 1 kWh in eleven days of the calendar.
        self.assertEqual(estimate.value, 10_000 + 10_000 * 5 // 2 // 11)
        self.assertEqual((estimate.method, estimate.user_id), ("average", self.operator))
        self.assertEqual(estimate.reason, "seen on site")
        self.assertEqual(len(self.values()), 11)
        self.assertEqual(self.meter.last_value, 10_000)
        with self.assertRaises(AccessError):
            estimate.with_user(self.operator).write({"value": 1})

        other = self.hold(meter=self.other, previous_at=previous, previous_value=10_000)
        with self.assertRaises(UserError):
            self.resolve(other, "estimate")  # no use to take an average from
        with self.assertRaises(UserError):
            self.resolve(other, "estimate", method="person", register=9, at=self.now)
        self.resolve(other, "estimate", method="person", register=12.5, at=self.now)
        estimate = self.env["prepay.reading.estimate"].search([("hold_id", "=", other.id)])
        self.assertEqual((estimate.value, estimate.method), (12_500, "person"))

    def test_new_baseline_after_a_reset(self):
        """All registers began anew; what was held since then becomes readings, nothing is lost."""
        self.known(900_000, 10)
        self.known(300_000, 10, channel="energy_peak")
        self.known(600_000, 10, channel="energy_flat")
        hold = self.hold(
            "reset",
            3_000,
            previous_at=self.now - 10 * HOUR,
            previous_value=900_000,
            values=[
                (5, "energy", 20),
                (5, "energy_peak", 10),
                (4, "energy", 1_020),
                (4, "energy_peak", 510),
                (3, "energy", 800_000),
                (2, "energy", 3_000),
                (2, "energy_flat", 600_500),
            ],
        )
        twin = self.hold("decrease", 3_000, values=[(1, "energy", 3_500)])
        event = self.env["prepay.meter.event"].create({"meter_id": self.meter.id, "kind": "reset"})
        action = hold.with_user(self.operator).with_context(hold_action="baseline")
        context = action.action_resolve()["context"]
        form = Form(
            self.env["prepay.reading.hold.wizard"].with_user(self.operator).with_context(**context)
        )
        self.assertEqual((form.register, form.old_register), (0.02, 900))
        self.assertEqual(form.at, self.now - 5 * HOUR)
        form.old_register = 901
        form.reason = "meter replaced"
        form.save().action_confirm()
        (hold | twin).invalidate_recordset()
        self.assertEqual((hold.state, twin.state), ("rebased", "rebased"))
        self.assertEqual(twin.resolution, "meter replaced")
        baselines = self.env["prepay.reading.baseline"].search(
            [("meter_id", "=", self.meter.id)], order="channel_number"
        )
        self.assertEqual(
            [(item.channel, item.old_end, item.new_start) for item in baselines],
            [("energy", 901_000, 20), ("energy_peak", 300_000, 10)],
        )
        self.assertEqual(baselines.user_id, self.operator)
        self.assertEqual(self.values(), [900_000, 1_020, 3_000, 3_500])
        self.assertEqual(self.values(channel="energy_peak"), [300_000, 510])
        self.assertEqual(self.values(channel="energy_flat"), [600_000, 600_500])
        self.assertEqual(self.meter.last_value, 3_500)
        self.assertTrue(event.cleared_at)
        self.roll_up()
        self.assertEqual(sum(self.days(self.meter).values()), 1_000 + 3_480)
        self.assertEqual(sum(self.days(self.meter, "energy_peak").values()), 500)
        with self.assertRaises(AccessError):
            baselines[0].with_user(self.admin).unlink()

    def test_new_baseline_lies_after_the_last_reading(self):
        self.known(900_000, 1)
        hold = self.hold("reset", 20, previous_value=900_000, values=[(5, "energy", 20)])
        with self.assertRaises(UserError):
            self.resolve(hold, "baseline")

    def test_many_at_once(self):
        holds = self.hold(values=[(2, "energy", 500_000)])
        holds |= self.hold("reset", 10, meter=self.other, previous_value=700_000,
                           values=[(2, "energy", 10)])  # fmt: skip
        for action, more in (("correct", {}), ("estimate", {"method": "person"})):
            with self.assertRaises(UserError):
                self.resolve(holds, action, register=1, at=self.now, **more)
        with self.assertRaises(UserError):
            self.resolve(holds, "reject", reason="  ")
        self.known(700_000, 10, meter=self.other)
        self.resolve(holds, "baseline")
        self.assertEqual(holds.mapped("state"), ["rebased", "rebased"])
        baselines = self.env["prepay.reading.baseline"].search([("hold_id", "in", holds.ids)])
        self.assertEqual(set(baselines.mapped("new_start")), {500_000, 10})
        more = self.hold() | self.hold(meter=self.other)
        self.resolve(more, "reject", reason="test load")
        self.assertEqual(more.mapped("state"), ["rejected", "rejected"])
        self.assertEqual(set(more.mapped("resolution")), {"test load"})
        self.assertTrue(all(hold.message_ids for hold in more), "tracked in the journal")

    def test_only_operators_resolve(self):
        hold = self.hold()
        wizard = self.env["prepay.reading.hold.wizard"]
        for user in (self.reader, self.auditor):
            with self.assertRaises(AccessError):
                wizard.with_user(user).create({"hold_ids": hold.ids, "reason": "x"})
            with self.assertRaises(AccessError):
                hold.with_user(user).action_reject()
            self.assertEqual(hold.with_user(user).value, 9_000)
            for model in ("prepay.reading.baseline", "prepay.reading.estimate",
                          "prepay.reading.hold.value"):  # fmt: skip
                records = self.env[model].with_user(user)
                records.search([], limit=1)
                for operation in ("write", "create", "unlink"):
                    self.assertFalse(records.has_access(operation), f"{operation} on {model}")
        self.assertEqual(hold.action_open_meter()["res_id"], self.meter.id)

    def test_held_values_of_other_companies_stay_hidden(self):
        hold = self.hold(values=[(2, "energy", 500_000)])
        stranger_company = self.env["res.company"].create({"name": "Other factory"})
        stranger = self._user("stranger-t", "prepay_meter.group_operator")
        stranger.write(
            {"company_ids": [(6, 0, stranger_company.ids)], "company_id": stranger_company.id}
        )
        for records in (hold, hold.value_ids):
            alien = records.with_user(stranger).with_context(
                allowed_company_ids=stranger_company.ids
            )
            self.assertFalse(alien.search([("id", "in", records.ids)]))
            with self.assertRaises(AccessError):
                alien.read(["value"])
