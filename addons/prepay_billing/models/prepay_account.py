from datetime import timezone
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError

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
    medium = fields.Selection(
        [("electricity", "Electricity"), ("water", "Water")],
        string="Only For",
        tracking=True,
        help="Empty: one balance for electricity and water. Set: a room has an account for each.",
    )
    overdraft_limit = fields.Monetary(tracking=True, help="So much may be used beyond the balance.")
    temporary_overdraft = fields.Monetary(tracking=True, help="Added to the limit for some time.")
    temporary_until = fields.Date(tracking=True, help="Last day, at the site.")
    overdraft_reason = fields.Char(string="Reason of Overdraft", tracking=True)
    overdraft = fields.Monetary(string="Overdraft Today", compute="_compute_money")
    is_frozen = fields.Boolean(
        string="Frozen",
        readonly=True,
        copy=False,
        help="No refund and no transfer; supply, top-ups and consumption go on.",
    )
    frozen_reason = fields.Char(readonly=True, copy=False)
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
    _overdraft_positive = models.Constraint(
        "CHECK (COALESCE(overdraft_limit, 0) >= 0 AND COALESCE(temporary_overdraft, 0) >= 0)",
        "An overdraft is zero or more.",
    )

    @api.constrains("temporary_overdraft", "temporary_until", "overdraft_reason")
    def _check_temporary_overdraft(self):
        for account in self.filtered("temporary_overdraft"):
            if not account.temporary_until or not account.overdraft_reason:
                raise ValidationError(
                    self.env._(
                        "Account %s: a temporary overdraft needs its last day and a reason.",
                        account.display_name,
                    )
                )

    @api.constrains("medium", "supply_ids")
    def _check_medium(self):
        """A meter of the other kind would be paid from a balance that is not meant for it."""
        for account in self.filtered("medium"):
            wrong = account.supply_ids.filtered(
                lambda item, medium=account.medium: not item.end_at and item.medium != medium
            )
            if wrong:
                raise ValidationError(
                    self.env._(
                        "Account %(account)s is only for %(medium)s; meter %(meter)s is of another kind. "
                        "Open another account for it.",
                        account=account.display_name,
                        medium=dict(account._fields["medium"]._description_selection(self.env))[
                            account.medium
                        ],
                        meter=wrong[0].meter_id.number,
                    )
                )

    @api.depends("supply_ids.end_at", "supply_ids.meter_id")
    def _compute_meter_ids(self):
        for account in self:
            account.meter_ids = account.supply_ids.filtered(lambda item: not item.end_at).meter_id

    @api.depends(
        "entry_ids.amount",
        "charge_ids.exact_amount",
        "charge_ids.state",
        "overdraft_limit",
        "temporary_overdraft",
        "temporary_until",
    )
    def _compute_money(self):
        wallets = self._wallets()
        for account in self:
            own, granted, accrued, overdraft = wallets.get(account.id, (Decimal(0),) * 4)
            account.balance, account.granted, account.accrued = (
                float(own),
                float(granted),
                float(accrued),
            )
            account.overdraft = float(overdraft)
            account.available = float(own + granted + overdraft - accrued)

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
        """Open the counter with this account."""
        self.ensure_one()
        action = self.env["ir.actions.client"]._for_xml_id("prepay_billing.prepay_counter_action")
        return {**action, "params": {"account_id": self.id}}

    def action_freeze(self):
        return self._ask("freeze", self.env._("Freeze"))

    def action_unfreeze(self):
        return self._ask("unfreeze", self.env._("Unfreeze"))

    def _ask(self, operation, title):
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": title,
            "res_model": "prepay.wallet.operation",
            "view_mode": "form",
            "target": "new",
            "context": {"default_account_id": self.id, "default_operation": operation},
        }

    def _freeze(self, frozen, reason):
        """Freeze or unfreeze; who and why stand in the chatter. Supply is not touched.

        :raises AccessError: the user is no accountant
        """
        if not self.env.user.has_group("prepay_billing.group_accountant"):
            raise AccessError(self.env._("Only facility accountants may freeze accounts."))
        for account in self:
            account.check_access("write")
            account.write({"is_frozen": frozen, "frozen_reason": reason if frozen else False})
            account.message_post(
                body=self.env._("Frozen: %s", reason)
                if frozen
                else self.env._("Unfrozen: %s", reason)
            )

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
        return {account_id: row[:3] for account_id, row in self._wallets().items()}

    def _available(self):
        """Exact available amounts by account id."""
        return {
            account_id: ledger.available(ledger.Balance(own, granted), overdraft, accrued)
            for account_id, (own, granted, accrued, overdraft) in self._wallets().items()
        }

    def _wallets(self):
        """(own money, granted money, accrued usage, overdraft today) by account id, CNY as Decimal.

        One statement for all: the checkpoint of each account and the entries after it. A temporary
        overdraft counts until the end of its last day at the site.
        """
        self.env["prepay.ledger.entry"].flush_model()
        self.env["prepay.charge"].flush_model()
        self.env["prepay.account"].flush_model()
        self.env.cr.execute(
            """
            SELECT a.id, (COALESCE(k.principal, 0) + COALESCE(e.own, 0))::text,
                   (COALESCE(k.granted, 0) + COALESCE(e.granted, 0))::text, COALESCE(c.accrued, 0)::text,
                   (COALESCE(a.overdraft_limit, 0)
                    + CASE WHEN a.temporary_until >= (now() AT TIME ZONE COALESCE(l.tz, 'Asia/Shanghai'))::date
                           THEN COALESCE(a.temporary_overdraft, 0) ELSE 0 END)::text
              FROM prepay_account a
              JOIN prepay_location l ON l.id = a.location_id
              LEFT JOIN prepay_wallet_checkpoint k ON k.account_id = a.id
             CROSS JOIN LATERAL (
                   SELECT SUM(x.amount) FILTER (WHERE x.bucket = 'principal') AS own,
                          SUM(x.amount) FILTER (WHERE x.bucket = 'granted') AS granted
                     FROM prepay_ledger_entry x
                    WHERE x.account_id = a.id AND x.id > COALESCE(k.upto_id, 0)) e
              LEFT JOIN (SELECT account_id, SUM(exact_amount) AS accrued FROM prepay_charge
                          WHERE state = 'open' AND account_id = ANY(%(ids)s) GROUP BY 1) c
                     ON c.account_id = a.id
             WHERE a.id = ANY(%(ids)s)
            """,
            {"ids": list(self.ids)},
        )
        # As text: Odoo's cursors turn numeric into float.
        return {row[0]: tuple(map(Decimal, row[1:])) for row in self.env.cr.fetchall()}

    def _heads(self):
        """Persons who live on the account: the largest number at one of its present meters."""
        self.ensure_one()
        meters = self.supply_ids.filtered(lambda item: not item.end_at)
        return max(meters.mapped("heads"), default=1) or 1

    @api.model
    def _open_in(self, location, company, medium):
        """Open accounts in a place, by id, with a present meter of ``medium`` that they pay for."""
        accounts = self.search(
            [
                ("location_id", "child_of", location.id),
                ("company_id", "=", company.id),
                ("state", "=", "open"),
                ("supply_ids", "any", [("end_at", "=", False), ("meter_id.medium", "=", medium)]),
            ],
            order="id",
        )
        return accounts.filtered(lambda item: item.medium in (False, medium))


def _aware(moment):
    """Odoo's naive UTC as an aware time."""
    return moment.replace(tzinfo=timezone.utc) if moment else None
