from odoo import api, fields, models

from .prepay_meter_state import RELAY_STATES

#: Seconds after which a cut that was not carried out is void (S-07).
CUT_VALIDITY = 600


class PrepayMeterCommand(models.Model):
    """One relay wish and what became of it.

    Written by the ERP with state *queued*; from then on only the collector changes it, by SQL:
    queued → sent (committed before the device is written) → confirmed by read-back. A row in state
    *sent* after a crash is in doubt: the relay is read before anything is written again.
    """

    _name = "prepay.meter.command"
    _description = "Relay Command"
    _order = "id desc"
    _rec_name = "meter_id"

    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="restrict", readonly=True
    )
    gateway_id = fields.Many2one(related="meter_id.gateway_id")
    location_id = fields.Many2one(related="meter_id.location_id", store=True, index=True)
    company_id = fields.Many2one(related="meter_id.company_id", store=True, index=True)
    target = fields.Selection(RELAY_STATES, required=True, readonly=True)
    epoch = fields.Integer(required=True, readonly=True, aggregator=None)
    cause = fields.Selection(
        [
            ("operator", "Operator"),
            ("arrears", "Balance used up"),
            ("restore", "Balance restored"),
            ("closing", "Account closed"),
            ("safety", "Safety"),
            ("test", "Installation test"),
            ("overload", "Overload"),
            ("schedule", "Time control"),
        ],
        required=True,
        readonly=True,
        help="Closed list: rent, fees, wages or discipline can never be a cause.",
    )
    reason = fields.Char(required=True, readonly=True)
    state = fields.Selection(
        [
            ("queued", "Queued"),
            ("sent", "Sent, not confirmed"),
            ("confirmed", "Confirmed"),
            ("unproven", "Done, not provable"),
            ("expired", "Expired"),
            ("superseded", "Superseded"),
        ],
        required=True,
        default="queued",
        readonly=True,
        index=True,
    )
    requested_at = fields.Datetime(required=True, default=fields.Datetime.now, readonly=True)
    expires_at = fields.Datetime(readonly=True)
    not_before = fields.Datetime(string="Next Try", readonly=True)
    sent_at = fields.Datetime(string="First Sent", readonly=True)
    confirmed_at = fields.Datetime(readonly=True)
    attempts = fields.Integer(
        readonly=True, default=0, help="How often the command was written to the meter."
    )
    proof = fields.Selection(
        [
            ("status", "Status word of the meter"),
            ("status_load", "Status word and load"),
            ("control", "Control register"),
            ("control_load", "Control register and load"),
            ("load", "Load"),
        ],
        readonly=True,
        help="What showed that the relay moved: a status word is strong proof, a control register alone is weak.",
    )
    detail = fields.Char(string="Last Result", readonly=True)

    _epoch_unique = models.Constraint(
        "UNIQUE (meter_id, epoch)", "A meter has one command for each epoch."
    )
    _open_idx = models.Index("(meter_id) WHERE state IN ('queued', 'sent')")

    @api.depends("meter_id", "target")
    def _compute_display_name(self):
        labels = dict(self._fields["target"]._description_selection(self.env))
        for command in self:
            command.display_name = f"{command.meter_id.number} → {labels.get(command.target, '')}"
