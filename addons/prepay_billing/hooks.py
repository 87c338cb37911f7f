from odoo.addons.prepay_meter.hooks import delete_rows


def uninstall_hook(env):
    """Remove the rows in the order of their references, and the trigger functions."""
    env.cr.execute("UPDATE res_company SET prepay_policy_id = NULL, prepay_calendar_id = NULL")
    env.cr.execute("UPDATE prepay_location SET calendar_id = NULL")
    delete_rows(
        env,
        "prepay_batch_line",
        "prepay_tariff_change",
        "prepay_batch",
        "prepay_supply_decision",
        "prepay_allowance_grant",
        "prepay_allowance",
        "prepay_shared_cost_line",
        "prepay_shared_cost",
        "prepay_transfer",
        "prepay_wallet_adjustment",
        "prepay_wallet_checkpoint",
        "prepay_wallet_guard",
        "prepay_wallet_audit",
        "prepay_receipt_print",
        "prepay_receipt",
        "prepay_receipt_series",
        "prepay_topup",
        "prepay_charge_run",
        "prepay_charge",
        "prepay_ledger_entry",
        "prepay_account_meter",
        "prepay_account",
        "prepay_tariff_period",
        "prepay_tariff_season",
        "prepay_tariff_price",
        "prepay_tariff_fee",
        "prepay_tariff_version",
        "prepay_tariff",
        "prepay_supply_policy",
        "prepay_calendar_day",
        "prepay_calendar",
    )
    env.cr.execute("DROP FUNCTION IF EXISTS prepay_ledger_append_only() CASCADE")
    env.cr.execute("DROP FUNCTION IF EXISTS prepay_receipt_fixed() CASCADE")
    env.cr.execute("DROP FUNCTION IF EXISTS prepay_room_changed() CASCADE")
