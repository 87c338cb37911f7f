from odoo import fields, models


class PrepayTariffFee(models.Model):
    """A fixed charge by day or month, its own line beside the usage. CNY."""

    _name = "prepay.tariff.fee"
    _description = "Fixed Fee"
    _inherit = ["prepay.tariff.part"]
    _order = "version_id, sequence, id"
    _rec_name = "code"

    sequence = fields.Integer(default=10)
    code = fields.Char(string="Fee", required=True, help="As it appears on the bill.")
    currency_id = fields.Many2one(related="version_id.currency_id")
    amount = fields.Monetary(required=True)
    period = fields.Selection(
        [("day", "Per day"), ("month", "Per month")],
        required=True,
        default="month",
        help="A monthly fee is spread over the days of its month.",
    )

    _amount_range = models.Constraint(
        "CHECK (amount >= 0 AND amount <= 100000)", "A fee lies between 0 and 100,000 CNY."
    )
