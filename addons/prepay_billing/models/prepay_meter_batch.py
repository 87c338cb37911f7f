from odoo import api, fields, models
from odoo.exceptions import AccessError


class PrepayMeter(models.Model):
    """Guarantees that end by themselves, and the way from the list of meters to a batch operation."""

    _inherit = "prepay.meter"  # pylint: disable=consider-merging-classes-inherited

    protected_until = fields.Datetime(
        string="Guaranteed Until",
        readonly=True,
        copy=False,
        help="The guarantee ends by itself then. Empty: until a person ends it.",
    )

    def write(self, vals):
        if "is_protected" in vals and "protected_until" not in vals:
            vals = {**vals, "protected_until": False}
        return super().write(vals)

    def action_batch(self):
        """Open a new batch operation for these meters."""
        if not self.env.user.has_group("prepay_meter.group_operator"):
            raise AccessError(self.env._("Only operators run batch operations."))
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Batch Operation"),
            "res_model": "prepay.batch",
            "view_mode": "form",
            "views": [(False, "form")],
            "context": {"default_meter_ids": self.ids},
        }

    @api.model
    def _end_guarantees(self):
        """End the guarantees whose time is over."""
        meters = self.sudo().search(
            [("is_protected", "=", True), ("protected_until", "<=", fields.Datetime.now())]
        )
        if meters:
            self.env["prepay.meter.parameter"].sudo()._request(
                meters, "guarantee", 0, reason=self.env._("The guarantee ended as planned.")
            )
        return meters
