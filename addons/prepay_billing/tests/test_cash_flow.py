from decimal import Decimal

from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged
from odoo.tools import SQL

from .common import BillingCase

#: Method and amount of sales of a day; amounts that floats cannot hold.
SALES = [("cash", "0.10"), ("cash", "0.20"), ("cash", "33.33"), ("card", "1000.01"),
         ("transfer", "99.99"), ("wechat_code", "20.70"), ("alipay_code", "5.05")]  # fmt: skip


@tagged("post_install", "-at_install")
class TestCashFlow(BillingCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shift = cls.env["prepay.shift"].with_user(cls.cashier).create({"opening_float": 0})

    def sell(self, method, amount):
        topup = self.env["prepay.topup"].create(
            {
                "account_id": self.account.id,
                "amount": float(amount),
                "method": method,
                "cashier_id": self.cashier.id,
            }
        )
        topup._credit()
        return topup

    def day(self):
        """Sales, two reversals and refunds, one of them reversed."""
        topups = [self.sell(*sale) for sale in SALES]
        for topup in (topups[1], topups[5]):
            topup.with_user(self.cashier)._reverse("wrong room")
        refunds = self.env["prepay.refund"].with_user(self.cashier)
        for method, amount in (("cash", 3.33), ("transfer", 10.01), ("cash", 7.07)):
            refund = refunds.create(
                {
                    "account_id": self.account.id,
                    "amount": amount,
                    "method": method,
                    "reason": "moves out",
                }
            )
            refund.action_submit()
        refund.with_user(self.accountant)._reverse("wrong amount")
        self.env.flush_all()

    def test_totals_agree_to_the_fen(self):
        """What the query shows, what the shift shows and what the wallets hold are the same."""
        self.day()
        flows = self.env["prepay.cash.flow"].with_user(self.cashier)
        mine = [("shift_id", "=", self.shift.id)]
        by_kind = dict(flows._read_group(mine, ["kind"], ["amount:sum"]))
        self.assertEqual(
            {kind: round(total, 2) for kind, total in by_kind.items()},
            {"sale": 1159.38, "reversal": -20.90, "refund": -20.41, "refund_reversal": 7.07},
        )
        total = sum(Decimal(str(round(value, 2))) for value in by_kind.values())
        self.shift.invalidate_recordset()
        self.assertEqual(Decimal(str(round(self.shift.net, 2))), total)
        self.assertEqual(Decimal(str(round(self.shift.expected_cash, 2))), Decimal("30.10"))
        self.assertEqual(self.available(), total, "all this money is in the wallet")
        by_method = dict(flows._read_group(mine, ["method"], ["amount:sum"]))
        for line in self.shift.total_ids:
            self.assertEqual(round(line.net, 2), round(by_method[line.method], 2), line.method)
        self.assertEqual(len(flows.search(mine)), self.shift.count)

    def test_queries_use_the_indexes(self):
        """Conditions on shift and time reach the tables: a day is found without reading all sales."""
        self.env.flush_all()
        self.env.cr.execute("SET LOCAL enable_seqscan = off")
        query = self.env["prepay.cash.flow"]._table_query
        for condition, inside in (
            (SQL("f.shift_id = %s", self.shift.id), "using prepay_topup__shift_id_index"),
            (SQL("f.at >= '2026-01-01'"), "paid_at >= '2026-01-01"),
            (SQL("f.at >= '2026-01-01'"), "posted_at >= '2026-01-01"),
        ):
            self.env.cr.execute(
                SQL("EXPLAIN SELECT SUM(f.amount) FROM (%s) f WHERE %s", query, condition)
            )
            self.assertIn(inside, "\n".join(row[0] for row in self.env.cr.fetchall()))

    def test_general_ledger_is_the_sum_of_the_wallets(self):
        """Each method on its account; the liability moves by what the wallets moved, to the fen."""
        accounts = self.accounting()
        self.day()
        while self.env["prepay.ledger.entry"]._post_topups(self.company):
            pass
        self.env.flush_all()
        entries = self.env["prepay.ledger.entry"].search([("account_id", "=", self.account.id)])
        self.assertTrue(all(entry.move_id for entry in entries))
        moved = {}
        for line in entries.move_id.line_ids:
            moved[line.account_id] = moved.get(line.account_id, Decimal(0)) + Decimal(
                f"{line.balance:.2f}"
            )
        wallets = sum(entry._exact_amount() for entry in entries)
        self.assertEqual(
            moved,
            {
                self.company.prepay_liability_account_id: -wallets,
                accounts["cash"]: Decimal("30.10"),
                accounts["card"]: Decimal("1000.01"),
                accounts["transfer"]: Decimal("89.98"),
                accounts["code"]: Decimal("5.05"),
            },
        )
        # Gross: a sale and its reversal of one day both show.
        reversals = entries.move_id.line_ids.filtered(lambda line: "Reversals" in line.name)
        self.assertIn(-0.2 + 7.07, [round(line.balance, 2) for line in reversals])

    def test_reversals_in_red(self):
        accounts = self.accounting()
        self.company.account_storno = True
        self.sell("cash", 50).with_user(self.cashier)._reverse("wrong room")
        move = self.env["prepay.ledger.entry"]._post_topups(self.company)
        cash = move.line_ids.filtered(lambda line: line.account_id == accounts["cash"])
        self.assertEqual(sorted(cash.mapped("debit")), [-50, 50])
        self.assertEqual(cash.mapped("credit"), [0, 0])

    def test_method_without_an_account_waits(self):
        """Money by card is never posted to cash silently."""
        self.accounting()
        self.company.prepay_card_account_id = False
        self.sell("card", 50)
        with self.assertRaises(UserError) as caught:
            self.env["prepay.ledger.entry"]._post_topups(self.company)
        self.assertIn("Bank Card", str(caught.exception))
        self.company.prepay_all_to_cash = True
        move = self.env["prepay.ledger.entry"]._post_topups(self.company)
        self.assertIn(self.company.prepay_cash_account_id, move.line_ids.account_id)

    def accounting(self):
        account = self.env["account.account"].with_company(self.company)
        accounts = {
            key: account.create({"name": key, "code": code, "account_type": kind})
            for key, code, kind in (
                ("cash", "100100", "asset_cash"),
                ("card", "100201", "asset_cash"),
                ("transfer", "100202", "asset_cash"),
                ("code", "101220", "asset_current"),
            )
        }
        self.company.write(
            {f"prepay_{key}_account_id": record.id for key, record in accounts.items()}
        )
        self.company._prepay_create_accounting()
        return accounts

    def test_query_screens(self):
        """Filters and groups of the lists answer; a row opens its document."""
        self.day()
        flows = self.env["prepay.cash.flow"].with_user(self.cashier)
        for group in ("cashier_id", "method", "kind", "building_id", "day:day", "shift_id"):
            rows = flows._read_group([("shift_id", "=", self.shift.id)], [group], ["amount:sum"])
            self.assertTrue(rows, group)
        arch = flows.get_view(view_type="search")["arch"]
        self.assertIn("group_building", arch)
        mine = [("cashier_id", "=", self.cashier.id), ("at", ">=", "today")]
        self.assertEqual(flows.search_count([*mine, ("is_reversed", "=", True)]), 3)
        for flow in flows.search(mine):
            action = flow.action_open_document()
            document = self.env[action["res_model"]].browse(action["res_id"])
            self.assertEqual(abs(document.amount), abs(flow.amount))
        with self.assertRaises(AccessError):
            self.env["prepay.cash.flow"].with_user(self.operator).search(mine)
        with self.assertRaises(AccessError):
            flows.create({"number": "X"})
