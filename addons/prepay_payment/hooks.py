"""What installing and uninstalling do beyond creating and dropping tables."""


def post_init_hook(env):
    """Give a clearing account to the companies whose prepayments are set up already."""
    companies = env["res.company"].search([("prepay_liability_account_id", "!=", False)])
    companies._prepay_create_clearing_account()


def uninstall_hook(env):
    """Leave a consistent wallet behind.

    What is credited reaches the general ledger while it is still known where the money stands;
    orders that nobody paid go; credited ones say how they were paid, because the method's name
    leaves with this addon.
    """
    for company in env["res.company"].search([("prepay_liability_account_id", "!=", False)]):
        while env["prepay.ledger.entry"]._post_topups(company):
            pass  # one entry for each day that waits
    online = env["prepay.topup"].search([("method", "=", "online")])
    credited = online.filtered(lambda topup: topup.state == "done")
    for topup in credited.filtered(lambda topup: not topup.note):
        topup.note = env._("Paid online: %s", topup.order_ref or topup.inbox_id.transaction_id)
    unpaid = online - credited
    env["prepay.suspense"].search([("order_id", "in", unpaid.ids)]).order_id = False
    unpaid.unlink()
    env.cr.execute("DROP FUNCTION IF EXISTS prepay_payment_inbox_append_only() CASCADE")
