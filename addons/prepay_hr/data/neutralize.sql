-- A copy of the database gives nobody work: settlements asked for there go to no one.
UPDATE res_company SET prepay_hr_settlement_user_id = NULL;
