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
    id names a meter and a moment; and it cannot look compacted rows up meter by meter for a subquery.
    So each condition gets what follows from it for the stored columns, and meters are found first.
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

    def _search(self, domain, offset=0, limit=None, order=None, *, bypass_access=False, **kwargs):
        domain = self._indexed(Domain(domain))
        if not (self.env.su or bypass_access):
            self.browse().check_access("read")
            rules = self.env["ir.rule"]._compute_domain(self._name, "read")
            domain &= self.sudo().with_context(active_test=False)._indexed(rules)
        domain &= self._page_bound(domain, offset, limit, order)
        return super()._search(domain, offset, limit, order, bypass_access=True, **kwargs)

    def _page_bound(self, domain, offset, limit, order):
        """Condition that the rows of a page fulfil anyway; the tables may need it to be quick."""
        return Domain.TRUE

    def _indexed(self, domain):
        return domain.optimize_full(self).map_conditions(self._add_hint)

    def _add_hint(self, condition):
        """The condition, and what follows from it for the columns that are stored."""
        name, operator, value = condition.field_expr, condition.operator, condition.value
        if name == "meter_id" and operator in ("any", "any!", "not any", "not any!"):
            return self._found_meters(operator, value)
        if operator == "in" and value:
            if name == "id":
                return condition & self._ids_hint(value)
            if name == "channel":
                numbers = [BY_CODE[code].number for code in value if code in BY_CODE]
                return condition & _custom("channel_number", "= ANY", numbers)
        if name == "read_at" and operator in ("<", "<=", ">", ">="):
            day = fields.Datetime.to_datetime(value).date()
            return condition & _custom("day", operator[0] + "=", day)
        return condition

    def _found_meters(self, operator, value):
        """The meters of a condition by their ids; none when it holds for all."""
        meters = self.env["prepay.meter"].with_context(active_test=False)
        if operator.endswith("!"):
            meters = meters.sudo()
        if isinstance(value, Domain):
            if operator == "any!" and not meters._search(~value, limit=1).get_result_ids():
                return Domain.TRUE
            value = meters._search(value)
        ids = value.get_result_ids()
        return Domain("meter_id", "not in" if operator.startswith("not") else "in", ids)

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
