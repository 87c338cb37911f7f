from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError


class PrepaySaleWizard(models.TransientModel):
    """Counter sale: find the account, enter the money, print the receipt."""

    _name = "prepay.sale.wizard"
    _description = "Counter Sale"

    account_id = fields.Many2one("prepay.account", domain=[("state", "=", "open")], required=True)
    partner_id = fields.Many2one(related="account_id.partner_id")
    location_id = fields.Many2one(related="account_id.location_id")
    company_id = fields.Many2one(related="account_id.company_id")
    currency_id = fields.Many2one(related="account_id.currency_id")
    available = fields.Monetary(related="account_id.available")
    level = fields.Selection(related="account_id.level")
    supply = fields.Selection(related="account_id.supply")
    balance_at = fields.Datetime(related="account_id.balance_at")
    amount = fields.Monetary(required=True)
    received = fields.Monetary(help="Cash handed over.")
    change = fields.Monetary(compute="_compute_change")
    available_after = fields.Monetary(compute="_compute_change")
    method = fields.Selection(
        selection=lambda self: self._method_selection(),
        required=True,
        default="cash",
    )
    recent_topup_id = fields.Many2one(
        "prepay.topup", string="Just Sold", compute="_compute_recent_topup_id"
    )
    confirm_duplicate = fields.Boolean(string="Sell Once More")
    note = fields.Char()

    def _method_selection(self):
        return self.env["prepay.topup"]._fields["method"]._description_selection(self.env)

    @api.depends("amount", "received", "account_id")
    def _compute_change(self):
        for wizard in self:
            wizard.change = wizard.received - wizard.amount if wizard.received else 0
            wizard.available_after = wizard.account_id.available + wizard.amount

    @api.depends("account_id", "amount")
    def _compute_recent_topup_id(self):
        """The same amount for the same account within five minutes is probably a second press."""
        for wizard in self:
            wizard.recent_topup_id = self.env["prepay.topup"].search(
                [
                    ("account_id", "=", wizard.account_id.id),
                    ("amount", "=", wizard.amount),
                    ("state", "=", "done"),
                    ("paid_at", ">=", "-5M"),
                ],
                limit=1,
            )

    def action_sell(self):
        """Credit the account and print the receipt."""
        topup = self._sell()
        return topup.action_print_receipt()

    def action_sell_only(self):
        """Credit the account without printing."""
        topup = self._sell()
        return {
            "type": "ir.actions.act_window",
            "res_model": "prepay.topup",
            "res_id": topup.id,
            "view_mode": "form",
        }

    def _sell(self):
        self.ensure_one()
        self._check_sale()
        topup = (
            self.env["prepay.topup"]
            .sudo()
            .create(
                {
                    "account_id": self.account_id.id,
                    "amount": self.amount,
                    "method": self.method,
                    "cashier_id": self.env.uid,
                    "note": self.note,
                }
            )
        )
        topup._credit()
        return topup.sudo(False)

    def _check_sale(self):
        if not self.env.user.has_group("prepay_billing.group_cashier"):
            raise AccessError(self.env._("Only cashiers may sell at the counter."))
        self.account_id.check_access("read")
        account = self.account_id.display_name
        if self.account_id.state != "open":
            raise UserError(
                self.env._("Account %s is closed. Open an account for the room first.", account)
            )
        if self.amount <= 0:
            raise UserError(self.env._("Account %s: enter an amount above zero.", account))
        limit = self.company_id.prepay_max_topup
        if limit and self.amount > limit:
            raise UserError(
                self.env._(
                    "Account %(account)s: %(amount)s is above the largest sale of %(limit)s. "
                    "Sell in parts or change the limit in the settings.",
                    account=account,
                    amount=self.amount,
                    limit=limit,
                )
            )
        if self.received and self.received < self.amount:
            raise UserError(self.env._("The cash received is less than the amount."))
        if self.recent_topup_id and not self.confirm_duplicate:
            raise UserError(
                self.env._(
                    "Receipt %(number)s: the same amount was sold to this account at %(time)s. "
                    "Tick “Sell Once More” if that is meant.",
                    number=self.recent_topup_id.number,
                    time=fields.Datetime.context_timestamp(
                        self, self.recent_topup_id.paid_at
                    ).strftime("%H:%M:%S"),
                )
            )
