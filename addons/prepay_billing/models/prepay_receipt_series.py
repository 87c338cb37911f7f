from odoo import fields, models

from .prepay_receipt import PREFIX


class PrepayReceiptSeries(models.Model):
    """The last number given in a series: of a company, a kind and a year, without gaps."""

    _name = "prepay.receipt.series"
    _description = "Series of Receipt Numbers"
    _log_access = False
    _order = "year desc, company_id, kind"
    _rec_name = "kind"

    company_id = fields.Many2one("res.company", required=True, readonly=True)
    kind = fields.Selection(
        lambda self: self.env["prepay.receipt"]._fields["kind"].selection,
        required=True,
        readonly=True,
    )
    year = fields.Integer(required=True, readonly=True, aggregator=None)
    last = fields.Integer(string="Last Number", required=True, readonly=True, aggregator=None)
    pending = fields.Integer(string="Without a Number", compute="_compute_check")
    missing = fields.Integer(string="Missing Numbers", compute="_compute_check")

    _series_unique = models.Constraint(
        "UNIQUE (company_id, kind, year)", "This series exists already."
    )

    def _compute_check(self):
        """Numbers of the series that no receipt carries (always 0), and receipts that wait for one."""
        self.env["prepay.receipt"].flush_model()
        self.env.cr.execute(
            """
            SELECT s.id, s.last - COUNT(r.serial), COUNT(*) FILTER (WHERE r.id IS NOT NULL AND r.serial IS NULL)
              FROM prepay_receipt_series s
              LEFT JOIN prepay_receipt r
                     ON (r.company_id, r.kind, r.year) = (s.company_id, s.kind, s.year)
             WHERE s.id = ANY(%s) GROUP BY s.id
            """,
            [self.ids],
        )
        rows = {series_id: row for series_id, *row in self.env.cr.fetchall()}
        for series in self:
            series.missing, series.pending = rows.get(series.id, (0, 0))

    def _compute_display_name(self):
        for series in self:
            series.display_name = f"{PREFIX[series.kind]}{series.year}"
