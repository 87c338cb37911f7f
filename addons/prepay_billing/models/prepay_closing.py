from odoo import fields, models
from odoo.exceptions import UserError


class PrepayClosing(models.Model):
    """A tenant leaves (销户): final readings, what was used is charged, the rest of the money goes back."""

    _name = "prepay.closing"
    _description = "Closing"
    _inherit = ["prepay.tenancy.settlement"]
    _check_company_auto = True
    _number_prefix = "XH"
    _line_model = "prepay.closing.line"

    line_ids = fields.One2many(
        "prepay.closing.line",
        "closing_id",
        string="Final Readings",
        compute="_compute_line_ids",
        store=True,
        readonly=False,
    )
    way = fields.Selection(
        [("refund", "Pay out or collect"), ("move", "Move to another account")],
        string="Settle",
        required=True,
        default="refund",
    )
    target_id = fields.Many2one(
        "prepay.account",
        string="Other Account",
        check_company=True,
        ondelete="restrict",
        domain="[('id', '!=', account_id), ('state', '=', 'open'), ('company_id', '=', company_id)]",
    )
    cut_power = fields.Boolean(
        string="Switch Off the Empty Room", help="The meters are switched off when it is done."
    )

    _open_unique = models.UniqueIndex(
        "(account_id) WHERE state IN ('draft', 'waiting', 'done')",
        "This account has a closing already. Open it, or delete the draft.",
    )

    def _terms(self):
        return super()._terms() | {
            "account_id",
            "way",
            "refund_method",
            "collect_method",
            "target_id",
            "cut_power",
        }

    def _check_ready(self):
        result = super()._check_ready()
        if self.way == "move" and not self.target_id:
            raise UserError(self.env._("Choose the account that the money moves to."))
        return result

    def _target(self):
        return self.target_id

    def _carry_out(self):
        kept = self._settle_and_close()
        if self.cut_power:
            meters = self.line_ids.meter_id.filtered(lambda meter: not meter.is_protected)
            meters._request_relay("open", "closing", self._reason())
        return kept

    def _take_back(self, reason):
        self._open_again(reason)
        self._switch_back(self.line_ids.meter_id, reason)
