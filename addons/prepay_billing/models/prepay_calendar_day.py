from odoo import fields, models

from ..engine.calendar import HOLIDAY, WEEKEND, WORKDAY

DAY_TYPES = [(WORKDAY, "Workday"), (WEEKEND, "Weekend"), (HOLIDAY, "Holiday")]


class PrepayCalendarDay(models.Model):
    """A day that is not what its weekday says: a holiday, or a Saturday or Sunday that is worked."""

    _name = "prepay.calendar.day"
    _description = "Special Day"
    _order = "date desc"
    _rec_name = "date"

    calendar_id = fields.Many2one("prepay.calendar", required=True, ondelete="cascade", index=True)
    date = fields.Date(required=True)
    day_type = fields.Selection(DAY_TYPES, string="Counts as", required=True, default=HOLIDAY)
    name = fields.Char(string="Occasion", translate=True)

    _date_unique = models.UniqueIndex(
        "(calendar_id, date)", "This calendar already has an entry for this day. Change that one."
    )
