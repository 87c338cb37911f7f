from odoo import fields, models
from odoo.tools import SQL


class PrepayShiftTotal(models.Model):
    """Sums of a shift by method of payment, read from what was sold, refunded and reversed."""

    _name = "prepay.shift.total"
    _description = "Totals of a Shift"
    _auto = False
    _order = "shift_id, method"
    _rec_name = "method"
    _depends = {
        "prepay.cash.flow": ["kind", "method", "amount", "shift_id", "company_id", "cashier_id"]
    }

    shift_id = fields.Many2one("prepay.shift", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    method = fields.Selection(
        selection=lambda self: (
            self.env["prepay.topup"]._fields["method"]._description_selection(self.env)
        ),
        readonly=True,
    )
    count = fields.Integer(string="Number of Vouchers", readonly=True)
    sales = fields.Monetary(readonly=True)
    reversals = fields.Monetary(readonly=True, help="Of sales and of refunds.")
    refunds = fields.Monetary(readonly=True)
    net = fields.Monetary(readonly=True, help="Money taken less money paid out.")

    @property
    def _table_query(self):
        return SQL(
            """
            SELECT MIN(f.id) AS id, f.shift_id, f.company_id, f.method, COUNT(*) AS count,
                   COALESCE(SUM(f.amount) FILTER (WHERE f.kind = 'sale'), 0) AS sales,
                   COALESCE(SUM(f.amount) FILTER (WHERE f.kind IN ('reversal', 'refund_reversal')), 0)
                       AS reversals,
                   COALESCE(SUM(f.amount) FILTER (WHERE f.kind = 'refund'), 0) AS refunds,
                   SUM(f.amount) AS net
              FROM (%s) f
             WHERE f.shift_id IS NOT NULL
             GROUP BY f.shift_id, f.company_id, f.method
            """,
            self.env["prepay.cash.flow"]._table_query,
        )
