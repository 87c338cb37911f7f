from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError


class PrepayTariffVersion(models.Model):
    """A price and the moment from which it holds. Once used it is history and cannot change."""

    _name = "prepay.tariff.version"
    _description = "Tariff Price"
    _order = "tariff_id, valid_from desc"
    _rec_name = "valid_from"

    tariff_id = fields.Many2one("prepay.tariff", required=True, ondelete="cascade", index=True)
    company_id = fields.Many2one(related="tariff_id.company_id", store=True, index=True)
    valid_from = fields.Datetime(
        required=True, default=fields.Datetime.now, help="Usage from this moment on has this price."
    )
    price = fields.Float(required=True, digits="Prepaid Price", help="CNY per kWh or m³.")

    _valid_from_unique = models.Constraint(
        "UNIQUE (tariff_id, valid_from)", "This tariff already has a price from this moment on."
    )
    _price_range = models.Constraint(
        "CHECK (price >= 0 AND price <= 100)", "A price lies between 0 and 100 CNY per kWh or m³."
    )

    @api.model_create_multi
    def create(self, vals_list):
        versions = super().create(vals_list)
        versions._check_not_past()
        return versions

    def write(self, vals):
        if not {"price", "valid_from", "tariff_id"}.isdisjoint(vals):
            self._refuse_used()
        result = super().write(vals)
        if "valid_from" in vals:
            self._check_not_past()
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_used(self):
        self._refuse_used()

    def _refuse_used(self):
        used = (
            self.env["prepay.charge"]
            .sudo()
            .search([("version_id", "in", self.ids)], limit=1)
            .version_id
        )
        if used:
            raise UserError(
                self.env._(
                    "The price of tariff %s has already been charged and cannot change. "
                    "Add a new price with a later start.",
                    used.tariff_id.name,
                )
            )

    def _check_not_past(self):
        """A new price never reaches back over usage that was already rated (no re-pricing)."""
        for version in self:
            charged = (
                self.env["prepay.charge"]
                .sudo()
                .search(
                    [
                        ("version_id.tariff_id", "=", version.tariff_id.id),
                        ("end_at", ">", version.valid_from),
                    ],
                    order="end_at desc",
                    limit=1,
                )
            )
            if charged:
                raise ValidationError(
                    self.env._(
                        "Tariff %(tariff)s: usage up to %(end)s is already charged. "
                        "Let the new price start later.",
                        tariff=version.tariff_id.name,
                        end=fields.Datetime.context_timestamp(self, charged.end_at).strftime(
                            "%Y-%m-%d %H:%M"
                        ),
                    )
                )
