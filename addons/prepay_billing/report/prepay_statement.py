from datetime import datetime, timedelta, timezone
from decimal import Decimal

from odoo import api, fields, models
from odoo.tools import formatLang

_UNITS = {"electricity": "kWh", "water": "m³"}


class PrepayStatementReport(models.AbstractModel):
    """Monthly statements of accounts, each in the language of its tenant."""

    _name = "report.prepay_billing.report_statement"
    _description = "Monthly Statement"

    @api.model
    def _get_report_values(self, docids, data=None):
        data = data or {}
        docids = docids or data.get("account_ids") or []
        accounts = self.env["prepay.account"].browse(docids)
        accounts.check_access("read")
        return {
            "doc_ids": docids,
            "doc_model": accounts._name,
            "docs": accounts,
            "statements": [
                self._texts(account, data.get("month"), bool(data.get("by_day")))
                for account in accounts.sudo()
            ],
        }

    @api.model
    def _texts(self, account, month=None, by_day=False):
        """Texts of one statement.

        :param str month: "2026-03"; the month before today, at the place, if there is none
        """
        account = account.with_context(lang=account.partner_id.lang or self.env.lang or "en_US")
        env, zone = account.env, account.location_id._zone()
        today = datetime.now(zone).date()
        day = (
            fields.Date.to_date(f"{month[:7]}-01")
            if month
            else today.replace(day=1) - timedelta(days=1)
        )
        data = account._statement(day, by_day)
        company = account.company_id

        def money(amount):
            # For people only: the amounts have two decimals already.
            return formatLang(env, float(amount), currency_obj=company.currency_id)

        def local(moment, pattern="%Y-%m-%d %H:%M"):
            return moment.replace(tzinfo=timezone.utc).astimezone(zone).strftime(pattern)

        def labels(model, name):
            return dict(env[model]._fields[name]._description_selection(env))

        entry_kinds, buckets = (
            labels("prepay.ledger.entry", "kind"),
            labels("prepay.ledger.entry", "bucket"),
        )
        kinds, rates = labels("prepay.charge", "kind"), labels("prepay.charge", "rate")
        meters = []
        for meter in data["meters"]:
            supply = meter["supply"]
            unit = _UNITS[supply.medium]
            lines = []
            with_rates = len({line["rate"] for line in meter["lines"]}) > 1
            with_tiers = len({line["tier"] for line in meter["lines"]}) > 1
            for line in meter["lines"]:
                version = env["prepay.tariff.version"].browse(line["version_id"])
                what = [kinds[line["kind"]]]
                if line["kind"] == "usage" and (with_rates or line["rate"] != "flat"):
                    what.append(rates[line["rate"]])
                if line["kind"] == "usage" and (with_tiers or line["tier"] > 1):
                    what.append(env._("tier %s", line["tier"]))
                if line["provisional"]:
                    what.append(env._("estimated"))
                if line["settles"]:
                    what.append(env._("settles an estimate"))
                first, last = line["from"], line["until"]
                lines.append(
                    {
                        "days": f"{first:%m-%d}"
                        if first == last
                        else f"{first:%m-%d} – {last:%m-%d}",
                        "what": ", ".join(what),
                        "version": env._("since %s", local(version.valid_from, "%Y-%m-%d")),
                        "quantity": f"{Decimal(line['quantity']) / 1000:.2f} {unit}"
                        if line["kind"] != "fee"
                        else "",
                        "price": f"{line['price'].normalize():f}",
                        "amount": money(line["amount"]),
                    }
                )
            meters.append(
                {
                    "number": supply.meter_id.number,
                    "tariff": supply.tariff_id.name,
                    "unit": unit,
                    "start": meter["start"] and local(meter["start"]),
                    "end": meter["end"] and local(meter["end"]),
                    "register_start": meter["start"] and f"{meter['register_start']:.2f}",
                    "register_end": meter["end"] and f"{meter['register_end']:.2f}",
                    "lines": lines,
                    "amount": money(meter["amount"]),
                }
            )
        return {
            "account": account,
            "company": company,
            "lang": env.lang,
            "month": f"{data['first']:%Y-%m}",
            "first": data["first"].isoformat(),
            "last": data["last"].isoformat(),
            "unfinished": today <= data["last"],
            "opening": money(data["opening"]),
            "closing": money(data["closing"]),
            "granted_opening": data["granted_opening"] and money(data["granted_opening"]),
            "granted_closing": data["granted_closing"] and money(data["granted_closing"]),
            "charged": money(-data["charged"]),
            "moved": money(sum((move["amount"] for move in data["moves"]), Decimal(0))),
            "open": data["open"] and money(round(data["open"], 2)),
            "moves": [
                {
                    "at": local(move["at"]),
                    "kind": entry_kinds[move["kind"]],
                    "bucket": buckets[move["bucket"]] if move["bucket"] == "granted" else "",
                    "reason": move["reason"],
                    "amount": money(move["amount"]),
                }
                for move in data["moves"]
            ],
            "meters": meters,
        }
