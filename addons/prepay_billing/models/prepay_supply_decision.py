from datetime import timedelta

from odoo import api, fields, models

from ..engine import supply


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
    action = fields.Selection(
        [
            ("open", "Cut"),
            ("close", "Restore"),
            ("limit", "Limit to Essential Power"),
            ("release", "End of Limit"),
        ],
        required=True,
        readonly=True,
    )
    batch_id = fields.Many2one(
        "prepay.supply.batch", index=True, readonly=True, ondelete="set null"
    )
    location_id = fields.Many2one(related="account_id.location_id", string="Room")
    evidence_at = fields.Datetime(
        string="Reading Of", readonly=True, help="Newest reading that the decision rests on."
    )
    final_notice_ok = fields.Boolean(string="Final Notice Delivered or Not Required", readonly=True)
    window_ok = fields.Boolean(string="Inside the Allowed Time", readonly=True)
    protected = fields.Boolean(string="Guaranteed", readonly=True)
    inflight = fields.Boolean(string="Payment or Command Open", readonly=True)
    site_id = fields.Many2one(related="batch_id.site_id", store=True, index=True)
    undone = fields.Boolean(readonly=True)
    decided_at = fields.Datetime(required=True, default=fields.Datetime.now, readonly=True)
    available = fields.Monetary(readonly=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    evidence = fields.Json(readonly=True, help="Every check with the value found and its limit.")
    evidence_html = fields.Html(string="Checks", compute="_compute_evidence_html", sanitize=False)
    undo_reason = fields.Char(string="Reason for Undoing", readonly=True)
    undone_by_id = fields.Many2one("res.users", readonly=True)
    command_id = fields.Many2one("prepay.meter.command", readonly=True)
    command_state = fields.Selection(related="command_id.state", string="Command State")

    def _compute_evidence_html(self):
        for decision in self:
            decision.evidence_html = self.env["prepay.account"]._render_checks(
                (decision.evidence or {}).get("checks", [])
            )

    def action_undo(self):
        """Open the dialogue that takes these cuts back."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_supply_undo_wizard_action"
        )
        action["context"] = {"default_decision_ids": self.ids}
        return action

    def _in_force(self):
        """Those cuts and limits that still hold: no newer wish stands on their meter."""
        return self.filtered(
            lambda cut: (
                (
                    cut.action == "open"
                    and cut.meter_id.desired_relay == "open"
                    and cut.meter_id.desired_cause == "arrears"
                    and cut.command_id.epoch == cut.meter_id.desired_epoch
                )
                or (cut.action == "limit" and cut.meter_id.essential_on and not cut.undone)
            )
        )

    @api.model
    def _carry_out(self, meter, decision, money, *, delay=0, batch=None, policies=None):
        """Wish for what was decided about a meter and keep the evidence of it.

        :param money: see ``_supply_money`` of accounts
        :param int delay: seconds before a relay is closed
        """
        account, meter = meter.account_id, meter.sudo()
        available = money[account.id].available
        words = account.company_id._prepay_env()
        reason = words._("Available %(amount)s CNY", amount=f"{available:.2f}")
        command = self.env["prepay.meter.command"]
        if decision.action == "limit":
            meter._limit_power(policies[account.id].essential_w, reason)
        elif decision.action == "release":
            meter._release_power(reason)
        elif decision.action == "open":
            command = meter._request_relay("open", "arrears", reason)
        else:
            command = meter._request_relay("closed", "restore", reason)
            if delay:
                command.not_before = fields.Datetime.now() + timedelta(seconds=delay)
            if meter.essential_on:
                meter._release_power(reason)
        passed = {check.code: check.passed for check in decision.checks}
        rated = account.supply_ids.filtered(
            lambda item: item.meter_id == meter and not item.end_at
        ).rated_at
        return self.create(
            {
                "account_id": account.id,
                "meter_id": meter.id,
                "action": decision.action,
                "available": float(available),
                "evidence": supply.evidence_dict(decision),
                "evidence_at": rated,
                "final_notice_ok": passed["notice"],
                "window_ok": all(
                    passed.get(code, True)
                    for code in ("window", "night", "working_day", "holiday_eve", "weather")
                ),
                "protected": not passed["protected"],
                "inflight": not (passed["payment"] and passed["command"]),
                "command_id": command.id,
                "batch_id": batch.id if batch else False,
            }
        )
