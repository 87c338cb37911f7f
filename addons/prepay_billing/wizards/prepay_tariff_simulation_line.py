from odoo import fields, models

SIDES = [("first", "A"), ("second", "B")]


class PrepayTariffSimulationLine(models.TransientModel):
    """A stretch of a simulated month with one rate, tier and price. Amounts are not rounded."""

    _name = "prepay.tariff.simulation.line"
    _description = "Simulated Interval"
    _order = "side, start_at, id"

    simulation_id = fields.Many2one(
        "prepay.tariff.simulation", required=True, ondelete="cascade", index=True
    )
    side = fields.Selection(SIDES, string="Tariff", required=True)
    kind = fields.Selection(
        [("usage", "Usage"), ("service", "Service Fee"), ("fee", "Fixed Fee")], required=True
    )
    day = fields.Date(required=True)
    rate = fields.Selection(
        selection=lambda self: (
            self.env["prepay.tariff.period"]._fields["rate"]._description_selection(self.env)
        ),
        required=True,
    )
    tier = fields.Integer(aggregator=None)
    start_at = fields.Datetime(string="From")
    end_at = fields.Datetime(string="Until")
    quantity = fields.Float(string="Quantity (kWh or m³)", digits=(16, 3))
    price = fields.Float(digits="Prepaid Price", aggregator=None)
    amount = fields.Float(digits=(16, 6))
