from odoo import api, fields, models
from odoo.exceptions import UserError


class PrepayHandover(models.Model):
    """One tenant follows another in the same room (过户): the old account is settled and closed, a new
    one begins with the same meters at the same registers, in one transaction.

    The money is paid out to the old tenant, or moves to the new one with the old one's consent. A debt
    never moves: nobody pays what somebody else has used.
    """

    _name = "prepay.handover"
    _description = "Hand-over"
    _inherit = ["prepay.tenancy.settlement"]
    _check_company_auto = True
    _number_prefix = "GH"
    _line_model = "prepay.handover.line"

    line_ids = fields.One2many(
        "prepay.handover.line",
        "handover_id",
        string="Readings",
        compute="_compute_line_ids",
        store=True,
        readonly=False,
    )
    new_partner_id = fields.Many2one(
        "res.partner", string="New Tenant", required=True, tracking=True
    )
    way = fields.Selection(
        [("refund", "Pay out or collect"), ("move", "Leave it to the new tenant")],
        string="Settle",
        required=True,
        default="refund",
    )
    consent = fields.Boolean(
        string="Written Consent", help="The old tenant has agreed in writing to leave the money."
    )
    consent_file = fields.Image(string="Photo of the Consent", max_width=1920, max_height=1920)
    keep_tiers = fields.Boolean(
        string="Go On in the Tiers",
        help="The new tenant goes on where the old one stood in the tiers. Otherwise they begin anew.",
    )
    new_account_id = fields.Many2one("prepay.account", readonly=True, copy=False, index=True)

    _open_unique = models.UniqueIndex(
        "(account_id) WHERE state IN ('draft', 'waiting', 'done')",
        "This account has a hand-over already. Open it, or delete the draft.",
    )

    def _terms(self):
        return super()._terms() | {
            "account_id",
            "new_partner_id",
            "way",
            "consent",
            "refund_method",
            "collect_method",
            "keep_tiers",
        }

    @api.model
    def _button_fields(self):
        return super()._button_fields() | {"new_account_id"}

    def _check_ready(self):
        result = super()._check_ready()
        if self.new_partner_id == self.partner_id:
            raise UserError(
                self.env._(
                    "%s is the tenant already. Choose the new tenant.", self.partner_id.display_name
                )
            )
        if not self.line_ids:
            raise UserError(
                self.env._(
                    "Account %s has no meter to hand over. Close it instead.",
                    self.account_id.display_name,
                )
            )
        if self.way == "move":
            if not self.consent:
                raise UserError(
                    self.env._(
                        "Money moves to the new tenant only with the written consent of %s. Tick “Written "
                        "Consent”, or pay out.",
                        self.partner_id.display_name,
                    )
                )
            if self.result == "collect":
                raise UserError(
                    self.env._(
                        "Account %s is in arrears: a debt never moves to the new tenant. Collect it.",
                        self.account_id.display_name,
                    )
                )
        return result

    def _target(self):
        return self.new_account_id

    def _carry_out(self):
        changes = self.env["prepay.tariff.change"]
        changes._begin()
        old = self.account_id
        supplies = self.line_ids.supply_id
        standing = {
            supply: {
                "tariff_id": supply.tariff_id.id,
                "rate_source": supply.rate_source,
                "heads": supply.heads,
            }
            for supply in supplies
        }
        self.new_account_id = self.env["prepay.account"].create(
            {
                "partner_id": self.new_partner_id.id,
                "location_id": old.location_id.id,
                "medium": old.medium,
                "policy_id": old.policy_id.id,
                "overdraft_limit": old.overdraft_limit,
            }
        )
        kept = self._settle_and_close()
        following = self.env["prepay.account.meter"]
        for line in self.line_ids:
            vals = standing[line.supply_id]
            if self.keep_tiers:
                vals |= {
                    "tier_used": line.supply_id.tier_used,
                    "tier_period": line.supply_id.tier_period,
                }
            new = following.create(
                line.supply_id._succeed(line, account_id=self.new_account_id.id, **vals)
            )
            changes._hand_on(line.supply_id, new)
            following += new
        self.new_account_id._evaluate_supply()
        return {
            **kept,
            "following": following.ids,
            "new_last_entry": self._last_entry(self.new_account_id),
        }

    def _reason(self):
        words = self.company_id._prepay_env()
        return words._("Hand-over %s", self.number)

    def _after(self):
        return {
            "type": "ir.actions.act_window",
            "res_model": "prepay.account",
            "res_id": self.new_account_id.id,
            "view_mode": "form",
        }

    def _take_back(self, reason):
        new = self.new_account_id
        self._check_nothing_followed(new, self.kept["new_last_entry"])
        if new.topup_ids.filtered(lambda topup: topup.state != "reversed"):
            raise UserError(
                self.env._(
                    "%(document)s cannot be undone: account %(account)s has a top-up.",
                    document=self.number,
                    account=new.display_name,
                )
            )
        following = self.env["prepay.account.meter"].browse(self.kept["following"])
        by_meter = {supply.meter_id: supply for supply in self.line_ids.supply_id}
        for new_supply in following:
            self.env["prepay.tariff.change"]._hand_on(new_supply, by_meter[new_supply.meter_id])
        self._drop(following)
        self._open_again(reason)
        new._close()
