from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tools import SQL

from .. import stays

_DEFERRED = "DEFERRABLE INITIALLY DEFERRED"


class PrepayOccupancy(models.Model):
    """An employee in a bed of a room, from check-in to check-out.

    On the day of check-out the bed is free again. Days are those of the room's site.
    """

    _name = "prepay.occupancy"
    _description = "Occupancy"
    _inherit = ["mail.thread"]
    _order = "check_in desc, id desc"
    _rec_name = "employee_id"
    _check_company_auto = True

    employee_id = fields.Many2one(
        "hr.employee",
        required=True,
        index=True,
        ondelete="restrict",
        check_company=True,
        tracking=True,
    )
    department_id = fields.Many2one(related="employee_id.department_id", store=True, index=True)
    location_id = fields.Many2one(
        "prepay.location",
        string="Room",
        required=True,
        index=True,
        ondelete="restrict",
        check_company=True,
        domain=[("kind", "=", "room")],
        tracking=True,
    )
    company_id = fields.Many2one(related="location_id.company_id", store=True, index=True)
    bed = fields.Char(tracking=True, help="Label of the bed, such as 1 or A. Empty: any bed.")
    check_in = fields.Date(
        string="Check-in",
        required=True,
        compute="_compute_check_in",
        store=True,
        readonly=False,
        precompute=True,
        tracking=True,
    )
    check_out = fields.Date(
        string="Check-out", tracking=True, help="From this day on the bed is free."
    )
    state = fields.Selection(
        [("planned", "Planned"), ("present", "Present"), ("left", "Left")],
        compute="_compute_state",
    )
    has_account = fields.Boolean(compute="_compute_account", compute_sudo=True)
    account_number = fields.Char(
        string="Account of the Room", compute="_compute_account", compute_sudo=True
    )
    settlement_activity_id = fields.Many2one(
        "mail.activity",
        readonly=True,
        copy=False,
        ondelete="set null",
        index="btree_not_null",
        groups="prepay_meter.group_user",
    )

    _dates = models.Constraint(
        "CHECK (check_out IS NULL OR check_out >= check_in)",
        "The check-out cannot be before the check-in.",
    )
    # The same rules as in _check_stays, for two people who check in at the same moment. Deferred:
    # a move ends one stay and begins the next in one transaction. Ranges of one number stand for
    # equality: a GiST index knows no plain numbers without an extension.
    _employee_once = models.Constraint(
        "EXCLUDE USING gist (int4range(employee_id, employee_id, '[]') WITH &&, "
        f"daterange(check_in, check_out, '[)') WITH &&) {_DEFERRED}",
        "This employee lives in another bed at that time. Check out there first.",
    )
    _bed_once = models.Constraint(
        "EXCLUDE USING gist (int4range(location_id, location_id, '[]') WITH &&, "
        "int8range(hashtext(bed), hashtext(bed), '[]') WITH &&, "
        "daterange(check_in, check_out, '[)') WITH &&) "
        f"WHERE (bed IS NOT NULL) {_DEFERRED}",
        "This bed is taken at that time. Choose another bed or date.",
    )

    @api.depends("location_id")
    def _compute_check_in(self):
        for stay in self:
            stay.check_in = stay.check_in or stay.location_id._local_today()

    @api.depends("check_in", "check_out", "location_id")
    def _compute_state(self):
        for stay in self:
            today = stay.location_id._local_today()
            if stay.check_out and stay.check_out <= today:
                stay.state = "left"
            elif stay.check_in and stay.check_in > today:
                stay.state = "planned"
            else:
                stay.state = "present"

    @api.depends("location_id")
    def _compute_account(self):
        for stay in self:
            accounts = stay.location_id._open_accounts()
            stay.has_account = bool(accounts)
            stay.account_number = ", ".join(accounts.mapped("number"))

    @api.depends("employee_id", "location_id", "bed")
    def _compute_display_name(self):
        for stay in self:
            parts = [stay.employee_id.name, stay.location_id.name, stay.bed]
            stay.display_name = " · ".join(part for part in parts if part)

    @api.constrains("employee_id", "location_id", "bed", "check_in", "check_out")
    def _check_stays(self):
        self._meet_at_rooms()
        for stay in self:
            if stay.location_id.kind != "room":
                raise ValidationError(
                    self.env._("%s is not a room. People live in rooms.", stay.location_id.name)
                )
            # As superuser: whoever is in the bed counts, also when the user may not see him.
            stay.sudo()._check_employee()
            stay.sudo()._check_bed()
        self.location_id._check_beds()

    def _meet_at_rooms(self):
        """Two transactions that change stays of one room conflict here, and one is run again."""
        self.flush_model()
        self.env.cr.execute(
            SQL("UPDATE prepay_location SET id = id WHERE id IN %s", tuple(self.location_id.ids))
        )

    def _check_employee(self):
        for other in self._overlapping([("employee_id", "=", self.employee_id.id)]):
            raise ValidationError(
                self.env._(
                    "%(employee)s already lives in %(other)s (%(other_span)s) and cannot live in "
                    "%(room)s (%(span)s) as well. Check out of %(other)s first.",
                    employee=self.employee_id.name,
                    other=other._place(),
                    other_span=other._span(),
                    room=self._place(),
                    span=self._span(),
                )
            )

    def _check_bed(self):
        if not self.bed:
            return
        domain = [("location_id", "=", self.location_id.id), ("bed", "=", self.bed)]
        for other in self._overlapping(domain):
            raise ValidationError(
                self.env._(
                    "%(place)s: %(other)s has this bed (%(other_span)s), so %(employee)s cannot "
                    "have it (%(span)s). Choose another bed or date.",
                    place=self._place(),
                    other=other.employee_id.name,
                    other_span=other._span(),
                    employee=self.employee_id.name,
                    span=self._span(),
                )
            )

    def _overlapping(self, domain):
        """Other stays of a domain that share a day with this one."""
        self.ensure_one()
        mine = (self.check_in, self.check_out or None)
        others = self.search([*domain, ("id", "!=", self.id)])
        return others.filtered(
            lambda other: stays.overlap(mine, (other.check_in, other.check_out or None))
        )

    def _place(self):
        """Room and bed in the user's words."""
        self.ensure_one()
        if not self.bed:
            return self.location_id.name
        return self.env._("%(room)s, bed %(bed)s", room=self.location_id.name, bed=self.bed)

    def _span(self):
        self.ensure_one()
        return f"{self.check_in} – {self.check_out or '…'}"

    # writing

    @api.model_create_multi
    def create(self, vals_list):
        for vals in vals_list:
            self._check_places(vals)
        return super().create([self._clean(vals) for vals in vals_list])

    def write(self, vals):
        self._check_places(vals)
        open_stays = self.filtered(lambda stay: not stay.check_out)
        result = super().write(self._clean(vals))
        open_stays.filtered("check_out").sudo()._request_settlement()
        return result

    @api.model
    def _check_places(self, vals):
        """Before anything else: a refusal may name who lives in the room."""
        self.env["prepay.location"].browse(vals.get("location_id") or ()).check_access("read")
        self.env["hr.employee"].browse(vals.get("employee_id") or ()).check_access("read")

    @api.model
    def _clean(self, vals):
        """A label without spaces around it; no label is NULL."""
        return {**vals, "bed": (vals["bed"] or "").strip() or False} if "bed" in vals else vals

    def _end(self, day=None):
        """End these stays on a day, today by default. A stay that has not begun ends unused."""
        for stay in self:
            last = day or stay.location_id._local_today()
            if not stay.check_out or stay.check_out > last:
                stay.check_out = max(last, stay.check_in)

    def _request_settlement(self):
        """Ask for the settlement of the room's account: its holder leaves, or nobody is left."""
        if self.env.context.get("prepay_stays_in_room"):
            return
        for stay in self.filtered(lambda item: not item.settlement_activity_id):
            span = (stay.check_out, None)
            others = self.search(
                [("location_id", "=", stay.location_id.id), ("id", "!=", stay.id)]
            ).filtered(
                lambda other, span=span: stays.overlap(
                    span, (other.check_in, other.check_out or None)
                )
            )
            for account in stay.location_id._open_accounts():
                is_holder = account.partner_id == stay.employee_id.work_contact_id
                if is_holder or not others:
                    stay.settlement_activity_id = stay._schedule_settlement(account)

    def _schedule_settlement(self, account):
        self.ensure_one()
        user = self.company_id._prepay_hr_settlement_user()
        texts = self.with_context(lang=user.lang or self.env.lang).env
        return account.activity_schedule(
            "mail.mail_activity_data_todo",
            date_deadline=self.check_out,
            summary=texts._("Move-out settlement"),
            note=texts._(
                "%(employee)s leaves %(place)s on %(date)s. Read the meters, settle the balance "
                "and close or transfer the account.",
                employee=self.employee_id.name,
                place=self.with_env(texts)._place(),
                date=self.check_out,
            ),
            user_id=user.id,
        )

    # screens

    def action_check_out(self):
        """End these stays today."""
        self.check_access("write")
        todo = self.filtered(lambda stay: stay.state != "left")
        if not todo:
            raise UserError(self.env._("They have left already."))
        todo._end()
        return True

    def action_open_account(self):
        """Open an account for the employee with the room's meters."""
        self.ensure_one()
        if not self.env.user.has_group("prepay_hr.group_dormitory"):
            raise AccessError(self.env._("Only dormitory staff may open accounts for employees."))
        self.check_access("write")
        opening = self.sudo()._open_account()
        opened = opening.state == "done"
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success" if opened else "warning",
                "sticky": not opened,
                "message": self.env._(
                    "Account %(number)s opened for %(tenant)s with %(count)s meters.",
                    number=opening.account_id.number,
                    tenant=opening.partner_id.name,
                    count=len(opening.line_ids),
                )
                if opened
                else self.env._(
                    "Preset %(number)s for %(room)s waits to be opened: %(problem)s",
                    number=opening.number,
                    room=opening.location_id.name,
                    problem=opening.problem,
                ),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def _open_account(self):
        """Open the account for the employee with the room's meters.

        :return: the prepay.opening; what its check list objects to leaves it a preset, to be opened
            again from here or by operators
        :raises UserError: what this stay needs first
        """
        room, employee = self.location_id, self.employee_id
        if self.state == "left":
            raise UserError(self.env._("%s has left. Check in again first.", employee.name))
        if room._open_accounts():
            raise UserError(
                self.env._(
                    "%(room)s already has the open account %(number)s.",
                    room=room.name,
                    number=self.account_number,
                )
            )
        if not employee.work_contact_id:
            raise UserError(
                self.env._("%s has no work contact. Set one on the employee first.", employee.name)
            )
        meters = room.meter_ids.filtered(lambda meter: not meter.account_id)
        if not meters:
            raise UserError(
                self.env._("%s has no free meter. Assign meters to the room first.", room.name)
            )
        openings = self.env["prepay.opening"]
        terms = {"location_id": room.id, "partner_id": employee.work_contact_id.id}
        known = [(name, "=", value) for name, value in {**terms, "state": "draft"}.items()]
        opening = openings.search(known, limit=1)
        if not opening:
            tariffs = {
                medium: self.company_id._prepay_hr_tariff(medium)
                for medium in set(meters.mapped("medium"))
            }
            opening = openings.create(terms)
            for line in opening.line_ids:
                line.tariff_id = tariffs[line.medium]
        opening._open_or_note()
        return opening
