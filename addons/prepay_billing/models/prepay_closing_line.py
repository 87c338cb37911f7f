from odoo import fields, models


class PrepayClosingLine(models.Model):
    """The final reading of one meter of a closing."""

    _name = "prepay.closing.line"
    _description = "Final Reading"
    _inherit = ["prepay.tenancy.supply.line"]

    closing_id = fields.Many2one("prepay.closing", required=True, ondelete="cascade", index=True)
    company_id = fields.Many2one(related="closing_id.company_id")

    def _document(self):
        return self.closing_id
