"""SQL of the collector. Every statement is safe to repeat; times are naive UTC, as in Odoo.

A command may run (due, sent) only while it is the newest wish of its meter and has not expired.
Leases and commands live by the clock of the database (its session is in UTC): collectors on
several hosts share it.
"""

STAGING = """
CREATE TEMP TABLE IF NOT EXISTS staging (
    read_at timestamp, meter_id integer, channel smallint, value bigint
) ON COMMIT DELETE ROWS
"""
INSERT_READINGS = """
INSERT INTO prepay_reading_data (read_at, meter_id, channel, value, source)
SELECT DISTINCT ON (read_at, meter_id, channel) read_at, meter_id, channel, value, 1 FROM staging
ON CONFLICT DO NOTHING
"""
UPDATE_STATES = """
UPDATE prepay_meter_state s
   SET online = v.online, missed_polls = v.missed, last_error = v.error,
       last_seen = COALESCE(v.seen, s.last_seen),
       last_read_at = COALESCE(v.read_at, s.last_read_at), last_value = COALESCE(v.value, s.last_value),
       power_w = COALESCE(v.power, s.power_w), voltage_mv = COALESCE(v.voltage, s.voltage_mv),
       current_ma = COALESCE(v.current, s.current_ma),
       relay_reported = COALESCE(v.relay, s.relay_reported),
       relay_reported_at = CASE WHEN v.relay IS NULL THEN s.relay_reported_at ELSE v.seen END
  FROM unnest(%s::int[], %s::bool[], %s::int[], %s::text[], %s::timestamp[], %s::timestamp[], %s::bigint[],
              %s::int[], %s::int[], %s::int[], %s::text[])
       AS v(id, online, missed, error, seen, read_at, value, power, voltage, current, relay)
 WHERE s.id = v.id
"""
HOLD = """
INSERT INTO prepay_reading_hold (meter_id, location_id, company_id, channel, rule, first_at, last_at, count,
                                 previous_at, previous_value, value, detail, state, create_uid, write_uid,
                                 create_date, write_date)
SELECT m.id, m.location_id, m.company_id, %(channel)s, %(rule)s, %(at)s, %(at)s, 1, %(previous_at)s,
       %(previous_value)s, %(value)s, %(detail)s, 'held', 1, 1, %(at)s, %(at)s
  FROM prepay_meter m WHERE m.id = %(meter_id)s
ON CONFLICT (meter_id, channel, rule) WHERE state = 'held'
DO UPDATE SET last_at = EXCLUDED.last_at, value = EXCLUDED.value, detail = EXCLUDED.detail,
              count = prepay_reading_hold.count + 1
"""
EVENT = """
INSERT INTO prepay_meter_event (meter_id, gateway_id, location_id, company_id, kind, severity, detail,
                                first_at, last_at, count, create_uid, write_uid, create_date, write_date)
SELECT %(meter_id)s, %(gateway_id)s, l.id, l.company_id, %(kind)s, %(severity)s, %(detail)s, %(at)s, %(at)s, 1,
       1, 1, %(at)s, %(at)s
  FROM prepay_location l
 WHERE l.id = COALESCE((SELECT location_id FROM prepay_meter WHERE id = %(meter_id)s),
                       (SELECT location_id FROM prepay_gateway WHERE id = %(gateway_id)s))
ON CONFLICT (COALESCE(meter_id, 0), COALESCE(gateway_id, 0), kind) WHERE cleared_at IS NULL
DO UPDATE SET last_at = EXCLUDED.last_at, detail = EXCLUDED.detail, count = prepay_meter_event.count + 1
"""
CLEAR = """
UPDATE prepay_meter_event SET cleared_at = %s
 WHERE COALESCE(meter_id, 0) = %s AND COALESCE(gateway_id, 0) = %s AND kind = ANY(%s) AND cleared_at IS NULL
"""
VOID_COMMANDS = """
UPDATE prepay_meter_command c
   SET state = CASE WHEN c.epoch < m.desired_epoch THEN 'superseded' ELSE 'expired' END,
       write_date = LOCALTIMESTAMP
  FROM prepay_meter m
 WHERE m.id = c.meter_id AND c.state IN ('queued', 'sent') AND m.gateway_id = ANY(%(gateways)s)
   AND (c.epoch < m.desired_epoch OR c.expires_at <= LOCALTIMESTAMP)
"""
DUE_COMMANDS = """
SELECT c.id, c.meter_id, m.gateway_id, c.target, c.epoch, c.attempts, c.state = 'sent' AS in_doubt
  FROM prepay_meter_command c JOIN prepay_meter m ON m.id = c.meter_id
 WHERE c.state IN ('queued', 'sent') AND c.epoch = m.desired_epoch
   AND (c.expires_at IS NULL OR c.expires_at > LOCALTIMESTAMP) AND m.active AND m.gateway_id = ANY(%(gateways)s)
   AND (c.not_before IS NULL OR c.not_before <= LOCALTIMESTAMP)
 ORDER BY c.id
"""
MARK_SENT = """
UPDATE prepay_meter_command c
   SET state = 'sent', sent_at = COALESCE(c.sent_at, LOCALTIMESTAMP), attempts = c.attempts + 1,
       write_date = LOCALTIMESTAMP
  FROM prepay_meter m
 WHERE m.id = c.meter_id AND c.id = %(id)s AND c.state IN ('queued', 'sent') AND c.epoch = m.desired_epoch
   AND (c.expires_at IS NULL OR c.expires_at > LOCALTIMESTAMP)
"""
CONFIRM = """
UPDATE prepay_meter_command
   SET state = 'confirmed', confirmed_at = LOCALTIMESTAMP, proof = %s, detail = NULL, write_date = LOCALTIMESTAMP
 WHERE id = %s AND state IN ('queued', 'sent')
"""
UNPROVEN = """
UPDATE prepay_meter_command SET state = 'unproven', detail = NULL, write_date = LOCALTIMESTAMP
 WHERE id = %s AND state = 'sent'
"""
POSTPONE = """
UPDATE prepay_meter_command
   SET not_before = LOCALTIMESTAMP + make_interval(secs => %s), detail = %s, write_date = LOCALTIMESTAMP
 WHERE id = %s AND state IN ('queued', 'sent')
"""
LEASE = """
UPDATE prepay_gateway_state
   SET lease_owner = %(owner)s, lease_until = LOCALTIMESTAMP + make_interval(secs => %(seconds)s)
 WHERE id = ANY(%(ids)s) AND (lease_owner = %(owner)s OR lease_until IS NULL OR lease_until <= LOCALTIMESTAMP)
RETURNING id
"""
