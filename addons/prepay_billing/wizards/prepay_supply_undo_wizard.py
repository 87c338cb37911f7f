from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError


class PrepaySupplyUndoWizard(models.TransientModel):
    """Takes cuts back: supply returns, spread, and the policy leaves it alone for some time."""

    _name = "prepay.supply.undo.wizard"
    _description = "Undo Cuts"

    decision_ids = fields.Many2many("prepay.supply.decision", string="Cuts", required=True)
    count = fields.Integer(string="Still in Force", compute="_compute_count")
    reason = fields.Char(required=True)
    hours = fields.Integer(
        string="No Cut for (h)",
        default=24,
        required=True,
        help="Until then the policy does not cut these accounts again.",
    )

    @api.depends("decision_ids")
    def _compute_count(self):
        for wizard in self:
            wizard.count = len(wizard.decision_ids._in_force())

    def action_undo(self):
        self.ensure_one()
        if not self.env.user.has_group("prepay_meter.group_operator"):
            raise AccessError(self.env._("Only operators may undo cuts."))
        if not (self.reason or "").strip():
            raise UserError(self.env._("Enter why these cuts are undone."))
        if not 0 < self.hours <= 24 * 31:
            raise UserError(self.env._("%s hours: enter 1 to 744.", self.hours))
        self.decision_ids.check_access("read")
        cuts = self.decision_ids.sudo()._in_force()
        if not cuts:
            raise UserError(
                self.env._("None of these cuts is in force: the supply has returned already.")
            )
        until = fields.Datetime.now() + timedelta(hours=self.hours)
        cuts.account_id.write({"no_cut_until": until, "no_cut_reason": self.reason})
        decision_of = {cut.meter_id: cut for cut in cuts}
        delays = self.env["prepay.account"]._restore_delays(decision_of)
        for meter, delay in delays.items():
            if decision_of[meter].action == "limit":
                meter._release_power(self.reason)
                continue
            command = meter._request_relay("closed", "operator", self.reason)
            if delay:
                command.not_before = fields.Datetime.now() + timedelta(seconds=delay)
        cuts.write({"undone": True, "undo_reason": self.reason, "undone_by_id": self.env.uid})
        batches = cuts.batch_id.filtered(lambda batch: not batch.decision_ids._in_force())
        batches.write({"state": "undone", "undo_reason": self.reason})
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._(
                    "%(count)s cuts are undone; the supply returns within %(minutes)s minutes.",
                    count=len(cuts),
                    minutes=max(delays.values()) // 60 + 1,
                ),
                "next": {"type": "ir.actions.act_window_close"},
            },
        }
