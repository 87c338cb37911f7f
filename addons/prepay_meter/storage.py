"""Tables of readings that Odoo does not make itself: what they are, and their monthly partitions.

``prepay_reading_data``
    Accepted register values as they come: one row each, about 100 bytes with both indexes.
``prepay_reading_day``
    The same after some weeks: one row for each meter, register and UTC day, with arrays of
    seconds and values; about 10 bytes a reading. A reading is in one of the two, never in both.
``prepay_reading_electrical_data``
    Momentary electrical values, one wide row for each poll, kept for some weeks.
``prepay_reading_daily_data``, ``prepay_reading_monthly_data``
    Roll-ups: consumption of each register and day of the site, and its sum by month.

All but the last are partitioned by month, times are naive UTC. Readings are append-only: a trigger refuses
UPDATE and DELETE, old partitions are detached as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from odoo.tools import SQL

from .channels import ELECTRICAL, REGISTERS

#: Moment that the ids of readings count from; also the earliest time a reading may have.
EPOCH = "timestamp '2015-01-01'"
#: An id is the meter, the register in four bits and the second in thirty (until 2049). It never
#: changes, wherever the reading is stored; browsers take it exactly up to meter 524,287.
SECOND_BITS, CHANNEL_BITS = 30, 4


@dataclass(frozen=True, slots=True)
class Kind:
    """A partitioned table; ``prefix`` names its months, ``default`` takes what fits in none."""

    parent: str
    prefix: str
    key: str
    default: str | None = None

    def name(self, month: date) -> str:
        return f"{self.prefix}_{month:%Y_%m}"


KINDS = {
    "raw": Kind("prepay_reading_data", "prepay_reading", "read_at", "prepay_reading_default"),
    "day": Kind("prepay_reading_day", "prepay_reading_day", "day"),
    "electrical": Kind(
        "prepay_reading_electrical_data",
        "prepay_reading_electrical",
        "read_at",
        "prepay_reading_electrical_default",
    ),
    "daily": Kind(
        "prepay_reading_daily_data",
        "prepay_reading_daily",
        "day",
        "prepay_reading_daily_default",
    ),
}
#: Made for the months to come, so that nothing that arrives has to be moved.
AHEAD = ("raw", "electrical", "daily")

_TABLES = """
CREATE OR REPLACE FUNCTION prepay_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'check_violation';
END $$;

CREATE TABLE IF NOT EXISTS prepay_reading_data (
    read_at timestamp(0) NOT NULL,
    received_at timestamp(0) NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    value bigint NOT NULL,
    meter_id integer NOT NULL,
    channel smallint NOT NULL,
    source smallint NOT NULL DEFAULT 1,
    PRIMARY KEY (read_at, meter_id, channel)
) PARTITION BY RANGE (read_at);
CREATE TABLE IF NOT EXISTS prepay_reading_default PARTITION OF prepay_reading_data DEFAULT;
CREATE INDEX IF NOT EXISTS prepay_reading_data_meter_idx
    ON prepay_reading_data (meter_id, channel, read_at);
CREATE INDEX IF NOT EXISTS prepay_reading_data_received_idx
    ON prepay_reading_data USING brin (received_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE OR REPLACE TRIGGER prepay_reading_append_only
    BEFORE UPDATE OR DELETE ON prepay_reading_data
    FOR EACH ROW EXECUTE FUNCTION prepay_refuse_change();

CREATE TABLE IF NOT EXISTS prepay_reading_day (
    meter_id integer NOT NULL,
    channel smallint NOT NULL,
    source smallint NOT NULL,
    day date NOT NULL,
    first integer NOT NULL,
    high integer NOT NULL,
    received_at timestamp(0) NOT NULL,
    seconds integer[] NOT NULL,
    lows integer[] NOT NULL,
    PRIMARY KEY (meter_id, channel, day, first)
) PARTITION BY RANGE (day);
CREATE INDEX IF NOT EXISTS prepay_reading_day_day_idx
    ON prepay_reading_day USING brin (day) WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON COLUMN prepay_reading_day.first IS 'Smallest of the seconds: late data makes a second row.';
COMMENT ON COLUMN prepay_reading_day.high IS 'Values are high * 2^31 + low.';
COMMENT ON COLUMN prepay_reading_day.seconds IS 'Seconds of the UTC day, ascending.';
CREATE OR REPLACE TRIGGER prepay_reading_day_append_only
    BEFORE UPDATE OR DELETE ON prepay_reading_day
    FOR EACH ROW EXECUTE FUNCTION prepay_refuse_change();

-- Months that are compacted have no partition of their own any more: their late data falls into the
-- default one. What the arrays of that month have already is a repetition and changes nothing (R-01).
CREATE OR REPLACE FUNCTION prepay_reading_skip_known() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    month text := 'prepay_reading_day_' || to_char(NEW.read_at, 'YYYY_MM');
    known boolean := false;
BEGIN
    IF to_regclass(month) IS NOT NULL THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE meter_id = $1 AND channel = $2 '
                       'AND day = $3::date AND $4 = ANY(seconds))', month)
           INTO known
          USING NEW.meter_id, NEW.channel, NEW.read_at,
                date_part('epoch', NEW.read_at - date_trunc('day', NEW.read_at))::integer;
    END IF;
    RETURN CASE WHEN known THEN NULL ELSE NEW END;
END $$;
CREATE OR REPLACE TRIGGER prepay_reading_skip_known
    BEFORE INSERT ON prepay_reading_default
    FOR EACH ROW EXECUTE FUNCTION prepay_reading_skip_known();

-- What arrives for a month while it is being compacted.
CREATE TABLE IF NOT EXISTS prepay_reading_late (LIKE prepay_reading_data);
CREATE OR REPLACE FUNCTION prepay_reading_note_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO prepay_reading_late (read_at, received_at, value, meter_id, channel, source)
    VALUES (NEW.read_at, NEW.received_at, NEW.value, NEW.meter_id, NEW.channel, NEW.source);
    RETURN NULL;
END $$;
-- Days that are copied already, with how many readings they had.
CREATE TABLE IF NOT EXISTS prepay_reading_compaction (day date PRIMARY KEY, readings bigint NOT NULL);

CREATE TABLE IF NOT EXISTS prepay_reading_electrical_data (
    read_at timestamp(0) NOT NULL,
    meter_id integer NOT NULL,
    PRIMARY KEY (read_at, meter_id)
) PARTITION BY RANGE (read_at);
CREATE TABLE IF NOT EXISTS prepay_reading_electrical_default
    PARTITION OF prepay_reading_electrical_data DEFAULT;
CREATE INDEX IF NOT EXISTS prepay_reading_electrical_data_meter_idx
    ON prepay_reading_electrical_data (meter_id, read_at);

CREATE TABLE IF NOT EXISTS prepay_reading_daily_data (
    first_at timestamp(0) NOT NULL,
    last_at timestamp(0) NOT NULL,
    first_value bigint NOT NULL,
    last_value bigint NOT NULL,
    consumption bigint NOT NULL,
    meter_id integer NOT NULL,
    day date NOT NULL,
    count integer NOT NULL,
    channel smallint NOT NULL,
    PRIMARY KEY (meter_id, channel, day)
) PARTITION BY RANGE (day);
CREATE TABLE IF NOT EXISTS prepay_reading_daily_default
    PARTITION OF prepay_reading_daily_data DEFAULT;
-- Sums of the days: changed in the same statement.
CREATE TABLE IF NOT EXISTS prepay_reading_monthly_data (
    consumption bigint NOT NULL,
    month date NOT NULL,
    meter_id integer NOT NULL,
    channel smallint NOT NULL,
    PRIMARY KEY (month, channel, meter_id)
);
CREATE INDEX IF NOT EXISTS prepay_reading_monthly_data_meter_idx
    ON prepay_reading_monthly_data (meter_id);
-- Days of registers that have to be rolled up again.
CREATE TABLE IF NOT EXISTS prepay_reading_dirty (
    day date NOT NULL, meter_id integer NOT NULL, channel smallint NOT NULL,
    PRIMARY KEY (day, meter_id, channel)
);

-- Readings of one register after a moment and until another, wherever they are stored.
CREATE OR REPLACE FUNCTION prepay_readings(
    p_meter integer, p_channel integer, p_after timestamp, p_until timestamp
) RETURNS TABLE (read_at timestamp, value bigint) LANGUAGE sql STABLE AS $$
    SELECT r.read_at, r.value
      FROM prepay_reading_data r
     WHERE r.meter_id = p_meter AND r.channel = p_channel
       AND r.read_at > p_after AND r.read_at <= p_until
     UNION ALL
    SELECT d.day + v.second * interval '1 second', (d.high::bigint << 31) + v.low
      FROM prepay_reading_day d, unnest(d.seconds, d.lows) AS v(second, low)
     WHERE d.meter_id = p_meter AND d.channel = p_channel
       AND d.day >= p_after::date AND d.day <= p_until::date
       AND (d.day > p_after::date OR d.day + v.second * interval '1 second' > p_after)
       AND (d.day < p_until::date OR d.day + v.second * interval '1 second' <= p_until)
$$;
"""
#: Needs the table of the model ``prepay.reading.baseline``.
STREAM = """
-- What a register counted, in order: readings, and the breaks where it began anew. What was used
-- up to a row is its value minus the next_value of the row before it.
CREATE OR REPLACE FUNCTION prepay_reading_stream(
    p_meter integer, p_channel integer, p_after timestamp, p_until timestamp
) RETURNS TABLE (read_at timestamp, value bigint, next_value bigint, is_reading boolean)
LANGUAGE sql STABLE AS $$
    SELECT r.read_at, r.value, r.value, true
      FROM prepay_readings(p_meter, p_channel, p_after, p_until) r
     UNION ALL
    SELECT b.at, b.old_end, b.new_start, false
      FROM prepay_reading_baseline b
     WHERE b.meter_id = p_meter AND b.channel_number = p_channel
       AND b.at > p_after AND b.at <= p_until
$$;
"""


def create_tables(cr) -> None:
    """Make what is missing of the tables, functions and triggers."""
    cr.execute(_TABLES)
    for code in ELECTRICAL:
        cr.execute(
            SQL(
                "ALTER TABLE prepay_reading_electrical_data ADD COLUMN IF NOT EXISTS %s integer",
                SQL.identifier(code),
            )
        )


def drop_tables(cr) -> None:
    """Remove all of it, with what was archived."""
    for view in (
        "prepay_reading",
        "prepay_reading_electrical",
        "prepay_reading_daily",
        "prepay_reading_monthly",
    ):
        cr.execute(SQL("DROP VIEW IF EXISTS %s", SQL.identifier(view)))
    for table in (
        *[kind.parent for kind in KINDS.values()],
        "prepay_reading_late",
        "prepay_reading_compaction",
        "prepay_reading_dirty",
        "prepay_reading_monthly_data",
        *[name for _kind, name, _month, _attached in partitions(cr)],
    ):
        cr.execute(SQL("DROP TABLE IF EXISTS %s CASCADE", SQL.identifier(table)))
    for function in (
        "prepay_refuse_change()",
        "prepay_reading_skip_known()",
        "prepay_reading_note_late()",
        "prepay_reading_stream(integer, integer, timestamp, timestamp)",
        "prepay_readings(integer, integer, timestamp, timestamp)",
    ):
        cr.execute(SQL("DROP FUNCTION IF EXISTS %s CASCADE", SQL(function)))


def channel_code(column: SQL) -> SQL:
    """SQL of the channel code that Odoo shows, from the number that is stored."""
    cases = SQL(" ").join(
        SQL("WHEN %s THEN %s", number, code) for code, number in REGISTERS.items()
    )
    return SQL("CASE %s %s END", column, cases)


def channel_number(column: SQL) -> SQL:
    """SQL of the number that is stored, from the code that Odoo shows."""
    cases = SQL(" ").join(
        SQL("WHEN %s THEN %s", code, number) for code, number in REGISTERS.items()
    )
    return SQL("CASE %s %s END", column, cases)


def partitions(cr, kind: str | None = None) -> list[tuple[str, str, date, bool]]:
    """Monthly tables by age: (kind, name, first day of the month, whether it is attached)."""
    cr.execute(
        """
        SELECT c.relname, EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
          FROM pg_class c
         WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
           AND c.relname ~ '^prepay_reading(_day|_electrical|_daily)?_[0-9]{4}_[0-9]{2}$'
         ORDER BY right(c.relname, 7), c.relname
        """
    )
    found = []
    for name, attached in cr.fetchall():
        code = next(code for code, item in KINDS.items() if item.prefix == name[:-8])
        if kind in (None, code):
            found.append((code, name, date(int(name[-7:-3]), int(name[-2:]), 1), attached))
    return found


def next_month(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def create_ahead(cr, today: date, months: int) -> None:
    """Make the partitions of the present and the next months."""
    month = today.replace(day=1)
    for _index in range(months + 1):
        for kind in AHEAD:
            cr.execute("SELECT to_regclass(%s)", [KINDS[kind].name(month)])
            if not cr.fetchone()[0]:
                create_month(cr, kind, month)
        month = next_month(month)


def create_month(cr, kind: str, month: date) -> str:
    """Make one partition; rows that fell into the default one meanwhile are moved there."""
    item = KINDS[kind]
    name = item.name(month)
    bounds = {"start": month.replace(day=1), "end": next_month(month)}
    names = {
        "parent": SQL.identifier(item.parent),
        "table": SQL.identifier(name),
        "default": SQL.identifier(item.default) if item.default else SQL(),
        "span": SQL(
            "%(key)s >= %(start)s AND %(key)s < %(end)s", key=SQL.identifier(item.key), **bounds
        ),
        **bounds,
    }
    cr.execute(SQL("CREATE TABLE %(table)s (LIKE %(parent)s INCLUDING DEFAULTS)", **names))
    if item.default:
        cr.execute(SQL("SELECT EXISTS (SELECT FROM %(default)s WHERE %(span)s)", **names))
        moves = cr.fetchone()[0]
    else:
        moves = False
    if moves:
        cr.execute(
            SQL(
                """
                INSERT INTO %(table)s SELECT * FROM %(default)s WHERE %(span)s;
                ALTER TABLE %(parent)s DETACH PARTITION %(default)s;
                DELETE FROM %(default)s WHERE %(span)s;
                """,
                **names,
            )
        )
    cr.execute(
        SQL(
            "ALTER TABLE %(parent)s ATTACH PARTITION %(table)s FOR VALUES FROM (%(start)s) TO (%(end)s)",
            **names,
        )
    )
    if moves:
        cr.execute(SQL("ALTER TABLE %(parent)s ATTACH PARTITION %(default)s DEFAULT", **names))
    return name


def detach(cr, kind: str, name: str) -> None:
    cr.execute(
        SQL(
            "ALTER TABLE %s DETACH PARTITION %s",
            SQL.identifier(KINDS[kind].parent),
            SQL.identifier(name),
        )
    )


def attach(cr, kind: str, month: date) -> None:
    item = KINDS[kind]
    cr.execute(
        SQL(
            "ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)",
            SQL.identifier(item.parent),
            SQL.identifier(item.name(month)),
            month,
            next_month(month),
        )
    )
