"""Prices: what is refused and why, who approves, what the engine gets, what people see."""

from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, tagged
from odoo.tools import mute_logger
from psycopg2.errors import CheckViolation

from ..engine.tariff import check_version
from .common import BillingCase

HOURS = [
    (0, 0, {"days": "all", "start": 0, "rate": "valley"}),
    (0, 0, {"days": "all", "start": 8, "rate": "peak"}),
    (0, 0, {"days": "all", "start": 22.5, "rate": "valley"}),
]


@tagged("post_install", "-at_install")
class TestTariffVersion(BillingCase):
    def _tariff(self, **vals):
        tariff = self.env["prepay.tariff"].create(
            {
                "name": "Hours",
                "company_id": self.company.id,
                "medium": vals.pop("medium", "electricity"),
            }
        )
        self._version(tariff, **vals)
        return tariff

    def _version(self, tariff, **vals):
        return self.env["prepay.tariff.version"].create(
            {"tariff_id": tariff.id, "valid_from": self.start - timedelta(days=400), **vals}
        )

    def _tiers(self, *tiers):
        return [
            (0, 0, {"sequence": number, "upto": upto, **prices})
            for number, (upto, prices) in enumerate(tiers)
        ]

    def _season(self, *periods, month="1", day=1, name="All year"):
        return (0, 0, {"name": name, "month": month, "day": day, "period_ids": list(periods)})

    def _charge(self, kwh=101):
        self.read(kwh, 1)
        self.rate()
        self.assertTrue(self.tariff._charged())

    def _new(self, **vals):
        """A draft of tomorrow for the tariff in use."""
        return self.env["prepay.tariff.version"].create(
            {
                "tariff_id": self.tariff.id,
                "valid_from": datetime.now().replace(microsecond=0) + timedelta(days=1),
                "price": 0.8,
                **vals,
            }
        )

    @contextmanager
    def refuses(self, kind, text):
        """As assertRaisesRegex, which does not roll back."""
        with self.assertRaises(kind) as caught:
            yield
        self.assertRegex(str(caught.exception), text)

    def _refused(self, text, **vals):
        with self.refuses(ValidationError, text):
            self._tariff(**vals)

    # What the engine gets

    def test_everything_reaches_the_engine_exactly(self):
        tariff = self._tariff(
            price_ids=self._tiers(
                (180.5, {"peak": 1.03, "valley": 0.333333}), (0, {"peak": 1.5, "valley": 0.4})
            ),
            season_ids=[
                self._season(*HOURS, month="9", name="Winter"),
                self._season(
                    (0, 0, {"days": "workday", "start": 0, "rate": "peak"}),
                    (0, 0, {"days": "off", "start": 0, "rate": "valley"}),
                    month="7",
                    name="Summer",
                ),
            ],
            fee_ids=[(0, 0, {"code": "Access", "amount": 3.5, "period": "month"})],
            tier_period="year",
            tier_per_head=True,
            service_price=0.02,
            service_percent=1.5,
            ceiling=2,
        )
        (version,) = tariff._engine_versions()[tariff.id]
        check_version(version)
        self.assertEqual([tier.upto for tier in version.tiers], [180500, None])
        self.assertEqual(
            version.tiers[0].prices, {"peak": Decimal("1.03"), "valley": Decimal("0.333333")}
        )
        self.assertEqual(
            [(season.month, season.day) for season in version.seasons], [(7, 1), (9, 1)]
        )
        summer, winter = version.seasons
        self.assertEqual(
            {frozenset(plan.day_types) for plan in summer.plans},
            {frozenset({"workday"}), frozenset({"weekend", "holiday"})},
        )
        self.assertEqual(
            [(period.start, period.rate) for period in winter.plans[0].periods],
            [(0, "valley"), (480, "peak"), (1350, "valley")],
        )
        self.assertEqual((version.tier_period, version.tier_per_head), ("year", True))
        self.assertEqual(
            (version.service_price, version.service_percent, version.ceiling),
            (Decimal("0.02"), Decimal("1.5"), Decimal(2)),
        )
        (fee,) = version.fees
        self.assertEqual((fee.code, fee.amount, fee.period), ("Access", Decimal("3.5"), "month"))

    def test_one_price_stays_one_field(self):
        (version,) = self.tariff._engine_versions()[self.tariff.id]
        self.assertEqual(version.tiers[0].prices, {"flat": Decimal("0.68")})
        self.assertEqual(self.tariff.version_ids.state, "approved")
        self.assertAlmostEqual(self.tariff.current_price, 0.68)

    def test_a_tier_without_any_price_is_free(self):
        tariff = self._tariff(
            price_ids=self._tiers((30, {}), (0, {"peak": 1, "valley": 0.5})),
            season_ids=[self._season(*HOURS)],
        )
        (version,) = tariff._engine_versions()[tariff.id]
        self.assertEqual(version.tiers[0].prices, {"peak": Decimal(0), "valley": Decimal(0)})

    def test_only_approved_prices_are_charged(self):
        self._charge()
        draft = self._new()
        waiting = self._new(valid_from=datetime.now() + timedelta(days=2))
        waiting.with_user(self.accountant).action_submit()
        versions = self.tariff._engine_versions()[self.tariff.id]
        self.assertEqual((draft.state, waiting.state), ("draft", "waiting"))
        self.assertEqual(
            [version.id for version in versions], [(self.tariff.version_ids - draft - waiting).id]
        )

    # Bad input: refused with the reason and the fix

    def test_gaps_and_overlaps_of_hours_are_refused(self):
        prices = self._tiers((0, {"peak": 1, "valley": 0.5}))
        self._refused(
            r"begins at 0:00, but the first hours begin at 8:00. Add a line",
            price_ids=prices,
            season_ids=[self._season(HOURS[1])],
        )
        self._refused(
            r"two lines begin at 8:00 on the same days. Remove one",
            price_ids=prices,
            season_ids=[self._season(*HOURS, HOURS[1])],
        )
        self._refused(
            r"has no hours for: Holiday. Add lines",
            price_ids=prices,
            season_ids=[self._season((0, 0, {"days": "ordinary", "start": 0, "rate": "peak"}))],
        )
        self._refused(
            r"two sets of hours for: Weekend. Keep",
            price_ids=prices,
            season_ids=[
                self._season(
                    (0, 0, {"days": "ordinary", "start": 0, "rate": "peak"}),
                    (0, 0, {"days": "off", "start": 0, "rate": "peak"}),
                )
            ],
        )
        self._refused(
            r"two seasons begin on 1-1. Move or remove",
            price_ids=prices,
            season_ids=[self._season(*HOURS), self._season(*HOURS)],
        )
        self._refused(r"has no hours for", price_ids=prices, season_ids=[self._season()])
        self._refused(
            r"hours lie between 0:00 and 23:59",
            price_ids=prices,
            season_ids=[self._season((0, 0, {"days": "all", "start": 24, "rate": "peak"}))],
        )
        self._refused(
            r"a day from 1 to 28 is needed, not 29",
            price_ids=prices,
            season_ids=[self._season(*HOURS, month="2", day=29)],
        )

    def test_wrong_tiers_are_refused(self):
        one = {"flat": 1}
        self._refused(
            r"tier 2 ends at 100.00 kWh, not above the 200.00 kWh .* ascending",
            price_ids=self._tiers((200, one), (100, one), (0, one)),
        )
        self._refused(
            r"last tier ends at 200.00 kWh.*Set its limit to 0",
            price_ids=self._tiers((100, one), (200, one)),
        )
        self._refused(
            r"tier 1 has no limit, but another", price_ids=self._tiers((0, one), (200, one))
        )
        self._refused(
            r"tier 2 has no price for the rate Valley",
            price_ids=self._tiers((9, {"peak": 1, "valley": 1}), (0, {"peak": 1})),
            season_ids=[self._season(*HOURS)],
        )

    def test_absurd_and_negative_figures_are_refused(self):
        for vals in (
            {"price": 101},
            {"price": -0.01},
            {"price_ids": self._tiers((0, {"flat": -1}))},
            {"price_ids": self._tiers((0, {"deep": 101}))},
            {"price": 1, "service_percent": 101},
            {"price": 1, "fee_ids": [(0, 0, {"code": "x", "amount": -1})]},
        ):
            # A constraint of the database: the client shows its sentence.
            with self.subTest(vals), self.assertRaises(CheckViolation), mute_logger("odoo.sql_db"):
                self._tariff(**vals)

    def test_a_fee_that_is_there_twice_is_refused(self):
        fee = (0, 0, {"code": "Access", "amount": 1, "period": "day"})
        self._refused(r"fee Access is there twice", price=1, fee_ids=[fee, fee])

    def test_a_part_may_not_spoil_an_approved_price(self):
        tariff = self._tariff(price_ids=self._tiers((100, {"flat": 1}), (0, {"flat": 2})))
        with self.refuses(ValidationError, "last tier"):
            tariff.version_ids.price_ids[1].unlink()
        with self.refuses(ValidationError, "ends at"):
            tariff.version_ids.price_ids[1].upto = 50
        tariff.version_ids.write(
            {"price_ids": [(2, tariff.version_ids.price_ids[0].id)]}
        )  # together it is right
        self.assertEqual(len(tariff.version_ids.price_ids), 1)

    # Start and ceiling

    def test_in_use_a_price_starts_in_the_future(self):
        self._charge()
        with self.refuses(ValidationError, "in the past.*later than"):
            self._new(valid_from=datetime.now() - timedelta(minutes=1))
        draft = self._new()
        with self.refuses(ValidationError, "in the past"):
            draft.valid_from = self.start

    def test_a_start_that_passed_while_waiting_is_refused(self):
        self._charge()
        draft = self._new()
        draft.with_user(self.accountant).action_submit()
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE prepay_tariff_version SET valid_from = now() AT TIME ZONE 'UTC' - interval '1 minute' "
            "WHERE id = %s",
            [draft.id],
        )
        self.env.invalidate_all()
        with self.refuses(ValidationError, "in the past"):
            draft.with_user(self.admin).action_approve()
        draft.with_user(self.admin).action_draft()
        self.assertEqual(draft.state, "draft")

    def test_no_price_is_above_its_ceiling(self):
        self._refused(r"costs 1.20 per kWh, above the ceiling of 1.00", price=1.2, ceiling=1)
        self.company.prepay_ceiling_electricity = 0.9
        self._refused(
            r"tier 2, Flat costs 0.95 per kWh, above the ceiling of 0.90",
            price_ids=self._tiers((10, {"flat": 0.8}), (0, {"flat": 0.95})),
        )
        self._refused(r"0.945 per kWh with its service fee", price=0.9, service_percent=5)
        self._tariff(price=1.2, ceiling=1.3)  # its own ceiling goes before the company's
        self._tariff(price=3, medium="water")
        self.company.prepay_ceiling_with_service = False
        self._tariff(price=0.9, service_percent=5)

    def test_mark_up_is_shown(self):
        version = self._tariff(price=0.75, purchase_price=0.6, service_price=0.05).version_ids
        self.assertAlmostEqual(version.mark_up, 25)
        self.assertAlmostEqual(version.highest_price, 0.8)

    # Two people

    def test_a_second_person_approves(self):
        self._charge()
        draft = self._new(remark="Grid price of December")
        self.assertEqual(draft.state, "draft")
        own = draft.with_user(self.accountant)
        own.action_submit()
        with self.refuses(UserError, "cannot change"):
            own.price = 0.7
        with self.refuses(UserError, "second person"):
            own.action_approve()
        draft.with_user(self.admin).action_approve()
        self.assertEqual(
            (draft.state, draft.submitted_by_id, draft.decided_by_id),
            ("approved", self.accountant, self.admin),
        )
        self.assertIn(draft.id, [v.id for v in self.tariff._engine_versions()[self.tariff.id]])
        with self.refuses(UserError, "approved and cannot change"):
            own.price = 0.7
        with self.refuses(UserError, "approved and cannot change"):
            self.env["prepay.tariff.fee"].create({"version_id": draft.id, "code": "x", "amount": 1})
        with self.assertRaises(UserError):
            draft.unlink()

    def test_a_refusal_has_a_reason(self):
        self._charge()
        draft = self._new()
        draft.with_user(self.accountant).action_submit()
        with self.refuses(UserError, "reason"):
            draft.with_user(self.admin).action_refuse()
        draft.with_user(self.admin).remark = "5 % above the contract"
        draft.with_user(self.admin).action_refuse()
        self.assertEqual(draft.state, "refused")
        self.assertIn("5 % above the contract", self.tariff.message_ids[0].body)
        with self.assertRaises(UserError):
            draft.with_user(self.admin).action_approve()

    def test_a_company_of_one_person_does_without(self):
        self._charge()
        self.company.prepay_four_eyes = False
        draft = self._new().with_user(self.accountant)
        draft.action_submit()
        self.assertEqual(draft.state, "approved")

    def test_the_state_is_not_written_from_outside(self):
        self._charge()
        draft = self._new().with_user(self.accountant)
        with self.assertRaises(AccessError):
            draft.write({"state": "approved"})
        other = draft.copy({"valid_from": datetime.now() + timedelta(days=5), "state": "approved"})
        self.assertEqual(other.state, "draft")
        with self.assertRaises(AccessError):
            draft.with_user(self.cashier).action_submit()

    def test_an_approved_price_does_not_move_to_a_tariff_in_use(self):
        self._charge()
        ready = self._tariff(price=5).version_ids
        fee = self.env["prepay.tariff.fee"].create(
            {"version_id": ready.id, "code": "x", "amount": 1}
        )
        with self.refuses(UserError, "stays with its tariff"):
            ready.tariff_id = self.tariff
        with self.refuses(UserError, "already been charged"):
            fee.version_id = self.tariff.version_ids

    def test_a_scheduled_price_may_be_taken_back_and_one_in_force_not(self):
        self._charge()
        self.company.prepay_four_eyes = False
        draft = self._new()
        draft.action_submit()
        draft.action_draft()
        self.assertEqual(draft.state, "draft")
        with self.refuses(UserError, "already been charged"):
            (self.tariff.version_ids - draft).action_draft()

    # What people see

    def test_new_price_is_a_copy_with_its_lines(self):
        tariff = self._tariff(
            price_ids=self._tiers((0, {"peak": 1, "valley": 0.5})),
            season_ids=[self._season(*HOURS)],
        )
        action = tariff.with_user(self.accountant).action_new_price()
        draft = self.env["prepay.tariff.version"].browse(action["res_id"])
        self.assertEqual(draft.state, "draft")
        self.assertGreater(draft.valid_from, datetime.now())
        local = draft.with_context(tz="Asia/Shanghai", lang="en_US")
        local.valid_from = datetime(2030, 1, 1, 16)
        self.assertEqual(local.display_name, "2030-01-02 00:00 (Draft)")
        self.assertEqual(len(draft.season_ids.period_ids), 3)
        draft.price_ids.peak = 1.1
        self.assertIn("Tier 1, Peak", draft.changes)
        self.assertIn("1.10 / kWh", draft.changes)
        self.assertNotIn("Valley", draft.changes)
        again = self.env["prepay.tariff.version"].browse(tariff.action_new_price()["res_id"])
        self.assertGreater(again.valid_from, draft.valid_from)

    def test_the_slip_prints_prices_that_are_approved(self):
        tariff = self._tariff(
            price_ids=self._tiers((9, {}), (0, {"peak": 1.2, "valley": 0.5})),
            season_ids=[self._season(*HOURS)],
        )
        self._version(tariff, price=9, state="draft", valid_from=self.start)
        self.account.supply_ids.tariff_id = tariff
        topup = self.topup(10)
        (meter,) = topup._issue_receipt().snapshot["meters"]
        self.assertEqual(meter["price"], "¥0.50–1.20/kWh")

    def test_the_picture_shows_the_hours(self):
        tariff = self._tariff(
            price_ids=self._tiers((0, {"peak": 1, "valley": 0.5})),
            season_ids=[self._season(*HOURS, name="<b>All</b>")],
        )
        picture = tariff.version_ids.day_picture
        self.assertIn("8:00–22:30 Peak", picture)
        self.assertIn("width:60.4167%", picture)
        self.assertIn("Workday, Weekend, Holiday", picture)  # one bar for days with the same hours
        self.assertNotIn("<b>All", picture)
        self.assertFalse(self.tariff.version_ids.day_picture)

    def test_the_form_builds_a_tariff_by_hand(self):
        form = Form(self.env["prepay.tariff"].with_user(self.accountant))
        form.name = "By hand"
        with form.version_ids.new() as line:
            line.valid_from = datetime(2026, 1, 1)
        tariff = form.save()
        version = tariff.version_ids
        self.assertEqual(version.state, "draft")  # a price of 0 never comes into force by itself
        with Form(version) as form:
            with form.price_ids.new() as line:
                line.upto = 100
                line.flat = 0.6
            with form.price_ids.new() as line:
                line.flat = 0.9
        version.action_submit()
        self.assertEqual(version.state, "approved")
        self.assertAlmostEqual(tariff.current_price, 0.6)
        self.assertEqual(version.price_ids.mapped("tier"), [1, 2])
