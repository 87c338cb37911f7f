from odoo import api, fields, models
from odoo.exceptions import ValidationError


class PrepayMeterControl(models.Model):
    """How one control action is sent to a meter type."""

    _name = "prepay.meter.control"
    _description = "Meter Control"
    _order = "profile_id, action"
    _rec_name = "action"

    profile_id = fields.Many2one(
        "prepay.meter.profile", required=True, ondelete="cascade", index=True
    )
    action = fields.Selection(
        [("open", "Open relay (cut)"), ("closed", "Close relay (restore)")], required=True
    )
    address = fields.Char(help="Modbus: first register to write, in hex.")
    payload = fields.Char(
        required=True,
        help="Modbus: register values in hex, separated by blanks, such as 0001 0001. "
        "DL/T 645: the command byte N1, "
        "such as 1A.",
    )

    _action_unique = models.Constraint(
        "UNIQUE (profile_id, action)", "This action is already defined for the profile."
    )

    @api.constrains("address", "payload", "profile_id")
    def _check_hex(self):
        for control in self:
            if control.profile_id.protocol == "modbus" and not control.address:
                raise ValidationError(
                    self.env._(
                        "Profile %s: a Modbus control needs a register.", control.profile_id.name
                    )
                )
            for text in [control.address or "0", *(control.payload or "").split()]:
                try:
                    int(text, 16)
                except ValueError:
                    raise ValidationError(
                        self.env._(
                            "“%(text)s” in control %(action)s is not a hexadecimal number.",
                            text=text,
                            action=control.action,
                        )
                    ) from None
