from odoo import fields, models


class PrepayOpeningUndoWizard(models.TransientModel):
    """Asks why an opening is undone."""

    _name = "prepay.opening.undo.wizard"
    _description = "Undo an Opening"

    opening_id = fields.Many2one("prepay.opening", required=True, readonly=True)
    account_id = fields.Many2one(related="opening_id.account_id")
    topup_ids = fields.One2many(related="opening_id.topup_ids")
    reason = fields.Char(required=True)

    def action_undo(self):
        self.ensure_one()
        self.opening_id._undo(self.reason)
