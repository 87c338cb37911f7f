import json
from decimal import Decimal

from odoo import fields, models
from odoo.tools import float_round


class PaymentTransaction(models.Model):
    """Payments of top-ups: what a provider confirms goes to the inbox, and only there is credited.

    A channel that calls the inbox itself does not confirm the transaction; the consumer does.
    """

    _inherit = "payment.transaction"

    # Hidden from everybody else: accounting users may write transactions.
    prepay_topup_id = fields.Many2one(
        "prepay.topup",
        string="Top-up",
        readonly=True,
        copy=False,
        index="btree_not_null",
        ondelete="set null",
        groups="base.group_system",
    )
    prepay_message = fields.Json(
        string="Payment Confirmed",
        readonly=True,
        copy=False,
        groups="base.group_system",
        help="Amount and currency as the provider named them last.",
    )
    prepay_inbox_id = fields.Many2one(
        "prepay.payment.inbox",
        string="Confirmed By",
        readonly=True,
        copy=False,
        groups="base.group_system",
    )

    def _prepay_order(self):
        """The order of this attempt; parts of a payment belong to the order of the whole."""
        self.ensure_one()
        tx = self.sudo()
        return tx.prepay_topup_id or tx.source_transaction_id.prepay_topup_id

    def _validate_amount(self, payment_data):
        """Keep what the provider says about an order's payment; :meth:`_set_done` judges it.

        Refused here, money of another amount would be lost; not refused on a cancelled or failed
        transaction, it would be credited in full.
        """
        if not self._prepay_order() or self.operation in ("refund", "validation"):
            return super()._validate_amount(payment_data)
        said = self._extract_amount_data(payment_data)
        if said is None:  # the provider names no amount
            self.sudo().prepay_message = {}
            return None
        amount, currency = said.get("amount") or 0, said.get("currency_code") or ""
        digits = said.get("precision_digits")
        expected = (
            self.amount
            if digits is None
            else float_round(self.amount, precision_digits=digits, rounding_method="DOWN")
        )
        same = currency == self.currency_id.name and not self.currency_id.compare_amounts(
            amount, expected
        )
        self.sudo().prepay_message = {} if same else {"amount": str(amount), "currency": currency}
        return None

    def _set_authorized(self, *, state_message=None, extra_allowed_states=()):
        differing = self._prepay_differing()
        differing._set_error(self.env._("The amount differs from the order."))
        return super(PaymentTransaction, self - differing)._set_authorized(
            state_message=state_message, extra_allowed_states=extra_allowed_states
        )

    def _set_done(self, *, state_message=None, extra_allowed_states=()):
        """Also after a cancellation: the money came, late. Another amount is no success."""
        orders = self.filtered(lambda tx: tx._prepay_order())
        differing = orders._prepay_differing()
        done = super(PaymentTransaction, self - orders)._set_done(
            state_message=state_message, extra_allowed_states=extra_allowed_states
        )
        done |= super(PaymentTransaction, orders - differing)._set_done(
            state_message=state_message,
            extra_allowed_states=(*extra_allowed_states, "cancel"),
        )
        differing._set_error(
            self.env._("The amount differs from the order; the payment is being checked."),
            extra_allowed_states=("cancel",),
        )
        for tx in orders.sudo():
            tx.prepay_message = {**(tx.prepay_message or {}), "paid": True}
        orders._prepay_receive()
        return done

    def _post_process(self):
        """Hand confirmed payments to the inbox, if that did not happen yet; cancel orders."""
        result = super()._post_process()
        for tx in self.filtered(lambda tx: tx._prepay_order()):
            if tx.state == "done":
                tx._prepay_receive()
            elif tx.state == "cancel":
                attempts = tx._prepay_order().transaction_ids
                if all(attempt.state in ("cancel", "error") for attempt in attempts):
                    tx._prepay_order()._cancel_order()
        return result

    def _create_payment(self, **extra_create_values):
        """No payment entry for top-ups: the wallet's own posting brings them to the ledger."""
        if self._prepay_order():
            return self.env["account.payment"]
        return super()._create_payment(**extra_create_values)

    def _log_message_on_linked_documents(self, message):
        result = super()._log_message_on_linked_documents(message)
        order = self._prepay_order()
        if order:
            order.message_post(body=message, author_id=self.partner_id.id)
        return result

    def _prepay_differing(self):
        """Those of which the provider named another amount or currency than was ordered."""
        return self.filtered(
            lambda tx: tx._prepay_order() and "amount" in (tx.sudo().prepay_message or {})
        )

    def _prepay_receive(self):
        """Put confirmed payments of top-ups into the inbox, once each."""
        for tx in self.sudo():
            message = tx.prepay_message or {}
            parts = tx.child_transaction_ids.filtered(
                lambda part, tx=tx: part.operation == tx.operation and part.state == "done"
            )
            if not message.get("paid") or tx.prepay_inbox_id or parts:
                continue
            amount = message.get("amount", f"{tx.amount:.{tx.currency_id.decimal_places}f}")
            self.env["prepay.payment.inbox"]._receive(
                {
                    "company": tx.company_id,
                    "provider": tx.provider_code,
                    "merchant": tx.provider_id._prepay_merchant(),
                    "transaction_id": tx.reference,
                    "order_reference": tx._prepay_order().order_ref,
                    "amount": Decimal(amount),
                    "currency": message.get("currency", tx.currency_id.name),
                    "paid": True,
                    "payload": json.dumps(
                        {
                            "transaction": tx.id,
                            "provider_reference": tx.provider_reference,
                            "operation": tx.operation,
                        }
                    ),
                }
            )

    def _prepay_confirm(self, message):
        """The consumer credited the order from a message that the channel sent to the inbox."""
        for tx in self.filtered(lambda tx: tx.state != "done"):
            tx.write(
                {
                    "prepay_inbox_id": message.id,
                    "prepay_message": {},
                    "provider_reference": tx.provider_reference or message.transaction_id,
                }
            )
            tx._set_done()
