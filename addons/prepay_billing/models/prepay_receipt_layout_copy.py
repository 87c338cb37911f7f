from odoo import fields, models


class PrepayReceiptLayoutCopy(models.Model):
    """A copy of a receipt, such as 存根联: its name, and whether it is printed."""

    _name = "prepay.receipt.layout.copy"
    _description = "Copy of a Receipt"
    _order = "sequence, id"

    layout_id = fields.Many2one(
        "prepay.receipt.layout", required=True, index=True, ondelete="cascade"
    )
    sequence = fields.Integer()
    name = fields.Char(required=True, translate=True)
    printed = fields.Boolean(default=True)
