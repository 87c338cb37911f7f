from collections import namedtuple
from datetime import timedelta
from decimal import Decimal
from operator import itemgetter

from odoo import api, fields, models
from odoo.tools import groupby

from odoo.addons.prepay_meter.big_integer import BigInteger
from odoo.addons.prepay_meter.channels import BILLED

from ..charging import as_array, without_collection
from ..engine.ledger import AMOUNT_LIMIT, GRANTED, PRINCIPAL, split_charge
from ..engine.rounding import settle

#: Assignments whose charges one transaction posts.
BATCH = 5000
#: So long after midnight of the site a day waits for the reading that ends it.
CLOSE_WAIT = timedelta(hours=6)

RATES = [
    ("sharp", "Sharp"),
    ("peak", "Peak"),
    ("flat", "Flat"),
    ("valley", "Valley"),
    ("deep", "Deep Valley"),
]

_NEXT = """
SELECT DISTINCT c.supply_id
  FROM prepay_charge c
 WHERE c.state = 'open' AND c.supply_id > %(after)s
   AND (%(ids)s::int[] IS NULL OR c.supply_id = ANY(%(ids)s::int[]))
   AND (%(everything)s OR c.day < (%(now)s::timestamp + interval '14 hours')::date
        OR c.company_id IN (SELECT o.id FROM res_company o WHERE o.prepay_posting = 'run'))
 ORDER BY c.supply_id LIMIT %(limit)s
"""
_DUE = """
WITH locked AS (
    SELECT s.* FROM prepay_account_meter s WHERE s.id = ANY(%(ids)s)
       FOR NO KEY UPDATE SKIP LOCKED
)
SELECT s.id, d.day, c.id, c.exact_amount::text, c.quantity_base, c.kind, c.day, s.account_id, s.company_id,
       COALESCE(s.residue, 0)::text, m.number, m.medium, c.settles_id, d.day < z.today
  FROM locked s
  JOIN prepay_charge c ON c.supply_id = s.id AND c.state = 'open'
  JOIN prepay_account a ON a.id = s.account_id
  JOIN prepay_location l ON l.id = a.location_id
  JOIN prepay_meter m ON m.id = s.meter_id
  JOIN res_company o ON o.id = s.company_id
 CROSS JOIN LATERAL (
       SELECT GREATEST(c.day, s.closed_day + 1, o.fiscalyear_lock_date + 1, o.hard_lock_date + 1) AS day) d
 CROSS JOIN LATERAL (
       SELECT (%(now)s::timestamp AT TIME ZONE 'UTC' AT TIME ZONE l.tz)::date AS today,
              ((%(now)s::timestamp - %(wait)s) AT TIME ZONE 'UTC' AT TIME ZONE l.tz)::date AS waited,
              (s.rated_at AT TIME ZONE 'UTC' AT TIME ZONE l.tz)::date AS rated) z
 WHERE (%(everything)s OR o.prepay_posting = 'run'
        OR (d.day < z.today AND (d.day < z.rated OR d.day < z.waited)))
   AND NOT EXISTS (
       SELECT FROM prepay_reading_hold h
        WHERE h.meter_id = s.meter_id AND h.state = 'held'
          AND (h.channel = CASE m.medium WHEN 'water' THEN %(water)s ELSE %(power)s END
               OR s.rate_source = 'meter')
          AND c.kind <> 'fee' AND c.end_at > COALESCE(h.previous_at, h.first_at))
 ORDER BY s.id, d.day, c.day, c.version_id, c.kind DESC, c.rate, c.tier, c.id
"""
_POSTED = """
UPDATE prepay_charge c
   SET state = 'posted', amount = v.amount, posted_day = v.day, entry_id = v.entry,
       granted_entry_id = v.granted
  FROM unnest(%(ids)s::int[], %(amounts)s::numeric[], %(days)s::date[], %(entries)s::int[],
              %(granted)s::int[]) AS v(id, amount, day, entry, granted)
 WHERE c.id = v.id AND c.state = 'open'
"""
_INSERT_POSTED = """
INSERT INTO prepay_charge (id, supply_id, account_id, meter_id, company_id, medium, day, version_id, kind,
                           rate, tier, provisional, settles_id, start_at, end_at, quantity_base, quantity,
                           price, exact_amount, amount, state, posted_day, entry_id, granted_entry_id)
SELECT v.id, v.supply_id, v.account_id, v.meter_id, k.company_id, k.medium, k.day, k.version_id, k.kind,
       k.rate, k.tier, k.provisional, NULLIF(k.settles, 0), v.start_at, v.end_at, v.quantity,
       v.quantity / 1000.0, k.price, v.exact, v.amount, 'posted', k.posted_day, v.entry, v.granted
  FROM unnest(%(id)s::int[], %(supply)s::int[], %(account)s::int[], %(meter)s::int[],
              %(start)s::timestamp[], %(end)s::timestamp[], %(quantity)s::bigint[], %(exact)s::numeric[],
              %(amount)s::numeric[], %(entry)s::int[], %(granted)s::int[], %(alike)s::int[])
       AS v(id, supply_id, account_id, meter_id, start_at, end_at, quantity, exact, amount, entry, granted,
            alike)
  JOIN unnest(%(company)s::int[], %(medium)s::varchar[], %(day)s::date[], %(version)s::int[],
              %(kind)s::varchar[], %(rate)s::varchar[], %(tier)s::int[], %(provisional)s::bool[],
              %(settles)s::int[], %(price)s::numeric[], %(posted_day)s::date[]) WITH ORDINALITY
       AS k(company_id, medium, day, version_id, kind, rate, tier, provisional, settles, price, posted_day,
            number)
    ON k.number = v.alike
"""
_CLOSED = """
UPDATE prepay_account_meter s
   SET residue = v.residue, closed_day = GREATEST(s.closed_day, v.closed)
  FROM unnest(%(ids)s::int[], %(residues)s::numeric[], %(closed)s::date[]) AS v(id, residue, closed)
 WHERE s.id = v.id
"""

_SUPPLY_DAY = itemgetter(0, 1)
_NOTHING = Decimal(0)

#: What was entered in the wallets: charges as (charge id, amount, posted day, wallet entry id, that of
#: granted money), residues and closed days by assignment, assignments whose amount is absurd (left
#: alone), number of wallet entries.
Settled = namedtuple("Settled", "charges residues closed absurd count")


class PrepayCharge(models.Model):
    """Usage, service or fixed fee of one meter on one local day at one price.

    While open it grows with each reading (accrual); posted it is history. ``exact_amount`` is not
    rounded; ``amount`` is what was posted, in fen, with the residue carried on in the assignment.
    ``day`` is the day of the use. What comes late, when that day is posted already or its period is
    locked, is posted into the open one, ``posted_day``. A provisional charge is an estimate; the charge
    that names it in ``settles_id`` is what a true reading differs by, with its sign.
    """

    _name = "prepay.charge"
    _description = "Charge"
    _order = "day desc, id desc"
    _rec_name = "day"
    _log_access = False

    supply_id = fields.Many2one(
        "prepay.account.meter",
        string="Meter Assignment",
        required=True,
        ondelete="restrict",
        readonly=True,
    )
    account_id = fields.Many2one(
        "prepay.account", required=True, index=True, ondelete="restrict", readonly=True
    )
    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="restrict", readonly=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True)
    currency_id = fields.Many2one(related="company_id.currency_id")
    medium = fields.Selection(
        [("electricity", "Electricity"), ("water", "Water")], required=True, readonly=True
    )
    day = fields.Date(required=True, readonly=True, index=True, help="Local day of the site.")
    version_id = fields.Many2one(
        "prepay.tariff.version",
        string="Price Version",
        required=True,
        ondelete="restrict",
        readonly=True,
    )
    kind = fields.Selection(
        [("usage", "Use"), ("service", "Service Fee"), ("fee", "Fixed Fee")],
        required=True,
        readonly=True,
        default="usage",
    )
    rate = fields.Selection(RATES, required=True, readonly=True, default="flat")
    tier = fields.Integer(required=True, readonly=True, default=1, aggregator=None)
    start_at = fields.Datetime(string="From", required=True, readonly=True)
    end_at = fields.Datetime(string="Until", required=True, readonly=True)
    quantity_base = BigInteger(string="Quantity (Wh or L)", required=True, readonly=True)
    quantity = fields.Float(string="Quantity (kWh or m³)", digits=(16, 3), readonly=True)
    price = fields.Float(required=True, readonly=True, digits="Prepaid Price", aggregator="avg")
    exact_amount = fields.Float(
        required=True, readonly=True, digits=False, help="Not rounded, CNY."
    )
    amount = fields.Monetary(readonly=True, help="Posted amount.")
    state = fields.Selection(
        [("open", "Accruing"), ("posted", "Posted")],
        required=True,
        default="open",
        readonly=True,
    )
    posted_day = fields.Date(
        string="Posted Into",
        readonly=True,
        help="The day of use, or the open day for what came late.",
    )
    provisional = fields.Boolean(
        string="Estimated", readonly=True, help="Charged by estimate until a true reading comes."
    )
    settles_id = fields.Many2one(
        "prepay.charge",
        readonly=True,
        index="btree_not_null",
        help="The estimated charge that this difference replaces.",
    )
    entry_id = fields.Many2one("prepay.ledger.entry", string="Wallet Entry", readonly=True)
    granted_entry_id = fields.Many2one(
        "prepay.ledger.entry",
        string="Wallet Entry (Granted)",
        readonly=True,
        index="btree_not_null",
    )
    entry_ids = fields.Many2many(
        "prepay.ledger.entry", string="Wallet Entries", compute="_compute_entry_ids"
    )

    _open_unique = models.UniqueIndex(
        "(supply_id, day, version_id, kind, rate, tier, provisional, COALESCE(settles_id, 0)) "
        "WHERE state = 'open'",
        "One open charge for each day, price and tier.",
    )
    _accrued_idx = models.Index("(account_id) INCLUDE (exact_amount) WHERE state = 'open'")
    _provisional_idx = models.Index("(supply_id) WHERE provisional")

    @api.depends("entry_id", "granted_entry_id")
    def _compute_entry_ids(self):
        for charge in self:
            charge.entry_ids = charge.granted_entry_id | charge.entry_id

    # posting

    @api.model
    def _post_due(self, everything=False, now=None, supplies=None, batch=BATCH):
        """Post the open charges whose local day is over, or all where the company wants it with each run.

        A day is over when a reading of a later one is rated, at the latest some hours after midnight of
        the site. Nothing is posted for a span in which a reading is held.

        :param everything: post all open charges, for closings
        :param now: naive UTC
        :param supplies: only these assignments
        :return: the assignments posted
        """
        posted, after = [], 0
        while after is not None:
            ids, after, _entries = self._post_batch(after, batch, everything, now, supplies)
            posted += ids
        return self.env["prepay.account.meter"].browse(posted)

    @api.model
    @without_collection()
    def _post_batch(self, after, limit=BATCH, everything=False, now=None, supplies=None):
        """Post what is due of the next assignments, each exactly once.

        One wallet entry for each assignment, day and bucket: amounts are rounded to the fen and the rest
        is carried on, so that the sum of what was posted is the rounded exact total (M-11). Entries,
        charges and residues are written together and the assignments are locked: a run that stops
        anywhere, is repeated or meets another one posts nothing twice.

        :param after: id behind which the batch begins
        :return: (ids of the assignments posted, id to go on after or None at the end, wallet entries)
        """
        self.env.flush_all()
        now = now or fields.Datetime.now()
        self.env.cr.execute(
            _NEXT,
            {
                "after": after,
                "ids": supplies.ids if supplies is not None else None,
                "everything": everything,
                "now": now,
                "limit": limit,
            },
        )
        ids = [row[0] for row in self.env.cr.fetchall()]
        if not ids:
            return [], None, 0
        self.env.cr.execute(
            _DUE,
            {
                "ids": ids,
                "everything": everything,
                "now": now,
                "wait": CLOSE_WAIT,
                "water": BILLED["water"],
                "power": BILLED["electricity"],
            },
        )
        rows = [
            (*row[:3], Decimal(row[3]), *row[4:9], Decimal(row[9]), *row[10:])
            for row in self.env.cr.fetchall()
        ]
        posted, entries = self._post_rows(rows)
        return posted, ids[-1] if len(ids) == limit else None, entries

    @api.model
    def _post_rows(self, rows):
        """Settle open charges that are due to the fen and write entries, charges and residues.

        :param rows: see ``_settle``
        :return: (ids of the assignments, number of wallet entries)
        """
        if not rows:
            return [], 0
        settled = self._settle(rows)
        ids, amounts, days, entries, granted = (
            zip(*settled.charges) if settled.charges else [()] * 5
        )
        self.env.cr.execute(
            _POSTED,
            {
                "ids": as_array(ids),
                "amounts": as_array(amounts),
                "days": as_array(days),
                "entries": as_array(entries),
                "granted": as_array(granted),
            },
        )
        self.env.cr.execute(
            _CLOSED,
            {
                "ids": as_array(settled.residues),
                "residues": as_array(settled.residues.values()),
                "closed": as_array(settled.closed.values()),
            },
        )
        self.invalidate_model()
        self.env["prepay.account.meter"].invalidate_model(["residue", "closed_day"])
        self._name_absurd(settled.absurd)
        return list(settled.residues), settled.count

    @api.model
    def _settle(self, rows):
        """Round what is due to the fen and enter it in the wallets, one entry for each assignment, day
        and bucket.

        :param rows: charges by assignment and day, as tuples (assignment id, day to post into, charge
            id, exact amount as Decimal, quantity in base units, kind, day of use, account id, company
            id, residue of the assignment as Decimal, meter number, medium, id of the charge that is
            settled, whether the day is over)
        """
        if not rows:
            return Settled([], {}, {}, [], 0)
        granted = self._granted_balances({row[7] for row in rows})
        taken = self._granted_of({row[12] for row in rows if row[12]})
        texts = {
            company.id: self._reason_texts(company)
            for company in self.env["res.company"].browse({row[8] for row in rows})
        }
        entries, due, residues, closed, absurd = [], [], {}, {}, []
        for (supply_id, day), group in groupby(rows, _SUPPLY_DAY):
            first = group[0]
            account_id, company_id = first[7:9]
            residue = residues.get(supply_id, first[9])
            total = _NOTHING
            keys = f"charge:{first[2]}:"
            settled = []
            for row in group:
                amount, residue = settle(row[3], residue)
                total += amount
                settled.append((row[2], amount, day, keys))
            if abs(total) > AMOUNT_LIMIT:
                absurd.append(supply_id)  # no other account waits for this one
                continue
            due += settled
            residues[supply_id] = residue
            closed[supply_id] = day if first[13] else closed.get(supply_id)
            if not total:
                continue
            back = _NOTHING
            if taken:
                back = sum((taken.get(row[12], _NOTHING) for row in group), _NOTHING)
            for kind, bucket, amount in _shares(total, granted.get(account_id, _NOTHING), back):
                entries.append(
                    (
                        account_id,
                        company_id,
                        kind,
                        bucket,
                        amount,
                        keys + bucket,
                        _reason(texts[company_id], group),
                        self._name,
                        first[2],
                    )
                )
                if bucket == GRANTED:
                    granted[account_id] = granted.get(account_id, _NOTHING) + amount
        known = self.env["prepay.ledger.entry"]._post_rows(entries)
        charges = [
            (charge_id, amount, day, known.get(keys + PRINCIPAL), known.get(keys + GRANTED))
            for charge_id, amount, day, keys in due
        ]
        self.env["prepay.account"].invalidate_model(["balance", "granted", "accrued", "available"])
        return Settled(charges, residues, closed, absurd, len(entries))

    @api.model
    def _new_ids(self, count):
        """Numbers for new charges."""
        self.env.cr.execute(
            "SELECT nextval('prepay_charge_id_seq') FROM generate_series(1, %s)", [count]
        )
        return iter([row[0] for row in self.env.cr.fetchall()])

    @api.model
    def _insert_posted(self, charges, new):
        """Write charges that were never open.

        :param charges: see ``Settled``
        :param new: {charge id: (key, sums, row of the assignment)}, see ``prepay.account.meter``
        """
        if not charges:
            return
        alike, columns = {}, []
        for charge_id, amount, posted_day, entry, granted in charges:
            key, (start, end, quantity, price, exact), row = new[charge_id]
            shared = (row.company_id, row.medium, *key[1:], price, posted_day)
            columns.append(
                (
                    charge_id,
                    row.id,
                    row.account_id,
                    row.meter_id,
                    start,  # in UTC: a timestamp leaves the offset out
                    end,
                    quantity,
                    exact,
                    amount,
                    entry,
                    granted,
                    alike.setdefault(shared, len(alike) + 1),
                )
            )
        names = (
            *("id", "supply", "account", "meter", "start", "end", "quantity", "exact", "amount"),
            *("entry", "granted", "alike"),
        )
        shared_names = (
            *("company", "medium", "day", "version", "kind", "rate", "tier", "provisional"),
            *("settles", "price", "posted_day"),
        )
        self.env.cr.execute(
            _INSERT_POSTED,
            {
                **dict(zip(names, map(as_array, zip(*columns)))),
                **dict(zip(shared_names, map(as_array, zip(*alike)))),
            },
        )

    @api.model
    def _name_absurd(self, supply_ids):
        for supply in self.env["prepay.account.meter"].browse(supply_ids):
            supply.problem = supply.company_id._prepay_env()._(
                "Charges above 1,000,000 are not posted. Check price and readings."
            )

    @api.model
    def _granted_balances(self, account_ids):
        """Granted money by account, exact CNY, where there is any."""
        self.env.cr.execute(
            """
            SELECT a.id, g.amount::text
              FROM unnest(%s::int[]) AS a(id)
              LEFT JOIN prepay_wallet_checkpoint k ON k.account_id = a.id
             CROSS JOIN LATERAL (
                   SELECT COALESCE(k.granted, 0) + COALESCE(SUM(x.amount), 0) AS amount
                     FROM prepay_ledger_entry x
                    WHERE x.account_id = a.id AND x.id > COALESCE(k.upto_id, 0)
                      AND x.bucket = 'granted') g
             WHERE g.amount <> 0
            """,
            [list(account_ids)],
        )
        return {account_id: Decimal(amount) for account_id, amount in self.env.cr.fetchall()}

    @api.model
    def _granted_of(self, charge_ids):
        """What estimated charges took of granted money, exact CNY: it goes back there first."""
        if not charge_ids:
            return {}
        self.env.cr.execute(
            """
            SELECT min(c.id), (-e.amount)::text
              FROM prepay_charge c JOIN prepay_ledger_entry e ON e.id = c.granted_entry_id
             WHERE c.id = ANY(%s) GROUP BY e.id, e.amount
            """,
            [list(charge_ids)],
        )
        return {charge_id: Decimal(amount) for charge_id, amount in self.env.cr.fetchall()}

    @api.model
    def _reason_texts(self, company):
        env = company._prepay_env()
        return (
            env._("%(meter)s, %(days)s: %(quantity)s"),
            env._("%(meter)s, %(days)s: fixed fees"),
        )


def _shares(total, granted, back):
    """Wallet entries of an amount due: (kind, bucket, signed amount).

    Granted money goes first. What an estimate took too much comes back, to granted money at most what
    was taken of it (``back``).
    """
    if total < 0:
        to_granted = min(-total, max(back, Decimal(0)))
        shares = (
            ("correction", GRANTED, to_granted),
            ("correction", PRINCIPAL, -total - to_granted),
        )
    else:
        from_granted, from_own = split_charge(total, granted)
        shares = (("charge", GRANTED, -from_granted), ("charge", PRINCIPAL, -from_own))
    return [share for share in shares if share[2]]


def _reason(texts, group):
    """What was used when, for the wallet entry."""
    days = [row[6] for row in group]
    first, last = min(days), max(days)
    used = [row[4] for row in group if row[5] == "usage"]
    unit = "m³" if group[0][11] == "water" else "kWh"
    return texts[0 if used else 1] % {
        "meter": group[0][10],
        "days": str(first) if first == last else f"{first} – {last}",
        "quantity": f"{sum(used) / 1000:.2f} {unit}",
    }
