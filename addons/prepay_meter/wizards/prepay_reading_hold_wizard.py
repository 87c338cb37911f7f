import base64
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import UserError


class PrepayReadingHoldWizard(models.TransientModel):
    """Resolve held readings, one or many, with a reason that stays in the journal."""

    _name = "prepay.reading.hold.wizard"
    _description = "Resolve Held Readings"

    hold_ids = fields.Many2many("prepay.reading.hold", string="Held Readings", required=True)
    hold_count = fields.Integer(compute="_compute_hold_count")
    action = fields.Selection(
        [
            ("accept", "The value is right"),
            ("reject", "The value is wrong"),
            ("correct", "Enter what was read on site"),
            ("estimate", "Estimate until a true reading arrives"),
            ("baseline", "The register was reset or the meter replaced"),
        ],
        required=True,
        default="accept",
    )
    reason = fields.Char(required=True)
    at = fields.Datetime(
        string="Moment",
        compute="_compute_values",
        store=True,
        readonly=False,
        help="When the value was read, until when is estimated, or since when the new register counts.",
    )
    register = fields.Float(
        string="Register (kWh or m³)",
        digits=(16, 3),
        compute="_compute_values",
        store=True,
        readonly=False,
    )
    old_register = fields.Float(
        string="End of the Old Register (kWh or m³)",
        digits=(16, 3),
        compute="_compute_values",
        store=True,
        readonly=False,
    )
    method = fields.Selection(
        [("average", "Average of the last days"), ("person", "My estimate")], default="average"
    )
    photo = fields.Binary(attachment=False)
    photo_name = fields.Char()

    @api.depends("hold_ids")
    def _compute_hold_count(self):
        for wizard in self:
            wizard.hold_count = len(wizard.hold_ids)

    @api.depends("hold_ids", "action")
    def _compute_values(self):
        """Propose what is known; of many each has its own."""
        for wizard in self:
            hold = wizard.hold_ids[:1]
            wizard.at = fields.Datetime.now()
            wizard.register = wizard.old_register = 0
            if wizard.action == "baseline" and hold:
                wizard.at, first, end = wizard._proposal(hold._origin)
                wizard.register, wizard.old_register = first / 1000, end / 1000

    @api.model
    def _proposal(self, hold):
        """Moment, start and end of the registers when nobody knows better: the first held value."""
        values = hold.value_ids.filtered(lambda item: item.channel == hold.channel)
        first = values.sorted("read_at")[:1]
        return (
            first.read_at or hold.first_at,
            first.value if first else hold.value,
            hold.previous_value,
        )

    def action_confirm(self):
        self.ensure_one()
        holds = self.hold_ids
        holds.check_access("write")
        if not self.reason or not self.reason.strip():
            raise UserError(self.env._("Enter a reason. It stays in the journal."))
        if len(holds) > 1 and (
            self.action == "correct" or (self.action == "estimate" and self.method == "person")
        ):
            raise UserError(
                self.env._(
                    "%s held readings are chosen. Enter values for one at a time.", len(holds)
                )
            )
        for hold in holds:
            if hold.state != "held":
                continue  # a new baseline of the same meter has closed it meanwhile
            hold.resolution = self.reason
            self._resolve(hold._resolvable(), alone=len(holds) == 1)
        return {"type": "ir.actions.act_window_close"}

    def _resolve(self, hold, alone):
        if self.action == "accept":
            hold.action_accept()
        elif self.action == "reject":
            hold.action_reject()
        elif self.action == "correct":
            photo = self.photo and (self.photo_name or "photo", base64.b64decode(self.photo))
            hold._correct(self._base(self.register), self.at, photo or None)
        elif self.action == "estimate":
            value = self._base(self.register) if self.method == "person" else None
            hold._estimate(self.at or fields.Datetime.now(), value)
        else:
            at, start, end = self._proposal(hold)
            if alone:
                at, start, end = self.at, self._base(self.register), self._base(self.old_register)
            hold._rebase(at, end, start)

    @api.model
    def _base(self, quantity):
        """Wh or litres of a register in kWh or m³."""
        if quantity < 0:
            raise UserError(self.env._("A register is never below zero."))
        return int(Decimal(f"{quantity:.3f}") * 1000)
