from odoo import api, fields, models
from odoo.exceptions import UserError


class PrepayShiftCount(models.Model):
    """How many notes or coins of a kind are in the drawer."""

    _name = "prepay.shift.count"
    _description = "Counted Notes and Coins"
    _order = "denomination desc"

    shift_id = fields.Many2one("prepay.shift", required=True, index=True, ondelete="cascade")
    currency_id = fields.Many2one(related="shift_id.currency_id")
    denomination = fields.Monetary(required=True, readonly=True)
    quantity = fields.Integer(string="Pieces")
    amount = fields.Monetary(compute="_compute_amount", store=True)

    _quantity_positive = models.Constraint(
        "CHECK (COALESCE(quantity, 0) >= 0)", "Pieces of notes and coins are zero or more."
    )

    @api.depends("denomination", "quantity")
    def _compute_amount(self):
        for line in self:
            line.amount = line.currency_id.round(line.denomination * line.quantity)

    def write(self, vals):
        for line in self if not self.env.su else ():
            if line.shift_id.state != "counting" or set(vals) != {"quantity"}:
                raise UserError(self.env._("Shift %s is not being counted.", line.shift_id.number))
        return super().write(vals)
