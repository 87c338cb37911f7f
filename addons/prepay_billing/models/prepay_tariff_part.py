from odoo import api, fields, models

#: In the context while a whole price is written: its parts are checked together at the end. An object,
#: so that no caller from outside can set it.
WHOLE = object()


class PrepayTariffPart(models.AbstractModel):
    """A line of a price. It is history as soon as the price is: no line changes behind an approval."""

    _name = "prepay.tariff.part"
    _description = "Part of a Tariff Price"

    version_id = fields.Many2one(
        "prepay.tariff.version", string="Price", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="version_id.company_id", store=True, index=True)

    @api.model_create_multi
    def create(self, vals_list):
        parts = super().create(vals_list)
        parts.version_id._refuse_locked()
        parts._check_whole()
        return parts

    def write(self, vals):
        self.version_id._refuse_locked()
        result = super().write(vals)
        self.version_id._refuse_locked()
        self._check_whole()
        return result

    def unlink(self):
        versions = self.version_id
        versions._refuse_locked()
        result = super().unlink()
        if self.env.context.get("prepay_tariff") is not WHOLE:
            versions._check_if_approved()
        return result

    def _check_whole(self):
        if self.env.context.get("prepay_tariff") is not WHOLE:
            self.version_id._check_if_approved()
