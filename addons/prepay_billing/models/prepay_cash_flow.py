from odoo import fields, models
from odoo.tools import SQL


class PrepayCashFlow(models.Model):
    """All money in and out, at the counter and online, one row for each: for queries and shifts.

    Rows are read from sales, refunds and their reversals at once; nothing is stored. Positive is money
    received, negative is money paid out. A reversed sale stays, its reversal is a row of its own.
    """

    _name = "prepay.cash.flow"
    _description = "Money In and Out"
    _auto = False
    _order = "at desc, id desc"
    _rec_name = "number"
    _depends = {
        "prepay.topup": [
            "number", "account_id", "partner_id", "location_id", "company_id", "amount", "method",
            "state", "paid_at", "cashier_id", "shift_id", "note",
        ],
        "prepay.refund": [
            "number", "account_id", "partner_id", "location_id", "company_id", "amount", "method",
            "state", "posted_at", "reversed_at", "requested_id", "shift_id", "reason",
        ],
        "prepay.reversal": [
            "number", "account_id", "partner_id", "location_id", "company_id", "amount", "method",
            "state", "posted_at", "requested_id", "shift_id", "reason",
        ],
        "prepay.location": ["building_id", "tz"],
    }  # fmt: skip

    kind = fields.Selection(
        [
            ("sale", "Sale"),
            ("reversal", "Reversal of a Sale"),
            ("refund", "Refund"),
            ("refund_reversal", "Reversal of a Refund"),
        ],
        readonly=True,
    )
    number = fields.Char(readonly=True)
    at = fields.Datetime(string="Time", readonly=True)
    day = fields.Date(readonly=True, help="Day at the site.")
    amount = fields.Monetary(readonly=True)
    method = fields.Selection(
        selection=lambda self: (
            self.env["prepay.topup"]._fields["method"]._description_selection(self.env)
        ),
        readonly=True,
    )
    is_reversed = fields.Boolean(string="Reversed", readonly=True)
    cashier_id = fields.Many2one("res.users", readonly=True)
    shift_id = fields.Many2one("prepay.shift", readonly=True)
    account_id = fields.Many2one("prepay.account", readonly=True)
    partner_id = fields.Many2one("res.partner", string="Tenant", readonly=True)
    location_id = fields.Many2one("prepay.location", string="Room", readonly=True)
    building_id = fields.Many2one("prepay.location", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    note = fields.Char(readonly=True)
    res_model = fields.Char(string="Document Model", readonly=True)
    res_id = fields.Many2oneReference(string="Document", model_field="res_model", readonly=True)

    @property
    def _table_query(self):
        """Each part is found by the index of its time or of its shift."""
        return SQL(
            """
            SELECT f.*, (f.at AT TIME ZONE 'UTC' AT TIME ZONE COALESCE(l.tz, 'Asia/Shanghai'))::date AS day,
                   COALESCE(l.building_id, l.id) AS building_id
              FROM (
                SELECT t.id::bigint * 4 AS id, 'sale' AS kind, t.number, t.paid_at AS at, t.amount, t.method,
                       t.state = 'reversed' AS is_reversed, t.cashier_id, t.shift_id, t.account_id,
                       t.partner_id, t.location_id, t.company_id, t.note,
                       'prepay.topup' AS res_model, t.id AS res_id
                  FROM prepay_topup t WHERE t.state IN ('done', 'reversed')
                UNION ALL
                SELECT v.id::bigint * 4 + 1, 'reversal', v.number, v.posted_at, -v.amount, v.method, FALSE,
                       v.requested_id, v.shift_id, v.account_id, v.partner_id, v.location_id, v.company_id,
                       v.reason, 'prepay.reversal', v.id
                  FROM prepay_reversal v WHERE v.state = 'done'
                UNION ALL
                SELECT r.id::bigint * 4 + 2, 'refund', r.number, r.posted_at, -r.amount, r.method,
                       r.state = 'reversed', r.requested_id, r.shift_id, r.account_id, r.partner_id,
                       r.location_id, r.company_id, r.reason, 'prepay.refund', r.id
                  FROM prepay_refund r WHERE r.state IN ('done', 'reversed')
                UNION ALL
                SELECT r.id::bigint * 4 + 3, 'refund_reversal', r.number, r.reversed_at, r.amount, r.method,
                       FALSE, r.requested_id, r.shift_id, r.account_id, r.partner_id, r.location_id,
                       r.company_id, r.reason, 'prepay.refund', r.id
                  FROM prepay_refund r WHERE r.state = 'reversed'
              ) f
              JOIN prepay_location l ON l.id = f.location_id
            """
        )

    def action_open_document(self):
        """Open the sale, refund or reversal."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": self.res_model,
            "res_id": self.res_id,
            "view_mode": "form",
        }
