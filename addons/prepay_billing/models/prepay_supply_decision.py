from odoo import fields, models


class PrepaySupplyDecision(models.Model):
    """A cut or restore that the policy decided, with the evidence as it was (拉闸前核查)."""

    _name = "prepay.supply.decision"
    _description = "Supply Decision"
    _order = "id desc"
    _rec_name = "meter_id"

    account_id = fields.Many2one(
        "prepay.account", required=True, index=True, ondelete="restrict", readonly=True
    )
    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="restrict", readonly=True
    )
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    action = fields.Selection([("open", "Cut"), ("close", "Restore")], required=True, readonly=True)
    decided_at = fields.Datetime(required=True, default=fields.Datetime.now, readonly=True)
    available = fields.Monetary(readonly=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    evidence = fields.Json(readonly=True, help="Every check with the value found and its limit.")
    evidence_html = fields.Html(string="Checks", compute="_compute_evidence_html", sanitize=False)
    command_id = fields.Many2one("prepay.meter.command", readonly=True)
    command_state = fields.Selection(related="command_id.state", string="Command State")

    def _compute_evidence_html(self):
        for decision in self:
            decision.evidence_html = self.env["prepay.account"]._render_checks(
                (decision.evidence or {}).get("checks", [])
            )
