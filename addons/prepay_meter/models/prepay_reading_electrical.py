from odoo import fields, models
from odoo.tools import SQL

from .. import storage
from ..channels import BY_CODE, ELECTRICAL

#: How many base units make the unit that people read.
FACTORS = {"W": 1, "var": 1, "mV": 1000, "mA": 1000, "‰": 1000, "mHz": 1000}


class PrepayReadingElectrical(models.Model):
    """Electrical parameters (电参量) of one poll: momentary values, kept for some weeks.

    A view over ``prepay_reading_electrical_data``, where the collector stores integers in W, var, mV,
    mA, thousandths and mHz; here they are W, var, V, A and Hz. What a meter does not tell is empty.
    """

    _name = "prepay.reading.electrical"
    _description = "Electrical Parameters"
    _inherit = ["prepay.reading.mixin"]
    _auto = False
    _order = "read_at desc, id desc"
    _rec_name = "read_at"

    read_at = fields.Datetime(string="Read On", readonly=True)
    power = fields.Float(string="Power (W)", readonly=True, digits=(12, 0), aggregator="avg")
    voltage = fields.Float(string="Voltage (V)", readonly=True, digits=(12, 1), aggregator="avg")
    current = fields.Float(string="Current (A)", readonly=True, digits=(12, 3), aggregator="avg")
    power_a = fields.Float(string="Power A (W)", readonly=True, digits=(12, 0), aggregator="avg")
    power_b = fields.Float(string="Power B (W)", readonly=True, digits=(12, 0), aggregator="avg")
    power_c = fields.Float(string="Power C (W)", readonly=True, digits=(12, 0), aggregator="avg")
    voltage_a = fields.Float(
        string="Voltage A (V)", readonly=True, digits=(12, 1), aggregator="avg"
    )
    voltage_b = fields.Float(
        string="Voltage B (V)", readonly=True, digits=(12, 1), aggregator="avg"
    )
    voltage_c = fields.Float(
        string="Voltage C (V)", readonly=True, digits=(12, 1), aggregator="avg"
    )
    current_a = fields.Float(
        string="Current A (A)", readonly=True, digits=(12, 3), aggregator="avg"
    )
    current_b = fields.Float(
        string="Current B (A)", readonly=True, digits=(12, 3), aggregator="avg"
    )
    current_c = fields.Float(
        string="Current C (A)", readonly=True, digits=(12, 3), aggregator="avg"
    )
    reactive = fields.Float(
        string="Reactive Power (var)", readonly=True, digits=(12, 0), aggregator="avg"
    )
    power_factor = fields.Float(readonly=True, digits=(12, 3), aggregator="avg")
    frequency = fields.Float(
        string="Frequency (Hz)", readonly=True, digits=(12, 2), aggregator="avg"
    )

    def init(self):
        self.env.cr.execute("DROP VIEW IF EXISTS prepay_reading_electrical")
        values = SQL(", ").join(
            SQL(
                "%s / %s AS %s",
                SQL.identifier(code),
                SQL(f"{FACTORS[BY_CODE[code].unit]}::numeric"),
                SQL.identifier(code),
            )
            for code in ELECTRICAL
        )
        self.env.cr.execute(
            SQL(
                """
                CREATE VIEW prepay_reading_electrical AS
                SELECT (meter_id::bigint << 34) + date_part('epoch', read_at - %s)::bigint AS id,
                       meter_id, read_at, read_at::date AS day, %s
                  FROM prepay_reading_electrical_data
                """,
                SQL(storage.EPOCH),
                values,
            )
        )
