from decimal import Decimal, InvalidOperation

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..channels import SELECTION


class PrepayMeterPoint(models.Model):
    """One value of a meter type: where it is read and how its bytes become a number in base units."""

    _name = "prepay.meter.point"
    _description = "Meter Point"
    _order = "profile_id, sequence, id"
    _rec_name = "channel"

    profile_id = fields.Many2one(
        "prepay.meter.profile", required=True, ondelete="cascade", index=True
    )
    sequence = fields.Integer(default=10)
    channel = fields.Selection(SELECTION, required=True, default="energy")
    address = fields.Char(
        required=True,
        help="Modbus: register address in hex, such as 0x0000. DL/T 645 and CJ/T 188: data identifier, "
        "such as 00010000 or 901F.",
    )
    size = fields.Integer(
        default=2, help="Modbus: number of registers. DL/T 645: number of data bytes."
    )
    encoding = fields.Selection(
        [
            ("u16", "16 bit unsigned"),
            ("i16", "16 bit signed"),
            ("u32", "32 bit unsigned"),
            ("i32", "32 bit signed"),
            ("u64", "64 bit unsigned"),
            ("i64", "64 bit signed"),
            ("f32", "32 bit floating point"),
            ("bcd", "BCD, low byte first"),
            ("bcd_signed", "BCD with sign in the top bit"),
            ("bit", "One bit (1 = relay open)"),
            ("state", "State, by mask and list of values"),
            ("control", "Echo of the control command"),
            ("clock_bcd", "Date or time, BCD, low byte first"),
            ("clock_binary", "Date and time, binary words"),
        ],
        required=True,
        default="u32",
    )
    word_order = fields.Selection(
        [("high", "High word first"), ("low", "Low word first")],
        default="high",
        help="Modbus: order of the registers of a value of 32 or 64 bits.",
    )
    mask = fields.Char(help="State: hex mask of the bits that count, such as 03.")
    states = fields.Char(
        help="State: what the masked value means, such as 0=closed 1=open 3=fault. "
        "Closed is supply on (valve open), open is supply off (valve shut)."
    )
    bit = fields.Integer(help="Number of the bit, 0 = lowest, for a relay state in a status word.")
    scale = fields.Char(
        default="1",
        required=True,
        help="Factor from the raw number to the base unit (Wh, L, W, mV, mA). A register of 0.01 kWh has 10.",
    )
    offset = fields.Integer(
        help="DL/T 645 and CJ/T 188: first byte of the value inside a block answer."
    )
    frequent = fields.Boolean(
        string="Each Poll",
        default=True,
        help="Read at each poll; otherwise only by “Read Now”.",
    )

    @api.constrains("scale")
    def _check_scale(self):
        for point in self:
            try:
                valid = Decimal(point.scale) > 0
            except (InvalidOperation, TypeError):
                valid = False
            if not valid:
                raise ValidationError(
                    self.env._(
                        "The scale “%(scale)s” of point %(point)s is not a positive number. "
                        "Enter for example 10 or 0.1.",
                        scale=point.scale,
                        point=point.address,
                    )
                )

    @api.constrains("address")
    def _check_address(self):
        for point in self:
            try:
                valid = (
                    0
                    <= int(point.address, 16)
                    <= (0xFFFFFFFF if point.profile_id.protocol == "dlt645" else 0xFFFF)
                )
            except (ValueError, TypeError):
                valid = False
            if not valid:
                raise ValidationError(
                    self.env._(
                        "The address “%s” is not a hexadecimal number of this protocol.",
                        point.address,
                    )
                )
