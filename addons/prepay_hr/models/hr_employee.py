from odoo import api, fields, models

_GROUP = "prepay_hr.group_dormitory"


class HrEmployee(models.Model):
    _inherit = "hr.employee"

    prepay_occupancy_ids = fields.One2many(
        "prepay.occupancy", "employee_id", string="Stays", groups=_GROUP
    )
    prepay_room_id = fields.Many2one(
        "prepay.location", string="Room", compute="_compute_prepay_room_id", groups=_GROUP
    )
    prepay_bed = fields.Char(string="Bed", compute="_compute_prepay_room_id", groups=_GROUP)

    @api.depends(
        "prepay_occupancy_ids.check_in",
        "prepay_occupancy_ids.check_out",
        "prepay_occupancy_ids.location_id",
        "prepay_occupancy_ids.bed",
    )
    def _compute_prepay_room_id(self):
        for employee in self:
            stay = employee._prepay_present_stay()
            employee.prepay_room_id = stay.location_id
            employee.prepay_bed = stay.bed

    def _prepay_present_stay(self):
        self.ensure_one()
        return self.prepay_occupancy_ids.filtered(lambda stay: stay.state == "present")[:1]

    def action_prepay_occupancies(self):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id("prepay_hr.prepay_occupancy_action")
        action["domain"] = [("employee_id", "=", self.id)]
        action["context"] = {"default_employee_id": self.id}
        return action

    def action_prepay_check_in(self):
        """Open the check-in for this employee, or the move when there is a room already."""
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "prepay_hr.prepay_check_in_wizard_action"
        )
        action["context"] = {"default_employee_id": self.id}
        return action

    def action_prepay_check_out(self):
        """End the present stays today."""
        self.env["prepay.occupancy"].check_access("write")
        return self.prepay_occupancy_ids.filtered(
            lambda stay: stay.state == "present"
        ).action_check_out()

    def write(self, vals):
        leavers = self.browse()
        if "active" in vals and not vals["active"]:
            leavers = self.filtered("active")
        result = super().write(vals)
        leavers._prepay_end_stays(self.env.context.get("prepay_departure_date"))
        return result

    def _prepay_end_stays(self, day=None):
        """Whoever leaves the company leaves the dormitory; who archives need not know it."""
        self.sudo().prepay_occupancy_ids._end(fields.Date.to_date(day))
