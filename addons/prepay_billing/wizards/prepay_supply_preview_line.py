from odoo import fields, models


class PrepaySupplyPreviewLine(models.TransientModel):
    """One meter of a preview."""

    _name = "prepay.supply.preview.line"
    _description = "Line of a Cut Preview"
    _order = "outcome, id"
    _rec_name = "account_id"

    preview_id = fields.Many2one(
        "prepay.supply.preview", required=True, index=True, ondelete="cascade"
    )
    account_id = fields.Many2one("prepay.account", required=True, ondelete="cascade")
    meter_id = fields.Many2one("prepay.meter", required=True, ondelete="cascade")
    location_id = fields.Many2one(related="account_id.location_id", string="Room", store=True)
    partner_id = fields.Many2one(related="account_id.partner_id", string="Tenant")
    phone = fields.Char(related="partner_id.phone")
    currency_id = fields.Many2one(related="account_id.currency_id")
    available = fields.Monetary()
    outcome = fields.Selection(
        [
            ("cut", "Would Be Cut"),
            ("limit", "Would Be Limited"),
            ("waits", "Waits for a Person"),
            ("protected", "Guaranteed"),
            ("blocked", "Not Cut"),
            ("off", "Off Already"),
            ("restore", "Supply Returns"),
            ("not_due", "Not Due"),
        ],
        required=True,
    )
    reasons = fields.Text(string="Why")
