from odoo import fields, models


class ResUsers(models.Model):
    _inherit = "res.users"

    prepay_print_sale = fields.Boolean(
        string="Print After Sale", default=True, help="The counter prints each receipt by itself."
    )
