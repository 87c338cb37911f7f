import time

from odoo import api, fields, models
from odoo.exceptions import AccessError

#: Rule of the ledger -> statement that returns the rows that break it, with an account and a value.
CHECKS = {
    # Whole fen, the sign and the part of the wallet that the kind allows.
    "M-01": """
        SELECT account_id, id::text || ': ' || amount FROM prepay_ledger_entry
         WHERE amount <> ROUND(amount, 2) OR amount = 0
            OR (kind IN ('topup', 'grant', 'opening') AND amount < 0)
            OR (kind IN ('charge', 'refund', 'expiry') AND amount > 0)
            OR (kind IN ('topup', 'refund', 'transfer') AND bucket <> 'principal')
            OR (kind IN ('grant', 'expiry') AND bucket <> 'granted')
    """,
    # Both sides of a transfer, or none.
    "M-01 transfer": """
        SELECT MIN(account_id), res_id::text || ': ' || SUM(amount) FROM prepay_ledger_entry
         WHERE kind = 'transfer' GROUP BY res_model, res_id HAVING SUM(amount) <> 0 OR COUNT(*) <> 2
    """,
    # The balance that is shown (checkpoint and later entries) is the sum of all entries. The sums up to
    # the checkpoint and after it come from one pass over the entries.
    "M-02": """
        WITH sums AS (
            SELECT e.account_id,
                   COALESCE(SUM(e.amount) FILTER (WHERE e.bucket = 'principal' AND e.id <= k.upto_id), 0) AS own,
                   COALESCE(SUM(e.amount) FILTER (WHERE e.bucket = 'granted' AND e.id <= k.upto_id), 0) AS granted
              FROM prepay_ledger_entry e
              JOIN prepay_wallet_checkpoint k ON k.account_id = e.account_id
             GROUP BY e.account_id
        )
        SELECT k.account_id, (k.principal + k.granted) || ' / ' || (COALESCE(s.own, 0) + COALESCE(s.granted, 0))
          FROM prepay_wallet_checkpoint k LEFT JOIN sums s ON s.account_id = k.account_id
         WHERE k.principal <> COALESCE(s.own, 0) OR k.granted <> COALESCE(s.granted, 0)
    """,
    # Entries are protected, and a reversal is the exact opposite of one entry, once.
    "M-03": """
        SELECT e.account_id, e.id::text || ': ' || e.amount
          FROM prepay_ledger_entry e LEFT JOIN prepay_ledger_entry o ON o.id = e.reverses_id
         WHERE e.kind = 'reversal'
           AND (o.id IS NULL OR o.kind = 'reversal' OR o.account_id <> e.account_id
                OR o.bucket <> e.bucket OR o.amount <> -e.amount)
        UNION ALL
        SELECT MIN(account_id), reverses_id::text || ': ' || COUNT(*) FROM prepay_ledger_entry
         WHERE kind = 'reversal' GROUP BY reverses_id HAVING COUNT(*) > 1
        UNION ALL
        SELECT NULL, 'trigger' WHERE NOT EXISTS (
            SELECT 1 FROM pg_trigger WHERE tgname = 'prepay_ledger_append_only'
               AND tgrelid = 'prepay_ledger_entry'::regclass AND tgenabled IN ('O', 'A'))
    """,
    # No refund or transfer took more than the own money. Consumption that was posted at the same time
    # may not have been seen and does not count.
    "M-08": """
        SELECT d.account_id, d.id::text || ': ' || s.own
          FROM prepay_ledger_entry d
         CROSS JOIN LATERAL (
               SELECT SUM(e.amount) AS own FROM prepay_ledger_entry e
                WHERE e.account_id = d.account_id AND e.bucket = 'principal' AND e.id <= d.id
                  AND NOT (e.kind IN ('charge', 'correction') AND e.at >= d.at - interval '15 minutes')) s
         WHERE d.kind IN ('refund', 'transfer') AND d.amount < 0 AND s.own < 0
    """,
    # One company for the entry, its account, the entry it reverses and its journal entry.
    "M-09": """
        SELECT e.account_id, e.id::text || ': ' || e.company_id
          FROM prepay_ledger_entry e
          JOIN prepay_account a ON a.id = e.account_id
          LEFT JOIN prepay_ledger_entry o ON o.id = e.reverses_id
          LEFT JOIN account_move m ON m.id = e.move_id
         WHERE a.company_id <> e.company_id OR o.company_id <> e.company_id
            OR o.account_id <> e.account_id OR m.company_id <> e.company_id
    """,
}


class PrepayWalletAudit(models.Model):
    """One check of the whole ledger against its rules, with what it found."""

    _name = "prepay.wallet.audit"
    _description = "Wallet Audit"
    _inherit = ["mail.thread"]
    _order = "id desc"
    _rec_name = "run_at"

    run_at = fields.Datetime(required=True, readonly=True, default=fields.Datetime.now)
    user_id = fields.Many2one(
        "res.users", string="By", readonly=True, default=lambda self: self.env.user
    )
    entry_count = fields.Integer(string="Entries", readonly=True)
    seconds = fields.Float(readonly=True, digits=(8, 2))
    problem_count = fields.Integer(string="Violations", readonly=True)
    state = fields.Selection(
        [("passed", "Passed"), ("failed", "Failed")], required=True, readonly=True
    )
    details = fields.Text(readonly=True)

    @api.model
    def _run(self, limit=100):
        """Check all entries of all companies and keep the result.

        :param limit: violations of each rule that are named
        """
        began = time.monotonic()
        found = self.env["prepay.ledger.entry"].sudo()._audit_money()
        self.env.cr.execute("SELECT COUNT(*) FROM prepay_ledger_entry")
        (entries,) = self.env.cr.fetchone()
        accounts = self.env["prepay.account"].sudo()
        lines = [
            f"{rule} · {accounts.browse(account_id).display_name or ''} · {value}"
            for rule, rows in found.items()
            for account_id, value in rows[:limit]
        ]
        count = sum(map(len, found.values()))
        audit = self.create(
            {
                "entry_count": entries,
                "seconds": time.monotonic() - began,
                "problem_count": count,
                "state": "failed" if count else "passed",
                "details": "\n".join(lines),
            }
        )
        if count:
            group = self.env.ref("prepay_meter.group_auditor").sudo()
            audit.message_post(
                body=self.env._("The ledger breaks %s rules. See the details.", len(lines)),
                partner_ids=group.all_user_ids.partner_id.ids,
                subtype_xmlid="mail.mt_comment",
            )
        return audit

    @api.model
    def _cron_audit(self):
        self._run()

    def action_audit(self):
        """Check the ledger now and show the result."""
        if not self.env.user.has_groups(
            "prepay_meter.group_auditor,prepay_billing.group_accountant,prepay_meter.group_admin"
        ):
            raise AccessError(self.env._("Only auditors and facility accountants may audit."))
        audit = self.sudo()._run()
        return {
            "type": "ir.actions.act_window",
            "res_model": self._name,
            "res_id": audit.id,
            "view_mode": "form",
        }
