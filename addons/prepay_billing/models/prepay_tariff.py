from datetime import timezone
from decimal import Decimal

from odoo import api, fields, models

from ..engine.tariff import TariffVersion, one_price


class PrepayTariff(models.Model):
    """What a unit of energy or water costs. Prices live in versions, each valid from a moment on."""

    _name = "prepay.tariff"
    _description = "Prepaid Tariff"
    _inherit = ["mail.thread"]
    _order = "name"

    name = fields.Char(required=True, translate=True, tracking=True)
    medium = fields.Selection(
        [("electricity", "Electricity"), ("water", "Water")],
        required=True,
        default="electricity",
        tracking=True,
    )
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company, index=True
    )
    currency_id = fields.Many2one(related="company_id.currency_id")
    active = fields.Boolean(default=True)
    version_ids = fields.One2many("prepay.tariff.version", "tariff_id", string="Prices", copy=True)
    current_price = fields.Float(
        string="Price Now",
        compute="_compute_current_price",
        digits="Prepaid Price",
        help="CNY per kWh or m³.",
    )

    @api.depends("version_ids.price", "version_ids.valid_from")
    def _compute_current_price(self):
        now = fields.Datetime.now()
        for tariff in self:
            valid = tariff.version_ids.filtered(
                lambda version: version.valid_from and version.valid_from <= now
            )
            tariff.current_price = valid.sorted("valid_from")[-1:].price

    def _engine_versions(self):
        """Versions as the rating engine takes them, by tariff id. Prices are read as exact decimals."""
        self.env["prepay.tariff.version"].flush_model()
        versions = {tariff_id: [] for tariff_id in self.ids}
        self.env.cr.execute(
            "SELECT tariff_id, id, valid_from, price::text FROM prepay_tariff_version "
            "WHERE tariff_id = ANY(%s) ORDER BY valid_from",
            [self.ids],
        )
        for tariff_id, version_id, valid_from, price in self.env.cr.fetchall():
            versions[tariff_id].append(
                TariffVersion(
                    version_id,
                    valid_from.replace(tzinfo=timezone.utc),
                    one_price(Decimal(price)),
                )
            )
        return {tariff_id: tuple(items) for tariff_id, items in versions.items()}
