from ast import literal_eval

from lxml import etree
from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, tagged
from odoo.tools import mute_logger
from psycopg2.errors import CheckViolation, ExclusionViolation

from .common import DormitoryCommon


@tagged("post_install", "-at_install")
class TestOccupancy(DormitoryCommon):
    def test_one_bed_for_two_people_names_both(self):
        self._stay(self.ann)
        with self._refused(r"R-1, bed 1: Ann has this bed.*so Bob"):
            self._stay(self.bob)

    def test_one_employee_in_two_rooms_names_both(self):
        self._stay(self.ann)
        with self._refused(r"Ann already lives in R-1, bed 1.*cannot live in R-2, bed 1"):
            self._stay(self.ann, self.room2)

    def test_the_day_of_leaving_belongs_to_the_next(self):
        self._stay(self.ann, start=self._day(-10), end=self._day(-5))
        self._stay(self.bob, start=self._day(-5))
        self._stay(self.ann, self.room2, start=self._day(-5))
        with self.assertRaises(ValidationError):
            self._stay(self.eve, start=self._day(-6), end=self._day(-5))

    def test_changed_dates_are_checked_too(self):
        old = self._stay(self.ann, start=self._day(-10), end=self._day(-5))
        self._stay(self.bob, start=self._day(-5))
        with self.assertRaises(ValidationError):
            old.check_out = self._day(-4)
        with self.assertRaises(ValidationError):
            old.check_out = False

    def test_check_out_before_check_in(self):
        stay = self._stay(self.ann)
        with self.assertRaises(CheckViolation), mute_logger("odoo.sql_db"):
            stay.check_out = self._day(-1)
            self.env.flush_all()

    def test_the_database_refuses_as_well(self):
        """What two transactions do at once, past the check in Python."""
        first = self._stay(self.ann)
        for column, value in (("employee_id", self.ann.id), ("location_id", self.room.id)):
            second = self._stay(self.bob, self.room2, start=self._day(1))
            with (
                self.assertRaises(ExclusionViolation),
                mute_logger("odoo.sql_db"),
                self.env.cr.savepoint(),
            ):
                self.env.cr.execute(
                    f"UPDATE prepay_occupancy SET {column} = %s WHERE id = %s", [value, second.id]
                )
                self.env.cr.execute("SET CONSTRAINTS ALL IMMEDIATE")
            second.sudo().unlink()
        self.assertTrue(first.exists())

    def test_beds_without_a_label(self):
        self._stay(self.ann, bed=" ")
        self._stay(self.bob, bed=False)
        self.assertFalse(self.env["prepay.occupancy"].search([("bed", "!=", False)]) & self._all())

    def _all(self):
        return self.env["prepay.occupancy"].search([("location_id", "=", self.room.id)])

    def test_a_full_room_names_who_lives_there(self):
        self._stay(self.ann, bed=False)
        self._stay(self.bob, bed=False)
        with self._refused("R-1 has 2 beds but would have 3 .*Ann"):
            self._stay(self.eve, bed=False)
        self.room.bed_count = 0  # no limit
        self._stay(self.eve, bed=False)
        with self._refused("R-1 has 2 beds"):
            self.room.bed_count = 2

    def test_a_full_room_later(self):
        self._stay(self.ann, bed=False, start=self._day(10))
        self._stay(self.bob, bed=False, start=self._day(10))
        self._stay(self.eve, bed=False, end=self._day(10))
        with self.assertRaises(ValidationError):
            self._all().filtered(lambda stay: stay.employee_id == self.eve).check_out = False

    @mute_logger("odoo.sql_db")
    def test_no_negative_beds(self):
        with self.assertRaises(CheckViolation):
            self.room.bed_count = -1
            self.env.flush_all()

    def test_only_rooms_are_lived_in(self):
        floor = self.env["prepay.location"].create(
            {"name": "Floor", "kind": "floor", "company_id": self.company.id}
        )
        with self._refused("Floor is not a room"):
            self._stay(self.ann, floor)
        self._stay(self.ann)
        with self._refused("must stay a room"):
            self.room.kind = "public"

    def test_counts_and_search(self):
        self._stay(self.ann)
        self._stay(self.bob, bed="2", start=self._day(3))
        self._stay(self.eve, bed="3", start=self._day(-9), end=self.today)
        self.assertEqual((self.room.occupant_count, self.room.free_bed_count), (1, 1))
        rooms = self.env["prepay.location"].with_user(self.staff)
        self.assertEqual(rooms.search([("free_bed_count", ">", 1)]), self.room2)
        self.assertIn(self.room, rooms.search([("free_bed_count", "=", 1)]))

    def test_states(self):
        stays = (
            self._stay(self.ann, start=self._day(-9), end=self.today)
            + self._stay(self.bob)
            + self._stay(self.eve, bed="2", start=self._day(1))
        )
        self.assertEqual(stays.mapped("state"), ["left", "present", "planned"])
        for name, stay in zip(("left", "present", "planned"), stays):
            found = stays.search(
                [("id", "in", stays.ids), *self._filter("prepay_occupancy_view_search", name)]
            )
            self.assertEqual(found, stay, name)

    def _filter(self, view, name):
        arch = etree.fromstring(self.env.ref(f"prepay_hr.{view}").arch)
        return literal_eval(arch.find(f".//filter[@name='{name}']").get("domain"))

    def test_wizard_checks_in(self):
        self._stay(self.bob)
        action = self.ann.with_user(self.staff).action_prepay_check_in()
        wizard = self.env["prepay.check.in.wizard"].with_user(self.staff)
        form = Form(wizard.with_context(action["context"]))
        form.location_id = self.room
        self.assertEqual(form.bed, "2")
        self.assertEqual(form.occupants, "Bob (1)")
        stay = self.env["prepay.occupancy"].browse(form.save().action_check_in()["res_id"])
        self.assertEqual((stay.employee_id, stay.bed, stay.state), (self.ann, "2", "present"))
        self.assertEqual(self.ann.with_user(self.staff).prepay_room_id, self.room)

    def test_wizard_moves(self):
        old = self._stay(self.ann, start=self._day(-5))
        wizard = self.env["prepay.check.in.wizard"].with_user(self.staff)
        form = Form(wizard.with_context(default_employee_id=self.ann.id))
        self.assertEqual(form.current_stay_id, old)
        form.location_id = self.room2
        form.save().action_check_in()
        self.env.flush_all()
        self.env.cr.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self.assertEqual((old.check_out, old.state), (self.today, "left"))
        self.assertEqual(self.ann.with_user(self.staff).prepay_room_id, self.room2)

    def test_check_out(self):
        stay = self._stay(self.ann, start=self._day(-5))
        planned = self._stay(self.bob, bed="2", start=self._day(5))
        (stay + planned).action_check_out()
        self.assertEqual(stay.check_out, self.today)
        self.assertEqual(planned.check_out, planned.check_in)
        with self.assertRaises(UserError):
            stay.action_check_out()

    def test_check_out_from_the_employee(self):
        stay = self._stay(self.ann)
        self.ann.with_user(self.staff).action_prepay_check_out()
        self.assertEqual(stay.state, "left")

    def test_history_stays(self):
        self._stay(self.ann, start=self._day(-20), end=self._day(-10))
        self._stay(self.ann, self.room2, start=self._day(-10))
        action = self.ann.with_user(self.staff).action_prepay_occupancies()
        stays = self.env["prepay.occupancy"].with_user(self.staff).search(action["domain"])
        self.assertEqual(stays.location_id, self.room2 + self.room)
