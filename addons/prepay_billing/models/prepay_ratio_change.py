from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError

from odoo.addons.prepay_meter.channels import BILLED


class PrepayRatioChange(models.Model):
    """The transformers of a meter are changed (换CT, 换PT): its register counts on with another ratio.

    Registers are stored as primary energy, so nothing that was read before is ever multiplied anew. At one
    moment the register ends at what it showed with the old ratio and begins at what it shows with the
    new one (a baseline); the assignment to the account goes on.
    """

    _name = "prepay.ratio.change"
    _description = "CT or PT Change"
    _inherit = ["prepay.tenancy.document", "prepay.tenancy.line"]
    _check_company_auto = True
    _rec_name = "number"
    _order = "id desc"
    _number_prefix = "CT"

    meter_id = fields.Many2one(check_company=True, domain="[('medium', '=', 'electricity')]")
    company_id = fields.Many2one(related="meter_id.company_id", store=True, index=True)
    location_id = fields.Many2one(
        "prepay.location", string="Room", compute="_compute_before", store=True, index=True
    )
    supply_id = fields.Many2one(
        "prepay.account.meter", string="Assignment", compute="_compute_before", store=True
    )
    account_id = fields.Many2one(related="supply_id.account_id", store=True, index=True)
    reason = fields.Char(string="Why It Is Changed", required=True, tracking=True)
    ratio_before = fields.Integer(compute="_compute_before", store=True, aggregator=None)
    ratio_after = fields.Integer(
        required=True, default=1, aggregator=None, help="CT ratio × PT ratio: 300/5 A is 60."
    )
    new_profile_id = fields.Many2one(
        "prepay.meter.profile",
        string="Meter Type From Now On",
        domain="[('medium', '=', 'electricity')]",
        ondelete="restrict",
        help="The type whose scale counts with the new ratio. Empty: the meter itself multiplies.",
    )
    new_register = fields.Float(
        string="Register After (kWh)",
        digits=(16, 3),
        copy=False,
        help="Primary energy that the platform reads right after the change.",
    )
    new_photo = fields.Image(string="Photo After", max_width=1920, max_height=1920)

    _ratio_positive = models.Constraint("CHECK (ratio_after >= 1)", "A ratio is one or more.")
    _open_unique = models.UniqueIndex(
        "(meter_id) WHERE state IN ('draft', 'waiting')",
        "This meter has a change of its ratio that is not done. Open it, or delete the draft.",
    )

    @api.depends("meter_id")
    def _compute_before(self):
        for item in self.filtered(lambda item: item.state == "draft"):
            item.supply_id = item.meter_id.sudo().supply_ids.filtered(lambda row: not row.end_at)[
                :1
            ]
            item.location_id = item.meter_id.location_id
            item.ratio_before = item.meter_id.ratio or 1

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
            "ratio_after",
            "new_profile_id",
            "new_register",
            "register",
            "read_at",
            "source",
            "reading_reason",
        }

    def action_read_now(self):
        self._check_draft()
        result = self.meter_id.action_read_now()
        self.write({"asked_at": fields.Datetime.now(), "source": "meter"})
        return result

    def action_take_readings(self):
        self._check_draft()
        self._take_reading()

    # doing

    def _take_newer(self):
        before = self.read_at
        newest = self._newest(self.meter_id)
        if self.source == "meter" and newest and newest["read_at"] != before:
            self._take_reading()
            return self.env._(
                "Newer readings of %s were taken over. Check the register after the change and confirm "
                "again.",
                self.meter_id.number,
            )
        return None

    def _check_ready(self):
        self.sudo()._compute_before()
        self._check_register()
        if self.new_register < 0:
            raise UserError(self.env._("A register is never below zero."))
        if self.ratio_after == self.ratio_before and not self.new_profile_id:
            raise UserError(
                self.env._(
                    "Meter %(meter)s counts with ratio %(ratio)s already. Enter the new ratio.",
                    meter=self.meter_id.number,
                    ratio=self.ratio_before,
                )
            )

    def _carry_out(self):
        meter, supply = self.meter_id, self.supply_id
        if supply:
            supply._lock_for_end()
            supply._check_end(self)
        self._store_readings()
        if supply:
            supply._rate_new_readings()
            supply.invalidate_recordset()
            if supply.problem or (supply.rated_at and supply.rated_at != self.read_at):
                raise UserError(
                    self.env._(
                        "Meter %(meter)s: the use up to %(at)s could not be charged. %(problem)s",
                        meter=meter.number,
                        at=self._local(self.read_at),
                        problem=supply.problem or "",
                    )
                )
        kept = {"profile": meter.profile_id.id, "ratio": meter.ratio or 1}
        self._break(self._register_base(), self._new_base(), self.reason)
        meter.write(
            {
                "ratio": self.ratio_after,
                "profile_id": (self.new_profile_id or meter.profile_id).id,
            }
        )
        return kept

    def _new_base(self):
        return int(Decimal(f"{self.new_register:.3f}") * 1000)

    def _break(self, old_end, new_start, reason, seconds=1):
        """The register ends and begins anew, right after the reading."""
        self.env["prepay.reading.baseline"].create(
            {
                "meter_id": self.meter_id.id,
                "channel": BILLED[self.medium],
                "at": fields.Datetime.add(self.read_at, seconds=seconds),
                "old_end": old_end,
                "new_start": new_start,
                "reason": reason,
            }
        )

    # undoing

    def _take_back(self, reason):
        """A second break leads back; between the two nothing was counted."""
        reading = self.env["prepay.reading"].search(
            [("meter_id", "=", self.meter_id.id), ("read_at", ">", self.read_at)], limit=1
        )
        if reading:
            raise UserError(
                self.env._(
                    "%(document)s cannot be undone: meter %(meter)s was read on %(at)s.",
                    document=self.number,
                    meter=self.meter_id.number,
                    at=self._local(reading.read_at),
                )
            )
        self._break(self._new_base(), self._register_base(), reason, seconds=2)
        self.meter_id.write({"ratio": self.kept["ratio"], "profile_id": self.kept["profile"]})
