from odoo import fields, models


class PrepayLocation(models.Model):
    _inherit = "prepay.location"

    account_ids = fields.One2many("prepay.account", "location_id", string="Accounts")
    calendar_id = fields.Many2one(
        "prepay.calendar",
        string="Holiday Calendar",
        check_company=True,
        help="Leave empty to take it from the place above, or the company's.",
    )

    def _prepay_calendar(self):
        """The nearest calendar: of the place, of a place above it, of the company, or the shipped one."""
        self.ensure_one()
        location = self.sudo()
        above = [int(item) for item in (location.parent_path or "").split("/") if item]
        for place in self.browse(reversed(above or self.ids)).sudo():
            if place.calendar_id:
                return place.calendar_id
        return location.company_id._prepay_calendar()

    area = fields.Float(string="Area (m²)", digits=(10, 2), help="For sharing costs by area.")

    _area_positive = models.Constraint("CHECK (area >= 0)", "An area is zero or more.")
