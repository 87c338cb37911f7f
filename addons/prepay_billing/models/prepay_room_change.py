from odoo import api, fields, models
from odoo.exceptions import UserError


class PrepayRoomChange(models.Model):
    """A tenant moves to another room (换房), alone or changing places with the tenant there.

    The wallet stays with the tenant and is not touched: use is charged up to the final readings of the
    old room, and from the opening readings of the new one. So no money can be moved twice or lost.
    """

    _name = "prepay.room.change"
    _description = "Room Change"
    _inherit = ["prepay.tenancy.document"]
    _check_company_auto = True
    _number_prefix = "HF"

    account_id = fields.Many2one(
        "prepay.account",
        required=True,
        index=True,
        ondelete="restrict",
        check_company=True,
        domain="[('state', '=', 'open')]",
    )
    partner_id = fields.Many2one(related="account_id.partner_id", store=True, index=True)
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    location_id = fields.Many2one(
        "prepay.location",
        string="From Room",
        compute="_compute_location_id",
        store=True,
        index=True,
    )
    target_location_id = fields.Many2one(
        "prepay.location",
        string="To Room",
        required=True,
        index=True,
        ondelete="restrict",
        check_company=True,
        domain="[('id', '!=', location_id), ('meter_ids', '!=', False)]",
    )
    swap_account_id = fields.Many2one(
        "prepay.account",
        string="Changes Places With",
        compute="_compute_swap_account_id",
        store=True,
        help="The tenant of the other room moves into this one.",
    )
    keep_tiers = fields.Boolean(
        string="Go On in the Tiers",
        default=True,
        help="Use in the tier period goes with the tenant. Otherwise the tiers begin anew.",
    )
    line_ids = fields.One2many(
        "prepay.room.change.line",
        "change_id",
        string="Readings",
        compute="_compute_line_ids",
        store=True,
        readonly=False,
    )

    _open_unique = models.UniqueIndex(
        "(account_id) WHERE state IN ('draft', 'waiting')",
        "This account has a room change that is not done. Open it, or delete the draft.",
    )

    @api.depends("account_id")
    def _compute_location_id(self):
        for change in self.filtered(lambda item: item.state == "draft"):
            change.location_id = change.account_id.location_id

    @api.depends("account_id", "target_location_id")
    def _compute_swap_account_id(self):
        for change in self.filtered(lambda item: item.state == "draft"):
            change.swap_account_id = change._meters_there().account_id[:1]

    @api.depends("account_id", "target_location_id")
    def _compute_line_ids(self):
        lines = self.env["prepay.room.change.line"]
        for change in self.filtered(lambda item: item.state == "draft"):
            leaving = change.account_id._present_supplies()
            there = change._meters_there()
            rows = lines._of(leaving)
            for meter in there:
                supply = meter.supply_ids.filtered(lambda item: not item.end_at)
                rows += lines._of(supply) or [{"meter_id": meter.id, **lines._newest(meter)}]
            change.line_ids = [fields.Command.clear()] + [
                fields.Command.create(
                    {
                        **row,
                        "tariff_id": change._tariff(
                            self.env["prepay.meter"].browse(row["meter_id"])
                        ),
                    }
                )
                for row in rows
            ]

    def _meters_there(self):
        """Meters of the other room that this account would pay for."""
        self.ensure_one()
        medium = self.account_id.medium
        return self.target_location_id._origin.meter_ids.filtered(
            lambda meter: not medium or meter.medium == medium
        )

    def _tariff(self, meter):
        """The tariff of whoever takes over a meter, else the present one of the meter."""
        taker = self.account_id if meter in self._meters_there() else self.swap_account_id
        same = taker._origin._present_supplies().filtered(lambda item: item.medium == meter.medium)
        present = meter.supply_ids.filtered(lambda item: not item.end_at)
        return (same[:1].tariff_id or present[:1].tariff_id).id if taker else False

    def _terms(self):
        return super()._terms() | {"account_id", "target_location_id", "keep_tiers"}

    def action_read_now(self):
        self._check_draft()
        return self.line_ids.action_read_now()

    def _take_newer(self):
        return self.line_ids._take_newer()

    def _check_ready(self):
        accounts = (self.account_id | self.swap_account_id).sudo()
        for account in accounts:
            if account.state != "open":
                raise UserError(self.env._("Account %s is closed already.", account.display_name))
        there = self._meters_there().sudo()
        if not there:
            raise UserError(
                self.env._(
                    "Room %s has no meter. Put a meter there first.",
                    self.target_location_id.display_name,
                )
            )
        others = there.account_id - self.swap_account_id
        supplies = accounts.supply_ids.filtered(lambda item: not item.end_at)
        elsewhere = self.swap_account_id.sudo()._present_supplies().meter_id - there
        if others or elsewhere or self.account_id in there.account_id:
            raise UserError(
                self.env._(
                    "Room %(room)s: its meters belong to %(accounts)s, which also pays for other meters or "
                    "is not alone. Close or change these accounts first.",
                    room=self.target_location_id.display_name,
                    accounts=", ".join((others or there.account_id).mapped("display_name")),
                )
            )
        lines = self.line_ids.sudo()
        missing = (supplies.meter_id | there) - lines.meter_id
        if missing or lines.supply_id != supplies:
            raise UserError(
                self.env._(
                    "%(document)s: meter %(meter)s has no line with its reading. Delete this draft and "
                    "begin anew.",
                    document=self.number,
                    meter=", ".join((missing or lines.meter_id).mapped("number")),
                )
            )
        for line in lines.filtered(lambda item: not item.tariff_id and item._taker()):
            raise UserError(self.env._("Choose the tariff of meter %s.", line.meter_id.number))
        self._check_credit(lines.meter_id)
        lines._check_register()

    def _carry_out(self):
        lines, accounts = self.line_ids, self.account_id | self.swap_account_id
        ending = lines.filtered("supply_id").sorted(lambda line: line.supply_id.id)
        supplies = self.env["prepay.account.meter"].union(*ending.mapped("supply_id"))
        money = self._worth(accounts)
        kept = supplies._end_with(ending)
        (lines - ending)._store_readings()
        vals_list = []
        for line in lines:
            taker = line._taker()
            if not taker:
                continue
            before = supplies.filtered(
                lambda item, taker=taker, medium=line.medium: (
                    item.account_id == taker and item.medium == medium
                )
            )[:1]
            vals = {"rate_source": "clock", "heads": 1}
            if before:
                vals = {"rate_source": before.rate_source, "heads": before.heads}
                if self.keep_tiers:
                    vals |= {"tier_used": before.tier_used, "tier_period": before.tier_period}
            vals_list.append(
                before._succeed(line, account_id=taker.id, tariff_id=line.tariff_id.id, **vals)
            )
        self.account_id.location_id = self.target_location_id
        if self.swap_account_id:
            self.swap_account_id.location_id = self.location_id
        following = self.env["prepay.account.meter"].create(vals_list)
        following.flush_recordset()
        used = sum(money.values()) - sum(self._worth(accounts).values())
        if used < 0:
            raise UserError(self.env._("%s: the balances do not add up.", self.number))
        accounts._evaluate_supply()
        return {
            "supplies": kept,
            "following": following.ids,
            "last_entry": self._last_entry(accounts),
        }

    def _worth(self, accounts):
        """Own and granted money less what is used and not posted, by account id."""
        return {key: row[0] + row[1] - row[2] for key, row in accounts._money().items()}

    def _take_back(self, reason):
        accounts, kept = self.account_id | self.swap_account_id, self.kept
        for account in accounts:
            if account.state != "open":
                raise UserError(self.env._("Account %s is closed already.", account.display_name))
        self._drop(self.env["prepay.account.meter"].browse(kept["following"]))
        self.line_ids.supply_id._resume(kept["supplies"])
        self.account_id.location_id = self.location_id
        if self.swap_account_id:
            self.swap_account_id.location_id = self.target_location_id
        accounts._evaluate_supply()
