from odoo import api, models


class PrepayCounter(models.AbstractModel):
    _inherit = "prepay.counter"

    @api.model
    def _methods(self, company):
        """Online money comes through the inbox; nobody takes it at the counter."""
        return [code for code in super()._methods(company) if code != "online"]
