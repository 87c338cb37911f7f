from datetime import timedelta
from decimal import Decimal

from odoo import fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from .prepay_topup import ORDER_MINUTES

#: Unpaid orders of an account in a day that still keep its supply on: more are no payers.
MAX_UNPAID_ORDERS = 20


class PrepayAccount(models.Model):
    _inherit = "prepay.account"

    def _payment_in_flight(self):
        """Also accounts with a young order, a message not worked off or a case that names them."""
        in_flight = super()._payment_in_flight()
        if not self.ids:
            return in_flight
        self.env["prepay.topup"].flush_model()
        self.env["prepay.suspense"].flush_model()
        now = fields.Datetime.now()
        self.env.cr.execute(
            SQL(
                """
                SELECT t.account_id FROM prepay_topup t
                 WHERE t.account_id = ANY(%(ids)s) AND t.state = 'pending' AND t.method = 'online'
                   AND t.create_date > %(young)s
                   AND (SELECT count(*) FROM prepay_topup o
                         WHERE o.account_id = t.account_id AND o.method = 'online'
                           AND o.state IN ('pending', 'cancelled') AND o.create_date > %(day)s
                       ) <= %(most)s
                 UNION
                SELECT t.account_id FROM prepay_payment_inbox i
                  JOIN prepay_topup t ON t.order_ref = i.order_reference
                 WHERE i.state = 'new' AND i.paid AND i.amount > 0 AND t.account_id = ANY(%(ids)s)
                 UNION
                SELECT account_id FROM prepay_suspense
                 WHERE state = 'open' AND amount > 0 AND account_id = ANY(%(ids)s)
                """,
                ids=list(self.ids),
                young=now - timedelta(minutes=ORDER_MINUTES),
                day=now - timedelta(days=1),
                most=MAX_UNPAID_ORDERS,
            )
        )
        return in_flight | self.browse([row[0] for row in self.env.cr.fetchall()])

    def _order_online(self, amount):
        """An order for a top-up of this account, to be paid through a channel.

        An equal order that nobody has begun to pay is taken again: a second press makes no second.

        :param Decimal amount: in the currency of the account
        :return: the order, with the rights of the system
        :raise UserError: an amount that is no amount, too large, or an account that is closed
        """
        self.ensure_one()
        self.check_access("read")
        account = self.sudo()
        if account.state != "open":
            raise UserError(self.env._("This account is closed."))
        if not amount.is_finite() or amount <= 0 or amount != round(amount, 2):
            raise UserError(self.env._("Enter an amount above zero with at most two decimals."))
        limit = account.company_id.prepay_max_topup
        if limit and amount > Decimal(str(limit)):
            raise UserError(self.env._("At most %s at a time.", account.currency_id.format(limit)))
        topups = account.env["prepay.topup"]
        twins = topups.search(
            [
                ("account_id", "=", account.id),
                ("state", "=", "pending"),
                ("transaction_ids", "=", False),
            ]
        )
        twins = twins.filtered(
            lambda topup: topup._is_payable() and topup._exact_amount() == amount
        )
        return twins[:1] or topups.create(
            {
                "account_id": account.id,
                "amount": float(amount),
                "method": "online",
                "state": "pending",
                "order_ref": topups._new_order_ref(),
                "cashier_id": False,
            }
        )
