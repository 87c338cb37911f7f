from odoo import fields, models


class PrepayReceiptLayoutCopy(models.Model):
    """A copy of a receipt, such as 存根联: its name, and whether it is printed."""

    _name = "prepay.receipt.layout.copy"
    _description = "Copy of a Receipt"
    _order = "sequence, id"
    _rec_name = "kind"

    layout_id = fields.Many2one(
        "prepay.receipt.layout", required=True, index=True, ondelete="cascade"
    )
    sequence = fields.Integer()
    kind = fields.Selection(
        [("stub", "Stub Copy"), ("customer", "Customer Copy"), ("finance", "Finance Copy")],
        string="Copy",
    )
    name = fields.Char(string="Name on Paper", translate=True)
    printed = fields.Boolean(default=True)

    _named = models.Constraint(
        "CHECK (kind IS NOT NULL OR COALESCE(name, '{}'::jsonb) <> '{}'::jsonb)",
        "A copy needs a name.",
    )

    def _title(self):
        kinds = dict(self._fields["kind"]._description_selection(self.env))
        return self.name or kinds.get(self.kind, "")
