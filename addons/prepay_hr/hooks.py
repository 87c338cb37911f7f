from odoo.addons.prepay_meter.hooks import delete_rows


def uninstall_hook(env):
    """Remove the stays before the rooms to which they refer."""
    delete_rows(env, "prepay_occupancy")
