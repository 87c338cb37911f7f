from odoo import fields, models


class ResCompany(models.Model):
    _inherit = "res.company"

    prepay_poll_minutes = fields.Float(
        string="Reading Interval (min)", default=30, digits=(8, 2), help="Proposed for new meters."
    )
