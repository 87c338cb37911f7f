from datetime import timezone
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import formatLang

#: How money comes in at the counter; addons add methods of their own, which are not the counter's.
METHODS = [
    ("cash", "Cash"),
    ("card", "Bank Card"),
    ("transfer", "Bank Transfer"),
    ("wechat_code", "WeChat Code"),
    ("alipay_code", "Alipay Code"),
]


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
    method = fields.Selection(METHODS, required=True, default="cash", readonly=True)
    state = fields.Selection(
        [("draft", "Draft"), ("done", "Credited"), ("reversed", "Reversed")],
        default="draft",
        required=True,
        readonly=True,
    )
    paid_at = fields.Datetime(string="Paid On", readonly=True)
    cashier_id = fields.Many2one("res.users", readonly=True, default=lambda self: self.env.user)
    balance_before = fields.Monetary(readonly=True)
    balance_after = fields.Monetary(readonly=True)
    entry_id = fields.Many2one(
        "prepay.ledger.entry", string="Wallet Entry", readonly=True, copy=False
    )
    move_id = fields.Many2one(related="entry_id.move_id", string="Journal Entry")
    shift_id = fields.Many2one(
        "prepay.shift", readonly=True, copy=False, index="btree_not_null", ondelete="restrict"
    )
    reversal_id = fields.Many2one("prepay.reversal", readonly=True, copy=False)
    reversed_at = fields.Datetime(string="Reversed On", related="reversal_id.posted_at")
    reversed_by_id = fields.Many2one(
        "res.users", string="Who Reversed", related="reversal_id.requested_id"
    )
    note = fields.Char()

    _number_unique = models.Constraint(
        "UNIQUE (company_id, number)", "This sale number exists already."
    )
    _amount_positive = models.Constraint("CHECK (amount > 0)", "A top-up is more than zero.")
    _paid_idx = models.Index("(company_id, paid_at)")

    @api.ondelete(at_uninstall=False)
    def _unlink_except_done(self):
        if any(topup.state in ("done", "reversed") for topup in self):
            raise UserError(self.env._("A credited top-up cannot be deleted. Reverse it instead."))

    def _credit(self):
        """Post these paid orders to their wallets and restore the supply, all in this transaction.

        Safe to repeat: an order that is credited already stays as it is.
        """
        todo = self.filtered(lambda topup: topup.state == "draft")
        todo._enter_shift()
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

    def _is_counter(self):
        """Money that a person took, not one that came through a payment channel."""
        self.ensure_one()
        return self.method in dict(METHODS) and bool(self.cashier_id)

    def _enter_shift(self):
        """Count counter money in the open shift of who took it.

        :raises UserError: the company demands a shift, and none is open
        """
        shifts = {}
        for topup in self.filtered(lambda item: item._is_counter()):
            who = (topup.company_id, topup.cashier_id)
            if who not in shifts:
                shifts[who] = self.env["prepay.shift"]._take(*who)
            topup.shift_id = shifts[who]

    # reversal

    def _came_by_channel(self):
        """The money stands with a payment channel: no drawer can give it back."""
        return not self._is_counter()

    def action_reverse(self):
        """Refuse at once what cannot be reversed, else ask for the reason."""
        self.ensure_one()
        self._check_reversible()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Reverse Sale"),
            "res_model": "prepay.wallet.operation",
            "view_mode": "form",
            "views": [[False, "form"]],  # the counter calls this without a button
            "target": "new",
            "context": {
                "default_operation": "reverse",
                "default_document": f"{self._name},{self.id}",
            },
        }

    def _reverse(self, reason):
        """Take back this sale, or ask an accountant to approve that.

        :return: the prepay.reversal, in state ``done`` or ``waiting``
        :raises UserError: a rule of :meth:`_check_reversible` forbids it
        """
        self.ensure_one()
        self.check_access("read")
        reversals = self.env["prepay.reversal"]
        reversals._check_submitter()
        self._check_reversible()
        reversal = reversals.sudo().create(
            {
                "topup_id": self.id,
                "reason": reason,
                "last_topup_id": self.account_id._last_topup().id,
            }
        )
        reversal.action_submit()
        return reversal.sudo(False)

    def _reversal_needs_approval(self, user):
        """Above the limit always; else when neither the seller nor an accountant asks for it."""
        self.ensure_one()
        if self._exact_amount() > Decimal(str(self.company_id.prepay_four_eyes_limit)):
            return True
        return self.cashier_id != user and not user.has_group("prepay_billing.group_accountant")

    def _has_invoice(self):
        """An invoice for this money was issued: it is cancelled first. For invoicing addons."""
        return False

    def _check_reversible(self, reversal=None):
        """Refuse what cannot be undone as a wrong sale.

        Rules of bank collection (代收业务): once, on the day of the sale, before the cash is handed in,
        while the money is still there, and before an invoice is printed. Days are those of the site.

        :param reversal: the reversal that is being posted, if there is one already
        """
        self.ensure_one()
        topup = self.sudo()
        name = topup.number or topup.display_name
        other = (
            self.env["prepay.reversal"]
            .sudo()
            .search([("topup_id", "=", topup.id), ("state", "in", ("waiting", "done"))], limit=1)
        )
        if other and other != reversal:
            raise UserError(
                self.env._("Sale %(sale)s is reversed already by %(number)s.",
                           sale=name, number=other.number)
                if other.state == "done"
                else self.env._("Sale %(sale)s: reversal %(number)s waits for approval already.",
                                sale=name, number=other.number)
            )  # fmt: skip
        if topup.state != "done":
            raise UserError(
                self.env._("Sale %s is not credited, so there is nothing to reverse.", name)
            )
        if topup._came_by_channel():
            raise UserError(
                self.env._(
                    "Sale %s was paid online and is not reversed. Refund the money instead.", name
                )
            )
        if topup._has_invoice():
            raise UserError(
                self.env._("Sale %s: its invoice is printed. Cancel the invoice first.", name)
            )
        now = fields.Datetime.now()
        day = topup._local_day(topup.paid_at)
        if day != topup._local_day(now):
            raise UserError(
                self.env._(
                    "Sale %(sale)s is of %(day)s. A sale is reversed on the same day only. "
                    "Enter a refund instead.",
                    sale=name,
                    day=day,
                )
            )
        if topup.shift_id and topup.shift_id.state != "open":
            raise UserError(
                self.env._(
                    "Sale %(sale)s: the money of shift %(shift)s is counted or handed in. "
                    "Enter a refund instead.",
                    sale=name,
                    shift=topup.shift_id.number,
                )
            )
        account, amount = topup.account_id, topup._exact_amount()
        free = account._free_money()[account.id]
        if amount > free:
            raise UserError(
                self.env._(
                    "Sale %(sale)s: the money is used already. Of %(amount)s CNY, %(free)s CNY is "
                    "left. Refund what is left instead.",
                    sale=name,
                    amount=f"{amount:.2f}",
                    free=f"{free:.2f}",
                )
            )

    def _local_day(self, moment):
        """The day of a moment (naive UTC) at the site."""
        self.ensure_one()
        zone = self.location_id._zone()
        return moment.replace(tzinfo=timezone.utc).astimezone(zone).date()

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
            "last_remaining": self._receipt_money(self.balance_before),
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
