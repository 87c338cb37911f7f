import re

from odoo import api, models
from odoo.exceptions import UserError
from odoo.tools import format_datetime, formatLang
from odoo.tools.image import image_data_uri

from ..capitals import rmb_capitals
from ..tariff_picture import number

_UNITS = {"electricity": "kWh", "water": "m³"}


class PrepayReceipt(models.AbstractModel):
    """What the slip of a counter top-up says.

    A later print says the same: time, balances and amount are stored, and meters and price are those
    of the moment of payment.
    """

    _name = "report.prepay_billing.report_receipt"
    _description = "Receipt of a Top-up"

    @api.model
    def _get_report_values(self, docids, data=None):
        topups = self.env["prepay.topup"].browse(docids)
        topups.check_access("read")
        for topup in topups:
            if topup.state != "done":
                raise UserError(
                    self.env._(
                        "The top-up of %(amount)s for account %(account)s is not credited yet. "
                        "A receipt prints after it is credited.",
                        amount=formatLang(self.env, topup.amount, currency_obj=topup.currency_id),
                        account=topup.account_id.number,
                    )
                )
        # The reader may see the top-up; names of the cashier or of a place above come with it.
        return {
            "doc_ids": docids,
            "doc_model": topups._name,
            "docs": topups,
            "slips": [self._slip(topup) for topup in topups.sudo()],
        }

    @api.model
    def _slip(self, topup):
        """Texts of one slip in the language of the tenant.

        Times are in the zone of the place, amounts in the currency of the company.
        """
        topup = topup.with_context(lang=topup.partner_id.lang or self.env.lang or "en_US")
        company, account = topup.company_id, topup.account_id
        supplies = account.supply_ids.filtered(
            lambda item: (
                item.start_at <= topup.paid_at and (not item.end_at or item.end_at > topup.paid_at)
            )
        )

        def money(amount):
            return formatLang(topup.env, amount, currency_obj=topup.currency_id)

        return {
            "topup": topup,
            "lang": topup.env.lang,
            "company": company,
            "logo": not company.uses_default_logo and image_data_uri(company.logo),
            "media": set(supplies.mapped("medium")),
            "paid_at": self._local_time(topup),
            "room": _end(topup.location_id.complete_name),
            "phone": mask_phone(topup.partner_id.phone),
            "method": dict(topup._fields["method"]._description_selection(topup.env))[topup.method],
            "meters": ", ".join(supplies.mapped("meter_id.number")),
            "prices": ", ".join(self._prices(topup, supplies)),
            "amount": money(topup.amount),
            "capitals": topup.currency_id.name == "CNY" and rmb_capitals(topup._exact_amount()),
            "balance_before": money(topup.balance_before),
            "balance_after": money(topup.balance_after),
        }

    @api.model
    def _local_time(self, topup):
        zone = topup.location_id._zone()
        return format_datetime(
            topup.env, topup.paid_at, tz=zone.key, dt_format="yyyy-MM-dd HH:mm:ss"
        )

    @api.model
    def _prices(self, topup, supplies):
        """Prices at the moment of payment, such as ¥0.68/kWh, each once."""
        texts = {}
        for supply in supplies:
            versions = supply.tariff_id.version_ids.filtered(
                lambda version: version.state == "approved" and version.valid_from <= topup.paid_at
            )
            for version in versions.sorted("valid_from")[-1:]:
                price = "–".join(dict.fromkeys(map(number, version._lowest_and_highest())))
                texts[f"{topup.currency_id.symbol}{price}/{_UNITS[supply.medium]}"] = True
        return list(texts)


def _end(path, length=64):
    """The end of a path of places, where the room is: two lines of the slip in Chinese characters."""
    return path if len(path) <= length else f"…{path[1 - length :]}"


def mask_phone(phone):
    """Hide the middle of a phone number: a slip may lie about.

    A mobile number keeps its first three and last four digits, as is usual in China; a shorter one
    keeps the last two.

    :param str phone: with or without a country code, or empty
    """
    digits = re.sub(r"\D", "", phone or "")
    if len(digits) >= 11:
        return f"{digits[-11:-8]}****{digits[-4:]}"
    return f"****{digits[-2:]}" if digits else ""
