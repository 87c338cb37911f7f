-- A copy of the database tells nobody anything and knows no gateway.
UPDATE res_company
   SET prepay_sms_enabled = false, prepay_sms_provider = NULL, prepay_sms_http_url = NULL,
       prepay_sms_http_secret = NULL, prepay_sms_receipt_token = NULL;
UPDATE sms_sms SET state = 'canceled' WHERE state = 'outgoing' AND prepay_company_id IS NOT NULL;
UPDATE prepay_notice SET state = 'failed', failure = 'switched_off' WHERE state = 'queued';
