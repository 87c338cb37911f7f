from datetime import date, datetime, timedelta
from decimal import Decimal

from odoo import models

from odoo.addons.prepay_meter.channels import BILLED, BY_CODE

#: The day of an entry: that into which its charges were posted, else its own, at the place.
_DAYS = """
WITH days AS (
    SELECT x.id, max(x.day) AS day
      FROM (SELECT entry_id AS id, posted_day AS day FROM prepay_charge
             WHERE account_id = %(account)s AND state = 'posted'
             UNION ALL
            SELECT granted_entry_id, posted_day FROM prepay_charge
             WHERE account_id = %(account)s AND state = 'posted') x
     WHERE x.id IS NOT NULL GROUP BY x.id),
entries AS (
    SELECT e.*, d.day IS NOT NULL AS of_charges,
           COALESCE(d.day, (e.at AT TIME ZONE 'UTC' AT TIME ZONE %(tz)s)::date) AS day
      FROM prepay_ledger_entry e LEFT JOIN days d ON d.id = e.id
     WHERE e.account_id = %(account)s)
"""
_BALANCES = (
    _DAYS
    + """
SELECT COALESCE(SUM(amount) FILTER (WHERE day < %(first)s), 0)::text,
       COALESCE(SUM(amount) FILTER (WHERE day <= %(last)s), 0)::text,
       COALESCE(SUM(amount) FILTER (WHERE day < %(first)s AND bucket = 'granted'), 0)::text,
       COALESCE(SUM(amount) FILTER (WHERE day <= %(last)s AND bucket = 'granted'), 0)::text,
       COALESCE(SUM(amount) FILTER (WHERE of_charges AND day BETWEEN %(first)s AND %(last)s), 0)::text
  FROM entries
"""
)
_MOVES = (
    _DAYS
    + """
SELECT id, at, kind, bucket, amount::text, reason
  FROM entries WHERE NOT of_charges AND day BETWEEN %(first)s AND %(last)s ORDER BY at, id
"""
)
_CHARGES = """
SELECT c.supply_id, c.version_id, c.kind, c.rate, c.tier, c.price::text, c.provisional,
       c.settles_id IS NOT NULL, CASE WHEN %(by_day)s THEN c.day END AS line_day,
       min(c.day), max(c.day), sum(c.quantity_base), sum(c.amount)::text
  FROM prepay_charge c
 WHERE c.account_id = %(account)s AND c.state = 'posted'
   AND c.posted_day BETWEEN %(first)s AND %(last)s
 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
 ORDER BY c.supply_id, 9 NULLS FIRST, min(c.start_at), c.kind DESC, c.tier, c.rate
"""
_LINE = (
    "supply_id",
    "version_id",
    "kind",
    "rate",
    "tier",
    "price",
    "provisional",
    "settles",
    "day",
    "from",
    "until",
    "quantity",
    "amount",
)
_SPANS = """
SELECT supply_id, min(start_at), max(end_at) FROM prepay_charge
 WHERE account_id = %(account)s AND state = 'posted' AND kind = 'usage'
   AND posted_day BETWEEN %(first)s AND %(last)s
 GROUP BY supply_id
"""
_REGISTER = """
SELECT value FROM prepay_readings(%s, %s, %s::timestamp - interval '62 days', %s::timestamp)
 ORDER BY read_at DESC LIMIT 1
"""


class PrepayAccountStatement(models.Model):
    _inherit = "prepay.account"

    def _statement(self, month, by_day=False):
        """What happened to the money of this account in a month of its place.

        Opening + moves − charges = closing, to the fen: charges are those of the wallet entries.

        :param date month: any day of it
        :param by_day: charges of each day in lines of their own
        :return: dict; amounts are CNY as Decimal, quantities Wh or litres, registers kWh or m³
        """
        self.ensure_one()
        self.env.flush_all()
        first, last = _bounds(month)
        params = {
            "account": self.id,
            "tz": self.location_id._zone().key,
            "first": first,
            "last": last,
            "by_day": by_day,
        }
        cr = self.env.cr
        cr.execute(_BALANCES, params)
        opening, closing, granted_opening, granted_closing, charged = map(Decimal, cr.fetchone())
        cr.execute(_MOVES, params)
        moves = [
            dict(zip(("id", "at", "kind", "bucket", "amount", "reason"), row))
            for row in cr.fetchall()
        ]
        for move in moves:
            move["amount"] = Decimal(move["amount"])
        cr.execute(_CHARGES, params)
        charges = [dict(zip(_LINE, row)) for row in cr.fetchall()]
        for charge in charges:
            charge["amount"], charge["price"] = Decimal(charge["amount"]), Decimal(charge["price"])
        cr.execute(_SPANS, params)
        spans = {supply_id: span for supply_id, *span in cr.fetchall()}
        cr.execute(
            "SELECT COALESCE(SUM(exact_amount), 0)::text FROM prepay_charge "
            "WHERE account_id = %(account)s AND state = 'open' AND day BETWEEN %(first)s AND %(last)s",
            params,
        )
        return {
            "first": first,
            "last": last,
            "opening": opening,
            "closing": closing,
            "granted_opening": granted_opening,
            "granted_closing": granted_closing,
            "charged": -charged,
            "moves": moves,
            "meters": self._statement_meters(charges, spans),
            "open": Decimal(cr.fetchone()[0]),
        }

    def _statement_months(self, count=12):
        """The months that the tenant may ask for, newest first, such as "2026-03"."""
        self.ensure_one()
        today = datetime.now(self.location_id._zone()).date()
        opened = (self.opened_on or today).replace(day=1)
        months, first = [], today.replace(day=1)
        while first >= opened and len(months) < count:
            months.append(f"{first:%Y-%m}")
            first = (first - timedelta(days=1)).replace(day=1)
        return months

    def _statement_meters(self, charges, spans):
        """The charges by meter, with its registers at the ends of what was charged."""
        by_supply = {}
        for charge in charges:
            by_supply.setdefault(charge["supply_id"], []).append(charge)
        meters = []
        for supply in self.env["prepay.account.meter"].browse(by_supply):
            lines = by_supply[supply.id]
            span = spans.get(supply.id)
            meters.append(
                {
                    "supply": supply,
                    "lines": lines,
                    "amount": sum((line["amount"] for line in lines), Decimal(0)),
                    "start": span and span[0],
                    "end": span and span[1],
                    "register_start": span and self._statement_register(supply, span[0]),
                    "register_end": span and self._statement_register(supply, span[1]),
                }
            )
        return meters

    def _statement_register(self, supply, at):
        """Register in kWh or m³ at a moment: its last reading then, else that of the opening."""
        channel = BY_CODE[BILLED[supply.medium]].number
        self.env.cr.execute(_REGISTER, [supply.meter_id.id, channel, at, at])
        row = self.env.cr.fetchone()
        if at <= supply.start_at or not row:
            return Decimal(f"{supply.opening_register:.3f}")
        return Decimal(row[0]) / 1000


def _bounds(month):
    """First and last day of the month of a day."""
    first = month.replace(day=1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return first, following - timedelta(days=1)
