from odoo import api, fields, models


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
    current_version_id = fields.Many2one(
        "prepay.tariff.version", string="In Force", compute="_compute_current_price"
    )
    current_price = fields.Float(
        string="Price Now",
        compute="_compute_current_price",
        digits="Prepaid Price",
        help="CNY per kWh or m³.",
    )
    next_change = fields.Datetime(compute="_compute_current_price")
    day_picture = fields.Html(compute="_compute_current_price", sanitize=False)

    @api.depends("version_ids.price", "version_ids.valid_from", "version_ids.state")
    def _compute_current_price(self):
        now = fields.Datetime.now()
        for tariff in self:
            approved = tariff.version_ids.filtered(
                lambda version: version.state == "approved" and version.valid_from
            ).sorted("valid_from")
            valid = approved.filtered(lambda version: version.valid_from <= now)
            tariff.current_version_id = valid[-1:]
            tariff.current_price = valid[-1:].price
            tariff.next_change = (approved - valid)[:1].valid_from
            tariff.day_picture = valid[-1:].day_picture

    def action_new_price(self):
        """A draft that begins as a copy of the newest price."""
        self.ensure_one()
        versions = self.version_ids.sorted("valid_from")
        if not versions:
            version = versions.create({"tariff_id": self.id})
            return version.action_open()
        newest = versions.filtered(lambda version: version.state == "approved")[-1:] or versions[-1]
        start = versions._next_midnight()
        last = max(versions.mapped("valid_from"))
        if last >= start:
            start = fields.Datetime.add(last, days=1)
        version = newest.copy({"valid_from": start, "state": "draft"})
        return version.action_open()

    def _charged(self):
        """Those of these tariffs by which anything was charged already."""
        if not self.ids:
            return self.browse()
        self.env["prepay.charge"].flush_model()
        self.env["prepay.tariff.version"].flush_model(["tariff_id"])
        self.env.cr.execute(
            """
            SELECT t.id FROM unnest(%s::int[]) AS t(id)
             WHERE EXISTS (SELECT FROM prepay_tariff_version v
                             JOIN prepay_charge c ON c.version_id = v.id
                            WHERE v.tariff_id = t.id)
            """,
            [self.ids],
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    def _engine_versions(self):
        """Approved versions as the rating engine takes them, by tariff id, in order of time."""
        approved = (
            self.env["prepay.tariff.version"]
            .sudo()
            .search([("tariff_id", "in", self.ids), ("state", "=", "approved")], order="valid_from")
        )
        engine = approved._engine_data()
        versions = {tariff_id: [] for tariff_id in self.ids}
        for version in approved:
            versions[version.tariff_id.id].append(engine[version.id])
        return {tariff_id: tuple(items) for tariff_id, items in versions.items()}
