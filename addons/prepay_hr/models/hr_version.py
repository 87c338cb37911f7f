from odoo import models


class HrVersion(models.Model):
    _inherit = "hr.version"

    def write(self, vals):
        result = super().write(vals)
        if vals.get("departure_date"):
            self.employee_id._prepay_end_stays(vals["departure_date"])
        return result
