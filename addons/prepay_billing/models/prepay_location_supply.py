from zoneinfo import ZoneInfo

from odoo import api, fields, models
from odoo.exceptions import ValidationError

WEATHER = [
    ("heat", "Heat"),
    ("cold", "Cold"),
    ("typhoon", "Typhoon or Storm"),
    ("emergency", "Emergency"),
]


class PrepayLocation(models.Model):
    """What a place says about the supply of its accounts: policy, kind of day, weather."""

    _inherit = "prepay.location"  # pylint: disable=consider-merging-classes-inherited

    policy_id = fields.Many2one(
        "prepay.supply.policy",
        string="Supply Policy",
        check_company=True,
        tracking=True,
        help="For the accounts of this place and of all places in it. Empty: as the place above.",
    )
    room_type_id = fields.Many2one("prepay.room.type", check_company=True, tracking=True)
    no_cut_weather = fields.Selection(
        WEATHER,
        string="No Cuts Because Of",
        tracking=True,
        help="Nobody in this place is cut until the end of the day below.",
    )
    no_cut_until = fields.Date(string="No Cuts Until", tracking=True)

    @api.constrains("no_cut_weather", "no_cut_until")
    def _check_weather(self):
        for place in self:
            if place.no_cut_weather and not place.no_cut_until:
                raise ValidationError(
                    self.env._(
                        "%s: enter the last day without cuts, so that the flag ends by itself.",
                        place.display_name,
                    )
                )

    def _day_types(self):
        """The calendar of the place and what it says of a local date.

        :return: (calendar id, function: date -> "workday", "weekend" or "holiday")
        """
        self.ensure_one()
        calendar = self._prepay_calendar()
        return calendar.id, calendar._engine_calendar().day_type

    @api.model
    def _zone_of_company(self, company):
        """The time zone of a company's first site."""
        site = self.search([("company_id", "=", company.id), ("parent_id", "=", False)], limit=1)
        return site._zone() if site else ZoneInfo("Asia/Shanghai")

    @api.model
    def _weather_flags(self, now):
        """{place id: plain words} of the places with a flag that stands at ``now`` (aware)."""
        self.env.cr.execute(
            "SELECT id, no_cut_weather, no_cut_until, tz FROM prepay_location "
            "WHERE no_cut_weather IS NOT NULL AND no_cut_until IS NOT NULL"
        )
        labels = dict(self._fields["no_cut_weather"]._description_selection(self.env))
        return {
            place: self.env._("%(flag)s, until %(day)s", flag=labels[flag], day=until)
            for place, flag, until, tz in self.env.cr.fetchall()
            if until >= now.astimezone(ZoneInfo(tz or "Asia/Shanghai")).date()
        }
