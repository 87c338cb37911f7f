from odoo import fields, models


class PrepayHandoverLine(models.Model):
    """The reading of one meter that passes from tenant to tenant."""

    _name = "prepay.handover.line"
    _description = "Reading of a Hand-over"
    _inherit = ["prepay.tenancy.supply.line"]

    handover_id = fields.Many2one("prepay.handover", required=True, ondelete="cascade", index=True)
    company_id = fields.Many2one(related="handover_id.company_id")

    def _document(self):
        return self.handover_id
