"""Opening of accounts: what is filled in, what is refused and why, what happens, and how it is undone."""

from decimal import Decimal
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, tagged
from odoo.tools import mute_logger

from odoo.addons.prepay_billing.models import prepay_opening_batch

from .common_opening import OpeningCase


@tagged("post_install", "-at_install")
class TestOpening(OpeningCase):
    def refused(self, opening, *words):
        with self.assertRaises(UserError) as caught:
            opening._open()
        for word in words:
            self.assertIn(word, str(caught.exception))
        self.assertEqual(opening.state, "draft")
        self.assertFalse(self.free.account_ids)

    # what is filled in

    def test_form_fills_in_the_room(self):
        """Room, then everything that is usual: meters, readings, prices, limits, with a check list."""
        self.power.overload_w = 3000
        form = Form(self.env["prepay.opening"].with_user(self.staff))
        self.assertIn("✗", form.checks_html)
        form.location_id = self.free
        self.assertEqual(len(form.line_ids), 2)
        with form.line_ids.edit(0) as line:
            self.assertEqual(line.meter_id, self.power)
            self.assertEqual((line.register, line.reading_state), (1234.567, "fresh"))
            self.assertEqual(line.tariff_id, self.tariff)
            self.assertEqual((line.overload_w, line.alarm_1, line.alarm_2), (3000, 20, 5))
        with form.line_ids.edit(1) as line:
            self.assertEqual((line.meter_id, line.tariff_id), (self.water, self.water_tariff))
        self.assertIn("Choose the tenant", form.checks_html)
        form.tenant_name = "Li Na"
        form.amount = 100
        form.received = 150
        self.assertEqual((form.change, form.balance_start), (50, 100))
        self.assertNotIn("✗", form.checks_html)
        opening = form.save()
        self.assertTrue(opening.ready)
        self.assertEqual(opening.number, f"KH{opening.id:06d}")

    def test_known_tenant_is_found_by_name_and_phone(self):
        form = Form(self.env["prepay.opening"].with_user(self.staff))
        form.location_id = self.free
        form.tenant_phone = self.tenant.phone
        form.tenant_name = "zhang wei"
        self.assertEqual(form.partner_id, self.tenant)

    def test_free_meters_are_found(self):
        meters = self.env["prepay.meter"].search(
            [("location_id", "child_of", self.project.id), ("account_id", "=", False)]
        )
        self.assertEqual(meters, self.power + self.water + self.other)
        taken = self.env["prepay.meter"].search([("account_id", "=", self.account.id)])
        self.assertEqual(taken, self.meter)
        either = [("account_id", "in", [False, self.account.id])]
        found = self.env["prepay.meter"].search([("location_id", "=", self.room.id), *either])
        self.assertEqual(found, self.meter + self.other)

    def test_usual_tariff(self):
        """The last one of the meter, else the one of the building; of several, none is guessed."""
        openings = self.env["prepay.opening"]
        dear = self.tariff.copy({"name": "Dear"})
        self.assertEqual(openings._usual_tariff(self.power), self.tariff)
        self.account.supply_ids.tariff_id = dear
        self.assertEqual(openings._usual_tariff(self.power), dear)
        self.account.supply_ids.end_at = self.now
        self.assertFalse(openings._usual_tariff(self.power))
        self.assertEqual(openings._usual_tariff(self.meter), dear)

    # what happens

    def test_one_balance(self):
        opening = self.preset(amount=100, received=100, heads=3)
        power = self.line(opening, self.power)
        power.write({"carried": 35.5, "preset": 10, "overload_w": 2500, "alarm_1": 15})
        opening.action_open()
        account = opening.account_id
        self.assertEqual((opening.state, opening.opened_by_id), ("done", self.staff))
        self.assertEqual(account.partner_id.name, "Li Na")
        self.assertEqual(account.partner_id.phone, "13900000002")
        self.assertEqual(self.available(account), Decimal("125.50"))
        self.assertEqual(opening.balance_start, 125.5)
        kinds = account.entry_ids.sorted("id").mapped("kind")
        self.assertEqual(kinds, ["opening", "adjustment", "topup"])
        supply = account.supply_ids.filtered(lambda item: item.meter_id == self.power)
        self.assertEqual(supply.rated_value, 1_234_567)
        self.assertEqual(supply.heads, 3)
        topup = account.topup_ids
        self.assertEqual((topup.state, topup.cashier_id), ("done", self.staff))
        wishes = {
            row.kind: (row.desired, row.state)
            for row in self.env["prepay.meter.parameter"].search([("meter_id", "=", self.power.id)])
        }
        self.assertEqual(wishes["overload"], (2500, "platform"))
        self.assertEqual(account.opening_count, 1)
        self.assertEqual(account.action_show_openings()["res_id"], opening.id)

    def test_use_counts_from_the_opening_reading(self):
        opening = self.preset(amount=100)
        opening._open()
        self.newest(self.power, 1244.567, minutes=0)
        self.rate()
        self.assertEqual(self.available(opening.account_id), Decimal("93.20"))  # 10 kWh at 0.68

    def test_two_balances(self):
        opening = self.preset(layout="medium", amount=100, water_amount=30)
        self.line(opening, self.water).carried = 5
        opening._open()
        money = {account.medium: self.available(account) for account in opening.account_ids}
        self.assertEqual(money, {"electricity": Decimal(70), "water": Decimal(35)})
        self.assertEqual(len(opening.topup_ids), 2)

    def test_join_the_present_account(self):
        """M-2 of a room whose other meter has an account: the form proposes to add it."""
        self.newest(self.other, 7)
        form = Form(self.env["prepay.opening"].with_user(self.staff))
        form.location_id = self.room
        self.assertEqual((form.layout, form.join_account_id), ("join", self.account))
        self.assertEqual(form.partner_id, self.tenant)
        opening = form.save()
        opening._open()
        self.assertEqual(self.account.meter_ids, self.meter + self.other)
        opening._undo("wrong")
        self.assertEqual(self.account.state, "open")
        self.assertEqual(self.account.meter_ids, self.meter)

    def test_wishes_of_a_meter_that_shows_alarms(self):
        profile = self.env["prepay.meter.profile"].search([("control_ids.action", "=", "alarm_1")])
        profile = profile.filtered(
            lambda item: self.env["prepay.meter.parameter"]._capability(item, "alarm_1") == "write"
        )[:1]
        self.assertTrue(profile, "no shipped profile writes alarm amounts")
        meter = self._meter(
            "P-2", "000000000102", location_id=self.free.id, profile_id=self.profile.id
        )
        meter.profile_id.control_ids.filtered(
            lambda control: control.action in ("alarm_1", "alarm_2")
        ).writable = True
        self.newest(meter, 1)
        opening = self.preset()
        line = self.line(opening, meter)
        if line.can_alarm:
            line.write({"alarm_1": 12.34, "alarm_2": 3})
            opening._open()
            rows = opening.parameter_ids.filtered(lambda row: row.meter_id == meter)
            wishes = {row.kind: row.desired for row in rows}
            self.assertEqual((wishes["alarm_1"], wishes["alarm_2"]), (1234, 300))

    def test_meter_that_is_off_gets_supply_with_the_money(self):
        self.reported(self.power, "open")
        opening = self.preset(amount=10)
        opening._open()
        self.assertEqual(self.power.desired_relay, "closed")

    def test_meter_that_was_cut_by_hand_stays_off(self):
        self.power._request_relay("open", "safety", "fire")
        self.reported(self.power, "open")
        opening = self.preset(amount=10)
        opening._open()
        self.assertEqual(self.power.desired_relay, "open")

    def test_receipt(self):
        opening = self.preset(amount=100, received=120)
        self.line(opening, self.power).carried = 20
        opening._open()
        receipt = self.env["prepay.receipt"].search(
            [("res_model", "=", "prepay.opening"), ("res_id", "=", opening.id)]
        )
        self.assertEqual((receipt.kind, receipt.amount), ("opening", 100))
        values = receipt.snapshot
        self.assertEqual(values["balance_after"], "120.00")
        self.assertEqual((values["received"], values["change"]), ("120.00", "20.00"))
        self.assertEqual(
            [(meter["number"], meter["register"]) for meter in values["meters"]],
            [("P-1", "1234.57"), ("W-1", "12.50")],
        )
        self.assertEqual([item["amount"] for item in values["items"]], ["100.00", "20.00"])

    def test_first_payment_is_on_the_paper_of_the_opening(self):
        """One paper and one number for both balances; a wrong payment is taken back by that number."""
        opening = self.preset(layout="medium", amount=100, water_amount=30)
        opening._open()
        receipts = self.env["prepay.receipt"]
        topups = opening.topup_ids
        papers = receipts.search([("account_id", "in", opening.account_ids.ids)])
        self.assertEqual((len(topups), papers.kind), (2, "opening"))
        self.assertEqual(topups.action_print_receipt()["context"]["active_ids"], papers.ids)
        papers.sudo()._count_print(self.env.uid)
        self.env.invalidate_all()
        self.assertEqual(topups.mapped("receipt_number"), [papers.number] * 2)
        self.assertEqual(topups.mapped("receipt_print_count"), [1, 1])
        sale = self.env["prepay.topup"].create(
            {"account_id": self.account.id, "amount": 5, "cashier_id": self.staff.id}
        )
        sale._credit()
        sale.action_print_receipt()
        self.env.invalidate_all()
        self.assertNotIn(sale.receipt_number, (False, papers.number))
        for found in (topups, sale):
            domain = [("receipt_number", "=", found[0].receipt_number)]
            self.assertEqual(topups.search(domain), found)
        topups[0].with_user(self.staff)._reverse("wrong payer")
        reversal = topups[0].reversal_id
        paper = receipts.search([("res_model", "=", reversal._name), ("res_id", "=", reversal.id)])
        self.assertEqual((topups[0].state, paper.reversed_id), ("reversed", papers))
        self.assertEqual(paper.snapshot["reversed_number"], papers.number)

    # all or nothing

    def test_failure_leaves_nothing(self):
        """A failure at the very last step takes back tenant, account, money and wishes."""
        opening = self.preset(amount=100)
        self.line(opening, self.power).overload_w = 2000
        ghost = [("name", "=", "Li Na")]
        with (
            patch.object(type(opening), "_issue_receipt", side_effect=UserError("no paper")),
            self.assertRaisesRegex(UserError, "no paper"),
            self.env.cr.savepoint(),
        ):
            opening._open()
        self.env.invalidate_all()
        self.assertFalse(self.free.account_ids)
        self.assertFalse(self.env["res.partner"].search(ghost))
        self.assertFalse(self.env["prepay.topup"].search([("location_id", "=", self.free.id)]))
        self.assertFalse(
            self.env["prepay.meter.parameter"].search([("meter_id", "=", self.power.id)])
        )
        self.assertEqual(opening.state, "draft")

    def test_opened_only_once(self):
        opening = self.preset()
        opening._open()
        with self.assertRaisesRegex(UserError, "has been opened already"):
            opening._open()
        with self.assertRaisesRegex(UserError, "cannot change"):
            opening.amount = 5
        with self.assertRaisesRegex(UserError, "cannot be deleted"):
            opening.unlink()

    # what is refused

    def test_meter_of_another_account(self):
        first, second = self.preset(), self.preset(tenant_name="Wang Fang")
        first._open()
        with self.assertRaises(UserError) as caught:
            second._open()
        self.assertIn("P-1", str(caught.exception))
        self.assertIn(first.account_id.number, str(caught.exception))

    def test_offline_meter_needs_a_reading_by_hand(self):
        self.env.cr.execute(
            "UPDATE prepay_meter_state SET online = false, last_read_at = last_read_at - interval "
            "'5 hours' WHERE id = %s",
            [self.power.state_id.id],
        )
        self.env.invalidate_all()
        opening = self.preset()
        self.refused(opening, "P-1", "too old")
        line = self.line(opening, self.power)
        line.write({"source": "manual", "register": 1235, "read_at": self.now})
        self.refused(opening, "P-1", "photo or a reason")
        line.reading_reason = "gateway is being repaired"
        opening._open()
        supply = opening.account_id.supply_ids.filtered(lambda item: item.meter_id == self.power)
        self.assertEqual((supply.rated_value, supply.rated_at), (1_235_000, self.now))
        self.assertEqual(self.power.last_value, 1_235_000)

    def test_meter_never_read(self):
        meter = self._meter("P-9", "000000000109", location_id=self._room("C-109").id)
        opening = self.preset(location_id=meter.location_id.id)
        self.refused(opening, "P-9", "no reading yet")

    def test_tenant_and_tariff_are_needed(self):
        opening = self.preset(tenant_name=False)
        self.line(opening, self.water).tariff_id = False
        self.line(opening, self.power).tariff_id = self.water_tariff
        self.refused(opening, "Choose the tenant", "W-1 has no tariff", "P-1", "another kind")

    def test_room_without_free_meter(self):
        self.refused(self.preset(location_id=self._room("C-110").id), "C-110", "no free meter")

    def test_money(self):
        self.company.prepay_max_topup = 500
        self.refused(self.preset(amount=501), "501.00", "500.00")
        self.refused(self.preset(amount=100, received=50), "cash received")
        self.refused(self.preset(layout="medium", amount=10, water_amount=20), "part for water")
        with self.assertRaisesRegex(UserError, "10.005 has more than two decimals"):
            self.preset(amount=10.005)
        opening = self.preset()
        with self.assertRaisesRegex(UserError, "1.001 has more than two decimals"):
            self.line(opening, self.power).carried = 1.001
        for bad in ({"amount": -1}, {"overdraft_limit": -1}, {"heads": 0}):
            with (
                mute_logger("odoo.sql_db"),
                self.assertRaises(Exception, msg=bad) as caught,
                self.env.cr.savepoint(),
            ):
                self.preset(**bad).flush_recordset()
            self.assertIn("prepay_opening", str(caught.exception))

    def test_alarm_order(self):
        opening = self.preset()
        self.line(opening, self.power).write({"alarm_1": 5, "alarm_2": 20})
        self.refused(opening, "P-1", "alarm 2 (20.00)")

    def test_much_money_carried_in_needs_an_accountant_who_did_not_enter_it(self):
        opening = self.preset()
        self.line(opening, self.power).carried = 501
        self.refused(opening, "501.00", "500.00", "accountant")
        opening.with_user(self.accountant)._open()
        self.assertEqual(self.available(opening.account_id), Decimal(501))

    def test_accountants_find_openings_above_the_limit(self):
        opening = self.preset(overdraft_limit=500)
        self.assertFalse(opening.activity_ids)
        line = self.line(opening, self.power)
        opening.line_ids = [(1, line.id, {"carried": 1})]
        asked = opening.sudo().activity_ids
        self.assertIn(self.accountant, asked.user_id)
        self.assertEqual(len(asked), len(asked.user_id), "one for each accountant")
        self.assertIn(opening.number, asked[0].summary)
        self.assertIn("501.00", asked[0].summary)
        opening.overdraft_limit = 400
        self.assertFalse(opening.sudo().activity_ids)
        opening.overdraft_limit = 600
        self.assertTrue(opening.sudo().activity_ids)
        opening.with_user(self.accountant)._open()
        self.assertFalse(opening.sudo().activity_ids)

    def test_operator_takes_no_money(self):
        opening = self.preset(amount=5)
        with self.assertRaisesRegex(UserError, "Only cashiers take money"):
            opening.with_user(self.operator)._open()
        opening.amount = 0
        opening.with_user(self.operator)._open()
        self.assertEqual(opening.state, "done")

    def test_readers_open_nothing(self):
        opening = self.preset()
        for user in (self.reader, self.auditor):
            opening.with_user(user).read(["number", "checks_html"])
            with self.assertRaises(AccessError):
                opening.with_user(user)._open()

    def test_other_companies_see_nothing(self):
        opening = self.preset()
        other = self.env["res.company"].create({"name": "Neighbour"})
        stranger = self._user("stranger-t", "prepay_meter.group_operator")
        stranger.sudo().write({"company_ids": [(6, 0, other.ids)], "company_id": other.id})
        found = self.env["prepay.opening"].with_user(stranger)
        found = found.with_context(allowed_company_ids=other.ids).search([])
        self.assertNotIn(opening, found)

    # many at once

    def rooms(self, count):
        openings = self.env["prepay.opening"]
        for index in range(count):
            room = self._room(f"D-{index:03d}")
            meter = self._meter(f"D{index}", f"{index:012d}", location_id=room.id, gateway_id=False)
            self.newest(meter, 1)
            openings |= self.preset(location_id=room.id, tenant_name=f"T{index}", amount=10)
        return openings

    def test_open_selected(self):
        """One bad row stays a preset with its reason; the others are opened."""
        openings = self.rooms(3)
        openings[1].line_ids.tariff_id = False
        action = openings.with_user(self.staff).action_open_many()
        batch = self.env["prepay.opening.batch"].browse(action["res_id"])
        self.assertEqual(openings.mapped("state"), ["done", "draft", "done"])
        self.assertEqual((batch.done_count, batch.failed_count, batch.total), (2, 1, 3))
        self.assertEqual((batch.state, batch.progress), ("done", 100))
        self.assertIn("no tariff", openings[1].problem)
        openings[1].line_ids.tariff_id = self.tariff
        batch.with_user(self.staff).action_retry()
        self.assertEqual(openings[1].state, "done")
        self.assertEqual((batch.done_count, batch.failed_count), (3, 0))

    def test_background(self):
        """More than fit into a request go on by themselves; a stop in the middle repeats nothing."""
        openings = self.rooms(4)
        with patch.object(prepay_opening_batch, "AT_ONCE", 2):
            batch = openings.with_user(self.staff)._start_batch()
        self.assertEqual(set(openings.mapped("state")), {"queued"})
        self.assertEqual((batch.state, batch.waiting_count), ("queued", 4))
        runner = self.env["prepay.opening.batch"]
        crons = type(self.env["ir.cron"])
        with patch.object(crons, "_commit_progress", side_effect=[1, 1, 0]):
            runner._cron_run()  # the server stops after two
        self.assertEqual(batch.waiting_count, 2)
        self.assertEqual(batch.state, "running")
        with patch.object(crons, "_commit_progress", return_value=1):
            runner._cron_run()
        self.assertEqual((batch.done_count, batch.state), (4, "done"))
        self.assertEqual(openings.opened_by_id, self.staff)
        self.assertEqual(openings.topup_ids.mapped("amount"), [10] * 4)

    def test_stop(self):
        openings = self.rooms(3)
        with patch.object(prepay_opening_batch, "AT_ONCE", 1):
            batch = openings.with_user(self.staff)._start_batch()
        batch.action_stop()
        self.assertEqual(set(openings.mapped("state")), {"draft"})
        self.assertEqual(batch.state, "done")

    def test_check_selected(self):
        openings = self.rooms(2)
        openings[0].line_ids.tariff_id = False
        openings.action_check()
        self.assertIn("no tariff", openings[0].problem)
        self.assertFalse(openings[1].problem)

    # undo

    def test_undo(self):
        self.reported(self.power, "closed")
        opening = self.preset(amount=100)
        self.line(opening, self.power).write({"carried": 30, "preset": 10})
        opening._open()
        account = opening.account_id
        self.newest(self.power, 1236, minutes=0)
        self.rate()  # 1 kWh was used meanwhile: nobody pays it
        before = self.power.desired_relay
        opening._undo("wrong room")
        self.assertEqual((opening.state, opening.undo_reason), ("undone", "wrong room"))
        self.assertEqual((account.state, account.balance), ("closed", 0))
        self.assertEqual(self.available(account), 0)
        self.assertFalse(self.power.account_id)
        self.assertEqual(self.power.desired_relay, before)
        self.assertFalse(self.rate() & account.supply_ids)
        again = self.preset(amount=1)
        again._open()
        self.assertEqual(again.state, "done")

    def test_undo_only_while_nothing_followed(self):
        opening = self.preset(amount=100)
        opening._open()
        self.topup(5, opening.account_id)
        with self.assertRaisesRegex(UserError, "of 5.00 followed"):
            opening._undo("too late")

    def test_undo_not_after_posting(self):
        opening = self.preset(amount=100)
        opening._open()
        self.newest(self.power, 1240, minutes=0)
        self.rate()
        self.env["prepay.charge"]._post_due(everything=True)
        with self.assertRaisesRegex(UserError, "is posted"):
            opening._undo("too late")
