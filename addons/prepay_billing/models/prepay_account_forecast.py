from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from odoo import api, fields, models
from odoo.tools import SQL, split_every

from ..engine import forecast


class PrepayAccount(models.Model):
    """How long the money of an account lasts (预计可用天数) and what to top up."""

    _inherit = "prepay.account"  # pylint: disable=consider-merging-classes-inherited

    days_left = fields.Float(
        digits=(6, 1),
        readonly=True,
        copy=False,
        aggregator=None,
        help="Expected from the use of the last weeks, by weekday.",
    )
    days_left_text = fields.Char(string="Lasts", compute="_compute_days_left_text")
    daily_use = fields.Monetary(
        readonly=True, copy=False, aggregator=None, help="Expected for a day of the coming week."
    )
    suggested_amount = fields.Monetary(
        string="Suggested Top-up", readonly=True, copy=False, aggregator=None,
        help="After it the money lasts about a month.",
    )  # fmt: skip
    forecast_at = fields.Datetime(readonly=True, copy=False)

    @api.depends("days_left", "daily_use", "forecast_at")
    @api.depends_context("lang")
    def _compute_days_left_text(self):
        for account in self:
            if not account.forecast_at or not account.daily_use:
                account.days_left_text = False
            elif account.days_left >= forecast.HORIZON:
                account.days_left_text = self.env._("more than a year")
            elif account.days_left < 1:
                account.days_left_text = self.env._("less than a day")
            else:
                account.days_left_text = self.env._("about %s days", int(account.days_left))

    def _update_forecast(self, now=None):
        """Forecast these accounts and store the result, with four statements for all.

        :param now: aware time
        """
        if not self.ids:
            return
        now = now or datetime.now(timezone.utc)
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT a.id, l.tz FROM prepay_account a JOIN prepay_location l ON l.id = a.location_id "
            "WHERE a.id = ANY(%s)",
            [list(self.ids)],
        )
        days = {}
        for account_id, tz in self.env.cr.fetchall():
            local = now.astimezone(ZoneInfo(tz or "Asia/Shanghai"))
            days[account_id] = (local.date(), Decimal(local.hour * 60 + local.minute) / 1440)
        first = min(day for day, _part in days.values()) - timedelta(days=forecast.HISTORY_DAYS)
        self.env.cr.execute(
            "SELECT account_id, day, SUM(exact_amount)::text FROM prepay_charge "
            "WHERE account_id = ANY(%s) AND day >= %s GROUP BY 1, 2",
            [list(self.ids), first],
        )
        history = {}
        for account_id, day, amount in self.env.cr.fetchall():
            history.setdefault(account_id, []).append((day, Decimal(amount)))
        rows = []
        for account_id, money in self._available().items():
            today, part = days[account_id]
            past = history.get(account_id, ())
            used_today = sum((amount for day, amount in past if day >= today), Decimal(0))
            result = forecast.forecast(money + used_today, past, today)
            left = result.days
            if left is not None:
                left = max(left - part, Decimal(0)) if money > 0 else Decimal(0)
            rows.append(
                SQL(
                    "(%s, %s::numeric, %s::numeric, %s::numeric)",
                    account_id,
                    left,
                    result.daily,
                    result.suggested,
                )
            )
        for part in split_every(5000, rows, list):
            self.env.cr.execute(
                SQL(
                    """
                    UPDATE prepay_account a
                       SET days_left = round(v.days, 1), daily_use = round(v.daily, 4),
                           suggested_amount = v.suggested, forecast_at = %s
                      FROM (VALUES %s) AS v(id, days, daily, suggested) WHERE a.id = v.id
                    """,
                    now.astimezone(timezone.utc).replace(tzinfo=None, microsecond=0),
                    SQL(", ").join(part),
                )
            )
        self.invalidate_recordset(["days_left", "daily_use", "suggested_amount", "forecast_at"])

    @api.model
    def _cron_forecast(self, batch=5000):
        """Forecast all open accounts, those whose forecast is oldest first (nightly)."""
        stale = fields.Datetime.now() - timedelta(hours=12)
        domain = [
            ("state", "=", "open"),
            "|",
            ("forecast_at", "=", False),
            ("forecast_at", "<", stale),
        ]
        while accounts := self.search(domain, limit=batch, order="id"):
            accounts._update_forecast()
            if not self.env["ir.cron"]._commit_progress(
                len(accounts), remaining=self.search_count(domain)
            ):
                break
