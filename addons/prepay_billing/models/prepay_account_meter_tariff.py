from odoo import fields, models


class PrepayAccountMeter(models.Model):
    """Tariffs that a meter of an account had and will have."""

    _inherit = "prepay.account.meter"  # pylint: disable=consider-merging-classes-inherited

    tariff_change_ids = fields.One2many("prepay.tariff.change", "supply_id", readonly=True)

    def write(self, vals):
        """A tariff set by hand holds for all that is not rated yet: changes planned there are void."""
        result = super().write(vals)
        if "tariff_id" in vals and not self.env.context.get("prepay_tariff_known"):
            self.sudo().tariff_change_ids.filtered(
                lambda change: (
                    not change.supply_id.rated_at or change.from_at > change.supply_id.rated_at
                )
            ).unlink()
        return result
