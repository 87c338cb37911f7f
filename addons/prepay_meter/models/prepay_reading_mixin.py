from datetime import datetime, timedelta

from odoo import fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from ..channels import BY_CODE
from ..storage import CHANNEL_BITS, SECOND_BITS

#: Where the ids of readings count from (storage.EPOCH).
EPOCH = datetime(2015, 1, 1)  # noqa: DTZ001 (naive UTC, as in the database)


class PrepayReadingMixin(models.AbstractModel):
    """What the views over the readings' tables share: their place, and searches that use an index.

    PostgreSQL cannot see that a condition on the moment bounds the day of a compacted row, or that an
    id names a meter and a moment. The condition that it can use is added to each such condition.
    """

    _name = "prepay.reading.mixin"
    _description = "View over Readings"
    _log_access = False
    #: Columns of the view that an id determines, besides the meter.
    _moment_columns = ("read_at", "day")

    meter_id = fields.Many2one("prepay.meter", readonly=True)
    location_id = fields.Many2one(related="meter_id.location_id", string="Place")
    building_id = fields.Many2one(related="meter_id.location_id.building_id", string="Building")
    company_id = fields.Many2one(related="meter_id.company_id")

    def _search(self, domain, offset=0, limit=None, order=None, **kwargs):
        domain = Domain(domain).optimize_full(self).map_conditions(self._add_hint)
        return super()._search(domain, offset, limit, order, **kwargs)

    def _add_hint(self, condition):
        """The condition, and what follows from it for the columns that are stored."""
        if condition.operator == "in" and condition.value:
            if condition.field_expr == "id":
                return condition & self._ids_hint(condition.value)
            if condition.field_expr == "channel":
                numbers = [BY_CODE[code].number for code in condition.value if code in BY_CODE]
                return condition & _custom("channel_number", "= ANY", numbers)
        if condition.field_expr == "read_at" and condition.operator in ("<", "<=", ">", ">="):
            day = fields.Datetime.to_datetime(condition.value).date()
            return condition & _custom("day", condition.operator[0] + "=", day)
        return condition

    def _ids_hint(self, ids):
        moments, meters = [], set()
        for record_id in ids:
            register, second = divmod(record_id, 1 << SECOND_BITS)
            moments.append(EPOCH + timedelta(seconds=second))
            meters.add(register >> CHANNEL_BITS)
        values = {"read_at": moments, "day": sorted({moment.date() for moment in moments})}
        return Domain.AND(
            [
                _custom("meter_id", "= ANY", sorted(meters)),
                *[_custom(column, "= ANY", values[column]) for column in self._moment_columns],
            ]
        )


def _custom(column, operator, value):
    """A condition on a column that is no field."""
    template = "%s = ANY(%s)" if operator == "= ANY" else f"%s {operator} %s"
    return Domain.custom(
        to_sql=lambda model, alias, query: SQL(template, SQL.identifier(alias, column), value)
    )
