from odoo import api, fields, models


class PrepayCheckInWizard(models.TransientModel):
    """Check an employee in; from another room this is a move."""

    _name = "prepay.check.in.wizard"
    _description = "Check In"

    employee_id = fields.Many2one("hr.employee", required=True)
    company_id = fields.Many2one(related="employee_id.company_id")
    location_id = fields.Many2one(
        "prepay.location",
        string="Room",
        required=True,
        domain="[('kind', '=', 'room'), ('company_id', 'in', (company_id, False))]",
    )
    bed_count = fields.Integer(related="location_id.bed_count")
    occupant_count = fields.Integer(related="location_id.occupant_count")
    occupants = fields.Char(string="Living There", compute="_compute_occupants")
    bed = fields.Char(compute="_compute_bed", store=True, readonly=False)
    check_in = fields.Date(
        string="Check-in", required=True, compute="_compute_check_in", store=True, readonly=False
    )
    current_stay_id = fields.Many2one(
        "prepay.occupancy", string="Lives In", compute="_compute_current_stay_id"
    )

    @api.depends("location_id")
    def _compute_check_in(self):
        for wizard in self:
            wizard.check_in = wizard.location_id._local_today()

    @api.depends("location_id", "check_in")
    def _compute_occupants(self):
        for wizard in self:
            stays = self.env["prepay.occupancy"].search(
                [
                    ("location_id", "=", wizard.location_id.id),
                    *wizard.location_id._present_domain(
                        wizard.check_in or wizard.location_id._local_today()
                    ),
                ]
            )
            wizard.occupants = ", ".join(
                f"{stay.employee_id.name} ({stay.bed})" if stay.bed else stay.employee_id.name
                for stay in stays
            )

    @api.depends("location_id", "check_in")
    def _compute_bed(self):
        for wizard in self:
            room = wizard.location_id
            day = wizard.check_in or room._local_today()
            wizard.bed = room._next_free_bed(day) if room else False

    @api.depends("employee_id", "check_in")
    def _compute_current_stay_id(self):
        for wizard in self:
            wizard.current_stay_id = wizard.employee_id.prepay_occupancy_ids.filtered(
                lambda stay, day=wizard.check_in: (
                    day and stay.check_in <= day and (not stay.check_out or stay.check_out > day)
                )
            )[:1]

    def action_check_in(self):
        """Check in, or move: the present stay ends on the day the new one begins."""
        self.ensure_one()
        current = self.current_stay_id
        if current:
            stays_in_room = current.location_id == self.location_id
            current.with_context(prepay_stays_in_room=stays_in_room).check_out = self.check_in
        stay = self.env["prepay.occupancy"].create(
            {
                "employee_id": self.employee_id.id,
                "location_id": self.location_id.id,
                "bed": self.bed,
                "check_in": self.check_in,
            }
        )
        return {
            "type": "ir.actions.act_window",
            "res_model": "prepay.occupancy",
            "res_id": stay.id,
            "view_mode": "form",
        }
