"""The room board: what each room shows, to whom, and how many questions that costs."""

import threading
from datetime import timedelta

from odoo import SUPERUSER_ID, api, fields
from odoo.exceptions import AccessError
from odoo.tests import HttpCase, tagged

from odoo.addons.bus.models.bus import dispatch

from .common import BillingCase


class BoardCase(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        place = cls.env["prepay.location"].create
        cls.building = place({"name": "Block 2", "kind": "building", "parent_id": cls.project.id})
        cls.floor = place({"name": "2F", "kind": "floor", "parent_id": cls.building.id})
        cls.floor10 = place({"name": "10F", "kind": "floor", "parent_id": cls.building.id})
        cls.room.parent_id = cls.floor
        cls.vacant = place({"name": "B-102", "kind": "room", "parent_id": cls.floor.id})
        cls.top = place({"name": "B-1001", "kind": "room", "parent_id": cls.floor10.id})
        cls.other.location_id = cls.vacant

    def board(self, user=None, place=None, medium="both"):
        board = self.env["prepay.room.board"].with_user(user or self.reader)
        return board.load((place or self.project).id, medium)

    def row(self, room=None, **options):
        rows = {row["id"]: row for row in self.board(**options)["rooms"]}
        return rows.get((room or self.room).id)

    def state(self, meter, **values):
        """What the collector would have written."""
        self.env.flush_all()
        names = ", ".join(f"{name} = %s" for name in values)
        self.env.cr.execute(
            f"UPDATE prepay_meter_state SET {names} WHERE id = %s",
            [*values.values(), meter.state_id.id],
        )
        self.env.invalidate_all()


@tagged("post_install", "-at_install")
class TestRoomBoard(BoardCase):
    def test_rooms_in_the_order_of_buildings_and_floors(self):
        data = self.board()
        self.assertEqual(
            [(row["building_name"], row["floor_name"], row["name"]) for row in data["rooms"]],
            [("Block 2", "2F", "B-101"), ("Block 2", "2F", "B-102"), ("Block 2", "10F", "B-1001")],
        )
        self.assertEqual(
            [(place["name"], place["depth"], place["rooms"]) for place in data["places"]],
            [("Plant", 0, 3), ("Block 2", 1, 3)],
        )

    def test_supply_is_what_the_meter_reported(self):
        self.assertEqual(self.row()["supply"], "unknown")
        self.assertEqual(self.row(self.top)["supply"], "none")
        self.reported(self.meter, "closed")
        self.assertEqual(self.row()["supply"], "on")
        self.meter.essential_on = True
        self.assertEqual(self.row()["supply"], "limited")
        command = self.meter._request_relay("open", "operator", "test")
        self.assertEqual(self.row()["supply"], "switching")
        self.confirm(command)
        self.assertEqual(self.row()["supply"], "off")

    def test_balance_is_that_of_the_poorest_account(self):
        self.assertEqual(self.row(self.vacant)["level"], "vacant")
        self.assertIsNone(self.row(self.vacant)["amount"])
        self.topup(30)
        row = self.row()
        self.assertEqual((row["level"], row["amount"]), ("normal", "30.00"))
        self.assertEqual((row["tenants"], row["phones"]), (["Zhang Wei"], "13800000001"))
        second = self._account(self.other)
        self.topup(5, second)
        for level in ("alarm1", "alarm2", "arrears", "cut"):
            second.level = level
            self.env.flush_all()
            self.assertEqual(self.row()["level"], level)
        self.assertEqual(self.row()["amount"], "5.00")
        second.state = "closed"
        self.assertEqual((self.row()["level"], self.row()["amount"]), ("normal", "30.00"))

    def test_guarantee_of_account_meter_and_person(self):
        now = fields.Datetime.now()
        for record, values in (
            (self.account, {"is_protected": True}),
            (self.meter, {"is_protected": True}),
            (self.tenant, {"prepay_protected": True}),
            (self.account, {"no_cut_until": now + timedelta(hours=1)}),
        ):
            self.assertFalse(self.row()["guaranteed"])
            record.write(values)
            self.assertTrue(self.row()["guaranteed"], values)
            record.write(dict.fromkeys(values, False))
        self.account.no_cut_until = now - timedelta(hours=1)
        self.assertFalse(self.row()["guaranteed"])

    def test_contact_is_that_of_the_worst_meter(self):
        now = fields.Datetime.now()
        self.assertEqual(self.row()["contact"], "never")
        self.state(self.meter, last_seen=now, online=True)
        self.assertEqual(self.row()["contact"], "online")
        self.state(self.meter, online=False)
        self.assertEqual(self.row()["contact"], "silent")
        self.state(self.meter, last_seen=now - timedelta(hours=25))
        self.assertEqual(self.row()["contact"], "lost")
        self.company.prepay_meter_lost_hours = 48
        self.assertEqual(self.row()["contact"], "silent")
        self.meter.gateway_id = False
        self.assertEqual(self.row()["contact"], "manual")

    def test_meter_elsewhere_stands_in_the_room_of_its_account(self):
        self.meter.location_id = self.floor
        self.assertEqual(self.row()["meters"], self.meter.ids)
        self.assertIsNone(self.row(self.floor))
        self.account.supply_ids.end_at = fields.Datetime.now()
        self.assertEqual(self.row()["meters"], [])
        self.assertEqual(self.row(self.floor)["meters"], self.meter.ids)

    def test_medium(self):
        water = self.env.ref("prepay_meter.profile_cjt188")
        meter = self._meter("W-1", "00000000000001", profile_id=water.id)
        self.reported(self.meter, "closed")
        self.assertEqual(self.row()["supply"], "on", "a water meter without a valve hides nothing")
        self.assertEqual(self.row(medium="water")["meters"], meter.ids)
        self.assertEqual(self.row(medium="water")["supply"], "unknown")
        self.assertEqual(self.row(medium="electricity")["meters"], self.meter.ids)
        self.account.medium = "electricity"
        self.assertEqual(self.row(medium="water")["level"], "vacant")

    def test_readers_see_and_others_do_not(self):
        outsider = self._user("outsider-t")
        with self.assertRaises(AccessError):
            self.board(outsider)
        with self.assertRaises(AccessError):
            self.env["prepay.room.board"].with_user(outsider).details(self.room.id, "both")
        may = {user: self.board(user)["may"] for user in (self.reader, self.auditor, self.operator)}
        self.assertFalse(any(may[self.reader].values()))
        self.assertFalse(any(may[self.auditor].values()))
        self.assertEqual((may[self.operator]["operate"], may[self.operator]["sell"]), (True, False))
        self.assertEqual(
            (self.board(self.cashier)["may"]["operate"], self.board(self.cashier)["may"]["sell"]),
            (False, True),
        )

    def test_other_companies_stay_unseen(self):
        foreign = self.env["res.company"].create({"name": "Other factory"})
        self.env.user.company_ids += foreign
        stranger = self._user("stranger-t", "prepay_meter.group_operator")
        stranger.write({"company_ids": [(6, 0, foreign.ids)], "company_id": foreign.id})
        board = self.env(context={})["prepay.room.board"].with_user(stranger)
        self.assertEqual(board.load(self.project.id, "both")["rooms"], [])
        self.assertEqual(board.refresh(self.room.ids, "both")["rooms"], [])
        self.assertNotIn("Plant", [place["name"] for place in board.load()["places"]])
        with self.assertRaises(AccessError):
            board.details(self.room.id, "both")

    def test_place_and_medium_are_remembered(self):
        board = self.env["prepay.room.board"].with_user(self.reader)
        self.assertEqual(board.load()["medium"], "both")
        board.remember(self.building.id, "water")
        data = board.load()
        self.assertEqual((data["location_id"], data["medium"]), (self.building.id, "water"))
        self.building.active = False
        self.assertEqual(board.load()["location_id"], self.project.id)

    def test_details(self):
        self.topup(30)
        self.read(110, 1)
        self.rate()
        self.reported(self.meter, "closed")
        board = self.env["prepay.room.board"]
        data = board.with_user(self.cashier).details(self.room.id, "both")
        account, meter = data["accounts"][0], data["meters"][0]
        self.assertEqual((account["available"], account["tenant"]), ("23.20", "Zhang Wei"))
        self.assertTrue(account["balance_at"])
        self.assertTrue(account["reasons"])
        self.assertEqual(account["checks"][0]["meter"], "M-1")
        self.assertEqual((meter["supply"], meter["register"]), ("on", "110.00"))
        self.assertEqual([sale["amount"] for sale in data["sales"]], ["30.00"])
        self.assertIsNone(board.with_user(self.reader).details(self.room.id, "both")["sales"])

    def test_as_many_questions_for_many_rooms_as_for_few(self):
        def fill(count, first):
            rooms = self.env["prepay.location"].create(
                [
                    {"name": f"C-{first + n}", "kind": "room", "parent_id": self.floor10.id}
                    for n in range(count)
                ]
            )
            for number, room in enumerate(rooms, first):
                meter = self._meter(f"C{number}", f"{number:012d}", location_id=room.id)
                self._account(meter, location_id=room.id)
            self.env.flush_all()

        def count():
            self.env.invalidate_all()
            before = self.cr.sql_log_count
            rows = self.board()["rooms"]
            return self.cr.sql_log_count - before, len(rows)

        fill(7, 100)
        count()
        few, rooms = count()
        self.assertEqual(rooms, 10)
        fill(490, 200)
        many, rooms = count()
        self.assertEqual(rooms, 500)
        self.assertEqual(many, few)
        self.assertLessEqual(few, 20)


@tagged("post_install", "-at_install")
class TestRoomBoardLive(BoardCase):
    def told(self, names):
        """Places by company that a batch of changes is told to."""
        self.env.cr.precommit.data.pop("bus.bus.values", None)
        self.env["prepay.room.board"]._tell(names)
        return self.env.cr.precommit.data.get("bus.bus.values", [])

    def test_changes_are_told_to_the_company_as_places(self):
        names = {f"s{self.meter.state_id.id}", f"m{self.meter.id}", f"a{self.account.id}"}
        (message,) = self.told({*names, "x1", "m", "s-4"})
        self.assertIn(f'"res.company",{self.company.id},"prepay_room_board"', message["channel"])
        self.assertIn(f'{{"places":[{self.room.id}]}}', message["message"])
        self.assertNotIn("Zhang", message["message"])

    def test_only_readers_hear_and_only_of_their_companies(self):
        board = self.env["prepay.room.board"]
        self.assertEqual(
            board.with_user(self.reader)._channels(), [(self.company, "prepay_room_board")]
        )
        self.assertEqual(board.with_user(self._user("deaf-t"))._channels(), [])

    def test_many_places_are_told_as_everything(self):
        rooms = self.env["prepay.location"].create(
            [{"name": f"D-{n}", "kind": "room", "parent_id": self.floor.id} for n in range(501)]
        )
        accounts = self.env["prepay.account"].create(
            [{"partner_id": self.tenant.id, "location_id": room.id} for room in rooms]
        )
        self.env.flush_all()
        (message,) = self.told({f"a{account.id}" for account in accounts})
        self.assertIn('{"places":null}', message["message"])


@tagged("post_install", "-at_install")
class TestRoomBoardTour(BoardCase, HttpCase):
    def test_board(self):
        """An operator finds a room, switches its supply, sees it follow, and selects a floor."""
        self.topup(30)
        self.reported(self.meter, "closed")
        self.operator.lang = "zh_CN"
        stop = threading.Event()
        collector = threading.Thread(target=self.collector, args=(stop,))
        collector.start()
        self.addCleanup(collector.join)
        self.addCleanup(stop.set)
        self.start_tour("/odoo/prepay-room-board", "prepay_room_board", login=self.operator.login)
        command = self.meter.command_ids
        self.assertEqual((command.target, command.cause), ("open", "operator"))
        self.assertEqual((command.reason, command.state), ("Repair", "confirmed"))

    def test_auditor_only_looks(self):
        self.topup(30)
        self.start_tour(
            "/odoo/prepay-room-board", "prepay_room_board_auditor", login=self.auditor.login
        )

    def test_empty_board(self):
        company = self.env["res.company"].create({"name": "New factory"})
        self.admin.write({"company_ids": [(6, 0, company.ids)], "company_id": company.id})
        self.start_tour(
            "/odoo/prepay-room-board", "prepay_room_board_empty", login=self.admin.login
        )

    def collector(self, stop):
        """What a collector writes for a command, and what the board is told of it.

        Triggers notify at commit, which a test has not; so the change is told here.
        """
        while not stop.wait(0.3):
            with self.registry.cursor() as cr:
                cr.execute("SELECT id FROM prepay_meter_command WHERE state = 'queued'")
                if not cr.fetchone():
                    continue
            if stop.wait(3):  # so that the board shows the command before its end
                return
            with self.registry.cursor() as cr:
                cr.execute(
                    "UPDATE prepay_meter_command SET state = 'confirmed' WHERE state = 'queued'; "
                    "UPDATE prepay_meter_state SET relay_reported = 'open' WHERE id = %s",
                    [self.meter.state_id.id],
                )
                env = api.Environment(cr, SUPERUSER_ID, {})
                env["prepay.room.board"]._tell({f"s{self.meter.state_id.id}"})
            for sockets in list(dispatch._channels_to_ws.values()):
                for socket in list(sockets):
                    socket.trigger_notification_dispatching()
            return
