from odoo import api, fields, models


class PrepayRoomChangeLine(models.Model):
    """The reading of a meter that a tenant leaves or takes over at a room change."""

    _name = "prepay.room.change.line"
    _description = "Reading of a Room Change"
    _inherit = ["prepay.tenancy.supply.line"]

    change_id = fields.Many2one("prepay.room.change", required=True, ondelete="cascade", index=True)
    company_id = fields.Many2one(related="change_id.company_id")
    supply_id = fields.Many2one(required=False)
    tariff_id = fields.Many2one(
        "prepay.tariff",
        string="Tariff From Now On",
        ondelete="restrict",
        domain="[('medium', '=', medium), ('company_id', '=', company_id)]",
    )
    taker_id = fields.Many2one(
        "prepay.account", string="Taken Over By", compute="_compute_taker_id"
    )

    @api.depends("meter_id", "change_id.account_id", "change_id.swap_account_id")
    def _compute_taker_id(self):
        for line in self:
            line.taker_id = line._taker()

    def _document(self):
        return self.change_id

    def _taker(self):
        """The account that pays for the meter afterwards."""
        self.ensure_one()
        change = self.change_id
        leaves = self.supply_id.account_id._origin == change.account_id._origin
        return change.swap_account_id._origin if leaves else change.account_id._origin
