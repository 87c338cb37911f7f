from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import formatLang


class PrepayTopup(models.Model):
    """Money paid into an account: the order, the proof for the payer, and the posting.

    The order number is taken when the money is posted; a sale that fails then leaves its number out.
    The paper has a number of its own, without gaps (``receipt_number``).
    """

    _name = "prepay.topup"
    _description = "Top-up"
    _inherit = ["mail.thread", "prepay.receipt.document"]
    _order = "id desc"
    _rec_name = "number"
    _check_company_auto = True

    number = fields.Char(string="Sale Number", readonly=True, copy=False, index="trigram")
    account_id = fields.Many2one(
        "prepay.account", required=True, index=True, ondelete="restrict", readonly=True
    )
    partner_id = fields.Many2one(related="account_id.partner_id", store=True, index=True)
    location_id = fields.Many2one(related="account_id.location_id", store=True, index=True)
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    amount = fields.Monetary(required=True, readonly=True)
    method = fields.Selection([("cash", "Cash")], required=True, default="cash", readonly=True)
    state = fields.Selection(
        [("draft", "Draft"), ("done", "Credited")], default="draft", required=True, readonly=True
    )
    paid_at = fields.Datetime(string="Paid On", readonly=True)
    cashier_id = fields.Many2one("res.users", readonly=True, default=lambda self: self.env.user)
    balance_before = fields.Monetary(readonly=True)
    balance_after = fields.Monetary(readonly=True)
    entry_id = fields.Many2one(
        "prepay.ledger.entry", string="Wallet Entry", readonly=True, copy=False
    )
    move_id = fields.Many2one(related="entry_id.move_id", string="Journal Entry")
    note = fields.Char()

    _number_unique = models.Constraint(
        "UNIQUE (company_id, number)", "This sale number exists already."
    )
    _amount_positive = models.Constraint("CHECK (amount > 0)", "A top-up is more than zero.")

    @api.ondelete(at_uninstall=False)
    def _unlink_except_done(self):
        if any(topup.state == "done" for topup in self):
            raise UserError(self.env._("A credited top-up cannot be deleted. Reverse it instead."))

    def _credit(self):
        """Post these paid orders to their wallets and restore the supply, all in this transaction.

        Safe to repeat: an order that is credited already stays as it is.
        """
        todo = self.filtered(lambda topup: topup.state == "draft")
        available = todo.account_id._available()
        for topup in todo:
            topup.number = topup.number or topup.env["ir.sequence"].with_company(
                topup.company_id
            ).next_by_code("prepay.topup")
        entries = self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": topup.account_id,
                    "kind": "topup",
                    "amount": topup._exact_amount(),
                    "key": f"topup:{topup.id}",
                    "reason": topup.company_id._prepay_env()._("Top-up %s", topup.number),
                    "document": topup,
                }
                for topup in todo
            ]
        )
        for topup, entry in zip(todo, entries):
            before = available[topup.account_id.id]
            available[topup.account_id.id] = before + topup._exact_amount()
            topup.write(
                {
                    "state": "done",
                    "paid_at": topup.paid_at or fields.Datetime.now(),
                    "entry_id": entry.id,
                    "balance_before": float(before),
                    "balance_after": float(available[topup.account_id.id]),
                }
            )
        todo._issue_receipt()
        todo.account_id._evaluate_supply()
        self.env.ref("prepay_billing.ir_cron_general_ledger").sudo()._trigger()
        return entries

    def _exact_amount(self):
        """The amount in fen-exact decimals; a Monetary is stored with two."""
        self.ensure_one()
        return Decimal(f"{self.amount:.2f}")

    # receipt

    def _receipt_kind(self):
        return "topup"

    def _receipt_values(self):
        methods = dict(self._fields["method"]._description_selection(self.env))
        at = self.paid_at or fields.Datetime.now()
        return {
            **super()._receipt_values(),
            "order_number": self.number,
            "date": fields.Datetime.to_string(at),
            "meters": self._receipt_meters(at),
            "amount": self._receipt_money(self.amount),
            "balance_before": self._receipt_money(self.balance_before),
            "balance_after": self._receipt_money(self.balance_after),
            "method": methods[self.method],
            "operator": self.cashier_id.name,
            "remark": self.note or None,
        }

    def action_print_receipt(self):
        for topup in self:
            if not topup.entry_id:
                raise UserError(
                    self.env._(
                        "The top-up of %(amount)s for account %(account)s is not credited yet. "
                        "A receipt prints after it is credited.",
                        amount=formatLang(self.env, topup.amount, currency_obj=topup.currency_id),
                        account=topup.account_id.number,
                    )
                )
        return super().action_print_receipt()
