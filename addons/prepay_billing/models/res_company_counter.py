from decimal import Decimal, InvalidOperation

from odoo import api, fields, models
from odoo.exceptions import ValidationError


class ResCompany(models.Model):
    """Settings of the counter."""

    _inherit = "res.company"  # pylint: disable=consider-merging-classes-inherited

    prepay_quick_amounts = fields.Char(
        string="Quick Amounts",
        default="20 50 100 200",
        help="Offered at the counter, with blanks between them.",
    )
    prepay_hoarding_limit = fields.Monetary(
        string="Hoarding Limit",
        currency_field="currency_id",
        help="Most that an account may have available after a sale (囤积). 0: no limit.",
    )
    prepay_codes_elsewhere = fields.Boolean(
        string="Payer's Codes on Another Device",
        help="WeChat and Alipay codes are charged with a device of their own; the sale keeps the last four "
        "digits.",
    )

    @api.constrains("prepay_quick_amounts")
    def _check_quick_amounts(self):
        for company in self:
            company._quick_amounts()

    def _quick_amounts(self):
        """Amounts as texts with two decimals, or without when they are whole yuan."""
        self.ensure_one()
        amounts = []
        for word in (self.prepay_quick_amounts or "").replace(",", " ").split():
            try:
                amount = Decimal(word)
            except InvalidOperation:
                amount = None
            if (
                amount is None
                or not amount.is_finite()
                or amount <= 0
                or amount != round(amount, 2)
            ):
                raise ValidationError(
                    self.env._(
                        "Quick amounts of %(company)s: “%(word)s” is not an amount. Enter amounts such as "
                        "20 50 100 200.",
                        company=self.name,
                        word=word,
                    )
                )
            amounts.append(f"{amount:f}" if amount == int(amount) else f"{amount:.2f}")
        return amounts
