from odoo import api, fields, models
from odoo.exceptions import UserError


class PrepayReceiptPrint(models.Model):
    """That somebody printed a receipt; from the second print on the paper says so (补打)."""

    _name = "prepay.receipt.print"
    _description = "Print of a Receipt"
    _order = "id"
    _log_access = False
    _rec_name = "receipt_id"

    receipt_id = fields.Many2one(
        "prepay.receipt", required=True, readonly=True, index=True, ondelete="restrict"
    )
    user_id = fields.Many2one("res.users", string="By", required=True, readonly=True)
    printed_at = fields.Datetime(
        string="Printed On", required=True, readonly=True, default=fields.Datetime.now
    )

    def write(self, vals):
        if self and vals:
            raise UserError(self.env._("The log of prints never changes."))
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_never(self):
        raise UserError(self.env._("The log of prints never changes."))
