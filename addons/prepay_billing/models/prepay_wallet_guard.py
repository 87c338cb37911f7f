from odoo import api, fields, models
from odoo.exceptions import UserError

from ..engine import ledger


class PrepayWalletGuard(models.Model):
    """Debits that must not overdraw pass one at a time for each account.

    Top-ups and consumption never come here. Transactions see the wallets as of their beginning
    (REPEATABLE READ): whoever looks with an old view is refused by the database, since the row of the
    account has changed meanwhile, and the server begins that request anew.
    """

    _name = "prepay.wallet.guard"
    _description = "Wallet Guard"
    _rec_name = "account_id"
    _log_access = False

    account_id = fields.Many2one("prepay.account", required=True, ondelete="cascade", readonly=True)
    debits = fields.Integer(required=True, readonly=True)

    _account_unique = models.Constraint("UNIQUE (account_id)", "An account has only one guard.")

    @api.model
    def _enter(self, accounts):
        """Let this transaction be the only one that takes money out of these accounts.

        :raises psycopg2.errors.SerializationFailure: another debit ended after this transaction
            began; the server repeats the request
        """
        for account_id in sorted(accounts.ids):  # one order for all: no deadlock
            # Wait in a queue, without a row being locked.
            self.env.cr.execute(
                "SELECT pg_advisory_xact_lock('prepay_wallet_guard'::regclass::int, %s)",
                [account_id],
            )
            self.env.cr.execute(
                "INSERT INTO prepay_wallet_guard AS g (account_id, debits) VALUES (%s, 1) "
                "ON CONFLICT (account_id) DO UPDATE SET debits = g.debits + 1",
                [account_id],
            )

    @api.model
    def _check_debits(self, debits):
        """Refuse what the own money of an account does not cover (M-08, M-14).

        :param debits: {account: Decimal > 0}, CNY
        :raises UserError: account frozen, or not enough own money left
        """
        self._enter(self.env["prepay.account"].browse([account.id for account in debits]))
        self._check_covered(debits)

    @api.model
    def _check_covered(self, debits):
        """The same without keeping others out: before somebody is asked to approve."""
        accounts = self.env["prepay.account"].browse([account.id for account in debits])
        for account in accounts.filtered("is_frozen"):
            raise UserError(
                self.env._(
                    "Account %s is frozen: no money leaves it. Unfreeze it first.",
                    account.display_name,
                )
            )
        money = accounts._money()
        for account, amount in debits.items():
            own, granted, accrued = money[account.id]
            free = ledger.free_money(ledger.Balance(own, granted), accrued)
            if amount > free:
                raise UserError(
                    self.env._(
                        "Account %(account)s: %(amount)s CNY cannot be taken out, %(free)s CNY of own "
                        "money is left. Enter at most that amount.",
                        account=account.display_name,
                        amount=f"{amount:.2f}",
                        free=f"{free:.2f}",
                    )
                )
