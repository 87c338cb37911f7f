from odoo import api, fields, models


class PrepayMeterProbeWizard(models.TransientModel):
    """Which live meter a profile is tried on."""

    _name = "prepay.meter.probe.wizard"
    _description = "Test a Profile Against a Meter"

    profile_id = fields.Many2one("prepay.meter.profile", required=True)
    meter_id = fields.Many2one(
        "prepay.meter",
        help="Choose a meter to take its gateway and address, or enter these by hand.",
    )
    gateway_id = fields.Many2one(
        "prepay.gateway",
        required=True,
        compute="_compute_target",
        store=True,
        readonly=False,
        precompute=True,
    )
    address = fields.Char(
        required=True, compute="_compute_target", store=True, readonly=False, precompute=True
    )
    served = fields.Boolean(compute="_compute_served")

    @api.depends("meter_id")
    def _compute_target(self):
        for wizard in self:
            if wizard.meter_id:
                wizard.gateway_id = wizard.meter_id.gateway_id
                wizard.address = wizard.meter_id.address
            else:
                wizard.gateway_id = wizard.gateway_id
                wizard.address = wizard.address

    @api.depends("gateway_id")
    def _compute_served(self):
        for wizard in self:
            wizard.served = not wizard.gateway_id or wizard.gateway_id._is_served()

    def action_test(self):
        self.ensure_one()
        meter = self.meter_id
        same = meter.gateway_id == self.gateway_id and meter.address == self.address
        probe = self.env["prepay.meter.probe"].create(
            {
                "profile_id": self.profile_id.id,
                "gateway_id": self.gateway_id.id,
                "address": (self.address or "").strip(),
                "meter_id": same and meter.id,
            }
        )
        return probe._open()
