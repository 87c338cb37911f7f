from decimal import ROUND_HALF_EVEN, Decimal

from odoo import api, fields, models


class PrepayMeterCreditWizard(models.TransientModel):
    """Resolve a purchase that stopped, with what a person saw at the meter."""

    _name = "prepay.meter.credit.wizard"
    _description = "Resolve Credit in a Meter"

    credit_id = fields.Many2one("prepay.meter.credit", required=True, readonly=True)
    stop_reason = fields.Selection(related="credit_id.stop_reason")
    number = fields.Integer(related="credit_id.number")
    amount = fields.Float(related="credit_id.amount")
    before_count = fields.Integer(related="credit_id.before_count")
    before_fen = fields.Integer(string="Credit Before (fen)", compute="_compute_seen")
    after_count = fields.Integer(related="credit_id.after_count")
    after_fen = fields.Integer(string="Credit After (fen)", compute="_compute_seen")
    resolution = fields.Selection(
        [
            ("credited", "The meter has it"),
            ("again", "Send again with the same number"),
            ("renumber", "Send behind the purchases sold elsewhere"),
            ("void", "Not credited, will not be sent"),
        ],
        required=True,
        default="again",
    )
    count = fields.Integer(string="Purchase Count at the Meter", required=True)
    remaining = fields.Float(string="Credit at the Meter (CNY)", required=True, digits=(16, 2))
    note = fields.Char(string="What Was Seen", required=True)

    @api.depends("credit_id")
    def _compute_seen(self):
        for wizard in self:
            wizard.before_fen = wizard.credit_id.before_fen
            wizard.after_fen = wizard.credit_id.after_fen

    def action_confirm(self):
        self.ensure_one()
        fen = (Decimal(repr(self.remaining)) * 100).to_integral_value(ROUND_HALF_EVEN)
        self.credit_id._resolve(self.resolution, self.note, self.count, int(fen))
        return {"type": "ir.actions.act_window_close"}
