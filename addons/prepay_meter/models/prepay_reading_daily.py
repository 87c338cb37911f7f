from datetime import timedelta, timezone

from odoo import api, fields, models
from odoo.tools import SQL

from .. import storage
from ..big_integer import BigInteger
from ..channels import REGISTER_SELECTION

#: Register days that one statement rolls up.
BATCH = 20_000
#: Longest time for which a transaction of the collector may stay open, readings in it unseen.
OVERLAP = timedelta(minutes=10)
#: Until when (UTC) received readings are marked.
WATERMARK = "prepay_meter.rollup_until"

_ROLL_UP = """
WITH taken AS (
    DELETE FROM prepay_reading_dirty d
     USING (SELECT day, meter_id, channel FROM prepay_reading_dirty
             WHERE day = (SELECT min(day) FROM prepay_reading_dirty)
             ORDER BY meter_id, channel LIMIT %(limit)s) t
     WHERE d.day = t.day AND d.meter_id = t.meter_id AND d.channel = t.channel
    RETURNING d.day, d.meter_id, d.channel
), span AS (
    SELECT t.day, t.meter_id, t.channel, COALESCE(p.modulus, 0) AS modulus,
           (t.day::timestamp AT TIME ZONE z.tz) AT TIME ZONE 'UTC' - interval '1 second' AS after,
           ((t.day + 1)::timestamp AT TIME ZONE z.tz) AT TIME ZONE 'UTC' - interval '1 second' AS until,
           -- The day before is near in nearly all cases; only else all months are looked through.
           COALESCE(
               (SELECT d.last_value FROM prepay_reading_daily_data d
                 WHERE d.meter_id = t.meter_id AND d.channel = t.channel
                   AND d.day < t.day AND d.day >= t.day - 31 ORDER BY d.day DESC LIMIT 1),
               (SELECT d.last_value FROM prepay_reading_daily_data d
                 WHERE d.meter_id = t.meter_id AND d.channel = t.channel
                   AND d.day < t.day ORDER BY d.day DESC LIMIT 1)
           ) AS before
      FROM taken t
      JOIN prepay_meter m ON m.id = t.meter_id
      JOIN prepay_meter_profile p ON p.id = m.profile_id
      JOIN prepay_location l ON l.id = m.location_id
     CROSS JOIN LATERAL (SELECT COALESCE(l.tz, 'Asia/Shanghai') AS tz) z
), rolled AS (
    SELECT s.meter_id, s.channel, s.day, u.*
      FROM span s
     CROSS JOIN LATERAL (
           SELECT min(x.read_at) AS first_at, max(x.read_at) AS last_at,
                  (array_agg(x.value ORDER BY x.read_at))[1] AS first_value,
                  (array_agg(x.next_value ORDER BY x.read_at DESC))[1] AS last_value,
                  sum(CASE WHEN x.previous IS NULL THEN 0
                           WHEN x.value >= x.previous THEN x.value - x.previous
                           WHEN x.previous * 10 > s.modulus * 9 AND x.value * 10 < s.modulus
                                THEN x.value + s.modulus - x.previous
                           ELSE 0 END) AS consumption,
                  count(*) FILTER (WHERE x.is_reading) AS count
             FROM (SELECT r.*, lag(r.next_value, 1, s.before) OVER (ORDER BY r.read_at) AS previous
                     FROM prepay_reading_stream(s.meter_id, s.channel, s.after, s.until) r) x
           ) u
     WHERE u.first_at IS NOT NULL
), saved AS (
    INSERT INTO prepay_reading_daily_data AS d (meter_id, channel, day, first_at, last_at, first_value,
                                                last_value, consumption, count)
    SELECT meter_id, channel, day, first_at, last_at, first_value, last_value, consumption, count
      FROM rolled
    ON CONFLICT (meter_id, channel, day) DO UPDATE
       SET first_at = EXCLUDED.first_at, last_at = EXCLUDED.last_at, first_value = EXCLUDED.first_value,
           last_value = EXCLUDED.last_value, consumption = EXCLUDED.consumption, count = EXCLUDED.count
     WHERE (d.first_at, d.last_at, d.first_value, d.last_value, d.consumption, d.count)
           IS DISTINCT FROM (EXCLUDED.first_at, EXCLUDED.last_at, EXCLUDED.first_value,
                             EXCLUDED.last_value, EXCLUDED.consumption, EXCLUDED.count)
), changed AS (
    SELECT r.meter_id, r.channel, date_trunc('month', r.day)::date AS month,
           r.consumption - COALESCE(o.consumption, 0) AS more
      FROM rolled r
      LEFT JOIN prepay_reading_daily_data o
        ON o.meter_id = r.meter_id AND o.channel = r.channel AND o.day = r.day
     WHERE o.consumption IS DISTINCT FROM r.consumption
), summed AS (
    INSERT INTO prepay_reading_monthly_data AS m (meter_id, channel, month, consumption)
    SELECT meter_id, channel, month, more FROM changed
    ON CONFLICT (month, channel, meter_id) DO UPDATE SET consumption = m.consumption + EXCLUDED.consumption
), marked AS (
    INSERT INTO prepay_reading_dirty (day, meter_id, channel)
    SELECT n.day, r.meter_id, r.channel
      FROM rolled r
      LEFT JOIN prepay_reading_daily_data o
        ON o.meter_id = r.meter_id AND o.channel = r.channel AND o.day = r.day
     CROSS JOIN LATERAL (SELECT min(d.day) AS day FROM prepay_reading_daily_data d
                          WHERE d.meter_id = r.meter_id AND d.channel = r.channel AND d.day > r.day) n
     WHERE n.day IS NOT NULL AND o.last_value IS DISTINCT FROM r.last_value
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM taken
"""


class PrepayReadingDaily(models.Model):
    """Consumption of each register and day of the site, rolled up from the readings.

    The use between two readings belongs to the day of the later one; roll-overs and new baselines are
    counted across. Days that got new readings, also late ones, are rolled up again as a whole, so a
    run that stops or is repeated changes nothing; sums by month (``prepay.reading.monthly``) change
    in the same statement. The model is a view over
    ``prepay_reading_daily_data``. Values are in Wh or litres, ``quantity`` in kWh or m³, times UTC.
    """

    _name = "prepay.reading.daily"
    _description = "Daily Consumption"
    _inherit = ["prepay.reading.mixin"]
    _auto = False
    _order = "day desc, id desc"
    _rec_name = "day"
    _moment_columns = ("day",)

    channel = fields.Selection(REGISTER_SELECTION, readonly=True)
    day = fields.Date(readonly=True)
    first_at = fields.Datetime(string="First Reading", readonly=True)
    first_value = BigInteger(string="First Value (Wh or L)", readonly=True, aggregator="min")
    last_at = fields.Datetime(string="Last Reading", readonly=True)
    last_value = BigInteger(string="Last Value (Wh or L)", readonly=True, aggregator="max")
    consumption = BigInteger(string="Consumption (Wh or L)", readonly=True)
    quantity = fields.Float(string="Consumption (kWh or m³)", readonly=True, digits=(16, 3))
    count = fields.Integer(string="Readings", readonly=True)

    def init(self):
        self.env.cr.execute("DROP VIEW IF EXISTS prepay_reading_daily")
        self.env.cr.execute(
            SQL(
                """
                CREATE VIEW prepay_reading_daily AS
                SELECT (((meter_id::bigint << 4) | channel) << 30)
                       + (day - %s::date)::bigint * 86400 AS id,
                       meter_id, channel AS channel_number, %s AS channel, day,
                       first_at, first_value, last_at, last_value,
                       consumption, consumption / 1000.0 AS quantity, count
                  FROM prepay_reading_daily_data
                """,
                SQL(storage.EPOCH),
                storage.channel_code(SQL("channel")),
            )
        )

    @api.model
    def _cron_roll_up(self):
        """Roll up the days that got new readings since the last run."""
        self._mark_new()
        cron = self.env["ir.cron"]
        remaining = self._count_marked()
        left = cron._commit_progress(remaining=remaining)
        while remaining and left:
            done = self._roll_up_batch()
            # Days after a late reading may have been marked again.
            remaining = self._count_marked()
            left = cron._commit_progress(done, remaining=remaining)
        self.env["prepay.reading.estimate"]._supersede()

    @api.model
    def _count_marked(self):
        self.env.cr.execute("SELECT count(*) FROM prepay_reading_dirty")
        return self.env.cr.fetchone()[0]

    @api.model
    def _mark_new(self):
        """Mark the days of the site that got readings since the last run."""
        parameters = self.env["ir.config_parameter"].sudo()
        self.env.cr.execute("SELECT date_trunc('second', now() AT TIME ZONE 'UTC')")
        now = self.env.cr.fetchone()[0]
        since = fields.Datetime.to_datetime(parameters.get_param(WATERMARK))
        self.env.cr.execute(
            """
            INSERT INTO prepay_reading_dirty (day, meter_id, channel)
            SELECT DISTINCT (r.read_at AT TIME ZONE 'UTC' AT TIME ZONE COALESCE(l.tz, 'Asia/Shanghai'))::date,
                   r.meter_id, r.channel
              FROM prepay_reading_data r
              JOIN prepay_meter m ON m.id = r.meter_id
              JOIN prepay_location l ON l.id = m.location_id
             WHERE r.received_at >= %s
            ON CONFLICT DO NOTHING
            """,
            [since - OVERLAP if since else "-infinity"],
        )
        parameters.set_param(WATERMARK, fields.Datetime.to_string(now))

    @api.model
    def _mark(self, baselines):
        """Mark the days of new baselines."""
        for baseline in baselines:
            zone = baseline.meter_id.location_id._zone()
            local = baseline.at.replace(tzinfo=timezone.utc).astimezone(zone)
            self.env.cr.execute(
                "INSERT INTO prepay_reading_dirty (day, meter_id, channel) VALUES (%s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                [local.date(), baseline.meter_id.id, baseline.channel_number],
            )

    @api.model
    def _roll_up_batch(self, limit=BATCH):
        """Roll up marked registers of the earliest marked day; return how many.

        One day after the other, because a day begins with the last value of the day before. When that
        changes, the next day that has readings is marked.
        """
        self.env.cr.execute(_ROLL_UP, {"limit": limit})
        self.invalidate_model()
        return self.env.cr.fetchone()[0]
