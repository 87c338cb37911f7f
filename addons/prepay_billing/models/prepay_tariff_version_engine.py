from datetime import timezone
from decimal import Decimal

from odoo import models

from ..engine.tariff import (
    FLAT,
    RATES,
    DayPlan,
    Fee,
    Period,
    Season,
    TariffVersion,
    Tier,
    one_price,
)
from .prepay_tariff_period import DAYS


class PrepayTariffVersion(models.Model):
    """Prices as the rating engine takes them."""

    _inherit = "prepay.tariff.version"  # pylint: disable=consider-merging-classes-inherited

    def _engine_data(self):
        """These versions as the rating engine takes them, by id; prices read as exact decimals."""
        self.env.flush_all()
        rates = ", ".join(f"{rate}::text" for rate in RATES)
        tiers, fees = self._fetch("prepay_tariff_price", f"upto::text, {rates}", "sequence, id"), {}
        for version_id, rows in self._fetch(
            "prepay_tariff_fee", "code, amount::text, period", "sequence, id"
        ).items():
            fees[version_id] = tuple(Fee(code, Decimal(amount), per) for code, amount, per in rows)
        seasons = self._engine_seasons()
        self.env.cr.execute(
            """
            SELECT v.id, v.valid_from, COALESCE(v.price, 0)::text, v.tier_period, v.tier_per_head,
                   COALESCE(v.service_price, 0)::text, COALESCE(v.service_percent, 0)::text,
                   COALESCE(NULLIF(v.ceiling, 0), NULLIF(CASE t.medium
                       WHEN 'water' THEN o.prepay_ceiling_water
                       ELSE o.prepay_ceiling_electricity END, 0))::text
              FROM prepay_tariff_version v
              JOIN prepay_tariff t ON t.id = v.tariff_id
              JOIN res_company o ON o.id = t.company_id
             WHERE v.id = ANY(%s)
            """,
            [self.ids],
        )
        return {
            row[0]: TariffVersion(
                id=row[0],
                valid_from=row[1].replace(tzinfo=timezone.utc),
                tiers=_tiers(tiers[row[0]], seasons.get(row[0], ()))
                if row[0] in tiers
                else one_price(Decimal(row[2])),
                seasons=seasons.get(row[0], ()),
                tier_period=row[3],
                tier_per_head=bool(row[4]),
                service_price=Decimal(row[5]),
                service_percent=Decimal(row[6]),
                fees=fees.get(row[0], ()),
                ceiling=Decimal(row[7]) if row[7] else None,
            )
            for row in self.env.cr.fetchall()
        }

    def _fetch(self, table, columns, order):
        """Rows of a table of parts by version id. The names are our own, never input."""
        self.env.cr.execute(
            f"SELECT version_id, {columns} FROM {table} WHERE version_id = ANY(%s) ORDER BY {order}",  # noqa: S608
            [self.ids],
        )
        rows = {}
        for version_id, *row in self.env.cr.fetchall():
            rows.setdefault(version_id, []).append(row)
        return rows

    def _engine_seasons(self):
        periods = {}
        self.env.cr.execute(
            """
            SELECT season_id, days, round(start * 60)::int, rate FROM prepay_tariff_period
             WHERE version_id = ANY(%s) ORDER BY season_id, start, id
            """,
            [self.ids],
        )
        for season_id, days, start, rate in self.env.cr.fetchall():
            plan = periods.setdefault(season_id, {}).setdefault(days, [])
            plan.append(Period(start, rate))
        return {
            version_id: tuple(
                Season(
                    month,
                    day,
                    tuple(
                        DayPlan(DAYS[days], tuple(lines))
                        for days, lines in sorted(periods.get(season_id, {}).items())
                    ),
                )
                for season_id, month, day in rows
            )
            for version_id, rows in self._fetch(
                "prepay_tariff_season", "id, month_number, day", "month_number, day, id"
            ).items()
        }


def _tiers(rows, seasons):
    """Tiers of rows (upto, price of each rate), as text. Units: kWh or m³ -> Wh or L.

    A rate counts where it has a price or hours. In a tier without any price all of them are free;
    else one without price stays out, so that the check names it.
    """
    used = {period.rate for season in seasons for plan in season.plans for period in plan.periods}
    used = used or {FLAT}
    lines = []
    for upto, *prices in rows:
        priced = {rate: Decimal(text) for rate, text in zip(RATES, prices) if Decimal(text or 0)}
        limit = int(Decimal(upto or 0) * 1000)
        lines.append((limit or None, priced))
        used |= priced.keys()
    return tuple(
        Tier(limit, priced or dict.fromkeys(sorted(used), Decimal(0))) for limit, priced in lines
    )
