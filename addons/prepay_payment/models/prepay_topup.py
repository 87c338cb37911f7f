import secrets
from datetime import timedelta

from odoo import api, fields, models

#: An order can be paid for so long; meanwhile its account is not cut (S-01).
ORDER_MINUTES = 15


class PrepayTopup(models.Model):
    _inherit = "prepay.topup"

    method = fields.Selection(
        selection_add=[("online", "Online")], ondelete={"online": "set default"}
    )
    state = fields.Selection(
        selection_add=[("pending", "Awaiting Payment"), ("done",), ("cancelled", "Cancelled")],
        ondelete={"pending": "set default", "cancelled": "set default"},
    )
    order_ref = fields.Char(
        string="Order Number",
        readonly=True,
        copy=False,
        help="Letters and digits only: every channel takes it. It is never given twice.",
    )
    transaction_ids = fields.One2many(
        "payment.transaction",
        "prepay_topup_id",
        string="Payment Attempts",
        groups="base.group_system",
    )
    transaction_id = fields.Many2one(
        "payment.transaction",
        string="Payment Transaction",
        readonly=True,
        copy=False,
        index="btree_not_null",
        groups="account.group_account_invoice",
        help="The attempt that paid; until then the newest one.",
    )
    inbox_id = fields.Many2one(
        "prepay.payment.inbox",
        string="Payment Message",
        readonly=True,
        copy=False,
        ondelete="restrict",
        groups="prepay_billing.group_accountant,prepay_meter.group_auditor",
    )

    _order_ref_unique = models.UniqueIndex(
        "(order_ref) WHERE order_ref IS NOT NULL", "This order number exists already."
    )
    _inbox_unique = models.UniqueIndex(
        "(inbox_id) WHERE inbox_id IS NOT NULL", "A payment message credits one top-up."
    )
    _online_has_message = models.Constraint(
        "CHECK (method <> 'online' OR state <> 'done' OR inbox_id IS NOT NULL)",
        "An online top-up is credited only from a verified payment message.",
    )
    _pending_idx = models.Index("(account_id, create_date) WHERE state = 'pending'")

    @api.depends("number", "order_ref")
    def _compute_display_name(self):
        for topup in self:
            topup.display_name = topup.number or topup.order_ref or ""

    @api.model
    def _new_order_ref(self):
        """20 characters, unique beyond this database: copies may share a merchant account."""
        return f"PT{fields.Datetime.now():%y%m%d}{secrets.token_hex(6).upper()}"

    def _is_payable(self):
        """A payment may still be begun. Money that comes later is credited all the same."""
        self.ensure_one()
        oldest = fields.Datetime.now() - timedelta(minutes=ORDER_MINUTES)
        return (
            self.method == "online"
            and self.state == "pending"
            and self.create_date > oldest
            and self.account_id.state == "open"
        )

    def _merchants(self):
        """(channel, merchant account) at which this order may be paid, of its own company only."""
        self.ensure_one()
        companies = self.company_id.parent_ids
        return {
            (tx.provider_code, tx.provider_id._prepay_merchant())
            for tx in self.sudo().transaction_ids
            if tx.company_id in companies
        }

    def _credit_from(self, message):
        """Credit this order with a paid message and close its payment transaction."""
        self.ensure_one()
        tx = message._transaction()
        self.write({"inbox_id": message.id, "paid_at": message.received_at})
        if tx:
            self.transaction_id = tx
        lang = self.company_id.partner_id.lang or self.env.lang
        self.with_context(lang=lang)._credit()
        message.write({"state": "credited", "topup_id": self.id})
        tx._prepay_confirm(message)

    def _credit(self):
        """Also orders that were cancelled before their money came (late success)."""
        waiting = self.filtered(lambda topup: topup.state in ("pending", "cancelled"))
        waiting.state = "draft"
        return super()._credit()

    def _receipt_values(self):
        """The channel's number of the payment (外部流水号) is on the paper."""
        return {
            **super()._receipt_values(),
            "external_number": self.inbox_id.transaction_id or None,
        }

    def _cancel_order(self):
        """Nobody waits for the payment any more; a late one is credited all the same."""
        self.filtered(lambda topup: topup.state == "pending").state = "cancelled"

    @api.autovacuum
    def _gc_pending_orders(self):
        """Orders that were never paid are cancelled after a day."""
        self.search([("state", "=", "pending"), ("create_date", "<", "-1d")])._cancel_order()

    def _money_at(self):
        """Online money is there when its message came."""
        return self.sudo().inbox_id.received_at if self.method == "online" else super()._money_at()
