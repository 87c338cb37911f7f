from odoo import fields, models

from ..big_integer import BigInteger
from ..channels import REGISTER_SELECTION


class PrepayReadingHoldValue(models.Model):
    """What a meter answered while its readings are held, in Wh or litres, times in UTC.

    The collector writes all registers of each held answer, so that none is lost for ever: when a
    person has decided, those that fit become readings.
    """

    _name = "prepay.reading.hold.value"
    _description = "Held Value"
    _log_access = False
    _order = "read_at desc, channel"
    _rec_name = "read_at"

    hold_id = fields.Many2one(
        "prepay.reading.hold",
        string="Held Reading",
        required=True,
        ondelete="cascade",
        readonly=True,
        index=True,
    )
    channel = fields.Selection(REGISTER_SELECTION, required=True, readonly=True)
    read_at = fields.Datetime(string="Read On", required=True, readonly=True)
    value = BigInteger(string="Held Value (Wh or L)", required=True, readonly=True)
    quantity = fields.Float(
        string="Register (kWh or m³)", compute="_compute_quantity", digits=(16, 3)
    )

    _moment_unique = models.UniqueIndex("(hold_id, channel, read_at)")

    def _compute_quantity(self):
        for item in self:
            item.quantity = item.value / 1000
