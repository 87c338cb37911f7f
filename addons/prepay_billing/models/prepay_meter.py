from odoo import api, fields, models


class PrepayMeter(models.Model):
    _inherit = "prepay.meter"

    supply_ids = fields.One2many("prepay.account.meter", "meter_id", string="Account Assignments")
    account_id = fields.Many2one(
        "prepay.account",
        compute="_compute_account_id",
        search="_search_account_id",
    )

    @api.depends("supply_ids.end_at")
    def _compute_account_id(self):
        for meter in self:
            meter.account_id = (
                meter.sudo().supply_ids.filtered(lambda supply: not supply.end_at)[:1].account_id
            )

    def _search_account_id(self, operator, value):
        return [("supply_ids", "any", [("end_at", "=", False), ("account_id", operator, value)])]
