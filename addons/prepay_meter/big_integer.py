"""Integer field of eight bytes."""

from odoo import fields


class BigInteger(fields.Integer):
    """Odoo's integers have four bytes; a register in Wh passes 2,147,483,647 at 2,147 MWh."""

    _column_type = ("int8", "int8")
