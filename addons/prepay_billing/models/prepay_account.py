from datetime import timezone
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..engine import ledger


class PrepayAccount(models.Model):
    """The wallet of a tenant for a room: one or several meters, one balance.

    available = posted balance (own and granted money) + overdraft − usage not posted yet. Amounts are
    summed in the database; nothing here writes a balance, so top-ups and charges never collide.
    """

    _name = "prepay.account"
    _description = "Prepaid Account"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _rec_name = "number"
    _rec_names_search = [
        "number",
        "partner_id.name",
        "partner_id.phone",
        "location_id",
        "supply_ids.meter_id.number",
    ]
    _order = "location_id, number"
    _check_company_auto = True

    number = fields.Char(
        string="Account Number",
        required=True,
        readonly=True,
        copy=False,
        index="trigram",
        default=lambda self: self.env._("New"),
    )
    partner_id = fields.Many2one(
        "res.partner", string="Tenant", required=True, index=True, tracking=True
    )
    phone = fields.Char(related="partner_id.phone")
    location_id = fields.Many2one(
        "prepay.location",
        string="Room",
        required=True,
        index=True,
        check_company=True,
        tracking=True,
    )
    company_id = fields.Many2one(related="location_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    state = fields.Selection(
        [("open", "Open"), ("closed", "Closed")],
        default="open",
        required=True,
        readonly=True,
        tracking=True,
    )
    opened_on = fields.Date(default=fields.Date.context_today, readonly=True)
    supply_ids = fields.One2many("prepay.account.meter", "account_id", string="Meters")
    meter_ids = fields.Many2many(
        "prepay.meter", string="Present Meters", compute="_compute_meter_ids"
    )
    overdraft_limit = fields.Monetary(tracking=True, help="So much may be used beyond the balance.")
    entry_ids = fields.One2many(
        "prepay.ledger.entry", "account_id", string="Wallet Entries", readonly=True
    )
    charge_ids = fields.One2many("prepay.charge", "account_id", string="Charges", readonly=True)
    topup_ids = fields.One2many("prepay.topup", "account_id", string="Top-ups", readonly=True)
    balance = fields.Monetary(compute="_compute_money", help="Own money posted.")
    granted = fields.Monetary(
        compute="_compute_money", help="Granted money posted; used first, never paid out."
    )
    accrued = fields.Monetary(string="Used, Not Posted", compute="_compute_money")
    available = fields.Monetary(compute="_compute_money")
    balance_at = fields.Datetime(
        string="As Of", compute="_compute_balance_at", help="Newest reading that is rated."
    )
    _number_unique = models.Constraint(
        "UNIQUE (company_id, number)", "Another account has this number."
    )

    @api.depends("supply_ids.end_at", "supply_ids.meter_id")
    def _compute_meter_ids(self):
        for account in self:
            account.meter_ids = account.supply_ids.filtered(lambda item: not item.end_at).meter_id

    @api.depends(
        "entry_ids.amount", "charge_ids.exact_amount", "charge_ids.state", "overdraft_limit"
    )
    def _compute_money(self):
        money = self._money()
        for account in self:
            own, granted, accrued = money.get(account.id, (Decimal(0),) * 3)
            account.balance, account.granted, account.accrued = (
                float(own),
                float(granted),
                float(accrued),
            )
            account.available = float(own + granted - accrued) + account.overdraft_limit

    def _compute_balance_at(self):
        for account in self:
            times = account.supply_ids.filtered(lambda item: not item.end_at).mapped("rated_at")
            account.balance_at = min(times) if times and all(times) else False

    @api.depends("number", "location_id", "partner_id")
    def _compute_display_name(self):
        for account in self:
            parts = [account.location_id.name, account.partner_id.name, account.number]
            account.display_name = " · ".join(part for part in parts if part)

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            if not vals.get("number") or vals["number"] == self.env._("New"):
                vals["number"] = self.env["ir.sequence"].next_by_code("prepay.account")
        return super().create(vals_list)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_used(self):
        for account in self:
            if account.sudo().entry_ids or account.sudo().charge_ids:
                raise UserError(
                    self.env._(
                        "Account %s has entries and cannot be deleted.", account.display_name
                    )
                )

    # screens

    def action_sell(self):
        """Open the counter sale for this account."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_sale_wizard_action"
        )
        action["context"] = {"default_account_id": self.id}
        return action

    def action_open_entries(self):
        return self._open("prepay_billing.prepay_ledger_entry_action")

    def action_open_charges(self):
        return self._open("prepay_billing.prepay_charge_action")

    def action_open_topups(self):
        return self._open("prepay_billing.prepay_topup_action")

    def _open(self, xml_id):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(xml_id)
        action["domain"] = [("account_id", "=", self.id)]
        action["context"] = {"default_account_id": self.id}
        return action

    # money

    def _money(self):
        """Exact amounts by account id: (own money, granted money, accrued usage), CNY as Decimal."""
        self.env["prepay.ledger.entry"].flush_model()
        self.env["prepay.charge"].flush_model()
        self.env.cr.execute(
            """
            SELECT a.id, COALESCE(e.own, 0)::text, COALESCE(e.granted, 0)::text, COALESCE(c.accrued, 0)::text
              FROM unnest(%(ids)s::int[]) AS a(id)
              LEFT JOIN (SELECT account_id, SUM(amount) FILTER (WHERE bucket = 'principal') AS own,
                                SUM(amount) FILTER (WHERE bucket = 'granted') AS granted
                           FROM prepay_ledger_entry WHERE account_id = ANY(%(ids)s) GROUP BY 1) e
                     ON e.account_id = a.id
              LEFT JOIN (SELECT account_id, SUM(exact_amount) AS accrued
                           FROM prepay_charge WHERE state = 'open' AND account_id = ANY(%(ids)s) GROUP BY 1) c
                     ON c.account_id = a.id
            """,
            {"ids": list(self.ids)},
        )
        # As text: Odoo's cursors turn numeric into float.
        return {row[0]: tuple(map(Decimal, row[1:])) for row in self.env.cr.fetchall()}

    def _available(self):
        """Exact available amounts by account id."""
        money = self._money()
        result = {}
        for account in self:
            own, granted, accrued = money[account.id]
            overdraft = Decimal(str(account.overdraft_limit or 0))
            result[account.id] = ledger.available(ledger.Balance(own, granted), overdraft, accrued)
        return result


def _aware(moment):
    """Odoo's naive UTC as an aware time."""
    return moment.replace(tzinfo=timezone.utc) if moment else None
