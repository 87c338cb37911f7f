from odoo.addons.prepay_meter.hooks import delete_rows, own_tables


def uninstall_hook(env):
    """Remove the rows of all tables, and the trigger functions."""
    env.cr.execute("UPDATE res_company SET prepay_policy_id = NULL, prepay_calendar_id = NULL")
    env.cr.execute("UPDATE prepay_location SET calendar_id = NULL")
    delete_rows(env, *own_tables(env, "prepay_billing"))
    env.cr.execute("DROP FUNCTION IF EXISTS prepay_ledger_append_only() CASCADE")
    env.cr.execute("DROP FUNCTION IF EXISTS prepay_receipt_fixed() CASCADE")
    env.cr.execute("DROP FUNCTION IF EXISTS prepay_room_changed() CASCADE")
