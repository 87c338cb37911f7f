from odoo import fields, models
from odoo.exceptions import UserError


class PrepaySaleWizard(models.TransientModel):
    _inherit = "prepay.sale.wizard"

    method = fields.Selection(selection="_counter_methods")

    def _counter_methods(self):
        """Online money comes through the inbox; nobody takes it at the counter."""
        methods = self.env["prepay.topup"]._fields["method"]._description_selection(self.env)
        return [(code, label) for code, label in methods if code != "online"]

    def _check_sale(self):
        if self.method == "online":
            raise UserError(self.env._("Online payments are not taken at the counter."))
        return super()._check_sale()
