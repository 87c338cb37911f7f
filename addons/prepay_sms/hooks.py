def uninstall_hook(env):
    """Messages that still wait must not leave through another SMS provider afterwards."""
    env.cr.execute(
        "UPDATE sms_sms SET state = 'canceled' "
        "WHERE state = 'outgoing' AND prepay_company_id IS NOT NULL"
    )
    env["sms.sms"].invalidate_model(["state"])
