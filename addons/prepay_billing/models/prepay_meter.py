from odoo import api, fields, models
from odoo.fields import Domain


class PrepayMeter(models.Model):
    _inherit = "prepay.meter"

    supply_ids = fields.One2many("prepay.account.meter", "meter_id", string="Account Assignments")
    account_id = fields.Many2one(
        "prepay.account",
        compute="_compute_account_id",
        search="_search_account_id",
    )
    essential_on = fields.Boolean(
        string="Essential Power Only",
        readonly=True,
        copy=False,
        help="The supply policy limits the power instead of cutting it.",
    )
    essential_before_w = fields.Integer(
        string="Overload Limit Before (W)", readonly=True, copy=False, aggregator=None
    )

    @api.depends("supply_ids.end_at")
    def _compute_account_id(self):
        for meter in self:
            meter.account_id = (
                meter.sudo().supply_ids.filtered(lambda supply: not supply.end_at)[:1].account_id
            )

    def _search_account_id(self, operator, value):
        present = Domain("end_at", "=", False)
        if operator == "in" and False in value:
            free = Domain("supply_ids", "not any", present)
            others = [item for item in value if item]
            return free | (Domain("account_id", "in", others) if others else Domain.FALSE)
        return Domain("supply_ids", "any", present & Domain("account_id", operator, value))

    def _limit_power(self, watts, reason):
        """Wish that the meter itself allows no more than ``watts``; remembers its limit before."""
        self.ensure_one()
        if not self.essential_on:
            self.write({"essential_on": True, "essential_before_w": self.overload_w})
        self.env["prepay.meter.parameter"]._request(self, "overload", watts, reason=reason)

    def _release_power(self, reason):
        """End the limit of the supply policy: wish for the limit before it."""
        self.ensure_one()
        before = self.essential_before_w
        self.write({"essential_on": False, "essential_before_w": 0})
        self.env["prepay.meter.parameter"]._request(self, "overload", before, reason=reason)
