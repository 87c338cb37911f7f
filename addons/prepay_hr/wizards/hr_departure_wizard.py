from odoo import models


class HrDepartureWizard(models.TransientModel):
    _inherit = "hr.departure.wizard"

    def action_register_departure(self):
        # Employees are archived before their date is written: stays end on that date, not today.
        wizard = self.with_context(prepay_departure_date=self.departure_date)
        return super(HrDepartureWizard, wizard).action_register_departure()
