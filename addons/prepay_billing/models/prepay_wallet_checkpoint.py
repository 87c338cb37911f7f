import logging
import time

from odoo import api, fields, models

_logger = logging.getLogger(__name__)

#: Seconds for which a run waits for postings under way; what is still open is folded next time.
PATIENCE_S = 30


class PrepayWalletCheckpoint(models.Model):
    """Sums of a wallet up to an entry: balance = checkpoint + the entries after it.

    Only the scheduled action writes here, so postings never meet at a row. ``upto_id`` is chosen so
    that no entry with a smaller number can appear any more.
    """

    _name = "prepay.wallet.checkpoint"
    _description = "Wallet Checkpoint"
    _order = "account_id"
    _rec_name = "account_id"
    _log_access = False

    account_id = fields.Many2one("prepay.account", required=True, ondelete="cascade", readonly=True)
    currency_id = fields.Many2one(related="account_id.currency_id")
    upto_id = fields.Integer(string="Up To Entry", required=True, readonly=True, index=True)
    principal = fields.Monetary(string="Own Money", required=True, readonly=True)
    granted = fields.Monetary(required=True, readonly=True)

    _account_unique = models.Constraint(
        "UNIQUE (account_id)", "An account has only one checkpoint."
    )

    @api.model
    def _cron_fold(self):
        """Fold new entries into the checkpoints (hourly)."""
        horizon = self._complete_horizon(PATIENCE_S)
        if horizon is None:
            _logger.info("Wallet checkpoints wait: postings have been under way for long")
            return
        # Commits: the sums need a snapshot that begins after the postings that were waited for.
        self.env["ir.cron"]._commit_progress(0, remaining=1)
        self._fold(horizon)
        self.env["ir.cron"]._commit_progress(1)

    @api.model
    def _complete_horizon(self, patience=0.0):
        """The number up to which every entry that will ever exist is committed, or None.

        A posting locks the table before it takes a number and keeps the lock until its end. So the
        numbers up to the last one taken are complete as soon as all who hold that lock now have
        ended, whatever began meanwhile. Valid for transactions that begin after this call.

        :param patience: seconds to wait for postings under way
        """
        self.env.cr.execute(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM prepay_ledger_entry_id_seq"
        )
        (horizon,) = self.env.cr.fetchone()
        holders, until = self._postings_under_way(), time.monotonic() + patience
        while holders:
            if time.monotonic() > until:
                return None
            time.sleep(0.05)
            holders &= self._postings_under_way()
        return horizon

    @api.model
    def _postings_under_way(self):
        """Other transactions that may have taken a number; locks are read live, not by snapshot."""
        self.env.cr.execute(
            """
            SELECT virtualtransaction FROM pg_locks
             WHERE locktype = 'relation' AND relation = 'prepay_ledger_entry'::regclass
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                            'AccessExclusiveLock')
               AND pid IS DISTINCT FROM pg_backend_pid()
            """
        )
        return {row[0] for row in self.env.cr.fetchall()}

    @api.model
    def _fold(self, horizon):
        """Add the entries up to ``horizon`` to the checkpoints of their accounts.

        :param horizon: from :meth:`_complete_horizon` of a transaction that has ended
        """
        self.env["prepay.ledger.entry"].flush_model()
        self.env.cr.execute(
            """
            INSERT INTO prepay_wallet_checkpoint AS c (account_id, upto_id, principal, granted)
            SELECT account_id, %(horizon)s, COALESCE(SUM(amount) FILTER (WHERE bucket = 'principal'), 0),
                   COALESCE(SUM(amount) FILTER (WHERE bucket = 'granted'), 0)
              FROM prepay_ledger_entry
             WHERE id > (SELECT COALESCE(MAX(upto_id), 0) FROM prepay_wallet_checkpoint)
               AND id <= %(horizon)s
             GROUP BY account_id
            ON CONFLICT (account_id) DO UPDATE
               SET upto_id = EXCLUDED.upto_id, principal = c.principal + EXCLUDED.principal,
                   granted = c.granted + EXCLUDED.granted
            """,
            {"horizon": horizon},
        )
        self.invalidate_model()
