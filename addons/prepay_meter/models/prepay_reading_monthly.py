from odoo import fields, models
from odoo.tools import SQL

from .. import storage
from ..big_integer import BigInteger
from ..channels import REGISTER_SELECTION


class PrepayReadingMonthly(models.Model):
    """Consumption of each register and month of the site: the sums of ``prepay.reading.daily``.

    A view over ``prepay_reading_monthly_data``. ``consumption`` is in Wh or litres, ``quantity`` in kWh
    or m³; ``month`` is the first day of the month.
    """

    _name = "prepay.reading.monthly"
    _description = "Monthly Consumption"
    _inherit = ["prepay.reading.mixin"]
    _auto = False
    _order = "month desc, id desc"
    _rec_name = "month"
    _moment_columns = ()

    channel = fields.Selection(REGISTER_SELECTION, readonly=True)
    month = fields.Date(readonly=True)
    consumption = BigInteger(string="Consumption (Wh or L)", readonly=True)
    quantity = fields.Float(string="Consumption (kWh or m³)", readonly=True, digits=(16, 3))

    def init(self):
        self.env.cr.execute("DROP VIEW IF EXISTS prepay_reading_monthly")
        self.env.cr.execute(
            SQL(
                """
                CREATE VIEW prepay_reading_monthly AS
                SELECT (((meter_id::bigint << 4) | channel) << 30)
                       + (month - %s::date)::bigint * 86400 AS id,
                       meter_id, channel AS channel_number, %s AS channel, month,
                       consumption, consumption / 1000.0 AS quantity
                  FROM prepay_reading_monthly_data
                """,
                SQL(storage.EPOCH),
                storage.channel_code(SQL("channel")),
            )
        )
