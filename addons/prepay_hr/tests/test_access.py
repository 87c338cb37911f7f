from lxml import etree
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged

from .common import DormitoryCommon


@tagged("post_install", "-at_install")
class TestAccess(DormitoryCommon):
    MONEY = (
        "prepay.account",
        "prepay.ledger.entry",
        "prepay.topup",
        "prepay.charge",
        "prepay.supply.decision",
        "prepay.meter",
        "prepay.reading",
        "prepay.meter.command",
    )

    def test_staff_sees_no_money_and_no_meters(self):
        for model in self.MONEY:
            for operation in ("read", "write", "create", "unlink"):
                allowed = self.env[model].with_user(self.staff).has_access(operation)
                self.assertFalse(allowed, f"{model} {operation}")
        with self.assertRaises(AccessError):
            self.room.with_user(self.staff).account_ids.read(["available"])

    def test_staff_reads_rooms_only(self):
        room = self.room.with_user(self.staff)
        self.assertTrue(room.has_access("read"))
        with self.assertRaises(AccessError):
            room.bed_count = 9
        with self.assertRaises(AccessError):
            room.own_tz = "UTC"

    def test_staff_opens_all_screens(self):
        stay = self._stay(self.ann)
        self.assertEqual(Form(stay).state, "present")
        for record in (self.room, self.ann, stay):
            record = record.with_user(self.staff)
            for kind in ("form", "list"):
                view = record.get_view(view_type=kind)
                self.assertTrue(self._read_as_client(record, view), f"{record} {kind}")
        rooms = self.env.ref("prepay_hr.prepay_location_view_list_rooms")
        room = self.room.with_user(self.staff)
        self.assertTrue(self._read_as_client(room, room.get_view(rooms.id, "list")))

    def _read_as_client(self, record, view):
        """Read what the web client reads for a view, with the names behind links."""
        spec = {}
        for node in etree.fromstring(view["arch"]).iterfind(".//field"):
            if any(above.tag == "field" for above in node.iterancestors()):
                continue
            kind = record._fields[node.get("name")].type
            spec[node.get("name")] = {"fields": {"display_name": {}}} if kind == "many2one" else {}
        return record.web_read(spec)

    def test_staff_sees_its_menu(self):
        menus = self.env["ir.ui.menu"].with_user(self.staff)._visible_menu_ids()
        for name in ("prepay_meter.menu_prepay_root", "prepay_hr.menu_dormitory"):
            self.assertIn(self.env.ref(name).id, menus)
        for name in ("prepay_meter.menu_meters", "prepay_billing.menu_accounts"):
            self.assertNotIn(self.env.ref(name).id, menus)

    def test_others_see_no_stays(self):
        stay = self._stay(self.ann)
        officer = self._user("dorm_officer", self.company, "hr.group_hr_user")
        for user in (self.accountant, officer):
            self.assertFalse(stay.with_user(user).has_access("read"))
        # But their own screens go on working.
        Form(self.ann.with_user(officer))
        room = self.room.with_user(self.accountant)
        self.assertTrue(self._read_as_client(room, room.get_view(view_type="form")))
        self.assertEqual(room.occupant_count, 1)

    def test_history_cannot_be_deleted(self):
        with self.assertRaises(AccessError):
            self._stay(self.ann).unlink()

    def test_companies_are_apart(self):
        stay = self._stay(self.ann)
        foreign = self._user("dorm_foreign", self.other_company, "prepay_hr.group_dormitory")
        stays = self.env["prepay.occupancy"].with_user(foreign)
        self.assertFalse(stays.search([("id", "=", stay.id)]))
        with self.assertRaises(AccessError):
            stay.with_user(foreign).action_check_out()
        zoe = self._employee("Zoe", self.other_company)
        with self._refused("Prepaid Location", AccessError):
            self._stay(zoe, user=foreign)
        both = self.env["prepay.occupancy"].with_context(
            allowed_company_ids=(self.company | self.other_company).ids
        )
        with self._refused("compan", UserError):
            both.create({"employee_id": zoe.id, "location_id": self.room.id})

    def test_the_bed_of_a_hidden_neighbour_counts(self):
        room = self._room("R-3", self.other_company)
        zoe = self._employee("Zoe", self.other_company)
        self._stay(zoe, room, user=self.env.user)
        self.assertEqual(room.with_user(self.env.user).occupant_count, 1)
