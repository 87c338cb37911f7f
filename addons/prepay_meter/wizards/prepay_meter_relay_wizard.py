from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError


class PrepayMeterRelayWizard(models.TransientModel):
    """Switch relays by hand, or guarantee the supply (保电), with a reason that stays in the journal."""

    _name = "prepay.meter.relay.wizard"
    _description = "Switch Supply"

    meter_ids = fields.Many2many("prepay.meter", string="Meters", required=True)
    meter_count = fields.Integer(compute="_compute_meter_count")
    action = fields.Selection(
        [
            ("closed", "Switch on"),
            ("open", "Switch off"),
            ("protect", "Guarantee the supply"),
            ("unprotect", "End the guarantee"),
        ],
        required=True,
        default="closed",
    )
    reason = fields.Char(required=True)

    @api.depends("meter_ids")
    def _compute_meter_count(self):
        for wizard in self:
            wizard.meter_count = len(wizard.meter_ids)

    def action_confirm(self):
        self.ensure_one()
        if not self.env.user.has_group("prepay_meter.group_operator"):
            raise AccessError(self.env._("Only operators may switch the supply."))
        self.meter_ids.check_access("read")
        meters = self.meter_ids.sudo()  # operators may switch a meter, not change its settings
        if self.action == "open":
            protected = meters.filtered("is_protected")
            if protected:
                raise UserError(
                    self.env._(
                        "Guaranteed supply: %s. End the guarantee before switching off.",
                        ", ".join(protected.mapped("number")),
                    )
                )
        if self.action in ("open", "closed"):
            lost = meters.filtered(lambda meter: not meter.gateway_id)
            if lost:
                raise UserError(
                    self.env._(
                        "No gateway reaches meter %s. Set its gateway first.",
                        ", ".join(lost.mapped("number")),
                    )
                )
            meters._request_relay(self.action, "operator", self.reason)
        else:
            protect = self.action == "protect"
            meters.write(
                {"is_protected": protect, "protected_reason": self.reason if protect else False}
            )
        return {"type": "ir.actions.act_window_close"}
