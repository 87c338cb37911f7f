import logging
from datetime import timedelta

import psycopg2
from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from .. import storage
from ..big_integer import BigInteger

_logger = logging.getLogger(__name__)

#: A change of partitions waits no longer than this for readers of readings; the next run tries again.
LOCK_TIMEOUT = "5s"
#: Settings in days or months, with their defaults (ir.config_parameter).
SETTINGS = {
    "prepay_meter.compact_days": 35,
    "prepay_meter.electrical_days": 60,
    "prepay_meter.archive_months": 0,
}

# Number and checksum of readings, single or compacted: the same for the same readings.
_SUM = """
SELECT count(*), COALESCE(sum(value), 0),
       COALESCE(sum(value::numeric * (date_part('epoch', read_at)::bigint %% 999983)
                    + meter_id * 31 + channel), 0)
  FROM %s r
"""
# Copies readings into rows of arrays, with values split so that each array holds four bytes. What it
# has written is unpacked again and summed up.
_COPY = """
WITH copied AS (
    INSERT INTO %(target)s (meter_id, channel, source, day, first, high, received_at, seconds, lows)
    SELECT meter_id, channel, source, day, min(second), high, max(received_at),
           array_agg(second ORDER BY second), array_agg(low ORDER BY second)
      FROM (SELECT meter_id, channel, source, received_at, read_at::date AS day,
                   date_part('epoch', read_at - date_trunc('day', read_at))::integer AS second,
                   (value >> 31)::integer AS high, (value & 2147483647)::integer AS low
              FROM %(name)s WHERE %(where)s) r
     GROUP BY day, meter_id, channel, source, high
     ORDER BY day, meter_id, channel
    RETURNING meter_id, channel, day, high, seconds, lows
)
"""
_COPIED = """
(SELECT meter_id, channel, day + v.second * interval '1 second' AS read_at,
        (high::bigint << 31) + v.low AS value
   FROM copied, unnest(seconds, lows) AS v(second, low))
"""


class PrepayReadingPartition(models.Model):
    """The monthly tables of readings: what is stored where, compacting and archiving.

    Months that are older than a setting and that nobody needs reading by reading any more are copied
    into arrays, compared with the original by number and checksum, and exchanged for it in one short
    transaction. Archived months stay in the database as tables of their own, out of all screens.
    """

    _name = "prepay.reading.partition"
    _description = "Stored Month of Readings"
    _auto = False
    _log_access = False
    _order = "month desc, kind"

    name = fields.Char(string="Table", readonly=True)
    kind = fields.Selection(
        [
            ("raw", "Readings, one by one"),
            ("day", "Readings, compacted"),
            ("electrical", "Electrical parameters"),
            ("daily", "Daily consumption"),
        ],
        readonly=True,
    )
    month = fields.Date(readonly=True)
    state = fields.Selection(
        [("active", "In use"), ("filling", "Being compacted"), ("archived", "Archived")],
        readonly=True,
    )
    row_count = BigInteger(
        string="Rows", readonly=True, help="As the database estimates; arrays count as one row."
    )
    size_mb = fields.Float(string="Size (MB)", readonly=True, digits=(12, 1))

    def init(self):
        self.env.cr.execute("DROP VIEW IF EXISTS prepay_reading_partition")
        cases = SQL(" ").join(
            SQL("WHEN %s THEN %s", item.prefix, code) for code, item in storage.KINDS.items()
        )
        self.env.cr.execute(
            SQL(
                """
                CREATE VIEW prepay_reading_partition AS
                SELECT c.oid::bigint AS id, c.relname::varchar AS name,
                       CASE left(c.relname, -8) %s END AS kind,
                       to_date(right(c.relname, 7), 'YYYY_MM') AS month,
                       CASE WHEN EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
                            THEN 'active'
                            WHEN c.relname LIKE 'prepay_reading_day_%%'
                             AND to_regclass('prepay_reading_' || right(c.relname, 7)) IS NOT NULL
                            THEN 'filling' ELSE 'archived' END AS state,
                       GREATEST(c.reltuples, 0)::bigint AS row_count,
                       pg_total_relation_size(c.oid) / 1048576.0 AS size_mb
                  FROM pg_class c
                 WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
                   AND c.relname ~ '^prepay_reading(_day|_electrical|_daily)?_[0-9]{4}_[0-9]{2}$'
                """,
                cases,
            )
        )

    @api.model
    def _setting(self, name):
        value = self.env["ir.config_parameter"].sudo().get_param(name)
        return max(int(value), 0) if value else SETTINGS[name]

    # actions

    def action_archive(self):
        """Take whole months out of use; the tables stay until the database's administrator moves them."""
        self._check_admin()
        for part in self:
            part._check_may_archive()
            storage.detach(self.env.cr, part.kind, part.name)
        self._log_change("archived")

    def action_restore(self):
        """Take archived months into use again."""
        self._check_admin()
        for part in self:
            if part.state != "archived":
                raise UserError(self.env._("%s is not archived.", part.name))
            storage.attach(self.env.cr, part.kind, part.month)
        self._log_change("restored")

    def _check_admin(self):
        if not self.env.user.has_group("prepay_meter.group_admin"):
            raise UserError(self.env._("Only administrators may archive readings."))

    def _check_may_archive(self):
        self.ensure_one()
        today = fields.Date.context_today(self)
        end = storage.next_month(self.month)
        if self.state != "active":
            raise UserError(self.env._("%s is not in use.", self.name))
        if self.kind == "raw":
            raise UserError(
                self.env._(
                    "%s is not compacted yet. Only compacted months can be archived.", self.name
                )
            )
        if end > min(today, self.env["prepay.reading"]._may_compact_before(today)):
            raise UserError(
                self.env._("%s is still needed: not all of its readings are billed.", self.name)
            )

    def _log_change(self, what):
        _logger.info("Readings %s by %s: %s", what, self.env.user.login, self.mapped("name"))
        self.invalidate_model()

    # scheduled work

    @api.model
    def _cron_maintain(self):
        """Compact, forget and archive what is old enough."""
        self._forget_electrical()
        self.env["ir.cron"]._commit_progress()
        if self._compact():
            self._archive_old()
            self.env["ir.cron"]._commit_progress()

    @api.model
    def _compact_bound(self):
        """First day that is not compacted."""
        day = fields.Date.today() - timedelta(
            days=max(self._setting("prepay_meter.compact_days"), 1)
        )
        return min(day, self.env["prepay.reading"]._may_compact_before(day))

    @api.model
    def _compact(self):
        """Compact whole months before the bound; return whether all of it was done.

        Works day by day with a commit after each and goes on where it stopped.
        """
        cr = self.env.cr
        bound = self._compact_bound()
        for _kind, name, month, attached in storage.partitions(cr, "raw"):
            due = attached and storage.next_month(month) <= bound
            if due and not self._compact_month(name, month):
                return False
        return self._compact_default(bound)

    @api.model
    def _compact_month(self, name, month):
        commit = self.env["ir.cron"]._commit_progress
        target = storage.KINDS["day"].name(month)
        self._prepare(name, target, month)
        commit()
        self.env.cr.execute("SELECT day FROM prepay_reading_compaction")
        done = {row[0] for row in self.env.cr.fetchall()}
        days = (storage.next_month(month) - month).days
        for day in (month + timedelta(days=index) for index in range(days)):
            if day in done:
                continue
            self._compact_day(name, target, day)
            if not commit(1, remaining=days - day.day + 1):
                return False
        if not self._check_whole(name, target):
            return True
        commit()  # the exchange begins with its locks, before it sees anything
        exchanged = self._exchange(name, target, month)
        commit(1)
        return exchanged

    @api.model
    def _prepare(self, name, target, month):
        """Make the table that is filled, and have noted what else arrives for the month from now on."""
        self.env.cr.execute("SELECT to_regclass(%s)", [target])
        if self.env.cr.fetchone()[0]:
            return
        self.env.cr.execute(
            "DELETE FROM prepay_reading_compaction; DELETE FROM prepay_reading_late"
        )
        self.env.cr.execute(
            SQL(
                """
                CREATE TABLE %(target)s (
                    LIKE prepay_reading_day INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING COMMENTS,
                    CONSTRAINT %(check)s CHECK (day >= %(start)s AND day < %(end)s)
                );
                CREATE OR REPLACE TRIGGER prepay_reading_note_late AFTER INSERT ON %(name)s
                    FOR EACH ROW EXECUTE FUNCTION prepay_reading_note_late();
                """,
                target=SQL.identifier(target),
                check=SQL.identifier(f"{target}_month"),
                name=SQL.identifier(name),
                start=month,
                end=storage.next_month(month),
            )
        )

    @api.model
    def _compact_day(self, name, target, day):
        """Copy one UTC day into arrays; the copy is unpacked and compared before it counts."""
        span = SQL("read_at >= %s AND read_at < %s", day, day + timedelta(days=1))
        copied = self._copy(name, target, span)
        self.env.cr.execute(
            SQL(_SUM, SQL("(SELECT * FROM %s WHERE %s)", SQL.identifier(name), span))
        )
        if copied != self.env.cr.fetchone():
            raise UserError(
                self.env._(
                    "Compacting stopped: %(table)s of %(day)s does not match its copy.",
                    table=name,
                    day=day,
                )
            )
        self.env.cr.execute(
            "INSERT INTO prepay_reading_compaction (day, readings) VALUES (%s, %s)",
            [day, copied[0]],
        )

    @api.model
    def _copy(self, name, target, where):
        """Copy readings into arrays; return number and checksum of what was written."""
        copy = SQL(_COPY, target=SQL.identifier(target), name=SQL.identifier(name), where=where)
        self.env.cr.execute(SQL("%s %s", copy, SQL(_SUM, SQL(_COPIED))))
        return self.env.cr.fetchone()

    @api.model
    def _check_whole(self, name, target):
        """Compare the number of readings of the month; begin anew when it is not right."""
        self.env.cr.execute(
            SQL(
                """
                SELECT (SELECT COALESCE(sum(readings), 0) FROM prepay_reading_compaction),
                       (SELECT COALESCE(sum(cardinality(seconds)), 0) FROM %s)
                """,
                SQL.identifier(target),
            )
        )
        noted, copied = self.env.cr.fetchone()
        if noted == copied:
            return True
        _logger.warning("Compacting of %s begins anew: %s of %s readings", name, copied, noted)
        self.env.cr.execute(SQL("DROP TABLE %s", SQL.identifier(target)))
        return False

    @api.model
    def _exchange(self, name, target, month):
        """Put the arrays in the place of the single readings; False when the table is in use."""
        try:
            with self.env.cr.savepoint():
                self._lock_readings()
                where = SQL(
                    """
                    read_at >= %(start)s AND read_at < %(end)s AND NOT EXISTS (
                        SELECT FROM %(target)s d
                         WHERE d.meter_id = l.meter_id AND d.channel = l.channel
                           AND d.day = l.read_at::date
                           AND date_part('epoch', l.read_at - date_trunc('day', l.read_at))::integer
                               = ANY(d.seconds))
                    """,
                    start=month,
                    end=storage.next_month(month),
                    target=SQL.identifier(target),
                )
                self.env.cr.execute(
                    SQL(
                        "CREATE TEMP TABLE late_readings ON COMMIT DROP AS "
                        "SELECT DISTINCT * FROM prepay_reading_late l WHERE %s",
                        where,
                    )
                )
                self._copy("late_readings", target, SQL("true"))
                storage.detach(self.env.cr, "raw", name)
                self.env.cr.execute(
                    SQL(
                        """
                        DROP TABLE late_readings;
                        DROP TABLE %s;
                        DELETE FROM prepay_reading_late;
                        DELETE FROM prepay_reading_compaction;
                        """,
                        SQL.identifier(name),
                    )
                )
                storage.attach(self.env.cr, "day", month)
                self.env.cr.execute(
                    SQL(
                        "ALTER TABLE %s DROP CONSTRAINT %s",
                        SQL.identifier(target),
                        SQL.identifier(f"{target}_month"),
                    )
                )
        except psycopg2.errors.LockNotAvailable:
            _logger.info("Readings of %s are in use; they are exchanged by the next run", name)
            return False
        _logger.info("Readings of %s are compacted into %s", name, target)
        return True

    @api.model
    def _compact_default(self, bound):
        """Late readings of months that have no table of single readings any more."""
        cr = self.env.cr
        cr.execute(
            """
            SELECT DISTINCT date_trunc('month', read_at)::date FROM prepay_reading_default
             WHERE read_at < %s AND to_regclass('prepay_reading_' || to_char(read_at, 'YYYY_MM')) IS NULL
            """,
            [bound],
        )
        months = [row[0] for row in cr.fetchall() if storage.next_month(row[0]) <= bound]
        days = {month: attached for _k, _n, month, attached in storage.partitions(cr, "day")}
        months = [month for month in months if days.get(month, True)]  # archived ones wait
        if not months:
            return True
        self.env["ir.cron"]._commit_progress()  # the work begins with its locks
        try:
            with cr.savepoint():
                self._lock_readings()
                for month in months:
                    self._compact_strays(month, exists=month in days)
        except psycopg2.errors.LockNotAvailable:
            _logger.info("Readings are in use; late ones are compacted by the next run")
            return False
        self.env["ir.cron"]._commit_progress(len(months))
        return True

    @api.model
    def _compact_strays(self, month, exists):
        cr = self.env.cr
        target = storage.KINDS["day"].name(month) if exists else None
        target = target or storage.create_month(cr, "day", month)
        span = SQL("read_at >= %s AND read_at < %s", month, storage.next_month(month))
        names = {"default": SQL.identifier("prepay_reading_default"), "span": span}
        copied = self._copy("prepay_reading_default", target, span)[0]
        storage.detach(cr, "raw", "prepay_reading_default")
        cr.execute(SQL("DELETE FROM %(default)s WHERE %(span)s", **names))
        if cr.rowcount != copied:
            raise UserError(
                self.env._("Compacting stopped: late readings of %s do not match.", month)
            )
        cr.execute(
            "ALTER TABLE prepay_reading_data ATTACH PARTITION prepay_reading_default DEFAULT"
        )

    @api.model
    def _lock_readings(self):
        """Keep everybody else out for a moment; fails when that takes too long.

        Neither statement looks at data: what others commit while this one waits is still seen after.
        """
        self.env.cr.execute("SET LOCAL lock_timeout = %s", [LOCK_TIMEOUT])
        self.env.cr.execute("LOCK TABLE prepay_reading_data IN ACCESS EXCLUSIVE MODE")

    @api.model
    def _forget_electrical(self):
        """Drop the months of electrical parameters that are over their time, each as a whole."""
        days = self._setting("prepay_meter.electrical_days")
        if not days:
            return
        bound = fields.Date.today() - timedelta(days=days)
        for kind, name, month, attached in storage.partitions(self.env.cr, "electrical"):
            if storage.next_month(month) > bound:
                continue
            try:
                with self.env.cr.savepoint():
                    self.env.cr.execute("SET LOCAL lock_timeout = %s", [LOCK_TIMEOUT])
                    if attached:
                        storage.detach(self.env.cr, kind, name)
                    self.env.cr.execute(SQL("DROP TABLE %s", SQL.identifier(name)))
            except psycopg2.errors.LockNotAvailable:
                _logger.info("%s is in use; it is dropped by the next run", name)
        self.env.cr.execute(
            "DELETE FROM prepay_reading_electrical_default WHERE read_at < %s", [bound]
        )

    @api.model
    def _archive_old(self):
        """Archive the compacted months that are older than the setting allows."""
        months = self._setting("prepay_meter.archive_months")
        if not months:
            return
        today = fields.Date.today()
        bound = fields.Date.subtract(today.replace(day=1), months=months)
        bound = min(bound, self.env["prepay.reading"]._may_compact_before(bound))
        for kind, name, month, attached in storage.partitions(self.env.cr, "day"):
            if attached and storage.next_month(month) <= bound:
                storage.detach(self.env.cr, kind, name)
                _logger.info("Readings of %s are archived", name)
