from odoo import api, fields, models
from odoo.exceptions import UserError


class PrepayLabelWizard(models.TransientModel):
    """Which labels to print, and on which paper."""

    _name = "prepay.label.wizard"
    _description = "Print Meter Labels"

    meter_ids = fields.Many2many("prepay.meter", string="Meters")
    location_ids = fields.Many2many(
        "prepay.location", string="Places", help="All meters in and below these places."
    )
    layout = fields.Selection(
        [("a4", "A4 sheet, 3 × 8 labels of 70 × 37 mm"), ("roll", "Roll, 50 × 30 mm")],
        required=True,
        default="a4",
    )
    skip = fields.Integer(
        string="Labels Already Used", help="So many labels of the first sheet are left out."
    )
    copies = fields.Integer(default=1)
    label_count = fields.Integer(string="Labels", compute="_compute_label_count")

    _skip_range = models.Constraint(
        "CHECK (skip BETWEEN 0 AND 23)", "A sheet has 24 labels: enter 0 to 23 that are used."
    )
    _copies_range = models.Constraint(
        "CHECK (copies BETWEEN 1 AND 10)", "Print 1 to 10 copies of each label."
    )

    @api.model
    def default_get(self, fields):
        values = super().default_get(fields)
        target = {"prepay.meter": "meter_ids", "prepay.location": "location_ids"}
        name = target.get(self.env.context.get("active_model"))
        if name in fields:
            values[name] = [(6, 0, self.env.context.get("active_ids", []))]
        return values

    @api.depends("meter_ids", "location_ids", "copies")
    def _compute_label_count(self):
        for wizard in self:
            wizard.label_count = len(wizard._meters()) * wizard.copies

    def action_print(self):
        self.ensure_one()
        if not self._meters():
            raise UserError(
                self.env._("There is no meter to print a label for. Choose meters or places.")
            )
        return self.env.ref("prepay_meter.action_report_labels").report_action(self)

    def _meters(self):
        """The chosen meters, by room."""
        self.ensure_one()
        meters = self.meter_ids._origin
        if self.location_ids:
            meters |= meters.search([("location_id", "child_of", self.location_ids.ids)])
        return meters.sorted(lambda meter: (meter.location_id.complete_name or "", meter.number))
