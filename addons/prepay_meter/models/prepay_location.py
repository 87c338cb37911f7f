from zoneinfo import ZoneInfo

from odoo import api, fields, models

from odoo.addons.base.models.res_partner import _tz_get


class PrepayLocation(models.Model):
    """A place in the site tree: project → building → floor → room.

    The time zone decides where a day begins for charging and when a cut is allowed; it is taken from
    the parent unless it is set on the place itself.
    """

    _name = "prepay.location"
    _description = "Prepaid Location"
    _parent_store = True
    _rec_names_search = ["complete_name", "code"]
    _order = "complete_name"
    _inherit = ["mail.thread"]
    _check_company_auto = True

    name = fields.Char(required=True, tracking=True)
    code = fields.Char(
        help="Short code used on labels and in imports, such as A-101.", index="btree_not_null"
    )
    complete_name = fields.Char(
        compute="_compute_complete_name", recursive=True, store=True, index="trigram"
    )
    kind = fields.Selection(
        [
            ("project", "Project"),
            ("building", "Building"),
            ("floor", "Floor"),
            ("room", "Room"),
            ("public", "Public Area"),
        ],
        required=True,
        default="room",
        tracking=True,
    )
    parent_id = fields.Many2one(
        "prepay.location", string="Part of", index=True, ondelete="restrict", check_company=True
    )
    parent_path = fields.Char(index=True)
    child_ids = fields.One2many("prepay.location", "parent_id", string="Contains")
    building_id = fields.Many2one(
        "prepay.location",
        compute="_compute_building_id",
        recursive=True,
        store=True,
        index=True,
        help="The building the place belongs to; of a place without one, the project.",
    )
    company_id = fields.Many2one(
        "res.company",
        compute="_compute_company_id",
        recursive=True,
        store=True,
        readonly=False,
        precompute=True,
        required=True,
        index=True,
        default=lambda self: self.env.company,
    )
    own_tz = fields.Selection(
        _tz_get, string="Own Time Zone", help="Leave empty to take it from the place above."
    )
    tz = fields.Selection(
        _tz_get, string="Time Zone", compute="_compute_tz", recursive=True, store=True
    )
    active = fields.Boolean(default=True)
    address = fields.Char()
    note = fields.Text(string="Notes")
    meter_ids = fields.One2many("prepay.meter", "location_id", string="Meters")
    meter_count = fields.Integer(compute="_compute_meter_count")
    lost_meter_count = fields.Integer(string="Lost Meters", compute="_compute_meter_count")

    _code_unique = models.UniqueIndex(
        "(company_id, code) WHERE code IS NOT NULL",
        "Another place of this company has the same code.",
    )

    @api.depends("name", "parent_id.complete_name")
    def _compute_complete_name(self):
        for location in self:
            parent = location.parent_id.complete_name
            location.complete_name = f"{parent} / {location.name}" if parent else location.name

    @api.depends("name", "kind", "parent_id.name", "parent_id.kind", "parent_id.parent_id.name")
    def _compute_display_name(self):
        """The room first, then its building: in narrow columns the room must stay readable."""
        for location in self:
            above = location.parent_id
            while above.parent_id and above.kind == "floor":
                above = above.parent_id
            names = [location.name]
            if above and location.kind in ("floor", "room", "public"):
                names.append(above.name)
            location.display_name = " · ".join(name for name in names if name)

    @api.depends("kind", "parent_id.building_id")
    def _compute_building_id(self):
        for location in self:
            above = location.parent_id.building_id
            if location.kind == "building" or not above:
                location.building_id = location
            else:
                location.building_id = above

    @api.depends("parent_id.company_id")
    def _compute_company_id(self):
        for location in self:
            location.company_id = (
                location.parent_id.company_id or location.company_id or self.env.company
            )

    @api.depends("own_tz", "parent_id.tz")
    def _compute_tz(self):
        for location in self:
            location.tz = location.own_tz or location.parent_id.tz or "Asia/Shanghai"

    def _compute_meter_count(self):
        """Meters of the place and of all places below it, with two queries for a whole list."""
        meters, lost = self._count_meters([]), self._count_meters([("lost", "=", True)])
        for location in self:
            location.meter_count = meters.get(location.id, 0)
            location.lost_meter_count = lost.get(location.id, 0)

    def _count_meters(self, domain):
        """How many meters there are in or below each of these places.

        :return: dict of place id → number, without places that have none
        """
        totals = dict.fromkeys(self.ids, 0)
        if not totals:
            return totals
        counts = self.env["prepay.meter"]._read_group(
            [("location_id", "child_of", self.ids), *domain], ["location_id"], ["__count"]
        )
        for place, count in counts:
            for above in (place.sudo().parent_path or "").split("/"):
                if above and int(above) in totals:
                    totals[int(above)] += count
        return totals

    def action_open_meters(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id("prepay_meter.prepay_meter_action")
        action["domain"] = [("location_id", "child_of", self.id)]
        action["context"] = {"default_location_id": self.id}
        return action

    def action_open_lost(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_meter.prepay_meter_lost_action"
        )
        action["domain"] = [("location_id", "child_of", self.id), ("lost", "=", True)]
        return action

    def _zone(self):
        """Time zone in which days, months and windows of this place are counted."""
        self.ensure_one()
        return ZoneInfo(self.tz or "Asia/Shanghai")
