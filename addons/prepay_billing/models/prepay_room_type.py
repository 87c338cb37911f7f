from odoo import fields, models


class PrepayRoomType(models.Model):
    """A type of room, such as a six-bed dormitory or a shop, with what holds for all of them."""

    _name = "prepay.room.type"
    _description = "Room Type"
    _order = "name"
    _check_company_auto = True

    name = fields.Char(required=True, translate=True)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company, index=True
    )
    policy_id = fields.Many2one(
        "prepay.supply.policy",
        string="Supply Policy",
        check_company=True,
        help="For rooms of this type that have none of their own.",
    )

    _name_unique = models.Constraint(
        "UNIQUE (company_id, name)", "This company has a room type of this name."
    )
