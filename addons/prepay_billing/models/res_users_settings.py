from odoo import fields, models


class ResUsersSettings(models.Model):
    _inherit = "res.users.settings"

    prepay_board_location_id = fields.Many2one(
        "prepay.location",
        string="Site of the Room Board",
        ondelete="set null",
        index="btree_not_null",
    )
    prepay_board_medium = fields.Selection(
        [("both", "Power and Water"), ("electricity", "Electricity"), ("water", "Water")],
        string="Medium of the Room Board",
    )
