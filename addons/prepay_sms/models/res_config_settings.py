from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    prepay_sms_enabled = fields.Boolean(related="company_id.prepay_sms_enabled", readonly=False)
    prepay_sms_provider = fields.Selection(related="company_id.prepay_sms_provider", readonly=False)
    prepay_sms_signature = fields.Char(related="company_id.prepay_sms_signature", readonly=False)
    prepay_sms_http_url = fields.Char(related="company_id.prepay_sms_http_url", readonly=False)
    prepay_sms_http_header = fields.Char(
        related="company_id.prepay_sms_http_header", readonly=False
    )
    prepay_sms_http_secret = fields.Char(
        related="company_id.prepay_sms_http_secret", readonly=False
    )
    prepay_sms_http_timeout = fields.Integer(
        related="company_id.prepay_sms_http_timeout", readonly=False
    )
    prepay_sms_receipt_url = fields.Char(related="company_id.prepay_sms_receipt_url")

    def action_prepay_sms_renew_token(self):
        """Give the gateway a new receipt address; the old one ends at once."""
        self.company_id._prepay_sms_give_token(renew=True)
        return {"type": "ir.actions.client", "tag": "soft_reload"}
