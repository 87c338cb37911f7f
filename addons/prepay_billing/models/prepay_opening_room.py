from odoo import api, fields, models


class PrepayOpening(models.Model):
    """What is filled in from the room and the tenant: free meters, usual prices, present accounts."""

    _inherit = "prepay.opening"  # pylint: disable=consider-merging-classes-inherited

    has_both = fields.Boolean(compute="_compute_room")
    can_join = fields.Boolean(compute="_compute_room")

    @api.depends("line_ids.medium", "location_id")
    def _compute_room(self):
        for opening in self:
            opening.has_both = len(set(opening.line_ids.mapped("medium"))) > 1
            opening.can_join = bool(opening._present_accounts())

    @api.onchange("location_id")
    def _onchange_location_id(self):
        """The free meters of the room, with their readings and the usual prices."""
        self.line_ids = [fields.Command.clear()] + [
            fields.Command.create(vals) for vals in self._lines_for(self.location_id)
        ]
        present = self._present_accounts()
        self.join_account_id = present[:1]
        if present:
            self.layout = "join"
            self.partner_id = self.partner_id or present[0].partner_id
        elif self.layout == "join":
            self.layout = "one"

    @api.onchange("partner_id")
    def _onchange_partner_id(self):
        if self.partner_id:
            self.tenant_name, self.tenant_phone = False, self.partner_id.phone

    @api.onchange("tenant_name", "tenant_phone")
    def _onchange_tenant(self):
        if not self.partner_id and self.tenant_name and self.tenant_phone:
            self.partner_id = self._find_tenant(self.tenant_name, self.tenant_phone)

    # what is usual

    @api.model
    def _lines_for(self, room):
        """Values of a line for each meter of a room that belongs to no account."""
        return [self._line_for(meter) for meter in self._free_meters(room)]

    @api.model
    def _free_meters(self, room):
        meters = self.env["prepay.meter"].sudo().search([("location_id", "=", room.id)])
        return meters.filtered(lambda meter: not meter.account_id)

    @api.model
    def _line_for(self, meter):
        """What is usual for a meter: its newest reading, price, limits."""
        policy = self._usual_policy(meter.location_id)
        return {
            "meter_id": meter.id,
            "tariff_id": self._usual_tariff(meter).id,
            "register": (meter.last_value or 0) / 1000,
            "read_at": meter.last_read_at,
            "source": "meter",
            "overload_w": meter.overload_w,
            "alarm_1": policy.alarm1,
            "alarm_2": policy.alarm2,
        }

    @api.model
    def _usual_policy(self, room):
        """The policy that an account of the room will have: of the room, its type, the nearest place
        above, the company."""
        room = room.sudo()
        path = [int(item) for item in (room.parent_path or "").split("/") if item]
        above = self.env["prepay.location"].sudo().browse(reversed(path))
        policies = (room.policy_id, room.room_type_id.policy_id, *above.mapped("policy_id"))
        return next(filter(None, policies), room.company_id.prepay_policy_id)

    @api.model
    def _usual_tariff(self, meter):
        """The tariff last used at the meter; else the most frequent one of its building; else the only
        one of the company."""
        supplies = self.env["prepay.account.meter"].sudo()
        tariffs = self.env["prepay.tariff"].sudo()
        mine = ("meter_id.medium", "=", meter.medium), ("tariff_id.active", "=", True)
        last = supplies.search([("meter_id", "=", meter.id), *mine], order="id desc", limit=1)
        if last:
            return last.tariff_id
        groups = supplies._read_group(
            [
                ("meter_id.location_id", "child_of", meter.location_id.building_id.ids),
                ("end_at", "=", False),
                *mine,
            ],
            ["tariff_id"],
            ["__count"],
            order="__count desc",
            limit=1,
        )
        if groups:
            return groups[0][0]
        only = tariffs.search(
            [("medium", "=", meter.medium), ("company_id", "=", meter.company_id.id)], limit=2
        )
        return only if len(only) == 1 else tariffs

    @api.model
    def _find_tenant(self, name, phone):
        """The one contact with this name and phone, or none: a name alone finds nobody.

        :param str name: as typed; blanks around it do not count
        """
        partners = self.env["res.partner"]
        if not phone:
            return partners
        domain = [("name", "=ilike", (name or "").strip()), ("phone", "=", phone.strip())]
        found = partners.search(domain, limit=2)
        return found if len(found) == 1 else partners

    def _present_accounts(self):
        """Open accounts of the room that the lines may be added to."""
        self.ensure_one()
        return self.location_id.sudo().account_ids.filtered(lambda item: item.state == "open")
