from odoo import fields, models
from odoo.exceptions import UserError

from ..big_integer import BigInteger
from ..channels import REGISTER_SELECTION


class PrepayReadingHold(models.Model):
    """A reading that the quality rules doubt. It is never billed and never used to cut.

    The operator accepts it (it becomes a reading) or rejects it, with a reason; both are kept.
    """

    _name = "prepay.reading.hold"
    _description = "Held Reading"
    _inherit = ["mail.thread"]
    _order = "last_at desc, id desc"
    _rec_name = "meter_id"

    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="restrict", readonly=True
    )
    location_id = fields.Many2one(related="meter_id.location_id", store=True, index=True)
    company_id = fields.Many2one(related="meter_id.company_id", store=True, index=True)
    channel = fields.Selection(REGISTER_SELECTION, required=True, readonly=True)
    rule = fields.Selection(
        [
            ("decrease", "Register went down"),
            ("spike", "Jump larger than the meter can carry"),
            ("clock", "In the future"),
        ],
        string="Reason",
        required=True,
        readonly=True,
    )
    first_at = fields.Datetime(string="First Held", required=True, readonly=True)
    last_at = fields.Datetime(string="Last Held", required=True, readonly=True)
    count = fields.Integer(string="Times", default=1, readonly=True)
    previous_at = fields.Datetime(string="Last Good Reading", readonly=True)
    previous_value = BigInteger(string="Last Good Value (Wh or L)", readonly=True)
    value = BigInteger(string="Held Value (Wh or L)", required=True, readonly=True)
    detail = fields.Char(readonly=True)
    state = fields.Selection(
        [("held", "Held"), ("accepted", "Accepted"), ("rejected", "Rejected")],
        default="held",
        required=True,
        readonly=True,
        tracking=True,
        index=True,
    )
    resolution = fields.Char(help="Why the value was accepted or rejected.", tracking=True)
    resolved_by_id = fields.Many2one("res.users", readonly=True)
    resolved_at = fields.Datetime(readonly=True)

    _open_unique = models.UniqueIndex(
        "(meter_id, channel, rule) WHERE state = 'held'", "This doubt is already open."
    )

    def action_accept(self):
        """The newest held value is right: it becomes a reading."""
        for hold in self._resolvable():
            if hold.rule == "decrease":
                raise UserError(
                    self.env._(
                        "Meter %(meter)s: the register went from %(old)s to %(new)s. "
                        "A lower value cannot become a reading. Reject it.",
                        meter=hold.meter_id.number,
                        old=hold.previous_value / 1000,
                        new=hold.value / 1000,
                    )
                )
            self.env["prepay.reading"]._ingest(
                [(hold.meter_id.id, hold.channel, hold.last_at, hold.value)]
            )
            hold._resolve("accepted")

    def action_reject(self):
        """The held value is wrong and is left out of everything."""
        for hold in self._resolvable():
            hold._resolve("rejected")

    def _resolvable(self):
        self.check_access("write")
        for hold in self:
            if hold.state != "held":
                raise UserError(
                    self.env._(
                        "The held reading of meter %s is already resolved.", hold.meter_id.number
                    )
                )
            if not hold.resolution:
                raise UserError(
                    self.env._(
                        "Meter %s: enter why the value is accepted or rejected.",
                        hold.meter_id.number,
                    )
                )
        return self

    def _resolve(self, state):
        self.write(
            {"state": state, "resolved_by_id": self.env.uid, "resolved_at": fields.Datetime.now()}
        )
        self.env["prepay.gateway"]._notify_collector()
