from odoo import api, fields, models

_RANGE = "A price lies between 0 and 100 CNY per kWh or m³."


class PrepayTariffPrice(models.Model):
    """A tier and what a unit costs in it, by rate. CNY per kWh or m³.

    Where every rate is 0 the tier is free; a single 0 beside prices is a price that was forgotten.
    """

    _name = "prepay.tariff.price"
    _description = "Tier Price"
    _inherit = ["prepay.tariff.part"]
    _order = "version_id, sequence, id"

    sequence = fields.Integer(default=10)
    tier = fields.Integer(compute="_compute_tier")
    upto = fields.Float(
        string="Up to",
        digits=(16, 3),
        help="kWh or m³ used since the period began. 0 in the last tier: without limit.",
    )
    sharp = fields.Float(digits="Prepaid Price")
    peak = fields.Float(digits="Prepaid Price")
    flat = fields.Float(digits="Prepaid Price", help="Also the price of the whole day.")
    valley = fields.Float(digits="Prepaid Price")
    deep = fields.Float(string="Deep Valley", digits="Prepaid Price")

    _upto_positive = models.Constraint("CHECK (upto >= 0)", "The limit of a tier is above 0.")
    _sharp_range = models.Constraint("CHECK (sharp >= 0 AND sharp <= 100)", _RANGE)
    _peak_range = models.Constraint("CHECK (peak >= 0 AND peak <= 100)", _RANGE)
    _flat_range = models.Constraint("CHECK (flat >= 0 AND flat <= 100)", _RANGE)
    _valley_range = models.Constraint("CHECK (valley >= 0 AND valley <= 100)", _RANGE)
    _deep_range = models.Constraint("CHECK (deep >= 0 AND deep <= 100)", _RANGE)

    @api.depends("version_id.price_ids.sequence")
    def _compute_tier(self):
        for version in self.version_id:
            for number, line in enumerate(version.price_ids, 1):
                line.tier = number
        for line in self.filtered(lambda line: not line.version_id):
            line.tier = 0
