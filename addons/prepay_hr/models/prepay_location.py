from datetime import datetime

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from .. import stays


class PrepayLocation(models.Model):
    _inherit = "prepay.location"

    bed_count = fields.Integer(
        string="Beds",
        aggregator="sum",
        tracking=True,
        help="So many people may live here at a time. 0: no limit.",
    )
    occupancy_ids = fields.One2many(
        "prepay.occupancy", "location_id", string="Stays", groups="prepay_hr.group_dormitory"
    )
    occupant_count = fields.Integer(
        string="Occupants", compute="_compute_occupants", compute_sudo=True
    )
    free_bed_count = fields.Integer(
        string="Free Beds",
        compute="_compute_occupants",
        compute_sudo=True,
        search="_search_free_bed_count",
    )

    _bed_count_positive = models.Constraint(
        "CHECK (bed_count >= 0)", "A room has no negative number of beds."
    )

    @api.depends("bed_count", "occupancy_ids.check_in", "occupancy_ids.check_out")
    def _compute_occupants(self):
        counts = {}
        for zone_day, rooms in self.grouped(lambda room: room._local_today()).items():
            counts |= {
                room.id: count
                for room, count in self.env["prepay.occupancy"]._read_group(
                    [("location_id", "in", rooms.ids), *self._present_domain(zone_day)],
                    ["location_id"],
                    ["__count"],
                )
            }
        for room in self:
            room.occupant_count = counts.get(room._origin.id, 0)
            room.free_bed_count = max(0, room.bed_count - room.occupant_count)

    @api.model
    def _present_domain(self, day):
        """Stays that cover a day."""
        return [
            ("check_in", "<=", day),
            "|",
            ("check_out", "=", False),
            ("check_out", ">", day),
        ]

    def _search_free_bed_count(self, operator, value):
        if operator not in ("=", ">", ">=", "<", "<=", "in"):
            return NotImplemented
        rooms = self.sudo().search([("kind", "=", "room"), ("bed_count", ">", 0)])
        return [("id", "in", rooms.filtered_domain([("free_bed_count", operator, value)]).ids)]

    @api.constrains("bed_count", "kind")
    def _check_beds(self):
        """At no time more people than beds, today or later."""
        for room in self.sudo():
            today = room._local_today()
            current = room.occupancy_ids.filtered(
                lambda stay, today=today: not stay.check_out or stay.check_out > today
            )
            if room.kind != "room" and current:
                raise ValidationError(self.env._("%s is lived in: it must stay a room.", room.name))
            if room.bed_count <= 0:
                continue
            most = stays.peak(
                [(max(stay.check_in, today), stay.check_out or None) for stay in current]
            )
            if most > room.bed_count:
                raise ValidationError(
                    self.env._(
                        "%(room)s has %(beds)s beds but would have %(people)s occupants: "
                        "%(names)s. Choose another room or check somebody out first.",
                        room=room.name,
                        beds=room.bed_count,
                        people=most,
                        names=", ".join(current.employee_id.mapped("name")),
                    )
                )

    def _local_today(self):
        """The day it is now at this place."""
        if not self:
            return fields.Date.context_today(self)
        return datetime.now(self._zone()).date()

    def _open_accounts(self):
        return self.sudo().account_ids.filtered(lambda account: account.state == "open")

    def _next_free_bed(self, day):
        """The lowest number that nobody has as a bed label from a day on, or False."""
        self.ensure_one()
        taken = set(
            self.env["prepay.occupancy"]
            .sudo()
            .search(
                [
                    ("location_id", "=", self.id),
                    "|",
                    ("check_out", "=", False),
                    ("check_out", ">", day),
                ]
            )
            .mapped("bed")
        )
        numbers = map(str, range(1, self.bed_count + 1))
        return next((number for number in numbers if number not in taken), False)

    def action_open_occupancies(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id("prepay_hr.prepay_occupancy_action")
        action["domain"] = [("location_id", "=", self.id)]
        action["context"] = {"default_location_id": self.id, "search_default_present": 1}
        return action

    def action_check_in(self):
        """Open the check-in for this room."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_hr.prepay_check_in_wizard_action"
        )
        action["context"] = {"default_location_id": self.id}
        return action
