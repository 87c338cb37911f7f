from decimal import ROUND_HALF_EVEN, Decimal

from odoo import Command, api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError

from ..models.prepay_meter_parameter import KINDS, MONEY, PLANS, POWER
from ..plans import PlanError, parse


class PrepayMeterParameterWizard(models.TransientModel):
    """Set one parameter of one meter or of many, after a look at what changes."""

    _name = "prepay.meter.parameter.wizard"
    _description = "Set Parameters"

    meter_ids = fields.Many2many("prepay.meter", string="Meters", required=True)
    kind = fields.Selection(KINDS, string="Parameter", required=True, default="overload")
    switch = fields.Selection([("on", "On"), ("off", "Off")], default="on")
    amount = fields.Float(string="Amount (CNY)", digits=(16, 2))
    power_w = fields.Integer(string="Power (W)", help="0 for no limit.")
    plan_text = fields.Text(
        string="Plan",
        help="Time control: one line for each group of days, such as “workday 05:50 on 23:00 off”; days are "
        "mon to sun, workday, restday, every, and mon-thu; what was switched last holds until the next time; "
        "empty for no time control. Tariff table: “00:00 valley 07:00 flat 08:00 peak”, with sharp, peak, "
        "flat, valley and deep.",
    )
    reason = fields.Char(required=True)
    line_ids = fields.One2many(
        "prepay.meter.parameter.wizard.line",
        "wizard_id",
        compute="_compute_line_ids",
        string="Preview",
    )
    problem = fields.Char(compute="_compute_line_ids")

    @api.depends("meter_ids", "kind", "switch", "amount", "power_w", "plan_text")
    def _compute_line_ids(self):
        parameter = self.env["prepay.meter.parameter"].sudo()
        for wizard in self:
            wizard.problem = False
            try:
                value, document = wizard._wish()
                text = parameter.new({"kind": wizard.kind})._text(value, document)
            except (UserError, ValidationError) as error:
                wizard.problem = str(error)
                wizard.line_ids = [Command.clear()]
                continue
            rows = parameter.search(
                [("kind", "=", wizard.kind), ("meter_id", "in", wizard.meter_ids.ids)]
            )
            known = {row.meter_id.id: row for row in rows}
            wizard.line_ids = [Command.clear()] + [
                Command.create(
                    {
                        "meter_id": meter._origin.id,
                        "before": known[meter._origin.id].desired_text
                        if meter._origin.id in known
                        else False,
                        "reported": known[meter._origin.id].reported_text
                        if meter._origin.id in known
                        else False,
                        "after": text,
                        "way": parameter._first_state(meter.sudo(), wizard.kind),
                    }
                )
                for meter in wizard.meter_ids
            ]

    def _wish(self):
        """Value in base units, and the plan.

        :raises ValidationError: the plan cannot be read
        """
        self.ensure_one()
        if self.kind in PLANS:
            try:
                return 0, parse(self.kind, self.plan_text or "")
            except PlanError as error:
                label = dict(self._fields["kind"]._description_selection(self.env))[self.kind]
                raise ValidationError(
                    self.env["prepay.meter.parameter"]._plan_problem(label, error)
                ) from None
        if self.kind in MONEY:
            fen = (Decimal(repr(self.amount)) * 100).to_integral_value(ROUND_HALF_EVEN)
            return int(fen), None
        if self.kind in POWER:
            return self.power_w, None
        if self.kind == "guarantee":
            return int(self.switch == "on"), None
        return int(self.kind == "release"), None

    @api.onchange("kind")
    def _onchange_kind(self):
        """Begin with what is wished now, when all meters have the same."""
        rows = self.env["prepay.meter.parameter"].search(
            [("kind", "=", self.kind), ("meter_id", "in", self.meter_ids.ids)]
        )
        if not rows or len({row.desired_text for row in rows}) > 1:
            return
        self.switch = "on" if rows[0].desired else "off"
        self.power_w = rows[0].desired if self.kind in POWER else 0
        self.amount = rows[0].desired / 100 if self.kind in MONEY else 0
        plan = self.kind in PLANS and rows[0].desired_document
        self.plan_text = rows[0].desired_text if plan else False

    def action_confirm(self):
        self.ensure_one()
        if not self.env.user.has_group("prepay_meter.group_operator"):
            raise AccessError(self.env._("Only operators may set parameters."))
        self.meter_ids.check_access("read")
        value, document = self._wish()
        self.env["prepay.meter.parameter"]._request(
            self.meter_ids, self.kind, value, document, self.reason
        )
        if len(self.meter_ids) == 1:
            return {"type": "ir.actions.act_window_close"}
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_parameter_action"
        )
        action["domain"] = [("meter_id", "in", self.meter_ids.ids), ("kind", "=", self.kind)]
        action["context"] = {}
        return action


class PrepayMeterParameterWizardLine(models.TransientModel):
    """What the wish changes for one meter."""

    _name = "prepay.meter.parameter.wizard.line"
    _description = "Set Parameters: Meter"

    wizard_id = fields.Many2one("prepay.meter.parameter.wizard", ondelete="cascade")
    meter_id = fields.Many2one("prepay.meter", readonly=True)
    before = fields.Char(string="Wished Until Now", readonly=True)
    reported = fields.Char(readonly=True)
    after = fields.Char(string="New", readonly=True)
    way = fields.Selection(
        [
            ("queued", "Written to the meter"),
            ("platform", "Done by the platform"),
            ("impossible", "Not possible"),
        ],
        string="How",
        readonly=True,
    )
