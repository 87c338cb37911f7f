from calendar import monthrange
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError

from ..engine.allocation import allocate
from ..engine.ledger import GRANTED, unused_grants
from ..engine.rounding import to_fen

BATCH = 1000
#: What a second person approves; a change asks anew.
_TERMS = frozenset(
    (
        "company_id",
        "location_id",
        "basis",
        "medium",
        "quantity",
        "amount",
        "per",
        "period",
        "unused",
    )
    + ("date_from", "date_to")
)
_APPROVAL = frozenset(("state", "requested_id", "approved_id"))


class PrepayAllowance(models.Model):
    """Free allowance (免费基础电量): a quantity or an amount granted once for each period.

    A quantity becomes money at the price of the moment of the grant. Granted money is used before own
    money; what is left at the end of the period is cleared or kept, own money is never touched.
    """

    _name = "prepay.allowance"
    _description = "Free Allowance"
    _inherit = ["mail.thread"]
    _order = "name"
    _check_company_auto = True

    name = fields.Char(required=True, tracking=True)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, index=True, default=lambda self: self.env.company
    )
    currency_id = fields.Many2one(related="company_id.currency_id")
    location_id = fields.Many2one(
        "prepay.location",
        string="For Rooms In",
        required=True,
        index=True,
        check_company=True,
        tracking=True,
    )
    basis = fields.Selection(
        [("quantity", "Quantity (kWh or m³)"), ("money", "Amount")],
        required=True,
        default="quantity",
        tracking=True,
    )
    medium = fields.Selection(
        [("electricity", "Electricity"), ("water", "Water")],
        required=True,
        default="electricity",
        tracking=True,
    )
    quantity = fields.Float(string="Quantity (kWh or m³)", digits=(10, 2), tracking=True)
    amount = fields.Monetary(tracking=True)
    per = fields.Selection(
        [("room", "Each Room"), ("person", "Each Person"), ("account", "Each Account")],
        string="Granted To",
        required=True,
        default="room",
        tracking=True,
    )
    period = fields.Selection(
        [("month", "Each Month"), ("term", "A Term"), ("once", "Once")],
        required=True,
        default="month",
        tracking=True,
    )
    date_from = fields.Date(
        string="From", required=True, default=fields.Date.context_today, tracking=True
    )
    date_to = fields.Date(string="Until", tracking=True)
    unused = fields.Selection(
        [("cleared", "Cleared"), ("kept", "Kept")],
        string="Left at the End",
        required=True,
        default="cleared",
        tracking=True,
    )
    state = fields.Selection(
        [("active", "Effective"), ("waiting", "Waiting for Approval")],
        required=True,
        default="active",
        readonly=True,
        copy=False,
        tracking=True,
    )
    requested_id = fields.Many2one("res.users", string="Requested By", readonly=True, copy=False)
    approved_id = fields.Many2one(
        "res.users", string="Approved By", readonly=True, copy=False, tracking=True
    )
    grant_ids = fields.One2many("prepay.allowance.grant", "allowance_id", string="Grants")

    _dates = models.Constraint(
        "CHECK (date_to IS NULL OR date_to >= date_from)", "The last day is before the first."
    )
    _what = models.Constraint(
        "CHECK (CASE basis WHEN 'money' THEN amount > 0 ELSE quantity > 0 END)",
        "Enter what is granted: a quantity or an amount above zero.",
    )

    @api.constrains("period", "date_to")
    def _check_term(self):
        for plan in self:
            if plan.period == "term" and not plan.date_to:
                raise ValidationError(
                    self.env._("Allowance %s: a term needs its last day.", plan.name)
                )

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_approval_fields(vals)
        plans = super().create(vals_list)
        plans._ask()
        return plans

    def write(self, vals):
        self._check_approval_fields(vals)
        result = super().write(vals)
        if not _TERMS.isdisjoint(vals):
            self._ask()
        return result

    def _check_approval_fields(self, vals):
        if not (self.env.su or _APPROVAL.isdisjoint(vals)):
            raise AccessError(self.env._("Approve the allowance with its button."))

    # approval

    def _ask(self):
        """New terms: whoever entered them does not approve them."""
        for plan in self.sudo():
            plan.write({"requested_id": self.env.uid, "approved_id": False, "state": "active"})
            shares = plan._shares().items()
            if plan._exceeds(sum((plan._worth(*item)[1] for item in shares), Decimal(0))):
                plan.state = "waiting"

    def _exceeds(self, total):
        """What a period grants needs a second person."""
        self.ensure_one()
        limit = Decimal(f"{self.company_id.prepay_four_eyes_limit:.2f}")
        return not self.sudo().approved_id and total > limit

    def action_approve(self):
        """The second person agrees with the terms; the grants follow with the next run."""
        for plan in self:
            plan._check_accountant()
            plan._lock()
            plan.invalidate_recordset(["state", "requested_id"])
            if plan.state != "waiting":
                raise UserError(self.env._("%s does not wait for an approval.", plan.name))
            if plan.requested_id == self.env.user:
                raise UserError(
                    self.env._(
                        "%s was requested by you. Somebody else has to approve it.", plan.name
                    )
                )
            plan.sudo().write({"state": "active", "approved_id": self.env.uid})

    # buttons

    def action_preview(self):
        """Show what the present period would grant; nothing is posted."""
        self._check_accountant()
        for plan in self:
            plan._draft(plan._today())
        return self._open(self.env._("Preview"))

    def action_grant(self):
        """Grant the present period now; accounts that have it already get nothing."""
        self._check_accountant()
        for plan in self:
            plan._grant(plan._today())
            if plan.state == "waiting":
                return {
                    "type": "ir.actions.client",
                    "tag": "display_notification",
                    "params": {
                        "type": "warning",
                        "message": self.env._(
                            "%s grants more than one person may give. Somebody else has to approve it.",
                            plan.name,
                        ),
                        "next": {"type": "ir.actions.client", "tag": "soft_reload"},
                    },
                }
        return self._open(self.env._("Grants"))

    def action_open_grants(self):
        return self._open(self.env._("Grants"))

    def _open(self, name):
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_billing.prepay_allowance_grant_action"
        )
        return {
            **action,
            "name": name,
            "domain": [("allowance_id", "in", self.ids)],
            "context": {"search_default_group_period": 1},
        }

    def _check_accountant(self):
        if not (self.env.su or self.env.user.has_group("prepay_billing.group_accountant")):
            raise AccessError(self.env._("Only facility accountants may grant allowances."))
        self.check_access("write")

    # periods

    def _today(self):
        """The local day of the site."""
        return datetime.now(timezone.utc).astimezone(self.location_id._zone()).date()

    def _period_of(self, day):
        """(code, first day, last day) of the period that a day belongs to; None outside the plan.

        A single grant may have no last day.
        """
        self.ensure_one()
        if day < self.date_from or (self.date_to and day > self.date_to):
            return None
        if self.period == "month":
            last = day.replace(day=monthrange(day.year, day.month)[1])
            return f"{day:%Y-%m}", day.replace(day=1), last
        return str(self.date_from), self.date_from, self.date_to or None

    # grants

    def _accounts(self):
        return self.env["prepay.account"]._open_in(self.location_id, self.company_id, self.medium)

    def _shares(self):
        """What each account gets: {account: (persons, quantity or amount as Decimal)}."""
        whole = Decimal(f"{self.quantity if self.basis == 'quantity' else self.amount:.2f}")
        shares = {}
        for accounts in self._accounts().grouped("location_id").values():
            if self.per == "room":
                for account, share in zip(accounts, allocate(whole, [1] * len(accounts))):
                    shares[account] = (0, share)
            else:
                for account in accounts:
                    heads = account._heads() if self.per == "person" else 1
                    shares[account] = (heads if self.per == "person" else 0, whole * heads)
        return shares

    def _price(self, account):
        """Price of a unit for the account now, CNY as Decimal; 0 when it has none."""
        supplies = account.supply_ids.filtered(
            lambda item: not item.end_at and item.medium == self.medium
        )
        return Decimal(f"{supplies[:1].tariff_id.current_price:.6f}")

    def _worth(self, account, share):
        """(price, amount) of a share of ``_shares``, CNY as Decimal."""
        if self.basis == "money":
            return Decimal(0), share[1]
        price = self._price(account)
        return price, to_fen(share[1] * price)

    def _draft(self, day):
        """Draft grants of the period of a day, for accounts that have none yet."""
        self.ensure_one()
        self._lock()
        grants = self.env["prepay.allowance.grant"].sudo()
        self.grant_ids.sudo().filtered(lambda grant: grant.state == "draft").unlink()
        period = self._period_of(day)
        if not period:
            raise UserError(
                self.env._(
                    "Allowance %(plan)s does not hold on %(day)s. Change its dates.",
                    plan=self.name,
                    day=day,
                )
            )
        code, first, last = period
        had = grants.search([("allowance_id", "=", self.id), ("period", "=", code)]).account_id
        rows = []
        for account, (heads, share) in self._shares().items():
            price, amount = self._worth(account, (heads, share))
            if account in had or amount <= 0:
                continue
            rows.append(
                {
                    "allowance_id": self.id,
                    "account_id": account.id,
                    "period": code,
                    "date_from": first,
                    "date_to": last,
                    "heads": heads,
                    "quantity": float(share) if self.basis == "quantity" else 0,
                    "price": float(price),
                    "amount": float(amount),
                }
            )
        return grants.create(rows)

    def _grant(self, day):
        """Post the grants of the period of a day, exactly once for each account.

        Above the limit of one person they stay a preview until somebody else approves the plan.

        :return: the grants posted now
        """
        self.ensure_one()
        drafts = self._draft(day)
        whole = self.grant_ids.sudo().filtered(lambda item: item.period == drafts[:1].period)
        if drafts and self._exceeds(
            sum((Decimal(f"{grant.amount:.2f}") for grant in whole), Decimal(0))
        ):
            self.sudo().state = "waiting"
            return drafts.browse()
        for index in range(0, len(drafts), BATCH):
            part = drafts[index : index + BATCH]
            words = self.company_id._prepay_env()
            entries = self.env["prepay.ledger.entry"]._post(
                [
                    {
                        "account": grant.account_id,
                        "kind": "grant",
                        "bucket": GRANTED,
                        "amount": Decimal(f"{grant.amount:.2f}"),
                        "key": f"allowance:{self.id}:{grant.account_id.id}:{grant.period}",
                        "reason": words._(
                            "%(plan)s, %(period)s", plan=self.name, period=grant.period
                        ),
                        "document": grant,
                    }
                    for grant in part
                ]
            )
            for grant, entry in zip(part, entries):
                grant.write({"state": "granted", "entry_id": entry.id})
            part.account_id.sudo()._evaluate_supply()
        return drafts

    def _clear_unused(self, day):
        """Take back what is left of grants whose period is over, before ``day``.

        An account waits while usage of the period is not posted yet.
        """
        self.env.flush_all()
        self.env.cr.execute(
            """
            SELECT g.account_id, array_agg(g.id ORDER BY g.entry_id), MIN(g.entry_id)
              FROM prepay_allowance_grant g
             WHERE g.allowance_id = ANY(%(plans)s) AND g.state = 'granted' AND g.date_to < %(day)s
               AND NOT EXISTS (SELECT 1 FROM prepay_charge c WHERE c.account_id = g.account_id
                                  AND c.state = 'open' AND c.day <= g.date_to)
             GROUP BY g.account_id ORDER BY g.account_id
            """,
            {"plans": self.filtered(lambda plan: plan.unused == "cleared").ids, "day": day},
        )
        rows = self.env.cr.fetchall()
        if not rows:
            return
        self.env.cr.execute(
            """
            SELECT v.account_id, COALESCE(-SUM(e.amount), 0)::text
              FROM unnest(%s::int[], %s::int[]) AS v(account_id, first_id)
              LEFT JOIN prepay_ledger_entry e
                     ON e.account_id = v.account_id AND e.id > v.first_id AND e.bucket = 'granted'
                    AND e.kind IN ('charge', 'correction')
             GROUP BY v.account_id
            """,
            [[row[0] for row in rows], [row[2] for row in rows]],
        )
        used = {account_id: Decimal(amount) for account_id, amount in self.env.cr.fetchall()}
        money = self.env["prepay.account"].browse([row[0] for row in rows])._money()
        postings, due = [], self.env["prepay.allowance.grant"].sudo()
        for account_id, grant_ids, _first in rows:
            grants = due.browse(grant_ids)
            amounts = [Decimal(f"{grant.amount:.2f}") for grant in grants]
            left = unused_grants(amounts, used[account_id], money[account_id][1])
            due |= grants
            postings += [(grant, amount) for grant, amount in zip(grants, left) if amount]
        entries = self.env["prepay.ledger.entry"]._post(
            [
                {
                    "account": grant.account_id,
                    "kind": "expiry",
                    "bucket": GRANTED,
                    "amount": -amount,
                    "key": f"expiry:{grant.id}",
                    "reason": grant.company_id._prepay_env()._(
                        "%(plan)s, %(period)s: not used",
                        plan=grant.allowance_id.name,
                        period=grant.period,
                    ),
                    "document": grant,
                }
                for grant, amount in postings
            ]
        )
        for (grant, amount), entry in zip(postings, entries):
            grant.write({"expiry_entry_id": entry.id, "cleared": float(amount)})
        due.write({"state": "closed"})
        due.account_id._evaluate_supply()

    def _lock(self):
        self.env.cr.execute(
            "SELECT id FROM prepay_allowance WHERE id = ANY(%s) FOR NO KEY UPDATE", [self.ids]
        )

    @api.model
    def _cron_allowances(self):
        """Clear what is over, then grant what has begun; safe to repeat."""
        tomorrow = fields.Date.today() + timedelta(days=1)  # east of Greenwich it has begun
        plans = self.search([("date_from", "<=", tomorrow)])
        for index, plan in enumerate(plans):
            day = plan._today()
            plan._clear_unused(day)
            if plan._period_of(day):
                plan._grant(day)
            if not self.env["ir.cron"]._commit_progress(1, remaining=len(plans) - index - 1):
                break
