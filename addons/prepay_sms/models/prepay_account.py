from odoo import api, fields, models
from odoo.exceptions import AccessError

from ..const import KIND_OF_ACTION, KIND_OF_LEVEL


class PrepayAccount(models.Model):
    _inherit = "prepay.account"

    notice_ids = fields.One2many("prepay.notice", "account_id", string="Notices", readonly=True)
    notice_count = fields.Integer(compute="_compute_notice_count")
    notice_round = fields.Integer(
        readonly=True,
        copy=False,
        aggregator=None,
        help="Recoveries so far: in each round a level is told once.",
    )

    @api.depends("notice_ids")
    def _compute_notice_count(self):
        counts = dict(
            self.env["prepay.notice"]._read_group(
                [("account_id", "in", self.ids)], ["account_id"], ["__count"]
            )
        )
        for account in self:
            account.notice_count = counts.get(account, 0)

    def action_open_notices(self):
        return self._open("prepay_sms.prepay_notice_action")

    def action_notify_level(self):
        """Tell the present level to those who do not know it yet, as after switching SMS on."""
        if not self.env.user.has_group("prepay_meter.group_operator"):
            raise AccessError(self.env._("Only operators may send notices."))
        self.check_access("read")
        accounts = self.sudo().filtered(lambda account: account.state == "open")
        notices = self.env["prepay.notice"].sudo()
        available = accounts._available()
        for account in accounts:
            notices += account._notify_level(available[account.id])
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success" if notices else "warning",
                "message": self.env._(
                    "New notices: %s. A level is told once until the account recovers.",
                    len(notices),
                ),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def _notice_recipients(self):
        """Who is told about this account. Extended by addons that know more people."""
        self.ensure_one()
        return self.partner_id

    def _notify_level(self, available):
        """Queue the notice of the present level, once in each round."""
        self.ensure_one()
        kind = KIND_OF_LEVEL.get(self.level)
        if not kind:
            return self.env["prepay.notice"].sudo()
        return self.env["prepay.notice"]._queue(
            self, kind, f"{self.notice_round}:{self.level}", available
        )

    def _level_changed(self, before, amount):
        result = super()._level_changed(before, amount)
        if self._worse_than(before):
            self._notify_level(amount)
        else:
            self.notice_round += 1
        return result

    def _evaluate_supply(self):
        decisions = super()._evaluate_supply()
        told = {}
        for decision in decisions:  # one message for an account, however many meters it has
            told.setdefault((decision.account_id, decision.action), decision)
        for (account, action), decision in told.items():
            if action not in KIND_OF_ACTION:
                continue
            self.env["prepay.notice"]._queue(
                account, KIND_OF_ACTION[action], f"decision:{decision.id}", decision.available
            )
        return decisions
