-- A copy of the database must never reach a real meter: no gateway keeps its address, nothing is switched.
UPDATE prepay_gateway SET active = false, host = '127.0.0.1', port = 1;
UPDATE prepay_meter_command SET state = 'superseded' WHERE state IN ('queued', 'sent');
UPDATE prepay_meter SET password = NULL, desired_relay = NULL;
UPDATE prepay_meter SET trace_until = NULL WHERE trace_until IS NOT NULL;
UPDATE prepay_meter_probe SET state = 'failed' WHERE state IN ('queued', 'running');
UPDATE prepay_gateway_state SET lease_owner = NULL, lease_until = NULL;
UPDATE ir_cron SET active = false
 WHERE id IN (SELECT res_id FROM ir_model_data WHERE module = 'prepay_meter' AND name = 'ir_cron_sweep');
UPDATE prepay_meter_parameter SET state = 'failed', not_before = NULL WHERE state IN ('queued', 'sent');
UPDATE prepay_meter SET credit_locked = true WHERE id IN (SELECT meter_id FROM prepay_meter_credit);
