from datetime import timedelta
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError

from odoo.addons.prepay_meter.channels import BILLED

#: What goes over from the old archive to the new one.
CARRIED = (
    "gateway_id",
    "location_id",
    "poll_minutes",
    "overload_w",
    "malicious_step_w",
    "is_protected",
    "protected_reason",
    "hoarding_limit_fen",
)
#: Days of use from which the register of a dead meter is estimated.
AVERAGE_DAYS = 30


class PrepayMeterReplacement(models.Model):
    """A meter is replaced (换表): the tenant's account goes on with the new one, at once.

    Use is charged up to the final reading of the old meter and from the opening reading of the new one;
    tariff, tiers, persons and the fraction of a fen are carried on. Credit in the old meter moves once.
    """

    _name = "prepay.meter.replacement"
    _description = "Meter Replacement"
    _inherit = ["prepay.tenancy.document", "prepay.tenancy.line"]
    _check_company_auto = True
    _rec_name = "number"
    _order = "id desc"
    _number_prefix = "HB"

    meter_id = fields.Many2one(string="Old Meter", check_company=True)
    company_id = fields.Many2one(related="meter_id.company_id", store=True, index=True)
    location_id = fields.Many2one(
        "prepay.location", string="Room", compute="_compute_supply_id", store=True, index=True
    )
    supply_id = fields.Many2one(
        "prepay.account.meter", compute="_compute_supply_id", store=True, string="Assignment"
    )
    account_id = fields.Many2one(related="supply_id.account_id", store=True, index=True)
    reason = fields.Char(string="Why It Is Replaced", required=True, tracking=True)
    estimated = fields.Boolean(
        readonly=True, copy=False, help="The final register is an estimate from the days before."
    )
    new_meter_id = fields.Many2one(
        "prepay.meter",
        check_company=True,
        ondelete="restrict",
        domain="[('id', '!=', meter_id), ('medium', '=', medium), ('company_id', '=', company_id), "
        "('account_id', '=', False)]",
        help="Leave empty to register a new one.",
    )
    new_number = fields.Char(string="New Meter Number")
    new_profile_id = fields.Many2one(
        "prepay.meter.profile",
        string="New Meter Type",
        compute="_compute_new_profile_id",
        store=True,
        readonly=False,
        domain="[('medium', '=', medium)]",
        ondelete="restrict",
    )
    new_address = fields.Char()
    new_register = fields.Float(
        string="Opening Register (kWh or m³)",
        digits=(16, 3),
        copy=False,
        help="As the new meter shows.",
    )
    new_photo = fields.Image(string="Photo of the New Meter", max_width=1920, max_height=1920)
    created_new = fields.Boolean(readonly=True, copy=False)
    old_stays = fields.Selection(
        [("archive", "Archive it"), ("spare", "Keep it as a spare")],
        string="Old Meter Then",
        required=True,
        default="archive",
    )
    has_credit = fields.Boolean(compute="_compute_has_credit")
    carried_credit = fields.Monetary(
        string="Credit Left in the Old Meter",
        compute="_compute_carried_credit",
        store=True,
        readonly=False,
        help="Moves to the new meter once.",
    )
    new_purchase_count = fields.Integer(string="Purchase Count of the New Meter")

    _open_unique = models.UniqueIndex(
        "(meter_id) WHERE state IN ('draft', 'waiting')",
        "This meter has a replacement that is not done. Open it, or delete the draft.",
    )
    _credit_positive = models.Constraint(
        "CHECK (COALESCE(carried_credit, 0) >= 0 AND COALESCE(new_purchase_count, 0) >= 0)",
        "Credit and purchase count are zero or more.",
    )

    @api.depends("meter_id")
    def _compute_supply_id(self):
        for item in self.filtered(lambda item: item.state == "draft"):
            item.supply_id = item.meter_id.sudo().supply_ids.filtered(lambda row: not row.end_at)[
                :1
            ]
            item.location_id = item.meter_id.location_id

    @api.depends("meter_id")
    def _compute_new_profile_id(self):
        for item in self.filtered(lambda item: item.state == "draft"):
            item.new_profile_id = item.meter_id.profile_id

    @api.depends("meter_id")
    def _compute_has_credit(self):
        for item in self:
            item.has_credit = item._keeps_credit()

    @api.depends("meter_id")
    def _compute_carried_credit(self):
        for item in self.filtered(lambda item: item.state == "draft"):
            held = max(item.meter_id.remaining_fen, 0) if item._keeps_credit() else 0
            item.carried_credit = held / 100

    def _keeps_credit(self):
        """The meter keeps its credit itself."""
        return "credit" in self.meter_id.sudo().profile_id.control_ids.mapped("action")

    @api.model_create_multi
    def create(self, vals_list):
        items = super().create(vals_list)
        for item in items.filtered(lambda item: not item.read_at):
            item._take_reading()
        return items

    def _terms(self):
        return super()._terms() | {
            "meter_id",
            "reason",
            "new_meter_id",
            "new_number",
            "new_profile_id",
            "new_address",
            "new_register",
            "old_stays",
            "carried_credit",
            "new_purchase_count",
            "register",
            "read_at",
            "source",
            "reading_reason",
        }

    # buttons

    def action_read_now(self):
        self._check_draft()
        result = self.meter_id.action_read_now()
        self.write({"asked_at": fields.Datetime.now(), "source": "meter"})
        return result

    def action_take_readings(self):
        self._check_draft()
        self._take_reading()

    @api.model
    def _button_fields(self):
        return super()._button_fields() | {"created_new", "estimated"}

    def action_estimate(self):
        """Estimate the register of a dead meter: as much a day as in the days before.

        :raises UserError: the meter was never read, or has no use of the last days
        """
        self.ensure_one()
        self._check_operator()
        self._check_draft()
        meter = self.meter_id.sudo()
        now = fields.Datetime.now()
        last = self._newest(meter)
        days = self.env["prepay.reading.daily"].sudo().search(
            [
                ("meter_id", "=", meter.id),
                ("channel", "=", BILLED[meter.medium]),
                ("day", ">=", (last.get("read_at") or now).date() - timedelta(days=AVERAGE_DAYS)),
            ]
        )  # fmt: skip
        if not last or not days:
            raise UserError(
                self.env._(
                    "Meter %s has no use of the last days to estimate from. Enter the register.",
                    meter.number,
                )
            )
        span = (max(days.mapped("day")) - min(days.mapped("day"))).days + 1
        seconds = int((now - last["read_at"]).total_seconds())
        used = sum(days.mapped("consumption")) * seconds // (span * 86_400)
        self.sudo().write(
            {
                "register": (meter.last_value + used) / 1000,
                "read_at": now,
                "source": "manual",
                "estimated": True,
                "reading_reason": self.env._("Estimated: %s", self.reason),
            }
        )

    # doing

    def _take_newer(self):
        before = self.read_at
        late = self.supply_id.rated_at and before and self.supply_id.rated_at > before
        if self.source == "meter" and (late or self.reading_state in ("old", "none")):
            self._take_reading()
        if self.read_at == before:
            return None
        return self.env._(
            "Newer readings of %s were taken over. Check the settlement and confirm again.",
            self.meter_id.number,
        )

    def _check_ready(self):
        self.sudo()._compute_supply_id()
        self._check_register()
        if self.new_meter_id:
            self.supply_id._check_free(self.new_meter_id)
            if self.new_meter_id.medium != self.medium:
                raise UserError(
                    self.env._("Meter %s is of another kind.", self.new_meter_id.number)
                )
        elif not self.new_number or not self.new_address or not self.new_profile_id:
            raise UserError(
                self.env._(
                    "Replacement of meter %s: choose the new meter, or enter its number, type and address.",
                    self.meter_id.number,
                )
            )
        elif self.new_profile_id.medium != self.medium:
            raise UserError(
                self.env._(
                    "Type %s is for another kind of meter.", self.new_profile_id.display_name
                )
            )
        if self.new_register < 0:
            raise UserError(self.env._("A register is never below zero."))
        if not self.supply_id:
            return
        if self.supply_id.sudo().account_id.state != "open":
            raise UserError(
                self.env._("Account %s is closed already.", self.account_id.display_name)
            )

    def _carry_out(self):
        changes = self.env["prepay.tariff.change"]
        changes._begin()
        old, supply = self.meter_id, self.supply_id
        kept = {
            "old": self._archive(old),
            "new": self._archive(self.new_meter_id) if self.new_meter_id else None,
            "moved_credit": False,
        }
        if supply:
            carried = {
                "account_id": supply.account_id.id,
                "tariff_id": supply.tariff_id.id,
                "rate_source": supply.rate_source,
                "heads": supply.heads,
            }
            kept["supplies"] = supply._end_with(self)
            kept["residue"] = str(supply._residues()[supply.id])
        else:
            self._store_readings()
        values = {name: old[name] for name in CARRIED}
        values = {name: getattr(item, "id", item) for name, item in values.items()}
        old.write({"gateway_id": False, "active": self.old_stays == "spare"})
        old.flush_recordset()
        if self.new_meter_id:
            new = self.new_meter_id
            if self.new_address:
                values["address"] = self.new_address
            new.write({**values, "active": True})
        else:
            new = self.env["prepay.meter"].create(
                {
                    **values,
                    "number": self.new_number,
                    "address": self.new_address,
                    "profile_id": self.new_profile_id.id,
                }
            )
            self.write({"created_new": True})
            self._force_new(new)
        self._check_opening(new)
        self._carry_parameters(old, new)
        if supply:
            carried |= {
                "tier_used": supply.tier_used,
                "tier_period": supply.tier_period,
                "fees_until": supply.fees_until,
                "residue": supply.residue,
                "closed_day": supply.closed_day,
            }
            supply.residue = 0
            following = self.env["prepay.account.meter"].create(
                supply._begin_at(
                    new,
                    self,
                    **carried,
                    opening_register=self.new_register,
                    rated_value=self._new_base(),
                )
            )
            following.flush_recordset()
            changes._hand_on(supply, following)
            kept["following"] = following.ids
        kept["moved_credit"] = self._carry_credit(old, new)
        return kept

    def _force_new(self, new):
        """The meter that was registered by the confirmation."""
        self.env.cr.execute(
            "UPDATE prepay_meter_replacement SET new_meter_id = %s WHERE id = %s", [new.id, self.id]
        )
        self.invalidate_recordset(["new_meter_id"])

    def _new_base(self):
        return int(Decimal(f"{self.new_register:.3f}") * 1000)

    def _check_opening(self, new):
        """The opening register of the new meter becomes its reading, with the rules of any other."""
        line = self.env["prepay.tenancy.line"].new(
            {
                "meter_id": new.id,
                "register": self.new_register,
                "read_at": self.read_at,
                "source": "manual",
                "reading_reason": self.reason,
            }
        )
        line._check_register()
        line._store_readings()

    def _archive(self, meter):
        """What the undoing writes back."""
        return {
            name: getattr(meter[name], "id", meter[name]) or False
            for name in (*CARRIED, "address", "active")
        }

    def _carry_parameters(self, old, new):
        """Wishes for the old meter are wishes for the new one, as far as it can."""
        request = self.env["prepay.meter.parameter"]
        for row in old.parameter_ids:
            if row.kind not in ("clock", "release") and row.state != "impossible":
                request._request(
                    new,
                    row.kind,
                    row.desired,
                    document=row.desired_document or None,
                    reason=self.env._("Meter replaced: %s", old.number),
                )

    def _carry_credit(self, old, new):
        """Move the credit of the old meter, once (C-07)."""
        fen = int(Decimal(f"{self.carried_credit:.2f}") * 100)
        if not fen and not old.credit_ids:
            return False
        rows = self.env["prepay.meter.credit"]._exchange(
            old, self.new_purchase_count, fen, reference=self.number, onto=new
        )
        return bool(rows) or bool(old.credit_ids)

    # undoing

    def _take_back(self, reason):
        kept = self.kept
        if kept["moved_credit"]:
            raise UserError(
                self.env._(
                    "%s cannot be undone: credit has moved to the new meter. Replace it once more.",
                    self.number,
                )
            )
        old, new = self.meter_id, self.new_meter_id
        if kept.get("following"):
            following = self.env["prepay.account.meter"].browse(kept["following"])
            residue = following._residues()[following.id]
            self.env["prepay.tariff.change"]._hand_on(following, self.supply_id)
            self._drop(following)
        new_vals = kept["new"] or {**self._archive(new), "active": False, "gateway_id": False}
        new.write(new_vals)
        new.flush_recordset()
        old.write(kept["old"])
        if kept.get("following"):
            self.supply_id.residue = float(residue)
            self.supply_id._resume(kept["supplies"])
            self.account_id._evaluate_supply()
