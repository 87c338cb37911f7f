from odoo import fields, models


class PrepayLocation(models.Model):
    _inherit = "prepay.location"

    account_ids = fields.One2many("prepay.account", "location_id", string="Accounts")
