from odoo import fields, models


class PrepayLocation(models.Model):
    _inherit = "prepay.location"

    account_ids = fields.One2many("prepay.account", "location_id", string="Accounts")
    area = fields.Float(string="Area (m²)", digits=(10, 2), help="For sharing costs by area.")

    _area_positive = models.Constraint("CHECK (area >= 0)", "An area is zero or more.")
