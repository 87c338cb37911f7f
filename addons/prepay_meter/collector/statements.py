"""SQL of the collector. Every statement is safe to repeat; times are naive UTC, as in Odoo.

A command may run (due, sent) only while it is the newest wish of its meter and has not expired.
Leases and commands live by the clock of the database (its session is in UTC): collectors on
several hosts share it.
"""

from ..channels import ELECTRICAL

STAGING = """
CREATE TEMP TABLE IF NOT EXISTS staging (
    read_at timestamp, meter_id integer, channel smallint, value bigint, source smallint
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS staging_state (
    id integer, at timestamp, online boolean, missed integer, error text, seen timestamp,
    read_at timestamp, value bigint, power integer, voltage integer, current integer, relay text,
    remaining bigint, overdraft bigint, purchases integer, battery_low boolean, drift integer
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS staging_electrical
    (LIKE prepay_reading_electrical_data) ON COMMIT DELETE ROWS;
"""
COPY_STRAIGHT = "COPY prepay_reading_data (read_at, meter_id, channel, value, source) FROM STDIN"
COPY_READINGS = "COPY staging (read_at, meter_id, channel, value, source) FROM STDIN"
INSERT_READINGS = """
INSERT INTO prepay_reading_data (read_at, meter_id, channel, value, source)
SELECT read_at, meter_id, channel, value, source FROM staging
ON CONFLICT DO NOTHING
"""
_ELECTRICAL = ", ".join(ELECTRICAL)
COPY_ELECTRICAL = f"COPY staging_electrical (read_at, meter_id, {_ELECTRICAL}) FROM STDIN"
INSERT_ELECTRICAL = f"""
INSERT INTO prepay_reading_electrical_data (read_at, meter_id, {_ELECTRICAL})
SELECT read_at, meter_id, {_ELECTRICAL} FROM staging_electrical
ON CONFLICT DO NOTHING
"""  # noqa: S608 - names of our own columns
COPY_STATES = "COPY staging_state FROM STDIN"
#: What is older than the newest sign of life changes nothing: late data keeps its place.
UPDATE_STATES = """
UPDATE prepay_meter_state s
   SET online = v.online, missed_polls = v.missed, last_error = v.error,
       last_seen = COALESCE(v.seen, s.last_seen),
       last_read_at = CASE WHEN s.last_read_at >= v.read_at THEN s.last_read_at
                           ELSE COALESCE(v.read_at, s.last_read_at) END,
       last_value = CASE WHEN s.last_read_at >= v.read_at THEN s.last_value
                         ELSE COALESCE(v.value, s.last_value) END,
       power_w = COALESCE(v.power, s.power_w), voltage_mv = COALESCE(v.voltage, s.voltage_mv),
       current_ma = COALESCE(v.current, s.current_ma),
       relay_reported = COALESCE(v.relay, s.relay_reported),
       relay_reported_at = CASE WHEN v.relay IS NULL THEN s.relay_reported_at ELSE v.seen END,
       remaining_fen = COALESCE(v.remaining, s.remaining_fen),
       overdraft_fen = COALESCE(v.overdraft, s.overdraft_fen),
       purchase_count = COALESCE(v.purchases, s.purchase_count),
       battery_low = COALESCE(v.battery_low, s.battery_low),
       clock_drift_s = COALESCE(v.drift, s.clock_drift_s)
  FROM staging_state v
 WHERE s.id = v.id AND (s.last_seen IS NULL OR v.at >= s.last_seen)
"""
FRAME = """
INSERT INTO prepay_meter_frame (meter_id, gateway_id, at, direction, data, note)
VALUES (%(meter_id)s, %(gateway_id)s, %(at)s, %(direction)s, %(data)s, %(note)s)
"""
#: With all registers of the answer: any of them may be wanted when a person resolves the doubt.
HOLD = """
WITH hold AS (
INSERT INTO prepay_reading_hold (meter_id, location_id, company_id, channel, rule, first_at, last_at, count,
                                 previous_at, previous_value, value, detail, state, create_uid, write_uid,
                                 create_date, write_date)
SELECT m.id, m.location_id, m.company_id, %(channel)s, %(rule)s, %(at)s::timestamp, %(at)s::timestamp, 1,
       %(previous_at)s::timestamp, %(previous_value)s::bigint, %(value)s, %(detail)s, 'held', 1, 1,
       %(at)s::timestamp, %(at)s::timestamp
  FROM prepay_meter m WHERE m.id = %(meter_id)s::int
ON CONFLICT (meter_id, channel, rule) WHERE state = 'held'
DO UPDATE SET last_at = EXCLUDED.last_at, value = EXCLUDED.value, detail = EXCLUDED.detail,
              count = prepay_reading_hold.count + 1
RETURNING id)
INSERT INTO prepay_reading_hold_value (hold_id, channel, read_at, value)
SELECT hold.id, v.channel, %(at)s::timestamp, v.value
  FROM hold, unnest(%(channels)s::text[], %(values)s::bigint[]) v(channel, value)
ON CONFLICT DO NOTHING
"""
EVENT = """
INSERT INTO prepay_meter_event (meter_id, gateway_id, location_id, company_id, kind, severity, detail,
                                first_at, last_at, count, create_uid, write_uid, create_date, write_date)
SELECT %(meter_id)s::int, %(gateway_id)s::int, l.id, l.company_id, %(kind)s, %(severity)s, %(detail)s,
       %(at)s::timestamp, %(at)s::timestamp, 1, 1, 1, %(at)s::timestamp, %(at)s::timestamp
  FROM (SELECT COALESCE((SELECT location_id FROM prepay_meter WHERE id = %(meter_id)s::int),
                        (SELECT location_id FROM prepay_gateway WHERE id = %(gateway_id)s::int)) AS id) place
  LEFT JOIN prepay_location l ON l.id = place.id
 WHERE l.id IS NOT NULL OR (%(meter_id)s::int IS NULL AND %(gateway_id)s::int IS NULL)
ON CONFLICT (COALESCE(meter_id, 0), COALESCE(gateway_id, 0), kind) WHERE cleared_at IS NULL
DO UPDATE SET last_at = EXCLUDED.last_at, detail = EXCLUDED.detail, count = prepay_meter_event.count + 1
"""
CLEAR = """
UPDATE prepay_meter_event SET cleared_at = %s
 WHERE COALESCE(meter_id, 0) = %s AND COALESCE(gateway_id, 0) = %s AND kind = ANY(%s) AND cleared_at IS NULL
"""
#: Also for gateways that nobody serves: what may not run any more says so.
VOID_COMMANDS = """
UPDATE prepay_meter_command c
   SET state = CASE WHEN c.epoch < m.desired_epoch THEN 'superseded' ELSE 'expired' END,
       write_date = LOCALTIMESTAMP
  FROM prepay_meter m
 WHERE m.id = c.meter_id AND c.state IN ('queued', 'sent')
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
SESSION_USED = """
INSERT INTO prepay_collector_session (name, seen_at) VALUES (%s, LOCALTIMESTAMP)
ON CONFLICT (name) DO UPDATE SET seen_at = LOCALTIMESTAMP
"""
SESSION_ORPHAN = """
UPDATE prepay_collector_session SET seen_at = LOCALTIMESTAMP
 WHERE name = (SELECT name FROM prepay_collector_session
                WHERE seen_at < LOCALTIMESTAMP - make_interval(secs => %s)
                ORDER BY seen_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING name
"""
RELAY_SINCE = """
SELECT s.relay_reported FROM prepay_meter_state s, prepay_meter_command c
 WHERE s.id = %s AND c.id = %s AND s.relay_reported_at >= c.sent_at
"""
REMARK = """
UPDATE prepay_meter_command SET detail = %s, write_date = LOCALTIMESTAMP WHERE id = %s AND state = 'sent'
"""
#: Say that this process lives, and count those that do.
HEARTBEAT = """
INSERT INTO prepay_collector (name, seen_at, started_at, address, gateways)
VALUES (%(owner)s, LOCALTIMESTAMP, LOCALTIMESTAMP, %(address)s, %(gateways)s)
ON CONFLICT (name) DO UPDATE SET seen_at = LOCALTIMESTAMP, address = EXCLUDED.address,
                                 gateways = EXCLUDED.gateways
"""
PEERS = """
SELECT count(*) FROM prepay_collector WHERE seen_at > LOCALTIMESTAMP - make_interval(secs => %(seconds)s)
"""
RENEW = """
UPDATE prepay_gateway_state SET lease_until = LOCALTIMESTAMP + make_interval(secs => %(seconds)s)
 WHERE lease_owner = %(owner)s AND id = ANY(%(ids)s)
RETURNING id
"""
#: Free gateways of the kinds that any collector can reach; those that dial in choose by themselves.
TAKE = """
UPDATE prepay_gateway_state
   SET lease_owner = %(owner)s, lease_until = LOCALTIMESTAMP + make_interval(secs => %(seconds)s)
 WHERE id IN (SELECT s.id FROM prepay_gateway_state s JOIN prepay_gateway g ON g.state_id = s.id
               WHERE g.active AND g.link = ANY(%(kinds)s)
                 AND (s.lease_until IS NULL OR s.lease_until <= LOCALTIMESTAMP)
               ORDER BY s.lease_until NULLS FIRST, s.id LIMIT %(limit)s FOR UPDATE OF s SKIP LOCKED)
RETURNING id
"""
REACHABLE = "SELECT count(*) FROM prepay_gateway WHERE active AND link = ANY(%(kinds)s)"
#: A device has dialled in here: whoever held it holds a dead line.
CLAIM = """
UPDATE prepay_gateway_state s
   SET lease_owner = %(owner)s, lease_until = LOCALTIMESTAMP + make_interval(secs => %(seconds)s),
       peer = v.peer, connected_at = LOCALTIMESTAMP
  FROM unnest(%(ids)s::int[], %(peers)s::text[]) AS v(id, peer)
 WHERE s.id = v.id
"""
BY_IDENTITY = """
SELECT g.link, g.dial_in_id, g.id
  FROM unnest(%s::text[], %s::text[]) AS v(kind, identity)
  JOIN prepay_gateway g ON g.link = v.kind AND g.dial_in_id = v.identity
 WHERE g.active
"""
#: Devices that dial in, were online and belong to no collector any more.
MISSING = """
SELECT g.id FROM prepay_gateway g JOIN prepay_gateway_state s ON s.id = g.state_id
 WHERE g.active AND g.link = %(kind)s AND s.online
   AND (s.lease_until IS NULL OR s.lease_until < LOCALTIMESTAMP)
   AND COALESCE(s.last_seen, s.connected_at, '-infinity')
       < LOCALTIMESTAMP - make_interval(secs => 3 * COALESCE(g.heartbeat_s, 60))
"""
#: First the journal, then the state: a SIM card that is another one than before.
SIM_CHANGED = """
INSERT INTO prepay_meter_event (gateway_id, location_id, company_id, kind, severity, detail,
                                first_at, last_at, count, create_uid, write_uid, create_date, write_date)
SELECT g.id, l.id, l.company_id, 'sim_changed', 'warning', s.iccid || ' → ' || %(iccid)s,
       %(at)s::timestamp, %(at)s::timestamp, 1, 1, 1, %(at)s::timestamp, %(at)s::timestamp
  FROM prepay_gateway g JOIN prepay_gateway_state s ON s.id = g.state_id
  JOIN prepay_location l ON l.id = g.location_id
 WHERE g.id = %(gateway_id)s AND s.iccid <> '' AND %(iccid)s <> '' AND s.iccid <> %(iccid)s
ON CONFLICT (COALESCE(meter_id, 0), COALESCE(gateway_id, 0), kind) WHERE cleared_at IS NULL
DO UPDATE SET last_at = EXCLUDED.last_at, detail = EXCLUDED.detail, count = prepay_meter_event.count + 1
"""
DEVICE = """
UPDATE prepay_gateway_state
   SET signal = COALESCE(%(signal)s::int, signal), iccid = COALESCE(NULLIF(%(iccid)s, ''), iccid),
       peer = COALESCE(NULLIF(%(peer)s, ''), peer)
 WHERE id = %(state_id)s
"""
MESSAGE = """
INSERT INTO prepay_meter_message (at, source, gateway_id, topic, peer, reason, payload)
VALUES (%(at)s, %(source)s,
        (SELECT id FROM prepay_gateway WHERE id = %(gateway_id)s), %(topic)s, %(peer)s, %(reason)s, %(payload)s)
"""
GATEWAY_FOUND = """
UPDATE prepay_gateway_state
   SET online = true, last_seen = GREATEST(last_seen, %(at)s::timestamp), offline_since = NULL, last_error = NULL
 WHERE id = %(id)s
"""
GATEWAY_LOST = """
UPDATE prepay_gateway_state
   SET online = false, offline_since = COALESCE(offline_since, %(at)s::timestamp), last_error = %(error)s
 WHERE id = %(id)s
"""
METERS_LOST = "UPDATE prepay_meter_state SET online = false WHERE id = ANY(%(meters)s::int[])"
SEEN = """
UPDATE prepay_gateway_state s SET last_seen = v.seen
  FROM unnest(%s::int[], %s::timestamp[]) AS v(id, seen)
 WHERE s.id = v.id AND (s.last_seen IS NULL OR s.last_seen < v.seen)
"""
