from datetime import datetime, timedelta, timezone

from odoo import api, fields, models

from ..models.prepay_account import _aware
from ..models.prepay_supply_batch import _site


class PrepaySupplyPreview(models.TransientModel):
    """Who would be cut at a moment and why, who would not and why not (拉闸预演). Changes nothing."""

    _name = "prepay.supply.preview"
    _description = "Cut Preview"

    at = fields.Datetime(required=True, default=lambda self: self._next_window())
    location_id = fields.Many2one("prepay.location", string="Place")
    everything = fields.Boolean(string="Also Accounts That Are Not Due")
    line_ids = fields.One2many("prepay.supply.preview.line", "preview_id")

    @api.model
    def _next_window(self):
        """The next hour for cuts of the company's policy, on a working day where it asks for one."""
        policy = self.env.company.prepay_policy_id
        now = fields.Datetime.now()
        if not policy or policy.any_time:
            return now
        zone = self.env["prepay.location"]._zone_of_company(self.env.company)
        local = _aware(now).astimezone(zone)
        minutes = round(policy.window_start * 60) + 1
        start = local.replace(hour=minutes // 60, minute=minutes % 60, second=0, microsecond=0)
        for ahead in range(15):
            moment = start + timedelta(days=ahead)
            if moment < local or (policy.working_days_only and moment.isoweekday() > 5):
                continue
            return moment.astimezone(timezone.utc).replace(tzinfo=None)
        return now

    def action_show(self):
        """Fill in the lines and open them as a list."""
        self.ensure_one()
        self._fill()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_supply_preview_line_action"
        )
        action["domain"] = [("preview_id", "=", self.id)]
        return action

    def _fill(self):
        self.line_ids.unlink()
        domain = [("state", "=", "open"), ("company_id", "in", self.env.companies.ids)]
        if self.location_id:
            domain.append(("location_id", "child_of", self.location_id.id))
        # What a reader may see is decided here; the evidence is read with full rights.
        accounts = self.env["prepay.account"].search(domain).sudo()
        ahead = max(self.at.replace(tzinfo=timezone.utc), datetime.now(timezone.utc))
        policies = accounts._engine_policies()
        money = accounts._supply_money(policies)
        vals_list = []
        for meter, decision in accounts._decide(
            ahead=ahead, money=money, policies=policies
        ).items():
            due = any(check.code == "due" and check.passed for check in decision.checks)
            if not due and not decision.action and not self.everything:
                continue
            account = meter.account_id
            vals_list.append(
                {
                    "preview_id": self.id,
                    "account_id": account.id,
                    "meter_id": meter.id,
                    "available": float(money[account.id].available),
                    "outcome": self._outcome(decision, due),
                    "reasons": "\n".join(accounts._decision_reasons(decision)),
                }
            )
        lines = self.env["prepay.supply.preview.line"].create(vals_list)
        self._mark_held(lines.filtered(lambda line: line.outcome in ("cut", "limit")))

    @api.model
    def _outcome(self, decision, due):
        if decision.action:
            return {"open": "cut", "limit": "limit"}.get(decision.action, "restore")
        if not due:
            return "not_due"
        if "protected" in decision.blocked_by:
            return "protected"
        off = {"desired", "relay", "limited"} & set(decision.blocked_by)
        return "off" if off else "blocked"

    @api.model
    def _mark_held(self, lines):
        """More at once than a site allows: a person would be asked."""
        by_site = {}
        for line in lines:
            site = _site(line.account_id.sudo().location_id)
            by_site[site] = by_site.get(site, lines.browse()) + line
        limits = self.env["prepay.supply.batch"].sudo()._limits(list(by_site))
        for site, items in by_site.items():
            if len(items) > limits[site]:
                for line in items:
                    line.outcome = "waits"
                    line.reasons = self.env._(
                        "Every check passes, but %(count)s cuts of %(site)s at once wait for a "
                        "person; allowed are %(limit)s.",
                        count=len(items),
                        site=site.name,
                        limit=limits[site],
                    )
