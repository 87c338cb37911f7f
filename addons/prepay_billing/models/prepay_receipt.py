import logging
from datetime import timezone

import psycopg2
from odoo import api, fields, models
from odoo.exceptions import UserError

_logger = logging.getLogger(__name__)

#: Letter of each kind in the number of the paper: S2026-000123. It is a kind of its own series.
PREFIX = {"topup": "S", "opening": "K", "refund": "T", "reversal": "C", "closing": "X"}
#: The serialized step gives up after that; the scheduled action or the print does it then.
LOCK_TIMEOUT = "5s"
_PENDING = """
SELECT id, company_id, kind, year FROM prepay_receipt
 WHERE serial IS NULL ORDER BY company_id, kind, year, id
"""
_NEXT = """
INSERT INTO prepay_receipt_series AS s (company_id, kind, year, last) VALUES (%s, %s, %s, %s)
ON CONFLICT (company_id, kind, year) DO UPDATE SET last = s.last + EXCLUDED.last RETURNING last
"""
_GIVE = """
UPDATE prepay_receipt r SET serial = v.serial, number = v.number
  FROM unnest(%s::int[], %s::int[], %s::varchar[]) AS v(id, serial, number)
 WHERE r.id = v.id AND r.serial IS NULL
"""


class PrepayReceipt(models.Model):
    """One paper of a document: what it says, its number, and how often it was printed.

    The row is made in the transaction of the document, without a number, so that documents never wait
    for each other. Numbers without gaps are given right after the commit, one short step at a time
    (:meth:`_number_pending`); a crash in between leaves a row for the scheduled action or the print.
    What the paper says is fixed when it is issued: a later print says the same.
    """

    _name = "prepay.receipt"
    _description = "Receipt"
    _order = "id desc"
    _rec_name = "number"
    _rec_names_search = ["number", "partner_id.name", "location_id"]
    _check_company_auto = True

    number = fields.Char(readonly=True, copy=False, index="trigram")
    serial = fields.Integer(readonly=True, copy=False, aggregator=None)
    year = fields.Integer(required=True, readonly=True, aggregator=None)
    kind = fields.Selection(
        [
            ("topup", "Sale"),
            ("opening", "Opening"),
            ("refund", "Refund"),
            ("reversal", "Reversal"),
            ("closing", "Closing"),
        ],
        required=True,
        readonly=True,
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    currency_id = fields.Many2one("res.currency", required=True, readonly=True)
    res_model = fields.Char(string="Document Model", required=True, readonly=True)
    res_id = fields.Many2oneReference(
        string="Document ID", model_field="res_model", required=True, readonly=True
    )
    document = fields.Char(readonly=True)
    account_id = fields.Many2one(
        "prepay.account", readonly=True, index="btree_not_null", ondelete="restrict"
    )
    partner_id = fields.Many2one(
        "res.partner", string="Tenant", readonly=True, index="btree_not_null", ondelete="restrict"
    )
    location_id = fields.Many2one(
        "prepay.location",
        string="Room",
        readonly=True,
        index="btree_not_null",
        ondelete="restrict",
    )
    amount = fields.Monetary(readonly=True, help="Positive is money paid in, negative paid out.")
    issued_at = fields.Datetime(string="Issued On", required=True, readonly=True, index=True)
    user_id = fields.Many2one("res.users", string="Issued By", readonly=True)
    reversed_id = fields.Many2one(
        "prepay.receipt", string="Reversed Receipt", readonly=True, index="btree_not_null"
    )
    lang = fields.Char(string="Language", readonly=True)
    snapshot = fields.Json(string="Printed Values", readonly=True)
    print_ids = fields.One2many(
        "prepay.receipt.print", "receipt_id", string="Prints", readonly=True
    )
    print_count = fields.Integer(compute="_compute_print_count")

    _serial_unique = models.Constraint(
        "UNIQUE (company_id, kind, year, serial)", "This receipt number exists already."
    )
    _document_unique = models.UniqueIndex(
        "(res_model, res_id, kind)", "This document has its receipt already."
    )
    _pending_idx = models.Index("(company_id, kind, year, id) WHERE serial IS NULL")

    def init(self):
        self.env.cr.execute("""
            CREATE OR REPLACE FUNCTION prepay_receipt_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE
                copy prepay_receipt;
            BEGIN
                IF TG_OP = 'UPDATE' AND OLD.serial IS NULL AND NEW.serial > 0 THEN
                    copy := NEW;
                    copy.serial := NULL;
                    copy.number := NULL;
                    IF copy IS NOT DISTINCT FROM OLD THEN
                        RETURN NEW;  -- only the number was given
                    END IF;
                END IF;
                RAISE EXCEPTION 'prepay_receipt never changes: % refused', TG_OP
                    USING ERRCODE = 'check_violation';
            END $$;
            CREATE OR REPLACE TRIGGER prepay_receipt_fixed BEFORE UPDATE OR DELETE ON prepay_receipt
                FOR EACH ROW EXECUTE FUNCTION prepay_receipt_fixed();
        """)

    @api.depends("print_ids")
    def _compute_print_count(self):
        counts = dict(
            self.env["prepay.receipt.print"]
            .sudo()
            ._read_group([("receipt_id", "in", self.ids)], ["receipt_id"], ["__count"])
        )
        for receipt in self:
            receipt.print_count = counts.get(receipt._origin, 0)

    @api.model_create_multi
    def create(self, vals_list):
        receipts = super().create(vals_list)
        if receipts and "prepay_receipt" not in self.env.cr.postcommit.data:
            self.env.cr.postcommit.data["prepay_receipt"] = True
            self.env.cr.postcommit.add(receipts._after_commit)
        return receipts

    def write(self, vals):
        if self and vals:
            raise UserError(self.env._("A receipt never changes. Reverse its document instead."))
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("A receipt is never deleted. Reverse its document instead."))

    # numbers

    def _after_commit(self):
        """Number what this transaction committed, in a transaction of its own.

        The document is safe already, so nothing here may fail it: what stays without a number gets it
        from the scheduled action or when it is printed.
        """
        self.env.cr.postcommit.data.pop("prepay_receipt", None)
        try:
            with self.env.registry.cursor() as cr:
                cr.execute("SET LOCAL lock_timeout = %s", [LOCK_TIMEOUT])
                api.Environment(cr, self.env.uid, {})["prepay.receipt"]._number_pending()
        except (psycopg2.Error, psycopg2.pool.PoolError) as error:
            _logger.warning("Receipts are numbered later: %s", error)

    @api.model
    def _number_pending(self):
        """Give the next numbers to all committed receipts that have none, in their order.

        The lock comes before the first look at the data, so that the view of this transaction
        (REPEATABLE READ) begins after its predecessor has ended. In a transaction that looked before,
        the database refuses the old view of the series, and the server repeats the request.
        """
        cr = self.env.cr
        cr.execute("LOCK TABLE prepay_receipt_series IN SHARE ROW EXCLUSIVE MODE")
        cr.execute(_PENDING)
        series = {}
        for receipt_id, *key in cr.fetchall():
            series.setdefault(tuple(key), []).append(receipt_id)
        for (company_id, kind, year), ids in series.items():
            cr.execute(_NEXT, [company_id, kind, year, len(ids)])
            (last,) = cr.fetchone()
            serials = list(range(last - len(ids) + 1, last + 1))
            numbers = [f"{PREFIX[kind]}{year}-{serial:06d}" for serial in serials]
            cr.execute(_GIVE, [ids, serials, numbers])
        self.invalidate_model(["serial", "number"])

    @api.model
    def _cron_number(self):
        """Number what a crash between a commit and its numbers left."""
        self._number_pending()

    def _ensure_numbers(self):
        if not all(self.mapped("serial")):
            self.flush_model()
            self._number_pending()

    # prints

    def _count_print(self, user_id):
        """Log that these are printed now; the first is the original, the others are reprints."""
        self.env["prepay.receipt.print"].create(
            [{"receipt_id": receipt.id, "user_id": user_id} for receipt in self]
        )

    def action_print(self):
        """The PDF; rendering it counts."""
        self.check_access("read")
        self.sudo()._ensure_numbers()
        return self.env.ref("prepay_billing.action_report_receipt").report_action(self)

    def action_print_on(self):
        """Choose another paper for once."""
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Print on Other Paper"),
            "res_model": "prepay.receipt.print.wizard",
            "view_mode": "form",
            "target": "new",
            "context": {"default_receipt_ids": self.ids},
        }

    def action_open_document(self):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": self.res_model,
            "res_id": self.res_id,
            "view_mode": "form",
        }

    # documents

    @api.model
    def _issue(self, documents):
        """The receipts of these documents for what they are now; made where there is none.

        :return: one receipt for each document, in their order
        """
        keys = {(document.id, document._receipt_kind()): document for document in documents}
        found = {
            (receipt.res_id, receipt.kind): receipt
            for receipt in self.search(
                [("res_model", "=", documents._name), ("res_id", "in", documents.ids)]
            )
        }
        todo = [key for key in keys if key not in found]
        made = self.create([self._prepare(keys[key]) for key in todo])
        found.update(zip(todo, made))
        return self.browse([found[key].id for key in keys])

    @api.model
    def _prepare(self, document):
        account = document._receipt_account()
        company = account.company_id or document.company_id
        lang = account.partner_id.lang or self.env.lang or "en_US"
        values = document.with_context(lang=lang)._receipt_values()
        issued_at = fields.Datetime.to_datetime(values["date"])
        local = issued_at.replace(tzinfo=timezone.utc).astimezone(account.location_id._zone())
        return {
            "kind": document._receipt_kind(),
            "year": local.year,
            "res_model": document._name,
            "res_id": document.id,
            "document": values["order_number"],
            "company_id": company.id,
            "currency_id": company.currency_id.id,
            "account_id": account.id,
            "partner_id": account.partner_id.id,
            "location_id": account.location_id.id,
            "amount": float(values["amount"] or 0),
            "issued_at": issued_at,
            "user_id": self.env.uid,
            "reversed_id": document._receipt_reversed().id,
            "lang": lang,
            "snapshot": values,
        }
