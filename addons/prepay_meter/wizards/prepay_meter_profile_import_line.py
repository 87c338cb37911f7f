from odoo import api, fields, models
from odoo.exceptions import ValidationError


class PrepayMeterProfileImportLine(models.TransientModel):
    """One profile of an import file and what becomes of it."""

    _name = "prepay.meter.profile.import.line"
    _description = "Profile in an Import"

    wizard_id = fields.Many2one(
        "prepay.meter.profile.import.wizard", required=True, ondelete="cascade", index=True
    )
    code = fields.Char(readonly=True)
    profile_id = fields.Many2one("prepay.meter.profile", string="Present Profile", readonly=True)
    status = fields.Selection(
        [("new", "New"), ("changed", "Changed"), ("same", "Unchanged")], readonly=True
    )
    changes = fields.Text(readonly=True)
    action = fields.Selection(
        [
            ("create", "Create"),
            ("update", "Update the present one"),
            ("copy", "Add as a copy"),
            ("skip", "Leave out"),
        ],
        required=True,
    )

    @api.constrains("action", "profile_id")
    def _check_action(self):
        for line in self:
            if (line.action == "create") == bool(line.profile_id) and line.action != "skip":
                raise ValidationError(
                    self.env._(
                        "Profile %s: only a profile that is not there yet can be created; only a present one "
                        "can be updated or copied.",
                        line.code,
                    )
                )
