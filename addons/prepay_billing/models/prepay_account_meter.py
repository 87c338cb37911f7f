from collections import namedtuple
from datetime import timedelta, timezone
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from operator import itemgetter
from zoneinfo import ZoneInfo

from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import groupby

from odoo.addons.prepay_meter.big_integer import BigInteger
from odoo.addons.prepay_meter.channels import BILLED, BY_CODE

from ..charging import RATE_OF, Series, as_array, has_fees, without_collection
from ..engine.calendar import Calendar
from ..engine.rating import RatedLine, TierState

#: Assignments that one transaction rates.
BATCH = 5000
#: Assignments that one look for something new goes through.
WIDEST = 50 * BATCH
#: Readings of one assignment that one transaction rates.
ROWS = 2000
#: Sums are exact or refused.
EXACT = Context(prec=60, traps=[InvalidOperation, Inexact])

# The next assignments in the order of their ids: what a batch looks at does not grow with the fleet.
_SPAN = """
SELECT max(x.id), count(*)
  FROM (SELECT s.id FROM prepay_account_meter s
         WHERE s.id > %(after)s AND (%(ids)s::int[] IS NULL OR s.id = ANY(%(ids)s::int[]))
         ORDER BY s.id LIMIT %(span)s) x
"""
_PICK = """
SELECT s.id, s.meter_id, m.medium, m.profile_id, s.tariff_id, a.location_id, l.tz, s.rate_source,
       GREATEST(s.heads, 1) AS heads, s.start_at, s.end_at, s.rated_at, COALESCE(s.rated_value, 0) AS rated_value,
       COALESCE(s.tier_period, '') AS tier_period, COALESCE(s.tier_used, 0) AS tier_used,
       s.fees_until, s.provisional_until, s.problem,
       COALESCE(st.last_read_at > COALESCE(s.rated_at, s.start_at - interval '1 microsecond')
                AND (s.rated_at < s.end_at) IS NOT FALSE, false) AS has_rows,
       o.prepay_charge_estimates AS estimates, o.prepay_posting = 'run' AS at_once,
       s.account_id, s.company_id, m.number, COALESCE(s.residue, 0)::text AS residue,
       GREATEST(s.closed_day + 1, o.fiscalyear_lock_date + 1, o.hard_lock_date + 1) AS open_from
  FROM prepay_account_meter s
  JOIN prepay_account a ON a.id = s.account_id
  JOIN prepay_location l ON l.id = a.location_id
  JOIN prepay_meter m ON m.id = s.meter_id
  JOIN prepay_meter_state st ON st.id = m.state_id
  JOIN res_company o ON o.id = s.company_id
 WHERE s.id > %(after)s AND s.id <= %(last)s
   AND (%(ids)s::int[] IS NULL OR s.id = ANY(%(ids)s::int[]))
   AND ((st.last_read_at > COALESCE(s.rated_at, s.start_at - interval '1 microsecond')
         AND (s.rated_at < s.end_at) IS NOT FALSE)
        OR (s.tariff_id = ANY(%(fee_tariffs)s::int[])
            AND ((COALESCE(s.fees_until, s.start_at) - %(tick)s) AT TIME ZONE 'UTC' AT TIME ZONE l.tz)::date
                < ((LEAST(%(now)s::timestamp, s.end_at) - %(tick)s) AT TIME ZONE 'UTC'
                   AT TIME ZONE l.tz)::date)
        OR (o.prepay_charge_estimates AND EXISTS (
            SELECT FROM prepay_reading_estimate e
             WHERE e.meter_id = s.meter_id AND e.state = 'current' AND e.end_at > s.rated_at
               AND (s.provisional_until IS NULL OR e.end_at > s.provisional_until)
               AND (s.end_at IS NULL OR e.end_at <= s.end_at))))
 ORDER BY s.id LIMIT %(limit)s
   FOR NO KEY UPDATE OF s SKIP LOCKED
"""
_READINGS = """
SELECT p.id, r.read_at, r.value, r.next_value, p.channel
  FROM unnest(%(ids)s::int[], %(meters)s::int[], %(channels)s::int[], %(afters)s::timestamp[],
              %(untils)s::timestamp[]) AS p(id, meter_id, channel, after, until)
 CROSS JOIN LATERAL (
       SELECT d.read_at, d.value, d.next_value, d.is_reading
         FROM prepay_reading_stream(p.meter_id, p.channel, p.after, p.until) d
        ORDER BY d.read_at, d.is_reading LIMIT %(rows)s
       ) r
 ORDER BY p.id, r.read_at, r.is_reading, p.channel
"""
_UPSERT = """
INSERT INTO prepay_charge AS c (supply_id, account_id, meter_id, company_id, medium, day, version_id,
                                kind, rate, tier, provisional, settles_id, start_at, end_at, quantity_base,
                                quantity, price, exact_amount, state)
SELECT s.id, s.account_id, s.meter_id, s.company_id, m.medium, v.day, v.version_id, v.kind, v.rate,
       v.tier, v.provisional, NULLIF(v.settles, 0), v.start_at, v.end_at, v.quantity, v.quantity / 1000.0,
       v.price, v.amount, 'open'
  FROM unnest(%(supply)s::int[], %(day)s::date[], %(version)s::int[], %(kind)s::varchar[],
              %(rate)s::varchar[], %(tier)s::int[], %(provisional)s::bool[], %(settles)s::int[],
              %(start)s::timestamp[], %(end)s::timestamp[], %(quantity)s::bigint[],
              %(price)s::numeric[], %(amount)s::numeric[])
       AS v(supply_id, day, version_id, kind, rate, tier, provisional, settles, start_at, end_at,
            quantity, price, amount)
  JOIN prepay_account_meter s ON s.id = v.supply_id
  JOIN prepay_meter m ON m.id = s.meter_id
ON CONFLICT (supply_id, day, version_id, kind, rate, tier, provisional, COALESCE(settles_id, 0))
      WHERE state = 'open'
DO UPDATE SET start_at = LEAST(c.start_at, EXCLUDED.start_at),
              end_at = GREATEST(c.end_at, EXCLUDED.end_at),
              quantity_base = c.quantity_base + EXCLUDED.quantity_base,
              quantity = (c.quantity_base + EXCLUDED.quantity_base) / 1000.0,
              exact_amount = c.exact_amount + EXCLUDED.exact_amount
"""
_CURSORS = """
UPDATE prepay_account_meter s
   SET rated_at = v.at, rated_value = v.value, tier_period = v.period, tier_used = v.used,
       fees_until = v.fees, provisional_until = v.provisional,
       residue = COALESCE(v.residue, s.residue), closed_day = GREATEST(s.closed_day, v.closed),
       problem = (%(problems)s::varchar[])[v.number]
  FROM unnest(%(ids)s::int[], %(at)s::timestamp[], %(value)s::bigint[], %(period)s::varchar[],
              %(used)s::bigint[], %(fees)s::timestamp[], %(provisional)s::timestamp[],
              %(residue)s::numeric[], %(closed)s::date[], %(number)s::int[])
       AS v(id, at, value, period, used, fees, provisional, residue, closed, number)
 WHERE s.id = v.id
"""
# Charges that nobody can post by hand: open ones, or a reading of the meter waits for a person.
_NOT_AT_ONCE = """
SELECT supply_id FROM prepay_charge WHERE state = 'open' AND supply_id = ANY(%(ids)s)
 UNION
SELECT s.id FROM prepay_reading_hold h
  JOIN prepay_account_meter s ON s.meter_id = h.meter_id
 WHERE h.state = 'held' AND s.id = ANY(%(ids)s)
"""


class PrepayAccountMeter(models.Model):
    """A meter on an account from an opening to a closing reading, and how far it is rated.

    ``rated_at`` and ``rated_value`` are the end of the last usage interval: intervals tile the time
    line because each begins where the last one ended, in the same statement that books it. The use of
    the tier period (``tier_used``) moves on with them.
    """

    _name = "prepay.account.meter"
    _description = "Meter of an Account"
    _order = "account_id, id"
    _rec_name = "meter_id"
    _check_company_auto = True

    account_id = fields.Many2one("prepay.account", required=True, index=True, ondelete="cascade")
    company_id = fields.Many2one(related="account_id.company_id", store=True, index=True)
    meter_id = fields.Many2one(
        "prepay.meter", required=True, index=True, ondelete="restrict", check_company=True
    )
    medium = fields.Selection(related="meter_id.medium")
    tariff_id = fields.Many2one(
        "prepay.tariff", required=True, ondelete="restrict", index=True, check_company=True
    )
    start_at = fields.Datetime(string="Since", required=True, default=fields.Datetime.now)
    end_at = fields.Datetime(string="Until", readonly=True)
    opening_register = fields.Float(
        string="Opening Reading",
        digits=(16, 2),
        help="kWh or m³ at the start. Left at 0: the next reading opens.",
    )
    rate_source = fields.Selection(
        [("clock", "Time of the reading"), ("meter", "Rate registers of the meter")],
        string="Rates By",
        default="clock",
        required=True,
        help="Whether use is split into sharp, peak, flat and valley by the times of the tariff or by the "
        "meter's own rate registers.",
    )
    heads = fields.Integer(
        string="Persons", default=1, help="Tiers of a tariff by head count are this much wider."
    )
    tier_used = BigInteger(string="Used in Tier Period (Wh or L)", readonly=True, copy=False)
    tier_period = fields.Char(readonly=True, copy=False, help="Month or year that the tiers count.")
    fees_until = fields.Datetime(string="Fees Charged Until", readonly=True, copy=False)
    rated_at = fields.Datetime(string="Rated Until", readonly=True, copy=False)
    rated_value = BigInteger(string="Rated Register (Wh or L)", readonly=True, copy=False)
    provisional_until = fields.Datetime(string="Estimated Until", readonly=True, copy=False)
    closed_day = fields.Date(
        string="Posted Until",
        readonly=True,
        copy=False,
        help="Later use of such a day is posted into the next open one.",
    )
    residue = fields.Float(
        digits=False,
        readonly=True,
        copy=False,
        help="Fraction of a fen carried to the next posting.",
    )
    problem = fields.Char(
        readonly=True, copy=False, help="Why usage cannot be rated; nothing is charged meanwhile."
    )

    _meter_unique = models.UniqueIndex(
        "(meter_id) WHERE end_at IS NULL", "This meter already belongs to an open account."
    )
    _heads_positive = models.Constraint("CHECK (heads >= 1)", "At least one person uses a meter.")

    def init(self):
        # Each reading moves a row on: with room on its page that touches no index.
        self.env.cr.execute("ALTER TABLE prepay_account_meter SET (fillfactor = 60)")

    @api.constrains("meter_id", "tariff_id")
    def _check_medium(self):
        for item in self:
            if item.tariff_id.medium != item.meter_id.medium:
                raise ValidationError(
                    self.env._(
                        "Meter %(meter)s and tariff %(tariff)s are not of the same kind. "
                        "Choose a tariff for %(medium)s.",
                        meter=item.meter_id.number,
                        tariff=item.tariff_id.name,
                        medium=dict(
                            item.meter_id._fields["medium"]._description_selection(self.env)
                        )[item.meter_id.medium],
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        items = super().create(vals_list)
        for item in items.filtered(lambda item: item.opening_register and not item.rated_at):
            item.write(
                {
                    "rated_at": item.start_at,
                    "rated_value": int(Decimal(f"{item.opening_register:.3f}") * 1000),
                }
            )
        return items

    def _residues(self):
        """Exact carried fractions by id, CNY as Decimal."""
        self.env.cr.execute(
            "SELECT id, COALESCE(residue, 0)::text FROM prepay_account_meter WHERE id = ANY(%s)",
            [self.ids],
        )
        return {supply_id: Decimal(residue) for supply_id, residue in self.env.cr.fetchall()}

    # rating

    @api.model
    def _rate_new_readings(self, now=None, batch=BATCH):
        """Rate all that is new, of these assignments or of all, in this transaction.

        :param now: naive UTC, until when fixed fees accrue
        :return: the assignments whose usage moved on
        """
        touched, after = [], 0
        while after is not None:
            ids, after = self._rate_batch(after, batch, now)
            touched += ids
        return self.browse(dict.fromkeys(touched))

    @api.model
    def _rate_batch(self, after, limit=BATCH, now=None):
        """Rate what is new of the next assignments, see ``_charge_batch``.

        :return: (ids of the assignments, id to go on after or None when that was the last batch)
        """
        ids, after, _posted, _entries = self._charge_batch(after, limit, now)
        return ids, after

    @api.model
    @without_collection()
    def _charge_batch(self, after, limit=BATCH, now=None):
        """Turn what is new of the next assignments into charges, exactly once.

        New readings are fetched, rated by the engine and written back, each by one statement. The
        charges and how far they reach are written together, and the rows are locked: a run that
        stops anywhere, is repeated or meets another one changes nothing twice. Charges are open until
        they are posted; where the company posts with each run, and nothing of before waits, that is at
        once.

        :param after: id behind which the batch begins
        :param limit: assignments that the batch rates at most
        :return: (ids of the assignments rated, id to go on after or None when that was the last batch,
            number of assignments posted, number of wallet entries)
        """
        self.env.flush_all()
        now = now or fields.Datetime.now()
        changes = self.env["prepay.tariff.change"].sudo()
        changes._begin(now)
        versions = self._tariff_versions()
        with_fees = {key for key, items in versions.items() if has_fees(items)}
        picked, following = self._pick(after, limit, now, list(with_fees))
        if not picked:
            return [], None, 0, 0
        picked = changes._split(picked, versions)
        with_fees = {key for key, items in versions.items() if has_fees(items)}
        rows = self._fetch_rows(picked)
        series = self._series(picked, versions)
        estimates = self._fetch_estimates(picked)
        with localcontext(EXACT):
            for row, item in zip(picked, series):
                new = rows.get(item.id, ())
                item.rate_rows(new)
                if item.id in estimates:
                    item.estimate(*estimates[item.id])
                if len(new) >= ROWS and not item.problem:
                    following = min(following or item.id, item.id - 1)  # it has more: again
                if row.tariff_id in with_fees:
                    until = min(now, row.end_at or now)
                    since = row.fees_until or row.start_at
                    if until > since:
                        item.charge_fees(since, until)
            rows, new, sums = self._split_due(picked, series, now)
        charges = self.env["prepay.charge"]
        settled = charges._settle(rows)
        charges._insert_posted(settled.charges, new)
        if settled.absurd:
            posted = {charge[0] for charge in settled.charges}
            sums.update(item[:2] for charge_id, item in new.items() if charge_id not in posted)
        self._write_charges(sums)
        self._write_cursors(series, settled)
        self.invalidate_model()
        charges.invalidate_model()
        charges._name_absurd(settled.absurd)
        self.env["prepay.account"].invalidate_model(["accrued", "available", "balance_at"])
        ids = [item.id for item in series]
        return ids, following, len(settled.residues), settled.count

    @api.model
    def _pick(self, after, limit, now, fee_tariffs):
        """Lock the next assignments that have something new.

        :return: (rows, see ``_PICK``; id to go on after or None at the end)
        """
        span, tick = limit, timedelta(microseconds=1)
        while True:
            options = {"after": after, "ids": self.ids or None, "span": span, "limit": limit}
            self.env.cr.execute(_SPAN, options)
            last, count = self.env.cr.fetchone()
            if not count:
                return [], None
            options.update(last=last, fee_tariffs=fee_tariffs, now=now, tick=tick)
            self.env.cr.execute(_PICK, options)
            row_type = namedtuple("Row", [column.name for column in self.env.cr.description])
            picked = [*map(row_type._make, self.env.cr.fetchall())]
            if len(picked) == limit:
                return picked, picked[-1].id
            if picked or count < span:
                return picked, last if count == span else None
            after, span = last, min(span * 2, WIDEST)

    @api.model
    def _split_due(self, picked, series, now):
        """What the run charged: rows to be posted at once, and sums that stay open until they are due.

        :return: (rows, see ``prepay.charge._settle``; {charge id: (key, sums, row of the assignment)} of
            them; {key: sums} of the others)
        """
        waiting = {row.id for row in picked if not row.at_once}
        if len(waiting) < len(picked):
            self.env.cr.execute(_NOT_AT_ONCE, {"ids": [row.id for row in picked if row.at_once]})
            waiting.update(row[0] for row in self.env.cr.fetchall())
        sums, due = {}, []
        for row, item in zip(picked, series):
            charges = item.charges()
            if row.id in waiting:
                sums.update(charges)
            elif charges:
                due.append((row, charges))
        if not due:
            return [], {}, sums
        ids = self.env["prepay.charge"]._new_ids(sum(len(charges) for _row, charges in due))
        today = {
            name: now.replace(tzinfo=timezone.utc).astimezone(ZoneInfo(name)).date()
            for name in {row.tz for row, _charges in due}
        }
        rows, new = [], {}
        for row, charges in due:
            residue, opened, closing = Decimal(row.residue), row.open_from, today[row.tz]
            lines = charges.items()
            if len(charges) > 1:
                lines = sorted(lines, key=_posting_order)
            for key, line in lines:
                charge_id = next(ids)
                day = key[1] if opened is None or key[1] > opened else opened
                new[charge_id] = (key, line, row)
                rows.append(
                    (
                        row.id,
                        day,
                        charge_id,
                        line[4],
                        line[2],
                        key[3],
                        key[1],
                        row.account_id,
                        row.company_id,
                        residue,
                        row.number,
                        row.medium,
                        key[7],
                        day < closing,
                    )
                )
        return rows, new, sums

    @api.model
    def _tariff_versions(self):
        """Versions of all tariffs in use as the engine takes them; equal ones stay the same object."""
        self.env.cr.execute(
            "SELECT t.id FROM prepay_tariff t "
            "WHERE EXISTS (SELECT FROM prepay_account_meter s WHERE s.tariff_id = t.id)"
        )
        tariffs = self.env["prepay.tariff"].browse([row[0] for row in self.env.cr.fetchall()])
        return tariffs.sudo()._engine_versions()

    @api.model
    def _fetch_rows(self, picked):
        """New values of the registers by assignment: (read_at, value, next_value, channel), by time."""
        probes = []
        for row in picked:
            if not row.has_rows:
                continue
            after = row.rated_at or row.start_at - timedelta(microseconds=1)
            channels = [BY_CODE[BILLED[row.medium]].number]
            if row.rate_source == "meter" and row.medium == "electricity":
                channels += RATE_OF
            probes += [
                (row.id, row.meter_id, channel, after, row.end_at or "infinity")
                for channel in channels
            ]
        if not probes:
            return {}
        ids, meters, channels, afters, untils = zip(*probes)
        self.env.cr.execute(
            _READINGS,
            {
                "ids": as_array(ids),
                "meters": as_array(meters),
                "channels": as_array(channels),
                "afters": as_array(afters),
                "untils": as_array(untils),
                "rows": ROWS,
            },
        )
        return {
            key: [row[1:] for row in rows]
            for key, rows in groupby(self.env.cr.fetchall(), itemgetter(0))
        }

    @api.model
    def _series(self, picked, versions):
        """What the rating of each assignment starts from."""
        self.env.cr.execute(
            "SELECT id, modulus FROM prepay_meter_profile WHERE id = ANY(%s)",
            [list({row.profile_id for row in picked})],
        )
        moduli = dict(self.env.cr.fetchall())
        seasonal = {
            key for key, items in versions.items() if any(version.seasons for version in items)
        }
        calendars = self._calendars(
            {row.location_id for row in picked if row.tariff_id in seasonal}
        )
        registers = self._registers([row for row in picked if row.rate_source == "meter"])
        provisional = self._provisional([row for row in picked if row.provisional_until])
        zones = {name: ZoneInfo(name) for name in {row.tz for row in picked}}
        nothing = Calendar()
        series = []
        for row in picked:
            lines, ids = provisional.get(row.id, ((), {}))
            series.append(
                Series(
                    row.id,
                    zones[row.tz],
                    versions[row.tariff_id],
                    calendars.get(row.location_id, nothing),
                    row.heads,
                    moduli[row.profile_id] or None,
                    row.rated_at,
                    row.rated_value,
                    TierState(row.tier_period, row.tier_used),
                    by_registers=row.rate_source == "meter" and row.medium == "electricity",
                    registers=registers.get(row.id, {}),
                    provisional_until=row.provisional_until,
                    provisional=list(lines),
                    provisional_ids=ids,
                    fees_until=row.fees_until,
                )
            )
        return series

    @api.model
    def _calendars(self, location_ids):
        """Engine calendars by place: of the place, of one above it, or of its company."""
        self.env.cr.execute(
            """
            SELECT l.id, l.company_id,
                   (SELECT p.calendar_id
                      FROM unnest(string_to_array(trim(trailing '/' FROM l.parent_path), '/'))
                           WITH ORDINALITY AS u(id, depth)
                      JOIN prepay_location p ON p.id = u.id::int
                     WHERE p.calendar_id IS NOT NULL ORDER BY u.depth DESC LIMIT 1)
              FROM prepay_location l WHERE l.id = ANY(%s)
            """,
            [list(location_ids)],
        )
        rows = self.env.cr.fetchall()
        of_company = {
            company.id: company._prepay_calendar().id
            for company in self.env["res.company"].browse({row[1] for row in rows}).sudo()
        }
        found = {row[0]: row[2] or of_company[row[1]] for row in rows}
        model = self.env["prepay.calendar"]
        engine = {item: model.browse(item or [])._engine_calendar() for item in set(found.values())}
        return {location: engine[item] for location, item in found.items()}

    @api.model
    def _registers(self, picked):
        """Rate registers at the moment until which each assignment is rated."""
        probes = [
            (row.id, row.meter_id, channel, row.rated_at)
            for row in picked
            if row.rated_at
            for channel in RATE_OF
        ]
        if not probes:
            return {}
        ids, meters, channels, ats = zip(*probes)
        self.env.cr.execute(
            """
            SELECT p.id, p.channel, r.next_value
              FROM unnest(%s::int[], %s::int[], %s::int[], %s::timestamp[]) AS p(id, meter_id, channel, at)
             CROSS JOIN LATERAL (
                   SELECT d.next_value
                     FROM prepay_reading_stream(p.meter_id, p.channel, p.at - interval '1 second', p.at) d
                    ORDER BY d.read_at, d.is_reading LIMIT 1) r
            """,
            [as_array(ids), as_array(meters), as_array(channels), as_array(ats)],
        )
        found = {}
        for supply_id, channel, value in self.env.cr.fetchall():
            found.setdefault(supply_id, {})[channel] = value
        return found

    @api.model
    def _provisional(self, picked):
        """What was charged by estimate and is not settled: (lines, charge by key) by assignment."""
        if not picked:
            return {}
        self.env.cr.execute(
            """
            SELECT c.supply_id, c.id, c.day, c.version_id, c.kind, c.rate, c.tier, c.start_at, c.end_at,
                   c.quantity_base, c.price::text, c.exact_amount::text
              FROM prepay_charge c
              JOIN prepay_account_meter s ON s.id = c.supply_id
             WHERE c.supply_id = ANY(%s) AND c.provisional AND c.end_at > s.rated_at
             ORDER BY c.id
            """,
            [[row.id for row in picked]],
        )
        found = {}
        for supply_id, charge_id, *row in self.env.cr.fetchall():
            lines, ids = found.setdefault(supply_id, ([], {}))
            start, end = (moment.replace(tzinfo=timezone.utc) for moment in row[5:7])
            lines.append(RatedLine(*row[:5], start, end, row[7], Decimal(row[8]), Decimal(row[9])))
            ids.setdefault(tuple(row[:5]), charge_id)
        return found

    @api.model
    def _fetch_estimates(self, picked):
        """Newest estimate that is not charged yet, by assignment: (its end, the register then)."""
        wanted = [row for row in picked if row.estimates and row.rated_at]
        if not wanted:
            return {}
        self.env.cr.execute(
            """
            SELECT DISTINCT ON (s.id) s.id, e.end_at, e.value
              FROM prepay_account_meter s
              JOIN prepay_meter m ON m.id = s.meter_id
              JOIN prepay_reading_estimate e ON e.meter_id = s.meter_id
             WHERE s.id = ANY(%s) AND e.state = 'current' AND e.end_at > s.rated_at
               AND (s.provisional_until IS NULL OR e.end_at > s.provisional_until)
               AND (s.end_at IS NULL OR e.end_at <= s.end_at)
               AND e.channel = CASE m.medium WHEN 'water' THEN 'volume' ELSE 'energy' END
             ORDER BY s.id, e.end_at DESC, e.id DESC
            """,
            [[row.id for row in wanted]],
        )
        return {supply_id: (end_at, value) for supply_id, end_at, value in self.env.cr.fetchall()}

    @api.model
    def _write_charges(self, sums):
        """Add rated lines to the open charges of their keys."""
        if not sums:
            return
        supply, day, version, kind, rate, tier, provisional, settles = zip(*sums)
        start, end, quantity, price, amount = zip(*sums.values())
        self.env.cr.execute(
            _UPSERT,
            {
                "supply": as_array(supply),
                "day": as_array(day),
                "version": as_array(version),
                "kind": as_array(kind),
                "rate": as_array(rate),
                "tier": as_array(tier),
                "provisional": as_array(provisional),
                "settles": as_array(settles),
                "start": as_array(start),  # in UTC: a timestamp leaves the offset out
                "end": as_array(end),
                "quantity": as_array(quantity),
                "price": as_array(price),
                "amount": as_array(amount),
            },
        )

    @api.model
    def _write_cursors(self, series, settled):
        self.env.cr.execute(
            _CURSORS,
            {
                "ids": as_array(item.id for item in series),
                "at": as_array(item.at for item in series),
                "value": as_array(item.value for item in series),
                "period": as_array(item.tiers.period or None for item in series),
                "used": as_array(item.tiers.used for item in series),
                "fees": as_array(item.fees_until for item in series),
                "provisional": as_array(item.provisional_until for item in series),
                "residue": as_array(settled.residues.get(item.id) for item in series),
                "closed": as_array(settled.closed.get(item.id) for item in series),
                "number": as_array(range(1, len(series) + 1)),
                "problems": [self._explain(item) for item in series],
            },
        )

    @api.model
    def _explain(self, series):
        """Why the usage of an assignment cannot be rated, in the language of its company."""
        if not series.problem:
            return None
        read_at, error = series.problem
        env = self.browse(series.id).company_id._prepay_env()
        unit = 1000
        texts = {
            "no_version": env._("no price is valid. Add a price that begins earlier."),
            "decrease": env._(
                "the register went back from %(old)s to %(new)s. Record a new baseline for it.",
                old=error.values.get("previous_value", 0) / unit,
                new=error.values.get("value", 0) / unit,
            ),
            "registers_differ": env._(
                "the rate registers counted %(parts)s, the total register %(total)s. Check the meter, or "
                "let the times of the tariff decide.",
                parts=error.values.get("parts", 0) / unit,
                total=error.values.get("total", 0) / unit,
            ),
            "rate_missing": env._("the tariff has no price for one of the meter's rates. Add it."),
            "tier_period_past": env._("its month lies before the one that the tiers count."),
        }
        local = read_at.replace(tzinfo=timezone.utc).astimezone(series.tz)
        return env._(
            "%(moment)s: %(reason)s",
            moment=local.strftime("%Y-%m-%d %H:%M"),
            reason=texts.get(error.code, error.detail),
        )


#: Order of the kinds of charges of one day.
_KINDS = {"usage": 0, "service": 1, "fee": 2}


def _posting_order(item):
    """Of charges of one assignment, the same as for those that were open before."""
    _supply, day, version, kind, rate, tier, _provisional, _settles = item[0]
    return day, version, _KINDS[kind], rate, tier
