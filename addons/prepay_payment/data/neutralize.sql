-- A copy of the database credits nobody.
UPDATE ir_cron SET active = false
 WHERE id IN (SELECT res_id FROM ir_model_data
               WHERE module = 'prepay_payment' AND name = 'ir_cron_consume');
