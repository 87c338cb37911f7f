import hmac
import re
import secrets

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..tools.sms_api import SmsApiHttp
from ..tools.url import problem_of

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,510}[\x21-\x7e])?", re.ASCII)


class ResCompany(models.Model):
    _inherit = "res.company"

    prepay_sms_enabled = fields.Boolean(
        string="Send SMS", help="Off: nothing is queued and nothing leaves."
    )
    prepay_sms_provider = fields.Selection(
        [("http", "Generic HTTP")], string="SMS Provider", help="Used for all SMS of the company."
    )
    prepay_sms_signature = fields.Char(
        string="SMS Signature", help="Put in front of each text as 【…】."
    )
    prepay_sms_http_url = fields.Char(string="Gateway Address", groups="base.group_system")
    prepay_sms_http_header = fields.Char(
        string="Header of the Secret", default="X-Api-Key", groups="base.group_system"
    )
    prepay_sms_http_secret = fields.Char(string="Gateway Secret", groups="base.group_system")
    prepay_sms_http_timeout = fields.Integer(
        string="Gateway Time-out (s)", default=10, groups="base.group_system"
    )
    prepay_sms_receipt_token = fields.Char(
        string="Token of the Receipts", groups="base.group_system", copy=False, readonly=True
    )
    prepay_sms_receipt_url = fields.Char(
        string="Receipt Address",
        compute="_compute_prepay_sms_receipt_url",
        groups="base.group_system",
        help="Give it to the gateway. Whoever knows it can report messages as delivered.",
    )

    _prepay_sms_timeout_range = models.Constraint(
        "CHECK (prepay_sms_http_timeout IS NULL OR prepay_sms_http_timeout BETWEEN 1 AND 60)",
        "The time-out of the SMS gateway lies between 1 and 60 seconds.",
    )

    @api.depends("prepay_sms_receipt_token")
    def _compute_prepay_sms_receipt_url(self):
        for company in self:
            token = company.prepay_sms_receipt_token
            company.prepay_sms_receipt_url = bool(token) and (
                f"{company.get_base_url()}/prepay_sms/receipt/{company.id}/{token}"
            )

    @api.constrains("prepay_sms_http_url", "prepay_sms_provider")
    def _check_prepay_sms_http_url(self):
        remedies = {
            "address": self.env._("Enter a full address, such as https://sms.example.com/send."),
            "userinfo": self.env._("Put no name or password into the address; use the secret."),
            "plain": self.env._(
                "Use https: only a gateway on this machine may be called without it."
            ),
        }
        for company in self.sudo():
            problem = company.prepay_sms_http_url and problem_of(company.prepay_sms_http_url)
            if problem:
                raise ValidationError(
                    self.env._(
                        "SMS gateway of %(company)s: %(remedy)s",
                        company=company.name,
                        remedy=remedies[problem],
                    )
                )

    @api.constrains("prepay_sms_http_header", "prepay_sms_http_secret")
    def _check_prepay_sms_http_secret(self):
        for company in self.sudo():
            secret, header = company.prepay_sms_http_secret, company.prepay_sms_http_header
            if secret and not (
                _HEADER_VALUE.fullmatch(secret) and _HEADER_NAME.fullmatch(header or "")
            ):
                raise ValidationError(
                    self.env._(
                        "SMS gateway of %s: header and secret are plain letters, digits and signs, "
                        "without line breaks.",
                        company.name,
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        companies = super().create(vals_list)
        companies._prepay_sms_give_token()
        return companies

    def write(self, vals):
        result = super().write(vals)
        if vals.get("prepay_sms_provider"):
            self._prepay_sms_give_token()
        return result

    def _prepay_sms_give_token(self, renew=False):
        for company in self.sudo():
            if company.prepay_sms_provider and (renew or not company.prepay_sms_receipt_token):
                company.prepay_sms_receipt_token = secrets.token_urlsafe(32)

    def _prepay_sms_knows_token(self, token):
        """Compare in constant time; a company without a token knows none."""
        own = self.sudo().prepay_sms_receipt_token if len(self) == 1 else ""
        same = hmac.compare_digest((own or "").encode(), (token or "").encode(errors="replace"))
        return bool(own) and same

    def _prepay_sms_obstacle(self):
        """Code of why this company sends nothing now, or None."""
        self.ensure_one()
        company = self.sudo()
        if not company.prepay_sms_enabled:
            return "switched_off"
        if not company.prepay_sms_provider or not company.prepay_sms_http_url:
            return "no_provider"
        return None

    def _prepay_sign(self, words):
        """A text with the company's signature in front."""
        signature = (self.prepay_sms_signature or "").strip().strip("【】")
        return f"【{signature}】{words}" if signature else words

    def _get_sms_api_class(self):
        self.ensure_one()
        if self.prepay_sms_provider == "http":
            return SmsApiHttp
        return super()._get_sms_api_class()
