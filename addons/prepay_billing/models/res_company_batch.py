from odoo import api, fields, models
from odoo.exceptions import ValidationError


class ResCompany(models.Model):
    """From which size on a batch operation needs a second person."""

    _inherit = "res.company"  # pylint: disable=consider-merging-classes-inherited

    prepay_batch_power_limit = fields.Integer(
        string="Switched Off by One Person (Meters)",
        default=10,
        help="A batch that switches off more waits for a second person. 0: always.",
    )
    prepay_batch_price_limit = fields.Integer(
        string="Tariff Changed by One Person (Meters)",
        default=0,
        help="A batch that changes the tariff of more waits for a second person. 0: always.",
    )

    @api.constrains("prepay_batch_power_limit", "prepay_batch_price_limit")
    def _check_batch_limits(self):
        for company in self:
            if company.prepay_batch_power_limit < 0 or company.prepay_batch_price_limit < 0:
                raise ValidationError(
                    self.env._(
                        "%s: enter 0 or more meters for batch operations by one person.",
                        company.name,
                    )
                )
