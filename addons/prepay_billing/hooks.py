from odoo.addons.prepay_meter.hooks import delete_rows


def uninstall_hook(env):
    """Remove the rows in the order of their references, and the trigger functions."""
    env.cr.execute("UPDATE res_company SET prepay_policy_id = NULL")
    delete_rows(
        env,
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
        "prepay_charge_entry_rel",
        "prepay_topup",
        "prepay_charge",
        "prepay_ledger_entry",
        "prepay_account_meter",
        "prepay_account",
        "prepay_tariff_version",
        "prepay_tariff",
        "prepay_supply_policy",
    )
    env.cr.execute("DROP FUNCTION IF EXISTS prepay_charge_quantity() CASCADE")
    env.cr.execute("DROP FUNCTION IF EXISTS prepay_ledger_append_only() CASCADE")
