-- A copy of the database decides nothing about supply.
UPDATE ir_cron SET active = false
 WHERE id IN (SELECT res_id FROM ir_model_data
               WHERE module = 'prepay_billing' AND name IN ('ir_cron_rate_and_supply', 'ir_cron_general_ledger', 'ir_cron_allowances',
                                                           'ir_cron_batch'));
