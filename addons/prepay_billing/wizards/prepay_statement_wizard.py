from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError


class PrepayStatementWizard(models.TransientModel):
    """Monthly statements of some accounts, or of all of a place, in one PDF."""

    _name = "prepay.statement.wizard"
    _description = "Monthly Statements"

    month = fields.Date(
        required=True,
        default=lambda self: fields.Date.context_today(self).replace(day=1) - timedelta(days=1),
        help="Any day of the month.",
    )
    account_ids = fields.Many2many("prepay.account", string="Accounts")
    location_id = fields.Many2one(
        "prepay.location", string="Building or Room", help="All accounts there."
    )
    by_day = fields.Boolean(string="Each Day")
    account_count = fields.Integer(string="Statements", compute="_compute_account_count")

    @api.depends("account_ids", "location_id")
    def _compute_account_count(self):
        for wizard in self:
            wizard.account_count = len(wizard._accounts())

    def _accounts(self):
        self.ensure_one()
        accounts = self.account_ids._origin
        if self.location_id:
            accounts |= self.env["prepay.account"].search(
                [("location_id", "child_of", self.location_id.id)]
            )
        return accounts.sorted(lambda item: (item.location_id.complete_name or "", item.number))

    def action_print(self):
        self.ensure_one()
        accounts = self._accounts()
        if not accounts:
            raise UserError(self.env._("Choose accounts, or a place that has some."))
        action = self.env.ref("prepay_billing.action_report_statement").report_action(
            accounts,
            data={
                "account_ids": accounts.ids,
                "month": f"{self.month:%Y-%m}",
                "by_day": self.by_day,
            },
        )
        return {**action, "close_on_report_download": True}
