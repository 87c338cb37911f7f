from odoo import fields, models
from odoo.exceptions import UserError


class ResCompany(models.Model):
    _inherit = "res.company"

    prepay_hr_electricity_tariff_id = fields.Many2one(
        "prepay.tariff",
        string="Dormitory Electricity Tariff",
        domain="[('medium', '=', 'electricity')]",
        check_company=True,
        help="For accounts opened at check-in. Not needed when there is only one.",
    )
    prepay_hr_water_tariff_id = fields.Many2one(
        "prepay.tariff",
        string="Dormitory Water Tariff",
        domain="[('medium', '=', 'water')]",
        check_company=True,
        help="For accounts opened at check-in. Not needed when there is only one.",
    )
    prepay_hr_settlement_user_id = fields.Many2one(
        "res.users",
        string="Settlements Go To",
        domain="[('share', '=', False)]",
        help="Gets an activity for each move-out. Empty: the first facility accountant.",
    )

    def _prepay_hr_tariff(self, medium):
        """The tariff for a new account of this company: its default, or the only one there is."""
        self.ensure_one()
        default = self[f"prepay_hr_{medium}_tariff_id"]
        if default.active:
            return default
        tariffs = self.env["prepay.tariff"].search(
            [("company_id", "=", self.id), ("medium", "=", medium)]
        )
        if len(tariffs) == 1:
            return tariffs
        selection = self.env["prepay.tariff"]._fields["medium"]._description_selection(self.env)
        label = dict(selection)[medium]
        if not tariffs:
            raise UserError(
                self.env._(
                    "%(company)s has no tariff for %(medium)s. Create one under Billing first.",
                    company=self.name,
                    medium=label,
                )
            )
        raise UserError(
            self.env._(
                "%(company)s has several tariffs for %(medium)s: %(names)s. "
                "Choose one for the dormitory in the settings.",
                company=self.name,
                medium=label,
                names=", ".join(tariffs.mapped("name")),
            )
        )

    def _prepay_hr_settlement_user(self):
        """Who settles move-outs of this company; empty when there is nobody."""
        self.ensure_one()
        user = self.prepay_hr_settlement_user_id
        if user.active:
            return user
        candidates = self.env.ref("prepay_billing.group_accountant").all_user_ids
        return candidates.filtered(
            lambda item: item.active and not item.share and self in item.company_ids
        ).sorted("id")[:1]
