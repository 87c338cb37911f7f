from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..charging import as_array
from ..engine import ledger
from ..engine.errors import LedgerError
from .prepay_wallet_audit import CHECKS

#: Documents that take or pay out money; what they post reaches the general ledger.
MONEY_DOCUMENTS = ("prepay.topup", "prepay.refund", "prepay.reversal")
MONEY_KINDS = ("topup", "refund", "reversal")


class PrepayLedgerEntry(models.Model):
    """Wallet ledger: append-only, positive is money of the tenant, negative is money taken.

    Everything goes through :meth:`_post`. A row never changes (trigger); only its journal entry is
    filled in, once, when the general ledger follows. A mistake is undone by an entry that names it.
    """

    _name = "prepay.ledger.entry"
    _description = "Wallet Entry"
    _order = "id desc"
    _log_access = False
    _rec_name = "reason"

    # No index of its own: the index of the balance begins with the account.
    account_id = fields.Many2one(
        "prepay.account", required=True, ondelete="restrict", readonly=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    kind = fields.Selection(
        [
            ("opening", "Opening Balance"),
            ("topup", "Top-up"),
            ("grant", "Subsidy"),
            ("expiry", "Unused Subsidy Cleared"),
            ("charge", "Consumption"),
            ("refund", "Refund"),
            ("transfer", "Transfer"),
            ("adjustment", "Adjustment"),
            ("correction", "Correction"),
            ("reversal", "Reversal"),
        ],
        required=True,
        readonly=True,
    )
    bucket = fields.Selection(
        [("principal", "Own Money"), ("granted", "Granted")],
        required=True,
        default="principal",
        readonly=True,
    )
    amount = fields.Monetary(required=True, readonly=True)
    key = fields.Char(required=True, readonly=True, help="The same key can never post twice.")
    at = fields.Datetime(string="Posted On", required=True, readonly=True)
    reason = fields.Char(required=True, readonly=True)
    user_id = fields.Many2one("res.users", string="By", required=True, readonly=True)
    res_model = fields.Char(string="Document Model", readonly=True)
    res_id = fields.Many2oneReference(string="Document", model_field="res_model", readonly=True)
    reverses_id = fields.Many2one("prepay.ledger.entry", readonly=True, index="btree_not_null")
    move_id = fields.Many2one(
        "account.move", string="Journal Entry", readonly=True, index="btree_not_null"
    )
    running_balance = fields.Monetary(
        string="Balance After",
        compute="_compute_running_balance",
        help="Own and granted money of the account after this entry.",
    )
    reversed_by_id = fields.Many2one("prepay.ledger.entry", compute="_compute_reversed_by_id")

    _key_unique = models.Constraint("UNIQUE (key)", "This posting exists already.")
    _reverses_unique = models.UniqueIndex(
        "(reverses_id) WHERE kind = 'reversal'", "An entry can be reversed only once."
    )
    _amount_nonzero = models.Constraint("CHECK (amount <> 0)", "An entry of zero says nothing.")
    _wallet_idx = models.Index("(account_id, id) INCLUDE (bucket, amount)")
    _document_idx = models.Index("(res_model, res_id) WHERE res_model <> 'prepay.charge'")
    _unposted_idx = models.Index("(company_id, kind) WHERE move_id IS NULL")

    def init(self):
        self.env.cr.execute("""
            CREATE OR REPLACE FUNCTION prepay_ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE
                copy prepay_ledger_entry;
            BEGIN
                IF TG_OP = 'UPDATE' AND OLD.move_id IS NULL THEN
                    copy := NEW;
                    copy.move_id := NULL;
                    IF copy IS NOT DISTINCT FROM OLD THEN
                        RETURN NEW;  -- only the journal entry was filled in
                    END IF;
                END IF;
                RAISE EXCEPTION 'prepay_ledger_entry is append-only: % refused', TG_OP
                    USING ERRCODE = 'check_violation';
            END $$;
            CREATE OR REPLACE TRIGGER prepay_ledger_append_only BEFORE UPDATE OR DELETE ON prepay_ledger_entry
                FOR EACH ROW EXECUTE FUNCTION prepay_ledger_append_only();
        """)

    @api.depends("account_id", "amount")
    def _compute_running_balance(self):
        """Sums of the account up to the entry, in the order of the entries."""
        self.env.cr.execute(
            """
            SELECT e.id, r.balance::text
              FROM prepay_ledger_entry e
             CROSS JOIN LATERAL (SELECT SUM(x.amount) AS balance FROM prepay_ledger_entry x
                                  WHERE x.account_id = e.account_id AND x.id <= e.id) r
             WHERE e.id = ANY(%s)
            """,
            [list(self._origin.ids)],
        )
        balances = dict(self.env.cr.fetchall())
        for entry in self:
            entry.running_balance = float(balances.get(entry._origin.id) or 0)

    def _compute_reversed_by_id(self):
        reversals = self.sudo().search([("reverses_id", "in", self.ids), ("kind", "=", "reversal")])
        by_entry = {reversal.reverses_id.id: reversal.id for reversal in reversals}
        for entry in self:
            entry.reversed_by_id = by_entry.get(entry.id)

    @api.model
    def _post(self, postings):
        """Post entries to wallets; a key that exists already posts nothing.

        :param postings: dicts with account (record), kind, amount (Decimal, CNY, signed), key, reason;
            optional bucket, document (record), reverses (entry)
        :return: the entries, in the order of ``postings``, whether new or posted before
        :raises UserError: an amount or kind that breaks a rule of the ledger
        """
        rows = []
        for posting in postings:
            account, bucket = posting["account"], posting.get("bucket", ledger.PRINCIPAL)
            reverses, document = posting.get("reverses"), posting.get("document")
            try:
                ledger.validate_entry(
                    posting["kind"],
                    posting["amount"],
                    bucket=bucket,
                    reverses=reverses
                    and ledger.Entry(reverses.kind, reverses._exact_amount(), reverses.bucket),
                )
            except LedgerError as error:
                raise UserError(self._explain_refusal(account, posting["amount"], error)) from None
            rows.append(
                SQL(
                    "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    account.id,
                    account.company_id.id,
                    posting["kind"],
                    bucket,
                    posting["amount"],
                    posting["key"],
                    fields.Datetime.now(),
                    posting["reason"],
                    self.env.uid,
                    document._name if document else None,
                    document.id if document else None,
                    reverses.id if reverses else None,
                )
            )
        if not rows:
            return self.browse()
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO prepay_ledger_entry (account_id, company_id, kind, bucket, amount, key, at, reason,
                                                 user_id, res_model, res_id, reverses_id)
                VALUES %s ON CONFLICT (key) DO NOTHING
                """,
                SQL(", ").join(rows),
            )
        )
        keys = [posting["key"] for posting in postings]
        self.env.cr.execute("SELECT key, id FROM prepay_ledger_entry WHERE key = ANY(%s)", [keys])
        ids = dict(self.env.cr.fetchall())
        self.invalidate_model()
        self.env["prepay.account"].invalidate_model(["balance", "granted", "accrued", "available"])
        return self.browse([ids[key] for key in keys])

    @api.model
    def _post_rows(self, rows):
        """Post many entries of charges by one statement; a key that exists already posts nothing.

        :param rows: tuples (account id, company id, kind, bucket, amount as Decimal, key, reason,
            document model, document id)
        :return: entry id by key, whether new or posted before
        :raises LedgerError: an amount or kind that breaks a rule of the ledger
        """
        if not rows:
            return {}
        for _account, _company, kind, bucket, amount, *_rest in rows:
            ledger.validate_entry(kind, amount, bucket=bucket)
        accounts, companies, kinds, buckets, amounts, keys, reasons, models_, documents = map(
            list, zip(*rows)
        )
        self.env.cr.execute(
            """
            INSERT INTO prepay_ledger_entry (account_id, company_id, kind, bucket, amount, key, reason,
                                             res_model, res_id, at, user_id)
            SELECT v.*, %s, %s
              FROM unnest(%s::int[], %s::int[], %s::varchar[], %s::varchar[], %s::numeric[], %s::varchar[],
                          %s::varchar[], %s::varchar[], %s::int[]) AS v
            ON CONFLICT (key) DO NOTHING RETURNING key, id
            """,
            [
                fields.Datetime.now(),
                self.env.uid,
                as_array(accounts),
                as_array(companies),
                as_array(kinds),
                as_array(buckets),
                as_array(amounts),
                as_array(keys),
                reasons,
                as_array(models_),
                as_array(documents),
            ],
        )
        ids = dict(self.env.cr.fetchall())
        known = [key for key in keys if key not in ids]
        if known:
            self.env.cr.execute(
                "SELECT key, id FROM prepay_ledger_entry WHERE key = ANY(%s)", [known]
            )
            ids.update(self.env.cr.fetchall())
        self.invalidate_model()
        return ids

    def _check_reversal(self, kinds=None):
        """Refuse to undo entries that are undone already or, with ``kinds``, of another kind.

        Taking back money needs that it is still there: own money that was spent stays spent.
        """
        labels = dict(self._fields["kind"]._description_selection(self.env))
        debits = {}
        for entry in self:
            if entry.reversed_by_id:
                raise UserError(
                    self.env._(
                        "Account %(account)s: the entry of %(amount)s is reversed already.",
                        account=entry.account_id.display_name,
                        amount=f"{entry.amount:.2f}",
                    )
                )
            if kinds and entry.kind not in kinds:
                raise UserError(
                    self.env._(
                        "Account %(account)s: %(kind)s is not reversed here. Open its document, or enter an "
                        "adjustment.",
                        account=entry.account_id.display_name,
                        kind=labels[entry.kind],
                    )
                )
            if entry.bucket == ledger.PRINCIPAL and entry.amount > 0:
                debits[entry.account_id] = (
                    debits.get(entry.account_id, Decimal(0)) + entry._exact_amount()
                )
        if debits:
            self.env["prepay.wallet.guard"].sudo()._check_debits(debits)

    def _post_reversal(self, reason, document):
        """Post the exact opposite of these entries."""
        return self._post(
            [
                {
                    "account": entry.account_id,
                    "kind": "reversal",
                    "bucket": entry.bucket,
                    "amount": -entry._exact_amount(),
                    "key": f"reversal:{entry.id}",
                    "reason": reason,
                    "document": document,
                    "reverses": entry,
                }
                for entry in self
            ]
        )

    def _exact_amount(self):
        self.ensure_one()
        self.env.cr.execute("SELECT amount::text FROM prepay_ledger_entry WHERE id = %s", [self.id])
        return Decimal(self.env.cr.fetchone()[0])

    def _explain_refusal(self, account, amount, error):
        remedies = {
            "amount_zero": self.env._("Enter an amount other than zero."),
            "amount_decimals": self.env._("Amounts have at most two decimals."),
            "amount_absurd": self.env._("Amounts above 1,000,000 are refused."),
            "amount_sign": self.env._("The sign of the amount does not fit the kind of entry."),
            "bucket_invalid": self.env._(
                "This kind of entry never touches that part of the wallet."
            ),
            "reversal_reversed": self.env._("A reversal cannot be reversed."),
            "reversal_differs": self.env._("A reversal has exactly the opposite amount."),
        }
        return self.env._(
            "Account %(account)s: %(amount)s refused. %(remedy)s",
            account=account.display_name,
            amount=amount if isinstance(amount, Decimal) else str(amount),
            remedy=remedies.get(error.code, error.detail),
        )

    def action_reverse(self):
        """Enter a reversal of this entry."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Reverse"),
            "res_model": "prepay.wallet.adjustment",
            "view_mode": "form",
            "context": {
                "default_account_id": self.account_id.id,
                "default_entry_id": self.id,
                "default_bucket": self.bucket,
                "default_amount": -self.amount,
            },
        }

    def action_open_document(self):
        """Open what the entry was posted for, else the account."""
        self.ensure_one()
        document = self.env[self.res_model].browse(self.res_id) if self.res_model else None
        if document is None or not document.exists():
            return {
                "type": "ir.actions.act_window",
                "res_model": "prepay.account",
                "res_id": self.account_id.id,
                "view_mode": "form",
            }
        return {
            "type": "ir.actions.act_window",
            "res_model": self.res_model,
            "res_id": self.res_id,
            "view_mode": "form",
        }

    # audit

    @api.model
    def _audit_money(self):
        """Rows that break a rule of the ledger, by rule: {code: [(account id, value), ...]}.

        No rows: the rule holds. Codes are those of the invariants (M-01 ...).
        """
        self.env.flush_all()
        found = {}
        for rule, statement in CHECKS.items():
            self.env.cr.execute(statement)
            found[rule] = self.env.cr.fetchall()
        return found

    # general ledger

    @api.model
    def _cron_post_general_ledger(self):
        """Let the general ledger follow the wallets, company by company.

        Money that was received is never refused: where an account is missing or the period is locked,
        the wallet entries wait and the company shows what to do.
        """
        self.env.cr.execute(
            "SELECT DISTINCT company_id FROM prepay_ledger_entry "
            "WHERE move_id IS NULL AND kind = ANY(%s) AND res_model = ANY(%s)",
            [list(MONEY_KINDS), list(MONEY_DOCUMENTS)],
        )
        for company in self.env["res.company"].browse([row[0] for row in self.env.cr.fetchall()]):
            move, problem = True, False
            while move:
                try:
                    with self.env.cr.savepoint():
                        move = self._post_topups(company)
                except UserError as error:
                    move, problem = False, str(error)
                if not self.env["ir.cron"]._commit_progress(1):
                    return
            if company.prepay_ledger_problem != problem:
                company.prepay_ledger_problem = problem

    @api.model
    def _debit_account(self, company, document):
        """Where the money of a sale, refund or reversal stands. Extended by payment addons."""
        return company._prepay_money_account(document.method)

    @api.model
    def _post_topups(self, company, limit=1000):
        """Post the oldest day of top-ups, refunds and reversals of a company that have no journal entry.

        One balanced entry for each run and local day of the site. Debit where the money stands, credit
        the prepayment liability (合同负债/预收账款): money received for a future delivery is no income
        (CAS 14). Refunds the other way round; reversals in red where the company books so (红字).

        :return: the journal entry, empty when there was nothing to post
        :raises UserError: an account or the journal is not set, or the period is locked
        """
        company = company.with_company(company)
        self.env.cr.execute(
            """
            SELECT e.id, e.kind, e.res_model, e.res_id, e.amount::text,
                   (e.at AT TIME ZONE 'UTC' AT TIME ZONE l.tz)::date AS day
              FROM prepay_ledger_entry e
              JOIN prepay_account a ON a.id = e.account_id
              JOIN prepay_location l ON l.id = a.location_id
             WHERE e.company_id = %s AND e.move_id IS NULL AND e.kind = ANY(%s)
               AND e.res_model = ANY(%s)
             ORDER BY day, e.id LIMIT %s
            """,
            [company.id, list(MONEY_KINDS), list(MONEY_DOCUMENTS), limit],
        )
        rows = self.env.cr.fetchall()
        if not rows:
            return self.env["account.move"]
        day = rows[0][-1]
        rows = [row for row in rows if row[-1] == day]
        documents = {
            name: self.env[name].browse(dict.fromkeys(row[3] for row in rows if row[2] == name))
            for name in MONEY_DOCUMENTS
        }
        debited = {
            document: self._debit_account(company, document)
            for group in documents.values()
            for document in group
        }
        self._check_accounting(company, debited)
        # Gross by kind: a sale and its reversal of one day both show.
        totals = {}
        for _id, kind, model, document_id, amount, _day in rows:
            account = debited[self.env[model].browse(document_id)]
            for side, signed in (
                (account, Decimal(amount)),
                (company.prepay_liability_account_id, -Decimal(amount)),
            ):
                totals[side, kind] = totals.get((side, kind), Decimal(0)) + signed
        words = company._prepay_env()
        names = {
            "topup": words._("Prepayments %s", day),
            "refund": words._("Refunds of prepayments %s", day),
            "reversal": words._("Reversals of prepayments %s", day),
        }
        lines = [
            {
                "name": names[kind],
                "account_id": account.id,
                "balance": float(total),
                **({"is_storno": True} if kind == "reversal" and company.account_storno else {}),
            }
            for (account, kind), total in totals.items()
            if total
        ]
        move = (
            self.env["account.move"]
            .with_company(company)
            .create(
                {
                    "move_type": "entry",
                    "journal_id": company.prepay_journal_id.id,
                    "date": day,
                    "ref": words._("%s top-ups and refunds", len(rows)),
                    "line_ids": [(0, 0, line) for line in lines],
                }
            )
        )
        move.action_post()
        entries = self.browse([row[0] for row in rows])
        self.env.cr.execute(
            "UPDATE prepay_ledger_entry SET move_id = %s WHERE id = ANY(%s)", [move.id, entries.ids]
        )
        entries.invalidate_recordset(["move_id"])
        return move

    @api.model
    def _check_accounting(self, company, debited):
        """Name the setting that is missing.

        :param debited: account where the money stands, by document
        """
        methods = {
            document.method: document for document, account in debited.items() if not account
        }
        missing = [
            label
            for label, value in (
                (self.env._("Prepayment Journal"), company.prepay_journal_id),
                (self.env._("Prepayment Liability"), company.prepay_liability_account_id),
            )
            if not value
        ]
        missing += [
            self.env._(
                "account for money by %s",
                dict(document._fields["method"]._description_selection(document.env))[method],
            )
            for method, document in methods.items()
        ]
        if missing:
            raise UserError(
                self.env._(
                    "Company %(company)s: not set: %(missing)s. Open Settings, Prepaid Utilities, Accounting "
                    "and press “Set Up What Is Missing”.",
                    company=company.name,
                    missing=", ".join(missing),
                )
            )
