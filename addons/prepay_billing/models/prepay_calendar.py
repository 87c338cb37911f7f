from types import MappingProxyType

from odoo import api, fields, models

from ..engine.calendar import Calendar


class PrepayCalendar(models.Model):
    """Which days are workdays, weekends and holidays: tariffs and supply policies ask it.

    A day without an entry is a workday from Monday to Friday and a weekend day otherwise. A calendar
    without a company serves all of them.
    """

    _name = "prepay.calendar"
    _description = "Holiday Calendar"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "name, id"

    name = fields.Char(required=True, translate=True)
    company_id = fields.Many2one(
        "res.company", index=True, help="Leave empty to share the calendar with all companies."
    )
    active = fields.Boolean(default=True)
    day_ids = fields.One2many(
        "prepay.calendar.day", "calendar_id", string="Special Days", copy=True
    )
    last_day = fields.Date(string="Entered Until", compute="_compute_last_day")
    is_ending = fields.Boolean(compute="_compute_last_day")

    @api.depends("day_ids.date")
    def _compute_last_day(self):
        """The notice for a year comes out in the November before: from December on it is missed."""
        soon = fields.Date.add(fields.Date.context_today(self), months=1)
        for calendar in self:
            calendar.last_day = max(calendar.day_ids.filtered("date").mapped("date"), default=False)
            calendar.is_ending = not calendar.last_day or calendar.last_day < soon.replace(
                month=1, day=1
            )

    @api.model
    def _cron_remind(self):
        """Ask a person for the special days of the coming year, once, until they are entered."""
        year = fields.Date.add(fields.Date.context_today(self), months=1).year
        for calendar in self.search([("active", "=", True)]):
            company = calendar.company_id or self.env.company
            asked = calendar.activity_ids
            if not calendar.is_ending:
                asked.action_done()
            elif not asked:
                words = company._prepay_env()
                calendar.activity_schedule(
                    "mail.mail_activity_data_todo",
                    summary=words._("Enter the holidays of %s", year),
                    note=words._(
                        "The State Council publishes them each November. Until then Monday to Friday "
                        "count as workdays."
                    ),
                    user_id=self.env["prepay.supply.batch"]._someone(company).id,
                )

    def _engine_calendar(self):
        """The calendar as the rating engine takes it. An empty recordset knows weekends only."""
        if not self:
            return Calendar()
        self.ensure_one()
        return Calendar(
            MappingProxyType({entry.date: entry.day_type for entry in self.sudo().day_ids})
        )
