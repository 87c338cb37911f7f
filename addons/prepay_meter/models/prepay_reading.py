from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL

from .. import storage
from ..big_integer import BigInteger
from ..channels import BILLED, BY_CODE, REGISTER_SELECTION

SOURCES = {"poll": 1, "late": 2, "manual": 3}
#: Months for which partitions are made ahead.
MONTHS_AHEAD = 3
#: Hours before the newest moment in which the first rows of a list are looked for.
WINDOWS = (1, 8, 64, 512, 4096)


class PrepayReading(models.Model):
    """Accepted meter readings: append-only, integer base units, each stored once and for good.

    The model is a view over the monthly tables of single readings and of compacted days (see
    ``storage.py``); the id of a reading is the same in both. Only good values are there: what the
    quality rules doubt waits in ``prepay.reading.hold``. ``value`` counts Wh or litres; ``quantity``
    is the same in kWh or m³ for people. ``read_at`` is UTC in whole seconds. Of compacted readings
    that came in time, ``received_at`` is the moment of the reading.
    """

    _name = "prepay.reading"
    _description = "Meter Reading"
    _inherit = ["prepay.reading.mixin"]
    _auto = False
    _order = "read_at desc, id desc"
    _rec_name = "read_at"

    channel = fields.Selection(REGISTER_SELECTION, readonly=True)
    read_at = fields.Datetime(string="Read On", readonly=True)
    value = BigInteger(string="Value (Wh or L)", readonly=True, aggregator="max")
    quantity = fields.Float(
        string="Register (kWh or m³)", readonly=True, digits=(16, 3), aggregator="max"
    )
    source = fields.Selection(
        [("poll", "Collector"), ("late", "Late data"), ("manual", "Operator")], readonly=True
    )
    received_at = fields.Datetime(readonly=True)

    def init(self):
        cr = self.env.cr
        # The columns of the view may have changed since the last version: replace it as a whole.
        cr.execute("DROP VIEW IF EXISTS prepay_reading")
        storage.create_tables(cr)
        columns = SQL(
            """
            SELECT id, meter_id, channel_number, %s AS channel, read_at, day, value,
                   value / 1000.0 AS quantity, received_at,
                   CASE source WHEN 1 THEN 'poll' WHEN 2 THEN 'late' ELSE 'manual' END AS source
            """,
            storage.channel_code(SQL("channel_number")),
        )
        cr.execute(
            SQL(
                """
                CREATE VIEW prepay_reading AS
                %(columns)s
                  FROM (SELECT (((meter_id::bigint << 4) | channel) << 30)
                               + date_part('epoch', read_at - %(epoch)s)::bigint AS id,
                               meter_id, channel AS channel_number, read_at, read_at::date AS day,
                               value, source, received_at
                          FROM prepay_reading_data) AS raw
                 UNION ALL
                %(columns)s
                  FROM (SELECT (((d.meter_id::bigint << 4) | d.channel) << 30)
                               + (d.day - %(epoch)s::date) * 86400 + v.second AS id,
                               d.meter_id, d.channel AS channel_number,
                               d.day + v.second * interval '1 second' AS read_at, d.day,
                               (d.high::bigint << 31) + v.low AS value, d.source,
                               CASE d.source WHEN 1 THEN d.day + v.second * interval '1 second'
                                    ELSE d.received_at END AS received_at
                          FROM prepay_reading_day d, unnest(d.seconds, d.lows) AS v(second, low)
                       ) AS compacted
                """,
                epoch=SQL(storage.EPOCH),
                columns=columns,
            )
        )
        self._create_partitions()

    def _page_bound(self, domain, offset, limit, order):
        """Condition on the moment that the newest rows fulfil, as many as a page needs.

        Without it the compacted years would be unpacked and sorted for each page of a list.
        """
        if not limit or not (order or "").lower().startswith("read_at desc"):
            return Domain.TRUE
        parts = domain.children if getattr(domain, "OPERATOR", None) == "&" else [domain]
        bounds = [fields.Datetime.now() + timedelta(hours=1)]
        for part in parts:
            name = getattr(part, "field_expr", None)
            if name == "id":
                return Domain.TRUE
            if name == "read_at" and part.operator in ("<", "<="):
                bounds.append(fields.Datetime.to_datetime(part.value))
        for hours in WINDOWS:
            since = self._indexed(Domain("read_at", ">=", min(bounds) - timedelta(hours=hours)))
            query = self._search(domain & since, limit=offset + limit, bypass_access=True)
            self.env.cr.execute(SQL("SELECT count(*) FROM (%s) page", query.select(SQL("1"))))
            if self.env.cr.fetchone()[0] >= offset + limit:
                return since
        return Domain.TRUE

    @api.model
    def _create_partitions(self, months=MONTHS_AHEAD):
        """Create the partitions of the present and the next ``months`` months (UTC)."""
        storage.create_ahead(self.env.cr, fields.Date.today(), months)

    @api.model
    def _cron_create_partitions(self):
        self._create_partitions()

    @api.model
    def _may_compact_before(self, day):
        """First day (UTC) whose readings somebody still has to use one by one; ``day`` when nobody has.

        Addons that consume readings override it and return an earlier day while they lag behind.
        Nothing from that day on is compacted or archived.
        """
        return day

    @api.model
    def _ingest(self, rows, source="manual"):
        """Add accepted readings; a repetition changes nothing (R-01).

        :param rows: tuples (meter id, channel code, read_at naive UTC, value in Wh or L)
        :return: how many were new
        """
        if not rows:
            return 0
        moments = [fields.Datetime.to_datetime(row[2]) for row in rows]
        self.env.cr.execute(
            """
            INSERT INTO prepay_reading_data (meter_id, channel, read_at, value, source)
            SELECT v.*, %s FROM unnest(%s::int[], %s::smallint[], %s::timestamp[], %s::bigint[]) AS v
            ON CONFLICT DO NOTHING
            """,
            [
                SOURCES[source],
                [row[0] for row in rows],
                [BY_CODE[row[1]].number for row in rows],
                moments,
                [row[3] for row in rows],
            ],
        )
        added = self.env.cr.rowcount
        newest = {}
        for row, at in zip(rows, moments):
            if row[1] in BILLED.values() and at > newest.get(row[0], (at.min, 0))[0]:
                newest[row[0]] = at, row[3]
        self._advance_state(newest)
        return added

    @api.model
    def _advance_state(self, newest):
        """Move the last value of meters on: dict of meter id → (moment, value)."""
        if newest:
            self.env.cr.execute(
                """
                UPDATE prepay_meter_state s SET last_read_at = v.at, last_value = v.value
                  FROM unnest(%s::int[], %s::timestamp[], %s::bigint[]) AS v(meter_id, at, value)
                  JOIN prepay_meter m ON m.id = v.meter_id
                 WHERE s.id = m.state_id AND (s.last_read_at IS NULL OR s.last_read_at < v.at)
                """,
                [
                    list(newest),
                    [at for at, _value in newest.values()],
                    [value for _at, value in newest.values()],
                ],
            )
        self.env["prepay.meter.state"].invalidate_model()

    @api.model
    def _neighbour(self, meter, channel, at, before):
        """Stored reading next before a moment, or at or after it: (moment, value) or None.

        A new baseline counts: before it the register ended elsewhere than it began again.
        """
        second = timedelta(seconds=1)
        for days in (2, 60, 3660):  # near ones first: most are found without unpacking years
            span = timedelta(days=days)
            start, end = (at - span, at - second) if before else (at - second, at + span)
            rows = self.env.execute_query(
                SQL(
                    "SELECT read_at, %s FROM prepay_reading_stream(%s, %s, %s, %s) "
                    "ORDER BY read_at %s LIMIT 1",
                    SQL("next_value" if before else "value"),
                    meter.id,
                    BY_CODE[channel].number,
                    start,
                    end,
                    SQL("DESC" if before else "ASC"),
                )
            )
            if rows:
                return rows[0]
        return None
