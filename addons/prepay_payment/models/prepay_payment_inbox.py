import logging
import random
import time
from decimal import Decimal

import psycopg2
from odoo import api, fields, models
from odoo.tools import SQL

from .prepay_suspense import REASONS

_logger = logging.getLogger(__name__)

#: How often a batch that met a concurrent change is begun again before the run gives up.
MAX_ATTEMPTS = 12


class PrepayPaymentInbox(models.Model):
    """A verified message of a payment channel, as it came.

    Whoever verified a message calls :meth:`_receive` and answers the channel; nothing else happens
    in that request, so a hundred repetitions at once are harmless. One consumer turns rows into
    credited top-ups or cases of the suspense list. A row never changes but for what became of it
    (trigger).
    """

    _name = "prepay.payment.inbox"
    _description = "Payment Message"
    _log_access = False
    _order = "id desc"
    _rec_name = "transaction_id"

    company_id = fields.Many2one(
        "res.company",
        required=True,
        index=True,
        readonly=True,
        help="Company of the merchant account that received the money.",
    )
    provider = fields.Char(string="Channel", required=True, readonly=True)
    merchant = fields.Char(
        required=True, readonly=True, help="Merchant account that the channel named."
    )
    transaction_id = fields.Char(required=True, readonly=True, help="Number given by the channel.")
    order_reference = fields.Char(string="Order", readonly=True)
    amount = fields.Monetary(required=True, readonly=True, help="Below zero: paid back.")
    currency = fields.Char(string="Currency Code", required=True, readonly=True)
    currency_id = fields.Many2one("res.currency", compute="_compute_currency_id")
    paid = fields.Boolean(readonly=True, help="Off: the message tells of an order without money.")
    received_at = fields.Datetime(string="Received On", required=True, readonly=True, index=True)
    payload = fields.Text(string="Raw Message", readonly=True)
    state = fields.Selection(
        [
            ("new", "New"),
            ("credited", "Credited"),
            ("suspense", "In Suspense"),
            ("ignored", "Ignored"),
        ],
        required=True,
        default="new",
        readonly=True,
    )
    topup_id = fields.Many2one(
        "prepay.topup", string="Top-up", readonly=True, index="btree_not_null", ondelete="restrict"
    )
    reason = fields.Selection(REASONS, readonly=True)

    _message_unique = models.Constraint(
        "UNIQUE (provider, merchant, transaction_id, paid)",
        "This payment message is stored already.",
    )
    _new_idx = models.Index("(id) WHERE state = 'new'")

    def init(self):
        self.env.cr.execute("""
            CREATE OR REPLACE FUNCTION prepay_payment_inbox_append_only() RETURNS trigger
            LANGUAGE plpgsql AS $$
            DECLARE
                copy prepay_payment_inbox;
            BEGIN
                IF TG_OP = 'UPDATE' AND OLD.state <> 'credited' THEN
                    copy := NEW;
                    copy.state := OLD.state;
                    copy.topup_id := OLD.topup_id;
                    copy.reason := OLD.reason;
                    IF copy IS NOT DISTINCT FROM OLD THEN
                        RETURN NEW;  -- only what became of the message
                    END IF;
                END IF;
                RAISE EXCEPTION 'prepay_payment_inbox is append-only: % refused', TG_OP
                    USING ERRCODE = 'check_violation';
            END $$;
            CREATE OR REPLACE TRIGGER prepay_payment_inbox_append_only
                BEFORE UPDATE OR DELETE ON prepay_payment_inbox
                FOR EACH ROW EXECUTE FUNCTION prepay_payment_inbox_append_only();
        """)

    @api.depends("currency")
    def _compute_currency_id(self):
        currencies = self.env["res.currency"].with_context(active_test=False).search(
            [("name", "in", self.mapped("currency"))]
        )  # fmt: skip
        by_code = {currency.name: currency for currency in currencies}
        for message in self:
            message.currency_id = by_code.get(message.currency, False)

    # receive

    @api.model
    def _receive(self, values):
        """Store a verified message once and wake the consumer.

        The caller has checked the signature and that the merchant account is one of ``company``.
        May raise a serialization failure when the same message arrives twice at the same moment:
        Odoo then repeats the request, which finds the first one stored.

        :param dict values: company (record), provider, merchant, transaction_id and order_reference
            (str), amount (Decimal in units of the currency, as the channel names it), currency (ISO
            code), paid (bool) and payload (str, the raw message)
        :return: whether the message is new
        """
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO prepay_payment_inbox (company_id, provider, merchant, transaction_id,
                    order_reference, amount, currency, paid, payload, received_at, state)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'new')
                ON CONFLICT (provider, merchant, transaction_id, paid) DO NOTHING RETURNING id
                """,
                values["company"].id,
                values["provider"],
                values["merchant"],
                values["transaction_id"],
                values["order_reference"],
                values["amount"],
                values["currency"],
                values["paid"],
                values["payload"],
                fields.Datetime.now(),
            )
        )
        if not self.env.cr.fetchone():
            return False
        self.env.ref("prepay_payment.ir_cron_consume").sudo()._trigger()
        return True

    # consume

    @api.model
    def _cron_consume(self, batch=20):
        """Turn new messages into credited top-ups or cases, oldest first.

        A batch that meets a counter sale or a posting of charges is begun again on a fresh
        snapshot, one message at a time.
        """
        consumer, attempts = self.sudo(), 0
        while True:
            try:
                done = consumer._consume_batch(batch)
                remaining = consumer.search_count([("state", "=", "new")])
                left = self.env["ir.cron"]._commit_progress(done, remaining=remaining)
            except psycopg2.OperationalError:
                self.env.cr.rollback()
                attempts += 1
                if attempts == MAX_ATTEMPTS:
                    raise
                time.sleep(random.uniform(0, min(1, 0.02 * 2**attempts)))
                batch = 1
                continue
            attempts = 0
            if not done or not left:
                return

    def _consume_batch(self, limit):
        self.env.cr.execute(
            SQL(
                """
                SELECT id FROM prepay_payment_inbox WHERE state = 'new'
                 ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
                """,
                limit,
            )
        )
        messages = self.browse([row[0] for row in self.env.cr.fetchall()])
        for message in messages:
            try:
                with self.env.cr.savepoint():
                    message._consume()
            except psycopg2.OperationalError:
                raise
            except Exception as error:
                # One message that cannot be worked off must not hold up the others.
                _logger.exception("Payment message %s is in suspense", message.id)
                message._suspend("failed", detail=str(error))
        return len(messages)

    def _consume(self):
        """Credit the order of this message, or open a case."""
        self.ensure_one()
        if not self.paid:
            self.state = "ignored"
            return
        order = self._named_order()
        problem = self._problem(order)
        if problem:
            self._suspend(problem, order)
        else:
            order._credit_from(self)

    def _named_order(self):
        """The order that the message names, of whichever company."""
        self.ensure_one()
        return self.env["prepay.topup"].search(
            [("order_ref", "!=", False), ("order_ref", "=", self.order_reference)]
        )

    def _problem(self, order):
        """The first thing that stands against crediting the order, as a code of ``REASONS``."""
        self.ensure_one()
        amount = self._exact_amount()
        if amount < 0:
            return "refund"
        if not order:
            return "unknown_order"
        problems = (
            ("other_merchant", (self.provider, self.merchant) not in order._merchants()),
            ("double_payment", order.state == "done"),
            ("currency", self.currency != order.currency_id.name),
            ("amount", amount != order._exact_amount()),
            ("account_closed", order.account_id.state != "open"),
        )
        return next((code for code, found in problems if found), None)

    def _suspend(self, reason, order=None, detail=None):
        """Open the case of this message."""
        self.ensure_one()
        # Another company's order says nothing about where this money belongs.
        known = order if order and order.company_id == self.company_id else None
        self.env["prepay.suspense"].create(
            {
                "inbox_id": self.id,
                "reason": reason,
                "detail": detail,
                "order_id": known.id if known else False,
                "account_id": known.account_id.id if known else False,
            }
        )
        self.write({"state": "suspense", "reason": reason})

    def _transaction(self):
        """Odoo's own transaction of this payment, if it went through one.

        Its reference is the message's transaction when Odoo's payment flow stored the message;
        otherwise it is the newest unfinished attempt of the order at this merchant.
        """
        self.ensure_one()
        attempts = self.env["payment.transaction"].search(
            [
                ("provider_code", "=", self.provider),
                "|",
                ("reference", "=", self.transaction_id),
                ("prepay_topup_id", "in", self._named_order().ids),
            ]
        )
        attempts = attempts.filtered(lambda tx: tx.provider_id._prepay_merchant() == self.merchant)
        exact = attempts.filtered(lambda tx: tx.reference == self.transaction_id)
        return exact or attempts.filtered(lambda tx: tx.state != "done")[:1]

    def _exact_amount(self):
        """The amount as the channel named it."""
        self.ensure_one()
        self.env.cr.execute(
            "SELECT amount::text FROM prepay_payment_inbox WHERE id = %s", [self.id]
        )
        return Decimal(self.env.cr.fetchone()[0])
